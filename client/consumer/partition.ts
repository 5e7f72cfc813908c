/**
 * One assigned partition: where the application is in it, where fetching is, and what lies fetched between the two.
 * Pure. Batches are kept as they came; they are checked and decoded when they are taken.
 *
 *     |<- handed out ->|<------ fetched, buffered ------>|<- not yet fetched ...
 *                   position                        fetchOffset
 */
import { type KafkaError } from '../errors.ts'
import {
  ATTRIBUTE_CONTROL,
  ATTRIBUTE_TRANSACTIONAL,
  type BatchProblem,
  batchAttributes,
  batchLastOffset,
  batchLeaderEpoch,
  batchProducerId,
  forEachBatch,
} from '../protocol/batch.ts'
import { decodeMarker, RecordReader } from '../protocol/record.ts'
import { type ProducerId, type TopicId } from '../protocol/types.ts'
import { type AckLedger } from './acks.ts'

/** A batch that waits to be taken: the bytes of `bytes` from `at` on. */
export interface BufferedBatch {
  readonly bytes: Uint8Array
  readonly at: number
  readonly byteLength: number
  readonly lastOffset: number
  readonly leaderEpoch: number
  /** Where the position goes when it is used up: past batches behind it that are not shown. */
  nextOffset: number
}

/** What has to be looked up before fetching can start. `committed`: what the group has committed. */
export type LookUp = 'committed' | 'earliest' | 'latest' | { readonly timestamp: number }

export interface AbortedTransaction {
  readonly producerId: ProducerId
  readonly firstOffset: number
}

export class ConsumerPartition {
  readonly topic: string
  readonly partition: number
  topicId: TopicId | null = null
  /** Offset of the next record to hand out; meaningless while `lookUp` is set. */
  position = 0
  fetchOffset = 0
  lookUp: LookUp | null = null
  /** Leader epoch of the last batch fetched, or -1: what a new leader's log is compared with. */
  fetchedEpoch = -1
  /** The leader epoch up to which the log is known to agree with what was fetched. */
  agreedEpoch = -1
  paused = false
  /** The group takes it away: nothing more is fetched or handed out, and what is in hand is waited for. */
  fenced = false
  /** Worked on by a handler: nobody else takes from it. */
  busy = false
  /** An iterator has handed out a record of it and was not asked for the next one since. */
  inHand = false
  /** Records that were handed out to an application which acknowledges them; null where it does not. */
  acks: AckLedger | null = null
  /** Called when work on it ended, while somebody waits for that. */
  onProgress: (() => void) | null = null
  /** What the group has committed as far as is known here; -1 for nothing. */
  committedOffset = -1
  /** Leader epoch of the batch that was handed out last, or -1. */
  positionEpoch = -1
  /** Changes when what was fetched or is being fetched must not be used any more. */
  generation = 0
  highWatermark = -1
  lastStableOffset = -1
  logStartOffset = -1
  /** A replica that the leader sent us to (KIP-392), until a time on the monotonic clock. */
  preferredReplica: { readonly broker: number; readonly untilMs: number } | null = null
  /** The broker whose answer is awaited. */
  fetchingAt: number | null = null
  notBeforeMs = 0
  failures = 0
  lastError: KafkaError | null = null
  /** Nothing more is fetched until all that is buffered was taken. */
  drainFirst = false
  /** A single batch was larger than what was asked for. */
  maxBytes: number
  bufferedBytes = 0
  #buffered: BufferedBatch[] = []

  constructor(topic: string, partition: number, maxBytes: number) {
    this.topic = topic
    this.partition = partition
    this.maxBytes = maxBytes
  }

  get isHeldBack(): boolean {
    return this.paused || this.fenced
  }

  /** Everything before this offset is done with; meaningless while `lookUp` is set. */
  get processed(): number {
    return this.acks?.lowest ?? this.position
  }

  /** Work that has begun and is not done: a record in a handler, or handed out and not acknowledged. */
  get isWorkedOn(): boolean {
    if (this.busy) return true
    if (this.acks === null || !this.acks.isAwaited) return false
    return this.inHand || this.acks.isUsed
  }

