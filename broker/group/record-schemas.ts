/**
 * Keys and values of the records of `__consumer_offsets`, as Kafka's own tools and brokers read and write them. A key
 * begins with an int16 that says what kind of record it is, a value with an int16 of its version; both are read and
 * written by `records.ts`.
 */
import {
  array,
  bigint64,
  bytes,
  type Infer,
  int8,
  int32,
  int64,
  message,
  string,
  struct,
  uuid,
} from '../../client/protocol/schema.ts'

const keyVersions = { min: 0, max: 0 }
const flexible = { min: 0, max: 0, flexible: 0 }

export const OffsetCommitKey = message('OffsetCommitKey', keyVersions, {
  group: string(),
  topic: string(),
  partition: int32(),
})
export type OffsetCommitKey = Infer<typeof OffsetCommitKey>

/** Versions: 1 says when the offset expires, 3 has the leader epoch (KIP-320), 4 is flexible and may have an id. */
export const OffsetCommitValue = message(
  'OffsetCommitValue',
  { min: 0, max: 4, flexible: 4 },
  {
    offset: int64(),
    leaderEpoch: int32({ since: 3, default: -1, ignorable: true }),
    metadata: string(),
    commitTimestamp: int64(),
    expireTimestamp: int64({ since: 1, until: 1, default: -1, ignorable: true }),
    topicId: uuid({ since: 4, tag: 0, ignorable: true }),
  },
)
export type OffsetCommitValue = Infer<typeof OffsetCommitValue>

/** A key that names a group and nothing else. */
export const GroupKey = message('GroupMetadataKey', keyVersions, { groupId: string() })
export type GroupKey = Infer<typeof GroupKey>

/** A key that names a member of a group. */
export const MemberKey = message('ConsumerGroupMemberKey', keyVersions, {
  groupId: string(),
  memberId: string(),
})
export type MemberKey = Infer<typeof MemberKey>

export const RegularExpressionKey = message('ConsumerGroupRegularExpressionKey', keyVersions, {
  groupId: string(),
  regularExpression: string(),
})
export type RegularExpressionKey = Infer<typeof RegularExpressionKey>

/** A classic group: all of it in one record. */
export const GroupMetadataValue = message(
  'GroupMetadataValue',
  { min: 0, max: 4, flexible: 4 },
  {
    protocolType: string(),
    generation: int32(),
    protocol: string({ nullable: true }),
    leader: string({ nullable: true }),
    currentStateTimestamp: int64({ since: 2, default: -1, ignorable: true }),
    members: array({
      memberId: string(),
      groupInstanceId: string({ since: 3, nullable: true, default: null, ignorable: true }),
      clientId: string(),
      clientHost: string(),
      rebalanceTimeout: int32({ since: 1, default: -1, ignorable: true }),
      sessionTimeout: int32(),
      subscription: bytes(),
      assignment: bytes(),
    }),
  },
)
export type GroupMetadataValue = Infer<typeof GroupMetadataValue>

export const ConsumerGroupMetadataValue = message('ConsumerGroupMetadataValue', flexible, {
  epoch: int32(),
  metadataHash: bigint64({ tag: 0, default: 0n }),
})
export type ConsumerGroupMetadataValue = Infer<typeof ConsumerGroupMetadataValue>

/** Written by Kafka up to 4.0; read, so that it can be removed again. */
export const ConsumerGroupPartitionMetadataValue = message('ConsumerGroupPartitionMetadataValue', flexible, {
  topics: array({
    topicId: uuid(),
    topicName: string(),
    numPartitions: int32(),
    partitionMetadata: array({ partition: int32(), racks: array(string()) }),
  }),
})
export type ConsumerGroupPartitionMetadataValue = Infer<typeof ConsumerGroupPartitionMetadataValue>

export const ConsumerGroupMemberMetadataValue = message('ConsumerGroupMemberMetadataValue', flexible, {
  instanceId: string({ nullable: true }),
  rackId: string({ nullable: true }),
  clientId: string(),
  clientHost: string(),
  subscribedTopicNames: array(string()),
  subscribedTopicRegex: string({ nullable: true }),
  rebalanceTimeoutMs: int32({ default: -1 }),
  serverAssignor: string({ nullable: true }),
  // Null is written out: where the field is missing, Kafka takes the member for a classic one.
  classicMemberMetadata: struct(
    {
      sessionTimeoutMs: int32(),
      supportedProtocols: array({ name: string(), metadata: bytes() }),
    },
    { nullable: true, tag: 0 },
  ),
})
export type ConsumerGroupMemberMetadataValue = Infer<typeof ConsumerGroupMemberMetadataValue>

export const ConsumerGroupTargetAssignmentMetadataValue = message(
  'ConsumerGroupTargetAssignmentMetadataValue',
  flexible,
  {
    assignmentEpoch: int32(),
    assignmentTimestamp: int64({ tag: 0, default: 0, ignorable: true }),
  },
)
export type ConsumerGroupTargetAssignmentMetadataValue = Infer<
  typeof ConsumerGroupTargetAssignmentMetadataValue
>

const topicPartitions = { topicId: uuid(), partitions: array(int32()) }

export const ConsumerGroupTargetAssignmentMemberValue = message(
  'ConsumerGroupTargetAssignmentMemberValue',
  flexible,
  { topicPartitions: array(topicPartitions) },
)
export type ConsumerGroupTargetAssignmentMemberValue = Infer<typeof ConsumerGroupTargetAssignmentMemberValue>

const ownedPartitions = {
  ...topicPartitions,
  assignmentEpochs: array(int32(), { nullable: true, tag: 0, default: null }),
}

export const ConsumerGroupCurrentMemberAssignmentValue = message(
  'ConsumerGroupCurrentMemberAssignmentValue',
  flexible,
  {
    memberEpoch: int32(),
    previousMemberEpoch: int32(),
    state: int8(),
    assignedPartitions: array(ownedPartitions),
    partitionsPendingRevocation: array(ownedPartitions),
  },
)
export type ConsumerGroupCurrentMemberAssignmentValue = Infer<
  typeof ConsumerGroupCurrentMemberAssignmentValue
>

/** What a pattern matched when it was last looked at, among the topics of which version. */
export const ConsumerGroupRegularExpressionValue = message('ConsumerGroupRegularExpressionValue', flexible, {
  topics: array(string()),
  version: int64(),
  timestamp: int64(),
})
export type ConsumerGroupRegularExpressionValue = Infer<typeof ConsumerGroupRegularExpressionValue>
