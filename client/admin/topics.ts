/**
 * Topics: making, removing, growing, trimming, describing.
 */
import { type Cluster } from '../cluster.ts'
import { combineErrors, KafkaError, protocolError } from '../errors.ts'
import { atLeaders } from '../offsets.ts'
import { API } from '../protocol/apis.ts'
import { ErrorCode } from '../protocol/errors.ts'
import { type DescribeTopicPartitionsResponse } from '../protocol/messages/describe-topic-partitions.ts'
import { type MetadataResponse } from '../protocol/messages/metadata.ts'
import { ZERO_TOPIC_ID } from '../protocol/types.ts'
import { settleItems, unmentioned } from './items.ts'
import {
  type CreatedTopic,
  type CreatePartitionsOptions,
  type CreateTopicsOptions,
  type DeletedRecords,
  type DeleteRecordsOptions,
  type DeleteTopicsOptions,
  type DescribeTopicsOptions,
  type NewTopic,
  type OperationOptions,
  type TopicDescription,
  type TopicListing,
} from './types.ts'

/** From this version on topics are deleted by name or id in a list of structures. */
const DELETE_BY_STATE_VERSION = 6

export function createTopics(cluster: Cluster, options: CreateTopicsOptions): Promise<CreatedTopic[]> {
  const { validateOnly = false, ifNotExists = false } = options
  const topics = options.topics.map<NewTopic>(topic => (typeof topic === 'string' ? { topic } : topic))
  return settleItems(cluster, 'createTopics', topics, options, async (open, { mayBeDone }) => {
    const connection = await cluster.route('controller', 'control')
    const { requestTimeoutMs: timeoutMs } = cluster.config
    const response = await connection.request(
      API.CreateTopics,
      { topics: open.map(newTopic), timeoutMs, validateOnly },
      { timeoutMs, signal: options.signal },
    )
    return open.map(({ topic }) => {
      const answer = response.topics.find(({ name }) => name === topic)
      if (answer === undefined) return unmentioned('CreateTopics', topic, connection.label)
      const { errorCode, errorMessage: detail, topicId, numPartitions, replicationFactor } = answer
      const exists = errorCode === ErrorCode.TOPIC_ALREADY_EXISTS
      if (errorCode !== ErrorCode.NONE && !(exists && (ifNotExists || mayBeDone))) {
        return {
          error: protocolError(errorCode, { api: 'CreateTopics', broker: connection.label, topic, detail }),
        }
      }
      return {
        value: {
          topic,
          topicId: knownId(topicId),
          created: !exists || mayBeDone,
          partitions: exists ? -1 : numPartitions,
          replicationFactor: exists ? -1 : replicationFactor,
        },
      }
    })
  })
}

function newTopic({ topic, partitions, replicationFactor, assignments, configs }: NewTopic) {
  return {
    name: topic,
    numPartitions: assignments === undefined ? (partitions ?? -1) : -1,
    replicationFactor: assignments === undefined ? (replicationFactor ?? -1) : -1,
    assignments: (assignments ?? []).map(({ partition, replicas }) => ({
      partitionIndex: partition,
      brokerIds: replicas,
    })),
    configs: Object.entries(configs ?? {}).map(([name, value]) => ({ name, value })),
  }
}

function knownId(topicId: string): string | null {
  return topicId === ZERO_TOPIC_ID ? null : topicId
}

export async function deleteTopics(cluster: Cluster, options: DeleteTopicsOptions): Promise<string[]> {
  const { topics, ifExists = false } = options
  const deleted = await settleItems(cluster, 'deleteTopics', topics, options, async (open, { mayBeDone }) => {
    const connection = await cluster.route('controller', 'control')
    const { requestTimeoutMs: timeoutMs } = cluster.config
    const byState = connection.version(API.DeleteTopics) >= DELETE_BY_STATE_VERSION
    const response = await connection.request(
      API.DeleteTopics,
      {
        ...(byState
          ? { topics: open.map(name => ({ name, topicId: ZERO_TOPIC_ID })) }
          : { topicNames: open }),
        timeoutMs,
      },
      { timeoutMs, signal: options.signal },
    )
    return open.map(topic => {
      const answer = response.responses.find(({ name }) => name === topic)
      if (answer === undefined) return unmentioned('DeleteTopics', topic, connection.label)
      const { errorCode, errorMessage: detail } = answer
      if (errorCode === ErrorCode.NONE) return { value: topic }
      if (errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) {
        if (ifExists || mayBeDone) return { value: mayBeDone ? topic : null }
        // To a client that waits for a topic to appear this may pass; to who deletes it, it does not exist.
        return { error: missing(topic) }
      }
      return {
        error: protocolError(errorCode, { api: 'DeleteTopics', broker: connection.label, topic, detail }),
      }
    })
  })
  for (const topic of topics) cluster.metadata.forget(topic)
  return deleted.filter(topic => topic !== null)
}

