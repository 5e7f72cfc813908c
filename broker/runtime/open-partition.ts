/**
 * From a partition's folder to a partition that is alive: recovers the files, and rebuilds from them what is kept in
 * memory (producers, leader epochs). What had to be cut or set aside the storage reports itself.
 */
import { type Offset } from '../../client/protocol/types.ts'
import { type Env } from '../env.ts'
import { type EpochEntry, LeaderEpochCache } from '../log/leader-epochs.ts'
import { LogState } from '../log/log-state.ts'
import { readLeaderEpochs } from '../storage/checkpoints.ts'
import { PartitionLog } from '../storage/partition-log.ts'
import { type SharedStorage } from '../storage/shared-storage.ts'
import { type RecoveryProgress } from '../storage/types.ts'
import { type HostServices } from './host-services.ts'
import { PartitionHost } from './partition-host.ts'
import { type PartitionAssignment } from './partition-types.ts'
import { ProducerReplay } from './replay-producers.ts'
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
  readonly onProgress: (progress: RecoveryProgress) => void
}

export async function openPartition(options: OpenOptions): Promise<PartitionHost> {
  const { env, assignment } = options
  const { topicName, partition, topicId, config } = assignment
  const savedEpochs = (await readLeaderEpochs(env.disk, options.directory, env.log)) ?? []
  const epochs = new LeaderEpochCache(savedEpochs)
  const replay = new ProducerReplay(epochs, env.clock.wallMs(), options.services.producerIdExpirationMs)
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
    producers: replay.producers,
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
    snapshotOffset: replay.snapshotOffset,
    // What only the scan has found must be saved before a recovery point that lets the next start not scan it.
    epochsAreSaved: isSame(state.epochs.entries, savedEpochs),
    // Nothing here aborts transactions yet, but a folder that Kafka wrote may have some.
    hasAborted: (await log.abortedTransactions(log.firstOffset, log.endOffset)).length > 0,
  })
  // In a cluster it waits to be told whom to follow, or to lead.
  if (services.cluster === null) leadAlone(env, host, assignment)
  return host
}

function isSame(a: readonly EpochEntry[], b: readonly EpochEntry[]): boolean {
  return (
    a.length === b.length &&
    a.every(
      ({ epoch, startOffset }, index) => epoch === b[index]!.epoch && startOffset === b[index]!.startOffset,
    )
  )
}

function leadAlone(env: Env, host: PartitionHost, { leaderEpoch }: PartitionAssignment): void {
  const { latestEpoch } = host.state.epochs
  if (leaderEpoch < latestEpoch) {
    env.log.warn(
      'the folder holds records of a later leader epoch than the cluster knows of; they are kept',
      { partition: host.name, leaderEpoch, latestEpoch },
    )
  }
  host.becomeLeader(leaderEpoch)
}
