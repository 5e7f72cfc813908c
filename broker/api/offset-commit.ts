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
      // In the order in which they were handed over.
      const errors = new Map<string, number>()
      for (const [index, { name, partitions }] of known.entries()) {
        for (const [slot, { partitionIndex }] of partitions.entries()) {
          const decided = answer?.topics[index]?.partitions[slot]?.errorCode ?? error
          errors.set(`${name} ${partitionIndex}`, decided)
        }
      }
      return { topics: merge(request.topics, problems, key => errors.get(key) ?? error) }
    },
  }
}

/** Why a partition is not for the coordinator to decide about, or its key where it is. */
type Sifted = ErrorCode | string

/**
 * What the coordinator is to decide about, and what became of each partition of the request. Of a partition that is
 * named more than once the last offset holds, and one record tells of it.
 */
function sift(
  context: BrokerContext,
  topics: Topics,
  byId: boolean,
): { readonly known: Topics; readonly problems: readonly (readonly Sifted[])[] } {
  type Asked = Topics[number]
  const byTopic = new Map<
    string,
    Omit<Asked, 'partitions'> & { partitions: Map<number, Asked['partitions'][number]> }
  >()
  const problems = topics.map(asked => {
    const topic = topicOf(context, asked, byId)
    if (typeof topic === 'number') return asked.partitions.map((): Sifted => topic)
    const { name, topicId } = topic
    return asked.partitions.map((partition): Sifted => {
      const { partitionIndex } = partition
      if (topic.partitions[partitionIndex] === undefined) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
      let known = byTopic.get(name)
      if (known === undefined) byTopic.set(name, (known = { name, topicId, partitions: new Map() }))
      known.partitions.set(partitionIndex, partition)
      return `${name} ${partitionIndex}`
    })
  })
  const known = Array.from(byTopic.values(), each => ({ ...each, partitions: [...each.partitions.values()] }))
  return { known, problems }
}

function merge(
  topics: Topics,
  problems: readonly (readonly Sifted[])[],
  decided: (key: string) => number,
): Response['topics'] {
  const merged = topics.map(({ name, topicId, partitions }, index) => ({
    name,
    topicId,
    partitions: partitions.map(({ partitionIndex }, slot) => {
      const problem = problems[index]![slot]!
      return { partitionIndex, errorCode: typeof problem === 'string' ? decided(problem) : problem }
    }),
  }))
  // As in Kafka: a topic of which nothing was asked is not answered for.
  return merged.filter(({ partitions }) => partitions.length > 0)
}
