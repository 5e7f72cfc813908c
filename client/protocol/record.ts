/**
 * Records inside a batch of format 2: building a batch from records, and reading the records of a batch. Used by
 * clients and by the few places of the broker that write records themselves (markers, internal topics); never on the
 * broker's way of a produced batch.
 *
 * Reading trusts nothing: every length and count is held against the bytes that are there before anything is
 * allocated, and a lie ends in MalformedError. Keys and values are slices of the batch (or of its decompressed body);
 * they live as long as that memory does.
 */

import { assert } from './assert.ts'
import {
  ATTRIBUTE_CONTROL,
  ATTRIBUTE_LOG_APPEND_TIME,
  ATTRIBUTE_TRANSACTIONAL,
  BATCH_HEADER_BYTES,
  type BatchHeader,
  MIN_RECORD_BYTES,
  NO_SEQUENCE,
  readBatchHeader,
  stampChecksum,
  validateFrame,
  writeBatchHeader,
} from './batch.ts'
import { CODEC_NAMES, Codec, type CodecName, compress, decompress } from './compression.ts'
import { MalformedError } from './errors.ts'
import {
  type LeaderEpoch,
  NO_LEADER_EPOCH,
  NO_PRODUCER_EPOCH,
  NO_PRODUCER_ID,
  type Offset,
  type ProducerEpoch,
  type ProducerId,
} from './types.ts'

export interface RecordHeader {
  readonly key: string
  readonly value: Buffer | null
}

/** A record as it was read. Null and empty are different things, for key and value alike. */
export interface LogRecord {
  readonly offset: Offset
  /** Milliseconds since 1970; that of the append where the batch has LogAppendTime. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
}

/** Text is written as UTF-8. */
export type RecordBytes = Uint8Array | string | null

export interface RecordHeaderInput {
  readonly key: string
  readonly value: RecordBytes
}

export interface RecordInput {
  readonly key?: RecordBytes
  readonly value: RecordBytes
  readonly headers?: readonly RecordHeaderInput[]
  readonly timestamp: number
}

/** What a batch says about itself; everything has the default of a plain producer's batch. */
export interface BatchOptions {
  readonly codec?: CodecName
  /** In the codec's own scale; absent is its default. */
  readonly level?: number
  readonly baseOffset?: Offset
  readonly leaderEpoch?: LeaderEpoch
  readonly producerId?: ProducerId
  readonly producerEpoch?: ProducerEpoch
  readonly baseSequence?: number
  readonly isTransactional?: boolean
  readonly isControl?: boolean
  /** Sets LogAppendTime with this time. */
  readonly logAppendTimeMs?: number
}

const NO_HEADERS: readonly never[] = Object.freeze([])
const LARGEST_INT32 = 0x7fff_ffff
const NO_BUFFER = Buffer.alloc(0)

// --------------------------------------------------------------------------------------- building

function byteLengthOf(bytes: RecordBytes): number {
  if (bytes === null) return 0
  return typeof bytes === 'string' ? Buffer.byteLength(bytes) : bytes.length
}

function unsignedVarintBytes(value: number): number {
  if (value < 0x80) return 1
  if (value < 0x4000) return 2
  if (value < 0x20_0000) return 3
  return value < 0x1000_0000 ? 4 : 5
}

/** Bytes of a length or count (0 .. 2^31-1) as a zigzag varint. */
function lengthVarintBytes(length: number): number {
  return unsignedVarintBytes((length << 1) >>> 0)
}

function timestampVarintBytes(delta: number): number {
  if (delta >= -0x4000_0000 && delta < 0x4000_0000)
    return unsignedVarintBytes(((delta << 1) ^ (delta >> 31)) >>> 0)
  let rest = zigzag64(delta)
  let length = 0
  do {
    length++
    rest >>= 7n
  } while (rest > 0n)
  return length
}

function zigzag64(value: number): bigint {
  const big = BigInt(value)
  return BigInt.asUintN(64, (big << 1n) ^ (big >> 63n))
}

/**
 * The most bytes that a record can take in a batch: to decide whether it still fits before it is appended. Exceeds
 * the exact size by less than 20 bytes.
 */
export function recordSizeBound(
  key: RecordBytes,
  value: RecordBytes,
  headers: readonly RecordHeaderInput[] = NO_HEADERS,
): number {
  // Varints at their longest: record length 5, timestamp 10, offset 5, plus the attributes; the rest is exact.
  return 21 + contentBytes(key, value, headers)
}

/** Bytes from the key's length to the end of the headers. */
function contentBytes(key: RecordBytes, value: RecordBytes, headers: readonly RecordHeaderInput[]): number {
  const keyBytes = byteLengthOf(key)
  const valueBytes = byteLengthOf(value)
  let size = lengthVarintBytes(keyBytes) + keyBytes + lengthVarintBytes(valueBytes) + valueBytes
  size += lengthVarintBytes(headers.length)
  for (const header of headers) {
    const headerKeyBytes = Buffer.byteLength(header.key)
    const headerValueBytes = byteLengthOf(header.value)
    size += lengthVarintBytes(headerKeyBytes) + headerKeyBytes
    size += lengthVarintBytes(headerValueBytes) + headerValueBytes
  }
  return size
}

/**
 * Gathers records into one batch. Each record is encoded once, at `append`, into one growing buffer; `seal` fills in
 * the header. A builder may be used again after `seal`: an uncompressed batch takes the buffer with it, a compressed
 * one leaves it to the next batch.
 */
export class BatchBuilder {
  #buffer: Buffer
  #end = BATCH_HEADER_BYTES
  #recordCount = 0
  #baseTimestamp = 0
  #maxTimestamp = 0
  readonly #initialBytes: number

