/**
 * One partition's log as numbers: where it starts and ends, how far it is written and durable, who produced what, which
 * epoch wrote which part. It decides whether a batch may be appended and stamps it; it never touches a file. Offsets
 * below `writtenOffset` are in the system's hands, those below `durableOffset` on disk.
 *
 *   logStart        durable       written       logEnd
 *      |===============|-------------|.............|
 */
import { assert } from '../../client/protocol/assert.ts'
import {
  ATTRIBUTE_TRANSACTIONAL,
  type BatchHeader,
  batchAttributes,
  batchBaseOffset,
  batchBaseSequence,
  batchHasProducerId,
  batchLastOffset,
  batchLastOffsetDelta,
  batchLeaderEpoch,
  batchMaxTimestamp,
  batchProducerEpoch,
  batchProducerId,
  readBatchHeader,
  setLogAppendTime,
  stampBatch,
} from '../../client/protocol/batch.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type LogConfig } from './config.ts'
import { type EpochEntry, LeaderEpochCache } from './leader-epochs.ts'
import { checkProduce, type Refusal } from './produce-checks.ts'
import {
  type ProducedBatch,
  type ProducerBatch,
  type ProducerEntry,
  type ProducerRow,
  ProducerState,
} from './producer-state.ts'
import { type SegmentFacts, shouldRoll } from './segments.ts'

/** A batch with its place in the log; `bytes` are stamped. */
export interface AppendedBatch {
  readonly bytes: Uint8Array
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly maxTimestamp: number
  readonly leaderEpoch: LeaderEpoch
}

export type AppendDecision =
  | {
      readonly kind: 'append'
      readonly batch: AppendedBatch
      /** Not null: the batch begins a new segment, and these are the producers as they were before it. */
      readonly roll: ProducerRow[] | null
    }
  | { readonly kind: 'duplicate'; readonly of: ProducerBatch }
  | ({ readonly kind: 'refused' } & Refusal)

/** What an append that is not written yet has changed. */
interface Undo {
  readonly baseOffset: Offset
  readonly produced: ProducedBatch
  readonly previous: ProducerEntry | undefined
}

export interface LogStateOptions {
  readonly config: LogConfig
  readonly logStartOffset: Offset
  /** Everything below is written and durable: the log was just opened. */
  readonly logEndOffset: Offset
  readonly epochs: readonly EpochEntry[]
  readonly producers: ProducerState
  /** In [0, 1), this partition's share of segment.jitter.ms. */
  readonly rollJitter: number
}

export class LogState {
  readonly epochs: LeaderEpochCache
  readonly #rollJitter: number
  #producers: ProducerState
  #config: LogConfig
  #logStartOffset: Offset
  #logEndOffset: Offset
  #writtenOffset: Offset
  #durableOffset: Offset
  /** Oldest first, of batches at or above `writtenOffset` that have a producer. */
  #undo: Undo[] = []

  constructor(options: LogStateOptions) {
    assert(options.logStartOffset <= options.logEndOffset, 'a log does not start behind its end')
    this.#config = options.config
    this.#rollJitter = options.rollJitter
    this.#logStartOffset = options.logStartOffset
    this.#logEndOffset = options.logEndOffset
    this.#writtenOffset = options.logEndOffset
    this.#durableOffset = options.logEndOffset
    this.#producers = options.producers
    this.#producers.advanceTo(options.logEndOffset)
    this.epochs = new LeaderEpochCache(options.epochs)
    this.epochs.truncateFromEnd(options.logEndOffset)
    this.epochs.truncateFromStart(options.logStartOffset)
  }

  get config(): LogConfig {
    return this.#config
  }

  get producers(): ProducerState {
    return this.#producers
  }

  get logStartOffset(): Offset {
    return this.#logStartOffset
  }

  /** The offset of the next record. */
  get logEndOffset(): Offset {
    return this.#logEndOffset
  }

  get writtenOffset(): Offset {
    return this.#writtenOffset
  }

  get durableOffset(): Offset {
    return this.#durableOffset
  }

  configure(config: LogConfig): void {
    this.#config = config
  }

