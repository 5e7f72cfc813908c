/**
 * Configs of topics and brokers. Those of one broker are its own to tell and to change; all others any broker knows.
 */
import { type Cluster, CONTROL_LANE, type Target } from '../cluster.ts'
import { invalidOption } from '../config.ts'
import { type Connection } from '../connection.ts'
import { KafkaError, protocolError } from '../errors.ts'
import { API } from '../protocol/apis.ts'
import { ErrorCode } from '../protocol/errors.ts'
import { type DescribeConfigsResponse } from '../protocol/messages/describe-configs.ts'
import { type ItemOutcome, settleItems, unmentioned } from './items.ts'
import {
  type AlterConfigsOptions,
  type ConfigDescription,
  type ConfigEntry,
  type ConfigResource,
  type ConfigSource,
  type DescribeConfigsOptions,
  type IncrementalAlterConfigsOptions,
  type OperationOptions,
} from './types.ts'

const RESOURCE_TYPE: Readonly<Record<ConfigResource['type'], number>> = {
  topic: 2,
  broker: 4,
  'broker-logger': 8,
  'client-metrics': 16,
  group: 32,
}

const SOURCE: Readonly<Record<number, ConfigSource>> = {
  1: 'topic',
  2: 'dynamic-broker',
  3: 'dynamic-default-broker',
  4: 'static-broker',
  5: 'default',
  6: 'broker-logger',
  7: 'client-metrics',
  8: 'group',
}

const VALUE_TYPE = [
  'unknown',
  'boolean',
  'string',
  'int',
  'short',
  'long',
  'double',
  'list',
  'class',
  'password',
]

const OPERATION = { set: 0, delete: 1, append: 2, subtract: 3 } as const

interface ResourceAnswer {
  readonly errorCode: number
  readonly errorMessage: string | null
  readonly resourceType: number
  readonly resourceName: string
}

export function describeConfigs(
  cluster: Cluster,
  options: DescribeConfigsOptions,
): Promise<ConfigDescription[]> {
  const { resources, includeSynonyms = false, includeDocumentation = false } = options
  return byBroker(cluster, 'describeConfigs', resources, options, async (connection, open) => {
    const version = connection.version(API.DescribeConfigs)
    const response = await connection.request(
      API.DescribeConfigs,
      {
        resources: open.map(resource => ({
          ...wire(resource),
          configurationKeys: resource.names ?? null,
        })),
        includeSynonyms,
        // Brokers that know no documentation leave it out.
        includeDocumentation: includeDocumentation && version >= 3,
      },
      requestOptions(cluster, options),
    )
    return outcomes('DescribeConfigs', connection, open, response.results, ({ type, name }, answer) => ({
      type,
      name,
      entries: answer.configs.map(each => entry(type, each)).sort((a, b) => (a.name < b.name ? -1 : 1)),
    }))
  })
}

type EntryOfAnswer = DescribeConfigsResponse['results'][number]['configs'][number]

function entry(resource: ConfigResource['type'], each: EntryOfAnswer): ConfigEntry {
  const source = SOURCE[each.configSource] ?? 'unknown'
  return {
    name: each.name,
    value: each.value,
    source,
    isDefault: source === 'default' || (resource === 'topic' && source !== 'topic'),
    readOnly: each.readOnly,
    sensitive: each.isSensitive,
    type: VALUE_TYPE[each.configType] ?? 'unknown',
    documentation: each.documentation,
    synonyms: each.synonyms.map(({ name, value, source }) => ({
      name,
      value,
      source: SOURCE[source] ?? 'unknown',
    })),
  }
}

export async function alterConfigs(cluster: Cluster, options: AlterConfigsOptions): Promise<void> {
  const { resources, validateOnly = false } = options
  await byBroker(cluster, 'alterConfigs', resources, options, async (connection, open) => {
    const response = await connection.request(
      API.AlterConfigs,
      {
        resources: open.map(resource => ({
          ...wire(resource),
          configs: Object.entries(resource.configs).map(([name, value]) => ({ name, value })),
        })),
        validateOnly,
      },
      requestOptions(cluster, options),
    )
    return outcomes('AlterConfigs', connection, open, response.responses, () => null)
  })
}

