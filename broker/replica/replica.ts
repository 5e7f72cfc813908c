/**
 * One replica of a partition as a state machine: who leads, what is committed, who still waits for an answer. Sans I/O:
 * `step` takes an event and says what is to be done; it holds no clock, touches no file, and never waits.
 *
 * A leader gives offsets and counts who has what; a follower appends what its leader has, and believes it how far
 * that is committed. Whatever an epoch has taught about others is forgotten with it, and what comes from an older one
 * is refused.
 *
 * The promise it keeps: with acks=all nothing is answered before it is committed, and nothing is committed before it is
 * on disk on every in-sync replica (where log.flush.before.ack says so, which is the default). Readers see committed
 * records alone. A retry is answered no earlier than the batch that it repeats.
 *
 *   log start <= last stable offset <= high watermark <= durable (or written) <= log end
 */
import { assert } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type BrokerId, type LeaderEpoch, NO_LEADER_EPOCH, type Offset } from '../../client/protocol/types.ts'
import { type AppendedBatch, type LogState } from '../log/log-state.ts'
import { type ProducerBatch, type ProducerRow } from '../log/producer-state.ts'
import { type RecordError } from '../log/record-checks.ts'
import { AckQueue, type WaitingProduce } from './ack-queue.ts'
import {
  type FollowerFetchedEvent,
  type ProduceEvent,
  type ReplicaEffect,
  type ReplicaEvent,
  type ReplicaRole,
  type Replicas,
  type ReplicateEvent,
} from './events.ts'
import { InSyncReplicas } from './in-sync-replicas.ts'

/**
 * Where acknowledgements do not wait for the disk, a finished segment is synced no later than this after its roll,
 * whatever flush.ms says: it bounds what a crash makes us scan. Not at once: the system writes back by itself in the
 * meantime, and what retention lets go before then never has to reach the disk.
 */
const SEALED_SYNC_MS = 10_000

export interface ReplicaOptions {
  readonly brokerId: BrokerId
  readonly log: LogState
  /** From the checkpoint; what is beyond the log's end is cut to it. */
  readonly highWatermark: Offset
  /** replica.lag.time.max.ms, as of now. */
  readonly lagTimeMaxMs: () => number
}

export class Replica<Token> {
  readonly log: LogState
  readonly #lagTimeMaxMs: () => number
  readonly #inSync: InSyncReplicas
  #role: ReplicaRole = 'none'
  #leaderEpoch = NO_LEADER_EPOCH
  #epochStartOffset = 0 as Offset
  #highWatermark: Offset
  /** As a follower: what the leader of this epoch has told of its log; 0 before it told anything. */
  #leaderHighWatermark = 0
  #leaderLogStart = 0
  readonly #awaitingWrite = new AckQueue<Token>()
  readonly #awaitingCommit = new AckQueue<Token>()
  #timerAtMs = Infinity
  #syncAsked = 0 as Offset
  /** When the oldest record that is not durable was appended; Infinity when all are. */
  #unsyncedSinceMs = Infinity
  /** When a segment that was rolled must be synced at the latest. */
  #sealedSyncAtMs = Infinity
  /** Reused by every step, so that an append allocates no array. */
  readonly #effects: ReplicaEffect<Token>[] = []

