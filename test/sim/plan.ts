/**
 * What a seed is made of: how many brokers with which settings, and which topics with which promises. Drawn before
 * anything runs; nothing here acts.
 */

import { isBrokerConfig } from '../../broker/config/broker-configs.ts'
import { type SeededRandom } from '../../broker/env-memory/random.ts'

export interface TopicPlan {
  readonly topic: string
  readonly partitions: number
  readonly replicationFactor: number
  readonly compacted: boolean
  /**
   * Whether records are on disk before they are acknowledged. Where they are not, one disk fewer than
   * min.insync.replicas may lose what it has not synced at one time, and no more: that many hold what is committed.
   */
  readonly flushed: boolean
  readonly configs: Readonly<Record<string, string>>
}

export type Settings = Readonly<Record<string, string | number | boolean>>

export interface ClusterPlan {
  /** 1: it is alone, with a metadata store of its own. */
  readonly brokers: number
  readonly settings: readonly Settings[]
  readonly topics: readonly TopicPlan[]
  /** Of the metadata store, in ms. */
  readonly commitMs: number
  readonly compactEveryMs: number
}

const OFFSETS_PARTITIONS = 2

/** `fixed`: so many, whatever is drawn. */
export function planCluster(draw: SeededRandom, fixed?: number): ClusterPlan {
  const pick = <T>(...values: readonly T[]): T => values[draw.int(values.length)]!
  const drawn = pick(1, 1, 3, 3, 3, 3, 3, 5)
  const brokers = fixed ?? drawn
  const shared = clusterSettings(brokers, pick)
  const racks = pick(1, 2, 3)
  const settings = Array.from({ length: brokers }, (_, index) =>
    known({
      ...shared,
      ...ownSettings(pick),
      ...(brokers > 1 ? { 'broker.rack': `rack-${index % racks}` } : {}),
    }),
  )
  return {
    brokers,
    settings,
    topics: planTopics(draw, brokers),
    commitMs: pick(0.5, 3, 20),
    compactEveryMs: pick(20_000, 120_000, Infinity),
  }
}

type Pick = <T>(...values: readonly T[]) => T

function clusterSettings(brokers: number, pick: Pick): Settings {
  const shared = {
    'offsets.topic.num.partitions': OFFSETS_PARTITIONS,
    'group.initial.rebalance.delay.ms': 500,
    'group.min.session.timeout.ms': 1000,
    'group.consumer.session.timeout.ms': 10_000,
    'group.consumer.min.session.timeout.ms': 1000,
    'group.consumer.heartbeat.interval.ms': 3000,
    'group.consumer.min.heartbeat.interval.ms': 1000,
    'producer.id.expiration.ms': 86_400_000,
    'auto.create.topics.enable': false,
  }
  if (brokers === 1) return shared
  return {
    ...shared,
    'cluster.id': 'simulated-cluster-1234',
    'offsets.topic.replication.factor': 3,
    'default.replication.factor': 3,
    'min.insync.replicas': 2,
    'broker.session.timeout.ms': pick(2000, 4000, 9000),
    'replica.lag.time.max.ms': pick(4000, 10_000, 30_000),
    // Long, so that brokers at rest cost few events; shorter than the shortest lag that is allowed.
    'replica.fetch.wait.max.ms': 3000,
    'peer.heartbeat.interval.ms': pick(500, 3000, 3000, 3000),
    'controlled.shutdown.timeout.ms': pick(1000, 10_000),
    'leader.imbalance.check.interval.seconds': pick(20, 300),
  }
}

function ownSettings(pick: Pick): Settings {
  return {
    'log.cleaner.backoff.ms': pick(2000, 15_000),
    'log.cleaner.dedupe.buffer.size': 1024 * 1024,
    'log.cleaner.io.buffer.size': 64 * 1024,
    'log.segment.delete.delay.ms': pick(0, 1000, 60_000),
    'log.flush.offset.checkpoint.interval.ms': pick(2000, 10_000, 60_000),
    'log.flush.start.offset.checkpoint.interval.ms': pick(2000, 60_000),
    'replica.high.watermark.checkpoint.interval.ms': pick(1000, 5000),
    'log.tail.cache.bytes': pick(0, 32 * 1024, 16 * 1024 * 1024),
  }
}

/** A broker refuses settings that it does not know. */
function known(settings: Settings): Settings {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => isBrokerConfig(name)))
}

function planTopics(draw: SeededRandom, brokers: number): TopicPlan[] {
  const small = (): Record<string, string> => ({
    'segment.ms': String(5000 + draw.int(120_000)),
    'index.interval.bytes': String(draw.int(2) === 0 ? 64 : 1024),
    'segment.index.bytes': String(8 * (2 + draw.int(20))),
  })
  const compaction = {
    'cleanup.policy': 'compact',
    'min.cleanable.dirty.ratio': '0.01',
    'delete.retention.ms': String(draw.int(2) * 60_000),
  }
  const plain = { topic: 'plain', partitions: 1 + draw.int(3), compacted: false }
  const compacted = { topic: 'compacted', partitions: 1, compacted: true }
  return [
    { ...plain, ...safety(draw, brokers, small()) },
    { ...compacted, ...safety(draw, brokers, { ...small(), ...compaction }) },
  ]
}

/** How many have a topic, how many must, and whether they must have it on disk. */
function safety(
  draw: SeededRandom,
  brokers: number,
  configs: Record<string, string>,
): Part<TopicPlan, 'replicationFactor' | 'flushed' | 'configs'> {
  if (brokers === 1) return { replicationFactor: 1, flushed: true, configs }
  const dice = draw.int(10)
  const [replicationFactor, minInsync] = dice < 7 ? [3, 2] : dice < 9 ? [2, 1] : [3, 1]
  const flushed = minInsync === 1 || draw.int(5) !== 0
  return {
    replicationFactor,
    flushed,
    configs: {
      ...configs,
      'min.insync.replicas': String(minInsync),
      'flush.before.ack': String(flushed),
    },
  }
}

type Part<T, K extends keyof T> = { readonly [P in K]: T[P] }
