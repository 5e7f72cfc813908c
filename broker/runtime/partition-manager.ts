/**
 * All partitions of this broker: opens them at start, makes and deletes them, and does what is to be done for all from
 * time to time (checkpoints, retention, expiry of producers) behind one timer. A partition costs memory, not timers.
 *
 * It must never read a folder as a partition that it was not made for, and never lets a start look clean that followed
 * an unclean stop.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import { type Env } from '../env.ts'
import { type LogConfig } from '../log/config.ts'
import { parentOf } from '../storage/checkpoints.ts'
import { writePartitionMetadata } from '../storage/metadata-files.ts'
import { SharedStorage } from '../storage/shared-storage.ts'
import { type TailCache } from '../storage/tail-cache.ts'
import { Checkpoints, type LastKnown, NOTHING_KNOWN, readLastKnown } from './checkpoints.ts'
import { type DataFolder } from './data-folder.ts'
import { DeadlineQueue } from './deadline-queue.ts'
import { DiskScheduler } from './disk-scheduler.ts'
import { type HostServices } from './host-services.ts'
import { type CleanerConfig, DEFAULT_CLEANER_CONFIG, LogCleaner } from './log-cleaner.ts'
import { isOutOfOrder, OfflinePartitions } from './offline-partitions.ts'
import { openPartition } from './open-partition.ts'
import {
  deleteFolder,
  type FolderSurvey,
  freshSuffix,
  moveAside,
  partitionFolderName,
  surveyFolder,
  surveyFolders,
} from './partition-folders.ts'
import { type PartitionHost } from './partition-host.ts'
import { type ClusterServices, type PartitionAssignment } from './partition-types.ts'
import { RecoveryReport } from './recovery-report.ts'
import { Ticker } from './ticker.ts'

export type { PartitionAssignment } from './partition-types.ts'

export interface PartitionManagerConfig {
  /** Partitions opened, made or closed at a time (num.recovery.threads.per.data.dir, but these are no threads). */
  readonly parallelRecoveries: number
  /** Syncs under way at a time. Below the size of Node's thread pool (4), or slow ones hold up all reading. */
  readonly parallelSyncs: number
  /** log.flush.offset.checkpoint.interval.ms */
  readonly recoveryPointCheckpointMs: number
  /** log.flush.start.offset.checkpoint.interval.ms */
  readonly logStartCheckpointMs: number
  /** replica.high.watermark.checkpoint.interval.ms */
  readonly highWatermarkCheckpointMs: number
  /** log.retention.check.interval.ms */
  readonly retentionCheckMs: number
  /** producer.id.expiration.ms */
  readonly producerIdExpirationMs: number
  /** producer.id.expiration.check.interval.ms */
  readonly producerIdExpirationCheckMs: number
  /** Bytes of the tail cache over all partitions. */
  readonly tailCacheBytes: number
}

export const DEFAULT_PARTITION_MANAGER_CONFIG: PartitionManagerConfig = {
  parallelRecoveries: 8,
  parallelSyncs: 3,
  recoveryPointCheckpointMs: 60_000,
  logStartCheckpointMs: 60_000,
  highWatermarkCheckpointMs: 5_000,
  retentionCheckMs: 300_000,
  producerIdExpirationMs: 86_400_000,
  producerIdExpirationCheckMs: 600_000,
  tailCacheBytes: 32 * 1024 * 1024,
}

export interface PartitionManagerOptions {
  readonly env: Env
  readonly dataFolder: DataFolder
  readonly config: PartitionManagerConfig
  /** Of compaction, as of now; asked from `start` on. Default: Kafka's defaults, less memory. */
  readonly cleanerConfig?: () => CleanerConfig
  /** Of the cluster that the broker is in: partitions then lead and follow as they are told. Default: it is alone. */
  readonly cluster?: ClusterServices
  /** The broker must stop: a sync failed, or an assertion did. Nothing is acknowledged after this call. */
  readonly onFatal: (error: Error) => void
}

/** How often files that were renamed to be deleted are looked at. */
const PURGE_MS = 10_000

/** All that checkpoints may say. */
const EVERYTHING = { recoveryPoint: 1, logStartOffset: 1, cleanedTo: 1 }

