/**
 * The sparse time index of one segment, in memory: until which offset every batch is older than a timestamp. On
 * disk it is Kafka's `.timeindex`: twelve bytes an entry, a timestamp and (relative to the segment's base) the last
 * offset of the batch that first reached it; timestamps ascend strictly, offsets too.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { isZero } from './offset-index.ts'

export const TIME_INDEX_ENTRY_BYTES = 12
const FIRST_CAPACITY = 16

export interface TimeIndexEntry {
  readonly timestamp: number
  readonly offset: Offset
}

export class TimeIndex {
  readonly baseOffset: Offset
  #timestamps = new Float64Array(0)
  #offsets = new Int32Array(0)
  #count = 0

  constructor(baseOffset: Offset) {
    this.baseOffset = baseOffset
  }

  /** An index read from disk, or why the bytes are none. */
  static parse(bytes: Uint8Array, baseOffset: Offset): TimeIndex | string {
    if (bytes.length % TIME_INDEX_ENTRY_BYTES !== 0) return 'its length is no multiple of 12'
    const index = new TimeIndex(baseOffset)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 0; at < bytes.length; at += TIME_INDEX_ENTRY_BYTES) {
      const timestamp = Number(view.getBigInt64(at))
      const relative = view.getInt32(at + 8)
      if (timestamp === 0 && relative === 0 && isZero(bytes.subarray(at))) break
      if (!Number.isSafeInteger(timestamp) || !index.#fits(timestamp, relative)) {
        return `entry ${at / TIME_INDEX_ENTRY_BYTES} is not above the one before`
      }
      index.#push(timestamp, relative)
    }
    return index
  }

  get count(): number {
    return this.#count
  }

  get byteLength(): number {
    return this.#timestamps.byteLength + this.#offsets.byteLength
  }

  get last(): TimeIndexEntry | null {
    return this.#count === 0 ? null : this.entry(this.#count - 1)
  }

  entry(slot: number): TimeIndexEntry {
    assert(slot >= 0 && slot < this.#count, 'the entry exists')
    return {
      timestamp: this.#timestamps[slot]!,
      offset: (this.baseOffset + this.#offsets[slot]!) as Offset,
    }
  }

  /** Adds an entry where it says something new: where the timestamp is above the last one. */
  maybeAppend(timestamp: number, lastOffset: Offset): void {
    // Batches without a timestamp have -1, which says nothing.
    if (timestamp <= (this.#count === 0 ? -1 : this.#timestamps[this.#count - 1]!)) return
    const relative = lastOffset - this.baseOffset
    assert(this.#fits(timestamp, relative), 'entries of a time index ascend and fit 31 bits')
    this.#push(timestamp, relative)
  }

  /**
   * No batch that ends before this offset has a timestamp above `timestamp` or, but for the entry's own, equal to
   * it.
   */
  lookup(timestamp: number): Offset {
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#timestamps[middle]! <= timestamp) low = middle + 1
      else high = middle
    }
    return (low === 0 ? this.baseOffset : this.baseOffset + this.#offsets[low - 1]!) as Offset
  }

  /** Removes the entries of batches that reach `offset`. */
  truncateTo(offset: Offset): void {
    const relative = offset - this.baseOffset
    while (this.#count > 0 && this.#offsets[this.#count - 1]! >= relative) this.#count--
  }

  encode(from = 0): Buffer {
    const bytes = Buffer.allocUnsafe(TIME_INDEX_ENTRY_BYTES * (this.#count - from))
    for (let i = from; i < this.#count; i++) {
      const at = TIME_INDEX_ENTRY_BYTES * (i - from)
      bytes.writeBigInt64BE(BigInt(this.#timestamps[i]!), at)
      bytes.writeInt32BE(this.#offsets[i]!, at + 8)
    }
    return bytes
  }

  #fits(timestamp: number, relative: number): boolean {
    if (relative < 0 || relative > 0x7fff_ffff) return false
    const last = this.#count - 1
    return last < 0 || (timestamp > this.#timestamps[last]! && relative >= this.#offsets[last]!)
  }

  #push(timestamp: number, relative: number): void {
    if (this.#count === this.#offsets.length) {
      const capacity = Math.max(FIRST_CAPACITY, 2 * this.#count)
      const timestamps = new Float64Array(capacity)
      const offsets = new Int32Array(capacity)
      timestamps.set(this.#timestamps)
      offsets.set(this.#offsets)
      this.#timestamps = timestamps
      this.#offsets = offsets
    }
    this.#timestamps[this.#count] = timestamp
    this.#offsets[this.#count] = relative
    this.#count++
  }
}
