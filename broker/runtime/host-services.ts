/**
 * What a partition is given by the broker that it is part of: clocks, the disk's schedule, the cluster; and what its
 * driver is given by its host. Types only.
 */
import { type BrokerId, type Offset, type TopicId } from '../../client/protocol/types.ts'
import { type Clock, type Log } from '../env.ts'
import { type LogState } from '../log/log-state.ts'
import { type ReplicaEvent } from '../replica/events.ts'
import { type PartitionLog } from '../storage/partition-log.ts'
import { type DeadlineQueue } from './deadline-queue.ts'
import { type DiskScheduler } from './disk-scheduler.ts'
import { type ClusterServices, type ProduceOutcome } from './partition-types.ts'

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
  /** producer.id.expiration.ms */
  readonly producerIdExpirationMs: number
}

export interface DriverOptions {
  readonly name: string
  readonly topicId: TopicId
  readonly partition: number
  readonly services: HostServices
  readonly storage: PartitionLog
  readonly state: LogState
  readonly highWatermark: Offset
  /** Of the newest producer snapshot in the folder, -1 where there is none. */
  readonly snapshotOffset: number
  /** A segment was rolled and written: the moment to see which old ones may go. */
  readonly onSegmentSealed: () => void
  /** Resolves when nobody compacts the files, nor begins to while `exchange` is not null. */
  readonly settleCompaction: () => Promise<void>
  /** The log was cut, and ends at `endOffset`. */
  readonly onCut: (endOffset: Offset) => void
}

export type Reply = (outcome: ProduceOutcome) => void

/** How a log was cut. */
export type CutEvent = Extract<ReplicaEvent<Reply>, { type: 'truncated' | 'started-over' }>
