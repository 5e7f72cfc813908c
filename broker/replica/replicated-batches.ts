/**
 * What a follower makes of its leader's answers: whether the bytes are batches that may follow its log, and where to
 * cut that log when the leader's parts from it. For the rest batches stay opaque.
 */
import {
  batchBaseOffset,
  batchByteLength,
  batchLastOffset,
  batchLeaderEpoch,
  describeBatchProblem,
  validateBatch,
} from '../../client/protocol/batch.ts'
import { type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type LogState } from '../log/log-state.ts'

/**
 * The batches in `records`, as slices of it, or a sentence that says why they cannot follow the log: each is whole and
 * sound, none begins before the one before it has ended, and epochs never fall. Compaction leaves gaps between offsets.
 */
export function splitBatches(
  records: Uint8Array,
  log: LogState,
  leaderEpoch: LeaderEpoch,
): Uint8Array[] | string {
  const batches: Uint8Array[] = []
  let endOffset: number = log.logEndOffset
  let epoch: number = log.epochs.epochAt((endOffset - 1) as Offset)
  for (let position = 0; position < records.length; ) {
    const problem = validateBatch(records, position, records.length, 'log')
    if (problem !== null) return `${describeBatchProblem(problem)} (at byte ${position})`
    const baseOffset = batchBaseOffset(records, position)
    if (baseOffset < endOffset) return `a batch begins at offset ${baseOffset}, before offset ${endOffset}`
    const batchEpoch = batchLeaderEpoch(records, position)
    if (batchEpoch > leaderEpoch) return `a batch of epoch ${batchEpoch} comes from epoch ${leaderEpoch}`
    if (batchEpoch < epoch) return `a batch of epoch ${batchEpoch} follows one of epoch ${epoch}`
    epoch = batchEpoch
    endOffset = batchLastOffset(records, position) + 1
    const byteLength = batchByteLength(records, position)
    batches.push(records.subarray(position, position + byteLength))
    position += byteLength
  }
  return batches
}

/**
 * Where a follower cuts its log when the leader says that `epoch`, the latest epoch that both may know, ends at
 * `endOffset` there (KIP-101, KIP-279). Never the high watermark: that may lag behind what is committed.
 *
 *   leader    epoch 1 | 0 .. 99 |  epoch 4 | 100 ..           the follower fetches at 150 after a record of epoch 2
 *   follower  epoch 1 | 0 .. 119 | epoch 2 | 120 .. 149       the leader answers epoch 1, end 100: cut at 100
 *
 * Where the follower does not know the epoch either, it cuts where the largest smaller one ends, and asks again.
 */
export function truncationOffset(log: LogState, epoch: number, endOffset: number): Offset {
  const { epochs, logEndOffset } = log
  const own = epochs.endOffsetFor(epoch as LeaderEpoch, logEndOffset)
  if (own === null) return Math.min(endOffset, logEndOffset) as Offset
  const ownEnd = Math.min(own.endOffset, logEndOffset)
  return (own.epoch === epoch ? Math.min(ownEnd, endOffset) : ownEnd) as Offset
}
