/**
 * Brokers: who they are, what they speak, what lies on their disks.
 */
import { type Cluster, CONTROL_LANE } from '../cluster.ts'
import { combineErrors, KafkaError, protocolError } from '../errors.ts'
import { atLeaders, byTopic } from '../offsets.ts'
import { API, apiByKey } from '../protocol/apis.ts'
import { ErrorCode } from '../protocol/errors.ts'
import {
  type BrokerApiVersions,
  type BrokerDescription,
  type ClusterDescription,
  type DescribeClusterOptions,
  type DescribeLogDirsOptions,
  type LogDirDescription,
  type OperationOptions,
  type PartitionProducers,
} from './types.ts'

/** From this version on fenced brokers can be asked for (KIP-1073). */
const FENCED_SINCE = 2

export async function describeCluster(
  cluster: Cluster,
  options: DescribeClusterOptions,
): Promise<ClusterDescription> {
  return cluster.retrying('describeCluster', options, async () => {
    const connection = await cluster.route('any', CONTROL_LANE)
    if (!connection.serves(API.DescribeCluster)) return fromMetadata(cluster)
    const response = await connection.request(
      API.DescribeCluster,
      {
        includeClusterAuthorizedOperations: false,
        // Earlier versions have no room for the question, and know of no others.
        includeFencedBrokers:
          options.includeFenced === true && connection.version(API.DescribeCluster) >= FENCED_SINCE,
      },
      { timeoutMs: cluster.config.requestTimeoutMs, signal: options.signal },
    )
    const { errorCode, errorMessage: detail, clusterId, controllerId, brokers } = response
    if (errorCode !== ErrorCode.NONE) {
      throw protocolError(errorCode, { api: 'DescribeCluster', broker: connection.label, detail })
    }
    return {
      clusterId,
      controllerId,
      brokers: brokers
        .map(({ brokerId: id, host, port, rack, isFenced: fenced }) => ({ id, host, port, rack, fenced }))
        .sort((a, b) => a.id - b.id),
    }
  })
}

/** What brokers before Kafka 2.8 can tell. */
async function fromMetadata(cluster: Cluster): Promise<ClusterDescription> {
  await cluster.refresh([])
  const { clusterId, controllerId } = cluster.metadata
  return { clusterId, controllerId, brokers: knownBrokers(cluster) }
}

function knownBrokers(cluster: Cluster): BrokerDescription[] {
  return [...cluster.metadata.brokers.values()]
    .map(({ id, host, port, rack }) => ({ id, host, port, rack, fenced: false }))
    .sort((a, b) => a.id - b.id)
}

async function selectedBrokers(
  cluster: Cluster,
  wanted: readonly number[] | undefined,
  options: OperationOptions,
): Promise<readonly BrokerDescription[]> {
  const { brokers } = await describeCluster(cluster, options)
  // Requests are routed by the metadata.
  if (brokers.some(({ id }) => !cluster.metadata.brokers.has(id))) await cluster.refresh([])
  if (wanted === undefined) return brokers
  return wanted.map(id => {
    const broker = brokers.find(each => each.id === id)
    if (broker !== undefined) return broker
    throw new KafkaError({
      code: 'BROKER_NOT_AVAILABLE',
      message: `There is no broker ${id} in the cluster; it has ${brokers.map(each => each.id).join(', ')}.`,
    })
  })
}

export async function apiVersions(
  cluster: Cluster,
  options: OperationOptions & { readonly broker?: number },
): Promise<BrokerApiVersions[]> {
  const { broker } = options
  const brokers = await selectedBrokers(cluster, broker === undefined ? undefined : [broker], options)
  return Promise.all(
    brokers.map(each =>
      cluster.retrying('apiVersions', options, async () => {
        const connection = await cluster.route({ broker: each.id }, CONTROL_LANE)
        const apis = [...connection.brokerVersions]
          .map(([apiKey, { min, max }]) => ({
            apiKey,
            name: apiByKey(apiKey)?.name ?? null,
            minVersion: min,
            maxVersion: max,
            usedVersion: usedVersion(apiKey, min, max),
          }))
          .sort((a, b) => a.apiKey - b.apiKey)
        return { broker: each, apis }
      }),
    ),
  )
}

