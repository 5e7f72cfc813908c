/**
 * Writes the primitives of the protocol into blocks that grow as needed, and takes large foreign slices by reference,
 * so that records go from where they are to the socket without being copied. What it has made is a list of chunks.
 * A value that does not fit its field is refused with `UnencodableError`, never truncated.
 */
import { UnencodableError } from './errors.ts'

/** A slice below this is cheaper to copy than to send as a chunk of its own. */
const COPY_BELOW_BYTES = 512
const SMALLEST_BLOCK_BYTES = 256
const LARGEST_BLOCK_BYTES = 64 * 1024
/** Blocks that several messages share are no larger: one message that nobody takes keeps all of its block. */
const SHARED_BLOCK_BYTES = 8 * 1024
/** Up to this length a loop over the characters beats two calls into the runtime. */
const SHORT_STRING_LENGTH = 40
const MAX_INT16 = 0x7fff
const MAX_INT32 = 0x7fff_ffff
const UUID_DIGITS = 32
const UUID_PATTERN = /^[0-9a-fA-F]{32}$/

interface TaggedField {
  readonly tag: number
  readonly data: Uint8Array
}

export class Writer {
  #block: Buffer
  /** Where the bytes of `#block` that are not yet in `#chunks` begin. */
  #from = 0
  #position = 0
  #sealed: Uint8Array[] = []
  #sealedBytes = 0

