/**
 * Reads the primitives of the protocol from a range of one contiguous buffer. Every read is checked against the end
 * of the range, and every count against what could possibly follow, before anything is allocated; what does not fit
 * is a `MalformedError`. It never copies: byte fields are slices of the buffer it was given.
 */
import { MalformedError } from './errors.ts'
import { type TopicId } from './types.ts'

/**
 * Elements of arrays and tagged fields that one message may hold in all, unless whoever reads it allows more. A frame
 * of many megabytes can name structures of two bytes each, which cost fifty in memory, and a microsecond or two
 * with all
 * that is done for each of them: this bounds for how long a stranger can keep the event loop with one frame. A request
 * that does honest work with so many partitions or topics can be two requests.
 */
const DEFAULT_MAX_ELEMENTS = 1 << 15

const UUID_BYTES = 16
const MAX_STRING_BYTES = 0x7fff

export class Reader {
  readonly buffer: Buffer
  /** Index in `buffer` of the next byte to read. */
  position: number
  /** Index in `buffer` just past the last byte that may be read. */
  readonly end: number
  readonly #maxElements: number
  #elementsLeft: number

  /** Reads `bytes` from `start` up to `end`. The bytes must not change for as long as slices of them are in use. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length, maxElements = DEFAULT_MAX_ELEMENTS) {
    if (!(start >= 0 && start <= end && end <= bytes.length)) {
      throw new RangeError(`A reader over [${start}, ${end}) of ${bytes.length} bytes`)
    }
    this.buffer = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.position = start
    this.end = end
    this.#maxElements = maxElements
    this.#elementsLeft = maxElements
  }

  /** Bytes that are left to read. */
  get remaining(): number {
    return this.end - this.position
  }

