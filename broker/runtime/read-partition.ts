/**
 * The reading side of a partition: what a fetch may see, and the answer when it may not. Readers see committed records,
 * with read_committed only decided ones.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type Log } from '../env.ts'
import { type LogState } from '../log/log-state.ts'
import { type PartitionLog } from '../storage/partition-log.ts'
import { CorruptLogError, type LogSlices } from '../storage/types.ts'
import {
  type AbortedTransaction,
  type DivergingEpoch,
  type FetchOutcome,
  type ReadRequest,
} from './partition-types.ts'

/** The part of a replica that readers depend on. */
export interface ReadBounds {
  readonly log: LogState
  readonly leaderEpoch: LeaderEpoch
  readonly highWatermark: Offset
  readonly lastStableOffset: Offset
}

/** Says whether a reader who believes in `currentLeaderEpoch` is right here. */
export interface LeaderCheck {
  readonly name: string
  checkLeader(currentLeaderEpoch: number): ErrorCode
}

/** What a partition offers to one reader. */
export interface ReadablePartition {
  readonly name: string
  /** Whether it serves a reader who believes in `currentLeaderEpoch`. */
  check(currentLeaderEpoch: number): ErrorCode
  readonly bounds: ReadBounds
  readonly storage: PartitionLog
  /** Only a leader can tell what is nowhere: what a follower lacks others may have. */
  readonly isLeader: () => boolean
  /** False spares every reader of committed records a look into the transaction indexes. */
  readonly hasAborted: boolean
  /** Clients see what is committed, followers of the partition all that is written. */
  readonly upTo: 'committed' | 'written'
  readonly log: Log
}

const NO_ABORTED: readonly AbortedTransaction[] = []
const NO_SLICES: readonly Uint8Array[] = []

/** One answer to a read; it holds the slices until it is released. */
class Outcome implements FetchOutcome {
  readonly error: ErrorCode
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logStartOffset: number
  readonly divergingEpoch: DivergingEpoch | null
  abortedTransactions: readonly AbortedTransaction[] | null
  readonly #slices: LogSlices | null

  constructor(
    error: ErrorCode,
    bounds: ReadBounds | null,
    aborted: readonly AbortedTransaction[] | null,
    diverging: DivergingEpoch | null,
    slices: LogSlices | null,
  ) {
    this.error = error
    this.highWatermark = bounds?.highWatermark ?? -1
    this.lastStableOffset = bounds?.lastStableOffset ?? -1
    this.logStartOffset = bounds?.log.logStartOffset ?? -1
    this.divergingEpoch = diverging
    this.abortedTransactions = aborted
    this.#slices = slices
  }

  get slices(): readonly Uint8Array[] {
    return this.#slices?.slices ?? NO_SLICES
  }

  get byteLength(): number {
    return this.#slices?.byteLength ?? 0
  }

  release(): void {
    this.#slices?.release()
  }
}

