/**
 * Between a pure replica and its files: feeds the one with what happens to the other and carries out what it decides,
 * in its order. When to write and sync is the disk scheduler's to say; what an error means is said here.
 *
 * A write that fails is told to exactly those who sent it, and the log goes on from where the files end. A sync that
 * fails ends the broker: the system may have dropped what it could not write, and only a restart that reads the files
 * again tells what is there. From then on nothing is acknowledged, by any partition.
 */
import { asError, assert } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type ReplicaEffect, type ReplicaEvent } from '../replica/events.ts'
import { Replica } from '../replica/replica.ts'
import { type Retained } from '../slab.ts'
import { type PartitionLog } from '../storage/partition-log.ts'
import { AppendError } from '../storage/types.ts'
import { type Deadline } from './deadline-queue.ts'
import { type DiskWorker } from './disk-scheduler.ts'
import { FileExchange } from './file-exchange.ts'
import { FollowerLog } from './follower-log.ts'
import { type CutEvent, type DriverOptions, type HostServices, type Reply } from './host-services.ts'
import {
  type Acks,
  type FollowSpec,
  type IsrProposal,
  type LeadSpec,
  type ReplicaFetch,
  type ReplicatedFrom,
} from './partition-types.ts'
import { type Waiter } from './purgatory.ts'
import { ReplicaOutbox } from './replica-outbox.ts'
import { RollSnapshots } from './roll-snapshots.ts'

export type { ClusterServices } from './partition-types.ts'

/**
 * So much is written without waiting for the end of the turn: a larger write saves no time worth the name, while the
 * bytes leave the processor's cache before they have been copied.
 */
const EARLY_WRITE_BYTES = 512 * 1024

/** Why a partition takes no requests any more. */
type Gone = typeof ErrorCode.UNKNOWN_TOPIC_OR_PARTITION | typeof ErrorCode.NOT_LEADER_OR_FOLLOWER

export class ReplicaDriver implements DiskWorker, Deadline {
  readonly replica: Replica<Reply>
  readonly storage: PartitionLog
  readonly waiters = new Set<Waiter>()
  readonly replicaWaiters = new Set<Waiter>()
  /** For the queue of deadlines: a partition has one at most. */
  deadlineMs = Infinity
  heapIndex = -1
  readonly follower: FollowerLog
  /** What the recovery point may say at most while records are being cut off. */
  recoveryLimit = Infinity
  readonly #name: string
  readonly #options: DriverOptions
  readonly #services: HostServices
  #gone: Gone | null = null
  #writeScheduled = false
  #writing: Promise<void> | null = null
  #deleting: Promise<void> = Promise.resolve()
  readonly #snapshots: RollSnapshots
  #syncing: Promise<void> | null = null
  readonly #exchange = new FileExchange()
  /** The files are shorter already than the replica has been told. */
  #isCutting = false
  /** Who owns the bytes that are being produced in this very call. */
  #owner: Retained | null = null
  readonly #outbox: ReplicaOutbox
  /** A segment was rolled, and is not written yet. */
  #sealed = false

  constructor(options: DriverOptions) {
    this.#name = options.name
    this.#services = options.services
    this.#options = options
    this.storage = options.storage
    this.#snapshots = new RollSnapshots(options)
    this.replica = new Replica({
      brokerId: options.services.brokerId,
      log: options.state,
      highWatermark: options.highWatermark,
      lagTimeMaxMs: () => options.services.cluster?.lagTimeMaxMs() ?? Infinity,
    })
    this.#outbox = new ReplicaOutbox(this, options.services)
    this.follower = new FollowerLog(options.name, this, options.services)
  }

  /** Why requests cannot be served, or null when they can. */
  get unavailable(): ErrorCode | null {
    if (this.#gone !== null) return this.#gone
    return this.#services.halted() ? ErrorCode.KAFKA_STORAGE_ERROR : null
  }

  /** Settles when the files are no longer being exchanged; null when they are not. */
  get exchange(): Promise<void> | null {
    return this.#exchange.running
  }

  /** It leads or follows otherwise as soon as the files have been exchanged. */
  get isReassigned(): boolean {
    return this.#exchange.isTold
  }

  /** It leads, and its registration in the cluster has not run out. */
  get isServingLeader(): boolean {
    return this.replica.isLeader && this.isRegistered
  }

  get ledEpoch(): number {
    const { isLeader, leaderEpoch } = this.replica
    return isLeader && this.unavailable === null ? leaderEpoch : -1
  }

  get logStartOffset(): Offset {
    return this.replica.log.logStartOffset
  }

  get isRegistered(): boolean {
    const { cluster, clock } = this.#services
    return cluster === null || cluster.servingUntilMs() > clock.monotonicMs()
  }

  #refusal(): ErrorCode | null {
    return this.unavailable ?? (this.isServingLeader ? null : ErrorCode.NOT_LEADER_OR_FOLLOWER)
  }

