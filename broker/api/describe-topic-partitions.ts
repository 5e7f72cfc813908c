/**
 * DescribeTopicPartitions (KIP-966): topics in order of their names, a limited number of partitions at a time. Where
 * the limit cuts, the answer says where to go on; a topic may be cut in the middle.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type DescribeTopicPartitionsRequest,
  type DescribeTopicPartitionsResponse,
} from '../../client/protocol/messages/describe-topic-partitions.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { ZERO_TOPIC_ID } from '../../client/protocol/types.ts'
import { type TopicImage } from '../controller/image.ts'
import { type PartitionRecord } from '../controller/records.ts'
import { isInternalTopic, topicNameProblem } from '../controller/topic-names.ts'
import { type ApiHandler, type ConnectionInfo } from '../server/handler.ts'
import { leadershipOf } from './brokers.ts'
import { ALL_TOPIC_OPERATIONS, type BrokerContext } from './context.ts'

type Response = Input<typeof DescribeTopicPartitionsResponse>
type ResponseTopic = Response['topics'][number]

export function describeTopicPartitionsHandler(
  context: BrokerContext,
): ApiHandler<DescribeTopicPartitionsRequest, Response> {
  return {
    api: API.DescribeTopicPartitions,
    handle: (request, { connection }) => describe(context, request, connection),
  }
}

function describe(
  context: BrokerContext,
  request: DescribeTopicPartitionsRequest,
  client: ConnectionInfo,
): Response {
  const { image } = context.metadata
  const { cursor } = request
  if (cursor !== null && !isCursorOf(request.topics, cursor)) {
    // The response has no error of its own: each topic that was asked for has it.
    const errorCode = ErrorCode.INVALID_REQUEST
    return {
      topics: request.topics.map(({ name }) => ({ errorCode, name, topicId: ZERO_TOPIC_ID, partitions: [] })),
    }
  }
  const asked = request.topics.length === 0 ? image.topicNames() : request.topics.map(({ name }) => name)
  const names = [...new Set(asked)].sort().filter(name => cursor === null || name >= cursor.topicName)
  const limit = Math.min(
    request.responsePartitionLimit,
    context.config.values['max.request.partition.size.limit'],
  )
  let room = Math.max(1, limit)
  const topics: ResponseTopic[] = []
  for (const name of names) {
    const topic = image.topic(name)
    if (topic === undefined) {
      // One that was deleted between two pages of "all topics" is not an error.
      if (request.topics.length > 0) topics.push(unknown(name))
      continue
    }
    if (room === 0) return { topics, nextCursor: { topicName: name, partitionIndex: 0 } }
    const from = cursor?.topicName === name ? cursor.partitionIndex : 0
    const partitions = topic.partitions.slice(from, from + room)
    room -= partitions.length
    topics.push({
      errorCode: ErrorCode.NONE,
      name,
      topicId: topic.topicId,
      isInternal: isInternalTopic(name),
      partitions: partitions.map(partition => describePartition(context, client, topic, partition)),
      topicAuthorizedOperations: ALL_TOPIC_OPERATIONS,
    })
    const next = from + partitions.length
    if (next < topic.partitions.length) {
      return { topics, nextCursor: { topicName: name, partitionIndex: next } }
    }
  }
  return { topics, nextCursor: null }
}

/** A cursor goes on within what is asked for. */
function isCursorOf(
  topics: DescribeTopicPartitionsRequest['topics'],
  cursor: NonNullable<DescribeTopicPartitionsRequest['cursor']>,
): boolean {
  if (cursor.partitionIndex < 0) return false
  return topics.length === 0 || topics.some(({ name }) => name === cursor.topicName)
}

function unknown(name: string): ResponseTopic {
  const invalid = topicNameProblem(name)?.error === ErrorCode.INVALID_TOPIC_EXCEPTION
  const errorCode = invalid ? ErrorCode.INVALID_TOPIC_EXCEPTION : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  return {
    errorCode,
    name,
    topicId: ZERO_TOPIC_ID,
    partitions: [],
    topicAuthorizedOperations: ALL_TOPIC_OPERATIONS,
  }
}

function describePartition(
  context: BrokerContext,
  client: ConnectionInfo,
  topic: TopicImage,
  partition: PartitionRecord,
): ResponseTopic['partitions'][number] {
  const { errorCode, leaderId, offlineReplicas } = leadershipOf(context, client, topic, partition)
  return {
    errorCode,
    partitionIndex: partition.partition,
    leaderId,
    leaderEpoch: partition.leaderEpoch,
    replicaNodes: partition.replicas,
    isrNodes: partition.isr,
    eligibleLeaderReplicas: partition.elr,
    lastKnownElr: partition.lastKnownElr,
    offlineReplicas,
  }
}
