/**
 * All partitions of this broker: opens them at start, makes and deletes them, and does what is to be done for all
 * from time to time (checkpoints, retention, flushes, expiry) with a few shared ticks.
 */
import { type LeaderEpoch, type TopicId } from '../../client/protocol/types.ts'
import { type Env } from '../env.ts'
import { type LogConfig } from '../log/config.ts'
import { type DataFolder } from './data-folder.ts'
import { type PartitionHost } from './partition-host.ts'

/** A partition that belongs on this broker. */
export interface PartitionAssignment {
  readonly topicId: TopicId
  readonly topicName: string
  readonly partition: number
  readonly config: LogConfig
  readonly leaderEpoch: LeaderEpoch
}

export interface PartitionManagerConfig {
  /** Partitions opened at a time (num.recovery.threads.per.data.dir, but these are no threads). */
  readonly parallelRecoveries: number
  /** Syncs under way at a time. */
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
  parallelSyncs: 4,
  recoveryPointCheckpointMs: 60_000,
  logStartCheckpointMs: 60_000,
  highWatermarkCheckpointMs: 5_000,
  retentionCheckMs: 300_000,
  producerIdExpirationMs: 86_400_000,
  producerIdExpirationCheckMs: 600_000,
  tailCacheBytes: 64 * 1024 * 1024,
}

export interface PartitionManagerOptions {
  readonly env: Env
  readonly dataFolder: DataFolder
  readonly config: PartitionManagerConfig
  /** The broker must stop: a sync failed, or an assertion did. Nothing is acked after this call. */
  readonly onFatal: (error: Error) => void
}

export class PartitionManager {
  constructor(_options: PartitionManagerOptions) {}

  /**
   * Opens the given partitions, recovering those that were not closed cleanly, and makes those that have no folder yet.
   * Folders that belong to none of them are reported and moved aside.
   */
  start(_assignments: readonly PartitionAssignment[]): Promise<void> {
    throw new Error('not implemented')
  }

  get(_topicId: TopicId, _partition: number): PartitionHost | undefined {
    throw new Error('not implemented')
  }

  /** All partitions, in no particular order. */
  hosts(): Iterable<PartitionHost> {
    throw new Error('not implemented')
  }

  create(_assignment: PartitionAssignment): Promise<PartitionHost> {
    throw new Error('not implemented')
  }

  /** From the moment of the call on the partition is gone; resolves when its folder is renamed durably. */
  delete(_topicId: TopicId, _partition: number): Promise<void> {
    throw new Error('not implemented')
  }

  /** Config of every partition of a topic. */
  updateConfig(_topicId: TopicId, _config: LogConfig): void {
    throw new Error('not implemented')
  }

  /** `clean` false: as little as possible, as after a failed sync. */
  stop(_clean: boolean): Promise<void> {
    throw new Error('not implemented')
  }
}
