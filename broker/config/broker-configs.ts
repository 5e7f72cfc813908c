/**
 * Every broker config that this broker honours, with Kafka's names, types and defaults. Three defaults are our own: it
 * listens on the loopback interface only, the data lies in ./data, and 8 partitions are recovered at a time. A config
 * is in this table only when something acts on it; `UNUSED_BROKER_CONFIGS` names those of Kafka that a file may well
 * carry and that have nothing to act on here, so that they can be told apart from a slip of the pen.
 */
import {
  boolean,
  double,
  int,
  list,
  long,
  NEVER,
  optional,
  string,
  table,
  type ValuesOf,
} from './definition.ts'
import { ETCD_CONFIGS } from './etcd-configs.ts'
import { GROUP_CONFIGS } from './group-configs.ts'
import { MEMBERSHIP_CONFIGS } from './membership-configs.ts'
import { REPLICATION_CONFIGS } from './replication-configs.ts'
import {
  cleanupPolicy,
  compressionType,
  deleteRetention,
  fileDeleteDelay,
  flushBeforeAck,
  flushMessages,
  indexInterval,
  indexSize,
  maxCompactionLag,
  maxMessageBytes,
  minCleanableDirtyRatio,
  minCompactionLag,
  minInsyncReplicas,
  preallocate,
  retentionBytes,
  segmentBytes,
  timestampAfter,
  timestampBefore,
  timestampType,
  uncleanLeaderElection,
} from './topic-configs.ts'

const INT_MAX = 2 ** 31 - 1

const IDENTITY = {
  'node.id': int({
    default: 1,
    min: 0,
    doc: 'Id of this broker, unique in its cluster. broker.id is the same under its older name.',
  }),
  'broker.rack': optional(
    string({ default: '', doc: 'Where the broker stands (a rack, a zone); told to clients.' }),
  ),
  'cluster.id': optional(
    string({
      default: '',
      doc: 'Id of the cluster, taken when the data folder is first made. One is made up where it is not set.',
    }),
  ),
  'log.dirs': list({
    default: './data',
    doc: 'Folder of the data. One folder is served; a relative path is taken from the working directory.',
  }),
} as const

const NETWORK = {
  listeners: list({
    default: 'PLAINTEXT://127.0.0.1:9092',
    doc: 'Where to listen, as NAME://HOST:PORT; an empty host or 0.0.0.0 is every interface, port 0 takes a free one.',
  }),
  'advertised.listeners': optional(
    list({
      default: '',
      doc: 'What clients are told to connect to, as NAME://HOST:PORT. Unset, a client is told the address by which it reached the broker.',
    }),
  ),
  'listener.security.protocol.map': list({
    default: 'PLAINTEXT:PLAINTEXT',
    allowEmpty: true,
    doc: 'Security protocol of each listener name, as NAME:PROTOCOL. Only PLAINTEXT is served.',
  }),
  'controller.listener.names': list({
    default: '',
    allowEmpty: true,
    doc: 'Listeners of these names are not opened: the cluster state needs none. Taken so that a file written for Kafka works.',
  }),
  'socket.request.max.bytes': int({
    default: 100 * 1024 * 1024,
    min: 1,
    doc: 'Largest request that is read; a larger one closes its connection.',
  }),
  'max.connections': int({
    default: INT_MAX,
    min: 0,
    doc: 'Most connections at one time; more are closed when they come.',
  }),
  'max.connections.per.ip': int({
    default: INT_MAX,
    min: 0,
    doc: 'Most connections at one time from one address.',
  }),
  'connections.max.idle.ms': long({
    default: 600_000,
    min: 1,
    doc: 'A connection that was silent for so many milliseconds is closed.',
  }),
} as const

const TOPICS = {
  'auto.create.topics.enable': boolean({
    default: true,
    doc: 'Whether a topic is made when a client asks for one that is missing.',
  }),
  'delete.topic.enable': boolean({ default: true, doc: 'Whether topics can be deleted.' }),
  'num.partitions': int({ default: 1, min: 1, doc: 'Partitions of a topic for which no number is given.' }),
  'default.replication.factor': int({
    default: 1,
    min: 1,
    max: 32_767,
    doc: 'Replicas of a topic for which no number is given.',
  }),
  'max.request.partition.size.limit': int({
    default: 2000,
    min: 1,
    doc: 'Most partitions in one answer of DescribeTopicPartitions.',
  }),
} as const

