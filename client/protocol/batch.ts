/**
 * The record batch, format 2, as it lies in memory: reads and writes fields of the 61-byte header in place and checks
 * that the header tells the truth about what follows. It never decodes a record and never copies: for the broker the
 * records are opaque bytes. Problems of hostile or damaged bytes are values here, because they are everyday on the
 * hot path.
 *
 *   0           8          12           16     17   21          23               27
 *   | base offset | length | leader epoch | magic | CRC | attributes | last offset delta | ...
 *   27              35             43           51              53             57      61
 *   | base timestamp | max timestamp | producer id | producer epoch | base sequence | count | records ...
 *
 * `length` counts what follows it. The CRC-32C covers everything from the attributes to the end, so base offset and
 * leader epoch can be stamped by the broker without touching it.
 *
 * All functions take a position and, where they do not say otherwise, trust that BATCH_HEADER_BYTES lie there.
 */

import { crc32c } from './crc32c.ts'
import { type LeaderEpoch, type Offset, type ProducerEpoch, type ProducerId } from './types.ts'

export const BATCH_HEADER_BYTES = 61
/** Base offset and length: what must be known to find the next batch. */
export const BATCH_PREFIX_BYTES = 12
/** Up to and including the magic byte, which lies at the same place in all formats. */
export const BATCH_MAGIC_BYTES = 17

export const BATCH_BASE_OFFSET_AT = 0
export const BATCH_LENGTH_AT = 8
export const BATCH_LEADER_EPOCH_AT = 12
export const BATCH_MAGIC_AT = 16
export const BATCH_CRC_AT = 17
export const BATCH_ATTRIBUTES_AT = 21
export const BATCH_LAST_OFFSET_DELTA_AT = 23
export const BATCH_BASE_TIMESTAMP_AT = 27
export const BATCH_MAX_TIMESTAMP_AT = 35
export const BATCH_PRODUCER_ID_AT = 43
export const BATCH_PRODUCER_EPOCH_AT = 51
export const BATCH_BASE_SEQUENCE_AT = 53
export const BATCH_RECORD_COUNT_AT = 57

export const ATTRIBUTE_CODEC_MASK = 0x07
export const ATTRIBUTE_LOG_APPEND_TIME = 0x08
export const ATTRIBUTE_TRANSACTIONAL = 0x10
export const ATTRIBUTE_CONTROL = 0x20
/** The base timestamp is not a timestamp but the time until which tombstones are kept (KIP-534). */
export const ATTRIBUTE_DELETE_HORIZON = 0x40
const KNOWN_ATTRIBUTES = 0x7f
const LAST_KNOWN_CODEC = 4

/** The shortest record: one byte each for length, attributes, timestamp, offset, key, value and header count. */
export const MIN_RECORD_BYTES = 7

export const NO_TIMESTAMP = -1
export const NO_SEQUENCE = -1

export interface BatchHeader {
  readonly baseOffset: Offset
  /** Bytes of the whole batch, with base offset and length field. */
  readonly byteLength: number
  readonly leaderEpoch: LeaderEpoch
  readonly magic: number
  readonly crc: number
  readonly attributes: number
  /** 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd. */
  readonly codecId: number
  readonly isLogAppendTime: boolean
  readonly isTransactional: boolean
  readonly isControl: boolean
  readonly lastOffsetDelta: number
  /** Offset of the last record (of the last one that there was, where compaction has removed some). */
  readonly lastOffset: Offset
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  readonly producerId: ProducerId
  readonly producerEpoch: ProducerEpoch
  readonly baseSequence: number
  readonly recordCount: number
}

/** What can be wrong with the bytes of a batch; `describeBatchProblem` makes a sentence of it. */
export type BatchProblem =
  | 'INCOMPLETE'
  | 'BAD_LENGTH'
  | 'OLD_FORMAT'
  | 'UNKNOWN_FORMAT'
  | 'BAD_CHECKSUM'
  | 'UNKNOWN_ATTRIBUTES'
  | 'BAD_COUNT'
  | 'BAD_OFFSETS'
  | 'BAD_TIMESTAMPS'
  | 'BAD_PRODUCER'
  | 'CONTROL_BATCH'

