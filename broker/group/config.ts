/**
 * The settings of a group coordinator, and what it may look at outside of its own state: the topics that there are.
 * The names are those of Kafka's configs; the defaults are kept with the broker's configs, not here.
 */
import { type TopicId } from '../../client/protocol/types.ts'

/** Bounds and defaults of all groups of a broker. Times in milliseconds. */
export interface GroupCoordinatorConfig {
  /** `group.min.session.timeout.ms` and `group.max.session.timeout.ms`: what a classic member may ask for. */
  readonly minSessionTimeoutMs: number
  readonly maxSessionTimeoutMs: number
  /** `group.max.size`: members of a classic group. */
  readonly maxSize: number
  /** `group.initial.rebalance.delay.ms`: how long an empty classic group waits for more members. */
  readonly initialRebalanceDelayMs: number
  /** How long a new classic member may wait in its first join before it is taken for gone. Kafka: five minutes. */
  readonly newMemberJoinTimeoutMs: number
  /** `group.consumer.session.timeout.ms`, of groups that do not set `consumer.session.timeout.ms`. */
  readonly consumerSessionTimeoutMs: number
  /** `group.consumer.heartbeat.interval.ms`, of groups that do not set `consumer.heartbeat.interval.ms`. */
  readonly consumerHeartbeatIntervalMs: number
  /** `group.consumer.max.size`: members of a consumer group. */
  readonly consumerMaxSize: number
  /**
   * `group.consumer.assignment.interval.ms` (KIP-1263): the least time between two assignments of one group. Large
   * groups have one of their own (`consumer-target.ts`).
   */
  readonly consumerAssignmentIntervalMs: number
  /** `group.consumer.assignors`: the first is the default. */
  readonly consumerAssignors: readonly AssignorName[]
  /** `group.consumer.migration.policy`: which way a group may change its protocol while it has members. */
  readonly consumerMigrationPolicy: 'disabled' | 'upgrade' | 'downgrade' | 'bidirectional'
  /** `offset.metadata.max.bytes`: the text that may be stored with a committed offset. */
  readonly offsetMetadataMaxBytes: number
  /** `offsets.retention.minutes`, in milliseconds. */
  readonly offsetsRetentionMs: number
  /** `offsets.retention.check.interval.ms`. */
  readonly offsetsRetentionCheckIntervalMs: number
}

export type AssignorName = 'uniform' | 'range'

/** What one group may set for itself (resource type GROUP). What is left out is the coordinator's. */
export interface GroupOverrides {
  readonly consumerSessionTimeoutMs?: number
  readonly consumerHeartbeatIntervalMs?: number
}

export interface TopicInfo {
  readonly topicId: TopicId
  readonly name: string
  readonly partitionCount: number
  /** By partition, the racks of its replicas; null where no broker has a rack. */
  readonly racks: readonly (readonly string[])[] | null
}

/** The topics as this broker knows them: a view that changes between commands and never during one. */
export interface TopicsView {
  /** Another number after every change of any topic. */
  readonly version: number
  byName(name: string): TopicInfo | undefined
  byId(topicId: TopicId): TopicInfo | undefined
  names(): Iterable<string>
}

/** What a shard is made of. The functions are pure: the same arguments give the same answer within one command. */
export interface GroupSurroundings {
  readonly config: GroupCoordinatorConfig
  readonly topics: TopicsView
  readonly overridesOf: (groupId: string) => GroupOverrides
  /**
   * A matcher of whole topic names in time linear in their length (RE2's syntax), or null where the pattern is not
   * valid.
   */
  readonly compilePattern: (pattern: string) => ((topicName: string) => boolean) | null
}