export class PartitionManager {
  readonly #env: Env
  readonly #dataFolder: DataFolder
  readonly #config: PartitionManagerConfig
  readonly #onFatal: (error: Error) => void
  readonly #shared: SharedStorage
  readonly #services: HostServices
  readonly #checkpoints: Checkpoints
  readonly #ticker: Ticker
  readonly #cleaner: LogCleaner
  readonly #topics = new Map<TopicId, Map<number, PartitionHost>>()
  readonly #offline = new OfflinePartitions()
  /** The last piece of work on each folder; the next one waits for it. */
  readonly #work = new Map<string, Promise<unknown>>()
  #halted = false
  #state: 'new' | 'running' | 'stopping' = 'new'

  constructor(options: PartitionManagerOptions) {
    const { env, config } = options
    const { clock, timers, log } = env
    this.#env = env
    this.#dataFolder = options.dataFolder
    this.#config = config
    this.#onFatal = options.onFatal
    this.#shared = new SharedStorage({ disk: env.disk, clock, log, tailCacheBytes: config.tailCacheBytes })
    this.#checkpoints = new Checkpoints({
      env,
      dataDirectory: options.dataFolder.path,
      hosts: () => this.hosts(),
      offline: this.#offline,
    })
    this.#ticker = new Ticker({ clock, timers, log })
    this.#cleaner = new LogCleaner({
      env,
      config: options.cleanerConfig ?? (() => DEFAULT_CLEANER_CONFIG),
      partitions: () => this.hosts(),
      writes: () => this.#services.scheduler.writes,
      saveOffsets: () => this.#checkpoints.saveCleanedOffsets(),
      saveEpochs: host => this.#checkpoints.saveEpochs(host),
    })
    this.#services = {
      clock,
      log,
      scheduler: new DiskScheduler({ timers, parallelSyncs: config.parallelSyncs }),
      deadlines: new DeadlineQueue({ clock, timers }),
      brokerId: options.dataFolder.nodeId,
      halted: () => this.#halted,
      fatal: error => this.#fatal(error),
      saveLogStarts: () => this.#checkpoints.saveLogStarts(),
      saveRecoveryPoints: () => this.#checkpoints.saveRecoveryPoints(),
      cluster: options.cluster ?? null,
      producerIdExpirationMs: config.producerIdExpirationMs,
    }
  }

  /** For the slabs' pressure: it gives up memory of batches that are on disk as well. */
  get tailCache(): TailCache {
    return this.#shared.tailCache
  }

  // ------------------------------------------------------------------------------------------- start and stop

  /**
   * Opens the given partitions, recovering those that were not closed cleanly, and makes those that have no folder yet.
   * Folders that belong to none of them are reported and moved aside; in a cluster, where a topic may be deleted or a
   * replica moved while a broker is down, they are deleted. One that cannot be opened is offline until the
   * next start; where that is true of all of them it rejects, for then the disk is what fails.
   */
  async start(assignments: readonly PartitionAssignment[]): Promise<void> {
    assert(this.#state === 'new', 'a partition manager is started once')
    const { path, cleanShutdown } = this.#dataFolder
    const survey = await surveyFolders(this.#env.disk, path)
    const present = await this.#setAside(survey, assignments)
    const known = await readLastKnown(this.#env, path)
    const report = new RecoveryReport(this.#env, assignments.length, cleanShutdown)
    const isAsItWas = survey.partitions.length === present.size
    const outdated = isAsItWas ? { recoveryPoint: 0, logStartOffset: 0, cleanedTo: 0 } : { ...EVERYTHING }
    try {
      await inParallel(assignments, this.#config.parallelRecoveries, async assignment => {
        const folder = partitionFolderName(assignment.topicName, assignment.partition)
        const unreadable = survey.unreadable.get(folder)
        const isNew = unreadable === undefined && !present.has(folder)
        const lastKnown = isNew ? NOTHING_KNOWN : known
        if (isNew) addKnown(outdated, known, assignment)
        try {
          if (unreadable !== undefined) throw unreadable
          await this.#open(assignment, isNew, cleanShutdown, lastKnown, report)
        } catch (error) {
          if (!isOutOfOrder(error)) throw error
          this.#goesOffline(assignment, lastKnown, error)
        }
        report.opened()
      })
      const [first] = this.#offline
      if (first !== undefined && this.#offline.size === assignments.length) throw first.error
    } catch (error) {
      this.#dataFolder.markUnclean()
      await this.#closeAll(false)
      throw error
    } finally {
      report.end()
    }
    this.#offline.report(this.#env.log)
    this.#state = 'running'
    if (!cleanShutdown) await this.#checkpoints.saveRecoveryPoints()
    // A new folder may have the name of one of which the checkpoints still tell.
    await this.#checkpoints.forget(outdated)
    this.#startTicks()
    this.#cleaner.start()
    void this.#removeDeleted(survey.deleted)
  }

  /** Whether it was recovered is not known: the next start has to look, however this one ends. */
  #goesOffline(assignment: PartitionAssignment, known: LastKnown, error: Error): void {
    const { topicId, topicName, partition } = assignment
    this.#dataFolder.markUnclean()
    this.#offline.add({
      topicId,
      topicName,
      partition,
      error,
      recoveryPoint: known.recoveryPoint(topicName, partition),
      highWatermark: known.highWatermark(topicName, partition),
      logStartOffset: known.logStartOffset(topicName, partition),
      cleanedTo: known.cleanedTo(topicName, partition),
    })
  }

  /**
   * Stops serving. `clean`: everything is made durable and the checkpoints are written, so that the next start has
   * nothing to scan; where that fails it rejects, and the data folder will not be marked clean. Else as little as
   * possible.
   */
  async stop(clean: boolean): Promise<void> {
    if (this.#state === 'stopping') return
    this.#state = 'stopping'
    await Promise.all([this.#ticker.stop(), this.#cleaner.stop()])
    await Promise.allSettled(this.#work.values())
    const orderly = clean && !this.#halted
    if (!orderly) this.#dataFolder.markUnclean()
    try {
      await this.#closeAll(orderly)
      if (!orderly || this.#halted) return
      await this.#checkpoints.saveRecoveryPoints()
      await this.#checkpoints.saveHighWatermarks()
      await this.#checkpoints.saveLogStarts()
    } catch (error) {
      this.#dataFolder.markUnclean()
      throw error
    } finally {
      await this.#shared.close()
    }
  }

  async #closeAll(clean: boolean): Promise<void> {
    await inParallel([...this.hosts()], this.#config.parallelRecoveries, async host => {
      if (clean) await this.#checkpoints.saveEpochs(host)
      await host.close(clean)
    })
  }

  // -------------------------------------------------------------------------------------------- partitions

  get(topicId: TopicId, partition: number): PartitionHost | undefined {
    return this.#topics.get(topicId)?.get(partition)
  }

  /** The partitions that belong here and could not be opened. */
  get offline(): Pick<OfflinePartitions, 'has' | 'hasTopic'> {
    return this.#offline
  }

  /** All partitions that are open, in no particular order. */
  *hosts(): Generator<PartitionHost, void, undefined> {
    for (const partitions of this.#topics.values()) yield* partitions.values()
  }

  /** Makes a partition, or opens it where its folder is there already. Content when it is open. */
  create(assignment: PartitionAssignment): Promise<PartitionHost> {
    const { topicId, topicName, partition } = assignment
    const folder = partitionFolderName(topicName, partition)
    return this.#oneAtATime(folder, async () => {
      if (this.#state !== 'running') throw new Error(`${folder} cannot be made: the broker is stopping`)
      const present = this.get(topicId, partition)
      if (present !== undefined) return present
      assert(!this.#offline.has(topicId, partition), 'what is offline is not made anew')
      const survey = await surveyFolder(this.#env.disk, this.#dataFolder.path, topicName, partition)
      const kept = await this.#setAside(survey, [assignment])
      if (survey.partitions.length > kept.size) await this.#forget(folder, EVERYTHING)
      // A folder of its own that is there already is left from a creation that was cut short: it is looked through.
      return this.#open(assignment, !kept.has(folder), false, NOTHING_KNOWN, null)
    })
  }

  /** From the moment of the call on the partition is gone; resolves when its folder is renamed durably. */
  async delete(topicId: TopicId, partition: number): Promise<void> {
    const host = this.get(topicId, partition)
    if (host === undefined) {
      await this.#deleteOffline(topicId, partition)
      return
    }
    const partitions = this.#topics.get(topicId)!
    partitions.delete(partition)
    if (partitions.size === 0) this.#topics.delete(topicId)
    host.leave()
    await this.#oneAtATime(host.name, async () => {
      try {
        await this.#checkpoints.epochsSettled(host)
        await host.delete(freshSuffix(this.#env))
      } finally {
        const { logEndOffset: recoveryPoint, logStartOffset } = host.state
        await this.#forget(host.name, { recoveryPoint, logStartOffset, cleanedTo: host.compaction.cleanedTo })
      }
    })
  }

  /** Where its folder cannot be renamed either it stays, and the next start moves it aside. */
  async #deleteOffline(topicId: TopicId, partition: number): Promise<void> {
    const offline = this.#offline.remove(topicId, partition)
    if (offline === undefined) return
    const folder = partitionFolderName(offline.topicName, partition)
    await this.#oneAtATime(folder, async () => {
      try {
        await deleteFolder(this.#env, this.#dataFolder.path, folder)
      } catch (error) {
        this.#env.log.error(
          'a partition that was offline was deleted, and its folder cannot be; remove it by hand',
          { folder, error },
        )
      }
      await this.#forget(folder, offline)
    })
  }

  async #forget(name: string, known: Parameters<Checkpoints['forget']>[0]): Promise<void> {
    try {
      await this.#checkpoints.forget(known)
    } catch (error) {
      this.#env.log.warn('it could not be noted that a partition is gone', { partition: name, error })
    }
  }

  /** Compacts every log for which that is worth it now, as the ticks do it. */
  async compact(): Promise<void> {
    await this.#cleaner.cleanAll()
  }

  /** Config of every partition of a topic. */
  updateConfig(topicId: TopicId, config: LogConfig): void {
    for (const host of this.#topics.get(topicId)?.values() ?? []) host.updateConfig(config)
  }

  /** One round of retention over all partitions, as the ticks do it. */
  async applyRetention(): Promise<void> {
    for (const host of [...this.hosts()]) await host.tryRetention()
  }

  async #open(
    assignment: PartitionAssignment,
    isNew: boolean,
    cleanShutdown: boolean,
    known: LastKnown,
    report: RecoveryReport | null,
  ): Promise<PartitionHost> {
    const { topicId, topicName, partition } = assignment
    const directory = `${this.#dataFolder.path}/${partitionFolderName(topicName, partition)}`
    if (isNew) await this.#makeFolder(directory, topicId)
    const host = await openPartition({
      env: this.#env,
      shared: this.#shared,
      services: this.#services,
      assignment,
      directory,
      cleanShutdown: isNew || cleanShutdown,
      recoveryPoint: known.recoveryPoint(topicName, partition),
      highWatermark: known.highWatermark(topicName, partition),
      logStartOffset: known.logStartOffset(topicName, partition),
      cleanedTo: known.cleanedTo(topicName, partition),
      onProgress: progress => report?.scanned(progress),
    })
    let partitions = this.#topics.get(topicId)
    if (partitions === undefined) this.#topics.set(topicId, (partitions = new Map()))
    partitions.set(partition, host)
    return host
  }

  /** The folder says whose it is before anything else is in it. */
  async #makeFolder(directory: string, topicId: TopicId): Promise<void> {
    await this.#env.disk.makeDirectory(directory)
    await writePartitionMetadata(this.#env.disk, directory, topicId)
    await this.#env.disk.syncDirectory(parentOf(directory))
  }

  /**
   * Moves folders aside, or deletes them, that belong to none of `assignments`; returns the names of those that do
   * belong.
   */
  async #setAside(survey: FolderSurvey, assignments: readonly PartitionAssignment[]): Promise<Set<string>> {
    const wanted = new Map(
      assignments.map(({ topicName, partition, topicId }) => [
        partitionFolderName(topicName, partition),
        topicId,
      ]),
    )
    const kept = new Set<string>()
    for (const [folder, error] of survey.unreadable) {
      if (wanted.has(folder)) continue
      this.#env.log.error(
        'a folder that belongs to no partition of this cluster cannot be read, and stays where it is',
        { folder, error },
      )
    }
    for (const { topicName, partition, topicId } of survey.partitions) {
      const name = partitionFolderName(topicName, partition)
      const owner = wanted.get(name)
      if (owner !== undefined && (topicId === null || topicId === owner)) {
        if (topicId === null)
          await writePartitionMetadata(this.#env.disk, `${this.#dataFolder.path}/${name}`, owner)
        kept.add(name)
        continue
      }
      if (this.#services.cluster !== null && topicId !== null) {
        await deleteFolder(this.#env, this.#dataFolder.path, name)
        this.#env.log.info(
          'a partition that does not belong on this broker any more was deleted: its topic is gone, or it has moved',
          { folder: name, topicId, expectedTopicId: owner ?? null },
        )
        continue
      }
      const aside = await moveAside(this.#env, this.#dataFolder.path, name)
      this.#env.log.error(
        'a folder belongs to no partition of this cluster and was moved aside, unread; remove it when nobody misses it',
        { folder: name, topicId, nowNamed: aside, expectedTopicId: owner ?? null },
      )
    }
    return kept
  }

  #oneAtATime<T>(folder: string, work: () => Promise<T>): Promise<T> {
    const before = this.#work.get(folder) ?? Promise.resolve()
    const result = before.then(work, work)
    const entry = result
      .catch(() => {})
      .then(() => {
        if (this.#work.get(folder) === entry) this.#work.delete(folder)
      })
    this.#work.set(folder, entry)
    return result
  }

  // -------------------------------------------------------------------------------------------- rounds

  #startTicks(): void {
    const config = this.#config
    const expire = (): void => {
      const wallMs = this.#env.clock.wallMs()
      for (const host of this.hosts()) host.state.producers.expire(wallMs, config.producerIdExpirationMs)
    }
    const purge = async (): Promise<void> => {
      for (const host of [...this.hosts()]) await host.purgeDeleted()
    }
    this.#ticker.every(config.recoveryPointCheckpointMs, 'writing the recovery points', () =>
      this.#checkpoints.saveRecoveryPoints(),
    )
    this.#ticker.every(config.highWatermarkCheckpointMs, 'writing the high watermarks', () =>
      this.#checkpoints.saveHighWatermarks(),
    )
    this.#ticker.every(config.logStartCheckpointMs, 'writing the log start offsets', () =>
      this.#checkpoints.saveLogStarts(),
    )
    this.#ticker.every(config.retentionCheckMs, 'retention', () => this.applyRetention())
    this.#ticker.every(config.producerIdExpirationCheckMs, 'the expiry of producers', expire)
    this.#ticker.every(PURGE_MS, 'the removal of deleted files', purge)
  }

  async #removeDeleted(folders: readonly string[]): Promise<void> {
    for (const folder of folders) {
      try {
        await this.#env.disk.removeTree(`${this.#dataFolder.path}/${folder}`)
      } catch (error) {
        this.#env.log.warn('the folder of a deleted partition could not be removed', { folder, error })
      }
    }
  }

  #fatal(error: Error): void {
    if (this.#halted) return
    this.#halted = true
    this.#dataFolder.markUnclean()
    this.#onFatal(error)
  }
}

function addKnown(
  sum: { recoveryPoint: number; logStartOffset: number; cleanedTo: number },
  known: LastKnown,
  { topicName, partition }: PartitionAssignment,
): void {
  sum.recoveryPoint += known.recoveryPoint(topicName, partition)
  sum.logStartOffset += known.logStartOffset(topicName, partition)
  sum.cleanedTo += known.cleanedTo(topicName, partition)
}

/** Runs `work` on all of `items`, `limit` at a time; rejects with the first error after those under way have ended. */
async function inParallel<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  let failed = false
  let failure: unknown = null
  const worker = async (): Promise<void> => {
    while (!failed && next < items.length) {
      const item = items[next++]!
      try {
        await work(item)
      } catch (error) {
        failure ??= error
        failed = true
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker))
  if (failed) throw failure
}