/** Where a batch comes from: a producer may not send what a log may hold (control batches, gaps from compaction). */
export type BatchOrigin = 'producer' | 'log'

// ------------------------------------------------------------------------------------- fields in place

function int32At(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!
}

function int16At(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16)) >> 16
}

/** Rounds beyond 2^53: who needs the exact value asks `Number.isSafeInteger` first. */
function int64At(bytes: Uint8Array, at: number): number {
  return int32At(bytes, at) * 0x1_0000_0000 + (int32At(bytes, at + 4) >>> 0)
}

function putInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >> 24
  bytes[at + 1] = value >> 16
  bytes[at + 2] = value >> 8
  bytes[at + 3] = value
}

function putInt64(bytes: Uint8Array, at: number, value: number): void {
  putInt32(bytes, at, Math.floor(value / 0x1_0000_0000))
  // The conversion to 32 bits keeps the low half, of negative numbers too.
  putInt32(bytes, at + 4, value >>> 0)
}

export function batchBaseOffset(bytes: Uint8Array, position: number): Offset {
  return int64At(bytes, position + BATCH_BASE_OFFSET_AT) as Offset
}

/** Bytes of the whole batch as its length field says; wants BATCH_PREFIX_BYTES. Not checked: may be absurd. */
export function batchByteLength(bytes: Uint8Array, position: number): number {
  return int32At(bytes, position + BATCH_LENGTH_AT) + BATCH_PREFIX_BYTES
}

export function batchLeaderEpoch(bytes: Uint8Array, position: number): LeaderEpoch {
  return int32At(bytes, position + BATCH_LEADER_EPOCH_AT) as LeaderEpoch
}

export function batchMagic(bytes: Uint8Array, position: number): number {
  return (bytes[position + BATCH_MAGIC_AT]! << 24) >> 24
}

export function batchAttributes(bytes: Uint8Array, position: number): number {
  return int16At(bytes, position + BATCH_ATTRIBUTES_AT)
}

export function batchCodecId(bytes: Uint8Array, position: number): number {
  return bytes[position + BATCH_ATTRIBUTES_AT + 1]! & ATTRIBUTE_CODEC_MASK
}

export function batchLastOffsetDelta(bytes: Uint8Array, position: number): number {
  return int32At(bytes, position + BATCH_LAST_OFFSET_DELTA_AT)
}

export function batchLastOffset(bytes: Uint8Array, position: number): Offset {
  return (batchBaseOffset(bytes, position) + batchLastOffsetDelta(bytes, position)) as Offset
}

export function batchBaseTimestamp(bytes: Uint8Array, position: number): number {
  return int64At(bytes, position + BATCH_BASE_TIMESTAMP_AT)
}

export function batchMaxTimestamp(bytes: Uint8Array, position: number): number {
  return int64At(bytes, position + BATCH_MAX_TIMESTAMP_AT)
}

/** Whether the batch belongs to an idempotent producer, without making a bigint. */
export function batchHasProducerId(bytes: Uint8Array, position: number): boolean {
  return bytes[position + BATCH_PRODUCER_ID_AT]! < 0x80
}

export function batchProducerId(bytes: Uint8Array, position: number): ProducerId {
  const at = position + BATCH_PRODUCER_ID_AT
  return ((BigInt(int32At(bytes, at)) << 32n) | BigInt(int32At(bytes, at + 4) >>> 0)) as ProducerId
}

export function batchProducerEpoch(bytes: Uint8Array, position: number): ProducerEpoch {
  return int16At(bytes, position + BATCH_PRODUCER_EPOCH_AT) as ProducerEpoch
}

