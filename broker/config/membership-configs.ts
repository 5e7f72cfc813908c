/**
 * Configs of a broker as one of many: how it is known to live, how it leaves, and who leads what. Kafka's names and
 * defaults, but for `controlled.shutdown.timeout.ms`.
 */
import { boolean, int, long } from './definition.ts'

export const MEMBERSHIP_CONFIGS = {
  'broker.session.timeout.ms': int({
    default: 9000,
    min: 2000,
    doc: 'Milliseconds after which a broker that the metadata store has not heard of is taken for dead. One whose process has ended is found out sooner.',
  }),
  'controlled.shutdown.enable': boolean({
    default: true,
    doc: 'Whether a broker that stops first has others take over what it leads.',
  }),
  'controlled.shutdown.timeout.ms': int({
    default: 15_000,
    min: 0,
    doc: 'Most milliseconds that a broker waits for that. What it still leads then has no leader until it is found dead. Kafka has retries instead.',
  }),
  'auto.leader.rebalance.enable': boolean({
    default: true,
    doc: 'Whether leadership goes back to preferred replicas by itself.',
  }),
  'leader.imbalance.check.interval.seconds': long({
    default: 300,
    min: 1,
    doc: 'Seconds between looks for brokers that do not lead what they should.',
  }),
  'leader.imbalance.per.broker.percentage': int({
    default: 10,
    min: 0,
    doc: 'Percentage of the partitions preferred for a broker that others may lead, before leadership is moved.',
  }),
} as const
