/**
 * One partition of `__consumer_offsets` from the moment this broker leads it until it does not: loads the shard from the
 * log, runs it, and loads it anew when memory and log have parted. While it loads, requests are answered with
 * COORDINATOR_LOAD_IN_PROGRESS, and only those of its own groups.
 */
import { AssertionError } from '../../client/protocol/assert.ts'
import { ErrorCode, errorName } from '../../client/protocol/errors.ts'
import { type LogRecord } from '../../client/protocol/record.ts'
import { type LeaderEpoch, type TopicId } from '../../client/protocol/types.ts'
import { type Log, type TimerHandle } from '../env.ts'
import { type GroupSurroundings } from '../group/config.ts'
import { GroupShard } from '../group/group-shard.ts'
import { decodeGroupRecord } from '../group/records.ts'
import { GroupHost, type GroupHostServices } from './group-host.ts'
import { type PartitionHost } from './partition-host.ts'
import { type ProduceOutcome } from './partition-types.ts'
import { replayPartition } from './replay-partition.ts'
import { HEAVY, Slices } from './slices.ts'
import { type WorkQueue } from './work-queue.ts'

export interface GroupPartitionServices extends GroupHostServices {
  readonly log: Log
  readonly surroundings: GroupSurroundings
  /** Shards are loaded one after the other: each slice of work then lets all others have their turn. */
  readonly loads: WorkQueue
}

/** After a load that failed. */
const RETRY_MS = 10_000

export class GroupPartition {
  readonly host: PartitionHost
  /** The term of leadership that this is the coordinator of: in the next one others may have written. */
  readonly leaderEpoch: LeaderEpoch
  readonly #services: GroupPartitionServices
  #running: GroupHost | null = null
  #isClosed = false
  #retry: TimerHandle | null = null
  /** A load failed and is tried again later. */
  #hasFailed = false
  /** Topics deleted while the shard was being loaded. */
  #deletedTopics: string[] = []

  constructor(services: GroupPartitionServices, host: PartitionHost) {
    this.#services = services
    this.host = host
    this.leaderEpoch = host.leaderEpoch
    this.#load()
  }

  get topicId(): TopicId {
    return this.host.topicId
  }

  /** The shard, or why it cannot be asked now. Who asks for one that is loading moves it to the front of the queue. */
  get running(): GroupHost | ErrorCode {
    if (this.#running !== null) return this.#running
    if (this.#isClosed) return ErrorCode.NOT_COORDINATOR
    if (this.#hasFailed) return ErrorCode.COORDINATOR_NOT_AVAILABLE
    this.#services.loads.hurry(this)
    return ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
  }

  topicsDeleted(names: readonly string[]): void {
    if (this.#running !== null) this.#running.tell({ kind: 'topics-deleted', names })
    else this.#deletedTopics.push(...names)
  }

  /** Answers who waits with `error`, but for those whose records are on their way. */
  close(error: ErrorCode): void {
    this.#isClosed = true
    this.#services.loads.cancel(this)
    if (this.#retry !== null) this.#services.timers.clear(this.#retry)
    this.#running?.close(error)
    this.#running = null
  }

  // ----------------------------------------------------------------------------------------------- loading

  #load(): void {
    const { logStartOffset, logEndOffset } = this.host.state
    if (logStartOffset < logEndOffset) {
      this.#services.loads.add(this, () => this.#loadInTurn())
      return
    }
    // Nothing to read, which is so for most partitions: nobody has to wait for it.
    const running = this.#hostOf(new GroupShard(this.#services.surroundings))
    running.tell({ kind: 'loaded' })
    this.#running = running
  }

  /** Never rejects. */
  async #loadInTurn(): Promise<void> {
    const { clock, log } = this.#services
    const beganMs = clock.monotonicMs()
    const records = this.host.state.logEndOffset - this.host.state.logStartOffset
    try {
      const loaded = await this.#loadShard(new Slices(this.#services))
      if (loaded === null) return
      this.#running = loaded
      this.#hasFailed = false
      const names = this.#deletedTopics.splice(0)
      if (names.length > 0) loaded.tell({ kind: 'topics-deleted', names })
      log.info('Loaded the groups of a partition', {
        partition: this.host.name,
        groups: loaded.shard.groupIds().length,
        offsets: loaded.shard.offsetCount,
        records,
        elapsedMs: Math.round(clock.monotonicMs() - beganMs),
      })
    } catch (error) {
      this.#loadFailed(error)
    }
  }

  /** Null when nobody wants it any more. */
  async #loadShard(slices: Slices): Promise<GroupHost | null> {
    const shard = new GroupShard(this.#services.surroundings)
    const isComplete = await replayPartition({
      host: this.host,
      endOffset: this.host.state.logEndOffset,
      slices,
      isWanted: () => !this.#isClosed,
      onRecord: record => applyRecord(shard, record),
    })
    if (!isComplete) return null
    const loaded = this.#hostOf(shard)
    for (const groupId of shard.groupIds()) {
      loaded.tell({ kind: 'resume', groupId })
      // A group may have thousands of members.
      if (slices.isOver(HEAVY)) await slices.rest()
      if (!this.#isClosed) continue
      loaded.close(ErrorCode.NOT_COORDINATOR)
      return null
    }
    loaded.tell({ kind: 'loaded' })
    // Where a record of those above could not be written, this has begun anew already.
    return loaded.isRunning ? loaded : null
  }

  #hostOf(shard: GroupShard): GroupHost {
    return new GroupHost({
      services: this.#services,
      shard,
      partition: this.host,
      onFailed: outcome => this.#writeFailed(outcome),
    })
  }

  #writeFailed({ error, errorMessage }: ProduceOutcome): void {
    this.#running = null
    if (this.#isClosed) return
    this.#services.log.error(
      'Records of groups could not be written. Their clients are told to try again, and the groups are loaded anew from the log.',
      { partition: this.host.name, error: errorName(error), reason: errorMessage },
    )
    // Not at once: the failure is told from within the partition, which has more to tell.
    this.#services.loads.add(this, () => this.#loadInTurn())
  }

  #loadFailed(error: unknown): void {
    if (this.#isClosed) return
    if (error instanceof AssertionError) {
      this.#services.fatal(error)
      return
    }
    this.#hasFailed = true
    this.#services.log.error(
      'The groups of a partition could not be loaded, so they have no coordinator. It is tried again; where a record cannot be read, look at it with `sluice log dump`.',
      { partition: this.host.name, error, retryMs: RETRY_MS },
    )
    this.#retry = this.#services.timers.set(RETRY_MS, () => {
      this.#retry = null
      this.#services.loads.add(this, () => this.#loadInTurn())
    })
  }
}

function applyRecord(shard: GroupShard, { key, value, offset }: LogRecord): void {
  // Kafka writes none without a key; there is nothing that one could be about.
  const record = key === null ? null : decodeGroupRecord(key, value)
  if (record !== null) shard.apply(record, offset)
}