export async function incrementalAlterConfigs(
  cluster: Cluster,
  options: IncrementalAlterConfigsOptions,
): Promise<void> {
  const { resources, validateOnly = false } = options
  await byBroker(cluster, 'incrementalAlterConfigs', resources, options, async (connection, open) => {
    const response = await connection.request(
      API.IncrementalAlterConfigs,
      {
        resources: open.map(resource => ({
          ...wire(resource),
          configs: resource.changes.map(change => ({
            name: change.name,
            configOperation: OPERATION[change.op],
            value: change.op === 'delete' ? null : change.value,
          })),
        })),
        validateOnly,
      },
      requestOptions(cluster, options),
    )
    return outcomes('IncrementalAlterConfigs', connection, open, response.responses, () => null)
  })
}

function wire({ type, name }: ConfigResource): {
  readonly resourceType: number
  readonly resourceName: string
} {
  const resourceType = RESOURCE_TYPE[type]
  if (resourceType === undefined)
    throw invalidOption(`there is no kind of config resource named ${String(type)}`)
  return { resourceType, resourceName: name }
}

function requestOptions(cluster: Cluster, { signal }: OperationOptions) {
  return { timeoutMs: cluster.config.requestTimeoutMs, signal }
}

function targetOf({ type, name }: ConfigResource): Target {
  if ((type !== 'broker' && type !== 'broker-logger') || name === '') return 'any'
  const broker = Number(name)
  if (!Number.isInteger(broker)) throw invalidOption(`${JSON.stringify(name)} is no broker id`)
  return { broker }
}

/** Sends each resource to the broker it belongs to. */
function byBroker<Resource extends ConfigResource, Result>(
  cluster: Cluster,
  what: string,
  resources: readonly Resource[],
  options: OperationOptions,
  ask: (connection: Connection, open: readonly Resource[]) => Promise<readonly ItemOutcome<Result>[]>,
): Promise<Result[]> {
  return settleItems(cluster, what, resources, options, async open => {
    const settled = new Map<Resource, ItemOutcome<Result>>()
    const groups = new Map<string, Resource[]>()
    for (const resource of open) {
      const key = JSON.stringify(targetOf(resource))
      groups.set(key, [...(groups.get(key) ?? []), resource])
    }
    for (const group of groups.values()) {
      const connection = await cluster.route(targetOf(group[0]!), CONTROL_LANE)
      const outcomes = await ask(connection, group)
      group.forEach((resource, index) => {
        settled.set(resource, outcomes[index]!)
      })
    }
    return open.map(resource => settled.get(resource)!)
  })
}

function outcomes<Resource extends ConfigResource, Answer extends ResourceAnswer, Result>(
  api: string,
  connection: Connection,
  open: readonly Resource[],
  answers: readonly Answer[],
  toValue: (resource: Resource, answer: Answer) => Result,
): ItemOutcome<Result>[] {
  return open.map(resource => {
    const { type, name } = resource
    const answer = answers.find(
      ({ resourceType, resourceName }) => resourceType === RESOURCE_TYPE[type] && resourceName === name,
    )
    if (answer === undefined) return unmentioned(api, `${type} ${name}`, connection.label)
    const { errorCode, errorMessage: detail } = answer
    if (errorCode === ErrorCode.NONE) return { value: toValue(resource, answer) }
    const topic = type === 'topic' ? name : undefined
    const error = protocolError(errorCode, { api, broker: connection.label, topic, detail })
    if (errorCode !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) return { error }
    const { message, code } = error
    return { error: new KafkaError({ code, message, api, broker: connection.label, topic }) }
  })
}
