/**
 * The sparse offset index of one segment, in memory: where in the file the batch with an offset is at the latest.
 * On disk it is Kafka's `.index`: eight bytes an entry, the last offset of a batch relative to the segment's base
 * and the position where that batch starts, both strictly ascending. Kafka maps the file at full size and cuts it
 * when the segment is rolled; nobody maps ours, so it has at every moment just the entries written to it, and zeros
 * behind the last entry (a file of Kafka that was killed) are left out on reading.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Offset } from '../../client/protocol/types.ts'

export const OFFSET_INDEX_ENTRY_BYTES = 8
const FIRST_CAPACITY = 64

export class OffsetIndex {
  readonly baseOffset: Offset
  /** Relative offset and position, by turns. */
  #entries: Int32Array
  #count = 0

  constructor(baseOffset: Offset, capacity = 0) {
    this.baseOffset = baseOffset
    this.#entries = new Int32Array(2 * capacity)
  }

  /** An index read from disk, or why the bytes are none. */
  static parse(bytes: Uint8Array, baseOffset: Offset): OffsetIndex | string {
    if (bytes.length % OFFSET_INDEX_ENTRY_BYTES !== 0) return 'its length is no multiple of 8'
    const count = bytes.length / OFFSET_INDEX_ENTRY_BYTES
    const index = new OffsetIndex(baseOffset)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let i = 0; i < count; i++) {
      const relative = view.getInt32(8 * i)
      const position = view.getInt32(8 * i + 4)
      if (relative === 0 && position === 0 && (i > 0 || isZero(bytes))) {
        if (!isZero(bytes.subarray(8 * i))) return `entry ${i} is empty but entries follow`
        break
      }
      if (!index.#fits(relative, position)) return `entry ${i} is not above the one before`
      index.#push(relative, position)
    }
    return index
  }

  get count(): number {
    return this.#count
  }

  /** Memory in use. */
  get byteLength(): number {
    return this.#entries.byteLength
  }

  /** The batch that ends with `lastOffset` starts at `position`; both lie above those of the last entry. */
  append(lastOffset: Offset, position: number): void {
    const relative = lastOffset - this.baseOffset
    assert(this.#fits(relative, position), 'entries of an offset index ascend and fit 31 bits')
    this.#push(relative, position)
  }

  /** Start of the last indexed batch that ends at or before `offset`: reading from there on finds it. */
  lookup(offset: Offset): number {
    const slot = this.#slot(offset)
    return slot < 0 ? 0 : this.#entries[2 * slot + 1]!
  }

  entry(slot: number): { readonly offset: Offset; readonly position: number } {
    assert(slot >= 0 && slot < this.#count, 'the entry exists')
    return {
      offset: (this.baseOffset + this.#entries[2 * slot]!) as Offset,
      position: this.#entries[2 * slot + 1]!,
    }
  }

  /** Removes the entries of batches that reach `offset`. */
  truncateTo(offset: Offset): void {
    this.#count = this.#slot((offset - 1) as Offset) + 1
  }

  /** The entries from number `from` on as they lie on disk. */
  encode(from = 0): Buffer {
    const bytes = Buffer.allocUnsafe(OFFSET_INDEX_ENTRY_BYTES * (this.#count - from))
    for (let i = 2 * from; i < 2 * this.#count; i++) bytes.writeInt32BE(this.#entries[i]!, 4 * (i - 2 * from))
    return bytes
  }

  /** Number of the last entry whose offset is not above `offset`, -1 where there is none. */
  #slot(offset: Offset): number {
    const relative = offset - this.baseOffset
    let low = 0
    let high = this.#count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#entries[2 * middle]! <= relative) low = middle + 1
      else high = middle
    }
    return low - 1
  }

  #fits(relative: number, position: number): boolean {
    if (relative > 0x7fff_ffff || position > 0x7fff_ffff || position < 0) return false
    const last = 2 * (this.#count - 1)
    return last < 0 ? relative >= 0 : relative > this.#entries[last]! && position > this.#entries[last + 1]!
  }

  #push(relative: number, position: number): void {
    if (2 * this.#count === this.#entries.length) {
      const grown = new Int32Array(Math.max(2 * FIRST_CAPACITY, 2 * this.#entries.length))
      grown.set(this.#entries)
      this.#entries = grown
    }
    this.#entries[2 * this.#count] = relative
    this.#entries[2 * this.#count + 1] = position
    this.#count++
  }
}

export function isZero(bytes: Uint8Array): boolean {
  for (const byte of bytes) if (byte !== 0) return false
  return true
}
