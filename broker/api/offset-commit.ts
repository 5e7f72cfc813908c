/**
 * OffsetCommit: an offset is answered for when it is durable. Partitions that do not exist are refused here, each for
 * itself, and the coordinator decides about the others.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type OffsetCommitRequest,
  type OffsetCommitResponse,
} from '../../client/protocol/messages/offset-commit.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { senderOf, topicOf } from './group-requests.ts'

type Response = Input<typeof OffsetCommitResponse>
type Topics = OffsetCommitRequest['topics']

const BY_TOPIC_ID_SINCE = 10

export function offsetCommitHandler(context: BrokerContext): ApiHandler<OffsetCommitRequest, Response> {
  return {
    api: API.OffsetCommit,
    async handle(request, requestContext) {
      const sender = senderOf(requestContext)
      const { known, problems } = sift(context, request.topics, sender.version >= BY_TOPIC_ID_SINCE)
      if (known.length === 0) return { topics: merge(request.topics, problems, () => ErrorCode.NONE) }
      const { error, answer } = await context.groups.ask(request.groupId, token => ({
        kind: 'offset-commit',
        token,
        ...sender,
        request: { ...request, topics: known },
      }))
      // In the order of the request, as they were handed over.
      const errors = answer?.topics.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode))
      let next = 0
      return { topics: merge(request.topics, problems, () => errors?.[next++] ?? error) }
    },
  }
}

/** What the coordinator is to decide about, and for each partition of the request why it is not among it. */
function sift(
  context: BrokerContext,
  topics: Topics,
  byId: boolean,
): { readonly known: Topics; readonly problems: readonly (readonly ErrorCode[])[] } {
  const known: Topics = []
  const problems = topics.map(asked => {
    const topic = topicOf(context, asked, byId)
    if (typeof topic === 'number') return asked.partitions.map(() => topic)
    const exists = ({ partitionIndex }: { readonly partitionIndex: number }): boolean =>
      topic.partitions[partitionIndex] !== undefined
    const partitions = asked.partitions.filter(exists)
    const { name, topicId } = topic
    if (partitions.length > 0) known.push({ name, topicId, partitions })
    return asked.partitions.map(partition =>
      exists(partition) ? ErrorCode.NONE : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    )
  })
  return { known, problems }
}

function merge(
  topics: Topics,
  problems: readonly (readonly ErrorCode[])[],
  decided: () => number,
): Response['topics'] {
  const merged = topics.map(({ name, topicId, partitions }, index) => ({
    name,
    topicId,
    partitions: partitions.map(({ partitionIndex }, slot) => {
      const problem = problems[index]![slot]!
      return { partitionIndex, errorCode: problem === ErrorCode.NONE ? decided() : problem }
    }),
  }))
  // As in Kafka: a topic of which nothing was asked is not answered for.
  return merged.filter(({ partitions }) => partitions.length > 0)
}