  /**
   * `initialBytes`: first size of the buffer; best what a full batch takes, as growing copies. `buffer`: memory to begin
   * with instead, the builder's from now on; a batch that fits in it lies at its begin.
   */
  constructor(initialBytes = 16 * 1024, buffer: Buffer | null = null) {
    this.#initialBytes = Math.max(initialBytes, BATCH_HEADER_BYTES)
    this.#buffer = buffer ?? Buffer.allocUnsafeSlow(this.#initialBytes)
  }

  get recordCount(): number {
    return this.#recordCount
  }

  /** Bytes of the batch if it were sealed now without compression. */
  get byteLength(): number {
    return this.#end
  }

  /** Returns the record's offset in the batch: 0, 1, 2 ... Key and value are copied. `timestamp` is an integer. */
  append(
    timestamp: number,
    key: RecordBytes,
    value: RecordBytes,
    headers: readonly RecordHeaderInput[] = NO_HEADERS,
  ): number {
    assert(Number.isSafeInteger(timestamp), 'a record timestamp is an integer')
    const offsetDelta = this.#recordCount
    if (offsetDelta === 0) {
      this.#baseTimestamp = timestamp
      this.#maxTimestamp = timestamp
    } else if (timestamp > this.#maxTimestamp) {
      this.#maxTimestamp = timestamp
    }
    const timestampDelta = timestamp - this.#baseTimestamp
    const bodyBytes =
      1 +
      timestampVarintBytes(timestampDelta) +
      lengthVarintBytes(offsetDelta) +
      contentBytes(key, value, headers)
    this.#reserve(5 + bodyBytes)
    this.#putVarint(bodyBytes)
    this.#buffer[this.#end++] = 0
    this.#putTimestampDelta(timestampDelta)
    this.#putVarint(offsetDelta)
    this.#putBytes(key)
    this.#putBytes(value)
    this.#putVarint(headers.length)
    for (const header of headers) {
      this.#putBytes(header.key)
      this.#putBytes(header.value)
    }
    this.#recordCount = offsetDelta + 1
    return offsetDelta
  }