  constructor(options: ReplicaOptions) {
    this.log = options.log
    this.#lagTimeMaxMs = options.lagTimeMaxMs
    this.#inSync = new InSyncReplicas(options.brokerId)
    const { logStartOffset, logEndOffset } = options.log
    this.#highWatermark = Math.max(logStartOffset, Math.min(options.highWatermark, logEndOffset)) as Offset
    options.log.producers.transactions.highWatermarkMoved(this.#highWatermark)
    this.#syncAsked = logEndOffset
  }

  get role(): ReplicaRole {
    return this.#role
  }

  get isLeader(): boolean {
    return this.#role === 'leader'
  }

  get leaderEpoch(): LeaderEpoch {
    return this.#leaderEpoch
  }

  /** Where this leader's epoch begins: until the high watermark is there, it may still be behind a former leader's. */
  get epochStartOffset(): Offset {
    return this.#epochStartOffset
  }

  get highWatermark(): Offset {
    return this.#highWatermark
  }

  /** What read_committed readers may see: everything below the first transaction that is not decided and committed. */
  get lastStableOffset(): Offset {
    const unstable = this.log.producers.transactions.firstUnstableOffset
    return unstable !== null && unstable < this.#highWatermark ? unstable : this.#highWatermark
  }

  /**
   * How far this replica counts as having the log: to where it is on disk, or with log.flush.before.ack=false to
   * where it is written.
   */
  get ownOffset(): Offset {
    return this.log.config.flushBeforeAck ? this.log.durableOffset : this.log.writtenOffset
  }

  /** As a leader: who is in sync, who may be, and how far the others are. */
  get inSync(): Pick<
    InSyncReplicas,
    'isr' | 'maximalIsr' | 'replicas' | 'span' | 'standing' | 'isProposing' | 'lowestLogStart'
  > {
    return this.#inSync
  }

  /** Requests that wait for an answer. */
  get waiting(): number {
    return this.#awaitingWrite.size + this.#awaitingCommit.size
  }

  /** `nowMs` is the monotonic clock. The array is valid until the next step: carry out all of it before. */
  step(event: ReplicaEvent<Token>, nowMs: number): readonly ReplicaEffect<Token>[] {
    const effects = this.#effects
    effects.length = 0
    switch (event.type) {
      case 'produce':
        this.#produce(event, nowMs)
        break
      case 'written':
        this.#written(event.endOffset, nowMs)
        break
      case 'write-failed':
        this.#writeFailed(event.endOffset, event.message)
        break
      case 'synced':
        this.#synced(event.endOffset, nowMs)
        break
      case 'tick':
        this.#tick(nowMs)
        break
      case 'become-leader':
        this.#becomeLeader(event.epoch, event, nowMs)
        break
      case 'become-follower':
        this.#becomeFollower(event.epoch)
        break
      case 'resign':
        this.#stepDown('none', event.error)
        break
      case 'follower-fetched':
        this.#followerFetched(event, nowMs)
        break
      case 'isr-refused':
        if (event.epoch === this.#leaderEpoch) this.#inSync.refused(event.revision)
        this.#advanceHighWatermark()
        break
      case 'replicate':
        this.#replicate(event, nowMs)
        break
      case 'truncated':
        this.log.truncated(event.endOffset, event.producers)
        this.#wasCut()
        break
      case 'started-over':
        this.log.startedOver(event.offset)
        this.#wasCut()
        break
      case 'move-start':
        this.#moveStart(event.offset)
        break
      case 'configure':
        this.log.configure(event.config)
        // Written records may count from now on, or must be synced from now on.
        this.#syncIfDue(nowMs)
        this.#advanceHighWatermark()
        break
      default:
        event satisfies never
    }
    this.#checkInvariants()
    return effects
  }

  // ------------------------------------------------------------------------------------------ produce

  #produce(event: ProduceEvent<Token>, nowMs: number): void {
    if (!this.#mayProduce(event)) return
    const decision = this.log.append(
      event.records,
      this.#leaderEpoch,
      event.active,
      event.wallMs,
      event.transactionVerified,
      event.isInternal ?? false,
    )
    switch (decision.kind) {
      case 'refused':
        this.#refuse(event.token, decision.error, decision.message, decision.recordErrors)
        break
      case 'duplicate':
        this.#awaitDuplicate(event, decision.of, nowMs)
        break
      case 'append': {
        const { batch, roll } = decision
        this.#append(batch, batch.baseOffset, roll, nowMs)
        this.#await(event, batch.baseOffset, (batch.lastOffset + 1) as Offset, event.wallMs, nowMs)
        break
      }
      default:
        decision satisfies never
    }
  }

  #append(
    batch: AppendedBatch,
    previousEnd: Offset,
    roll: readonly ProducerRow[] | null,
    nowMs: number,
  ): void {
    if (roll !== null) this.#effects.push({ type: 'roll', baseOffset: previousEnd, producers: roll })
    this.#effects.push({ type: 'append', batch })
    if (this.#unsyncedSinceMs === Infinity) this.#unsyncedSinceMs = nowMs
    this.#scheduleFlush(nowMs, roll !== null)
  }

  #mayProduce(event: ProduceEvent<Token>): boolean {
    if (this.#role !== 'leader') {
      this.#refuse(event.token, ErrorCode.NOT_LEADER_OR_FOLLOWER, 'this broker does not lead the partition')
      return false
    }
    const inSync = this.#inSync.isr.length
    if (event.acks !== -1 || this.#mayCommit()) return true
    this.#refuse(
      event.token,
      ErrorCode.NOT_ENOUGH_REPLICAS,
      `${inSync} replicas are in sync, min.insync.replicas wants ${this.#minInSync()}`,
    )
    return false
  }

  /** The original may itself be on its way to disk still: its retry is answered when, and only if, it gets there. */
  #awaitDuplicate(event: ProduceEvent<Token>, of: ProducerBatch, nowMs: number): void {
    const baseOffset = (of.lastOffset - of.offsetDelta) as Offset
    this.#await(event, baseOffset, (of.lastOffset + 1) as Offset, of.timestamp, nowMs)
  }

