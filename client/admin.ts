/**
 * Administration of a cluster: the calls, each carried out by one of the files in `admin/`.
 */
import { apiVersions, describeCluster, describeLogDirs, describeProducers } from './admin/brokers.ts'
import { alterConfigs, describeConfigs, incrementalAlterConfigs } from './admin/configs.ts'
import {
  createPartitions,
  createTopics,
  deleteRecords,
  deleteTopics,
  describeTopics,
  listTopics,
} from './admin/topics.ts'
import {
  type AlterConfigsOptions,
  type BrokerApiVersions,
  type ClusterDescription,
  type ConfigDescription,
  type CreatedTopic,
  type CreatePartitionsOptions,
  type CreateTopicsOptions,
  type DeletedRecords,
  type DeleteRecordsOptions,
  type DeleteTopicsOptions,
  type DescribeConfigsOptions,
  type DescribeLogDirsOptions,
  type EpochEndOffset,
  type IncrementalAlterConfigsOptions,
  type ListedOffset,
  type ListOffsetsOptions,
  type LogDirDescription,
  type OperationOptions,
  type PartitionProducers,
  type TopicDescription,
  type TopicListing,
  type TopicOffsets,
} from './admin/types.ts'
import { type Cluster } from './cluster.ts'
import { epochEnds, listOffsets, NAMED_OFFSET } from './offsets.ts'

export class Admin implements AsyncDisposable {
  readonly #cluster: Cluster

  /** Made by `Kafka.admin`. */
  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Optional: connects and checks that the cluster can be reached. */
  connect(options: OperationOptions = {}): Promise<void> {
    return this.#cluster.connect(options)
  }

  createTopics(options: CreateTopicsOptions): Promise<CreatedTopic[]> {
    return createTopics(this.#cluster, options)
  }

  /** Resolves to the topics that were deleted. */
  deleteTopics(options: DeleteTopicsOptions): Promise<string[]> {
    return deleteTopics(this.#cluster, options)
  }

  createPartitions(options: CreatePartitionsOptions): Promise<void> {
    return createPartitions(this.#cluster, options)
  }

  deleteRecords(options: DeleteRecordsOptions): Promise<DeletedRecords[]> {
    return deleteRecords(this.#cluster, options)
  }

  /** By name, in ascending order. Internal topics are left out unless asked for. */
  listTopics(options: OperationOptions & { readonly internal?: boolean } = {}): Promise<TopicListing[]> {
    return listTopics(this.#cluster, options)
  }

  /** In the order asked for. */
  describeTopics(
    options: OperationOptions & { readonly topics: readonly string[] },
  ): Promise<TopicDescription[]> {
    return describeTopics(this.#cluster, options)
  }

  describeCluster(options: OperationOptions = {}): Promise<ClusterDescription> {
    return describeCluster(this.#cluster, options)
  }

  /** In the order asked for; entries by name. */
  describeConfigs(options: DescribeConfigsOptions): Promise<ConfigDescription[]> {
    return describeConfigs(this.#cluster, options)
  }

  alterConfigs(options: AlterConfigsOptions): Promise<void> {
    return alterConfigs(this.#cluster, options)
  }

  incrementalAlterConfigs(options: IncrementalAlterConfigsOptions): Promise<void> {
    return incrementalAlterConfigs(this.#cluster, options)
  }

  describeLogDirs(options: DescribeLogDirsOptions = {}): Promise<LogDirDescription[]> {
    return describeLogDirs(this.#cluster, options)
  }

  /** In the order asked for. */
  async listOffsets(options: ListOffsetsOptions): Promise<ListedOffset[]> {
    const queries = options.partitions.map(({ topic, partition, spec }) =>
      typeof spec === 'string'
        ? { topic, partition, ...NAMED_OFFSET[spec] }
        : { topic, partition, timestamp: spec.timestamp, minVersion: 1 },
    )
    return listOffsets(this.#cluster, queries, options.isolation ?? 'read_uncommitted', options)
  }

  /** Earliest and latest offset of every partition of a topic, by partition. */
  async fetchTopicOffsets(topic: string, options: OperationOptions = {}): Promise<TopicOffsets[]> {
    const { partitions } = await this.#cluster.topic(topic, options)
    const ask = (spec: 'earliest' | 'latest') =>
      this.listOffsets({
        ...options,
        partitions: partitions.map(({ partition }) => ({ topic, partition, spec })),
      })
    const [earliest, latest] = await Promise.all([ask('earliest'), ask('latest')])
    return partitions.map(({ partition }, index) => ({
      partition,
      earliest: earliest[index]!.offset,
      latest: latest[index]!.offset,
    }))
  }

  describeProducers(
    options: OperationOptions & { readonly partitions: readonly { topic: string; partition: number }[] },
  ): Promise<PartitionProducers[]> {
    return describeProducers(this.#cluster, options)
  }

  offsetForLeaderEpoch(
    options: OperationOptions & {
      readonly partitions: readonly { topic: string; partition: number; leaderEpoch: number }[]
    },
  ): Promise<EpochEndOffset[]> {
    const queries = options.partitions.map(each => ({ ...each, currentLeaderEpoch: -1 }))
    return epochEnds(this.#cluster, queries, options)
  }

  /** Of every broker, or of one. */
  apiVersions(options: OperationOptions & { readonly broker?: number } = {}): Promise<BrokerApiVersions[]> {
    return apiVersions(this.#cluster, options)
  }

  /** An admin opens nothing of its own: its connections are those of `Kafka`, which closes them. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