  produce(records: Uint8Array, owner: Retained | null, acks: Acks, timeoutMs: number, reply: Reply): void {
    const refusal = this.#refusal()
    if (refusal !== null) {
      this.#outbox.refuse(reply, refusal, 'the partition is not served by this broker')
      return
    }
    if (this.exchange !== null) {
      owner?.retain()
      this.#exchange.hold(() => {
        this.produce(records, owner, acks, timeoutMs, reply)
        owner?.release()
      })
      return
    }
    this.#followStorage()
    this.#owner = owner
    this.#append(reply, records, acks, timeoutMs, false)
    this.#owner = null
    if (this.storage.pendingBytes >= EARLY_WRITE_BYTES && !this.#outbox.isDelivering) this.writePending()
  }

  /** A batch of the broker's own; see `PartitionHost.append`. */
  append(records: Uint8Array, baseOffset: Offset, reply: Reply): void {
    const error = this.#refusal() ?? ErrorCode.NONE
    if (error === ErrorCode.NONE && this.exchange !== null) {
      this.#exchange.hold(() => this.append(records, baseOffset, reply))
      return
    }
    if (error === ErrorCode.NONE) this.#followStorage()
    if (error !== ErrorCode.NONE || this.replica.log.logEndOffset !== baseOffset) {
      const message = 'records that this batch builds on are not in the log'
      this.#outbox.refuse(reply, error === ErrorCode.NONE ? ErrorCode.KAFKA_STORAGE_ERROR : error, message)
      return
    }
    this.#append(reply, records, -1, Infinity, true)
  }

  #append(token: Reply, records: Uint8Array, acks: Acks, timeoutMs: number, isInternal: boolean): void {
    const wallMs = this.#services.clock.wallMs()
    const active = this.storage.activeSegment
    const transactionVerified = false
    this.step({
      type: 'produce',
      token,
      records,
      acks,
      timeoutMs,
      isInternal,
      wallMs,
      active,
      transactionVerified,
    })
  }

  /** Feeds the replica and carries out what it decides; answers leave before this returns. */
  step(event: ReplicaEvent<Reply>): void {
    try {
      const effects = this.replica.step(event, this.#services.clock.monotonicMs())
      for (const effect of effects) this.#carryOut(effect)
    } catch (error) {
      this.#services.fatal(asError(error))
    }
    this.#outbox.deliver()
    this.follower.settle()
  }

  /** For the queue of deadlines. */
  reached(): void {
    this.deadlineMs = Infinity
    this.step({ type: 'tick' })
  }

  // ------------------------------------------------------------------------------------------ replication

  lead(spec: LeadSpec): void {
    this.#exchange.tell(() => this.#lead({ type: 'become-leader', ...spec }))
  }

  follow({ epoch }: FollowSpec): void {
    this.#exchange.tell(() => this.#lead({ type: 'become-follower', epoch }))
  }

  #lead(event: ReplicaEvent<Reply>): void {
    if (this.#gone === null) this.step(event)
  }

  isrDecided(decision: { readonly revision: number } | null, proposal: IsrProposal): void {
    if (decision !== null || this.#gone !== null) return
    const { leaderEpoch: epoch, revision } = proposal
    this.step({ type: 'isr-refused', epoch, revision })
  }

  /** Batches that were checked (`splitBatches`); or none, and only what the leader says of its log. */
  appendReplicated(batches: readonly Uint8Array[], owner: Retained | null, from: ReplicatedFrom): void {
    const { epoch, highWatermark, logStartOffset } = from
    const wallMs = this.#services.clock.wallMs()
    const leader = { type: 'replicate', epoch, highWatermark, logStartOffset, wallMs } as const
    for (const records of batches) {
      this.#owner = owner
      this.step({ ...leader, records, active: this.storage.activeSegment })
      this.#owner = null
    }
    if (batches.length === 0) this.step({ ...leader, records: null, active: this.storage.activeSegment })
    if (this.storage.pendingBytes >= EARLY_WRITE_BYTES && !this.#outbox.isDelivering) this.writePending()
  }

  /** See `PartitionHost.replicaFetched`, which has checked that it counts. */
  replicaFetched({ replica, brokerEpoch, fetchOffset, logStartOffset }: ReplicaFetch): void {
    const isMember = this.replica.inSync.maximalIsr.includes(replica)
    const mayJoin = !isMember && this.#services.cluster?.isActive(replica, brokerEpoch) === true
    this.step({ type: 'follower-fetched', replica, brokerEpoch, fetchOffset, logStartOffset, mayJoin })
  }

  // --------------------------------------------------------------------------------------------- disk

  /** For the disk scheduler. */
  writePending(): void {
    this.#writeScheduled = false
    if (this.#services.halted()) this.follower.settle()
    if (this.#writing !== null || this.#gone !== null || this.#isCutting || this.#services.halted()) return
    let writing: undefined | Promise<void>
    try {
      writing = this.storage.writePending()
    } catch (error) {
      this.#writeFailed(error)
      return
    }
    if (writing === undefined) {
      this.#written()
      return
    }
    this.#writing = writing.then(
      () => this.#writeEnded(null),
      (error: unknown) => this.#writeEnded(error),
    )
  }

  #writeEnded(error: unknown): void {
    this.#writing = null
    if (this.#gone !== null) return
    if (error === null) this.#written()
    else this.#writeFailed(error)
    // What came in meanwhile has waited for a turn already.
    if (this.storage.writtenOffset < this.storage.endOffset) this.writePending()
  }

  #written(): void {
    this.step({ type: 'written', endOffset: this.storage.writtenOffset })
    for (const waiter of this.replicaWaiters) waiter.wake()
    if (!this.#sealed) return
    this.#sealed = false
    this.#options.onSegmentSealed()
  }

  #writeFailed(error: unknown): void {
    if (!(error instanceof AppendError)) {
      this.#services.fatal(asError(error))
      return
    }
    this.#services.log.error(
      'records could not be written; their producers are told to try again, and reading goes on',
      { partition: this.#name, error },
    )
    this.#followStorage()
  }

  /** The files may have lost what they could not write before we hear of it: the log ends where they do. */
  #followStorage(): void {
    const { endOffset, writtenOffset } = this.storage
    if (endOffset === this.replica.log.logEndOffset || this.#isCutting) return
    this.step({ type: 'written', endOffset: Math.min(writtenOffset, endOffset) as Offset })
    this.step({
      type: 'write-failed',
      endOffset,
      message: 'the disk did not take the records: it is full or fails',
    })
    for (const waiter of this.replicaWaiters) waiter.wake()
    this.#snapshots.dropBeyond(endOffset)
  }

  /**
   * For the disk scheduler. Without it what came in this turn would wait for this sync, and then for one of
   * its own.
   */
  beforeSync(): void {
    if (this.storage.writtenOffset < this.storage.endOffset) this.writePending()
  }

  /** For the disk scheduler. */
  async sync(): Promise<void> {
    // A log that was cut is on disk already.
    if (this.#isCutting) return
    const syncing = this.#sync()
    this.#syncing = syncing
    await syncing
    if (this.#syncing === syncing) this.#syncing = null
    if (this.#services.halted()) this.follower.settle()
  }

  async #sync(): Promise<void> {
    if (this.#gone !== null || this.#services.halted()) return
    let endOffset: Offset
    try {
      endOffset = await this.storage.sync()
    } catch (error) {
      if (this.#gone === null) this.#services.fatal(asError(error))
      return
    }
    if (this.#gone !== null || this.#services.halted()) return
    // A write in several pieces tells of none before the last; a sync may have been for the first.
    if (endOffset > this.replica.log.writtenOffset) this.#written()
    this.step({ type: 'synced', endOffset })
    await this.#snapshots.save(endOffset)
  }

  // ------------------------------------------------------------------------------- rolling and retention

  /**
   * Deletes every record; the log goes on at its end. All of it must be written and committed. What is produced
   * meanwhile waits, for the files are not to be appended to while they are exchanged.
   */
  async deleteAll(): Promise<void> {
    const { logEndOffset } = this.replica.log
    assert(
      this.replica.highWatermark === logEndOffset && this.exchange === null,
      'all that is deleted is committed',
    )
    await this.exchangeFiles(async () => {
      this.step({ type: 'move-start', offset: logEndOffset })
      const { producers } = this.replica.log
      try {
        await this.#deleting
        await this.storage.truncateFullyAndStartAt(logEndOffset)
        await this.#snapshots.write({ offset: logEndOffset, entries: producers.snapshot() })
      } catch (error) {
        if (this.#gone === null) this.#services.fatal(asError(error))
      }
    })
  }

  /** Runs `work` with the files for itself: nothing is appended meanwhile, and nobody begins to lead or to follow. */
  async exchangeFiles<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#exchange.run(work)
    } finally {
      // The position of a follower is to be had again.
      this.#outbox.wake()
      this.#outbox.deliver()
    }
  }

  /** Resolves when nothing is written, synced, compacted or deleted any more; from within `exchangeFiles`. */
  async settleFiles(): Promise<void> {
    await this.#options.settleCompaction()
    await this.#deleting
    for (;;) {
      this.writePending()
      if (this.#writing !== null) await this.#writing
      else if (this.#syncing !== null) await this.#syncing
      else return
    }
  }

  /**
   * `cutFiles` cuts the log, and says what has become of it. Rejects where it fails: then the broker stops, for files
   * and memory may disagree, unless the partition has gone anyway.
   */
  async cut(cutFiles: () => Promise<CutEvent>): Promise<void> {
    this.#isCutting = true
    let event: CutEvent
    try {
      event = await cutFiles()
    } catch (error) {
      if (this.#gone === null) this.#services.fatal(asError(error))
      throw error
    }
    this.#isCutting = false
    this.#snapshots.wasCut(event.type === 'truncated' ? event.endOffset : -1)
    this.step(event)
    this.#options.onCut(this.replica.log.logEndOffset)
  }

  /** Moves the log start and deletes the segments below it; resolves to how many they were. */
  async moveStart(offset: Offset): Promise<number> {
    const before = this.storage.segments.length
    this.step({ type: 'move-start', offset })
    await this.#deleting
    return before - this.storage.segments.length
  }

  #deleteSegments(offset: Offset): void {
    this.#deleting = this.#deleting.then(async () => {
      if (this.#gone !== null) return
      try {
        await this.storage.deleteSegmentsBefore(offset)
      } catch (error) {
        this.#services.log.warn('old segments could not be deleted and are tried again later', {
          partition: this.#name,
          error,
        })
      }
    })
  }

  // ------------------------------------------------------------------------------------------- going away

  /** From now on every request is answered with `error`, also those that wait. */
  leave(error: Gone): void {
    if (this.#gone !== null) return
    // What came in this very turn is written all the same: its owners want their bytes back.
    this.writePending()
    this.#gone = error
    this.#services.deadlines.remove(this)
    this.step({ type: 'resign', error })
  }

  /**
   * Writes and syncs what is pending, so that those who wait are answered, then closes the files. `clean` also keeps
   * the producers' state, so that the next start has nothing to scan.
   */
  async close(clean: boolean): Promise<void> {
    while (this.exchange !== null) await this.exchange
    const orderly = clean && !this.#services.halted()
    if (orderly) {
      this.writePending()
      while (this.#writing !== null) await this.#writing
      await this.sync()
      await this.#snapshotAtEnd()
    }
    this.leave(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    await this.#deleting
    await this.storage.close(orderly && !this.#services.halted())
  }

  /** Removes the partition with all its files; `unique` keeps the folder's name from clashing with another one's. */
  async delete(unique: string): Promise<void> {
    this.leave(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    while (this.exchange !== null) await this.exchange
    await this.#writing
    try {
      await this.storage.writePending()
    } catch (error) {
      this.#services.log.warn('the last records of a deleted partition were not written', {
        partition: this.#name,
        error,
      })
    }
    await this.#deleting
    await this.storage.delete(unique)
  }

  /** Without one the next start would read the log from the last snapshot on, for producers that may not even exist. */
  async #snapshotAtEnd(): Promise<void> {
    const { logEndOffset, producers } = this.replica.log
    if (this.#snapshots.newestOffset === logEndOffset || logEndOffset === 0) return
    await this.#snapshots.write({ offset: logEndOffset, entries: producers.snapshot() })
  }

  // --------------------------------------------------------------------------------------------- effects

  #carryOut(effect: ReplicaEffect<Reply>): void {
    switch (effect.type) {
      case 'roll':
        this.storage.roll(effect.baseOffset)
        this.#sealed = true
        this.#snapshots.add({ offset: effect.baseOffset, entries: effect.producers })
        break
      case 'append': {
        const { bytes, baseOffset, lastOffset, maxTimestamp, leaderEpoch } = effect.batch
        this.storage.append({ bytes, owner: this.#owner, baseOffset, lastOffset, maxTimestamp, leaderEpoch })
        this.#scheduleWrite()
        break
      }
      case 'sync':
        this.#services.scheduler.sync(this)
        break
      case 'reply':
        this.#outbox.reply(effect)
        break
      case 'wake':
        this.#outbox.wake()
        break
      case 'propose-isr': {
        const { topicId, partition } = this.#options
        const { isr, revision } = effect
        const { leaderEpoch } = this.replica
        this.#outbox.propose({ topicId, partition, leaderEpoch, revision, isr })
        break
      }
      case 'set-timer':
        this.#services.deadlines.remove(this)
        this.deadlineMs = effect.atMs
        this.#services.deadlines.add(this)
        break
      case 'save-epochs':
        // The version of the epoch cache says so; it is written together with the recovery point that relies on it.
        break
      case 'start-moved':
        this.#deleteSegments(effect.offset)
        break
      default:
        effect satisfies never
    }
  }

  #scheduleWrite(): void {
    if (this.#writeScheduled || this.#writing !== null) return
    this.#writeScheduled = true
    this.#services.scheduler.write(this)
  }
}