export function batchBaseSequence(bytes: Uint8Array, position: number): number {
  return int32At(bytes, position + BATCH_BASE_SEQUENCE_AT)
}

export function batchRecordCount(bytes: Uint8Array, position: number): number {
  return int32At(bytes, position + BATCH_RECORD_COUNT_AT)
}

/** All fields at once; unchecked, as they stand there. */
export function readBatchHeader(bytes: Uint8Array, position: number): BatchHeader {
  const attributes = batchAttributes(bytes, position)
  return {
    baseOffset: batchBaseOffset(bytes, position),
    byteLength: batchByteLength(bytes, position),
    leaderEpoch: batchLeaderEpoch(bytes, position),
    magic: batchMagic(bytes, position),
    crc: int32At(bytes, position + BATCH_CRC_AT) >>> 0,
    attributes,
    codecId: attributes & ATTRIBUTE_CODEC_MASK,
    isLogAppendTime: (attributes & ATTRIBUTE_LOG_APPEND_TIME) !== 0,
    isTransactional: (attributes & ATTRIBUTE_TRANSACTIONAL) !== 0,
    isControl: (attributes & ATTRIBUTE_CONTROL) !== 0,
    lastOffsetDelta: batchLastOffsetDelta(bytes, position),
    lastOffset: batchLastOffset(bytes, position),
    baseTimestamp: batchBaseTimestamp(bytes, position),
    maxTimestamp: batchMaxTimestamp(bytes, position),
    producerId: batchProducerId(bytes, position),
    producerEpoch: batchProducerEpoch(bytes, position),
    baseSequence: batchBaseSequence(bytes, position),
    recordCount: batchRecordCount(bytes, position),
  }
}

// ------------------------------------------------------------------------------------- stamping in place

/** Writes what the leader decides into received bytes; both fields lie outside the CRC. */
export function stampBatch(
  bytes: Uint8Array,
  position: number,
  baseOffset: Offset,
  leaderEpoch: LeaderEpoch,
): void {
  putInt64(bytes, position + BATCH_BASE_OFFSET_AT, baseOffset)
  putInt32(bytes, position + BATCH_LEADER_EPOCH_AT, leaderEpoch)
}

/**
 * Turns the batch into one whose records all have the time of their append (`message.timestamp.type=LogAppendTime`).
 * These fields lie inside the CRC, which is computed anew over the whole batch.
 */
export function setLogAppendTime(bytes: Uint8Array, position: number, timestampMs: number): void {
  bytes[position + BATCH_ATTRIBUTES_AT + 1]! |= ATTRIBUTE_LOG_APPEND_TIME
  putInt64(bytes, position + BATCH_MAX_TIMESTAMP_AT, timestampMs)
  stampChecksum(bytes, position)
}

/** Computes and writes the CRC of a batch whose length field is right. */
export function stampChecksum(bytes: Uint8Array, position: number): void {
  putInt32(bytes, position + BATCH_CRC_AT, checksumOf(bytes, position))
}

function checksumOf(bytes: Uint8Array, position: number): number {
  return crc32c(bytes.subarray(position + BATCH_ATTRIBUTES_AT, position + batchByteLength(bytes, position)))
}

