/**
 * Every topic config that this broker honours, with Kafka's names, types and defaults, and the broker configs that
 * each falls back to. A config is in this table only when something acts on it: what Kafka has and we do not serve
 * yet stands in `UNSERVED_TOPIC_CONFIGS`, and is refused with its reason instead of being stored and ignored.
 */
import { boolean, double, int, list, long, NEVER, string, table, type ValuesOf } from './definition.ts'
import { throttledReplicas } from './replication-configs.ts'

const TIERED = 'tiered storage is not served'
const RECOMPRESSION =
  'batches are stored as the producer compressed them: set the codec in the producer, and keep "producer" here'

export const cleanupPolicy = list<'delete' | 'compact'>({
  default: 'delete',
  oneOf: ['delete', 'compact'],
  update: 'cluster-wide',
  doc:
    'What happens to old segments. delete: they are removed when retention.ms or retention.bytes says so. compact: of each key ' +
    'the last record is kept, and every record must have one. Both: what is compacted is removed in the end.',
})
export const minCleanableDirtyRatio = double({
  default: '0.5',
  min: 0,
  max: 1,
  update: 'cluster-wide',
  doc: 'Share of a compacted log that must have come in since the last compaction before the next one begins.',
})
export const minCompactionLag = long({
  default: 0,
  min: 0,
  update: 'cluster-wide',
  doc: 'How many milliseconds a record is safe from compaction, so that readers can see each value for so long.',
})
export const maxCompactionLag = long({
  default: NEVER,
  min: 1,
  update: 'cluster-wide',
  doc: 'Milliseconds after which a record is compacted, whatever the dirty ratio. Segments are rolled in time for it.',
})
export const deleteRetention = long({
  default: 86_400_000,
  min: 0,
  update: 'cluster-wide',
  doc: 'How many milliseconds a tombstone (a record without a value) outlives the compaction that first found it, so that a reader who began before sees that the key is gone.',
})
export const compressionType = string<'producer'>({
  default: 'producer',
  oneOf: ['producer'],
  unserved: {
    uncompressed: RECOMPRESSION,
    gzip: RECOMPRESSION,
    snappy: RECOMPRESSION,
    lz4: RECOMPRESSION,
    zstd: RECOMPRESSION,
  },
  update: 'cluster-wide',
  doc: 'Only producer is served: batches are stored and sent as the producer compressed them.',
})
export const timestampType = string<'CreateTime' | 'LogAppendTime'>({
  default: 'CreateTime',
  oneOf: ['CreateTime', 'LogAppendTime'],
  update: 'cluster-wide',
  doc: 'Whether the timestamp of a record is when the producer made it or when the broker appended it.',
})
export const segmentBytes = int({
  default: 1024 * 1024 * 1024,
  min: 1024 * 1024,
  update: 'cluster-wide',
  doc: 'Size at which a new segment file is begun. Retention works on whole segments, so smaller ones are let go sooner.',
})
export const maxMessageBytes = int({
  default: 1024 * 1024 + 12,
  min: 0,
  update: 'cluster-wide',
  doc: 'Largest record batch that is taken, in bytes, after compression.',
})
export const minInsyncReplicas = int({
  default: 1,
  min: 1,
  update: 'cluster-wide',
  doc: 'How many replicas must have a record before a producer with acks=all is answered.',
})
export const uncleanLeaderElection = boolean({
  default: false,
  update: 'cluster-wide',
  doc: 'Whether a replica that may lack acknowledged records can become leader when no other is left. Needs replicas to have an effect.',
})
export const flushBeforeAck = boolean({
  default: true,
  update: 'cluster-wide',
  doc:
    'Whether acks=all waits until the records are on disk (one sync shared by all that wait). Kafka has no such config ' +
    'and answers before; false does the same, and a power failure can then lose records that were acknowledged.',
})
export const flushMessages = long({
  default: NEVER,
  min: 1,
  update: 'cluster-wide',
  doc: 'Number of records after which a partition is synced to disk, whether or not anyone waits.',
})
export const timestampBefore = long({
  default: NEVER,
  min: 0,
  update: 'cluster-wide',
  doc: "How many milliseconds a record may lie before the broker's clock. Without effect under LogAppendTime.",
})
export const timestampAfter = long({
  default: 3_600_000,
  min: 0,
  update: 'cluster-wide',
  doc: "How many milliseconds a record may lie ahead of the broker's clock. Without effect under LogAppendTime.",
})
export const indexInterval = int({
  default: 4096,
  min: 0,
  update: 'cluster-wide',
  doc: 'One index entry is written for about so many bytes of records.',
})
export const indexSize = int({
  default: 10 * 1024 * 1024,
  min: 4,
  update: 'cluster-wide',
  doc: 'Largest size of an offset index; a full one begins a new segment.',
})
export const preallocate = boolean({
  default: false,
  update: 'cluster-wide',
  doc: 'Whether the blocks of a new segment file are reserved when it is made.',
})
export const retentionBytes = long({
  default: -1,
  min: -1,
  update: 'cluster-wide',
  doc: 'Size of a partition above which its oldest segments are removed; -1 for no limit.',
})
export const fileDeleteDelay = long({
  default: 60_000,
  min: 0,
  update: 'cluster-wide',
  doc: 'How many milliseconds a removed segment file stays on disk, so that reads under way can finish.',
})