  #await(
    event: ProduceEvent<Token>,
    baseOffset: Offset,
    endOffset: Offset,
    appendedMs: number,
    nowMs: number,
  ): void {
    const waiting: WaitingProduce<Token> = {
      token: event.token,
      endOffset,
      deadlineMs: nowMs + event.timeoutMs,
      baseOffset,
      logAppendTimeMs: this.log.config.messageTimestampType === 'LogAppendTime' ? appendedMs : -1,
    }
    const reached = event.acks === -1 ? this.#highWatermark : this.log.writtenOffset
    if (event.acks === 0 || endOffset <= reached) {
      this.#succeed(waiting)
      return
    }
    if (event.acks === -1) this.#awaitingCommit.push(waiting)
    else this.#awaitingWrite.push(waiting)
    this.#setTimer(waiting.deadlineMs)
  }

  // --------------------------------------------------------------------------------------------- disk

  #written(endOffset: Offset, nowMs: number): void {
    const before = this.log.writtenOffset
    this.log.written(endOffset)
    if (this.log.writtenOffset > before) this.#inSync.wrote(before, nowMs)
    this.#answerReached(this.#awaitingWrite, this.log.writtenOffset)
    this.#syncIfDue(-Infinity)
    if (this.#awaitsFlush) this.#scheduleFlush(nowMs, false)
    this.#advanceHighWatermark()
  }

  #synced(endOffset: Offset, nowMs: number): void {
    this.log.synced(endOffset)
    // Who came while the sync was under way counts from now: a little late is what flush.ms allows.
    this.#unsyncedSinceMs = this.log.durableOffset < this.log.logEndOffset ? nowMs : Infinity
    if (this.#unsyncedSinceMs !== Infinity) this.#scheduleFlush(nowMs, false)
    this.#syncIfDue(nowMs)
    this.#advanceHighWatermark()
  }

  #writeFailed(endOffset: Offset, message: string): void {
    this.log.writeFailed(endOffset)
    if (this.#syncAsked > endOffset) this.#syncAsked = endOffset
    if (this.log.durableOffset === endOffset) this.#unsyncedSinceMs = Infinity
    const lost = (entry: WaitingProduce<Token>): boolean => entry.endOffset > endOffset
    for (const queue of [this.#awaitingWrite, this.#awaitingCommit]) {
      for (const entry of queue.takeWhere(lost))
        this.#refuse(entry.token, ErrorCode.KAFKA_STORAGE_ERROR, message)
    }
    if (this.#role !== 'leader') return
    // An epoch that began behind the end begins there now.
    this.log.beginEpoch(this.#leaderEpoch)
    if (this.#epochStartOffset > endOffset) {
      this.#epochStartOffset = endOffset
      this.#effects.push({ type: 'save-epochs' })
    }
  }

  /** Asks for a sync when something written has to be durable and no sync was asked for that covers it. */
  #syncIfDue(nowMs: number): void {
    const { log } = this
    if (!this.#awaitsFlush) return
    const { flushBeforeAck, flushMessages, flushMs } = log.config
    const due =
      flushBeforeAck ||
      log.writtenOffset - log.durableOffset >= flushMessages ||
      nowMs - this.#unsyncedSinceMs >= flushMs ||
      nowMs >= this.#sealedSyncAtMs
    if (due) this.#askForSync()
  }

  /** Something is written that no sync has made durable or was asked to. */
  get #awaitsFlush(): boolean {
    const { writtenOffset, durableOffset } = this.log
    return writtenOffset > durableOffset && writtenOffset > this.#syncAsked
  }

  #askForSync(): void {
    this.#syncAsked = this.log.writtenOffset
    this.#sealedSyncAtMs = Infinity
    this.#effects.push({ type: 'sync' })
  }

  /**
   * With log.flush.before.ack every write is synced anyway; else flush.ms and finished segments want a look
   * at the clock.
   */
  #scheduleFlush(nowMs: number, rolled: boolean): void {
    const { flushBeforeAck, flushMs } = this.log.config
    if (flushBeforeAck) return
    if (rolled && this.#sealedSyncAtMs === Infinity) this.#sealedSyncAtMs = nowMs + SEALED_SYNC_MS
    const unsyncedSinceMs = this.#unsyncedSinceMs === Infinity ? nowMs : this.#unsyncedSinceMs
    const flushAtMs = flushMs === Number.MAX_SAFE_INTEGER ? Infinity : unsyncedSinceMs + flushMs
    const atMs = Math.min(this.#sealedSyncAtMs, flushAtMs)
    if (atMs !== Infinity) this.#setTimer(atMs)
  }

  // ------------------------------------------------------------------------------------------- commit

  /** Replicas that must be in sync for acks=all: a partition cannot want more than it has. */
  #minInSync(): number {
    return Math.min(this.log.config.minInsyncReplicas, this.#inSync.replicas.length)
  }

  /**
   * The limit as this broker knows it is not enough: where it was lowered, or whoever wrote the ISR knows a higher
   * one, there may be replicas left that could be elected without what is committed now.
   */
  #mayCommit(): boolean {
    return this.#inSync.isr.length >= this.#minInSync() && !this.#inSync.hasEligible
  }

  /**
   * A leader counts; below min.insync.replicas nothing is committed, also not what acks=1 has sent (KIP-966). A
   * follower believes its leader, as far as it has the records itself.
   */
  #advanceHighWatermark(): void {
    if (this.#role === 'leader') {
      if (!this.#mayCommit()) return
      this.#commitTo(this.#inSync.committedOffset(this.ownOffset))
    } else if (this.#role === 'follower') {
      this.#commitTo(Math.min(this.#leaderHighWatermark, this.ownOffset) as Offset)
      this.#moveStart(Math.min(this.#leaderLogStart, this.#highWatermark) as Offset)
      // Whoever fetches for it goes on only when it has all that it was sent.
      if (this.ownOffset === this.log.logEndOffset) this.#effects.push({ type: 'wake' })
    }
  }

  #commitTo(committed: Offset): void {
    if (committed <= this.#highWatermark) return
    this.#highWatermark = committed
    this.log.producers.transactions.highWatermarkMoved(committed)
    this.#answerReached(this.#awaitingCommit, committed)
    this.#effects.push({ type: 'wake' })
  }

  #answerReached(queue: AckQueue<Token>, offset: Offset): void {
    for (let entry = queue.takeReached(offset); entry !== null; entry = queue.takeReached(offset)) {
      this.#succeed(entry)
    }
  }

  // ------------------------------------------------------------------------------------------ the rest

  #becomeLeader(epoch: LeaderEpoch, replicas: Replicas, nowMs: number): void {
    if (epoch < this.#leaderEpoch) return
    if (epoch === this.#leaderEpoch && this.#role === 'leader') {
      if (!this.#inSync.update(replicas, nowMs)) return
    } else {
      this.#inSync.begin(replicas, nowMs)
      this.#role = 'leader'
      this.#leaderEpoch = epoch
      if (this.log.beginEpoch(epoch)) this.#effects.push({ type: 'save-epochs' })
      // After a restart the epoch may be the one that was: then it began where it did.
      this.#epochStartOffset = this.log.epochs.entries.at(-1)?.startOffset ?? this.log.logEndOffset
    }
    this.#effects.push({ type: 'wake' })
    this.#watchFollowers(nowMs)
    this.#advanceHighWatermark()
  }

  /** Stepping down is always safe: also from an epoch that was led. */
  #becomeFollower(epoch: LeaderEpoch): void {
    if (epoch < this.#leaderEpoch || (epoch === this.#leaderEpoch && this.#role === 'follower')) return
    this.#leaderEpoch = epoch
    this.#leaderHighWatermark = 0
    this.#leaderLogStart = 0
    this.#stepDown('follower', ErrorCode.NOT_LEADER_OR_FOLLOWER)
  }

  #stepDown(role: 'follower' | 'none', error: ErrorCode): void {
    this.#role = role
    this.#inSync.end()
    for (const queue of [this.#awaitingWrite, this.#awaitingCommit]) {
      for (const entry of queue.takeWhere(() => true)) {
        this.#refuse(entry.token, error, 'this broker ceased to lead before the records were committed')
      }
    }
    this.#effects.push({ type: 'wake' })
  }

  #followerFetched(event: FollowerFetchedEvent, nowMs: number): void {
    if (this.#role !== 'leader') return
    const { writtenOffset } = this.log
    if (event.fetchOffset > writtenOffset || !this.#inSync.fetched(event, writtenOffset, nowMs)) return
    if (event.mayJoin) {
      const offsets = {
        endOffset: writtenOffset,
        highWatermark: this.#highWatermark,
        epochStartOffset: this.#epochStartOffset,
      }
      this.#propose(this.#inSync.expansion(event.replica, offsets))
    }
    this.#advanceHighWatermark()
  }

  #propose(isr: ReturnType<InSyncReplicas['expansion']>): void {
    if (isr !== null) this.#effects.push({ type: 'propose-isr', revision: this.#inSync.revision, isr })
  }

  /** Who lags is looked for twice in the time that it may lag. */
  #watchFollowers(nowMs: number): void {
    if (this.#inSync.isr.length > 1) this.#setTimer(nowMs + this.#lagTimeMaxMs() / 2)
  }

  #replicate(event: ReplicateEvent, nowMs: number): void {
    if (this.#role !== 'follower' || event.epoch !== this.#leaderEpoch) return
    if (event.records !== null) {
      // Compaction on the leader may have left a gap before the batch. A new segment begins where the log ended all the
      // same: a hole between two segments is how recovery knows that something is missing.
      const previousEnd = this.log.logEndOffset
      const { batch, roll } = this.log.appendReplicated(event.records, event.active, event.wallMs)
      this.#append(batch, previousEnd, roll, nowMs)
    }
    this.#leaderHighWatermark = event.highWatermark
    this.#leaderLogStart = event.logStartOffset
    this.#advanceHighWatermark()
  }

  /** Only what was never committed is cut, but for an unclean election: then the high watermark goes back with it. */
  #wasCut(): void {
    const { logStartOffset, logEndOffset, producers } = this.log
    this.#highWatermark = Math.max(logStartOffset, Math.min(this.#highWatermark, logEndOffset)) as Offset
    producers.transactions.highWatermarkMoved(this.#highWatermark)
    this.#syncAsked = Math.min(this.#syncAsked, logEndOffset) as Offset
    if (this.log.durableOffset === logEndOffset) this.#unsyncedSinceMs = Infinity
    this.#effects.push({ type: 'save-epochs' }, { type: 'wake' })
  }

  #moveStart(offset: Offset): void {
    assert(offset <= this.#highWatermark, 'records are deleted below the high watermark only')
    if (!this.log.moveStartTo(offset)) return
    this.#effects.push({ type: 'start-moved', offset }, { type: 'save-epochs' }, { type: 'wake' })
  }

  #tick(nowMs: number): void {
    this.#timerAtMs = Infinity
    const late = (entry: WaitingProduce<Token>): boolean => entry.deadlineMs <= nowMs
    let earliestMs = Infinity
    for (const queue of [this.#awaitingWrite, this.#awaitingCommit]) {
      if (queue.earliestDeadlineMs() <= nowMs) {
        for (const entry of queue.takeWhere(late)) {
          this.#refuse(
            entry.token,
            ErrorCode.REQUEST_TIMED_OUT,
            'the records were appended but not committed in the time that the request allows',
          )
        }
      }
      earliestMs = Math.min(earliestMs, queue.earliestDeadlineMs())
    }
    this.#syncIfDue(nowMs)
    if (this.#role === 'leader') {
      const { writtenOffset } = this.log
      this.#propose(this.#inSync.shrinkage(writtenOffset, this.#lagTimeMaxMs(), nowMs))
      this.#watchFollowers(nowMs)
    }
    if (earliestMs !== Infinity) this.#setTimer(earliestMs)
    // What is not written yet is looked at when it is: to set a timer that is over already would be to do so for ever.
    if (this.#awaitsFlush) this.#scheduleFlush(nowMs, false)
  }

  /** One timer for all that waits: it is moved only to an earlier time, and set anew when it has gone off. */
  #setTimer(atMs: number): void {
    if (atMs >= this.#timerAtMs) return
    this.#timerAtMs = atMs
    this.#effects.push({ type: 'set-timer', atMs })
  }

  #succeed(entry: WaitingProduce<Token>): void {
    this.#effects.push({
      type: 'reply',
      token: entry.token,
      error: ErrorCode.NONE,
      message: null,
      baseOffset: entry.baseOffset,
      logAppendTimeMs: entry.logAppendTimeMs,
    })
  }

  #refuse(token: Token, error: ErrorCode, message: string, recordErrors?: readonly RecordError[]): void {
    const nowhere = { baseOffset: -1, logAppendTimeMs: -1 } as const
    this.#effects.push({ type: 'reply', token, error, message, recordErrors, ...nowhere })
  }

  #checkInvariants(): void {
    const { log } = this
    assert(log.logStartOffset <= this.#highWatermark, 'the log starts at or below its high watermark')
    assert(this.lastStableOffset <= this.#highWatermark, 'stable records are committed')
    assert(this.#highWatermark <= log.writtenOffset, 'what is committed is written')
    assert(log.durableOffset <= log.writtenOffset, 'what is durable is written')
    assert(log.writtenOffset <= log.logEndOffset, 'what is written was appended')
  }
}