function usedVersion(apiKey: number, min: number, max: number): number | null {
  const api = apiByKey(apiKey)
  if (api === undefined) return null
  const version = Math.min(api.maxVersion, max)
  return version < Math.max(api.minVersion, min) ? null : version
}

export async function describeLogDirs(
  cluster: Cluster,
  options: DescribeLogDirsOptions,
): Promise<LogDirDescription[]> {
  const brokers = await selectedBrokers(cluster, options.brokers, options)
  const topics = options.topics === undefined ? null : await partitionsOf(cluster, options.topics, options)
  const results = await Promise.allSettled(
    brokers.map(async ({ id }) => {
      const response = await cluster.request(
        API.DescribeLogDirs,
        { topics },
        {
          target: { broker: id },
          ...options,
          check: ({ errorCode }, broker) => {
            if (errorCode !== ErrorCode.NONE)
              throw protocolError(errorCode, { api: 'DescribeLogDirs', broker })
          },
        },
      )
      return response.results.map<LogDirDescription>(each => ({
        broker: id,
        path: each.logDir,
        error:
          each.errorCode === ErrorCode.NONE
            ? null
            : protocolError(each.errorCode, { api: 'DescribeLogDirs', broker: String(id) }),
        totalBytes: each.totalBytes,
        usableBytes: each.usableBytes,
        replicas: each.topics.flatMap(({ name, partitions }) =>
          partitions.map(({ partitionIndex, partitionSize, offsetLag, isFutureKey }) => ({
            topic: name,
            partition: partitionIndex,
            sizeBytes: partitionSize,
            offsetLag,
            isFuture: isFutureKey,
          })),
        ),
      }))
    }),
  )
  const failures: KafkaError[] = []
  const described: LogDirDescription[] = []
  for (const result of results) {
    if (result.status === 'fulfilled') described.push(...result.value)
    else if (result.reason instanceof KafkaError) failures.push(result.reason)
    else throw result.reason
  }
  if (failures.length > 0) throw combineErrors('describeLogDirs', failures, brokers.length)
  return described
}

async function partitionsOf(
  cluster: Cluster,
  names: readonly string[],
  { signal, timeoutMs }: OperationOptions,
): Promise<{ topic: string; partitions: number[] }[]> {
  const topics = await Promise.all(names.map(name => cluster.topic(name, { signal, timeoutMs })))
  return topics.map(({ name, partitions }) => ({
    topic: name,
    partitions: partitions.map(({ partition }) => partition),
  }))
}

export function describeProducers(
  cluster: Cluster,
  options: OperationOptions & { readonly partitions: readonly { topic: string; partition: number }[] },
): Promise<PartitionProducers[]> {
  return atLeaders(cluster, 'DescribeProducers', options.partitions, options, async (connection, group) => {
    const response = await connection.request(
      API.DescribeProducers,
      {
        topics: byTopic(group).map(([name, partitions]) => ({
          name,
          partitionIndexes: partitions.map(({ partition }) => partition),
        })),
      },
      { timeoutMs: cluster.config.requestTimeoutMs, signal: options.signal },
    )
    return response.topics.flatMap(({ name, partitions }) =>
      partitions.map(({ partitionIndex, errorCode, activeProducers }) => ({
        errorCode,
        found: {
          topic: name,
          partition: partitionIndex,
          producers: activeProducers.map(({ currentTxnStartOffset, ...producer }) => ({
            ...producer,
            currentTransactionStartOffset: currentTxnStartOffset,
          })),
        },
      })),
    )
  })
}