/** Writes a whole header but for the CRC, which wants the records: `stampChecksum` comes last. */
export function writeBatchHeader(
  bytes: Uint8Array,
  position: number,
  header: Omit<
    BatchHeader,
    'magic' | 'crc' | 'codecId' | 'isLogAppendTime' | 'isTransactional' | 'isControl' | 'lastOffset'
  >,
): void {
  putInt64(bytes, position + BATCH_BASE_OFFSET_AT, header.baseOffset)
  putInt32(bytes, position + BATCH_LENGTH_AT, header.byteLength - BATCH_PREFIX_BYTES)
  putInt32(bytes, position + BATCH_LEADER_EPOCH_AT, header.leaderEpoch)
  bytes[position + BATCH_MAGIC_AT] = 2
  bytes[position + BATCH_ATTRIBUTES_AT] = header.attributes >> 8
  bytes[position + BATCH_ATTRIBUTES_AT + 1] = header.attributes
  putInt32(bytes, position + BATCH_LAST_OFFSET_DELTA_AT, header.lastOffsetDelta)
  putInt64(bytes, position + BATCH_BASE_TIMESTAMP_AT, header.baseTimestamp)
  putInt64(bytes, position + BATCH_MAX_TIMESTAMP_AT, header.maxTimestamp)
  putInt32(bytes, position + BATCH_PRODUCER_ID_AT, Number(header.producerId >> 32n))
  putInt32(bytes, position + BATCH_PRODUCER_ID_AT + 4, Number(header.producerId & 0xffff_ffffn))
  bytes[position + BATCH_PRODUCER_EPOCH_AT] = header.producerEpoch >> 8
  bytes[position + BATCH_PRODUCER_EPOCH_AT + 1] = header.producerEpoch
  putInt32(bytes, position + BATCH_BASE_SEQUENCE_AT, header.baseSequence)
  putInt32(bytes, position + BATCH_RECORD_COUNT_AT, header.recordCount)
}

// ------------------------------------------------------------------------------------- checks

/**
 * Checks one batch at `position` of bytes that end at `end`, without trusting a single field: length, format, CRC and
 * that count, offsets, timestamps and producer fields agree with each other. Null when all is well. What follows the
 * batch is the caller's business.
 */
export function validateBatch(
  bytes: Uint8Array,
  position: number,
  end: number,
  origin: BatchOrigin,
): BatchProblem | null {
  const problem = validateFrame(bytes, position, end)
  if (problem !== null) return problem
  const crc = int32At(bytes, position + BATCH_CRC_AT)
  if ((checksumOf(bytes, position) | 0) !== crc) return 'BAD_CHECKSUM'
  return validateFields(bytes, position, origin)
}

/** The part of `validateBatch` that costs nothing: length and format. For walks that leave the CRC to others. */
export function validateFrame(bytes: Uint8Array, position: number, end: number): BatchProblem | null {
  const available = end - position
  if (available < BATCH_MAGIC_BYTES) return 'INCOMPLETE'
  const magic = batchMagic(bytes, position)
  if (magic === 0 || magic === 1) return 'OLD_FORMAT'
  if (magic !== 2) return 'UNKNOWN_FORMAT'
  const byteLength = batchByteLength(bytes, position)
  if (byteLength < BATCH_HEADER_BYTES) return 'BAD_LENGTH'
  return byteLength > available ? 'INCOMPLETE' : null
}

/** The part of `validateBatch` that looks at fields alone, of a batch in a log: for walks that leave the CRC to others. */
export function validateHeader(bytes: Uint8Array, position: number): BatchProblem | null {
  return validateFields(bytes, position, 'log')
}

function validateFields(bytes: Uint8Array, position: number, origin: BatchOrigin): BatchProblem | null {
  const attributes = batchAttributes(bytes, position)
  if ((attributes & ~KNOWN_ATTRIBUTES) !== 0) return 'UNKNOWN_ATTRIBUTES'
  const codecId = attributes & ATTRIBUTE_CODEC_MASK
  if (codecId > LAST_KNOWN_CODEC) return 'UNKNOWN_ATTRIBUTES'
  if (!Number.isSafeInteger(batchBaseTimestamp(bytes, position))) return 'BAD_TIMESTAMPS'
  if (!Number.isSafeInteger(batchMaxTimestamp(bytes, position))) return 'BAD_TIMESTAMPS'

  const lastOffsetDelta = batchLastOffsetDelta(bytes, position)
  if (lastOffsetDelta < 0) return 'BAD_OFFSETS'
  const count = batchRecordCount(bytes, position)
  if (count < 0 || count > lastOffsetDelta + 1) return 'BAD_COUNT'
  const recordBytes = batchByteLength(bytes, position) - BATCH_HEADER_BYTES
  if (codecId === 0 && count * MIN_RECORD_BYTES > recordBytes) return 'BAD_COUNT'
  return origin === 'producer'
    ? validateFromProducer(bytes, position, attributes, count)
    : validateFromLog(bytes, position)
}

