/**
 * The resources that have configs: topics, groups, this broker, and all brokers together. Shared by the three
 * APIs that read and change them.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type ConfigDecision, type ConfigRules } from '../controller/configs.ts'
import { type ControllerRecord, type Refusal, refuse } from '../controller/records.ts'
import { topicNameProblem } from '../controller/topic-names.ts'
import {
  BROKER_CONFIG_RULES,
  groupConfigRules,
  groupConfigsProblem,
  TOPIC_CONFIG_RULES,
} from '../runtime/config-rules.ts'
import { Slices } from '../runtime/slices.ts'
import { type BrokerContext } from './context.ts'

/** The protocol's numbers. */
export const RESOURCE_TOPIC = 2
export const RESOURCE_BROKER = 4
export const RESOURCE_GROUP = 32

export type ConfigResource =
  | { readonly kind: 'topic'; readonly name: string }
  /** `broker` null: the defaults of all brokers. */
  | { readonly kind: 'broker'; readonly broker: number | null }
  /** There or not: configs may be set before the first member comes. */
  | { readonly kind: 'group'; readonly group: string }

/** The resource that is meant, or why it is none. An unknown topic is found out later. */
export function resourceOf(
  context: BrokerContext,
  type: number,
  name: string,
): ConfigResource | { readonly kind: 'none'; readonly refusal: Refusal } {
  const none = (message: string) => ({
    kind: 'none' as const,
    refusal: refuse(ErrorCode.INVALID_REQUEST, message),
  })
  if (type === RESOURCE_TOPIC) {
    return name === '' ? none('Default topic resources are not allowed.') : { kind: 'topic', name }
  }
  if (type === RESOURCE_BROKER) {
    if (name === '') return { kind: 'broker', broker: null }
    if (!/^\d{1,10}$/.test(name)) return none(`Broker id must be an integer, but it is: ${name}`)
    const broker = Number(name)
    return broker === context.brokerId
      ? { kind: 'broker', broker }
      : none(`Unexpected broker id, expected ${context.brokerId} or empty string, but received ${name}`)
  }
  if (type === RESOURCE_GROUP) {
    return name === '' ? none('Default group resources are not allowed.') : { kind: 'group', group: name }
  }
  return none(`Configs of resource type ${type} are not served: topics (2), brokers (4) and groups (32) are.`)
}

export interface AskedResource {
  readonly resourceType: number
  readonly resourceName: string
}

/** Null: done, or fine if only to be checked. Resources change one by one; each as a whole or not at all. */
export async function alterConfigs<Asked extends AskedResource>(
  context: BrokerContext,
  resources: readonly Asked[],
  validateOnly: boolean,
  decide: (asked: Asked, current: ReadonlyMap<string, string>, rules: ConfigRules) => ConfigDecision,
): Promise<(Refusal | null)[]> {
  const counts = new Map<string, number>()
  const keyOf = ({ resourceType, resourceName }: AskedResource): string => `${resourceType} ${resourceName}`
  for (const asked of resources) counts.set(keyOf(asked), (counts.get(keyOf(asked)) ?? 0) + 1)
  const outcomes: (Refusal | null)[] = []
  const slices = new Slices(context.env)
  for (const asked of resources) {
    if (slices.isOver()) await slices.rest()
    if (counts.get(keyOf(asked))! > 1) {
      outcomes.push(refuse(ErrorCode.INVALID_REQUEST, 'Each resource must appear at most once.'))
      continue
    }
    const resource = resourceOf(context, asked.resourceType, asked.resourceName)
    if (resource.kind === 'none') {
      outcomes.push(resource.refusal)
      continue
    }
    const apply = (current: ReadonlyMap<string, string>, rules: ConfigRules): ConfigDecision =>
      decide(asked, current, rules)
    outcomes.push(await alterOne(context, resource, validateOnly, apply))
  }
  return outcomes
}

type Apply = (current: ReadonlyMap<string, string>, rules: ConfigRules) => ConfigDecision

