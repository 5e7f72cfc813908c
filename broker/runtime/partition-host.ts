/**
 * One partition alive, as requests see it: everything that may be asked of a partition is here. What is committed the
 * replica decides, what is written when the disk scheduler; between them and the files stands the driver.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type BrokerId, type LeaderEpoch, type Offset, type TopicId } from '../../client/protocol/types.ts'
import { type LogConfig } from '../log/config.ts'
import { type LogState } from '../log/log-state.ts'
import { planRetention } from '../log/segments.ts'
import { type Retained } from '../slab.ts'
import { type PartitionLog } from '../storage/partition-log.ts'
import { type HostServices } from './host-services.ts'
import { findOffset } from './list-offsets.ts'
import { PartitionCompaction } from './partition-compaction.ts'
import {
  type Acks,
  type ActiveProducer,
  type DeleteRecordsOutcome,
  type EndOffsetOutcome,
  type FetchOutcome,
  type FollowSpec,
  type Isolation,
  type IsrProposal,
  type LeadSpec,
  type ListOffsetOutcome,
  type PartitionDescription,
  type ProduceOutcome,
  type ReadRequest,
  type ReplicaFetch,
  type ReplicaPosition,
  type ReplicaRole,
  type ReplicatedFrom,
  type ReplicateOutcome,
  type TruncateOutcome,
} from './partition-types.ts'
import { type Waiter, type Wakeable } from './purgatory.ts'
import { isReadable, type ReadablePartition, readPartition } from './read-partition.ts'
import { ReplicaDriver } from './replica-driver.ts'
import { segmentConfigOf } from './segment-config.ts'
import { StartAdoption } from './start-adoption.ts'

export interface HostOptions {
  readonly services: HostServices
  readonly topicId: TopicId
  readonly topicName: string
  readonly partition: number
  readonly storage: PartitionLog
  readonly state: LogState
  readonly highWatermark: Offset
  /** Up to where the log was compacted, 0 where it was not. */
  readonly cleanedTo: Offset
  /** Of the newest producer snapshot in the folder, -1 where there is none. */
  readonly snapshotOffset: number
  /** Whether the checkpoint of the leader epochs has what `state` has. */
  readonly epochsAreSaved: boolean
  /** Whether the transaction indexes have any entry. */
  readonly hasAborted: boolean
}

export class PartitionHost implements Wakeable {
  readonly topicId: TopicId
  readonly topicName: string
  readonly partition: number
  /** For the broker's cleaner. */
  readonly compaction: PartitionCompaction
  /** Where fetches of followers wait: woken by what is written, and by changes of leadership. */
  readonly replicaWaiters: Wakeable
  readonly #services: HostServices
  readonly #driver: ReplicaDriver
  readonly #asLeader: ReadablePartition
  readonly #adoption: StartAdoption
  readonly #asReplica: ReadablePartition
  readonly #forReplicas: ReadablePartition
  #epochsSaved: number
  #retaining = false

