/**
 * A walk over the records of one batch by their places in its (decompressed) body: which bytes are the key, whether
 * there is a value. Nothing is copied and no object made for a record, because compaction looks at every record of a
 * log, most of them more than once. What does not fit together ends in MalformedError.
 */
import { type BatchHeader, MIN_RECORD_BYTES } from '../../../client/protocol/batch.ts'
import { MalformedError } from '../../../client/protocol/errors.ts'

/** A number of 64 bits has 10 bytes at most, one of 32 bits 5. */
const LONGEST_VARLONG = 10
const LONGEST_VARINT = 5

export class RecordWalk {
  readonly body: Uint8Array
  /** Of the present record: where it begins, length field and all, and where it ends. */
  start = 0
  end = 0
  offsetDelta = 0
  /** Where the timestamp delta lies; `timestampDelta` reads it. */
  timestampAt = 0
  /** Behind the timestamp delta: from here on a record does not depend on the base timestamp of its batch. */
  restAt = 0
  /** -1: no key. */
  keyStart = -1
  keyEnd = -1
  hasValue = false
  readonly #lastOffsetDelta: number
  #left: number
  #at = 0

  /** `body` is what `header` announces, decompressed. */
  constructor(header: Pick<BatchHeader, 'recordCount' | 'lastOffsetDelta'>, body: Uint8Array) {
    const { recordCount } = header
    if (recordCount < 0 || recordCount * MIN_RECORD_BYTES > body.length) {
      throw new MalformedError(`a batch body of ${body.length} bytes cannot hold ${recordCount} records`)
    }
    this.body = body
    this.#left = recordCount
    this.#lastOffsetDelta = header.lastOffsetDelta
  }

  /** Goes on to the next record; false after the last. */
  next(): boolean {
    if (this.#left === 0) {
      if (this.end !== this.body.length) throw new MalformedError('bytes follow the last record of the batch')
      return false
    }
    this.#left--
    this.start = this.end
    this.#at = this.start
    const length = this.#varint(this.body.length)
    const end = this.#at + length
    if (length < MIN_RECORD_BYTES - 1 || end > this.body.length) {
      throw new MalformedError(`record length ${length} does not fit its batch`)
    }
    this.end = end
    this.timestampAt = this.#at + 1
    this.restAt = this.#behindVarlong(this.timestampAt)
    this.#at = this.restAt
    this.offsetDelta = this.#varint(end)
    const keyLength = this.#varint(end)
    this.keyStart = keyLength < 0 ? -1 : this.#at
    this.keyEnd = keyLength < 0 ? -1 : this.#at + keyLength
    if (keyLength > 0) this.#at += keyLength
    const isInBatch = this.offsetDelta >= 0 && this.offsetDelta <= this.#lastOffsetDelta
    if (!isInBatch || keyLength < -1 || this.#at > end) {
      throw new MalformedError('offset or key of a record do not fit its batch')
    }
    const valueLength = this.#varint(end)
    this.hasValue = valueLength >= 0
    if (valueLength < -1 || this.#at + Math.max(0, valueLength) >= end) {
      throw new MalformedError('the value of a record does not fit it')
    }
    return true
  }

  get hasKey(): boolean {
    return this.keyStart >= 0
  }

  /** Of the present record, to the base timestamp of the batch. */
  get timestampDelta(): number {
    const { body } = this
    let low = 0
    let at = this.timestampAt
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = body[at++]!
      low |= (byte & 0x7f) << shift
      if (byte < 0x80) return (low >>> 1) ^ -(low & 1)
    }
    let big = BigInt(low)
    for (let shift = 28n; ; shift += 7n) {
      const byte = body[at++]!
      big |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return Number((big >> 1n) ^ -(big & 1n))
    }
  }

  #behindVarlong(start: number): number {
    for (let at = start; at < this.end && at < start + LONGEST_VARLONG; at++) {
      if (this.body[at]! < 0x80) return at + 1
    }
    throw new MalformedError('the timestamp of a record does not end')
  }

  #varint(end: number): number {
    const { body } = this
    let value = 0
    for (let i = 0; i < LONGEST_VARINT && this.#at < end; i++) {
      const byte = body[this.#at++]!
      value |= (byte & 0x7f) << (7 * i)
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1)
    }
    throw new MalformedError('a number in a record does not end')
  }
}