  /** The record at `offset`, or the batch that begins there, is done with. */
  ack(offset: number): void {
    this.acks?.ack(offset)
    this.onProgress?.()
  }

  /** Goes on at `offset`; all that was fetched is dropped. */
  moveTo(offset: number): void {
    this.drop()
    this.acks?.clear()
    this.positionEpoch = -1
    this.lookUp = null
    this.position = offset
    this.fetchOffset = offset
    this.fetchedEpoch = -1
  }

  moveToLookUp(lookUp: LookUp): void {
    this.drop()
    this.lookUp = lookUp
  }

  /** Forgets what is buffered and what is being fetched. */
  drop(): void {
    this.generation++
    this.#buffered = []
    this.bufferedBytes = 0
    this.fetchOffset = this.position
    this.drainFirst = false
    this.notBeforeMs = 0
    this.failures = 0
  }

  peek(): BufferedBatch | null {
    return this.#buffered[0] ?? null
  }

  /** Ends the first buffered batch: it has been handed out. Returns the bytes that are free again. */
  shift(): number {
    const batch = this.#buffered.shift()
    if (batch === undefined) return 0
    this.position = Math.max(this.position, batch.nextOffset)
    this.bufferedBytes -= batch.byteLength
    return batch.byteLength
  }

  /**
   * Takes in fetched batches. `aborted` is null for read_uncommitted; else batches of aborted transactions are left
   * out. Control batches are never shown. Returns why the walk over the bytes ended early: INCOMPLETE is an ordinary
   * cut.
   */
  add(records: Uint8Array, aborted: readonly AbortedTransaction[] | null): BatchProblem | null {
    const filter = aborted === null ? null : new AbortedFilter(aborted)
    const walk = forEachBatch(records, (at, byteLength) => {
      // The smallest batch has its whole header; what is shorter is refused when it is checked.
      const lastOffset = batchLastOffset(records, at)
      if (lastOffset < this.fetchOffset) return
      const hidden = (batchAttributes(records, at) & ATTRIBUTE_CONTROL) !== 0
      const skip = filter?.isAborted(records, at, lastOffset) === true || hidden
      this.fetchOffset = lastOffset + 1
      const leaderEpoch = batchLeaderEpoch(records, at)
      this.fetchedEpoch = leaderEpoch
      if (skip) {
        const last = this.#buffered.at(-1)
        if (last === undefined) this.position = lastOffset + 1
        else last.nextOffset = lastOffset + 1
        return
      }
      this.#buffered.push({
        bytes: records,
        at,
        byteLength,
        lastOffset,
        leaderEpoch,
        nextOffset: lastOffset + 1,
      })
      this.bufferedBytes += byteLength
    })
    return walk.problem
  }
}

/**
 * Which batches belong to aborted transactions (KIP-98). The list names each by producer and first offset; it ends
 * with the producer's abort marker.
 */
class AbortedFilter {
  readonly #upcoming: AbortedTransaction[]
  readonly #active = new Set<ProducerId>()

  constructor(aborted: readonly AbortedTransaction[]) {
    this.#upcoming = [...aborted].sort((a, b) => a.firstOffset - b.firstOffset)
  }

  isAborted(records: Uint8Array, at: number, lastOffset: number): boolean {
    for (
      let next = this.#upcoming[0];
      next !== undefined && next.firstOffset <= lastOffset;
      next = this.#upcoming[0]
    ) {
      this.#active.add(next.producerId)
      this.#upcoming.shift()
    }
    const attributes = batchAttributes(records, at)
    if ((attributes & ATTRIBUTE_TRANSACTIONAL) === 0) return false
    const producerId = batchProducerId(records, at)
    if ((attributes & ATTRIBUTE_CONTROL) === 0) return this.#active.has(producerId)
    const record = new RecordReader(records, at).next()
    if (record !== null && decodeMarker(record)?.type === 'abort') this.#active.delete(producerId)
    return true
  }
}
