/**
 * The configs of the group coordinator, with Kafka's names, types and defaults.
 */
import { int, list, long, short, string, table } from './definition.ts'

const INT_MAX = 2 ** 31 - 1

const CLASSIC = {
  'group.initial.rebalance.delay.ms': int({
    default: 3000,
    min: 0,
    doc: 'How long a group that was empty waits for more members before it first shares out its partitions. 0 spares a lone consumer the wait; a group of many then shares out again with each member that comes.',
  }),
  'group.min.session.timeout.ms': int({
    default: 6000,
    min: 1,
    doc: 'Shortest session.timeout.ms that a member of a classic group may ask for.',
  }),
  'group.max.session.timeout.ms': int({
    default: 1_800_000,
    min: 1,
    doc: 'Longest session.timeout.ms that a member of a classic group may ask for.',
  }),
  'group.max.size': int({ default: INT_MAX, min: 1, doc: 'Most members of a classic group.' }),
} as const

const CONSUMER = {
  'group.consumer.session.timeout.ms': int({
    default: 45_000,
    min: 1,
    doc: 'Milliseconds without a heartbeat after which a member of a consumer group (KIP-848) is taken out.',
  }),
  'group.consumer.heartbeat.interval.ms': int({
    default: 5000,
    min: 1,
    doc: 'How often members of consumer groups are told to send a heartbeat.',
  }),
  'group.consumer.min.session.timeout.ms': int({
    default: 45_000,
    min: 1,
    doc: 'Least that a group may set as its consumer.session.timeout.ms.',
  }),
  'group.consumer.max.session.timeout.ms': int({
    default: 60_000,
    min: 1,
    doc: 'Most that a group may set as its consumer.session.timeout.ms.',
  }),
  'group.consumer.min.heartbeat.interval.ms': int({
    default: 5000,
    min: 1,
    doc: 'Least that a group may set as its consumer.heartbeat.interval.ms.',
  }),
  'group.consumer.max.heartbeat.interval.ms': int({
    default: 15_000,
    min: 1,
    doc: 'Most that a group may set as its consumer.heartbeat.interval.ms.',
  }),
  'group.consumer.max.size': int({ default: INT_MAX, min: 1, doc: 'Most members of a consumer group.' }),
  'group.consumer.assignment.interval.ms': int({
    default: 0,
    min: 0,
    doc: 'Least time between two assignments of a consumer group: whoever joins meanwhile is answered with the next one. Groups of thousands of members and partitions wait up to a second by themselves.',
  }),
  'group.consumer.assignors': list<'uniform' | 'range'>({
    default: 'uniform,range',
    oneOf: ['uniform', 'range'],
    doc: "Ways to share out a consumer group's partitions that members may choose from; the first is taken where none chooses.",
  }),
  'group.consumer.migration.policy': string<'disabled' | 'upgrade' | 'downgrade' | 'bidirectional'>({
    default: 'bidirectional',
    oneOf: ['disabled', 'upgrade', 'downgrade', 'bidirectional'],
    doc: 'Which way a group with members may change its protocol: classic to consumer (upgrade), back (downgrade), or both.',
  }),
} as const

const OFFSETS = {
  'offset.metadata.max.bytes': int({
    default: 4096,
    min: 0,
    doc: 'Largest text that may be stored with a committed offset.',
  }),
  'offsets.retention.minutes': int({
    default: 10_080,
    min: 1,
    doc: 'Minutes for which the offsets of a group without members, or of a topic that it does not read any more, are kept.',
  }),
  'offsets.retention.check.interval.ms': long({
    default: 600_000,
    min: 1,
    doc: 'Milliseconds between looks for offsets to forget.',
  }),
  'offsets.topic.num.partitions': int({
    default: 50,
    min: 1,
    doc: 'Partitions of __consumer_offsets, which is made when a group is first asked for. Not to be changed afterwards.',
  }),
  'offsets.topic.replication.factor': short({
    default: 3,
    min: 1,
    doc: 'Replicas of __consumer_offsets. Where there are fewer brokers when it is made, as many as there are.',
  }),
  'offsets.topic.segment.bytes': int({
    default: 100 * 1024 * 1024,
    min: 1024 * 1024,
    doc: 'Size at which a new segment file of __consumer_offsets is begun.',
  }),
} as const

/** What a single group may set for itself (resource type GROUP, KIP-848); unset, the broker's config holds. */
export const CONFIGS_OF_GROUPS = table({
  'consumer.heartbeat.interval.ms': int({
    default: 5000,
    min: 1,
    update: 'cluster-wide',
    doc: 'How often members of this group are told to send a heartbeat.',
  }),
  'consumer.session.timeout.ms': int({
    default: 45_000,
    min: 1,
    update: 'cluster-wide',
    doc: 'Milliseconds without a heartbeat after which a member of this group is taken out.',
  }),
})
export type GroupConfigName = keyof typeof CONFIGS_OF_GROUPS

export function isGroupConfig(name: string): name is GroupConfigName {
  return Object.hasOwn(CONFIGS_OF_GROUPS, name)
}

/** The broker configs behind each: the one that it stands in for, and those that bound it. */
export const GROUP_CONFIG_BASES = {
  'consumer.heartbeat.interval.ms': {
    fallback: 'group.consumer.heartbeat.interval.ms',
    min: 'group.consumer.min.heartbeat.interval.ms',
    max: 'group.consumer.max.heartbeat.interval.ms',
  },
  'consumer.session.timeout.ms': {
    fallback: 'group.consumer.session.timeout.ms',
    min: 'group.consumer.min.session.timeout.ms',
    max: 'group.consumer.max.session.timeout.ms',
  },
} as const

export const GROUP_CONFIGS = { ...CLASSIC, ...CONSUMER, ...OFFSETS } as const
