/**
 * From a partition's folder to a partition that is alive: recovers the files, and rebuilds from them what is kept in
 * memory (producers, leader epochs). What had to be cut or set aside the storage reports itself.
 */
import { type BatchHeader } from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type Env } from '../env.ts'
import { LeaderEpochCache } from '../log/leader-epochs.ts'
import { LogState, replayBatch } from '../log/log-state.ts'
import { ProducerState } from '../log/producer-state.ts'
import { readLeaderEpochs } from '../storage/checkpoints.ts'
import { PartitionLog } from '../storage/partition-log.ts'
import { type ProducerSnapshot } from '../storage/producer-snapshot.ts'
import { type SharedStorage } from '../storage/shared-storage.ts'
import { type RecoveryProgress, type Replay } from '../storage/types.ts'
import { PartitionHost } from './partition-host.ts'
import { type PartitionAssignment } from './partition-types.ts'
import { type HostServices } from './replica-driver.ts'
import { segmentConfigOf } from './segment-config.ts'

export interface OpenOptions {
  readonly env: Env
  readonly shared: SharedStorage
  readonly services: HostServices
  readonly assignment: PartitionAssignment
  readonly directory: string
  readonly cleanShutdown: boolean
  readonly recoveryPoint: Offset
  readonly highWatermark: Offset
  readonly logStartOffset: Offset
  readonly cleanedTo: Offset
  readonly producerIdExpirationMs: number
  readonly onProgress: (progress: RecoveryProgress) => void
}

export async function openPartition(options: OpenOptions): Promise<PartitionHost> {
  const { env, assignment } = options
  const { topicName, partition, topicId, config } = assignment
  const wallMs = env.clock.wallMs()
  const epochs = new LeaderEpochCache((await readLeaderEpochs(env.disk, options.directory, env.log)) ?? [])
  const producers = new ProducerState(0 as Offset)
  let snapshotOffset = -1
  const replay: Replay = {
    snapshot(snapshot: ProducerSnapshot | null): void {
      if (snapshot === null) return
      snapshotOffset = snapshot.offset
      producers.load(snapshot.entries, snapshot.offset, wallMs, options.producerIdExpirationMs)
    },
    batch(header: BatchHeader): void {
      replayBatch(producers, epochs, header, wallMs)
    },
  }
  const { log } = await PartitionLog.open({
    shared: options.shared,
    directory: options.directory,
    config: segmentConfigOf(config),
    logStartOffset: options.logStartOffset,
    recoveryPoint: options.recoveryPoint,
    cleanedTo: options.cleanedTo,
    cleanShutdown: options.cleanShutdown,
    replay,
    onProgress: options.onProgress,
  })
  const state = new LogState({
    config,
    logStartOffset: Math.min(Math.max(options.logStartOffset, log.firstOffset), log.endOffset) as Offset,
    logEndOffset: log.endOffset,
    epochs: epochs.entries,
    producers,
    rollJitter: env.random.float(),
  })
  const { highWatermark, services } = options
  const host = new PartitionHost({
    services,
    topicId,
    topicName,
    partition,
    storage: log,
    state,
    highWatermark,
    cleanedTo: options.cleanedTo,
    snapshotOffset,
    // Nothing here aborts transactions yet, but a folder that Kafka wrote may have some.
    hasAborted: (await log.abortedTransactions(log.firstOffset, log.endOffset)).length > 0,
  })
  if (assignment.leaderEpoch < state.epochs.latestEpoch) {
    env.log.warn(
      'the folder holds records of a later leader epoch than the cluster knows of; they are kept',
      {
        partition: host.name,
        leaderEpoch: assignment.leaderEpoch,
        latestEpoch: state.epochs.latestEpoch,
      },
    )
  }
  host.becomeLeader(assignment.leaderEpoch)
  return host
}