  /** Moves past `length` bytes and returns where they began. */
  #advance(length: number): number {
    const start = this.position
    if (length > this.end - start) throw cutShort(length, this)
    this.position = start + length
    return start
  }

  int8(): number {
    const at = this.#advance(1)
    return (this.buffer[at]! << 24) >> 24
  }

  int16(): number {
    const at = this.#advance(2)
    const { buffer } = this
    return ((buffer[at]! << 24) >> 16) | buffer[at + 1]!
  }

  uint16(): number {
    const at = this.#advance(2)
    const { buffer } = this
    return (buffer[at]! << 8) | buffer[at + 1]!
  }

  int32(): number {
    const at = this.#advance(4)
    const { buffer } = this
    return (buffer[at]! << 24) | (buffer[at + 1]! << 16) | (buffer[at + 2]! << 8) | buffer[at + 3]!
  }

  uint32(): number {
    return this.int32() >>> 0
  }

  /** A 64-bit integer within +-(2^53-1); what lies outside is malformed. */
  int64(): number {
    const high = this.int32()
    const low = this.int32() >>> 0
    const value = high * 0x1_0000_0000 + low
    if (!Number.isSafeInteger(value)) {
      throw new MalformedError(`A 64-bit integer at byte ${this.position - 8} is outside of +-2^53`)
    }
    return value
  }

  /** A 64-bit integer in its full range. */
  bigInt64(): bigint {
    return this.buffer.readBigInt64BE(this.#advance(8))
  }

  float64(): number {
    return this.buffer.readDoubleBE(this.#advance(8))
  }

  bool(): boolean {
    return this.buffer[this.#advance(1)] !== 0
  }

  uuid(): TopicId {
    const at = this.#advance(UUID_BYTES)
    return this.buffer.toString('hex', at, at + UUID_BYTES) as TopicId
  }

  /**
   * An unsigned varint of at most 32 bits. Padding within the five bytes is read, as Kafka reads it: writers that
   * reserve room for a length before they know it do pad.
   */
  uvarint(): number {
    const { buffer, end } = this
    let at = this.position
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      if (at >= end) throw cutShort(at - this.position + 1, this)
      const byte = buffer[at++]!
      if (shift === 28 && byte > 0x0f) break
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        this.position = at
        return value >>> 0
      }
    }
    throw new MalformedError(`The varint at byte ${this.position} has more than 32 bits`)
  }

  /** The next `length` bytes, not copied. */
  slice(length: number): Buffer {
    if (length < 0) throw negative('byte sequence', length, this)
    const at = this.#advance(length)
    return this.buffer.subarray(at, at + length)
  }

  /** The next `length` bytes as UTF-8; what is not UTF-8 becomes U+FFFD, as in Kafka. */
  #text(length: number): string {
    if (length === 0) return ''
    const at = this.#advance(length)
    return this.buffer.toString('utf8', at, at + length)
  }

  string(): string {
    const length = this.int16()
    if (length < 0) throw negative('string', length, this)
    return this.#text(length)
  }

  nullableString(): string | null {
    const length = this.int16()
    if (length >= 0) return this.#text(length)
    if (length !== -1) throw negative('string', length, this)
    return null
  }

  compactString(): string {
    const length = this.uvarint() - 1
    if (length < 0) throw negative('string', length, this)
    return this.#compactText(length)
  }

  compactNullableString(): string | null {
    const length = this.uvarint() - 1
    return length < 0 ? null : this.#compactText(length)
  }

  /** A compact length could say more, but a string keeps the limit that it has in the older encoding. */
  #compactText(length: number): string {
    if (length > MAX_STRING_BYTES)
      throw new MalformedError(`A string of ${length} bytes at byte ${this.position}`)
    return this.#text(length)
  }

  bytes(): Buffer {
    return this.slice(this.int32())
  }

  nullableBytes(): Buffer | null {
    const length = this.int32()
    return length === -1 ? null : this.slice(length)
  }

  compactBytes(): Buffer {
    return this.slice(this.uvarint() - 1)
  }

  compactNullableBytes(): Buffer | null {
    const length = this.uvarint() - 1
    return length < 0 ? null : this.slice(length)
  }

  /** The length of an array whose elements take `elementBytes` or more each (1 ..). */
  arrayLength(elementBytes: number): number {
    return this.#count(this.int32(), elementBytes)
  }

  /** The same, or -1 for null. */
  nullableArrayLength(elementBytes: number): number {
    const count = this.int32()
    return count === -1 ? -1 : this.#count(count, elementBytes)
  }

  compactArrayLength(elementBytes: number): number {
    return this.#count(this.uvarint() - 1, elementBytes)
  }

  compactNullableArrayLength(elementBytes: number): number {
    const count = this.uvarint() - 1
    return count < 0 ? -1 : this.#count(count, elementBytes)
  }

  /** How many tagged fields follow; each takes two bytes or more. */
  taggedFieldCount(): number {
    const count = this.uvarint()
    return count === 0 ? 0 : this.#count(count, 2)
  }

  /** The next tag, which must be above the one before it. */
  tagAfter(previous: number): number {
    const tag = this.uvarint()
    if (tag <= previous) {
      throw new MalformedError(
        `Tagged field ${tag} after ${previous} at byte ${this.position}: tags must ascend`,
      )
    }
    return tag
  }

  /** Reads the size of a tagged field and returns the position where it ends. */
  taggedFieldEnd(): number {
    const size = this.uvarint()
    if (size > this.end - this.position) throw cutShort(size, this)
    return this.position + size
  }

  /** The tagged field that was to end at `end` has been read. */
  endTaggedField(end: number): void {
    if (this.position !== end) {
      throw new MalformedError(`A tagged field ends at byte ${this.position}, but its size says ${end}`)
    }
  }

  /** The tagged fields of a structure of which none is known; undefined where there are none. */
  unknownTaggedFields(): { tag: number; data: Uint8Array }[] | undefined {
    const count = this.taggedFieldCount()
    if (count === 0) return undefined
    const fields: { tag: number; data: Uint8Array }[] = []
    let tag = -1
    for (let left = count; left > 0; left--) {
      tag = this.tagAfter(tag)
      fields.push({ tag, data: this.slice(this.uvarint()) })
    }
    return fields
  }

  #count(count: number, elementBytes: number): number {
    if (count < 0) throw negative('array', count, this)
    if (count * elementBytes > this.end - this.position) {
      throw new MalformedError(
        `${count} elements of ${elementBytes} bytes or more at byte ${this.position}, but ${this.remaining} bytes are left`,
      )
    }
    this.#elementsLeft -= count
    if (this.#elementsLeft < 0) {
      throw new MalformedError(`More than ${this.#maxElements} elements in one message`)
    }
    return count
  }

  /** True for a structure that follows, false for null: the marker before a structure that may be null. */
  present(): boolean {
    const marker = this.int8()
    if (marker === 1) return true
    if (marker === -1) return false
    throw new MalformedError(
      `The marker of a structure at byte ${this.position - 1} is ${marker}, not 1 or -1`,
    )
  }

  /** To be called when all that was expected has been read: bytes that are left mean that the two sides disagree. */
  finish(): void {
    if (this.position !== this.end) {
      throw new MalformedError(
        `${this.remaining} bytes are left at byte ${this.position}, after the last field`,
      )
    }
  }
}

function cutShort(length: number, reader: Reader): MalformedError {
  return new MalformedError(
    `${length} bytes wanted at byte ${reader.position}, but ${reader.remaining} are left`,
  )
}

function negative(what: string, length: number, reader: Reader): MalformedError {
  return new MalformedError(`The ${what} before byte ${reader.position} has the length ${length}`)
}