function missing(topic: string): KafkaError {
  return new KafkaError({
    code: 'UNKNOWN_TOPIC_OR_PARTITION',
    message: `Topic ${topic} does not exist. Check its name, and the rights of this client.`,
    topic,
  })
}

export async function createPartitions(cluster: Cluster, options: CreatePartitionsOptions): Promise<void> {
  const { topics, validateOnly = false } = options
  await settleItems(cluster, 'createPartitions', topics, options, async open => {
    const connection = await cluster.route('controller', 'control')
    const { requestTimeoutMs: timeoutMs } = cluster.config
    const response = await connection.request(
      API.CreatePartitions,
      {
        topics: open.map(({ topic, count, assignments }) => ({
          name: topic,
          count,
          assignments: assignments?.map(brokerIds => ({ brokerIds })) ?? null,
        })),
        timeoutMs,
        validateOnly,
      },
      { timeoutMs, signal: options.signal },
    )
    return open.map(({ topic }) => {
      const answer = response.results.find(({ name }) => name === topic)
      if (answer === undefined) return unmentioned('CreatePartitions', topic, connection.label)
      const { errorCode, errorMessage: detail } = answer
      if (errorCode === ErrorCode.NONE) return { value: null }
      if (errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) return { error: missing(topic) }
      return {
        error: protocolError(errorCode, { api: 'CreatePartitions', broker: connection.label, topic, detail }),
      }
    })
  })
  for (const { topic } of topics) cluster.metadata.forget(topic)
}

export async function deleteRecords(
  cluster: Cluster,
  options: DeleteRecordsOptions,
): Promise<DeletedRecords[]> {
  const { topic } = options
  const queries = options.partitions.map(({ partition, offset }) => ({
    topic,
    partition,
    offset: offset === 'latest' ? -1 : Number(offset),
  }))
  const deleted = await atLeaders(cluster, 'DeleteRecords', queries, options, async (connection, group) => {
    const { requestTimeoutMs: timeoutMs } = cluster.config
    const partitions = group.map(({ partition, offset }) => ({ partitionIndex: partition, offset }))
    const response = await connection.request(
      API.DeleteRecords,
      { topics: [{ name: topic, partitions }], timeoutMs },
      { timeoutMs, signal: options.signal },
    )
    return response.topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex, lowWatermark, errorCode }) => ({
        errorCode,
        found: { topic: name, partition: partitionIndex, lowWatermark },
      })),
    )
  })
  return deleted.map(({ partition, lowWatermark }) => ({ partition, lowWatermark }))
}

type TopicOfAnswer = MetadataResponse['topics'][number]

async function metadata(
  cluster: Cluster,
  topics: readonly string[] | null,
  options: OperationOptions,
): Promise<readonly TopicOfAnswer[]> {
  const response = await cluster.request(
    API.Metadata,
    connection => ({
      // In version 0 an empty list means all.
      topics:
        topics === null
          ? connection.version(API.Metadata) === 0
            ? []
            : null
          : topics.map(name => ({ name })),
      allowAutoTopicCreation: false,
    }),
    {
      target: 'any',
      ...options,
      check: ({ errorCode }, broker) => {
        if (errorCode !== ErrorCode.NONE) throw protocolError(errorCode, { api: 'Metadata', broker })
      },
    },
  )
  return response.topics
}

