/**
 * Partitions among brokers: who leads them, and moving them from one to another.
 */
import { type Cluster } from '../cluster.ts'
import { type Connection } from '../connection.ts'
import { combineErrors, KafkaError, protocolError } from '../errors.ts'
import { byTopic } from '../offsets.ts'
import { API } from '../protocol/apis.ts'
import { ErrorCode } from '../protocol/errors.ts'
import { type ElectLeadersResponse } from '../protocol/messages/elect-leaders.ts'
import { type ItemOutcome, settleItems, unmentioned } from './items.ts'
import {
  type AlterPartitionReassignmentsOptions,
  type ElectedLeader,
  type ElectLeadersOptions,
  type ListPartitionReassignmentsOptions,
  type PartitionOfTopic,
  type PartitionReassignment,
} from './types.ts'

const ELECTION_TYPES = { preferred: 0, unclean: 1 } as const
/** From this version on other elections than that of the preferred replica can be asked for. */
const TYPED_ELECTIONS_SINCE = 1
/** From this version on a change of the number of replicas can be refused. */
const GUARDED_SINCE = 1

/** They may pass some day; whoever asked shall hear of them now, and not after all the time there is. */
const ANSWERS: ReadonlySet<number> = new Set([
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE,
  ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE,
])

type ElectionResult = ElectLeadersResponse['replicaElectionResults'][number]['partitionResult'][number]

export async function electLeaders(cluster: Cluster, options: ElectLeadersOptions): Promise<ElectedLeader[]> {
  const { type = 'preferred', partitions } = options
  const ask = async (
    asked: readonly PartitionOfTopic[] | null,
  ): Promise<{ label: string; results: Map<string, { of: PartitionOfTopic; result: ElectionResult }> }> => {
    const connection = await cluster.route('controller', 'control')
    if (type === 'unclean') requireVersion(connection, API.ElectLeaders, TYPED_ELECTIONS_SINCE)
    const { requestTimeoutMs: timeoutMs } = cluster.config
    const topicPartitions =
      asked === null
        ? null
        : byTopic(asked).map(([topic, items]) => ({
            topic,
            partitions: items.map(({ partition }) => partition),
          }))
    const response = await connection.request(
      API.ElectLeaders,
      { electionType: ELECTION_TYPES[type], topicPartitions, timeoutMs },
      { timeoutMs, signal: options.signal },
    )
    const { label } = connection
    if (response.errorCode !== ErrorCode.NONE) {
      throw protocolError(response.errorCode, { api: 'ElectLeaders', broker: label })
    }
    const results = response.replicaElectionResults.flatMap(({ topic, partitionResult }) =>
      partitionResult.map(result => {
        const of = { topic, partition: result.partitionId }
        return [keyOf(of), { of, result }] as const
      }),
    )
    return { label, results: new Map(results) }
  }
  if (partitions === undefined) {
    const { label, results } = await cluster.retrying('electLeaders', options, () => ask(null))
    const outcomes = [...results.values()].map(({ of, result }) => electionOutcome(of, result, label))
    const failures = outcomes.flatMap(outcome => ('error' in outcome ? [outcome.error] : []))
    if (failures.length > 0) throw combineErrors('electLeaders', failures, outcomes.length)
    return outcomes.flatMap(outcome => ('value' in outcome ? [outcome.value] : []))
  }
  return settleItems(cluster, 'electLeaders', partitions, options, async open => {
    const { label, results } = await ask(open)
    return open.map(item => {
      const found = results.get(keyOf(item))
      return found === undefined
        ? unmentioned('ElectLeaders', nameOf(item), label)
        : electionOutcome(item, found.result, label)
    })
  })
}

function electionOutcome(
  { topic, partition }: PartitionOfTopic,
  { errorCode, errorMessage: detail }: ElectionResult,
  broker: string,
): ItemOutcome<ElectedLeader> {
  if (errorCode === ErrorCode.NONE) return { value: { topic, partition, elected: true } }
  if (errorCode === ErrorCode.ELECTION_NOT_NEEDED) return { value: { topic, partition, elected: false } }
  const error = protocolError(errorCode, { api: 'ElectLeaders', broker, topic, partition, detail })
  return { error: ANSWERS.has(errorCode) ? final(error) : error }
}

