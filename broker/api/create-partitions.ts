/**
 * CreatePartitions: gives topics more partitions. Keys that were hashed over the old number move; that is for the
 * caller to know.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type CreatePartitionsRequest,
  type CreatePartitionsResponse,
} from '../../client/protocol/messages/create-partitions.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { ZERO_TOPIC_ID } from '../../client/protocol/types.ts'
import { type Refusal, refuse } from '../controller/records.ts'
import { decideCreatePartitions } from '../controller/topics.ts'
import { onceEach } from '../runtime/once-each.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { sideBySide } from './side-by-side.ts'

type Response = Input<typeof CreatePartitionsResponse>
type AskedTopic = CreatePartitionsRequest['topics'][number]

export function createPartitionsHandler(
  context: BrokerContext,
): ApiHandler<CreatePartitionsRequest, Response> {
  return {
    api: API.CreatePartitions,
    async handle({ topics, validateOnly }) {
      const each = onceEach(topics, ({ name }) => name)
      const results = sideBySide(context.env.timers, each, async ({ item: asked, isDuplicate }) => {
        const refusal = isDuplicate
          ? refuse(ErrorCode.INVALID_REQUEST, 'Duplicate topic name.')
          : await enlarge(context, asked, validateOnly)
        return {
          name: asked.name,
          errorCode: refusal?.error ?? ErrorCode.NONE,
          errorMessage: refusal?.message ?? null,
        }
      })
      return { results: await results }
    },
  }
}

async function enlarge(
  context: BrokerContext,
  { name, count, assignments }: AskedTopic,
  validateOnly: boolean,
): Promise<Refusal | null> {
  const { image } = context.metadata
  const command = { count, assignments: assignments?.map(({ brokerIds }) => brokerIds) ?? null }
  const decide = () => {
    const topic = image.topic(name)
    if (topic === undefined) return { refusal: refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN) }
    return decideCreatePartitions(topic, command, context.topics.surroundings)
  }
  const first = decide()
  if (first.refusal !== null || validateOnly) return first.refusal
  const topicId = image.topic(name)?.topicId ?? ZERO_TOPIC_ID
  const outcome = await context.topics.change(topicId, () => {
    const decision = decide()
    return decision.refusal === null ? { ...decision, result: null } : decision
  })
  return outcome.refusal
}

const UNKNOWN = 'This server does not host this topic-partition.'
