/**
 * Memory for reads from disk: pooled pieces that are filled by one read and handed out in slices until they are used up.
 * What a reader has not taken yet, or what was read ahead for it, stays as a window in which its next read finds its
 * bytes at once. Bounded over all partitions; the least recently used window goes first.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type DiskFile } from '../env.ts'
import { type Retained, SlabPool } from '../slab.ts'

/** One read from disk: large enough that the round trip through the pool does not matter. */
export const WINDOW_BYTES = 1024 * 1024
/** For a reader who wants little. */
export const SMALL_WINDOW_BYTES = 64 * 1024

/** Bytes of a file in memory. Who has a window may read it until the next turn; who keeps a slice retains `owner`. */
export interface Window {
  readonly path: string
  /** Position in the file of the first byte. */
  readonly start: number
  /** Null until they are read. */
  bytes: Uint8Array | null
  readonly ready: Promise<void>
  readonly owner: Retained
}

export class ReadWindows {
  readonly #large: SlabPool
  readonly #small: SlabPool
  readonly #maxKept: number
  /** Windows by file, in order of use. Few: looked through one by one. */
  readonly #kept = new Set<Window>()

  constructor(maxBytes: number) {
    const largeBytes = Math.floor(maxBytes * 0.875)
    this.#large = new SlabPool({ slabBytes: WINDOW_BYTES, maxIdleSlabs: 8, maxBytes: largeBytes })
    this.#small = new SlabPool({
      slabBytes: SMALL_WINDOW_BYTES,
      maxIdleSlabs: 16,
      maxBytes: maxBytes - largeBytes,
    })
    // Half of the memory for what is kept in the hope that it is wanted, half for what is on its way to a reader.
    this.#maxKept = Math.max(1, Math.floor(largeBytes / WINDOW_BYTES / 2))
  }

  get bytesInUse(): number {
    return this.#large.bytesInUse + this.#small.bytesInUse
  }

  get keptWindows(): number {
    return this.#kept.size
  }

  /** A kept window, filled or being filled, that covers `position`. */
  find(path: string, position: number): Window | null {
    for (const window of this.#kept) {
      if (window.path !== path || position < window.start) continue
      if (window.bytes !== null && position >= window.start + window.bytes.length) continue
      if (window.bytes === null && position !== window.start) continue
      return window
    }
    return null
  }

  /**
   * Starts to read `length` bytes at most; null where `isAhead` and no memory is left for such. The caller has one
   * reference. `length` beyond what is pooled comes from plain memory: it is one batch, and somebody waits for it.
   */
  read(file: DiskFile, start: number, length: number, isAhead: boolean): Window | null {
    const memory = this.#memory(length, isAhead)
    if (memory === null) return null
    const into = memory.bytes.subarray(0, Math.min(length, memory.bytes.length))
    const { owner } = memory
    // The read itself holds the memory too: a window may be dropped before it is filled.
    owner.retain()
    const ready = file
      .read(into, start)
      .then(read => {
        window.bytes = into.subarray(0, read)
      })
      .finally(() => owner.release())
    const window: Window = { path: file.path, start, bytes: null, owner, ready }
    // Read-ahead that nobody waits for any more may fail in silence; who waits gets the rejection.
    ready.catch(() => {})
    return window
  }

  /** Takes over the caller's reference. */
  keep(window: Window): void {
    assert(!this.#kept.has(window), 'a window is kept once')
    this.#kept.add(window)
    for (const oldest of this.#kept) {
      if (this.#kept.size <= this.#maxKept) break
      this.drop(oldest)
    }
  }

  /** It was of use: it is not the next to go. */
  touch(window: Window): void {
    if (this.#kept.delete(window)) this.#kept.add(window)
  }

  drop(window: Window): void {
    if (this.#kept.delete(window)) window.owner.release()
  }

  /** The file has changed or is gone. */
  forget(path: string): void {
    for (const window of this.#kept) if (window.path === path) this.drop(window)
  }

  #memory(length: number, isAhead: boolean): { bytes: Uint8Array; owner: Retained } | null {
    const pool = length <= SMALL_WINDOW_BYTES ? this.#small : this.#large
    if (length <= pool.slabBytes) {
      let slab = pool.acquire()
      while (slab === null && this.#dropOldest()) slab = pool.acquire()
      if (slab !== null) return { bytes: slab.bytes, owner: slab }
      if (isAhead) return null
      // Every slab is on its way to some slow reader. This one still gets something, but little at a time.
      return plainMemory(Math.min(length, SMALL_WINDOW_BYTES))
    }
    return plainMemory(length)
  }

  #dropOldest(): boolean {
    for (const oldest of this.#kept) {
      this.drop(oldest)
      return true
    }
    return false
  }
}

function plainMemory(length: number): { bytes: Uint8Array; owner: Retained } {
  return { bytes: Buffer.allocUnsafeSlow(length), owner: { retain() {}, release() {} } }
}
