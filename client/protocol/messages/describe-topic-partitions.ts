/**
 * DescribeTopicPartitions: partitions of topics, page by page, with their eligible leader replicas (KIP-966).
 * A cursor says where the next page begins.
 */
import { array, bool, type Infer, int16, int32, message, string, struct, uuid } from '../schema.ts'

const versions = { min: 0, max: 0, flexible: 0 }

export const DescribeTopicPartitionsRequest = message('DescribeTopicPartitionsRequest', versions, {
  topics: array({
    name: string(),
  }),
  responsePartitionLimit: int32({ default: 2000 }),
  cursor: struct(
    {
      topicName: string(),
      partitionIndex: int32(),
    },
    { nullable: true, default: null },
  ),
})
export type DescribeTopicPartitionsRequest = Infer<typeof DescribeTopicPartitionsRequest>

export const DescribeTopicPartitionsResponse = message('DescribeTopicPartitionsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  topics: array({
    errorCode: int16(),
    name: string({ nullable: true }),
    topicId: uuid(),
    isInternal: bool({ default: false }),
    partitions: array({
      errorCode: int16(),
      partitionIndex: int32(),
      leaderId: int32(),
      leaderEpoch: int32({ default: -1 }),
      replicaNodes: array(int32()),
      isrNodes: array(int32()),
      eligibleLeaderReplicas: array(int32(), { nullable: true, default: null }),
      lastKnownElr: array(int32(), { nullable: true, default: null }),
      offlineReplicas: array(int32()),
    }),
    topicAuthorizedOperations: int32({ default: -2_147_483_648 }),
  }),
  nextCursor: struct(
    {
      topicName: string(),
      partitionIndex: int32(),
    },
    { nullable: true, default: null },
  ),
})
export type DescribeTopicPartitionsResponse = Infer<typeof DescribeTopicPartitionsResponse>
