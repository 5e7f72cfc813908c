/**
 * The batches of one partition: in which order they are sent, and what an answer means for them. Pure: no clock, no
 * sockets; the sender asks what may go out and reports what came of it.
 *
 * The rule that keeps order and single copies (KIP-98, KIP-360): batches get their sequence numbers when they are
 * first sent and keep them over all repetitions. After any failure nothing more is sent until every batch under way
 * has been answered; then the undecided ones are repeated in their old order. The broker recognizes what it has
 * already.
 *
 *     flying:  [4] [5] [6] [7]        5 fails with NOT_LEADER, so 6 and 7 fail with OUT_OF_ORDER
 *     wait:    until 4, 6 and 7 are answered too
 *     repeat:  [5] [6] [7], then go on with [8]
 *
 * A gap in the sequence remains where a batch was refused for good. The broker then refuses the next one, the head of
 * the queue, with OUT_OF_ORDER: so nothing behind the gap was stored, and all undecided batches are numbered anew from
 * 0 under the next epoch, which is per partition, because so is the broker's memory of it.
 *
 * Of a batch that ran out of time nobody knows whether it leaves a gap: the leader may have stored it and what came
 * behind it, all uncommitted, while the next leader has none of it and refuses the same numbers; and then the first one
 * may lead again, with all that it has. So nothing new is sent while there is such a doubt. What was sent already keeps
 * its numbers: when one of those is stored, there was no gap; one that is refused may be with the other leader, and is
 * given up in its turn. When none is left, the next epoch begins, and fences off what arrives late.
 */
import { type KafkaError } from '../errors.ts'
import { assert } from '../protocol/assert.ts'
import { ErrorCode, isRetriable } from '../protocol/errors.ts'
import { NO_PRODUCER_ID, type ProducerEpoch, type ProducerId } from '../protocol/types.ts'
import { type ProducerBatch } from './batch.ts'

const MAX_PRODUCER_EPOCH = 0x7fff
const SEQUENCE_MASK = 0x7fff_ffff

export interface ProducerIdentity {
  readonly producerId: ProducerId
  readonly producerEpoch: ProducerEpoch
}

/**
 * - `delivered`: it is stored
 * - `retry`: it is sent again
 * - `failed`: it was refused for good
 * - `doubtful`: it cannot be sent again without the risk that it is stored twice
 * - `ignored`: its fate was decided before
 */
export type Verdict = 'delivered' | 'retry' | 'failed' | 'doubtful' | 'ignored'

export class PartitionQueue {
  readonly topic: string
  readonly partition: number
  /** The batch that takes records. */
  open: ProducerBatch | null = null
  /** Whether the open batch may be sent as it is. Until it can be, it goes on taking records. */
  openIsDue = false
  /** Bytes of the last batch that was sealed: what the next one will probably take. */
  lastBatchBytes = 0
  /** Not before this time on the monotonic clock is anything sent. */
  notBeforeMs = 0
  /** What keeps its batches from being sent, for the error of those that run out of time. */
  blockedBy: KafkaError | null = null
  epochBumps = 0
  readonly #idempotent: boolean
  readonly #maxInFlight: number
  #ready: ProducerBatch[] = []
  /** Sent at least once and not decided, in the order of their sequence. */
  #undecided: ProducerBatch[] = []
  #flying = 0
  #flyingTo = -1
  /** A batch failed, and not all that were under way then have been answered. */
  #recovering = false
  #gap = false
  /** Ordinal of the last batch that was given up and may have been stored all the same; -1: there is none. */
  #doubtful = -1
  /**
   * Whether a batch was stored since the identity or the way changed. Until then one batch at a time: a broker that
   * does not know the producer (yet) takes any sequence, and would take the second where the first had failed.
   */
  #proven: boolean
  #producerId: ProducerId = NO_PRODUCER_ID
  #epoch = 0
  #nextSequence = 0
  #nextOrdinal = 0
  #failures = 0
  readonly #onSeal: (queue: PartitionQueue) => void

