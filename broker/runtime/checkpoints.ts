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
  readonly #recoveryPoints: Coalesced
  readonly #highWatermarks: Coalesced
  readonly #logStarts: Coalesced
  readonly #cleanedOffsets: Coalesced

  constructor(options: { env: Env; dataDirectory: string; hosts: () => Iterable<PartitionHost> }) {
    this.#env = options.env
    this.#dataDirectory = options.dataDirectory
    this.#hosts = options.hosts
    this.#recoveryPoints = new Coalesced(() => this.#writeRecoveryPoints())
    this.#highWatermarks = new Coalesced(() =>
      this.#write(REPLICATION_OFFSET_CHECKPOINT, host => host.highWatermark),
    )
    this.#logStarts = new Coalesced(() =>
      this.#write(LOG_START_CHECKPOINT, host => {
        const { logStartOffset } = host.state
        return logStartOffset > host.firstOffset ? logStartOffset : null
      }),
    )
    this.#cleanedOffsets = new Coalesced(() =>
      this.#write(CLEANER_OFFSET_CHECKPOINT, host => {
        const { cleanedTo } = host.compaction
        return cleanedTo > 0 ? cleanedTo : null
      }),
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

  async #writeRecoveryPoints(): Promise<void> {
    // As of now: what becomes durable while the epochs are written may have an epoch that is not.
    const entries = this.#entries(host => host.state.durableOffset)
    for (const host of [...this.#hosts()]) await this.saveEpochs(host)
    await writeOffsetCheckpoint(
      this.#env.disk,
      `${this.#dataDirectory}/${RECOVERY_POINT_CHECKPOINT}`,
      entries,
    )
  }

  /** The leader epochs of one partition, where the file does not have them yet. */
  async saveEpochs(host: PartitionHost): Promise<void> {
    const version = host.unsavedEpochs
    if (version === null || !host.online) return
    await writeLeaderEpochs(this.#env.disk, host.directory, host.state.epochs.entries)
    host.epochsSaved(version)
  }

  async #write(name: string, offsetOf: (host: PartitionHost) => Offset | null): Promise<void> {
    await writeOffsetCheckpoint(this.#env.disk, `${this.#dataDirectory}/${name}`, this.#entries(offsetOf))
  }

  #entries(offsetOf: (host: PartitionHost) => Offset | null): OffsetCheckpointEntry[] {
    const entries: OffsetCheckpointEntry[] = []
    for (const host of this.#hosts()) {
      const offset = offsetOf(host)
      if (offset !== null) entries.push({ topic: host.topicName, partition: host.partition, offset })
    }
    return entries
  }
}