  /**
   * Ends the batch and returns it; the builder is empty again. The batch belongs to the caller. At least one record.
   * Throws CodecUnavailableError when the codec does not load here.
   */
  seal(options: BatchOptions = {}): Buffer {
    assert(this.#recordCount > 0, 'a batch holds at least one record')
    const codec = options.codec ?? 'none'
    let batch: Buffer
    if (codec === 'none') {
      batch = this.#buffer.subarray(0, this.#end)
    } else {
      const body = compress(codec, this.#buffer.subarray(BATCH_HEADER_BYTES, this.#end), options.level)
      batch = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES + body.length)
      batch.set(body, BATCH_HEADER_BYTES)
    }
    writeBatchHeader(batch, 0, {
      baseOffset: options.baseOffset ?? (0 as Offset),
      byteLength: batch.length,
      leaderEpoch: options.leaderEpoch ?? NO_LEADER_EPOCH,
      attributes: attributesOf(codec, options),
      lastOffsetDelta: this.#recordCount - 1,
      baseTimestamp: this.#baseTimestamp,
      maxTimestamp: options.logAppendTimeMs ?? this.#maxTimestamp,
      producerId: options.producerId ?? NO_PRODUCER_ID,
      producerEpoch: options.producerEpoch ?? NO_PRODUCER_EPOCH,
      baseSequence: options.baseSequence ?? NO_SEQUENCE,
      recordCount: this.#recordCount,
    })
    stampChecksum(batch, 0)
    if (codec === 'none') this.#buffer = NO_BUFFER
    this.reset()
    return batch
  }

  /** Forgets the records appended so far. */
  reset(): void {
    this.#end = BATCH_HEADER_BYTES
    this.#recordCount = 0
  }

  #reserve(bytes: number): void {
    const wanted = this.#end + bytes
    if (wanted <= this.#buffer.length) return
    assert(wanted <= LARGEST_INT32, 'a batch is shorter than 2 GiB')
    const size = Math.max(wanted, this.#buffer.length * 2, this.#initialBytes)
    const grown = Buffer.allocUnsafeSlow(Math.min(size, LARGEST_INT32))
    grown.set(this.#buffer.subarray(0, this.#end))
    this.#buffer = grown
  }

  /** A length or count; -1 stands for null. */
  #putVarint(value: number): void {
    this.#putUnsignedVarint(((value << 1) ^ (value >> 31)) >>> 0)
  }

  #putUnsignedVarint(value: number): void {
    const buffer = this.#buffer
    let at = this.#end
    let rest = value
    while (rest > 0x7f) {
      buffer[at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    buffer[at++] = rest
    this.#end = at
  }

  #putTimestampDelta(delta: number): void {
    if (delta >= -0x4000_0000 && delta < 0x4000_0000) {
      this.#putVarint(delta)
      return
    }
    let rest = zigzag64(delta)
    while (rest > 0x7fn) {
      this.#buffer[this.#end++] = Number(rest & 0x7fn) | 0x80
      rest >>= 7n
    }
    this.#buffer[this.#end++] = Number(rest)
  }

  #putBytes(bytes: RecordBytes): void {
    if (bytes === null) {
      this.#putVarint(-1)
    } else if (typeof bytes === 'string') {
      const length = Buffer.byteLength(bytes)
      this.#putVarint(length)
      this.#end += this.#buffer.write(bytes, this.#end, length)
    } else {
      this.#putVarint(bytes.length)
      this.#buffer.set(bytes, this.#end)
      this.#end += bytes.length
    }
  }
}

function attributesOf(codec: CodecName, options: BatchOptions): number {
  let attributes: number = Codec[codec]
  if (options.logAppendTimeMs !== undefined) attributes |= ATTRIBUTE_LOG_APPEND_TIME
  if (options.isTransactional === true) attributes |= ATTRIBUTE_TRANSACTIONAL
  if (options.isControl === true) attributes |= ATTRIBUTE_CONTROL
  return attributes
}

/** A batch of these records, at least one. Belongs to the caller. */
export function encodeBatch(records: readonly RecordInput[], options: BatchOptions = {}): Buffer {
  let size = BATCH_HEADER_BYTES
  for (const record of records) size += recordSizeBound(record.key ?? null, record.value, record.headers)
  const builder = new BatchBuilder(size)
  for (const record of records)
    builder.append(record.timestamp, record.key ?? null, record.value, record.headers)
  return builder.seal(options)
}

// --------------------------------------------------------------------------------------- reading

/** The most that a batch may decompress to unless the caller says otherwise. */
export const DEFAULT_MAX_DECOMPRESSED_BYTES = 128 * 1024 * 1024

export interface ReadOptions {
  /** A batch that decompresses to more is refused with MalformedError. */
  readonly maxDecompressedBytes?: number
}

/**
 * Reads the records of one batch, one at a time. The constructor checks length and format and decompresses; the CRC is
 * not checked here (`validateBatch`).
 */
export class RecordReader {
  readonly header: BatchHeader
  readonly #body: Buffer
  #at: number
  #end: number
  #left: number

