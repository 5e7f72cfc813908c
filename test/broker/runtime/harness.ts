/**
 * A partition manager on a disk in memory and a clock moved by hand, with short words for what tests do all the time.
 */

import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { createMemoryEnv, type MemoryEnv } from '../../../broker/env-memory.ts'
import { DEFAULT_LOG_CONFIG, type LogConfig } from '../../../broker/log/config.ts'
import { DataFolder } from '../../../broker/runtime/data-folder.ts'
import { type CleanerConfig, DEFAULT_CLEANER_CONFIG } from '../../../broker/runtime/log-cleaner.ts'
import { type PartitionHost } from '../../../broker/runtime/partition-host.ts'
import {
  DEFAULT_PARTITION_MANAGER_CONFIG,
  PartitionManager,
  type PartitionManagerConfig,
} from '../../../broker/runtime/partition-manager.ts'
import {
  type Acks,
  type ClusterServices,
  type PartitionAssignment,
  type ProduceOutcome,
} from '../../../broker/runtime/partition-types.ts'
import { batchByteLength, batchLastOffset, forEachBatch } from '../../../client/protocol/batch.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import {
  type BatchOptions,
  decodeRecords,
  encodeBatch,
  type LogRecord,
} from '../../../client/protocol/record.ts'
import {
  type BrokerId,
  type LeaderEpoch,
  type Offset,
  type ProducerEpoch,
  type ProducerId,
  type TopicId,
} from '../../../client/protocol/types.ts'

export const DATA = '/data'
export const TOPIC_ID = 'a'.repeat(32) as TopicId

export interface Life {
  readonly env: MemoryEnv
  readonly manager: PartitionManager
  readonly folder: DataFolder
  /** What the manager reported as fatal. */
  readonly fatal: Error[]
  /** A clean stop. */
  stop(): Promise<void>
}

export interface LifeOptions {
  readonly disk?: MemoryDisk
  readonly seed?: number
  readonly assignments?: readonly PartitionAssignment[]
  readonly config?: Partial<PartitionManagerConfig>
  readonly cleaner?: Partial<CleanerConfig>
  /** Default: 1. */
  readonly brokerId?: BrokerId
  /** Of the cluster that the broker is in. */
  readonly cluster?: ClusterServices
}

export function assignment(
  over: Partial<PartitionAssignment> & { logConfig?: Partial<LogConfig> } = {},
): PartitionAssignment {
  const { logConfig, ...rest } = over
  return {
    topicId: TOPIC_ID,
    topicName: 'orders',
    partition: 0,
    config: { ...DEFAULT_LOG_CONFIG, ...logConfig },
    leaderEpoch: 0 as LeaderEpoch,
    ...rest,
  }
}

/** A disk that can crash. */
export function crashDisk(): MemoryDisk {
  return new MemoryDisk({ trackCrashes: true })
}

/** Starts a broker's partitions; twice on one disk is a restart. */
export async function start(options: LifeOptions = {}): Promise<Life> {
  const env = createMemoryEnv({ seed: options.seed ?? 1, disk: options.disk ?? crashDisk() })
  const folder = await DataFolder.open({
    env,
    path: DATA,
    clusterId: null,
    nodeId: options.brokerId ?? (1 as BrokerId),
  })
  const fatal: Error[] = []
  const manager = new PartitionManager({
    env,
    dataFolder: folder,
    config: { ...DEFAULT_PARTITION_MANAGER_CONFIG, ...options.config },
    cleanerConfig: () => ({ ...DEFAULT_CLEANER_CONFIG, ...options.cleaner }),
    onFatal: error => fatal.push(error),
    ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
  })
  await manager.start(options.assignments ?? [assignment()])
  const stop = async (): Promise<void> => {
    await manager.stop(true)
    await folder.close(true)
  }
  return { env, manager, folder, fatal, stop }
}