  /** `expectedBytes`: a guess at what will be written, to be right about the first block. */
  constructor(expectedBytes = SMALLEST_BLOCK_BYTES) {
    this.#block = Buffer.allocUnsafe(
      Math.min(Math.max(expectedBytes, SMALLEST_BLOCK_BYTES), LARGEST_BLOCK_BYTES),
    )
  }

  /** Bytes written so far, those by reference included. */
  get byteLength(): number {
    return this.#sealedBytes + this.#position - this.#from
  }

  /**
   * All that was written, in order. Slices that were taken by reference are in it as they came: they must not change
   * until the chunks have been sent. The writer may go on, and a later call returns the earlier chunks again.
   */
  chunks(): Uint8Array[] {
    this.#seal()
    return this.#sealed.slice()
  }

  /**
   * A message is complete: returns its chunks and forgets them, so that the next one follows in the same block. Making
   * a writer and a block for each small message would cost more than writing it.
   */
  take(): Uint8Array[] {
    this.#seal()
    const chunks = this.#sealed
    this.discard()
    return chunks
  }

  /** Forgets what was written since the last `take`. */
  discard(): void {
    this.#sealed = []
    this.#sealedBytes = 0
    this.#from = this.#position
    if (this.#block.length <= SHARED_BLOCK_BYTES) return
    // Not of Node's pool, whose own blocks are larger in some versions.
    this.#block = Buffer.allocUnsafeSlow(SHARED_BLOCK_BYTES)
    this.#from = this.#position = 0
  }

  /** The same in one piece: for tests, tools and small things. */
  concat(): Buffer {
    return Buffer.concat(this.chunks())
  }

  #seal(): void {
    if (this.#position === this.#from) return
    this.#sealed.push(this.#block.subarray(this.#from, this.#position))
    this.#sealedBytes += this.#position - this.#from
    this.#from = this.#position
  }

  /** Makes room for `length` contiguous bytes, moves past them and returns where they begin in `#block`. */
  #claim(length: number): number {
    const at = this.#position
    if (length <= this.#block.length - at) {
      this.#position = at + length
      return at
    }
    this.#seal()
    this.#block = Buffer.allocUnsafe(Math.max(length, Math.min(this.#block.length * 2, LARGEST_BLOCK_BYTES)))
    this.#from = 0
    this.#position = length
    return 0
  }

  int8(value: number): void {
    if ((value << 24) >> 24 !== value) throw unfit(value, 'an 8-bit integer')
    const at = this.#claim(1)
    this.#block[at] = value
  }

  int16(value: number): void {
    if ((value << 16) >> 16 !== value) throw unfit(value, 'a 16-bit integer')
    const at = this.#claim(2)
    const block = this.#block
    block[at] = value >> 8
    block[at + 1] = value
  }

  uint16(value: number): void {
    if ((value & 0xffff) !== value) throw unfit(value, 'an unsigned 16-bit integer')
    const at = this.#claim(2)
    const block = this.#block
    block[at] = value >> 8
    block[at + 1] = value
  }

  int32(value: number): void {
    if ((value | 0) !== value) throw unfit(value, 'a 32-bit integer')
    const at = this.#claim(4)
    putInt32(this.#block, at, value)
  }

  uint32(value: number): void {
    if (value >>> 0 !== value) throw unfit(value, 'an unsigned 32-bit integer')
    const at = this.#claim(4)
    putInt32(this.#block, at, value)
  }

  /** A safe integer, +-(2^53-1). */
  int64(value: number): void {
    if (!Number.isSafeInteger(value)) throw unfit(value, 'a 64-bit integer within +-2^53')
    const at = this.#claim(8)
    const high = Math.floor(value / 0x1_0000_0000)
    putInt32(this.#block, at, high)
    putInt32(this.#block, at + 4, value - high * 0x1_0000_0000)
  }

  bigInt64(value: bigint): void {
    if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value) throw unfit(value, 'a 64-bit bigint')
    const at = this.#claim(8)
    this.#block.writeBigInt64BE(value, at)
  }

  float64(value: number): void {
    if (typeof value !== 'number') throw unfit(value, 'a number')
    const at = this.#claim(8)
    this.#block.writeDoubleBE(value, at)
  }

  bool(value: boolean): void {
    if (typeof value !== 'boolean') throw unfit(value, 'a boolean')
    const at = this.#claim(1)
    this.#block[at] = value ? 1 : 0
  }

  /** 32 hexadecimal digits without dashes. */
  uuid(value: string): void {
    if (typeof value !== 'string' || !UUID_PATTERN.test(value))
      throw unfit(value, 'a UUID of 32 hexadecimal digits')
    const at = this.#claim(UUID_DIGITS / 2)
    this.#block.write(value, at, 'hex')
  }

  /** 0 .. 2^32-1 in groups of seven bits, the lowest first. */
  uvarint(value: number): void {
    if (value >>> 0 !== value) throw unfit(value, 'an unsigned 32-bit integer')
    let rest = value
    const at = this.#claim(uvarintBytes(value))
    const block = this.#block
    let index = at
    while (rest > 0x7f) {
      block[index++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    block[index] = rest
  }

  string(value: string): void {
    if (typeof value !== 'string') throw unfit(value, 'a string')
    if (value.length <= SHORT_STRING_LENGTH) {
      const at = this.#claim(2 + value.length)
      if (putAscii(this.#block, at + 2, value)) {
        this.#block[at] = 0
        this.#block[at + 1] = value.length
        return
      }
      this.#position = at
    }
    const length = Buffer.byteLength(value)
    if (length > MAX_INT16) throw unfit(`${length} bytes`, 'a string of at most 32767 bytes')
    this.int16(length)
    this.#text(value, length)
  }

  nullableString(value: string | null): void {
    if (value === null) this.int16(-1)
    else this.string(value)
  }

  compactString(value: string): void {
    if (typeof value !== 'string') throw unfit(value, 'a string')
    if (value.length <= SHORT_STRING_LENGTH) {
      const at = this.#claim(1 + value.length)
      if (putAscii(this.#block, at + 1, value)) {
        this.#block[at] = value.length + 1
        return
      }
      this.#position = at
    }
    const length = Buffer.byteLength(value)
    if (length > MAX_INT16) throw unfit(`${length} bytes`, 'a string of at most 32767 bytes')
    this.uvarint(length + 1)
    this.#text(value, length)
  }

  compactNullableString(value: string | null): void {
    if (value === null) this.uvarint(0)
    else this.compactString(value)
  }

  #text(value: string, length: number): void {
    const at = this.#claim(length)
    this.#block.write(value, at, length, 'utf8')
  }

  /** The bytes alone, without a length. By reference where that pays: they must not change until they are sent. */
  raw(bytes: Uint8Array): void {
    if (!(bytes instanceof Uint8Array)) throw unfit(bytes, 'a Uint8Array')
    if (bytes.length < COPY_BELOW_BYTES) {
      const at = this.#claim(bytes.length)
      this.#block.set(bytes, at)
      return
    }
    this.#seal()
    this.#sealed.push(bytes)
    this.#sealedBytes += bytes.length
  }

  bytes(value: Uint8Array): void {
    this.int32(lengthOf(value))
    this.raw(value)
  }

  nullableBytes(value: Uint8Array | null): void {
    if (value === null) this.int32(-1)
    else this.bytes(value)
  }

  compactBytes(value: Uint8Array): void {
    this.uvarint(lengthOf(value) + 1)
    this.raw(value)
  }

  compactNullableBytes(value: Uint8Array | null): void {
    if (value === null) this.uvarint(0)
    else this.compactBytes(value)
  }

  /** Record batches, in one piece or in several that follow each other. */
  records(value: Uint8Array | readonly Uint8Array[] | null): void {
    if (value === null) this.int32(-1)
    else if (value instanceof Uint8Array) this.bytes(value)
    else {
      this.int32(totalLength(value))
      for (const slice of value) this.raw(slice)
    }
  }

  compactRecords(value: Uint8Array | readonly Uint8Array[] | null): void {
    if (value === null) this.uvarint(0)
    else if (value instanceof Uint8Array) this.compactBytes(value)
    else {
      this.uvarint(totalLength(value) + 1)
      for (const slice of value) this.raw(slice)
    }
  }

  /** The length of an array that follows. */
  arrayLength(array: readonly unknown[]): void {
    if (!Array.isArray(array)) throw unfit(array, 'an array')
    this.int32(array.length)
  }

  compactArrayLength(array: readonly unknown[]): void {
    if (!Array.isArray(array)) throw unfit(array, 'an array')
    this.uvarint(array.length + 1)
  }

  nullableArrayLength(array: readonly unknown[] | null): void {
    if (array === null) this.int32(-1)
    else this.arrayLength(array)
  }

  compactNullableArrayLength(array: readonly unknown[] | null): void {
    if (array === null) this.uvarint(0)
    else this.compactArrayLength(array)
  }

  /** The marker before a structure that may be null. True where the structure must follow. */
  presence(value: unknown): boolean {
    this.int8(value === null ? -1 : 1)
    return value !== null
  }

  /** A writer for something whose size goes before it. */
  nested(): Writer {
    return new Writer()
  }

  taggedField(tag: number, content: Writer): void {
    this.uvarint(tag)
    this.uvarint(content.byteLength)
    this.append(content)
  }

  /** Count and content of the tagged fields of a structure that has no known ones. */
  unknownTaggedFields(fields: readonly TaggedField[] | undefined): void {
    if (fields === undefined) {
      this.uvarint(0)
      return
    }
    this.uvarint(fields.length)
    this.unknownTaggedFieldsBelow(fields, 0, Number.POSITIVE_INFINITY)
  }

  /**
   * Writes the fields from index `from` on whose tag is below `tag`, and returns the index of the first that is not.
   * Tags must ascend, and none may be `tag` itself: that one is known, and has its own place.
   */
  unknownTaggedFieldsBelow(fields: readonly TaggedField[] | undefined, from: number, tag: number): number {
    if (fields === undefined) return from
    let index = from
    for (; index < fields.length; index++) {
      const field = fields[index]!
      if (field.tag === tag || (index > 0 && field.tag <= fields[index - 1]!.tag)) {
        throw new UnencodableError(
          `The unknown tagged field ${field.tag} is known, or comes twice, or out of order`,
        )
      }
      if (field.tag > tag) break
      this.uvarint(field.tag)
      this.#sized(field.data)
    }
    return index
  }

  #sized(data: Uint8Array): void {
    this.uvarint(lengthOf(data))
    this.raw(data)
  }

  /** All that another writer has written, slices by reference included. */
  append(other: Writer): void {
    for (const chunk of other.chunks()) this.raw(chunk)
  }

  /** Four bytes to be filled in later: a size that is known only when what it measures has been written. */
  reserveInt32(): (value: number) => void {
    const at = this.#claim(4)
    const block = this.#block
    return value => putInt32(block, at, value)
  }
}

/** Bytes that `value` (0 .. 2^32-1) takes as an unsigned varint. */
export function uvarintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  return value < 0x1000_0000 ? 4 : 5
}

function putInt32(block: Buffer, at: number, value: number): void {
  block[at] = value >>> 24
  block[at + 1] = value >>> 16
  block[at + 2] = value >>> 8
  block[at + 3] = value
}

/** False, with rubbish written, where a character is not ASCII. */
function putAscii(block: Buffer, at: number, value: string): boolean {
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index)
    if (code > 0x7f) return false
    block[at + index] = code
  }
  return true
}

function lengthOf(value: Uint8Array): number {
  if (!(value instanceof Uint8Array)) throw unfit(value, 'a Uint8Array')
  return value.length
}

function totalLength(slices: readonly Uint8Array[]): number {
  if (!Array.isArray(slices)) throw unfit(slices, 'a Uint8Array or an array of them')
  let length = 0
  for (const slice of slices) length += lengthOf(slice)
  if (length > MAX_INT32) throw unfit(`${length} bytes`, 'records of less than 2 GiB')
  return length
}

function unfit(value: unknown, wanted: string): UnencodableError {
  const shown = typeof value === 'object' && value !== null ? 'an object' : String(value)
  return new UnencodableError(`${shown.length > 80 ? `${shown.slice(0, 80)}...` : shown} is not ${wanted}`)
}
