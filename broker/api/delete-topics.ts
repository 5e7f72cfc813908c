/**
 * DeleteTopics: by name, or by name or id since version 6. The topic is gone for everyone when the answer leaves; its
 * files go a little later.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type DeleteTopicsRequest,
  type DeleteTopicsResponse,
} from '../../client/protocol/messages/delete-topics.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../client/protocol/types.ts'
import { type TopicImage } from '../controller/image.ts'
import { type Refusal, refuse } from '../controller/records.ts'
import { decideDeleteTopic } from '../controller/topics.ts'
import { onceEach } from '../runtime/once-each.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { sideBySide } from './side-by-side.ts'

type Response = Input<typeof DeleteTopicsResponse>
type ResponseTopic = Response['responses'][number]

/** From here on the API has an error of its own for "deletion is switched off". */
const DISABLED_ERROR_SINCE = 3

export function deleteTopicsHandler(context: BrokerContext): ApiHandler<DeleteTopicsRequest, Response> {
  return {
    api: API.DeleteTopics,
    async handle(request, { apiVersion }) {
      const targets: Target[] =
        apiVersion >= 6
          ? request.topics.map(({ name, topicId }) => ({ name, topicId }))
          : request.topicNames.map(name => ({ name, topicId: ZERO_TOPIC_ID }))
      const asked = onceEach(targets, target => keyOf(context, target))
      const responses = sideBySide(context.env.timers, asked, async ({ item: target, isDuplicate }) => {
        const outcome = await deleteOne(context, target, isDuplicate, apiVersion)
        return describe(target, outcome)
      })
      return { responses: await responses }
    },
  }
}

interface Target {
  readonly name: string | null
  readonly topicId: TopicId
}

type Outcome = { readonly refusal: Refusal } | { readonly refusal: null; readonly topic: TopicImage }

async function deleteOne(
  context: BrokerContext,
  target: Target,
  isDuplicate: boolean,
  apiVersion: number,
): Promise<Outcome> {
  const { name, topicId } = target
  const refused = (error: ErrorCode, message: string): Outcome => ({ refusal: refuse(error, message) })
  if (!context.config.values['delete.topic.enable']) {
    const error =
      apiVersion >= DISABLED_ERROR_SINCE ? ErrorCode.TOPIC_DELETION_DISABLED : ErrorCode.INVALID_REQUEST
    return refused(error, 'Topic deletion is disabled (delete.topic.enable=false).')
  }
  if (name !== null && topicId !== ZERO_TOPIC_ID) {
    return refused(ErrorCode.INVALID_REQUEST, 'You may not specify both topic name and topic id.')
  }
  if (name === null && topicId === ZERO_TOPIC_ID) {
    return refused(ErrorCode.INVALID_REQUEST, 'Neither topic name nor id were specified.')
  }
  if (isDuplicate) {
    return refused(ErrorCode.INVALID_REQUEST, name === null ? 'Duplicate topic id.' : 'Duplicate topic name.')
  }
  const topic = find(context, target)
  if (topic === undefined) return missing(target)
  return context.topics
    .change(topic.topicId, () => {
      // The very topic that was asked for: one that was made anew under the name must not go in its place.
      const current = context.metadata.image.topicById(topic.topicId)
      if (current === undefined) return missing(target)
      return { refusal: null, change: decideDeleteTopic(current), result: current }
    })
    .then(outcome => (outcome.refusal === null ? { refusal: null, topic: outcome.result } : outcome))
}

function find(context: BrokerContext, { name, topicId }: Target): TopicImage | undefined {
  const { image } = context.metadata
  return name === null ? image.topicById(topicId) : image.topic(name)
}

function missing({ name }: Target): { readonly refusal: Refusal } {
  const refusal =
    name === null
      ? refuse(ErrorCode.UNKNOWN_TOPIC_ID, 'This server does not host this topic ID.')
      : refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 'This server does not host this topic-partition.')
  return { refusal }
}

function describe({ name, topicId }: Target, outcome: Outcome): ResponseTopic {
  if (outcome.refusal === null) {
    const { topic } = outcome
    return { name: topic.name, topicId: topic.topicId, errorCode: ErrorCode.NONE }
  }
  const { error, message } = outcome.refusal
  return { name, topicId, errorCode: error, errorMessage: message }
}

/** One topic by its name and by its id is twice the same. */
function keyOf(context: BrokerContext, target: Target): string {
  const { name, topicId } = target
  if (name !== null && topicId !== ZERO_TOPIC_ID) return `both ${name} ${topicId}`
  const topic = find(context, target)
  if (topic !== undefined) return `topic ${topic.topicId}`
  return name === null ? `id ${topicId}` : `name ${name}`
}