const LOG = {
  'log.cleanup.policy': cleanupPolicy,
  'compression.type': compressionType,
  'log.segment.delete.delay.ms': fileDeleteDelay,
  'log.flush.before.ack': flushBeforeAck,
  'log.flush.interval.messages': flushMessages,
  'log.flush.interval.ms': optional(
    long({
      default: NEVER,
      min: 0,
      update: 'cluster-wide',
      doc: 'Milliseconds after which what was appended is synced to disk. Unset: never for this reason.',
    }),
  ),
  'log.index.interval.bytes': indexInterval,
  'log.index.size.max.bytes': indexSize,
  'message.max.bytes': maxMessageBytes,
  'log.message.timestamp.after.max.ms': timestampAfter,
  'log.message.timestamp.before.max.ms': timestampBefore,
  'log.message.timestamp.type': timestampType,
  'min.insync.replicas': minInsyncReplicas,
  'log.preallocate': preallocate,
  'log.retention.bytes': retentionBytes,
  'log.retention.ms': optional(
    long({
      default: -1,
      min: -1,
      update: 'cluster-wide',
      doc: 'Milliseconds after which a segment is removed; -1 for no limit. Unset: log.retention.minutes.',
    }),
  ),
  'log.retention.minutes': optional(
    int({ default: -1, min: -1, doc: 'The same in minutes. Unset: log.retention.hours.' }),
  ),
  'log.retention.hours': int({ default: 168, min: -1, doc: 'The same in hours.' }),
  'log.segment.bytes': segmentBytes,
  'log.roll.ms': optional(
    long({
      default: 1,
      min: 1,
      update: 'cluster-wide',
      doc: 'Milliseconds after which a new segment is begun. Unset: log.roll.hours.',
    }),
  ),
  'log.roll.hours': int({ default: 168, min: 1, doc: 'The same in hours.' }),
  'log.roll.jitter.ms': optional(
    long({
      default: 0,
      min: 0,
      update: 'cluster-wide',
      doc: 'Largest number of milliseconds taken off log.roll.ms by chance. Unset: log.roll.jitter.hours.',
    }),
  ),
  'log.roll.jitter.hours': int({ default: 0, min: 0, doc: 'The same in hours.' }),
  'unclean.leader.election.enable': uncleanLeaderElection,
} as const

const CLEANER = {
  'log.cleaner.enable': boolean({
    default: true,
    doc: 'Whether logs of topics with cleanup.policy=compact are compacted. Without it the offsets topic grows for ever.',
  }),
  'log.cleaner.backoff.ms': long({
    default: 15_000,
    min: 0,
    update: 'cluster-wide',
    doc: 'Milliseconds between looks for a log to compact, while there is none.',
  }),
  'log.cleaner.dedupe.buffer.size': long({
    default: 32 * 1024 * 1024,
    min: 24,
    update: 'cluster-wide',
    doc: 'Memory in which a compaction notes keys, 24 bytes for each. Where it does not do for all of them the log is compacted in several rounds. Kafka has 128 MiB.',
  }),
  'log.cleaner.io.buffer.load.factor': double({
    default: '0.9',
    min: 0.01,
    max: 1,
    update: 'cluster-wide',
    doc: 'How full that memory may get, 0 to 1: fuller holds more keys and takes longer to look one up.',
  }),
  'log.cleaner.io.buffer.size': int({
    default: 512 * 1024,
    min: 4096,
    update: 'cluster-wide',
    doc: 'Bytes that a compaction reads and writes at a time.',
  }),
  'log.cleaner.io.max.bytes.per.second': double({
    default: '1.7976931348623157E308',
    min: 1,
    update: 'cluster-wide',
    doc: 'Most bytes that a compaction reads and writes in a second.',
  }),
  'log.cleaner.min.cleanable.ratio': minCleanableDirtyRatio,
  'log.cleaner.min.compaction.lag.ms': minCompactionLag,
  'log.cleaner.max.compaction.lag.ms': maxCompactionLag,
  'log.cleaner.delete.retention.ms': deleteRetention,
} as const

