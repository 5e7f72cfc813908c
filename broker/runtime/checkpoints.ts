/**
 * The checkpoint files of the data folder: how far each partition is on disk (what a start after a crash need not look
 * at), how far it was committed, where it starts. Each file is written by one at a time, and who asks meanwhile shares
 * the next writing.
 *
 * They are always safe to be old: more is scanned then. They must never be ahead: the leader epochs that lie below a
 * recovery point are saved before it.
 */
import { type Offset } from '../../client/protocol/types.ts'
import { type Env } from '../env.ts'
import {
  CLEANER_OFFSET_CHECKPOINT,
  checkpointKey,
  LOG_START_CHECKPOINT,
  type OffsetCheckpointEntry,
  RECOVERY_POINT_CHECKPOINT,
  REPLICATION_OFFSET_CHECKPOINT,
  readOffsetCheckpoint,
  writeLeaderEpochs,
  writeOffsetCheckpoint,
} from '../storage/checkpoints.ts'
import { type OfflinePartition } from './offline-partitions.ts'
import { type PartitionHost } from './partition-host.ts'

/** What was known of the partitions when the broker stopped. */
export interface LastKnown {
  recoveryPoint(topicName: string, partition: number): Offset
  highWatermark(topicName: string, partition: number): Offset
  logStartOffset(topicName: string, partition: number): Offset
  /** Up to where it was compacted. */
  cleanedTo(topicName: string, partition: number): Offset
}

export async function readLastKnown(env: Env, dataDirectory: string): Promise<LastKnown> {
  const read = (name: string): Promise<ReadonlyMap<string, Offset>> =>
    readOffsetCheckpoint(env.disk, `${dataDirectory}/${name}`, env.log)
  const [recoveryPoints, highWatermarks, logStarts, cleaned] = await Promise.all([
    read(RECOVERY_POINT_CHECKPOINT),
    read(REPLICATION_OFFSET_CHECKPOINT),
    read(LOG_START_CHECKPOINT),
    read(CLEANER_OFFSET_CHECKPOINT),
  ])
  const lookUp =
    (offsets: ReadonlyMap<string, Offset>) =>
    (topicName: string, partition: number): Offset =>
      offsets.get(checkpointKey(topicName, partition)) ?? (0 as Offset)
  return {
    recoveryPoint: lookUp(recoveryPoints),
    highWatermark: lookUp(highWatermarks),
    logStartOffset: lookUp(logStarts),
    cleanedTo: lookUp(cleaned),
  }
}

export const NOTHING_KNOWN: LastKnown = {
  recoveryPoint: () => 0 as Offset,
  highWatermark: () => 0 as Offset,
  logStartOffset: () => 0 as Offset,
  cleanedTo: () => 0 as Offset,
}

/** Runs one at a time; calls that come while one runs share the next. */
class Coalesced {
  readonly #run: () => Promise<void>
  #running: Promise<void> | null = null
  #next: Promise<void> | null = null

  constructor(run: () => Promise<void>) {
    this.#run = run
  }

  request(): Promise<void> {
    if (this.#running === null) return this.#start()
    this.#next ??= this.#running.then(ignore, ignore).then(() => {
      this.#next = null
      return this.#start()
    })
    return this.#next
  }

  #start(): Promise<void> {
    this.#running = this.#run().finally(() => {
      this.#running = null
    })
    return this.#running
  }
}

function ignore(): void {}

export class Checkpoints {
  readonly #env: Env
  readonly #dataDirectory: string
  readonly #hosts: () => Iterable<PartitionHost>
  readonly #offline: Iterable<OfflinePartition>
  readonly #recoveryPoints: Coalesced
  readonly #highWatermarks: Coalesced
  readonly #logStarts: Coalesced
  readonly #cleanedOffsets: Coalesced
  /** Partitions whose leader epochs are being written. */
  readonly #savingEpochs = new Map<PartitionHost, Promise<void>>()

