/**
 * Which offset each key was last written at: the memory of one compaction. It is bounded. When it is full the
 * compaction goes only as far as the map got, and the next one goes on from there.
 *
 * Open addressing over 24 bytes a slot, as Kafka counts them: sixteen of the key's hash, eight of the offset. The keys
 * themselves are not kept; `siphash.ts` says why that loses nothing.
 */
import { assert } from '../../../client/protocol/assert.ts'
import { type Offset } from '../../../client/protocol/types.ts'
import { type HashWords, type SipKey, siphash, sipKey } from './siphash.ts'

export const OFFSET_MAP_SLOT_BYTES = 24

const WORDS = 4
/** Of the first words of an int32 hash: a slot number is a fraction of it. */
const TWO_TO_32 = 2 ** 32

export interface OffsetMapOptions {
  /** Memory of the slots (log.cleaner.dedupe.buffer.size). */
  readonly maxBytes: number
  /** Keys that can come at most, where that is known: a smaller map will do. */
  readonly maxKeys?: number
  /** Share of the slots that may be taken (log.cleaner.io.buffer.load.factor), in (0, 1]. */
  readonly loadFactor: number
  /** 16 bytes of chance. */
  readonly hashKey: Uint8Array
}

export class OffsetMap {
  readonly #slots: number
  readonly #maxSize: number
  readonly #key: SipKey
  readonly #hashes: Int32Array
  /** One more than the offset; 0 in a slot that is free. */
  readonly #offsets: Float64Array
  readonly #hash: HashWords = new Int32Array(WORDS)
  #size = 0
  #latestOffset = -1

  constructor({ maxBytes, maxKeys = Infinity, loadFactor, hashKey }: OffsetMapOptions) {
    assert(loadFactor > 0 && loadFactor <= 1, 'a load factor is a share')
    const slots = Math.min(Math.floor(maxBytes / OFFSET_MAP_SLOT_BYTES), Math.ceil(maxKeys / loadFactor) + 1)
    this.#slots = Math.max(2, slots)
    // One slot stays free: it ends the search for a key that is not there.
    this.#maxSize = Math.max(1, Math.min(Math.floor(this.#slots * loadFactor), this.#slots - 1))
    this.#key = sipKey(hashKey)
    this.#hashes = new Int32Array(WORDS * this.#slots)
    this.#offsets = new Float64Array(this.#slots)
  }

  /** Keys in the map. */
  get size(): number {
    return this.#size
  }

  get maxSize(): number {
    return this.#maxSize
  }

  /**
   * Everything up to this offset has been seen: what lies beyond must be kept, whatever the map says. -1 before
   * anything was.
   */
  get latestOffset(): number {
    return this.#latestOffset
  }

  /** All up to `offset` has been looked at, also what has no key. */
  seen(offset: number): void {
    assert(offset >= this.#latestOffset, 'a log is looked at in its order')
    this.#latestOffset = offset
  }

  /** The key in `bytes` from `start` to `end` was written at `offset`. False: the map is full, nothing was noted. */
  put(bytes: Uint8Array, start: number, end: number, offset: Offset): boolean {
    assert(offset > this.#latestOffset, 'a log is looked at in its order')
    const slot = this.#find(bytes, start, end)
    if (this.#offsets[slot] === 0) {
      if (this.#size >= this.#maxSize) return false
      this.#size++
      this.#hashes.set(this.#hash, WORDS * slot)
    }
    this.#offsets[slot] = offset + 1
    this.#latestOffset = offset
    return true
  }

  /** Where the key was last written, -1 where it was not. */
  get(bytes: Uint8Array, start: number, end: number): number {
    return this.#offsets[this.#find(bytes, start, end)]! - 1
  }

  /** The slot of the key, or the free one where it belongs. */
  #find(bytes: Uint8Array, start: number, end: number): number {
    const hash = this.#hash
    siphash(this.#key, bytes, start, end, hash)
    const h0 = hash[0]!
    const h1 = hash[1]!
    const h2 = hash[2]!
    const h3 = hash[3]!
    const hashes = this.#hashes
    let slot = Math.floor(((h0 >>> 0) / TWO_TO_32) * this.#slots)
    while (this.#offsets[slot] !== 0) {
      const at = WORDS * slot
      const isSame =
        hashes[at] === h0 && hashes[at + 1] === h1 && hashes[at + 2] === h2 && hashes[at + 3] === h3
      if (isSame) break
      slot++
      if (slot === this.#slots) slot = 0
    }
    return slot
  }
}
