/**
 * The bytes of protocol buffers, as far as etcd's messages need them: varints and fields with a length. It knows no
 * message. What comes from outside and is not sound ends in a `ProtobufError`, never in a loop or in memory that was
 * only declared.
 *
 * https://protobuf.dev/programming-guides/encoding/
 */

/** Bytes that are not a message. */
export class ProtobufError extends Error {
  override readonly name = 'ProtobufError'
}

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const FIXED32 = 5

const TWO_TO_32 = 2 ** 32
const INITIAL_BYTES = 256

/**
 * Builds one message. Fields with the default value (0, false, no bytes) are left out, as proto3 wants it - but for
 * members of a `oneof`, which are there to be chosen: write them with `message`, or with `always`.
 */
export class ProtobufWriter {
  #bytes = Buffer.allocUnsafe(INITIAL_BYTES)
  #length = 0

  /** int64, int32, enum and bool. A bigint for ids that use all 64 bits. */
  integer(field: number, value: number | bigint, always = false): this {
    if (!always && (value === 0 || value === 0n)) return this
    this.#tag(field, VARINT)
    if (typeof value === 'number' && value >= 0) this.#varint(value)
    else this.#varint64(BigInt.asUintN(64, BigInt(value)))
    return this
  }

  flag(field: number, value: boolean): this {
    return this.integer(field, value ? 1 : 0)
  }

  bytes(field: number, value: Uint8Array, always = false): this {
    if (!always && value.length === 0) return this
    this.#tag(field, LENGTH)
    this.#varint(value.length)
    this.#reserve(value.length)
    this.#bytes.set(value, this.#length)
    this.#length += value.length
    return this
  }

  text(field: number, value: string, always = false): this {
    if (!always && value === '') return this
    const length = Buffer.byteLength(value)
    this.#tag(field, LENGTH)
    this.#varint(length)
    this.#reserve(length)
    this.#length += this.#bytes.write(value, this.#length)
    return this
  }

  /** A message within this one; written even if it is empty. */
  message(field: number, message: ProtobufWriter): this {
    return this.bytes(field, message.finish(), true)
  }

  /** The message so far; valid until something is added. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #tag(field: number, type: number): void {
    this.#varint(field * 8 + type)
  }

  #varint(value: number): void {
    this.#reserve(10)
    let rest = value
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#length++] = rest
  }

  #varint64(value: bigint): void {
    this.#reserve(10)
    let rest = value
    while (rest > 0x7fn) {
      this.#bytes[this.#length++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#bytes[this.#length++] = Number(rest)
  }

  #reserve(length: number): void {
    if (this.#length + length <= this.#bytes.length) return
    const bytes = Buffer.allocUnsafe(Math.max(2 * this.#bytes.length, this.#length + length))
    this.#bytes.copy(bytes, 0, 0, this.#length)
    this.#bytes = bytes
  }
}

/** Walks through the fields of one message; the value of each is read at most once, or passed over. */
export class ProtobufReader {
  readonly #bytes: Buffer
  #at = 0
  #type = VARINT
  #isPending = false

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** The number of the next field, or 0 at the end. */
  next(): number {
    if (this.#isPending) this.#skip()
    if (this.#at === this.#bytes.length) return 0
    const tag = this.#varint()
    this.#type = tag % 8
    this.#isPending = true
    const field = Math.floor(tag / 8)
    if (field === 0) throw new ProtobufError('a field has the number 0')
    return field
  }

  /** An integer of -2^53 .. 2^53; beyond that the bytes are refused. */
  integer(): number {
    this.#expect(VARINT)
    const value = BigInt.asIntN(64, this.#varint64())
    const number = Number(value)
    if (!Number.isSafeInteger(number)) throw new ProtobufError(`${value} is beyond what is counted here`)
    return number
  }

  /** All 64 bits, signed. */
  integer64(): bigint {
    this.#expect(VARINT)
    return BigInt.asIntN(64, this.#varint64())
  }

  flag(): boolean {
    return this.integer() !== 0
  }

  /** A view of the message's own bytes. */
  bytes(): Buffer {
    this.#expect(LENGTH)
    return this.#take(this.#varint())
  }

  text(): string {
    return this.bytes().toString('utf8')
  }

  message(): ProtobufReader {
    return new ProtobufReader(this.bytes())
  }

  #expect(type: number): void {
    if (!this.#isPending || this.#type !== type) {
      throw new ProtobufError(`a field is of type ${this.#type} where ${type} was to be`)
    }
    this.#isPending = false
  }

  #skip(): void {
    this.#isPending = false
    if (this.#type === VARINT) this.#varint64()
    else if (this.#type === LENGTH) this.#take(this.#varint())
    else if (this.#type === FIXED64) this.#take(8)
    else if (this.#type === FIXED32) this.#take(4)
    else throw new ProtobufError(`a field is of the unknown type ${this.#type}`)
  }

  #take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new ProtobufError('a field reaches beyond its message')
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** For tags and lengths: below 2^32. */
  #varint(): number {
    const first = this.#bytes[this.#at]
    if (first !== undefined && first < 0x80) {
      this.#at++
      return first
    }
    const value = this.#varint64()
    if (value >= TWO_TO_32) throw new ProtobufError('a tag or a length is beyond 32 bits')
    return Number(value)
  }

  #varint64(): bigint {
    // Almost all numbers fit into 48 bits, and those are read without a bigint for each byte.
    let value = 0
    let factor = 1
    for (let length = 0; length < 10; length++) {
      const byte = this.#bytes[this.#at + length]
      if (byte === undefined) throw new ProtobufError('a number reaches beyond its message')
      if (length === 7) return this.#longVarint64()
      value += (byte & 0x7f) * factor
      factor *= 128
      if (byte >= 0x80) continue
      this.#at += length + 1
      return BigInt(value)
    }
    throw new ProtobufError('a number has more than ten bytes')
  }

  #longVarint64(): bigint {
    let value = 0n
    for (let length = 0; length < 10; length++) {
      const byte = this.#bytes[this.#at + length]
      if (byte === undefined) throw new ProtobufError('a number reaches beyond its message')
      value |= BigInt(byte & 0x7f) << BigInt(7 * length)
      if (byte >= 0x80) continue
      this.#at += length + 1
      return BigInt.asUintN(64, value)
    }
    throw new ProtobufError('a number has more than ten bytes')
  }
}