const HOUSEKEEPING = {
  'log.retention.check.interval.ms': long({
    default: 300_000,
    min: 1,
    doc: 'Milliseconds between looks for segments to remove.',
  }),
  'log.flush.offset.checkpoint.interval.ms': int({
    default: 60_000,
    min: 1,
    doc: 'Milliseconds between writings of the recovery points.',
  }),
  'log.flush.start.offset.checkpoint.interval.ms': int({
    default: 60_000,
    min: 1,
    doc: 'Milliseconds between writings of the log start offsets.',
  }),
  'replica.high.watermark.checkpoint.interval.ms': long({
    default: 5000,
    min: 1,
    doc: 'Milliseconds between writings of the high watermarks.',
  }),
  'num.recovery.threads.per.data.dir': int({
    default: 8,
    min: 1,
    doc: 'How many partitions are recovered at the same time at start.',
  }),
  'producer.id.expiration.ms': int({
    default: 86_400_000,
    min: 1,
    doc: 'Milliseconds after its last write for which an idempotent producer is remembered.',
  }),
  'producer.id.expiration.check.interval.ms': int({
    default: 600_000,
    min: 1,
    doc: 'Milliseconds between looks for idempotent producers to forget.',
  }),
  // About as large as a processor's last cache: what is received into colder memory takes half as long again.
  'log.tail.cache.bytes': long({
    default: 32 * 1024 * 1024,
    min: 0,
    doc: 'Memory for the newest batches of all partitions together, from which readers at the tail are served. Kafka has no such config.',
  }),
} as const

const FETCH = {
  'fetch.max.bytes': int({
    default: 55 * 1024 * 1024,
    min: 1024,
    doc: 'Most bytes in the answer to one fetch, whatever the client asks for.',
  }),
  'max.incremental.fetch.session.cache.slots': int({
    default: 1000,
    min: 0,
    doc: 'How many incremental fetch sessions are remembered.',
  }),
} as const

export const BROKER_CONFIGS = table({
  ...IDENTITY,
  ...NETWORK,
  ...TOPICS,
  ...LOG,
  ...CLEANER,
  ...HOUSEKEEPING,
  ...FETCH,
  ...MEMBERSHIP_CONFIGS,
  ...REPLICATION_CONFIGS,
  ...GROUP_CONFIGS,
  ...ETCD_CONFIGS,
})

export type BrokerConfigName = keyof typeof BROKER_CONFIGS
export type BrokerConfigValues = ValuesOf<typeof BROKER_CONFIGS>

export function isBrokerConfig(name: string): name is BrokerConfigName {
  return Object.hasOwn(BROKER_CONFIGS, name)
}

/** Older names, each for the one that took its place. */
export const BROKER_CONFIG_ALIASES: Readonly<Record<string, BrokerConfigName>> = {
  'broker.id': 'node.id',
  'log.dir': 'log.dirs',
}

/** Configs of Kafka that are read over in a file: harmless, but told, because nothing here acts on them. */
export const UNUSED_BROKER_CONFIGS: readonly string[] = [
  'background.threads',
  'broker.id.generation.enable',
  'controller.quorum.bootstrap.servers',
  'controller.quorum.voters',
  'group.coordinator.append.linger.ms',
  'group.coordinator.rebalance.protocols',
  'group.coordinator.threads',
  'log.cleaner.threads',
  'metadata.log.dir',
  'num.io.threads',
  'num.network.threads',
  'num.replica.fetchers',
  'offsets.commit.timeout.ms',
  'offsets.load.buffer.size',
  'offsets.topic.compression.codec',
  'process.roles',
  'queued.max.requests',
  'security.inter.broker.protocol',
  'share.coordinator.state.topic.min.isr',
  'share.coordinator.state.topic.replication.factor',
  'socket.receive.buffer.bytes',
  'socket.send.buffer.bytes',
  'transaction.state.log.min.isr',
  'transaction.state.log.num.partitions',
  'transaction.state.log.replication.factor',
  'zookeeper.connect',
  'zookeeper.connection.timeout.ms',
]
