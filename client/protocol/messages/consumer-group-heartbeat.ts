/**
 * ConsumerGroupHeartbeat: the one request by which a member of a new-style group joins, tells what it owns and
 * wants, learns its assignment, and leaves (KIP-848). Member epoch 0 joins, -1 leaves, -2 leaves for a while as
 * a static member.
 *
 * Versions: 1 subscribes by a pattern that the broker matches, and has the client choose its member id
 * (KIP-1082).
 */
import { array, type Infer, int16, int32, message, string, struct, uuid } from '../schema.ts'

const versions = { min: 0, max: 1, flexible: 0 }

export const ConsumerGroupHeartbeatRequest = message('ConsumerGroupHeartbeatRequest', versions, {
  groupId: string(),
  memberId: string(),
  memberEpoch: int32(),
  instanceId: string({ nullable: true, default: null }),
  rackId: string({ nullable: true, default: null }),
  rebalanceTimeoutMs: int32({ default: -1 }),
  subscribedTopicNames: array(string(), { nullable: true, default: null }),
  subscribedTopicRegex: string({ since: 1, nullable: true, default: null }),
  serverAssignor: string({ nullable: true, default: null }),
  topicPartitions: array(
    {
      topicId: uuid(),
      partitions: array(int32()),
    },
    { nullable: true, default: null },
  ),
})
export type ConsumerGroupHeartbeatRequest = Infer<typeof ConsumerGroupHeartbeatRequest>

const topicPartitions = {
  topicId: uuid(),
  partitions: array(int32()),
}

export const ConsumerGroupHeartbeatResponse = message('ConsumerGroupHeartbeatResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  errorMessage: string({ nullable: true, default: null }),
  memberId: string({ nullable: true, default: null }),
  memberEpoch: int32(),
  heartbeatIntervalMs: int32(),
  assignment: struct(
    {
      topicPartitions: array(topicPartitions),
    },
    { nullable: true, default: null },
  ),
})
export type ConsumerGroupHeartbeatResponse = Infer<typeof ConsumerGroupHeartbeatResponse>