export async function alterPartitionReassignments(
  cluster: Cluster,
  options: AlterPartitionReassignmentsOptions,
): Promise<void> {
  const { partitions, mayChangeReplicationFactor = true } = options
  await settleItems(
    cluster,
    'alterPartitionReassignments',
    partitions,
    options,
    async (open, { mayBeDone }) => {
      const connection = await cluster.route('controller', 'control')
      if (!mayChangeReplicationFactor) {
        requireVersion(connection, API.AlterPartitionReassignments, GUARDED_SINCE)
      }
      const { requestTimeoutMs: timeoutMs } = cluster.config
      const response = await connection.request(
        API.AlterPartitionReassignments,
        {
          timeoutMs,
          allowReplicationFactorChange: mayChangeReplicationFactor,
          topics: byTopic(open).map(([name, items]) => ({
            name,
            partitions: items.map(({ partition, replicas }) => ({ partitionIndex: partition, replicas })),
          })),
        },
        { timeoutMs, signal: options.signal },
      )
      const { label: broker } = connection
      const { errorCode, errorMessage: detail } = response
      const api = 'AlterPartitionReassignments'
      if (errorCode !== ErrorCode.NONE) throw protocolError(errorCode, { api, broker, detail })
      return open.map(({ topic, partition, replicas }) => {
        const answer = response.responses
          .find(({ name }) => name === topic)
          ?.partitions.find(({ partitionIndex }) => partitionIndex === partition)
        if (answer === undefined) return unmentioned(api, nameOf({ topic, partition }), broker)
        const { errorCode: code, errorMessage: words } = answer
        // A move that an earlier attempt has cancelled is not there to be cancelled again.
        const wasCancelled = code === ErrorCode.NO_REASSIGNMENT_IN_PROGRESS && mayBeDone && replicas === null
        if (code === ErrorCode.NONE || wasCancelled) return { value: null }
        const error = protocolError(code, { api, broker, topic, partition, detail: words })
        return { error: ANSWERS.has(code) ? final(error) : error }
      })
    },
  )
}

export async function listPartitionReassignments(
  cluster: Cluster,
  options: ListPartitionReassignmentsOptions,
): Promise<PartitionReassignment[]> {
  const { partitions } = options
  const topics =
    partitions === undefined
      ? null
      : byTopic(partitions).map(([name, items]) => ({
          name,
          partitionIndexes: items.map(({ partition }) => partition),
        }))
  const api = 'ListPartitionReassignments'
  const response = await cluster.request(
    API.ListPartitionReassignments,
    { timeoutMs: cluster.config.requestTimeoutMs, topics },
    {
      target: 'controller',
      ...options,
      check: ({ errorCode, errorMessage: detail }, broker) => {
        if (errorCode !== ErrorCode.NONE) throw protocolError(errorCode, { api, broker, detail })
      },
    },
  )
  return response.topics
    .flatMap(({ name: topic, partitions: moving }) =>
      moving.map(({ partitionIndex: partition, replicas, addingReplicas, removingReplicas }) => ({
        topic,
        partition,
        replicas,
        adding: addingReplicas,
        removing: removingReplicas,
      })),
    )
    .sort((a, b) => (a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1))
}

function requireVersion(
  connection: Connection,
  api: Parameters<Connection['version']>[0],
  version: number,
): void {
  if (connection.version(api) >= version) return
  throw new KafkaError({
    code: 'UNSUPPORTED_VERSION',
    message: `Broker ${connection.label} is too old for this: it needs ${api.name} version ${version}.`,
    api: api.name,
    broker: connection.label,
  })
}

function final(error: KafkaError): KafkaError {
  const { code, message, api, broker, topic, partition } = error
  return new KafkaError({ code, message, api, broker, topic, partition, cause: error.cause })
}

function keyOf({ topic, partition }: PartitionOfTopic): string {
  return `${topic}:${partition}`
}

function nameOf({ topic, partition }: PartitionOfTopic): string {
  return `${topic}-${partition}`
}
