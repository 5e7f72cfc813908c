/**
 * DescribeConfigs: what holds for a topic, a group or a broker, where it was set, what it falls back to, and what it
 * means. Only configs that something acts on are there to be told; of a password only that it is set.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type DescribeConfigsRequest,
  type DescribeConfigsResponse,
} from '../../client/protocol/messages/describe-configs.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { CONFIG_SOURCE, type ConfigValue } from '../config/broker-config.ts'
import { BROKER_CONFIGS, type BrokerConfigName, isBrokerConfig } from '../config/broker-configs.ts'
import { CONFIG_TYPE, type ConfigDefinition } from '../config/definition.ts'
import { CONFIGS_OF_GROUPS, GROUP_CONFIG_BASES, type GroupConfigName } from '../config/group-configs.ts'
import { TOPIC_CONFIGS, type TopicConfigName } from '../config/topic-configs.ts'
import { topicNameProblem } from '../controller/topic-names.ts'
import { onceEach } from '../runtime/once-each.ts'
import { type ApiHandler } from '../server/handler.ts'
import { RESOURCE_TOPIC, resourceOf } from './config-resources.ts'
import { type BrokerContext } from './context.ts'
import { sideBySide } from './side-by-side.ts'

type Response = Input<typeof DescribeConfigsResponse>
type ResponseResource = Response['results'][number]
type ResponseConfig = ResponseResource['configs'][number]
type AskedResource = DescribeConfigsRequest['resources'][number]

export function describeConfigsHandler(context: BrokerContext): ApiHandler<DescribeConfigsRequest, Response> {
  return {
    api: API.DescribeConfigs,
    async handle(request) {
      // An answer is a hundred times as long as the question: what is asked for twice is told once.
      const asked = onceEach(
        request.resources,
        ({ resourceType, resourceName }) => `${resourceType} ${resourceName}`,
      )
      const results = sideBySide(context.env.timers, asked, ({ item }) => describe(context, request, item))
      return { results: await results }
    },
  }
}

function describe(
  context: BrokerContext,
  request: DescribeConfigsRequest,
  asked: AskedResource,
): ResponseResource {
  const { resourceType, resourceName, configurationKeys } = asked
  const answer = (errorCode: ErrorCode, errorMessage: string | null, configs: ResponseConfig[]) => ({
    errorCode,
    errorMessage,
    resourceType,
    resourceName,
    configs,
  })
  // An empty list asks for everything, as null does: so Kafka reads it.
  const isWanted = (name: string): boolean =>
    configurationKeys === null || configurationKeys.length === 0 || configurationKeys.includes(name)
  if (resourceType === RESOURCE_TOPIC) {
    const problem = topicNameProblem(resourceName)
    if (problem !== null) return answer(problem.error, problem.message, [])
  }
  const resource = resourceOf(context, resourceType, resourceName)
  if (resource.kind === 'none') return answer(resource.refusal.error, resource.refusal.message, [])
  if (resource.kind === 'broker') {
    return answer(ErrorCode.NONE, null, describeBroker(context, request, resource.broker, isWanted))
  }
  if (resource.kind === 'group') {
    return answer(ErrorCode.NONE, null, describeGroup(context, request, resource.group, isWanted))
  }
  const topic = context.metadata.image.topic(resource.name)
  if (topic === undefined) {
    return answer(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, 'This server does not host this topic-partition.', [])
  }
  const configs = (Object.keys(TOPIC_CONFIGS) as TopicConfigName[])
    .filter(isWanted)
    .map(name =>
      describeOne(request, TOPIC_CONFIGS[name], context.config.topicLayers(name, topic.configs), false),
    )
  return answer(ErrorCode.NONE, null, configs)
}

function describeBroker(
  context: BrokerContext,
  request: DescribeConfigsRequest,
  broker: number | null,
  isWanted: (name: string) => boolean,
): ResponseConfig[] {
  if (broker === null) {
    // Of the defaults for all brokers only what was set is told.
    const configs: ResponseConfig[] = []
    for (const [name, text] of context.metadata.image.brokerConfigs(null).configs) {
      if (!isWanted(name) || !isBrokerConfig(name)) continue
      configs.push(
        describeOne(request, BROKER_CONFIGS[name], [{ name, text, source: 'dynamic-default' }], false),
      )
    }
    return configs
  }
  return (Object.keys(BROKER_CONFIGS) as BrokerConfigName[])
    .filter(isWanted)
    .map(name =>
      describeOne(
        request,
        BROKER_CONFIGS[name],
        context.config.layers(name),
        BROKER_CONFIGS[name].update === 'read-only',
      ),
    )
}

function describeGroup(
  context: BrokerContext,
  request: DescribeConfigsRequest,
  group: string,
  isWanted: (name: string) => boolean,
): ResponseConfig[] {
  const own = context.metadata.image.groupConfigs(group).configs
  return (Object.keys(CONFIGS_OF_GROUPS) as GroupConfigName[]).filter(isWanted).map(name => {
    const text = own.get(name)
    const layers: ConfigValue[] = context.config.layers(GROUP_CONFIG_BASES[name].fallback)
    if (text !== undefined) layers.unshift({ name, text, source: 'dynamic-group' })
    return describeOne(request, CONFIGS_OF_GROUPS[name], layers, false)
  })
}

function describeOne(
  request: DescribeConfigsRequest,
  definition: ConfigDefinition,
  layers: readonly ConfigValue[],
  readOnly: boolean,
): ResponseConfig {
  const { text, source } = layers[0]!
  const synonyms = layers.filter(hasValue)
  const isSensitive = definition.type === 'password'
  const told = (value: string | null): string | null => (isSensitive ? null : value)
  return {
    name: definition.name,
    value: told(text),
    readOnly,
    configSource: CONFIG_SOURCE[source],
    isSensitive,
    synonyms: request.includeSynonyms
      ? synonyms.map(({ name, text: value, source: from }) => ({
          name,
          value: told(value),
          source: CONFIG_SOURCE[from],
        }))
      : [],
    configType: CONFIG_TYPE[definition.type],
    documentation: request.includeDocumentation ? definition.doc : null,
  }
}

/**
 * An unset config has no synonyms, rather than one without a value; and where a topic config falls back to a broker
 * config that has no default of its own (`log.retention.ms`, which is that of the hours), that one is not told either.
 */
function hasValue({ name, text, source }: ConfigValue): boolean {
  if (text === null) return false
  return source !== 'default' || !isBrokerConfig(name) || BROKER_CONFIGS[name].defaultText !== null
}
