/**
 * The configs of replication, with Kafka's names, types and defaults.
 */
import {
  type ConfigDefinition,
  ConfigError,
  int,
  long,
  NEVER,
  optional,
  splitList,
  string,
} from './definition.ts'

export const RACK_AWARE_SELECTOR = 'org.apache.kafka.common.replica.RackAwareReplicaSelector'
export const LEADER_SELECTOR = 'org.apache.kafka.common.replica.LeaderSelector'

/** The replicas of a topic whose copying is throttled: on some brokers, by partition, or all. */
export type ThrottledReplicas = 'all' | ReadonlyMap<number, ReadonlySet<number>>

/** Kafka's form: `*`, or `partition:broker` any number of times. */
export function throttledReplicas(doc: string): Omit<ConfigDefinition<ThrottledReplicas>, 'name'> {
  return {
    type: 'list',
    defaultText: '',
    update: 'cluster-wide',
    doc,
    parse(name, text) {
      const items = splitList(text)
      if (items[0] === '*') return 'all'
      const replicas = new Map<number, Set<number>>()
      for (const item of items) {
        const match = /^(\d{1,10}):(\d{1,10})$/.exec(item)
        if (match === null) {
          throw new ConfigError(
            name,
            `Invalid value ${text} for configuration ${name}: ${name} must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],...`,
          )
        }
        const [partition, broker] = [Number(match[1]), Number(match[2])]
        const brokers = replicas.get(partition)
        if (brokers === undefined) replicas.set(partition, new Set([broker]))
        else brokers.add(broker)
      }
      return replicas
    },
  }
}

function throttledRate(doing: string): ReturnType<typeof long> {
  return long({
    default: NEVER,
    min: 0,
    update: 'cluster-wide',
    doc: `Bytes per second that this broker ${doing} for replicas that are throttled and not in sync.`,
  })
}

export const REPLICATION_CONFIGS = {
  'inter.broker.listener.name': optional(
    string({
      default: '',
      doc: 'The listener by which brokers reach one another. The first one where it is not set.',
    }),
  ),
  'replica.lag.time.max.ms': long({
    default: 30_000,
    min: 1,
    doc: 'Milliseconds for which a follower may be behind before it is no longer counted as in sync.',
  }),
  'replica.fetch.wait.max.ms': int({
    default: 500,
    min: 1,
    doc: 'Most milliseconds that a leader holds the fetch of a follower for want of records.',
  }),
  'replica.fetch.min.bytes': int({
    default: 1,
    min: 0,
    doc: 'Bytes for which a leader holds the fetch of a follower.',
  }),
  'replica.fetch.max.bytes': int({
    default: 1024 * 1024,
    min: 0,
    doc: 'Most bytes of one partition in the answer to a follower. A larger batch comes alone.',
  }),
  'replica.fetch.response.max.bytes': int({
    default: 10 * 1024 * 1024,
    min: 0,
    doc: 'Most bytes in one answer to a follower.',
  }),
  'replica.fetch.backoff.ms': int({
    default: 1000,
    min: 0,
    doc: 'Longest time in milliseconds for which a partition is put off after an error.',
  }),
  'replica.socket.timeout.ms': int({
    default: 30_000,
    min: 1,
    doc: 'Milliseconds after which the answer of another broker is no longer waited for.',
  }),
  'replica.selector.class': optional(
    string({
      default: '',
      oneOf: [RACK_AWARE_SELECTOR, LEADER_SELECTOR],
      doc: 'Whether consumers that say in which rack they are (client.rack) are sent to an in-sync replica in the same one (RackAwareReplicaSelector). Unset: they read from leaders.',
    }),
  ),
  'leader.replication.throttled.rate': throttledRate('sends to followers'),
  'follower.replication.throttled.rate': throttledRate('copies from leaders'),
  'replication.quota.window.num': int({
    default: 11,
    min: 1,
    doc: 'How many samples the rate of throttled replication is taken over.',
  }),
  'replication.quota.window.size.seconds': int({
    default: 1,
    min: 1,
    doc: 'Length in seconds of one sample of the rate of throttled replication.',
  }),
  'peer.heartbeat.interval.ms': int({
    default: 500,
    min: 10,
    doc: 'Milliseconds between signs of life that brokers ask of one another. One that is silent for four of them is told of in the log. Kafka has no such config.',
  }),
} as const
