/**
 * Metadata: the brokers, the topics and who leads their partitions; also where topics come to be because someone asked
 * for them (auto.create.topics.enable). Kafka answers UNKNOWN_TOPIC_OR_PARTITION while it makes one; here that takes
 * a few milliseconds, so the answer waits for it and the client need not ask twice.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type MetadataRequest, type MetadataResponse } from '../../client/protocol/messages/metadata.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../client/protocol/types.ts'
import { type TopicImage } from '../controller/image.ts'
import { type PartitionRecord } from '../controller/records.ts'
import { GROUP_OFFSETS_TOPIC, isInternalTopic, topicNameProblem } from '../controller/topic-names.ts'
import { onceEach } from '../runtime/once-each.ts'
import { type ApiHandler, type ConnectionInfo, type RequestContext } from '../server/handler.ts'
import { controllerId, leadershipOf, servingNodes } from './brokers.ts'
import {
  ALL_CLUSTER_OPERATIONS,
  ALL_TOPIC_OPERATIONS,
  type BrokerContext,
  OPERATIONS_NOT_ASKED,
} from './context.ts'
import { createTopics } from './create-topics.ts'

type Response = Input<typeof MetadataResponse>
type ResponseTopic = Response['topics'][number]

/** From this version on a topic may be named by its id alone. */
const BY_TOPIC_ID_SINCE = 12

export function metadataHandler(context: BrokerContext): ApiHandler<MetadataRequest, Response> {
  return {
    api: API.Metadata,
    handle(request, requestContext) {
      const missing = topicsToCreate(context, request, requestContext)
      if (missing.length === 0) return answer(context, request, requestContext, new Map())
      return autoCreate(context, missing).then(errors => answer(context, request, requestContext, errors))
    },
  }
}

function wantsAll(request: MetadataRequest, version: number): boolean {
  return request.topics === null || (version === 0 && request.topics.length === 0)
}

function topicsToCreate(
  context: BrokerContext,
  request: MetadataRequest,
  { apiVersion }: RequestContext,
): string[] {
  if (!request.allowAutoTopicCreation || wantsAll(request, apiVersion) || request.topics === null) return []
  const names = new Set<string>()
  for (const { name } of request.topics) {
    if (name !== null && context.metadata.image.topic(name) === undefined) names.add(name)
  }
  if (names.size === 0 || !context.config.values['auto.create.topics.enable']) return []
  return [...names].filter(name => topicNameProblem(name) === null)
}