  constructor(options: HostOptions) {
    this.topicId = options.topicId
    this.topicName = options.topicName
    this.partition = options.partition
    this.#services = options.services
    this.#driver = new ReplicaDriver({
      ...options,
      name: this.name,
      onSegmentSealed: () => void this.tryRetention(),
      settleCompaction: () => this.compaction.giveUp(),
      onCut: endOffset => this.compaction.wasCut(endOffset),
    })
    this.#asLeader = {
      name: this.name,
      check: epoch => this.checkLeader(epoch),
      isLeader: () => this.#driver.isServingLeader,
      bounds: this.#driver.replica,
      storage: options.storage,
      hasAborted: options.hasAborted,
      upTo: 'committed',
      log: options.services.log,
    }
    this.#asReplica = { ...this.#asLeader, check: epoch => this.checkReplica(epoch) }
    this.#forReplicas = { ...this.#asLeader, hasAborted: false, upTo: 'written' }
    const { replicaWaiters } = this.#driver
    this.replicaWaiters = {
      addWaiter: waiter => replicaWaiters.add(waiter),
      removeWaiter: waiter => replicaWaiters.delete(waiter),
    }
    const { inSync } = this.#driver.replica
    this.#adoption = new StartAdoption(
      {
        check: () => this.checkLeader(-1),
        lowestStart: () => inSync.lowestLogStart(this.state.logStartOffset),
      },
      options.services.clock,
      options.services.deadlines,
      this.#driver.waiters,
    )
    this.#epochsSaved = options.epochsAreSaved ? options.state.epochs.version : -1
    const { clock, log } = options.services
    const { storage, cleanedTo } = options
    this.compaction = new PartitionCompaction({ partition: this, storage, clock, log, cleanedTo })
  }

  /** As in the broker's log and in the name of the folder. */
  get name(): string {
    return `${this.topicName}-${this.partition}`
  }

  get state(): LogState {
    return this.#driver.replica.log
  }

  get leaderEpoch(): LeaderEpoch {
    return this.#driver.replica.leaderEpoch
  }

  get highWatermark(): Offset {
    return this.#driver.replica.highWatermark
  }

  get lastStableOffset(): Offset {
    return this.#driver.replica.lastStableOffset
  }

  /** Retention and compaction both take segments away: one at a time. */
  get mayBeCompacted(): boolean {
    return this.online && !this.#retaining && this.#driver.exchange === null
  }

  /**
   * A replica that was away has what a tombstone deletes, and would keep it were the tombstone gone when it comes back:
   * so none goes before all replicas have it. Kafka holds none back, and asks for a long delete.retention.ms.
   */
  get dueHorizonMs(): number {
    const { clock, cluster } = this.#services
    const wallMs = clock.wallMs()
    if (cluster === null) return wallMs
    if (!cluster.isWhole(this.topicId, this.partition)) return -Infinity
    return wallMs - Math.max(0, cluster.settledAfterMs() - this.state.config.deleteRetentionMs)
  }

  /** False after the partition left this broker or the disk failed. */
  get online(): boolean {
    return this.#driver.unavailable === null
  }

  // ------------------------------------------------------------------------------------------- records

  /**
   * Appends one record batch. `reply` is called exactly once: for acks -1 when the batch is committed, for acks 1 when
   * it is written, for acks 0 at once with the outcome of the checks; possibly before this method returns. `records`
   * are stamped in place; `owner` is retained for as long as the bytes are needed.
   */
  produce(
    records: Uint8Array,
    owner: Retained | null,
    acks: Acks,
    timeoutMs: number,
    reply: (outcome: ProduceOutcome) => void,
  ): void {
    this.#driver.produce(records, owner, acks, timeoutMs, reply)
  }

  /**
   * Appends one record batch that the broker itself has made; `records` belong to the partition from now on. It is not
   * held to the limits for clients. It is appended at `baseOffset` or not at all: where a batch before it was lost,
   * what builds on that one must not be kept either. `reply` is called exactly once, when the batch is committed,
   * however long that takes, or will not be.
   */
  append(records: Uint8Array, baseOffset: Offset, reply: (outcome: ProduceOutcome) => void): void {
    this.#driver.append(records, baseOffset, reply)
  }

  /** Synchronous where the tail cache has the bytes. */
  read(request: ReadRequest): FetchOutcome | Promise<FetchOutcome> {
    if (request.allowFollower !== true) return readPartition(this.#asLeader, request)
    return readPartition(this.#asReplica, request)
  }

  /**
   * Estimate of the bytes readable from `offset` on, without touching the disk; 0 when nothing is, at least 1 when
   * something is, Infinity when `offset` is out of range or the partition is gone (a fetch must then answer at once).
   */
  readableBytes(offset: Offset, isolation: Isolation): number {
    if (this.#driver.unavailable !== null) return Infinity
    const { state } = this
    if (offset < state.logStartOffset || offset > state.logEndOffset) return Infinity
    const limit = isolation === 'read_committed' ? this.lastStableOffset : this.highWatermark
    if (offset >= limit) return 0
    const beyond = limit < state.writtenOffset ? this.#storage.bytesFrom(limit) : 0
    return Math.max(1, this.#storage.bytesFrom(offset) - beyond)
  }

  /** Calls `listener` whenever the high watermark, the LSO or the log start moves, or the partition goes away. */
  onReadable(listener: () => void): () => void {
    const waiter: Waiter = { wake: listener }
    this.addWaiter(waiter)
    return () => this.removeWaiter(waiter)
  }

  addWaiter(waiter: Waiter): void {
    this.#driver.waiters.add(waiter)
  }

  removeWaiter(waiter: Waiter): void {
    this.#driver.waiters.delete(waiter)
  }

  /** `timestamp`: milliseconds since 1970, or one of the special values -1 to -6. */
  listOffset(
    timestamp: number,
    isolation: Isolation,
    currentLeaderEpoch: number,
  ): Promise<ListOffsetOutcome> {
    const query = { timestamp, isolation, currentLeaderEpoch }
    return findOffset(this, this.#driver.replica, this.#storage, this.#services.log, query)
  }

  // ------------------------------------------------------------------------------------------ leadership

  get role(): ReplicaRole {
    return this.#driver.replica.role
  }

  /** Begins or goes on to lead, alone. */
  becomeLeader(epoch: LeaderEpoch): void {
    const { brokerId } = this.#services
    this.lead({ epoch, partitionEpoch: 0, revision: 0, replicas: [brokerId], isr: [brokerId] })
  }

  /**
   * Leads from now on, or goes on to with other replicas or another ISR. What is older than what was said before is
   * ignored, and so is an epoch that a former life of this broker has led: of what it wrote some may be lost here and
   * be known to others. While the log is being truncated it takes effect after that.
   */
  lead(spec: LeadSpec): void {
    const { cluster, log } = this.#services
    if (cluster !== null && this.role === 'none' && spec.epoch <= this.state.epochs.latestEpoch) {
      const { epoch } = spec
      log.warn('an epoch of a former life is not led again', { partition: this.name, epoch })
      return
    }
    this.#driver.lead(spec)
  }

  /** Follows from now on: whoever waits for an answer gets NOT_LEADER_OR_FOLLOWER. The same rules as for `lead`. */
  follow(spec: FollowSpec): void {
    this.#driver.follow(spec)
  }

  /** The decision on a proposal: null when it was refused. Of an unknown outcome nothing is said. */
  isrDecided(decision: { readonly revision: number } | null, proposal: IsrProposal): void {
    this.#driver.isrDecided(decision, proposal)
  }

  // -------------------------------------------------------------------------------------- as a follower

  /**
   * Where this follower goes on; null while it is none, or its log is being truncated, or is not on disk yet as far as
   * it was appended: waiters are woken when that is over.
   */
  replicaPosition(): ReplicaPosition | null {
    return this.#driver.follower.position()
  }

  /**
   * Appends what the leader sent: whole batches, checked here, or none. Resolves when they are durable (written, with
   * log.flush.before.ack=false). `owner` is retained for as long as the bytes are needed.
   */
  replicate(records: Uint8Array, owner: Retained | null, from: ReplicatedFrom): Promise<ReplicateOutcome> {
    return this.#driver.follower.replicate(records, owner, from)
  }

  /** The leader's log parts from this one: cuts back to where both are known to agree (KIP-101, KIP-279). */
  diverged(epoch: number, endOffset: number, leaderEpoch: LeaderEpoch): Promise<TruncateOutcome> {
    return this.#driver.follower.diverged(epoch, endOffset, leaderEpoch)
  }

  /** The leader's log has nothing to go on with from here: this one begins anew, empty, at `atOffset`. */
  startOver(atOffset: Offset, leaderEpoch: LeaderEpoch): Promise<TruncateOutcome> {
    return this.#driver.follower.startOver(atOffset, leaderEpoch)
  }

  // ---------------------------------------------------------------------------------------- as a leader

  /**
   * Takes note of what a follower says to have, before its read. NONE also where the logs diverge or the offset is out
   * of range, which the read answers; else why it is not served.
   */
  replicaFetched(fetch: ReplicaFetch): ErrorCode {
    const error = this.checkLeader(fetch.leaderEpoch)
    if (error !== ErrorCode.NONE) return error
    const standing = this.#driver.replica.inSync.standing(fetch.replica, fetch.brokerEpoch)
    if (standing === 'stale') return ErrorCode.STALE_BROKER_EPOCH
    if (standing === 'unknown') {
      // Who knows the epoch may have been made a replica by a change that has not come to this leader yet.
      return fetch.leaderEpoch === -1 ? ErrorCode.NOT_LEADER_OR_FOLLOWER : ErrorCode.UNKNOWN_LEADER_EPOCH
    }
    const at = { offset: fetch.fetchOffset, lastFetchedEpoch: fetch.lastFetchedEpoch }
    if (isReadable(this.state, at)) this.#driver.replicaFetched(fetch)
    this.#adoption.wake()
    return ErrorCode.NONE
  }

  /** As `read`, for a follower: up to the end of what is written, committed or not. */
  readForReplica(request: ReadRequest): FetchOutcome | Promise<FetchOutcome> {
    return readPartition(this.#forReplicas, request)
  }

  /** As a leader: an in-sync follower that has told to have what comes at `offset`, or all before it. */
  hasInSync(broker: BrokerId, offset: Offset): boolean {
    const { inSync } = this.#driver.replica
    if (!inSync.isr.includes(broker)) return false
    const span = inSync.span(broker)
    return span !== null && span.logStartOffset <= offset && offset <= span.endOffset
  }

  /** As `readableBytes`, for a follower. */
  replicableBytes(offset: Offset): number {
    if (this.#driver.unavailable !== null) return Infinity
    const { state } = this
    if (offset < state.logStartOffset || offset > state.writtenOffset) return Infinity
    if (offset === state.writtenOffset) return 0
    return Math.max(1, this.#storage.bytesFrom(offset))
  }

  // -------------------------------------------------------------------------------------- administration

  /**
   * Records below `beforeOffset` are no longer offered, by no replica that is in sync, durably here when it resolves.
   * -1: up to the high watermark. Content when the log starts there already. REQUEST_TIMED_OUT: it is done here, and
   * not by all followers in `timeoutMs`; they come later.
   */
  async deleteRecords(beforeOffset: number, timeoutMs = Infinity): Promise<DeleteRecordsOutcome> {
    const refusal = this.checkLeader(-1)
    if (refusal !== ErrorCode.NONE) return { error: refusal, lowWatermark: -1 }
    const offset = (beforeOffset === -1 ? this.highWatermark : beforeOffset) as Offset
    if (offset < 0 || offset > this.highWatermark) {
      return { error: ErrorCode.OFFSET_OUT_OF_RANGE, lowWatermark: -1 }
    }
    try {
      await this.#driver.moveStart(offset)
      await this.#services.saveLogStarts()
    } catch (error) {
      this.#services.log.warn('the new log start could not be saved', { partition: this.name, error })
      return { error: ErrorCode.KAFKA_STORAGE_ERROR, lowWatermark: -1 }
    }
    const error = await this.#adoption.wait(offset, timeoutMs)
    if (error !== ErrorCode.NONE) return { error, lowWatermark: -1 }
    return { error, lowWatermark: this.#driver.replica.inSync.lowestLogStart(this.state.logStartOffset) }
  }

  offsetForLeaderEpoch(currentLeaderEpoch: number, epoch: number): EndOffsetOutcome {
    const error = this.checkLeader(currentLeaderEpoch)
    if (error !== ErrorCode.NONE) return { error, leaderEpoch: -1, endOffset: -1 }
    const found = this.state.epochs.endOffsetFor(epoch as LeaderEpoch, this.state.logEndOffset)
    return { error, leaderEpoch: found?.epoch ?? -1, endOffset: found?.endOffset ?? -1 }
  }

  describeProducers(): ActiveProducer[] {
    return Array.from(this.state.producers.entries(), entry => ({
      producerId: entry.producerId,
      producerEpoch: entry.producerEpoch,
      lastSequence: entry.batches.at(-1)?.lastSequence ?? -1,
      lastTimestamp: entry.lastTimestamp,
      coordinatorEpoch: entry.coordinatorEpoch,
      currentTransactionStartOffset: entry.transactionFirstOffset,
    }))
  }

  describe(): PartitionDescription {
    const { state } = this
    return {
      sizeBytes: this.#storage.sizeBytes,
      segments: this.#storage.segments.length,
      logStartOffset: state.logStartOffset,
      highWatermark: this.highWatermark,
      lastStableOffset: this.lastStableOffset,
      logEndOffset: state.logEndOffset,
      durableOffset: state.durableOffset,
      leaderEpoch: this.leaderEpoch,
      online: this.online,
    }
  }

  updateConfig(config: LogConfig): void {
    this.#storage.updateConfig(segmentConfigOf(config))
    this.#driver.step({ type: 'configure', config })
  }

  /**
   * NONE, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH or what else keeps this partition from serving as its leader; -1
   * asks for no check of the epoch (KIP-320).
   */
  checkLeader(currentLeaderEpoch: number): ErrorCode {
    const error = this.#checkEpoch(currentLeaderEpoch)
    if (error !== ErrorCode.NONE) return error
    return this.#driver.isServingLeader ? ErrorCode.NONE : ErrorCode.NOT_LEADER_OR_FOLLOWER
  }

  /** As `checkLeader`, for readers whom a follower may serve as well. */
  checkReplica(currentLeaderEpoch: number): ErrorCode {
    if (this.role !== 'follower') return this.checkLeader(currentLeaderEpoch)
    const error = this.#checkEpoch(currentLeaderEpoch)
    if (error !== ErrorCode.NONE) return error
    return this.#driver.exchange === null ? ErrorCode.NONE : ErrorCode.NOT_LEADER_OR_FOLLOWER
  }

  #checkEpoch(currentLeaderEpoch: number): ErrorCode {
    const { unavailable } = this.#driver
    if (unavailable !== null) return unavailable
    if (currentLeaderEpoch === -1 || currentLeaderEpoch === this.leaderEpoch) return ErrorCode.NONE
    return currentLeaderEpoch < this.leaderEpoch
      ? ErrorCode.FENCED_LEADER_EPOCH
      : ErrorCode.UNKNOWN_LEADER_EPOCH
  }

  // ----------------------------------------------------------------------------- for the manager's rounds

  /**
   * `applyRetention` that logs what goes wrong, for the rounds over all partitions and for every segment that is
   * sealed. The latter keeps retention.bytes to the segment, and leaves a spare file, still warm, for the next one:
   * writing to new pages costs many times as much.
   */
  async tryRetention(): Promise<void> {
    try {
      await this.applyRetention()
    } catch (error) {
      this.#services.log.warn('old segments could not be deleted and are tried again later', {
        partition: this.name,
        error,
      })
    }
  }

  /**
   * Deletes what the topic's retention lets go; resolves to the number of segments deleted. While the log is compacted,
   * or retention is at work already, that is none: the next round comes.
   */
  async applyRetention(): Promise<number> {
    const isBusy = this.#retaining || this.compaction.isRunning || this.#driver.exchange !== null
    if (this.#driver.unavailable !== null || isBusy) return 0
    this.#retaining = true
    try {
      return await this.#deleteOldSegments()
    } finally {
      this.#retaining = false
    }
  }

  async #deleteOldSegments(): Promise<number> {
    const { logStartOffset, logEndOffset, config } = this.state
    const bounds = { logStartOffset, logEndOffset, highWatermark: this.highWatermark }
    const plan = planRetention(this.#storage.segments, bounds, config, this.#services.clock.wallMs())
    if (plan.reason === null) return 0
    let deleted = this.#storage.segments.length
    // All of it is below the high watermark then, so nothing is pending.
    if (plan.deletesAll) await this.#driver.deleteAll()
    else deleted = await this.#driver.moveStart(plan.logStartOffset)
    this.#services.log.info('deleted old segments', {
      partition: this.name,
      segments: deleted,
      reason: plan.reason,
      logStartOffset: plan.logStartOffset,
    })
    return deleted
  }

  /** Removes files that were renamed to be deleted, when their delay is over. */
  async purgeDeleted(): Promise<void> {
    if (this.#driver.unavailable === null)
      await this.#storage.purgeDeleted(this.state.config.fileDeleteDelayMs)
  }

  /** The version of the leader epochs where the checkpoint does not have them yet, or null. */
  get unsavedEpochs(): number | null {
    const { version } = this.state.epochs
    return version === this.#epochsSaved ? null : version
  }

  epochsSaved(version: number): void {
    this.#epochsSaved = version
  }

  /** Everything below is on disk and stays there: what a start after a crash need not look through. */
  get recoveryPoint(): Offset {
    return Math.min(this.state.durableOffset, this.#driver.recoveryLimit) as Offset
  }

  get directory(): string {
    return this.#storage.directory
  }

  /** Base offset of the first segment: a log start above it must be kept in the checkpoint. */
  get firstOffset(): Offset {
    return this.#storage.firstOffset
  }

  /** Finishes what is pending and closes the files; `clean` so that the next start has nothing to scan. */
  async close(clean: boolean): Promise<void> {
    await this.compaction.stop()
    await this.#driver.close(clean)
  }

  /** From now on nobody is served; those who wait are told. `delete` follows. */
  leave(): void {
    this.#driver.leave(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  }

  /** Removes the partition with all its files. */
  async delete(unique: string): Promise<void> {
    // What it still wrote would end up in the folder of a topic of the same name.
    await this.compaction.stop()
    await this.#driver.delete(unique)
  }

  get #storage(): PartitionLog {
    return this.#driver.storage
  }
}
