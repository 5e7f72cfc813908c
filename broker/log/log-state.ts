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
  batchBaseSequence,
  batchHasProducerId,
  batchLastOffsetDelta,
  batchMaxTimestamp,
  batchProducerEpoch,
  batchProducerId,
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
  readonly producers: ProducerState
  readonly #rollJitter: number
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
    this.producers = options.producers
    this.producers.advanceTo(options.logEndOffset)
    this.epochs = new LeaderEpochCache(options.epochs)
    this.epochs.truncateFromEnd(options.logEndOffset)
    this.epochs.truncateFromStart(options.logStartOffset)
  }

  get config(): LogConfig {
    return this.#config
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
    const epoch = this.epochs.latestEpoch
    if (this.epochs.truncateFromEnd(offset) && epoch >= 0) this.epochs.assign(epoch, offset)
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

/** What a batch that is in the log already says of its producer, on recovery and, later, on a follower. */
export function replayBatch(
  producers: ProducerState,
  epochs: LeaderEpochCache,
  header: BatchHeader,
  wallMs: number,
): void {
  if (header.leaderEpoch > epochs.latestEpoch) epochs.assign(header.leaderEpoch, header.baseOffset)
  // Batches below the snapshot's offset are part of the snapshot.
  if (header.lastOffset < producers.endOffset) return
  const { producerId, producerEpoch, lastOffset } = header
  if (producerId < 0n) producers.advanceTo((lastOffset + 1) as Offset)
  else if (header.isControl) producers.endTransaction(producerId, producerEpoch, null, lastOffset, wallMs)
  else producers.append(header, lastOffset, wallMs)
}
