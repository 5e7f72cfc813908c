/**
 * The one check that looks at records: in a compacted topic each must have a key, because compaction could neither keep
 * nor drop one without. Other topics never come here; their records stay unread.
 */
import { BATCH_HEADER_BYTES, type BatchHeader, readBatchHeader } from '../../client/protocol/batch.ts'
import { CodecUnavailableError } from '../../client/protocol/compression/errors.ts'
import { CODEC_NAMES, decompress } from '../../client/protocol/compression.ts'
import { ErrorCode, MalformedError } from '../../client/protocol/errors.ts'
import { RecordWalk } from './compaction/record-walk.ts'

/** What is wrong with one record of a refused batch (KIP-467). */
export interface RecordError {
  /** Of the record in its batch, from 0. */
  readonly batchIndex: number
  readonly message: string
}

export interface RecordRefusal {
  readonly error: ErrorCode
  readonly message: string
  readonly recordErrors: readonly RecordError[]
}

/** A batch that would grow beyond is not looked at any further: whoever sends one must not hold up the others. */
const MAX_DECOMPRESSED_BYTES = 64 * 1024 * 1024
/** A client learns nothing from more. */
const MAX_RECORD_ERRORS = 1000

const NO_KEY = 'a record of a compacted topic must have a key'

/** Null when all records of the batch have keys. The batch must have passed the checks of its header. */
export function checkKeys(batch: Uint8Array): RecordRefusal | null {
  const header = readBatchHeader(batch, 0)
  try {
    const walk = new RecordWalk(header, recordsOf(header, batch))
    const recordErrors: RecordError[] = []
    let missing = 0
    for (let batchIndex = 0; walk.next(); batchIndex++) {
      if (walk.hasKey) continue
      missing++
      if (recordErrors.length < MAX_RECORD_ERRORS) recordErrors.push({ batchIndex, message: NO_KEY })
    }
    if (missing === 0) return null
    const message =
      `${missing} of ${header.recordCount} records have no key, and the topic is compacted (cleanup.policy): ` +
      'none of the batch was taken. Give each record a key, or change the policy'
    return { error: ErrorCode.INVALID_RECORD, message, recordErrors }
  } catch (error) {
    if (error instanceof CodecUnavailableError) {
      return { error: ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, message: error.message, recordErrors: [] }
    }
    if (!(error instanceof MalformedError)) throw error
    const message = `the records of the batch cannot be read, and the topic is compacted: ${error.message}`
    return { error: ErrorCode.INVALID_RECORD, message, recordErrors: [] }
  }
}

function recordsOf(header: BatchHeader, batch: Uint8Array): Uint8Array {
  const packed = batch.subarray(BATCH_HEADER_BYTES, header.byteLength)
  const codec = CODEC_NAMES[header.codecId]!
  return codec === 'none' ? packed : decompress(codec, packed, MAX_DECOMPRESSED_BYTES)
}
