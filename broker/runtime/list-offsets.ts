/**
 * From a timestamp to an offset, as ListOffsets asks. The special timestamps, for a log that is all on this broker:
 *
 *   -1 latest: the high watermark, with read_committed the last stable offset
 *   -2 earliest, -4 earliest local: the log start
 *   -3 the record with the largest timestamp
 *   -5 latest tiered, -6 earliest pending upload: nothing is tiered, so offset -1
 *
 * Here alone the broker looks into records: the time index leads to a batch, and the record has to be found in it.
 */

import { batchLeaderEpoch, batchMaxTimestamp, forEachBatch } from '../../client/protocol/batch.ts'
import { ErrorCode, ProtocolError } from '../../client/protocol/errors.ts'
import { decodeRecords, type LogRecord } from '../../client/protocol/record.ts'
import { type LeaderEpoch, NO_LEADER_EPOCH, type Offset } from '../../client/protocol/types.ts'
import { type Log } from '../env.ts'
import { type PartitionLog } from '../storage/partition-log.ts'
import { CorruptLogError, type LogSlices } from '../storage/types.ts'
import { type Isolation, type ListOffsetOutcome } from './partition-types.ts'
import { type LeaderCheck, type ReadBounds } from './read-partition.ts'

const LATEST = -1
const EARLIEST = -2
const MAX_TIMESTAMP = -3
const EARLIEST_LOCAL = -4
const LATEST_TIERED = -5
const EARLIEST_PENDING_UPLOAD = -6

export interface OffsetQuery {
  readonly timestamp: number
  readonly isolation: Isolation
  readonly currentLeaderEpoch: number
}

/** What a leader knows of its term, besides what readers may see. */
export interface LeaderBounds extends ReadBounds {
  readonly epochStartOffset: Offset
}

interface Found {
  readonly timestamp: number
  readonly offset: Offset
  readonly leaderEpoch: LeaderEpoch
}

export async function findOffset(
  leader: LeaderCheck,
  replica: LeaderBounds,
  storage: PartitionLog,
  log: Log,
  query: OffsetQuery,
): Promise<ListOffsetOutcome> {
  const error = leader.checkLeader(query.currentLeaderEpoch)
  if (error !== ErrorCode.NONE) return refused(error)
  const state = replica.log
  const limit = query.isolation === 'read_committed' ? replica.lastStableOffset : replica.highWatermark
  switch (query.timestamp) {
    case EARLIEST:
    case EARLIEST_LOCAL:
      return offsetOnly(state.logStartOffset, state.epochs.epochAt(state.logStartOffset))
    case LATEST_TIERED:
    case EARLIEST_PENDING_UPLOAD:
      return offsetOnly(-1, NO_LEADER_EPOCH)
    case LATEST:
      // A new leader does not know yet how far its predecessor had committed (KIP-207).
      if (replica.highWatermark < replica.epochStartOffset) return refused(ErrorCode.OFFSET_NOT_AVAILABLE)
      return offsetOnly(limit, replica.leaderEpoch)
    default:
      if (query.timestamp < MAX_TIMESTAMP) return refused(ErrorCode.INVALID_REQUEST)
  }
  try {
    const found =
      query.timestamp === MAX_TIMESTAMP
        ? await findLargest(storage, state.logStartOffset, limit)
        : await findFirst(storage, query.timestamp, state.logStartOffset, limit)
    if (found !== null) return { error: ErrorCode.NONE, ...found }
    if (replica.highWatermark < replica.epochStartOffset) return refused(ErrorCode.OFFSET_NOT_AVAILABLE)
    return offsetOnly(-1, NO_LEADER_EPOCH)
  } catch (cause) {
    log.error('the offset for a timestamp could not be looked up', { partition: leader.name, error: cause })
    return refused(
      cause instanceof CorruptLogError ? ErrorCode.CORRUPT_MESSAGE : ErrorCode.KAFKA_STORAGE_ERROR,
    )
  }
}

/** The first record from `from` on that is not older than `timestamp`. */
async function findFirst(
  storage: PartitionLog,
  timestamp: number,
  from: Offset,
  limit: Offset,
): Promise<Found | null> {
  for (let next = from; next < limit; ) {
    const batch = await storage.findByTimestamp(timestamp, next, limit)
    if (batch === null) return null
    try {
      const fits = (record: LogRecord): boolean => record.timestamp >= timestamp && record.offset >= from
      const found = searchBatch(batch, fits)
      if (found !== null) return found
      // The header promised a record that is not there, or it lies before the log start: on with the next batch.
      next = batch.nextOffset
    } finally {
      batch.release()
    }
  }
  return null
}

async function findLargest(storage: PartitionLog, from: Offset, limit: Offset): Promise<Found | null> {
  const batch = await storage.findMaxTimestamp(from, limit)
  if (batch === null) return null
  try {
    const bytes = wholeOf(batch)
    const largest = bytes === null ? -1 : batchMaxTimestamp(bytes, 0)
    return searchBatch(batch, record => record.timestamp === largest)
  } finally {
    batch.release()
  }
}

function searchBatch(batch: LogSlices, fits: (record: LogRecord) => boolean): Found | null {
  const bytes = wholeOf(batch)
  if (bytes === null) return null
  let found: Found | null = null
  forEachBatch(bytes, position => {
    const leaderEpoch = batchLeaderEpoch(bytes, position)
    try {
      const record = decodeRecords(bytes, position).find(fits)
      if (record === undefined) return true
      found = { timestamp: record.timestamp, offset: record.offset, leaderEpoch }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      // A producer wrote records that cannot be read. Time lookups beyond them must not fail for ever: the batch stands
      // for its first record.
      found = { timestamp: batchMaxTimestamp(bytes, position), offset: batch.firstOffset, leaderEpoch }
    }
    return false
  })
  return found
}

function wholeOf(batch: LogSlices): Uint8Array | null {
  if (batch.byteLength === 0) return null
  return batch.slices.length === 1 ? batch.slices[0]! : Buffer.concat(batch.slices)
}

function offsetOnly(offset: number, leaderEpoch: LeaderEpoch): ListOffsetOutcome {
  return { error: ErrorCode.NONE, timestamp: -1, offset, leaderEpoch }
}

function refused(error: ErrorCode): ListOffsetOutcome {
  return { error, timestamp: -1, offset: -1, leaderEpoch: NO_LEADER_EPOCH }
}
