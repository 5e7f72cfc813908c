/**
 * Between a pure replica and its files: feeds the one with what happens to the other and carries out what it decides,
 * in its order. When to write and sync is the disk scheduler's to say; what an error means is said here.
 *
 * A write that fails is told to exactly those who sent it, and the log goes on from where the files end. A sync that
 * fails ends the broker: the system may have dropped what it could not write, and only a restart that reads the files
 * again tells what is there. From then on nothing is acknowledged, by any partition.
 */
import { assert } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type BrokerId, type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type Clock, type Log } from '../env.ts'
import { type LogState } from '../log/log-state.ts'
import { type ProduceReply, type ReplicaEffect, type ReplicaEvent } from '../replica/events.ts'
import { Replica } from '../replica/replica.ts'
import { type Retained } from '../slab.ts'
import { type PartitionLog } from '../storage/partition-log.ts'
import { type ProducerSnapshot } from '../storage/producer-snapshot.ts'
import { AppendError } from '../storage/types.ts'
import { type Deadline, type DeadlineQueue } from './deadline-queue.ts'
import { type DiskScheduler, type DiskWorker } from './disk-scheduler.ts'
import {
  type Acks,
  type ClusterServices,
  type FollowSpec,
  type IsrProposal,
  type ProduceOutcome,
  type ReplicaFetch,
  type ReplicaPosition,
  type ReplicatedFrom,
  type ReplicateOutcome,
  type TruncateOutcome,
} from './partition-types.ts'
import { type Waiter } from './purgatory.ts'

export type { ClusterServices } from './partition-types.ts'

/**
 * So much is written without waiting for the end of the turn: a larger write saves no time worth the name, while the
 * bytes leave the processor's cache before they have been copied.
 */
const EARLY_WRITE_BYTES = 512 * 1024

/** What all partitions of a broker share. */
export interface HostServices {
  readonly clock: Clock
  readonly log: Log
  readonly scheduler: DiskScheduler
  readonly deadlines: DeadlineQueue
  readonly brokerId: BrokerId
  /** True once a sync has failed: nothing is acknowledged any more. */
  halted(): boolean
  /** A sync failed or an assertion did: the broker must stop. */
  fatal(error: Error): void
  /** Resolves when the log start offsets of now are on disk. */
  saveLogStarts(): Promise<void>
  /** Resolves when the leader epochs and recovery points of now are on disk. */
  saveRecoveryPoints(): Promise<void>
  /** Null: this broker is alone, and leads all that it has. */
  readonly cluster: ClusterServices | null
}

export interface DriverOptions {
  readonly name: string
  readonly services: HostServices
  readonly storage: PartitionLog
  readonly state: LogState
  readonly highWatermark: Offset
  /** Of the newest producer snapshot in the folder, -1 where there is none. */
  readonly snapshotOffset: number
  /** A segment was rolled and written: the moment to see which old ones may go. */
  readonly onSegmentSealed: () => void
}

export type Reply = (outcome: ProduceOutcome) => void

/** Why a partition takes no requests any more. */
export type Gone = typeof ErrorCode.UNKNOWN_TOPIC_OR_PARTITION | typeof ErrorCode.NOT_LEADER_OR_FOLLOWER

export class ReplicaDriver implements DiskWorker, Deadline {
  readonly replica: Replica<Reply>
  readonly storage: PartitionLog
  readonly waiters = new Set<Waiter>()
  /** Followers' fetches: they wait for what is written, committed or not, and for the end of the leadership. */
  readonly replicaWaiters = new Set<Waiter>()
  /** The epoch that it led in when followers were last woken, -1 for none. */
  #epochToldToReplicas = -1
  /** For the queue of deadlines: a partition has one at most. */
  deadlineMs = Infinity
  heapIndex = -1
  readonly #name: string
  readonly #services: HostServices
  readonly #onSegmentSealed: () => void
  #gone: Gone | null = null
  #writeScheduled = false
  #writing: Promise<void> | null = null
  #deleting: Promise<void> = Promise.resolve()
  /** Producer snapshots of rolls whose data is not durable yet, oldest first. */
  #snapshots: ProducerSnapshot[] = []
  #snapshotOffset: number
  /** What is produced while the files are being exchanged; null when they are not. */
  #held: (() => void)[] | null = null
  /** Who owns the bytes that are being produced in this very call. */
  #owner: Retained | null = null
  #outbox: ProduceReply<Reply>[] = []
  #wakePending = false
  /** A segment was rolled, and is not written yet. */
  #sealed = false
  #delivering = false