/** What the cluster says to a broker that nobody has anything against; `over`: what it says otherwise. */
export function clusterServices(over: Partial<ClusterServices> = {}): ClusterServices {
  return {
    isActive: () => false,
    proposeIsr: () => {},
    servingUntilMs: () => Infinity,
    lagTimeMaxMs: () => 30_000,
    isWhole: () => true,
    settledAfterMs: () => 40_000,
    ...over,
  }
}

/** Broker 1 leads `orders-0` from epoch 1 on, with no other replica in sync. */
export async function startLeader(
  options: { readonly cluster?: Partial<ClusterServices>; readonly logConfig?: Partial<LogConfig> } = {},
): Promise<Life> {
  const { cluster, logConfig = {} } = options
  const life = await start({ assignments: [assignment({ logConfig })], cluster: clusterServices(cluster) })
  const alone = [1 as BrokerId]
  const epoch = 1 as LeaderEpoch
  host(life).lead({ epoch, partitionEpoch: 1, revision: 1, replicas: alone, isr: alone, elr: [] })
  return life
}

export function host(life: Life, partition = 0, topicId = TOPIC_ID): PartitionHost {
  const found = life.manager.get(topicId, partition)
  if (found === undefined) throw new Error(`there is no partition ${partition}`)
  return found
}

export interface ProduceOptions extends BatchOptions {
  readonly acks?: Acks
  readonly timeoutMs?: number
  readonly timestamp?: number
  readonly producer?: bigint
  readonly sequence?: number
}

/** Sends one batch; resolves to `offset N` or to the name of the error. */
export function produce(
  to: PartitionHost,
  values: readonly string[],
  options: ProduceOptions = {},
): Promise<string> {
  return produceOutcome(to, values, options).then(describe)
}

export function describe(outcome: ProduceOutcome): string {
  return outcome.error === 0 ? `offset ${outcome.baseOffset}` : errorName(outcome.error)
}

export function produceOutcome(
  to: PartitionHost,
  values: readonly string[],
  options: ProduceOptions = {},
): Promise<ProduceOutcome> {
  const {
    acks = -1,
    timeoutMs = 30_000,
    timestamp = 1_700_000_000_000,
    producer,
    sequence = 0,
    ...batch
  } = options
  const idempotent: BatchOptions =
    producer === undefined
      ? {}
      : { producerId: producer as ProducerId, producerEpoch: 0 as ProducerEpoch, baseSequence: sequence }
  const records = encodeBatch(
    values.map(value => ({ value, timestamp })),
    { ...idempotent, ...batch },
  )
  return new Promise(resolve => to.produce(records, null, acks, timeoutMs, resolve))
}

/** Everything that a reader may see from `offset` on, as `offset:value`. */
export async function readAll(
  from: PartitionHost,
  offset = from.describe().logStartOffset as number,
): Promise<string[]> {
  const records = await readRecords(from, offset, () => 1024 * 1024)
  return records.map(record => `${record.offset}:${record.value?.toString()}`)
}

/** The records from `offset` to the end, read `maxBytes()` at a time. */
export async function readRecords(
  from: PartitionHost,
  offset: number,
  maxBytes: () => number,
): Promise<LogRecord[]> {
  const seen: LogRecord[] = []
  for (let next = offset; ; ) {
    const outcome = await from.read({
      offset: next as Offset,
      maxBytes: maxBytes(),
      isolation: 'read_uncommitted',
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
      atLeastOne: true,
    })
    if (outcome.error !== 0) throw new Error(errorName(outcome.error))
    const bytes = Buffer.concat(outcome.slices)
    outcome.release()
    if (bytes.length === 0) return seen
    forEachBatch(bytes, position => {
      const batch = bytes.subarray(position, position + batchByteLength(bytes, position))
      for (const record of decodeRecords(batch)) if (record.offset >= next) seen.push(record)
      // Compaction leaves batches without records.
      next = batchLastOffset(batch, 0) + 1
    })
  }
}

/** Names in a folder of the disk, those that match. */
export async function files(life: Life, path: string, pattern = /(?:)/): Promise<string[]> {
  const entries = await life.env.disk.list(path)
  return entries.map(entry => entry.name).filter(name => pattern.test(name))
}
