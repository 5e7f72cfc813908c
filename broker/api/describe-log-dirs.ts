/**
 * DescribeLogDirs: the data folder, how large each partition in it is, and how much room is left on its disk.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type DescribeLogDirsRequest,
  type DescribeLogDirsResponse,
} from '../../client/protocol/messages/describe-log-dirs.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'

type Response = Input<typeof DescribeLogDirsResponse>
type ResponseTopic = Response['results'][number]['topics'][number]

export function describeLogDirsHandler(context: BrokerContext): ApiHandler<DescribeLogDirsRequest, Response> {
  return {
    api: API.DescribeLogDirs,
    async handle(request) {
      const space = await spaceOf(context)
      const result = {
        errorCode: ErrorCode.NONE,
        logDir: context.dataFolder,
        topics: request.topics === null ? allTopics(context) : askedTopics(context, request.topics),
        totalBytes: space?.totalBytes ?? -1,
        usableBytes: space?.freeBytes ?? -1,
      }
      return { errorCode: ErrorCode.NONE, results: [result] }
    },
  }
}

async function spaceOf(context: BrokerContext): Promise<{ totalBytes: number; freeBytes: number } | null> {
  try {
    return await context.env.disk.space(context.dataFolder)
  } catch (error) {
    context.env.log.warn('The room on the data disk cannot be told', { error })
    return null
  }
}

function allTopics(context: BrokerContext): ResponseTopic[] {
  return [...context.metadata.image.topics()].map(topic => ({
    name: topic.name,
    partitions: describe(
      context,
      topic.name,
      topic.partitions.map(({ partition }) => partition),
    ),
  }))
}

/** What is not here is left out: so Kafka answers. */
function askedTopics(
  context: BrokerContext,
  asked: NonNullable<DescribeLogDirsRequest['topics']>,
): ResponseTopic[] {
  const byTopic = new Map<string, Set<number>>()
  for (const { topic, partitions } of asked) {
    const known = byTopic.get(topic)
    if (known === undefined) byTopic.set(topic, new Set(partitions))
    else for (const partition of partitions) known.add(partition)
  }
  return Array.from(byTopic, ([name, partitions]) => ({
    name,
    partitions: describe(context, name, [...partitions]),
  })).filter(({ partitions }) => partitions.length > 0)
}

function describe(
  context: BrokerContext,
  name: string,
  partitions: readonly number[],
): ResponseTopic['partitions'] {
  const topic = context.metadata.image.topic(name)
  if (topic === undefined) return []
  const described: ResponseTopic['partitions'][number][] = []
  for (const partition of partitions) {
    const host = context.partitions.get(topic.topicId, partition)
    if (host === undefined) continue
    const { sizeBytes, highWatermark, logEndOffset } = host.describe()
    const offsetLag = Math.max(0, highWatermark - logEndOffset)
    described.push({ partitionIndex: partition, partitionSize: sizeBytes, offsetLag, isFutureKey: false })
  }
  return described
}