  constructor(options: {
    readonly env: Env
    readonly dataDirectory: string
    readonly hosts: () => Iterable<PartitionHost>
    /** What was known of these stays as it is. */
    readonly offline: Iterable<OfflinePartition>
  }) {
    this.#env = options.env
    this.#dataDirectory = options.dataDirectory
    this.#hosts = options.hosts
    this.#offline = options.offline
    this.#recoveryPoints = new Coalesced(() => this.#writeRecoveryPoints())
    this.#highWatermarks = new Coalesced(() =>
      this.#write(
        REPLICATION_OFFSET_CHECKPOINT,
        host => host.highWatermark,
        offline => offline.highWatermark,
      ),
    )
    this.#logStarts = new Coalesced(() =>
      this.#write(
        LOG_START_CHECKPOINT,
        ({ state: { logStartOffset }, firstOffset }) =>
          logStartOffset > firstOffset ? logStartOffset : null,
        ({ logStartOffset }) => (logStartOffset > 0 ? logStartOffset : null),
      ),
    )
    this.#cleanedOffsets = new Coalesced(() =>
      this.#write(
        CLEANER_OFFSET_CHECKPOINT,
        ({ compaction: { cleanedTo } }) => (cleanedTo > 0 ? cleanedTo : null),
        ({ cleanedTo }) => (cleanedTo > 0 ? cleanedTo : null),
      ),
    )
  }

  /** Leader epochs that are new, then the recovery points. */
  saveRecoveryPoints(): Promise<void> {
    return this.#recoveryPoints.request()
  }

  saveHighWatermarks(): Promise<void> {
    return this.#highWatermarks.request()
  }

  saveLogStarts(): Promise<void> {
    return this.#logStarts.request()
  }

  saveCleanedOffsets(): Promise<void> {
    return this.#cleanedOffsets.request()
  }

  /**
   * What the files say of a partition that is gone must not be believed of a later one with its name: that would be cut
   * where this one began. `known` is what they may say at most.
   */
  async forget(known: {
    readonly recoveryPoint: number
    readonly logStartOffset: number
    readonly cleanedTo: number
  }): Promise<void> {
    const saved: Promise<void>[] = []
    if (known.recoveryPoint > 0) saved.push(this.saveRecoveryPoints())
    if (known.logStartOffset > 0) saved.push(this.saveLogStarts())
    if (known.cleanedTo > 0) saved.push(this.saveCleanedOffsets())
    await Promise.all(saved)
  }

  async #writeRecoveryPoints(): Promise<void> {
    // As of now: what becomes durable while the epochs are written may have an epoch that is not.
    const entries = this.#entries(
      host => host.recoveryPoint,
      offline => offline.recoveryPoint,
    )
    for (const host of [...this.#hosts()]) await this.saveEpochs(host)
    await writeOffsetCheckpoint(
      this.#env.disk,
      `${this.#dataDirectory}/${RECOVERY_POINT_CHECKPOINT}`,
      entries,
    )
  }

  /** The leader epochs of one partition, where the file does not have them yet. */
  async saveEpochs(host: PartitionHost): Promise<void> {
    // Two writers of one file would share what it is made of.
    while (this.#savingEpochs.has(host)) await this.epochsSettled(host)
    const version = host.unsavedEpochs
    if (version === null || !host.online) return
    const saving = writeLeaderEpochs(this.#env.disk, host.directory, host.state.epochs.entries)
    this.#savingEpochs.set(host, saving)
    try {
      await saving
      host.epochsSaved(version)
    } finally {
      this.#savingEpochs.delete(host)
    }
  }

  /**
   * Resolves when the leader epochs of a partition are not being written. Once it has left, its folder may go then: a
   * later one of that name must not get them.
   */
  async epochsSettled(host: PartitionHost): Promise<void> {
    await this.#savingEpochs.get(host)?.catch(ignore)
  }

  async #write(name: string, ...offsetOf: OffsetOf): Promise<void> {
    const path = `${this.#dataDirectory}/${name}`
    await writeOffsetCheckpoint(this.#env.disk, path, this.#entries(...offsetOf))
  }

  /** Where an offset is null there is nothing to say. */
  #entries(...[ofHost, ofOffline]: OffsetOf): OffsetCheckpointEntry[] {
    const entries: OffsetCheckpointEntry[] = []
    const add = (topic: string, partition: number, offset: Offset | null): void => {
      if (offset !== null) entries.push({ topic, partition, offset })
    }
    for (const host of this.#hosts()) add(host.topicName, host.partition, ofHost(host))
    for (const offline of this.#offline) add(offline.topicName, offline.partition, ofOffline(offline))
    return entries
  }
}

type OffsetOf = readonly [
  ofHost: (host: PartitionHost) => Offset | null,
  ofOffline: (offline: OfflinePartition) => Offset | null,
]