  constructor(bytes: Uint8Array, position = 0, options: ReadOptions = {}) {
    const problem = validateFrame(bytes, position, bytes.length)
    if (problem !== null) throw new MalformedError(`record batch refused: ${problem}`)
    const header = readBatchHeader(bytes, position)
    const packed = bufferOver(bytes, position + BATCH_HEADER_BYTES, position + header.byteLength)
    const codec = CODEC_NAMES[header.codecId]
    if (codec === undefined) throw new MalformedError(`unknown compression codec ${header.codecId}`)
    // Compaction may leave a batch without records, and then there is nothing to decompress.
    const body =
      codec === 'none' || packed.length === 0
        ? packed
        : decompress(codec, packed, options.maxDecompressedBytes ?? DEFAULT_MAX_DECOMPRESSED_BYTES)
    if (header.recordCount < 0 || header.recordCount * MIN_RECORD_BYTES > body.length) {
      throw new MalformedError(
        `record batch of ${body.length} bytes cannot hold ${header.recordCount} records`,
      )
    }
    this.header = header
    this.#body = body
    this.#at = 0
    this.#end = body.length
    this.#left = header.recordCount
  }

  /** The next record, or null after the last. Throws MalformedError. */
  next(): LogRecord | null {
    if (this.#left === 0) {
      if (this.#at !== this.#body.length)
        throw new MalformedError('bytes follow the last record of the batch')
      return null
    }
    this.#left--
    const bodyEnd = this.#body.length
    this.#end = bodyEnd
    const length = this.#varint()
    if (length < MIN_RECORD_BYTES - 1 || length > bodyEnd - this.#at) {
      throw new MalformedError(`record length ${length} does not fit the ${bodyEnd - this.#at} bytes left`)
    }
    const recordEnd = this.#at + length
    this.#end = recordEnd
    this.#at++ // attributes: none are defined
    const timestampDelta = this.#varlong()
    const offsetDelta = this.#varint()
    const header = this.header
    if (offsetDelta < 0 || offsetDelta > header.lastOffsetDelta) {
      throw new MalformedError(
        `record offset ${offsetDelta} lies outside its batch of ${header.lastOffsetDelta + 1}`,
      )
    }
    const key = this.#bytes()
    const value = this.#bytes()
    const headers = this.#headers()
    if (this.#at !== recordEnd) throw new MalformedError('a record is shorter than its length says')
    const timestamp = header.isLogAppendTime ? header.maxTimestamp : header.baseTimestamp + timestampDelta
    if (!Number.isSafeInteger(timestamp)) throw new MalformedError('a record timestamp is out of range')
    return { offset: (header.baseOffset + offsetDelta) as Offset, timestamp, key, value, headers }
  }

  #headers(): readonly RecordHeader[] {
    const count = this.#varint()
    if (count === 0) return NO_HEADERS
    // A header takes at least its two lengths.
    if (count < 0 || count * 2 > this.#end - this.#at) {
      throw new MalformedError(`${count} record headers do not fit the ${this.#end - this.#at} bytes left`)
    }
    const headers: RecordHeader[] = []
    for (let i = 0; i < count; i++) {
      const key = this.#bytes()
      if (key === null) throw new MalformedError('a record header has no key')
      headers.push({ key: key.toString(), value: this.#bytes() })
    }
    return headers
  }

  #bytes(): Buffer | null {
    const length = this.#varint()
    if (length < 0) {
      if (length === -1) return null
      throw new MalformedError(`negative length ${length} in a record`)
    }
    const start = this.#at
    if (length > this.#end - start) {
      throw new MalformedError(
        `length ${length} does not fit the ${this.#end - start} bytes left of the record`,
      )
    }
    this.#at = start + length
    return this.#body.subarray(start, start + length)
  }

  /** A zigzag varint of at most 32 bits. */
  #varint(): number {
    const body = this.#body
    const end = this.#end
    let at = this.#at
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      if (at >= end) throw new MalformedError('the bytes of a record end within a number')
      const byte = body[at++]!
      if (shift === 28 && byte > 0x0f) break
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        this.#at = at
        return (value >>> 1) ^ -(value & 1)
      }
    }
    throw new MalformedError('a number in a record is longer than 32 bits')
  }