  /** `onSeal` is told whenever a batch takes no more records. */
  constructor(
    topic: string,
    partition: number,
    options: { idempotent: boolean; maxInFlight: number; onSeal?: (queue: PartitionQueue) => void },
  ) {
    this.#onSeal = options.onSeal ?? (() => {})
    this.topic = topic
    this.partition = partition
    this.#idempotent = options.idempotent
    this.#proven = !options.idempotent
    this.#maxInFlight = options.maxInFlight
  }

  /** Failures in a row, for the length of the pause. */
  get failures(): number {
    return this.#failures
  }

  get isEmpty(): boolean {
    return this.open === null && this.#ready.length === 0 && this.#undecided.length === 0
  }

  get hasUnsent(): boolean {
    if (this.#ready.length > 0 || (this.open !== null && this.openIsDue)) return true
    return this.#undecided.some(batch => batch.state === 'waiting')
  }

  /** Whether the epochs of its producer id are used up, so that it waits for another id. */
  needsIdentity(identity: ProducerIdentity | null): boolean {
    if (!this.#idempotent) return false
    if (this.#producerId === NO_PRODUCER_ID) return identity === null
    return this.#gap && this.#epoch >= MAX_PRODUCER_EPOCH && identity?.producerId === this.#producerId
  }

  /** Ends the batch that takes records, so that it may be sent. */
  seal(): void {
    const batch = this.open
    if (batch === null) return
    this.open = null
    this.openIsDue = false
    this.lastBatchBytes = batch.byteLength
    batch.state = 'ready'
    this.#ready.push(batch)
    this.#onSeal(this)
  }

  /** The batch that may be sent to `broker` now, or null. Follow up with `sent`, in the same turn. */
  next(nowMs: number, broker: number, identity: ProducerIdentity | null): ProducerBatch | null {
    if (nowMs < this.notBeforeMs) return null
    // After a failure, and between two leaders, all answers first.
    if (this.#flying > 0 && (!this.#proven || this.#flyingTo !== broker)) return null
    if (this.needsIdentity(identity)) return null
    if (this.#flying === 0) this.#startOver(identity)
    for (const batch of this.#undecided) if (batch.state === 'waiting') return batch
    if (this.#doubtful >= 0 || this.#reach() >= this.#maxInFlight) return null
    if (this.#ready.length === 0 && this.openIsDue) this.seal()
    return this.#ready[0] ?? null
  }

  /**
   * Batches from the oldest undecided one on, those between that are decided included: the broker recognizes a
   * repetition only while the batch is among the last five that it has stored.
   */
  #reach(): number {
    const oldest = this.#undecided[0]
    return oldest === undefined ? 0 : this.#nextOrdinal - oldest.ordinal
  }

  /** Nothing is under way: the moment to close a gap and to forget the failure. */
  #startOver(identity: ProducerIdentity | null): void {
    this.#recovering = false
    if (!this.#idempotent) return
    assert(identity !== null, 'an idempotent producer has an identity before it sends')
    if (this.#producerId === NO_PRODUCER_ID) {
      this.#adopt(identity.producerId, identity.producerEpoch)
    } else if (this.#gap) {
      if (this.#epoch < MAX_PRODUCER_EPOCH) this.#adopt(this.#producerId, this.#epoch + 1)
      else this.#adopt(identity.producerId, identity.producerEpoch)
      this.epochBumps++
    }
  }

  #adopt(producerId: ProducerId, epoch: number): void {
    this.#gap = false
    this.#doubtful = -1
    this.#proven = false
    this.#producerId = producerId
    this.#epoch = epoch
    this.#nextSequence = 0
    for (const batch of this.#undecided) this.#number(batch)
  }

  #number(batch: ProducerBatch): void {
    batch.ordinal = this.#nextOrdinal++
    batch.mayBeStored = false
    batch.restamp(this.#producerId, this.#epoch as ProducerEpoch, this.#nextSequence)
    // Sequences wrap from 2^31-1 to 0.
    this.#nextSequence = (this.#nextSequence + batch.recordCount) & SEQUENCE_MASK
  }

  /** `batch` is what `next` gave. */
  sent(batch: ProducerBatch, broker: number): void {
    if (batch.state === 'ready') {
      const first = this.#ready.shift()
      assert(first === batch, 'batches are sent in their order')
      if (this.#idempotent) this.#number(batch)
      else batch.ordinal = this.#nextOrdinal++
      this.#undecided.push(batch)
    }
    assert(batch.state === 'waiting' || batch.state === 'ready', 'a batch is under way once at a time')
    batch.state = 'flying'
    batch.attempts++
    this.#flying++
    this.#flyingTo = broker
  }

  /**
   * The broker's answer to a batch under way, or null where there will be none (the connection broke, or the answer
   * took too long): whether it was stored is then unknown.
   */
  answered(batch: ProducerBatch, errorCode: number | null): Verdict {
    this.#flying--
    assert(this.#flying >= 0, 'every answer belongs to a batch under way')
    const isHead = this.#undecided[0] === batch
    const delivered = errorCode === ErrorCode.NONE || errorCode === ErrorCode.DUPLICATE_SEQUENCE_NUMBER
    if (delivered) {
      this.#failures = 0
      if (!this.#recovering) this.#proven = true
      // It was taken, so all before it were.
      if (batch.ordinal >= this.#doubtful) this.#doubtful = -1
    } else {
      if (!this.#recovering) this.#failures++
      this.#recovering = true
      this.#proven = false
    }
    const verdict = this.#judge(batch, errorCode, delivered, isHead)
    if (verdict === 'retry') batch.state = 'waiting'
    else this.#remove(batch)
    this.#endDoubt()
    return verdict
  }

  #judge(batch: ProducerBatch, errorCode: number | null, delivered: boolean, isHead: boolean): Verdict {
    if (batch.state === 'done') return 'ignored'
    if (delivered) {
      batch.state = 'ready'
      return 'delivered'
    }
    if (this.#idempotent && errorCode !== null && isSequenceError(errorCode)) {
      if (!isHead) return 'retry'
      if (this.#doubtful >= 0 && batch.mayBeStored) {
        this.#doubt(batch)
        return 'doubtful'
      }
      this.#gap = true
      return 'retry'
    }
    if (errorCode !== null && !isRetriable(errorCode)) {
      // Whether this leaves a gap, and who stands behind it, the broker will tell: batches before this one may be
      // stored already without our knowing, and must keep their numbers.
      if (batch.mayBeStored) this.#doubt(batch)
      return 'failed'
    }
    batch.mayBeStored = true
    return 'retry'
  }

  #doubt(batch: ProducerBatch): void {
    if (this.#idempotent) this.#doubtful = Math.max(this.#doubtful, batch.ordinal)
  }

  /** Nothing has a number any more that a leader could know: the next one is of another epoch. */
  #endDoubt(): void {
    if (this.#doubtful < 0 || this.#undecided.length > 0) return
    this.#doubtful = -1
    this.#gap = true
  }

  /**
   * Takes out the batches whose time is over; the caller settles them. Those under way leave when they are answered.
   */
  expire(nowMs: number): ProducerBatch[] {
    return this.#takeOut(batch => batch.deadlineMs <= nowMs)
  }

  /** Takes out everything. */
  clear(): ProducerBatch[] {
    return this.#takeOut(() => true)
  }

  #takeOut(isOver: (batch: ProducerBatch) => boolean): ProducerBatch[] {
    const taken = this.#undecided.filter(batch => batch.state !== 'done' && isOver(batch))
    this.#undecided = this.#undecided.filter(batch => batch.state === 'flying' || !taken.includes(batch))
    for (const batch of taken) if (batch.state === 'flying' || batch.mayBeStored) this.#doubt(batch)
    this.#endDoubt()
    const ready = this.#ready.filter(isOver)
    if (ready.length > 0) this.#ready = this.#ready.filter(batch => !ready.includes(batch))
    const open = this.open !== null && isOver(this.open) ? [this.open] : []
    if (open.length > 0) {
      this.open = null
      this.openIsDue = false
    }
    return [...taken, ...ready, ...open]
  }

  #remove(batch: ProducerBatch): void {
    const index = this.#undecided.indexOf(batch)
    assert(index >= 0, 'a batch is answered once')
    this.#undecided.splice(index, 1)
  }
}

function isSequenceError(errorCode: number): boolean {
  return (
    errorCode === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER ||
    errorCode === ErrorCode.UNKNOWN_PRODUCER_ID ||
    errorCode === ErrorCode.INVALID_PRODUCER_EPOCH
  )
}