function validateFromProducer(
  bytes: Uint8Array,
  position: number,
  attributes: number,
  count: number,
): BatchProblem | null {
  if ((attributes & ATTRIBUTE_CONTROL) !== 0) return 'CONTROL_BATCH'
  if ((attributes & ATTRIBUTE_DELETE_HORIZON) !== 0) return 'UNKNOWN_ATTRIBUTES'
  // Consecutive offsets from 0 on: a producer cannot leave gaps, only compaction does.
  if (count === 0 || count !== batchLastOffsetDelta(bytes, position) + 1) return 'BAD_COUNT'
  if (!batchHasProducerId(bytes, position)) {
    return (attributes & ATTRIBUTE_TRANSACTIONAL) === 0 ? null : 'BAD_PRODUCER'
  }
  if (batchProducerEpoch(bytes, position) < 0 || batchBaseSequence(bytes, position) < 0) return 'BAD_PRODUCER'
  return null
}

function validateFromLog(bytes: Uint8Array, position: number): BatchProblem | null {
  const lastOffset = batchLastOffset(bytes, position)
  return batchBaseOffset(bytes, position) >= 0 && Number.isSafeInteger(lastOffset) ? null : 'BAD_OFFSETS'
}

/** What the problem is and what the sender can do about it. */
export function describeBatchProblem(problem: BatchProblem): string {
  switch (problem) {
    case 'INCOMPLETE':
      return 'the bytes end before the record batch does'
    case 'BAD_LENGTH':
      return `the record batch says that it is shorter than its own header of ${BATCH_HEADER_BYTES} bytes`
    case 'OLD_FORMAT':
      return 'the records are in message format 0 or 1, which ended with Kafka 0.11: configure the client for format 2'
    case 'UNKNOWN_FORMAT':
      return 'the record batch has an unknown format (magic byte), known is 2'
    case 'BAD_CHECKSUM':
      return 'the CRC-32C of the record batch does not match its bytes: they were damaged on the way or on disk'
    case 'UNKNOWN_ATTRIBUTES':
      return 'the record batch has an unknown compression codec or attribute'
    case 'BAD_COUNT':
      return 'the record count of the batch does not match its offsets or its length'
    case 'BAD_OFFSETS':
      return 'the offsets of the record batch are out of range'
    case 'BAD_TIMESTAMPS':
      return 'a timestamp of the record batch is out of range'
    case 'BAD_PRODUCER':
      return 'producer id, producer epoch, sequence and transaction mark of the record batch do not fit together'
    case 'CONTROL_BATCH':
      return 'control batches (transaction markers) are written by brokers only'
    default:
      return problem satisfies never
  }
}

// ------------------------------------------------------------------------------------- walking

export interface BatchWalk {
  /** Where the last whole batch ends, counted from the start of the bytes. */
  readonly end: number
  /** Why the walk ended before all bytes were used: INCOMPLETE is an ordinary partial tail. Null: nothing is left. */
  readonly problem: BatchProblem | null
}

/**
 * Visits each whole batch from `start` to `end` by its frame; neither CRC nor fields are checked. The walk ends early,
 * without a problem, when `visit` returns false (that batch counts as used).
 */
export function forEachBatch(
  bytes: Uint8Array,
  visit: (position: number, byteLength: number) => unknown,
  start = 0,
  end = bytes.length,
): BatchWalk {
  let position = start
  while (position < end) {
    const problem = validateFrame(bytes, position, end)
    if (problem !== null) return { end: position, problem }
    const byteLength = batchByteLength(bytes, position)
    const goOn = visit(position, byteLength)
    position += byteLength
    if (goOn === false) break
  }
  return { end: position, problem: null }
}