  constructor(options: DriverOptions) {
    this.#name = options.name
    this.#services = options.services
    this.#onSegmentSealed = options.onSegmentSealed
    this.storage = options.storage
    this.#snapshotOffset = options.snapshotOffset
    this.replica = new Replica({
      brokerId: options.services.brokerId,
      log: options.state,
      highWatermark: options.highWatermark,
    })
  }

  /** Why requests cannot be served, or null when they can. */
  get unavailable(): ErrorCode | null {
    if (this.#gone !== null) return this.#gone
    return this.#services.halted() ? ErrorCode.KAFKA_STORAGE_ERROR : null
  }

  produce(records: Uint8Array, owner: Retained | null, acks: Acks, timeoutMs: number, reply: Reply): void {
    const { unavailable } = this
    if (unavailable !== null) {
      reply(this.#outcome(unavailable, 'the partition is not served by this broker any more', -1, -1))
      return
    }
    if (this.#held !== null) {
      owner?.retain()
      this.#held.push(() => {
        this.produce(records, owner, acks, timeoutMs, reply)
        owner?.release()
      })
      return
    }
    this.#followStorage()
    this.#owner = owner
    this.#append(reply, records, acks, timeoutMs, false)
    this.#owner = null
    if (this.storage.pendingBytes >= EARLY_WRITE_BYTES && !this.#delivering) this.writePending()
  }

  /** A batch of the broker's own; see `PartitionHost.append`. */
  append(records: Uint8Array, baseOffset: Offset, reply: Reply): void {
    if (this.#held !== null) {
      this.#held.push(() => this.append(records, baseOffset, reply))
      return
    }
    if (this.unavailable === null) this.#followStorage()
    const error = this.unavailable ?? ErrorCode.NONE
    if (error !== ErrorCode.NONE || this.replica.log.logEndOffset !== baseOffset) {
      const message = 'records that this batch builds on are not in the log'
      reply(this.#outcome(error === ErrorCode.NONE ? ErrorCode.KAFKA_STORAGE_ERROR : error, message, -1, -1))
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
    if (!this.#delivering) this.#deliver()
  }

  /** For the queue of deadlines. */
  reached(): void {
    this.deadlineMs = Infinity
    this.step({ type: 'tick' })
  }

  // ------------------------------------------------------------------------------------------ replication

  follow(_spec: FollowSpec): void {
    this.step({ type: 'resign', error: ErrorCode.NOT_LEADER_OR_FOLLOWER })
  }

  isrDecided(_decision: { readonly revision: number } | null, _proposal: IsrProposal): void {}

  replicaPosition(): ReplicaPosition | null {
    return null
  }

  async replicate(
    _records: Uint8Array,
    _owner: Retained | null,
    _from: ReplicatedFrom,
  ): Promise<ReplicateOutcome> {
    return 'fenced'
  }

  async diverged(_epoch: number, _endOffset: number, _leaderEpoch: LeaderEpoch): Promise<TruncateOutcome> {
    return 'fenced'
  }

  async startOver(_atOffset: Offset, _leaderEpoch: LeaderEpoch): Promise<TruncateOutcome> {
    return 'fenced'
  }

  replicaFetched(_fetch: ReplicaFetch): ErrorCode {
    return ErrorCode.NOT_LEADER_OR_FOLLOWER
  }

  // --------------------------------------------------------------------------------------------- disk

  /** For the disk scheduler. */
  writePending(): void {
    this.#writeScheduled = false
    if (this.#writing !== null || this.#gone !== null || this.#services.halted()) return
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
    this.#onSegmentSealed()
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
    if (endOffset === this.replica.log.logEndOffset) return
    this.step({ type: 'written', endOffset: Math.min(writtenOffset, endOffset) as Offset })
    this.step({
      type: 'write-failed',
      endOffset,
      message: 'the disk did not take the records: it is full or fails',
    })
    this.#snapshots = this.#snapshots.filter(snapshot => snapshot.offset <= endOffset)
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
    if (this.#gone !== null || this.#services.halted()) return
    let endOffset: Offset
    try {
      endOffset = await this.storage.sync()
    } catch (error) {
      if (this.#gone === null) this.#services.fatal(asError(error))
      return
    }
    if (this.#gone !== null || this.#services.halted()) return
    this.step({ type: 'synced', endOffset })
    if (this.#snapshots.length > 0) await this.#saveSnapshots()
  }

  /**
   * A snapshot is written only when all that it counts is durable: were the data lost and written anew, a snapshot of
   * what had been there before would let duplicates in.
   */
  async #saveSnapshots(): Promise<void> {
    for (let next = this.#snapshots[0]; next !== undefined; next = this.#snapshots[0]) {
      if (next.offset > this.replica.log.durableOffset) return
      this.#snapshots.shift()
      try {
        await this.storage.writeSnapshot(next)
        this.#snapshotOffset = next.offset
      } catch (error) {
        this.#services.log.warn('a producer snapshot could not be written: the next start may take longer', {
          partition: this.#name,
          error,
        })
      }
    }
  }

  // ------------------------------------------------------------------------------- rolling and retention

  /**
   * Deletes every record; the log goes on at its end. All of it must be written and committed. What is produced
   * meanwhile waits, for the files are not to be appended to while they are exchanged.
   */
  async deleteAll(): Promise<void> {
    const { logEndOffset, producers } = this.replica.log
    assert(
      this.replica.highWatermark === logEndOffset && this.#held === null,
      'all that is deleted is committed',
    )
    this.#held = []
    this.step({ type: 'move-start', offset: logEndOffset })
    try {
      await this.#deleting
      await this.storage.truncateFullyAndStartAt(logEndOffset)
      await this.storage.writeSnapshot({ offset: logEndOffset, entries: producers.snapshot() })
      this.#snapshotOffset = logEndOffset
    } catch (error) {
      if (this.#gone === null) this.#services.fatal(asError(error))
    } finally {
      const held = this.#held
      this.#held = null
      for (const produce of held) produce()
    }
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
    if (this.#snapshotOffset === logEndOffset || logEndOffset === 0) return
    await this.storage.writeSnapshot({ offset: logEndOffset, entries: producers.snapshot() })
  }

  // --------------------------------------------------------------------------------------------- effects

  #carryOut(effect: ReplicaEffect<Reply>): void {
    switch (effect.type) {
      case 'roll':
        this.storage.roll(effect.baseOffset)
        this.#sealed = true
        this.#snapshots.push({ offset: effect.baseOffset, entries: effect.producers })
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
        this.#outbox.push(effect)
        break
      case 'wake':
        this.#wakePending = true
        break
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

  /**
   * Tells those who asked, after the machine is at rest: an answer may lead to the next request in the same call, and
   * that must not meet a half-done step.
   */
  #deliver(): void {
    this.#delivering = true
    try {
      while (this.#outbox.length > 0 || this.#wakePending) {
        if (this.#wakePending) {
          this.#wakePending = false
          for (const waiter of this.waiters) waiter.wake()
          this.#wakeReplicas()
        }
        const outbox = this.#outbox
        this.#outbox = []
        for (const reply of outbox) this.#answer(reply)
      }
    } catch (error) {
      this.#services.fatal(asError(error))
    } finally {
      this.#delivering = false
    }
  }

  /** Not for every high watermark: only when it leads no longer, or in another epoch. */
  #wakeReplicas(): void {
    const { isLeader, leaderEpoch } = this.replica
    const epoch = isLeader && this.unavailable === null ? leaderEpoch : -1
    if (epoch === this.#epochToldToReplicas) return
    this.#epochToldToReplicas = epoch
    for (const waiter of this.replicaWaiters) waiter.wake()
  }

  #answer(reply: ProduceReply<Reply>): void {
    if (this.#services.halted() && reply.error === ErrorCode.NONE) {
      reply.token(this.#outcome(ErrorCode.KAFKA_STORAGE_ERROR, 'the broker stops: its disk failed', -1, -1))
      return
    }
    const { error, message, baseOffset, logAppendTimeMs, recordErrors } = reply
    const outcome = this.#outcome(error, message, baseOffset, logAppendTimeMs)
    reply.token(recordErrors === undefined ? outcome : { ...outcome, recordErrors })
  }

  #outcome(
    error: ErrorCode,
    errorMessage: string | null,
    baseOffset: number,
    logAppendTimeMs: number,
  ): ProduceOutcome {
    const { logStartOffset } = this.replica.log
    return { error, errorMessage, baseOffset, logAppendTimeMs, logStartOffset }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