export async function listTopics(
  cluster: Cluster,
  options: OperationOptions & { readonly internal?: boolean },
): Promise<TopicListing[]> {
  const topics = await metadata(cluster, null, options)
  return topics
    .filter(({ name, isInternal }) => name !== null && (options.internal === true || !isInternal))
    .map(({ name, topicId, isInternal, partitions }) => ({
      topic: name!,
      topicId: knownId(topicId),
      internal: isInternal,
      partitions: partitions.length,
      replicationFactor: partitions[0]?.replicaNodes.length ?? 0,
    }))
    .sort((a, b) => (a.topic < b.topic ? -1 : 1))
}

export async function describeTopics(
  cluster: Cluster,
  options: DescribeTopicsOptions,
): Promise<TopicDescription[]> {
  if (options.topics.length === 0) return []
  const [answer, eligible] = await Promise.all([
    metadata(cluster, options.topics, options),
    options.includeElr === true ? eligibleReplicas(cluster, options) : NOBODY_TELLS,
  ])
  const failures: KafkaError[] = []
  const described = options.topics.flatMap(topic => {
    const found = answer.find(({ name }) => name === topic)
    if (found === undefined || found.errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) {
      failures.push(missing(topic))
      return []
    }
    // A topic that is just being made has no leaders yet, which is worth showing.
    if (found.errorCode !== ErrorCode.NONE && found.errorCode !== ErrorCode.LEADER_NOT_AVAILABLE) {
      failures.push(protocolError(found.errorCode, { api: 'Metadata', topic }))
      return []
    }
    return [describe(topic, found, eligible)]
  })
  if (failures.length > 0) throw combineErrors('describeTopics', failures, options.topics.length)
  return described
}

interface Eligible {
  readonly elr: readonly number[] | null
  readonly lastKnownElr: readonly number[] | null
}

/** By topic and partition, as `topic:partition`. */
type EligibleReplicas = ReadonlyMap<string, Eligible>

const NOBODY_TELLS: EligibleReplicas = new Map()
const UNTOLD: Eligible = { elr: null, lastKnownElr: null }

/** Page by page; empty where the broker does not tell. */
async function eligibleReplicas(cluster: Cluster, options: DescribeTopicsOptions): Promise<EligibleReplicas> {
  return cluster.retrying('describeTopics', options, async () => {
    const connection = await cluster.route('any', 'control')
    if (!connection.serves(API.DescribeTopicPartitions)) return NOBODY_TELLS
    const topics = [...new Set(options.topics)].sort().map(name => ({ name }))
    const eligible = new Map<string, Eligible>()
    let cursor: { topicName: string; partitionIndex: number } | null = null
    do {
      const page: DescribeTopicPartitionsResponse = await connection.request(
        API.DescribeTopicPartitions,
        { topics: cursor === null ? topics : topicsFrom(topics, cursor.topicName), cursor },
        { timeoutMs: cluster.config.requestTimeoutMs, signal: options.signal },
      )
      for (const { name, partitions } of page.topics) {
        for (const { partitionIndex, eligibleLeaderReplicas: elr, lastKnownElr } of partitions) {
          eligible.set(`${name}:${partitionIndex}`, { elr, lastKnownElr })
        }
      }
      cursor = page.nextCursor
    } while (cursor !== null)
    return eligible
  })
}

/** What a page has told of need not be asked for again. */
function topicsFrom<Topic extends { readonly name: string }>(
  topics: readonly Topic[],
  name: string,
): Topic[] {
  return topics.filter(topic => topic.name >= name)
}

function describe(
  topic: string,
  { topicId, isInternal, partitions }: TopicOfAnswer,
  eligible: EligibleReplicas,
): TopicDescription {
  return {
    topic,
    topicId: knownId(topicId),
    internal: isInternal,
    partitions: partitions
      .map(each => ({
        partition: each.partitionIndex,
        leader: each.leaderId,
        leaderEpoch: each.leaderEpoch,
        replicas: each.replicaNodes,
        isr: each.isrNodes,
        offlineReplicas: each.offlineReplicas,
        ...(eligible.get(`${topic}:${each.partitionIndex}`) ?? UNTOLD),
        error:
          each.errorCode === ErrorCode.NONE
            ? null
            : protocolError(each.errorCode, { api: 'Metadata', topic, partition: each.partitionIndex }),
      }))
      .sort((a, b) => a.partition - b.partition),
  }
}
