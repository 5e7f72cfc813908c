/**
 * Memory that is counted: slabs into which sockets receive, and whose slices travel through the broker without
 * being copied. A slab goes back to its pool when the last holder has let go, and is then written to again: so
 * whoever keeps a slice past the current synchronous call retains its owner, and releases it exactly once.
 * This file must never hand out a slab that anybody still holds; what looks like it is an assertion.
 */
import { assert } from '../client/protocol/assert.ts'

/** Something that stays valid while it is held. Every `retain` is answered by exactly one `release`. */
export interface Retained {
  retain(): void
  release(): void
}

/** The owner of memory that the garbage collector looks after: holding it costs nothing and is not counted. */
export const PLAIN_MEMORY: Retained = { retain() {}, release() {} }

/** One piece of pooled memory. It starts with one reference, which belongs to whoever acquired it. */
export class Slab implements Retained {
  /** Valid while referenced. Pooled: what was in it before is still there, it is not cleared. */
  readonly bytes: Buffer
  readonly #pool: SlabPool
  readonly #onReturned: (() => void) | null
  #references = 1

  /** Slabs are made by their pool alone. */
  constructor(pool: SlabPool, byteLength: number, onReturned: (() => void) | null = null) {
    this.#pool = pool
    this.#onReturned = onReturned
    // Not from Node's small-buffer pool: a slab must own all of its ArrayBuffer.
    this.bytes = Buffer.allocUnsafeSlow(byteLength)
  }

  get references(): number {
    return this.#references
  }

  retain(): void {
    assert(this.#references > 0, 'a slab is retained only while somebody holds it')
    this.#references++
  }

  release(): void {
    assert(this.#references > 0, 'a slab is released once for each time it was retained')
    if (--this.#references > 0) return
    this.#pool.takeBack(this)
    this.#onReturned?.()
  }

  /** For the pool alone: the slab starts its next life. */
  revive(): void {
    assert(this.#references === 0, 'only a slab that nobody holds is handed out again')
    this.#references = 1
  }
}

export interface SlabPoolOptions {
  /** Size of an ordinary slab. */
  readonly slabBytes: number
  /** Slabs that are kept for the next one who asks; what comes back beyond is left to the garbage collector. */
  readonly maxIdleSlabs: number
  /** A slab is refused when more bytes than this would be in use; idle ones do not count. Default: no bound. */
  readonly maxBytes?: number
}

/**
 * Makes slabs and takes them back. The most recently returned is handed out first: its pages are mapped and may
 * still be in the processor's cache, which is what makes a pool faster than fresh memory.
 */
export class SlabPool {
  readonly slabBytes: number
  readonly maxBytes: number
  readonly #maxIdleSlabs: number
  readonly #idle: Slab[] = []
  readonly #pressureListeners = new Set<(wantedBytes: number) => void>()
  readonly #waiting = new Set<() => void>()
  #bytesInUse = 0
  #slabsInUse = 0

  constructor(options: SlabPoolOptions) {
    assert(options.slabBytes > 0, 'slabs have a size')
    this.slabBytes = options.slabBytes
    this.maxBytes = options.maxBytes ?? Number.POSITIVE_INFINITY
    this.#maxIdleSlabs = options.maxIdleSlabs
  }

  /** Bytes of slabs that somebody holds. */
  get bytesInUse(): number {
    return this.#bytesInUse
  }

  /** Slabs that somebody holds; zero when all was released, which is what tests look at. */
  get slabsInUse(): number {
    return this.#slabsInUse
  }

  get idleSlabs(): number {
    return this.#idle.length
  }

  /** Callers that wait for memory to come back. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** A slab with one reference, the caller's; or null when the budget is used up: see `whenAvailable`. */
  acquire(): Slab | null {
    if (!this.#makeRoom(this.slabBytes)) return null
    const pooled = this.#idle.pop()
    pooled?.revive()
    return this.#count(pooled ?? new Slab(this, this.slabBytes))
  }

  /**
   * A slab of just `byteLength` bytes, which is not pooled afterwards; for what does not fit an ordinary one. It
   * counts as in use but is never refused, so that no legal request waits for ever: the caller bounds how many, by
   * what `onReturned` tells.
   */
  acquireOversized(byteLength: number, onReturned: (() => void) | null = null): Slab {
    this.#makeRoom(byteLength)
    return this.#count(new Slab(this, byteLength, onReturned))
  }

  /**
   * `listener` is called when the budget is used up, before anybody is refused: whoever holds slabs only because
   * they may be of use (a cache) lets go of at least `wantedBytes` at once, in the call. Returns the way to unsubscribe.
   */
  onPressure(listener: (wantedBytes: number) => void): () => void {
    this.#pressureListeners.add(listener)
    return () => this.#pressureListeners.delete(listener)
  }

  /** Calls `listener` once, when a slab has come back. First come, first served; returns the way to give up. */
  whenAvailable(listener: () => void): () => void {
    const entry = (): void => listener()
    this.#waiting.add(entry)
    return () => this.#waiting.delete(entry)
  }

  /** Leaves all but `keep` idle slabs to the garbage collector. */
  trim(keep = 0): void {
    // The coldest are at the front.
    if (this.#idle.length > keep) this.#idle.splice(0, this.#idle.length - keep)
  }

  /** For `Slab.release` alone. */
  takeBack(slab: Slab): void {
    const { byteLength } = slab.bytes
    this.#bytesInUse -= byteLength
    this.#slabsInUse--
    assert(this.#bytesInUse >= 0 && this.#slabsInUse >= 0, 'no slab comes back twice')
    if (byteLength === this.slabBytes && this.#idle.length < this.#maxIdleSlabs) this.#idle.push(slab)
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      next()
      break
    }
  }

  #count(slab: Slab): Slab {
    this.#bytesInUse += slab.bytes.byteLength
    this.#slabsInUse++
    return slab
  }

  #makeRoom(byteLength: number): boolean {
    const missing = (): number => this.#bytesInUse + byteLength - this.maxBytes
    if (missing() <= 0) return true
    for (const relieve of this.#pressureListeners) {
      relieve(missing())
      if (missing() <= 0) return true
    }
    return false
  }
}