/** The error of each topic that could not be made. */
async function autoCreate(context: BrokerContext, names: readonly string[]): Promise<Map<string, ErrorCode>> {
  const errors = new Map<string, ErrorCode>()
  // This one is not like others, and is made as the coordinator wants it.
  if (names.includes(GROUP_OFFSETS_TOPIC) && (await context.groups.ensureOffsetsTopic()) !== null) {
    errors.set(GROUP_OFFSETS_TOPIC, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  }
  const ordinary = names.filter(name => name !== GROUP_OFFSETS_TOPIC)
  const commands = ordinary.map(name => ({
    name,
    partitions: -1,
    replicationFactor: -1,
    assignments: [],
    configs: [],
  }))
  const outcomes = await createTopics(context, commands, false)
  for (const [index, { error, message }] of outcomes.entries()) {
    // Another request was faster: the topic is there, which is all that was wanted.
    if (error === ErrorCode.NONE || error === ErrorCode.TOPIC_ALREADY_EXISTS) continue
    const name = ordinary[index]!
    context.env.log.warn('A topic that a client asked for could not be made', {
      topic: name,
      reason: message,
    })
    errors.set(
      name,
      error === ErrorCode.INVALID_TOPIC_EXCEPTION ? error : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    )
  }
  return errors
}

function answer(
  context: BrokerContext,
  request: MetadataRequest,
  { apiVersion, connection }: RequestContext,
  errors: ReadonlyMap<string, ErrorCode>,
): Response {
  const operations = request.includeTopicAuthorizedOperations ? ALL_TOPIC_OPERATIONS : OPERATIONS_NOT_ASKED
  const topics: ResponseTopic[] = []
  if (wantsAll(request, apiVersion)) {
    for (const topic of context.metadata.image.topics())
      topics.push(known(context, connection, topic, operations))
  } else {
    for (const { item: asked } of onceEach(request.topics ?? [], keyOf)) {
      // Versions 10 and 11 have room for ids in the request, and none for an answer without a name.
      const { name, topicId } = asked
      if ((name === null || topicId !== ZERO_TOPIC_ID) && apiVersion < BY_TOPIC_ID_SINCE) {
        topics.push(unknown(ErrorCode.INVALID_REQUEST, name ?? '', topicId))
      } else topics.push(describe(context, connection, asked, errors, operations))
    }
  }
  return {
    brokers: servingNodes(context, connection).map(({ brokerId: nodeId, ...node }) => ({ nodeId, ...node })),
    clusterId: context.clusterId,
    controllerId: controllerId(context),
    topics,
    clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
      ? ALL_CLUSTER_OPERATIONS
      : OPERATIONS_NOT_ASKED,
    errorCode: ErrorCode.NONE,
  }
}

/** Where a topic is named both ways, the id counts. */
function keyOf({ name, topicId }: { readonly topicId: TopicId; readonly name: string | null }): string {
  return topicId === ZERO_TOPIC_ID ? `name ${name}` : `id ${topicId}`
}

function describe(
  context: BrokerContext,
  client: ConnectionInfo,
  asked: { readonly topicId: TopicId; readonly name: string | null },
  errors: ReadonlyMap<string, ErrorCode>,
  operations: number,
): ResponseTopic {
  const { image } = context.metadata
  if (asked.name === null || asked.topicId !== ZERO_TOPIC_ID) {
    const topic = image.topicById(asked.topicId)
    return topic === undefined
      ? unknown(ErrorCode.UNKNOWN_TOPIC_ID, null, asked.topicId)
      : known(context, client, topic, operations)
  }
  const topic = image.topic(asked.name)
  if (topic !== undefined) return known(context, client, topic, operations)
  const invalid = topicNameProblem(asked.name)?.error === ErrorCode.INVALID_TOPIC_EXCEPTION
  const error = invalid
    ? ErrorCode.INVALID_TOPIC_EXCEPTION
    : (errors.get(asked.name) ?? ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
  return unknown(error, asked.name, ZERO_TOPIC_ID)
}

function unknown(errorCode: ErrorCode, name: string | null, topicId: TopicId): ResponseTopic {
  return { errorCode, name, topicId, partitions: [] }
}

function known(
  context: BrokerContext,
  client: ConnectionInfo,
  topic: TopicImage,
  topicAuthorizedOperations: number,
): ResponseTopic {
  return {
    errorCode: ErrorCode.NONE,
    name: topic.name,
    topicId: topic.topicId,
    isInternal: isInternalTopic(topic.name),
    partitions: partitionsOf(context, client, topic),
    topicAuthorizedOperations,
  }
}

interface Described {
  readonly listenerName: string
  /** The brokers under which it was made: another array after everything that happens to one of them. */
  readonly brokers: readonly number[]
  readonly partitions: ResponseTopic['partitions']
}

/** The image of a topic is never changed, only replaced: what is made from one is made once, until brokers change. */
const describedByImage = new WeakMap<TopicImage, Described>()

function partitionsOf(
  context: BrokerContext,
  client: ConnectionInfo,
  topic: TopicImage,
): ResponseTopic['partitions'] {
  const describe = (partition: PartitionRecord): ResponseTopic['partitions'][number] =>
    describePartition(context, client, topic, partition)
  // What is offline is not in the image, and rare.
  if (context.partitions.offline.hasTopic(topic.topicId)) return topic.partitions.map(describe)
  const { listenerName } = client
  const brokers = context.metadata.image.brokers.active()
  const known = describedByImage.get(topic)
  if (known?.listenerName === listenerName && known.brokers === brokers) return known.partitions
  const partitions = topic.partitions.map(describe)
  describedByImage.set(topic, { listenerName, brokers, partitions })
  return partitions
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
    offlineReplicas,
  }
}