export const TOPIC_CONFIGS = table({
  'cleanup.policy': cleanupPolicy,
  'compression.type': compressionType,
  'delete.retention.ms': deleteRetention,
  'file.delete.delay.ms': fileDeleteDelay,
  'flush.before.ack': flushBeforeAck,
  'flush.messages': flushMessages,
  'flush.ms': long({
    default: NEVER,
    min: 0,
    doc: 'Milliseconds after which what was appended is synced to disk, whether or not anyone waits.',
  }),
  'follower.replication.throttled.replicas': throttledReplicas(
    'Replicas that copy no faster than follower.replication.throttled.rate while they are not in sync: partition:broker,..., or * for all.',
  ),
  'index.interval.bytes': indexInterval,
  'leader.replication.throttled.replicas': throttledReplicas(
    'Replicas that as leaders send no faster than leader.replication.throttled.rate to followers that are not in sync: partition:broker,..., or * for all.',
  ),
  'max.compaction.lag.ms': maxCompactionLag,
  'max.message.bytes': maxMessageBytes,
  'message.timestamp.after.max.ms': timestampAfter,
  'message.timestamp.before.max.ms': timestampBefore,
  'message.timestamp.type': timestampType,
  'min.cleanable.dirty.ratio': minCleanableDirtyRatio,
  'min.compaction.lag.ms': minCompactionLag,
  'min.insync.replicas': minInsyncReplicas,
  preallocate,
  'retention.bytes': retentionBytes,
  'retention.ms': long({
    default: 7 * 24 * 3_600_000,
    min: -1,
    doc: 'Milliseconds after which a segment is removed, by its newest record; -1 for no limit.',
  }),
  'segment.bytes': segmentBytes,
  'segment.index.bytes': indexSize,
  'segment.jitter.ms': long({
    default: 0,
    min: 0,
    doc: 'Up to so many milliseconds, by chance, are taken off segment.ms, so that partitions do not all roll at once.',
  }),
  'segment.ms': long({
    default: 7 * 24 * 3_600_000,
    min: 1,
    doc: 'Milliseconds after which a new segment is begun even when the old one is not full.',
  }),
  'unclean.leader.election.enable': uncleanLeaderElection,
})

export type TopicConfigName = keyof typeof TOPIC_CONFIGS
export type TopicConfigValues = ValuesOf<typeof TOPIC_CONFIGS>

export function isTopicConfig(name: string): name is TopicConfigName {
  return Object.hasOwn(TOPIC_CONFIGS, name)
}

/** What Kafka has and this broker would have to ignore, with the reason that is told. */
export const UNSERVED_TOPIC_CONFIGS: Readonly<Record<string, string>> = {
  'compression.gzip.level': RECOMPRESSION,
  'compression.lz4.level': RECOMPRESSION,
  'compression.zstd.level': RECOMPRESSION,
  'local.retention.bytes': TIERED,
  'local.retention.ms': TIERED,
  'message.downconversion.enable': 'record batches are never converted to older formats',
  'message.format.version': 'only record batch version 2 is stored',
  'remote.copy.disable': TIERED,
  'remote.log.delete.on.disable': TIERED,
  'remote.storage.enable': TIERED,
}

/** `scale` turns a value of the broker config into the unit of the topic config. */
export interface Synonym {
  readonly name: string
  readonly scale: number
}

const one = (name: string): readonly Synonym[] => [{ name, scale: 1 }]

/** The broker configs that stand in for a topic config that is not set, the strongest first. */
export const TOPIC_CONFIG_SYNONYMS: { readonly [K in TopicConfigName]: readonly Synonym[] } = {
  'cleanup.policy': one('log.cleanup.policy'),
  'compression.type': one('compression.type'),
  'delete.retention.ms': one('log.cleaner.delete.retention.ms'),
  'file.delete.delay.ms': one('log.segment.delete.delay.ms'),
  'flush.before.ack': one('log.flush.before.ack'),
  'flush.messages': one('log.flush.interval.messages'),
  'flush.ms': one('log.flush.interval.ms'),
  'follower.replication.throttled.replicas': [],
  'index.interval.bytes': one('log.index.interval.bytes'),
  'leader.replication.throttled.replicas': [],
  'max.compaction.lag.ms': one('log.cleaner.max.compaction.lag.ms'),
  'max.message.bytes': one('message.max.bytes'),
  'message.timestamp.after.max.ms': one('log.message.timestamp.after.max.ms'),
  'message.timestamp.before.max.ms': one('log.message.timestamp.before.max.ms'),
  'message.timestamp.type': one('log.message.timestamp.type'),
  'min.cleanable.dirty.ratio': one('log.cleaner.min.cleanable.ratio'),
  'min.compaction.lag.ms': one('log.cleaner.min.compaction.lag.ms'),
  'min.insync.replicas': one('min.insync.replicas'),
  preallocate: one('log.preallocate'),
  'retention.bytes': one('log.retention.bytes'),
  'retention.ms': [
    { name: 'log.retention.ms', scale: 1 },
    { name: 'log.retention.minutes', scale: 60_000 },
    { name: 'log.retention.hours', scale: 3_600_000 },
  ],
  'segment.bytes': one('log.segment.bytes'),
  'segment.index.bytes': one('log.index.size.max.bytes'),
  'segment.jitter.ms': [
    { name: 'log.roll.jitter.ms', scale: 1 },
    { name: 'log.roll.jitter.hours', scale: 3_600_000 },
  ],
  'segment.ms': [
    { name: 'log.roll.ms', scale: 1 },
    { name: 'log.roll.hours', scale: 3_600_000 },
  ],
  'unclean.leader.election.enable': one('unclean.leader.election.enable'),
}