export function readPartition(
  partition: ReadablePartition,
  request: ReadRequest,
): FetchOutcome | Promise<FetchOutcome> {
  const { bounds, storage, hasAborted } = partition
  const error = partition.check(request.currentLeaderEpoch)
  if (error !== ErrorCode.NONE) return new Outcome(error, null, null, null, null)
  if (!partition.isLeader() && !isReadable(bounds.log, request)) return notLeader()
  const diverging = findDivergence(bounds.log, request)
  if (diverging === 'unknown') return outOfRange()
  const aborted = request.isolation === 'read_committed' ? NO_ABORTED : null
  if (diverging !== null) return new Outcome(ErrorCode.NONE, bounds, aborted, diverging, null)
  if (isOutOfRange(bounds.log, request.offset)) return outOfRange()

  const limit = limitOf(partition, request)
  if (request.offset >= limit || (request.maxBytes <= 0 && !request.atLeastOne)) {
    return new Outcome(ErrorCode.NONE, bounds, aborted, null, null)
  }
  const { exchanges } = storage
  // The offsets of the answer are those of now: records that are committed while the disk is read are not in it.
  const answer = (slices: LogSlices): FetchOutcome | Promise<FetchOutcome> => {
    const outcome = new Outcome(ErrorCode.NONE, bounds, aborted, null, slices)
    return aborted === null || !hasAborted || slices.byteLength === 0
      ? outcome
      : withAborted(outcome, storage, request.offset, slices).then(complete => {
          if (exchanges === storage.exchanges) return complete
          // Compaction came between: the index does not know aborted records any more that the slices still have.
          complete.release()
          return readPartition(partition, request)
        })
  }
  const { leaderEpoch } = bounds
  const answerLater = (slices: LogSlices): FetchOutcome | Promise<FetchOutcome> => {
    // Of another epoch the records may be, for what is not committed is cut when the leader changes.
    const change = leaderEpoch === bounds.leaderEpoch ? partition.check(-1) : ErrorCode.NOT_LEADER_OR_FOLLOWER
    if (change === ErrorCode.NONE) return answer(slices)
    slices.release()
    return new Outcome(change, null, null, null, null)
  }
  const fail = (cause: unknown): FetchOutcome => readFailed(partition, request.offset, cause)
  try {
    const slices = storage.read(request.offset, request.maxBytes, limit, request.atLeastOne)
    return slices instanceof Promise ? slices.then(answerLater).catch(fail) : answer(slices)
  } catch (cause) {
    return fail(cause)
  }
}

function limitOf({ bounds, upTo }: ReadablePartition, { isolation }: ReadRequest): Offset {
  if (upTo === 'written') return bounds.log.writtenOffset
  return isolation === 'read_committed' ? bounds.lastStableOffset : bounds.highWatermark
}

async function withAborted(
  outcome: Outcome,
  storage: PartitionLog,
  offset: Offset,
  slices: LogSlices,
): Promise<FetchOutcome> {
  try {
    outcome.abortedTransactions = await storage.abortedTransactions(offset, slices.nextOffset)
    return outcome
  } catch (error) {
    slices.release()
    throw error
  }
}

/** What a reader says of where it stands. */
type Place = Pick<ReadRequest, 'offset' | 'lastFetchedEpoch'>

/** Whether who has read up to `offset` can go on from there: the logs agree so far, and the offset is in range. */
export function isReadable(state: LogState, place: Place): boolean {
  return findDivergence(state, place) === null && !isOutOfRange(state, place.offset)
}

function isOutOfRange(state: LogState, offset: Offset): boolean {
  return offset < state.logStartOffset || offset > state.logEndOffset
}

/** It tells no bounds, as Kafka tells none: who is out of range asks ListOffsets. */
function outOfRange(): FetchOutcome {
  return new Outcome(ErrorCode.OFFSET_OUT_OF_RANGE, null, null, null, null)
}

function notLeader(): FetchOutcome {
  return new Outcome(ErrorCode.NOT_LEADER_OR_FOLLOWER, null, null, null, null)
}

/**
 * Where the reader's log parts from this one, if it says what epoch its last record had (KIP-595). 'unknown': its epoch
 * is none that this log has heard of.
 */
function findDivergence(state: LogState, request: Place): DivergingEpoch | 'unknown' | null {
  if (request.lastFetchedEpoch === -1) return null
  const end = state.epochs.endOffsetFor(request.lastFetchedEpoch as LeaderEpoch, state.logEndOffset)
  if (end === null) return 'unknown'
  if (end.epoch === request.lastFetchedEpoch && end.endOffset >= request.offset) return null
  return { epoch: end.epoch, endOffset: end.endOffset }
}

function readFailed(partition: ReadablePartition, offset: Offset, cause: unknown): FetchOutcome {
  const { name, bounds, log } = partition
  const gone = partition.check(-1)
  if (gone !== ErrorCode.NONE) return new Outcome(gone, null, null, null, null)
  // The records were deleted while they were being read: that is no failure.
  if (isOutOfRange(bounds.log, offset)) return outOfRange()
  log.error('records could not be read', { partition: name, offset, error: cause })
  const error = cause instanceof CorruptLogError ? ErrorCode.CORRUPT_MESSAGE : ErrorCode.KAFKA_STORAGE_ERROR
  return new Outcome(error, bounds, null, null, null)
}