function alterOne(
  context: BrokerContext,
  resource: ConfigResource,
  validateOnly: boolean,
  apply: Apply,
): Promise<Refusal | null> {
  switch (resource.kind) {
    case 'topic':
      return alterTopic(context, resource.name, validateOnly, apply)
    case 'broker':
      return alterBroker(context, resource.broker, validateOnly, apply)
    case 'group':
      return alterGroup(context, resource.group, validateOnly, apply)
    default:
      return resource satisfies never
  }
}

async function alterTopic(
  context: BrokerContext,
  name: string,
  validateOnly: boolean,
  apply: Apply,
): Promise<Refusal | null> {
  const { image } = context.metadata
  const unknown = refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `The topic '${name}' does not exist.`)
  const topic = image.topic(name)
  if (topic === undefined) {
    const problem = topicNameProblem(name)
    return problem?.error === ErrorCode.INVALID_TOPIC_EXCEPTION ? problem : unknown
  }
  const { topicId } = topic
  const first = apply(topic.configs, TOPIC_CONFIG_RULES)
  if (first.refusal !== null || validateOnly) return first.refusal
  const outcome = await context.topics.change(topicId, () => {
    const current = image.topicById(topicId)
    if (current === undefined) return { refusal: unknown }
    const decision = apply(current.configs, TOPIC_CONFIG_RULES)
    if (decision.refusal !== null) return decision
    const { configs } = decision
    const partitionCount = current.partitions.length
    const record: ControllerRecord = { type: 'topic', topicId, name, partitionCount, configs }
    const condition = { type: 'topic-unchanged' as const, topicId, revision: current.revision }
    return {
      refusal: null,
      change: { steps: [{ conditions: [condition], records: [record] }] },
      result: null,
    }
  })
  return outcome.refusal
}

async function alterBroker(
  context: BrokerContext,
  broker: number | null,
  validateOnly: boolean,
  apply: Apply,
): Promise<Refusal | null> {
  const { image } = context.metadata
  const first = apply(image.brokerConfigs(broker).configs, BROKER_CONFIG_RULES)
  if (first.refusal !== null || validateOnly) return asRequestError(first.refusal)
  const outcome = await context.metadata.change(() => {
    const { configs: current, revision } = image.brokerConfigs(broker)
    const decision = apply(current, BROKER_CONFIG_RULES)
    if (decision.refusal !== null) return decision
    const record: ControllerRecord = { type: 'broker-configs', broker, configs: decision.configs }
    const condition = { type: 'broker-configs-unchanged' as const, broker, revision }
    return {
      refusal: null,
      change: { steps: [{ conditions: [condition], records: [record] }] },
      result: null,
    }
  })
  return asRequestError(outcome.refusal)
}

/** A bad value is an INVALID_CONFIG for a topic and an INVALID_REQUEST for a broker: so Kafka tells them. */
function asRequestError(refusal: Refusal | null): Refusal | null {
  return refusal?.error === ErrorCode.INVALID_CONFIG
    ? refuse(ErrorCode.INVALID_REQUEST, refusal.message)
    : refusal
}

async function alterGroup(
  context: BrokerContext,
  group: string,
  validateOnly: boolean,
  apply: Apply,
): Promise<Refusal | null> {
  const { image } = context.metadata
  const { values } = context.config
  const decide = (): ConfigDecision => {
    const decision = apply(image.groupConfigs(group).configs, groupConfigRules(values))
    if (decision.refusal !== null) return decision
    const problem = groupConfigsProblem(decision.configs, values)
    return problem === null ? decision : { refusal: refuse(ErrorCode.INVALID_CONFIG, problem) }
  }
  const first = decide()
  if (first.refusal !== null || validateOnly) return first.refusal
  const outcome = await context.metadata.change(() => {
    const { revision } = image.groupConfigs(group)
    const decision = decide()
    if (decision.refusal !== null) return decision
    const record: ControllerRecord = { type: 'group-configs', group, configs: decision.configs }
    const condition = { type: 'group-configs-unchanged' as const, group, revision }
    return {
      refusal: null,
      change: { steps: [{ conditions: [condition], records: [record] }] },
      result: null,
    }
  })
  return outcome.refusal
}
