/**
 * OffsetFetch: the committed offsets of one group up to version 7, of several since. What is answered is durable.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type OffsetFetchRequest,
  type OffsetFetchResponse,
} from '../../client/protocol/messages/offset-fetch.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../client/protocol/types.ts'
import { onceEach } from '../runtime/once-each.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { topicOf } from './group-requests.ts'
import { sideBySide } from './side-by-side.ts'

type Response = Input<typeof OffsetFetchResponse>
type ResponseGroup = NonNullable<Response['groups']>[number]
type ResponseTopic = ResponseGroup['topics'][number]
type AskedGroup = OffsetFetchRequest['groups'][number]

/** Since then the group as a whole can have an error. */
const GROUP_ERROR_SINCE = 2
const BATCHED_SINCE = 8
const BY_TOPIC_ID_SINCE = 10

export function offsetFetchHandler(context: BrokerContext): ApiHandler<OffsetFetchRequest, Response> {
  return {
    api: API.OffsetFetch,
    async handle(request, { apiVersion }) {
      const { requireStable } = request
      if (apiVersion >= BATCHED_SINCE) {
        // Each once: a group has as many offsets as it likes, and a request has room for its name by the ten thousand.
        const asked = onceEach(request.groups, ({ groupId }) => groupId)
        const fetched = sideBySide(context.env.timers, asked, ({ item }) =>
          fetchGroup(context, item, requireStable, apiVersion),
        )
        return { groups: await fetched }
      }
      const topics = request.topics?.map(topic => ({ ...topic, topicId: ZERO_TOPIC_ID })) ?? null
      const asked = { groupId: request.groupId, memberId: null, memberEpoch: -1, topics }
      const group = await fetchGroup(context, asked, requireStable, apiVersion)
      const errorCode = group.errorCode ?? ErrorCode.NONE
      if (errorCode !== ErrorCode.NONE && apiVersion < GROUP_ERROR_SINCE) {
        return { topics: unfetched(topics ?? [], errorCode) }
      }
      return { topics: group.topics.map(({ name = '', partitions }) => ({ name, partitions })), errorCode }
    },
  }
}

async function fetchGroup(
  context: BrokerContext,
  asked: AskedGroup,
  requireStable: boolean,
  apiVersion: number,
): Promise<ResponseGroup> {
  const { groupId, memberId, memberEpoch } = asked
  const byId = apiVersion >= BY_TOPIC_ID_SINCE
  const askedTopics = asked.topics === null ? null : distinct(asked.topics, byId)
  const known = askedTopics?.flatMap(topic => knownTopic(context, topic, byId)) ?? null
  const { error, answer } = await context.groups.ask(groupId, token => ({
    kind: 'offset-fetch',
    token,
    groupId,
    memberId,
    memberEpoch,
    topics: known,
    requireStable,
  }))
  if (answer === null) return { groupId, topics: [], errorCode: error }
  if (!byId || answer.errorCode !== ErrorCode.NONE) return answer
  // A topic without an id cannot be told in these versions.
  if (askedTopics === null) {
    return { ...answer, topics: answer.topics.filter(({ topicId }) => topicId !== ZERO_TOPIC_ID) }
  }
  const fetched = new Map(answer.topics.map(topic => [topic.topicId, topic]))
  const topics = askedTopics.map(
    topic => fetched.get(topic.topicId) ?? unfetched([topic], ErrorCode.UNKNOWN_TOPIC_ID)[0]!,
  )
  return { ...answer, topics }
}

interface AskedTopic {
  readonly name: string
  readonly topicId: TopicId
  readonly partitionIndexes: readonly number[]
}

/** Each partition once: what was committed with its offset may be long. */
function distinct(topics: readonly AskedTopic[], byId: boolean): AskedTopic[] {
  const partitions = new Map<string, Set<number>>()
  const first = new Map<string, AskedTopic>()
  for (const topic of topics) {
    const key = byId ? topic.topicId : topic.name
    const known = partitions.get(key)
    if (known === undefined) {
      first.set(key, topic)
      partitions.set(key, new Set(topic.partitionIndexes))
    } else for (const partition of topic.partitionIndexes) known.add(partition)
  }
  return Array.from(first, ([key, topic]) => ({ ...topic, partitionIndexes: [...partitions.get(key)!] }))
}

/** By name a topic that is gone may be asked for: there is no commit of it, or one from before. */
function knownTopic(context: BrokerContext, asked: AskedTopic, byId: boolean): AskedTopic[] {
  const topic = topicOf(context, asked, byId)
  if (typeof topic !== 'number') return [{ ...asked, name: topic.name, topicId: topic.topicId }]
  return byId ? [] : [{ ...asked, topicId: ZERO_TOPIC_ID }]
}

function unfetched(
  topics: readonly AskedTopic[],
  errorCode: number,
): (ResponseTopic & { readonly name: string })[] {
  return topics.map(({ name, topicId, partitionIndexes }) => ({
    name,
    topicId,
    partitions: partitionIndexes.map(partitionIndex => ({
      partitionIndex,
      committedOffset: -1,
      committedLeaderEpoch: -1,
      metadata: '',
      errorCode,
    })),
  }))
}
