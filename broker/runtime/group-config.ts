/**
 * From the table of broker configs to what the group coordinator wants: names of configs on one side, fields on the
 * other.
 */
import { type BrokerConfigValues } from '../config/broker-configs.ts'
import { CONFIGS_OF_GROUPS } from '../config/group-configs.ts'
import { type GroupCoordinatorConfig, type GroupOverrides } from '../group/config.ts'

/** As in Kafka; no config names it. */
const NEW_MEMBER_JOIN_TIMEOUT_MS = 5 * 60_000

export function groupConfigOf(values: BrokerConfigValues): GroupCoordinatorConfig {
  return {
    minSessionTimeoutMs: values['group.min.session.timeout.ms'],
    maxSessionTimeoutMs: values['group.max.session.timeout.ms'],
    maxSize: values['group.max.size'],
    initialRebalanceDelayMs: values['group.initial.rebalance.delay.ms'],
    newMemberJoinTimeoutMs: NEW_MEMBER_JOIN_TIMEOUT_MS,
    consumerSessionTimeoutMs: values['group.consumer.session.timeout.ms'],
    consumerHeartbeatIntervalMs: values['group.consumer.heartbeat.interval.ms'],
    consumerMaxSize: values['group.consumer.max.size'],
    consumerAssignmentIntervalMs: values['group.consumer.assignment.interval.ms'],
    consumerAssignors: values['group.consumer.assignors'],
    consumerMigrationPolicy: values['group.consumer.migration.policy'],
    offsetMetadataMaxBytes: values['offset.metadata.max.bytes'],
    offsetsRetentionMs: values['offsets.retention.minutes'] * 60_000,
    offsetsRetentionCheckIntervalMs: values['offsets.retention.check.interval.ms'],
  }
}

const NO_OVERRIDES: GroupOverrides = {}

/** What a group has set for itself; the texts have been checked. */
export function groupOverridesOf(configs: ReadonlyMap<string, string>): GroupOverrides {
  if (configs.size === 0) return NO_OVERRIDES
  const parsed = (name: keyof typeof CONFIGS_OF_GROUPS): number | undefined => {
    const text = configs.get(name)
    return text === undefined ? undefined : CONFIGS_OF_GROUPS[name].parse(name, text)
  }
  const sessionTimeoutMs = parsed('consumer.session.timeout.ms')
  const heartbeatIntervalMs = parsed('consumer.heartbeat.interval.ms')
  return {
    ...(sessionTimeoutMs === undefined ? {} : { consumerSessionTimeoutMs: sessionTimeoutMs }),
    ...(heartbeatIntervalMs === undefined ? {} : { consumerHeartbeatIntervalMs: heartbeatIntervalMs }),
  }
}
