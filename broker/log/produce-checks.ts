/**
 * What a batch must be before it may join the log, from its header alone: one batch of format 2, whole, within the
 * size limits, with timestamps that the topic allows. Records are looked at in compacted topics alone, for their keys.
 * Sequences are the producer state's business.
 *
 * Every check answers with the error code that Kafka answers with.
 */
import {
  ATTRIBUTE_LOG_APPEND_TIME,
  type BatchProblem,
  batchAttributes,
  batchBaseOffset,
  batchBaseTimestamp,
  batchByteLength,
  batchMaxTimestamp,
  describeBatchProblem,
  NO_TIMESTAMP,
  validateBatch,
  validateFrame,
} from '../../client/protocol/batch.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type LogConfig } from './config.ts'
import { checkKeys, type RecordError } from './record-checks.ts'

/** Why a batch is refused. */
export interface Refusal {
  readonly error: ErrorCode
  readonly message: string
  /** Which records it is about, where it is about single ones. */
  readonly recordErrors?: readonly RecordError[]
}

/** Null when `records` are one batch that may be appended. `wallMs` is the broker's clock. */
export function checkProduce(records: Uint8Array, config: LogConfig, wallMs: number): Refusal | null {
  if (records.length === 0)
    return refuse(ErrorCode.INVALID_RECORD, 'the request has no record batch for the partition')
  const frame = validateFrame(records, 0, records.length)
  if (frame !== null) return refuseProblem(frame)
  return (
    checkSize(records, config) ??
    checkWhole(records) ??
    checkTimestamps(records, config, wallMs) ??
    (config.cleanupPolicy.includes('compact') ? checkKeys(records) : null)
  )
}

/** Sizes come first: a CRC over more than is allowed is not worth computing. */
function checkSize(records: Uint8Array, config: LogConfig): Refusal | null {
  const byteLength = batchByteLength(records, 0)
  if (byteLength > config.maxMessageBytes) {
    return refuse(
      ErrorCode.MESSAGE_TOO_LARGE,
      `the record batch has ${byteLength} bytes, the topic takes ${config.maxMessageBytes} (max.message.bytes)`,
    )
  }
  if (byteLength > config.segmentBytes) {
    return refuse(
      ErrorCode.RECORD_LIST_TOO_LARGE,
      `the record batch has ${byteLength} bytes, a segment of the topic ${config.segmentBytes} (segment.bytes)`,
    )
  }
  if (byteLength < records.length) {
    return refuse(
      ErrorCode.INVALID_RECORD,
      `${records.length - byteLength} bytes follow the record batch: a request has one batch for each partition`,
    )
  }
  return null
}

function checkWhole(records: Uint8Array): Refusal | null {
  const problem = validateBatch(records, 0, records.length, 'producer')
  if (problem !== null) return refuseProblem(problem)
  const baseOffset = batchBaseOffset(records, 0)
  if (baseOffset !== 0) {
    return refuse(
      ErrorCode.INVALID_RECORD,
      `the base offset of a produced batch is 0, this one has ${baseOffset}`,
    )
  }
  return null
}

/**
 * The header bounds the timestamps: no record is later than the maximum, and the base is the first one's. A record
 * earlier than the base is let through, because finding it would mean decoding all of them.
 */
function checkTimestamps(records: Uint8Array, config: LogConfig, wallMs: number): Refusal | null {
  if ((batchAttributes(records, 0) & ATTRIBUTE_LOG_APPEND_TIME) !== 0) {
    return refuse(ErrorCode.INVALID_TIMESTAMP, 'a producer must not mark its timestamps as LogAppendTime')
  }
  if (config.messageTimestampType === 'LogAppendTime') return null
  const first = batchBaseTimestamp(records, 0)
  const last = batchMaxTimestamp(records, 0)
  if (last !== NO_TIMESTAMP && last - wallMs > config.messageTimestampAfterMaxMs) {
    return refuse(
      ErrorCode.INVALID_TIMESTAMP,
      `timestamp ${last} is ${last - wallMs} ms ahead of the broker's clock, the topic takes ` +
        `${config.messageTimestampAfterMaxMs} (message.timestamp.after.max.ms)`,
    )
  }
  if (first !== NO_TIMESTAMP && wallMs - first > config.messageTimestampBeforeMaxMs) {
    return refuse(
      ErrorCode.INVALID_TIMESTAMP,
      `timestamp ${first} is ${wallMs - first} ms behind the broker's clock, the topic takes ` +
        `${config.messageTimestampBeforeMaxMs} (message.timestamp.before.max.ms)`,
    )
  }
  return null
}

function refuseProblem(problem: BatchProblem): Refusal {
  return refuse(errorOf(problem), describeBatchProblem(problem))
}

function errorOf(problem: BatchProblem): ErrorCode {
  switch (problem) {
    // The checksum does not cover the byte that names the format: an unknown one may well be a bit that fell over.
    case 'UNKNOWN_FORMAT':
    case 'BAD_CHECKSUM':
    case 'BAD_LENGTH':
      return ErrorCode.CORRUPT_MESSAGE
    case 'BAD_TIMESTAMPS':
      return ErrorCode.INVALID_TIMESTAMP
    case 'OLD_FORMAT':
    case 'INCOMPLETE':
    case 'UNKNOWN_ATTRIBUTES':
    case 'BAD_COUNT':
    case 'BAD_OFFSETS':
    case 'BAD_PRODUCER':
    case 'CONTROL_BATCH':
      return ErrorCode.INVALID_RECORD
    default:
      return problem satisfies never
  }
}

function refuse(error: ErrorCode, message: string): Refusal {
  return { error, message }
}