  /** A zigzag varint of at most 64 bits; exact to 2^53, beyond that a number that is no safe integer. */
  #varlong(): number {
    const body = this.#body
    const end = this.#end
    let at = this.#at
    let low = 0
    // Nearly all deltas fit four bytes, where 32-bit arithmetic is enough.
    for (let shift = 0; shift < 28; shift += 7) {
      if (at >= end) throw new MalformedError('the bytes of a record end within a number')
      const byte = body[at++]!
      low |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        this.#at = at
        return (low >>> 1) ^ -(low & 1)
      }
    }
    let big = BigInt(low)
    for (let shift = 28n; shift < 70n; shift += 7n) {
      if (at >= end) throw new MalformedError('the bytes of a record end within a number')
      const byte = body[at++]!
      if (shift === 63n && byte > 0x01) break
      big |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) {
        this.#at = at
        return Number((big >> 1n) ^ -(big & 1n))
      }
    }
    throw new MalformedError('a number in a record is longer than 64 bits')
  }
}

function bufferOver(bytes: Uint8Array, start: number, end: number): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
}

/** All records of the batch at `position`. Throws MalformedError; the CRC is not checked. */
export function decodeRecords(bytes: Uint8Array, position = 0, options: ReadOptions = {}): LogRecord[] {
  const reader = new RecordReader(bytes, position, options)
  const records: LogRecord[] = []
  for (let record = reader.next(); record !== null; record = reader.next()) records.push(record)
  return records
}

/** The same, one at a time. */
export function* iterateRecords(
  bytes: Uint8Array,
  position = 0,
  options: ReadOptions = {},
): Generator<LogRecord, void, undefined> {
  const reader = new RecordReader(bytes, position, options)
  for (let record = reader.next(); record !== null; record = reader.next()) yield record
}

// --------------------------------------------------------------------------------------- control records

/** Kinds of control records by the number in their key. Readers skip kinds that they do not know. */
export const ControlType = { abort: 0, commit: 1, leaderChange: 2 } as const
export type ControlType = (typeof ControlType)[keyof typeof ControlType]

export interface TransactionMarker {
  readonly type: 'abort' | 'commit'
  readonly coordinatorEpoch: number
}

export interface MarkerBatchOptions extends TransactionMarker {
  readonly producerId: ProducerId
  readonly producerEpoch: ProducerEpoch
  readonly timestamp: number
  readonly baseOffset?: Offset
  readonly leaderEpoch?: LeaderEpoch
}

/** The batch of one record that ends a transaction in a partition (KIP-98). */
export function encodeMarkerBatch(marker: MarkerBatchOptions): Buffer {
  const key = Buffer.alloc(4)
  key.writeInt16BE(ControlType[marker.type], 2)
  const value = Buffer.alloc(6)
  value.writeInt32BE(marker.coordinatorEpoch, 2)
  return encodeBatch([{ key, value, timestamp: marker.timestamp }], {
    baseOffset: marker.baseOffset ?? (0 as Offset),
    leaderEpoch: marker.leaderEpoch ?? NO_LEADER_EPOCH,
    producerId: marker.producerId,
    producerEpoch: marker.producerEpoch,
    isTransactional: true,
    isControl: true,
  })
}

/** The marker in a record of a control batch; null for control records of other kinds. Throws MalformedError. */
export function decodeMarker(record: LogRecord): TransactionMarker | null {
  const { key, value } = record
  if (key === null || key.length < 4) throw new MalformedError('the key of a control record is too short')
  if (key.readInt16BE(0) < 0) throw new MalformedError('the key of a control record has a negative version')
  const type = key.readInt16BE(2)
  if (type !== ControlType.abort && type !== ControlType.commit) return null
  if (value === null || value.length < 6)
    throw new MalformedError('the value of a transaction marker is too short')
  if (value.readInt16BE(0) < 0) throw new MalformedError('a transaction marker has a negative version')
  return { type: type === ControlType.commit ? 'commit' : 'abort', coordinatorEpoch: value.readInt32BE(2) }
}
