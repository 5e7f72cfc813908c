/**
 * CreateTopics: each topic is made or refused for itself. The answer leaves when the partitions can be written to.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type CreateTopicsRequest,
  type CreateTopicsResponse,
} from '../../client/protocol/messages/create-topics.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { ZERO_TOPIC_ID } from '../../client/protocol/types.ts'
import { CONFIG_SOURCE } from '../config/broker-config.ts'
import { TOPIC_CONFIGS, type TopicConfigName } from '../config/topic-configs.ts'
import { decideCreateTopics, type NewTopic, type TopicCommand, TopicCreation } from '../controller/topics.ts'
import { freshTopicId } from '../runtime/fresh-ids.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { sideBySide } from './side-by-side.ts'

type Response = Input<typeof CreateTopicsResponse>
type ResponseTopic = Response['topics'][number]

/**
 * Of each topic the answer lists all configs, a hundred bytes for each byte of the request: of more topics than
 * these it lists none, and DescribeConfigs tells them.
 */
const MOST_DESCRIBED = 1000

export function createTopicsHandler(context: BrokerContext): ApiHandler<CreateTopicsRequest, Response> {
  return {
    api: API.CreateTopics,
    async handle(request) {
      const outcomes = await createTopics(context, request.topics.map(commandOf), request.validateOnly)
      // Those of one name are refused together, and told of once.
      const outcomeByName = new Map(request.topics.map(({ name }, index) => [name, outcomes[index]!]))
      const isLarge = outcomeByName.size > MOST_DESCRIBED
      return {
        topics: [...outcomeByName].map(([name, outcome]) => describe(context, name, outcome, isLarge)),
      }
    },
  }
}

export type NewTopicCommand = Omit<TopicCommand, 'topicId'>

export type CreateTopicOutcome =
  | { readonly error: typeof ErrorCode.NONE; readonly message: null; readonly topic: NewTopic }
  | { readonly error: ErrorCode; readonly message: string; readonly topic: null }

/** One outcome per command, in order. Rejects only when the metadata store fails. */
export async function createTopics(
  context: BrokerContext,
  wanted: readonly NewTopicCommand[],
  validateOnly: boolean,
): Promise<CreateTopicOutcome[]> {
  const { image } = context.metadata
  const { surroundings } = context.topics
  const creation = new TopicCreation(
    image,
    wanted.map(({ name }) => name),
    surroundings,
  )
  return sideBySide(context.env.timers, wanted, async (asked): Promise<CreateTopicOutcome> => {
    const command = { ...asked, topicId: freshTopicId(context.env.random) }
    const first = creation.decide(command)
    if (first.refusal !== null) return refused(first.refusal)
    if (validateOnly) return { error: ErrorCode.NONE, message: null, topic: first }
    let decision: typeof first | undefined = first
    const outcome = await context.topics.change(first.topicId, () => {
      // The first decision saw the batch as a whole; only if the state has moved is this one made for itself.
      const now = decision ?? decideCreateTopics(image, [command], surroundings)[0]!
      decision = undefined
      return now.refusal !== null ? now : { refusal: null, change: now.change, result: now }
    })
    return outcome.refusal !== null
      ? refused(outcome.refusal)
      : { error: ErrorCode.NONE, message: null, topic: outcome.result }
  })
}

function refused({ error, message }: { error: ErrorCode; message: string }): CreateTopicOutcome {
  return { error, message, topic: null }
}

function commandOf(topic: CreateTopicsRequest['topics'][number]): NewTopicCommand {
  return {
    name: topic.name,
    partitions: topic.numPartitions,
    replicationFactor: topic.replicationFactor,
    assignments: topic.assignments.map(({ partitionIndex, brokerIds }) => ({
      partition: partitionIndex,
      replicas: brokerIds,
    })),
    configs: topic.configs,
  }
}

function describe(
  context: BrokerContext,
  name: string,
  outcome: CreateTopicOutcome,
  isLarge: boolean,
): ResponseTopic {
  if (outcome.topic === null) {
    const { error, message } = outcome
    return { name, topicId: ZERO_TOPIC_ID, errorCode: error, errorMessage: message, configs: [] }
  }
  const { topicId, partitionCount, replicationFactor, configs } = outcome.topic
  return {
    name,
    topicId,
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    numPartitions: partitionCount,
    replicationFactor,
    configs: isLarge ? [] : describeConfigs(context, new Map(Object.entries(configs))),
  }
}

function describeConfigs(
  context: BrokerContext,
  overrides: ReadonlyMap<string, string>,
): ResponseTopic['configs'] {
  return (Object.keys(TOPIC_CONFIGS) as TopicConfigName[]).map(name => {
    const { text, source } = context.config.topicLayers(name, overrides)[0]!
    return { name, value: text, readOnly: false, configSource: CONFIG_SOURCE[source], isSensitive: false }
  })
}
