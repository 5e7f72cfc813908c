/**
 * Memory for reads from disk: pooled windows, each filled by one read and handed out in slices until it is used up.
 * What a reader has not taken yet, or what was read ahead for it, is parked until the reader comes back. Bounded
 * over all partitions; what was parked longest goes first.
 */
import { type DiskFile } from '../env.ts'
import { PLAIN_MEMORY, type Retained, SlabPool } from '../slab.ts'

/** One read from disk. A batch of the default max.message.bytes fits, with the header of the one that follows. */
export const WINDOW_BYTES = 1024 * 1024 + 16 * 1024
/** For a reader who wants little. */
export const SMALL_WINDOW_BYTES = 64 * 1024

/** Bytes of a file in memory. Its holder has one reference of `owner`. */
export interface Window {
  /** Position in the file of the first byte. */
  readonly start: number
  /** Null until they are read. */
  bytes: Uint8Array | null
  readonly ready: Promise<void>
  readonly owner: Retained
  /** Memory that it keeps. */
  readonly heldBytes: number
}

/** Holds windows for a reader that may or may not come back. */
export interface Parked {
  readonly heldBytes: number
  /** Releases all windows. It is not parked any more when this is called. */
  letGo(): void
}

export class ReadBuffers {
  readonly #large: SlabPool
  readonly #small: SlabPool
  readonly #maxParkedBytes: number
  /** The one parked longest is first. */
  readonly #parked = new Set<Parked>()
  #parkedBytes = 0

  constructor(maxBytes: number) {
    const largeBytes = Math.floor(maxBytes * 0.875)
    this.#large = new SlabPool({ slabBytes: WINDOW_BYTES, maxIdleSlabs: 8, maxBytes: largeBytes })
    this.#small = new SlabPool({
      slabBytes: SMALL_WINDOW_BYTES,
      maxIdleSlabs: 16,
      maxBytes: maxBytes - largeBytes,
    })
    // The other half is for what is on its way to a reader.
    this.#maxParkedBytes = Math.floor(maxBytes / 2)
  }

  get bytesInUse(): number {
    return this.#large.bytesInUse + this.#small.bytesInUse
  }

  get parkedBytes(): number {
    return this.#parkedBytes
  }

  /**
   * Starts to read `length` bytes; the caller has one reference. When memory is short the window may come out
   * shorter, but not below `minBytes`: one batch is of no use in pieces. `minBytes` null is for reading ahead: then
   * null comes instead.
   */
  read(file: DiskFile, start: number, length: number, minBytes: number | null): Window | null {
    const memory = this.#memory(length, minBytes)
    if (memory === null) return null
    const into = memory.bytes.subarray(0, Math.min(length, memory.bytes.length))
    const { owner } = memory
    // The read itself holds the memory too: a window may be let go before it is filled.
    owner.retain()
    const ready = file
      .read(into, start)
      .then(read => {
        window.bytes = into.subarray(0, read)
      })
      .finally(() => owner.release())
    const window: Window = { start, bytes: null, ready, owner, heldBytes: memory.bytes.length }
    // Read-ahead that nobody waits for any more may fail in silence; who waits gets the rejection.
    ready.catch(() => {})
    return window
  }

  park(reader: Parked): void {
    if (reader.heldBytes === 0) return
    this.#parked.add(reader)
    this.#parkedBytes += reader.heldBytes
    while (this.#parkedBytes > this.#maxParkedBytes) this.#evictOldest()
  }

  /** The reader has come back, or its log has forgotten it. Its windows are its own again. */
  unpark(reader: Parked): void {
    if (this.#parked.delete(reader)) this.#parkedBytes -= reader.heldBytes
  }

  #memory(length: number, minBytes: number | null): { bytes: Uint8Array; owner: Retained } | null {
    if (length > WINDOW_BYTES) return { bytes: Buffer.allocUnsafeSlow(length), owner: PLAIN_MEMORY }
    const pool = length <= SMALL_WINDOW_BYTES ? this.#small : this.#large
    let slab = pool.acquire()
    while (slab === null && this.#evictOldest()) slab = pool.acquire()
    if (slab !== null) return { bytes: slab.bytes, owner: slab }
    if (minBytes === null) return null
    // Every slab is on its way to some slow reader. This one still gets something, but little at a time.
    const little = Math.min(length, Math.max(minBytes, SMALL_WINDOW_BYTES))
    return { bytes: Buffer.allocUnsafeSlow(little), owner: PLAIN_MEMORY }
  }

  #evictOldest(): boolean {
    for (const oldest of this.#parked) {
      this.unpark(oldest)
      oldest.letGo()
      return true
    }
    return false
  }
}