  /**
   * Checks a produced batch and, where it may be appended, stamps `bytes` in place and gives it the next offsets.
   * `transactionVerified`: the coordinator says that the batch's transaction is open here (KIP-890). `isInternal`: the
   * batch is the broker's own, which may be of any size and time.
   */
  append(
    bytes: Uint8Array,
    leaderEpoch: LeaderEpoch,
    active: SegmentFacts,
    wallMs: number,
    transactionVerified: boolean,
    isInternal = false,
  ): AppendDecision {
    const config = this.#config
    const refusal = isInternal ? null : checkProduce(bytes, config, wallMs)
    if (refusal !== null) return { kind: 'refused', ...refusal }

    const produced = batchHasProducerId(bytes, 0) ? producedBatch(bytes) : null
    if (produced !== null) {
      const check = this.producers.check(produced)
      if (check.kind === 'duplicate') return { kind: 'duplicate', of: check.batch }
      if (check.kind === 'refused') return check
      const verdict = this.#checkTransaction(produced, transactionVerified)
      if (verdict !== null) return verdict
    }

    if (config.messageTimestampType === 'LogAppendTime') setLogAppendTime(bytes, 0, wallMs)
    const batch = this.#place(bytes, leaderEpoch)
    const next = { byteLength: bytes.length, lastOffset: batch.lastOffset, maxTimestamp: batch.maxTimestamp }
    const roll = shouldRoll(active, next, config, this.#rollJitter, wallMs) ? this.producers.snapshot() : null
    if (produced === null) this.producers.advanceTo(this.#logEndOffset)
    else {
      const previous = this.producers.append(produced, batch.lastOffset, wallMs)
      this.#undo.push({ baseOffset: batch.baseOffset, produced, previous })
    }
    return { kind: 'append', batch, roll }
  }

  /**
   * Appends a batch as its leader has stored it: it was checked, stamped and given its offsets there. It may leave a
   * gap behind the log's end, where compaction has removed batches.
   */
  appendReplicated(
    bytes: Uint8Array,
    active: SegmentFacts,
    wallMs: number,
  ): { readonly batch: AppendedBatch; readonly roll: ProducerRow[] | null } {
    const baseOffset = batchBaseOffset(bytes, 0)
    const lastOffset = batchLastOffset(bytes, 0)
    const leaderEpoch = batchLeaderEpoch(bytes, 0)
    const maxTimestamp = batchMaxTimestamp(bytes, 0)
    assert(baseOffset >= this.#logEndOffset, 'a replicated batch follows the log')
    const batch = { bytes, baseOffset, lastOffset, maxTimestamp, leaderEpoch }
    const next = { byteLength: bytes.length, lastOffset, maxTimestamp }
    const producers = this.#producers
    const roll = shouldRoll(active, next, this.#config, this.#rollJitter, wallMs)
      ? producers.snapshot()
      : null
    if (leaderEpoch >= 0) this.epochs.assign(leaderEpoch, baseOffset)
    this.#logEndOffset = (lastOffset + 1) as Offset
    if (!batchHasProducerId(bytes, 0)) producers.advanceTo(this.#logEndOffset)
    else {
      const header = readBatchHeader(bytes, 0)
      const previous = replayProducer(producers, header, wallMs)
      this.#undo.push({ baseOffset, produced: header, previous })
    }
    return { batch, roll }
  }

  /** Everything below `offset` is in the hands of the system. */
  written(offset: Offset): void {
    assert(offset <= this.#logEndOffset, 'no more is written than was appended')
    if (offset <= this.#writtenOffset) return
    this.#writtenOffset = offset
    // Mostly all of them are written at once.
    if (offset === this.#logEndOffset) this.#undo.length = 0
    else this.#undo = this.#undo.filter(undo => undo.baseOffset >= offset)
  }

  /** Everything below `offset` survives a power cut. */
  synced(offset: Offset): void {
    assert(offset <= this.#writtenOffset, 'no more is durable than was written')
    if (offset > this.#durableOffset) this.#durableOffset = offset
  }

  /** The disk did not take what begins at `offset`: the log ends there again, as if it had never been appended. */
  writeFailed(offset: Offset): void {
    assert(offset >= this.#writtenOffset && offset <= this.#logEndOffset, 'what was written is not undone')
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) {
      if (undo.baseOffset < offset) {
        this.#undo.push(undo)
        break
      }
      this.producers.restore(undo.produced, undo.previous)
    }
    this.producers.rewindTo(offset)
    this.#logEndOffset = offset
    this.epochs.truncateFromEnd(offset)
  }

  /**
   * The log was cut and ends at `endOffset`, all of it durable. `producers` were rebuilt from what is left; null: no
   * record was taken away, only epochs that had none. Where the log started later it is empty now.
   */
  truncated(endOffset: Offset, producers: ProducerState | null): void {
    assert(endOffset <= this.#logEndOffset, 'a log that is cut does not grow')
    this.epochs.truncateFromEnd(endOffset)
    if (producers === null) return
    this.#endAt(endOffset, producers)
    if (this.#logStartOffset > endOffset) this.#logStartOffset = endOffset
  }

  /** Nothing is left; the log goes on, and starts, at `offset`. */
  startedOver(offset: Offset): void {
    this.epochs.clear()
    this.#endAt(offset, new ProducerState(offset))
    this.#logStartOffset = offset
  }

  #endAt(endOffset: Offset, producers: ProducerState): void {
    assert(this.#writtenOffset === this.#logEndOffset, 'a log is cut while nothing is pending')
    producers.advanceTo(endOffset)
    this.#producers = producers
    this.#undo = []
    this.#logEndOffset = endOffset
    this.#writtenOffset = endOffset
    this.#durableOffset = endOffset
  }

  /** A new term of leadership begins at the end of the log. True when the epochs changed. */
  beginEpoch(epoch: LeaderEpoch): boolean {
    return this.epochs.assign(epoch, this.#logEndOffset)
  }

  /** Records below `offset` are no longer offered. Content when the log starts there or later. */
  moveStartTo(offset: Offset): boolean {
    assert(offset <= this.#logEndOffset, 'a log does not start behind its end')
    if (offset <= this.#logStartOffset) return false
    this.#logStartOffset = offset
    this.epochs.truncateFromStart(offset)
    return true
  }

  /** A transactional batch is let in only when its transaction is known to be open: else it might never end. */
  #checkTransaction(batch: ProducedBatch, verified: boolean): AppendDecision | null {
    if (!batch.isTransactional || verified) return null
    const entry = this.producers.entry(batch.producerId)
    if (entry !== undefined && entry.transactionFirstOffset !== -1) return null
    return {
      kind: 'refused',
      error: ErrorCode.INVALID_TXN_STATE,
      message: `producer ${batch.producerId} has no transaction open in this partition`,
    }
  }

  #place(bytes: Uint8Array, leaderEpoch: LeaderEpoch): AppendedBatch {
    const baseOffset = this.#logEndOffset
    const lastOffset = (baseOffset + batchLastOffsetDelta(bytes, 0)) as Offset
    assert(Number.isSafeInteger(lastOffset + 1), 'offsets stay below 2^53')
    stampBatch(bytes, 0, baseOffset, leaderEpoch)
    this.#logEndOffset = (lastOffset + 1) as Offset
    return { bytes, baseOffset, lastOffset, maxTimestamp: batchMaxTimestamp(bytes, 0), leaderEpoch }
  }
}

function producedBatch(bytes: Uint8Array): ProducedBatch {
  return {
    producerId: batchProducerId(bytes, 0),
    producerEpoch: batchProducerEpoch(bytes, 0),
    baseSequence: batchBaseSequence(bytes, 0),
    lastOffsetDelta: batchLastOffsetDelta(bytes, 0),
    isTransactional: (batchAttributes(bytes, 0) & ATTRIBUTE_TRANSACTIONAL) !== 0,
  }
}

/** What a batch that is in the log already says of its epoch and its producer, when a log is opened or was cut. */
export function replayBatch(
  producers: ProducerState,
  epochs: LeaderEpochCache,
  header: BatchHeader,
  wallMs: number,
): void {
  const { leaderEpoch, baseOffset, lastOffset } = header
  // A checkpoint that is older than a truncation may tell of epochs that the log does not have there: it is the log
  // that is right.
  const isContradicted = leaderEpoch >= 0 && leaderEpoch < epochs.epochAt(lastOffset)
  if (leaderEpoch > epochs.latestEpoch || isContradicted) epochs.assign(leaderEpoch, baseOffset)
  // Batches below the snapshot's offset are part of the snapshot.
  if (lastOffset < producers.endOffset) return
  if (header.producerId < 0n) producers.advanceTo((lastOffset + 1) as Offset)
  else replayProducer(producers, header, wallMs)
}

function replayProducer(
  producers: ProducerState,
  header: BatchHeader,
  wallMs: number,
): ProducerEntry | undefined {
  const { producerId, producerEpoch, lastOffset } = header
  return header.isControl
    ? producers.endTransaction(producerId, producerEpoch, null, lastOffset, wallMs)
    : producers.append(header, lastOffset, wallMs)
}
