/**
 * Administration of a cluster: the calls, each carried out by one of the files in `admin/`.
 */
import { apiVersions, describeCluster, describeLogDirs, describeProducers } from './admin/brokers.ts'
import { alterConfigs, describeConfigs, incrementalAlterConfigs } from './admin/configs.ts'
import {
  deleteGroups,
  deleteOffsets,
  describeGroups,
  fetchOffsets,
  groupLag,
  listGroups,
  setOffsets,
} from './admin/groups.ts'
import { alterPartitionReassignments, electLeaders, listPartitionReassignments } from './admin/partitions.ts'
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
  type AlterPartitionReassignmentsOptions,
  type BrokerApiVersions,
  type ClusterDescription,
  type ConfigDescription,
  type CreatedTopic,
  type CreatePartitionsOptions,
  type CreateTopicsOptions,
  type DeletedRecords,
  type DeleteRecordsOptions,
  type DeleteTopicsOptions,
  type DescribeClusterOptions,
  type DescribeConfigsOptions,
  type DescribeLogDirsOptions,
  type DescribeTopicsOptions,
  type ElectedLeader,
  type ElectLeadersOptions,
  type EpochEndOffset,
  type FetchOffsetsOptions,
  type GroupDescription,
  type GroupLag,
  type GroupLagOptions,
  type GroupListing,
  type GroupOffset,
  type IncrementalAlterConfigsOptions,
  type ListedOffset,
  type ListGroupsOptions,
  type ListOffsetsOptions,
  type ListPartitionReassignmentsOptions,
  type LogDirDescription,
  type OperationOptions,
  type PartitionOfTopic,
  type PartitionProducers,
  type PartitionReassignment,
  type SetOffset,
  type SetOffsetsOptions,
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
  describeTopics(options: DescribeTopicsOptions): Promise<TopicDescription[]> {
    return describeTopics(this.#cluster, options)
  }

  /** In the order asked for; of all partitions only those that an election was tried for. */
  electLeaders(options: ElectLeadersOptions = {}): Promise<ElectedLeader[]> {
    return electLeaders(this.#cluster, options)
  }

  /** Begins moves of partitions to other brokers, or cancels them. Resolves before they are done. */
  alterPartitionReassignments(options: AlterPartitionReassignmentsOptions): Promise<void> {
    return alterPartitionReassignments(this.#cluster, options)
  }

  /** The moves that are under way, by topic and partition. */
  listPartitionReassignments(
    options: ListPartitionReassignmentsOptions = {},
  ): Promise<PartitionReassignment[]> {
    return listPartitionReassignments(this.#cluster, options)
  }

  describeCluster(options: DescribeClusterOptions = {}): Promise<ClusterDescription> {
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
    const isolation = options.isolation ?? 'read_uncommitted'
    const found: ListedOffset[] = []
    // A request has room for one question about each partition: several about one go one after the other.
    for (const round of roundsOf(queries)) {
      const answers = await listOffsets(
        this.#cluster,
        round.map(index => queries[index]!),
        isolation,
        options,
      )
      for (const [i, index] of round.entries()) found[index] = answers[i]!
    }
    return found
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

  /** The groups of all brokers, by id. */
  listGroups(options: ListGroupsOptions = {}): Promise<GroupListing[]> {
    return listGroups(this.#cluster, options)
  }

  /** In the order asked for. A group that does not exist is a failure: GROUP_ID_NOT_FOUND. */
  describeGroups(
    options: OperationOptions & { readonly groups: readonly string[] },
  ): Promise<GroupDescription[]> {
    return describeGroups(this.#cluster, options)
  }

  /** With their offsets. Groups that have members are refused with NON_EMPTY_GROUP. */
  deleteGroups(options: OperationOptions & { readonly groups: readonly string[] }): Promise<void> {
    return deleteGroups(this.#cluster, options)
  }

  /** By topic and partition; those asked for are all there. */
  fetchOffsets(options: FetchOffsetsOptions): Promise<GroupOffset[]> {
    return fetchOffsets(this.#cluster, options)
  }

  /** Of a group that has no members now, else NON_EMPTY_GROUP. Resolves to the offsets as they were looked up. */
  setOffsets(options: SetOffsetsOptions): Promise<SetOffset[]> {
    return setOffsets(this.#cluster, options)
  }

  /** Forgets them. Those of topics that a member reads are refused with GROUP_SUBSCRIBED_TO_TOPIC. */
  deleteOffsets(
    options: OperationOptions & {
      readonly groupId: string
      readonly partitions: readonly PartitionOfTopic[]
    },
  ): Promise<void> {
    return deleteOffsets(this.#cluster, options)
  }

  /** How far a group is behind, by topic and partition. */
  groupLag(options: GroupLagOptions): Promise<GroupLag[]> {
    return groupLag(this.#cluster, options)
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

/** The numbers of the queries, in rounds that name no partition twice. */
function roundsOf(queries: readonly { readonly topic: string; readonly partition: number }[]): number[][] {
  const rounds: number[][] = []
  const timesAsked = new Map<string, number>()
  for (const [index, { topic, partition }] of queries.entries()) {
    const key = `${topic}:${partition}`
    const round = timesAsked.get(key) ?? 0
    timesAsked.set(key, round + 1)
    ;(rounds[round] ??= []).push(index)
  }
  return rounds
}
