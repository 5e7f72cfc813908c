/**
 * What is in a log, read inside the process: for assertions, so in plain values that a test can compare and print.
 */
import {
  ATTRIBUTE_CONTROL,
  batchAttributes,
  batchBaseOffset,
  batchByteLength,
  batchLastOffset,
} from '../../client/protocol/batch.ts'
import { ErrorCode, errorName } from '../../client/protocol/errors.ts'
import { decodeRecords } from '../../client/protocol/record.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'

/** A record as a test sees it: key, value and headers as UTF-8. */
export interface StoredRecord {
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: Readonly<Record<string, string | null>>
}

const READ_BYTES = 4 * 1024 * 1024

/** All committed records of a partition that its log still has, in order. */
export async function storedRecords(partition: number, host: PartitionHost): Promise<StoredRecord[]> {
  const records: StoredRecord[] = []
  const { logStartOffset, highWatermark } = host.describe()
  for (let offset: Offset = logStartOffset; offset < highWatermark; ) {
    const outcome = await host.read({
      offset,
      maxBytes: READ_BYTES,
      isolation: 'read_uncommitted',
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
      atLeastOne: true,
    })
    if (outcome.error !== ErrorCode.NONE)
      throw new Error(`Reading the log failed: ${errorName(outcome.error)}`)
    // A copy, because the slices are given back here.
    const bytes = Buffer.concat(outcome.slices)
    outcome.release()
    if (bytes.byteLength === 0) break
    offset = addRecords(records, partition, bytes, offset)
  }
  return records
}

/** Adds the records from `offset` on; returns the offset after the last batch. */
function addRecords(records: StoredRecord[], partition: number, bytes: Buffer, offset: Offset): Offset {
  let next = offset
  for (let at = 0; at < bytes.byteLength; at += batchByteLength(bytes, at)) {
    next = (batchLastOffset(bytes, at) + 1) as Offset
    if ((batchAttributes(bytes, at) & ATTRIBUTE_CONTROL) !== 0 || batchBaseOffset(bytes, at) < 0) continue
    for (const record of decodeRecords(bytes, at)) {
      if (record.offset < offset) continue
      records.push({
        partition,
        offset: record.offset,
        timestamp: record.timestamp,
        key: text(record.key),
        value: text(record.value),
        headers: Object.fromEntries(record.headers.map(({ key, value }) => [key, text(value)])),
      })
    }
  }
  return next
}

function text(bytes: Uint8Array | null): string | null {
  return bytes === null
    ? null
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
}
