/**
 * The configs of replication, with Kafka's names, types and defaults.
 */
import { int, long, optional, string } from './definition.ts'

export const RACK_AWARE_SELECTOR = 'org.apache.kafka.common.replica.RackAwareReplicaSelector'
export const LEADER_SELECTOR = 'org.apache.kafka.common.replica.LeaderSelector'

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
  'peer.heartbeat.interval.ms': int({
    default: 500,
    min: 10,
    doc: 'Milliseconds between signs of life that brokers ask of one another. One that is silent for four of them is told of in the log. Kafka has no such config.',
  }),
} as const
