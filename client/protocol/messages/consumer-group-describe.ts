/**
 * ConsumerGroupDescribe: state, members and assignments of new-style groups (KIP-848).
 *
 * Versions: 1 tells which members still speak the classic protocol (KIP-1099).
 */
import { array, bool, type Infer, int8, int16, int32, message, string, struct, uuid } from '../schema.ts'

const versions = { min: 0, max: 1, flexible: 0 }

export const ConsumerGroupDescribeRequest = message('ConsumerGroupDescribeRequest', versions, {
  groupIds: array(string()),
  includeAuthorizedOperations: bool(),
})
export type ConsumerGroupDescribeRequest = Infer<typeof ConsumerGroupDescribeRequest>

const topicPartitions = {
  topicId: uuid(),
  topicName: string(),
  partitions: array(int32()),
}

const assignment = {
  topicPartitions: array(topicPartitions),
}

export const ConsumerGroupDescribeResponse = message('ConsumerGroupDescribeResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  groups: array({
    errorCode: int16(),
    errorMessage: string({ nullable: true, default: null }),
    groupId: string(),
    groupState: string(),
    groupEpoch: int32(),
    assignmentEpoch: int32(),
    assignorName: string(),
    members: array({
      memberId: string(),
      instanceId: string({ nullable: true, default: null }),
      rackId: string({ nullable: true, default: null }),
      memberEpoch: int32(),
      clientId: string(),
      clientHost: string(),
      subscribedTopicNames: array(string()),
      subscribedTopicRegex: string({ nullable: true, default: null }),
      assignment: struct(assignment),
      targetAssignment: struct(assignment),
      memberType: int8({ since: 1, default: -1, ignorable: true }),
    }),
    authorizedOperations: int32({ default: -2_147_483_648 }),
  }),
})
export type ConsumerGroupDescribeResponse = Infer<typeof ConsumerGroupDescribeResponse>
