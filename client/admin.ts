/**
 * Administration of a cluster. (Signatures first; bodies follow.)
 */
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

const notYet = (): never => {
  throw new Error('not yet')
}

export class Admin implements AsyncDisposable {
  /** Optional: connects and checks that the cluster can be reached. */
  async connect(_options?: OperationOptions): Promise<void> {
    notYet()
  }

  async createTopics(_options: CreateTopicsOptions): Promise<CreatedTopic[]> {
    return notYet()
  }

  /** Resolves to the topics that were deleted. */
  async deleteTopics(_options: DeleteTopicsOptions): Promise<string[]> {
    return notYet()
  }

  async createPartitions(_options: CreatePartitionsOptions): Promise<void> {
    return notYet()
  }

  async deleteRecords(_options: DeleteRecordsOptions): Promise<DeletedRecords[]> {
    return notYet()
  }

  /** By name, in ascending order. Internal topics are left out unless asked for. */
  async listTopics(_options?: OperationOptions & { readonly internal?: boolean }): Promise<TopicListing[]> {
    return notYet()
  }

  async describeTopics(
    _options: OperationOptions & { readonly topics: readonly string[] },
  ): Promise<TopicDescription[]> {
    return notYet()
  }

  async describeCluster(_options?: OperationOptions): Promise<ClusterDescription> {
    return notYet()
  }

  async describeConfigs(_options: DescribeConfigsOptions): Promise<ConfigDescription[]> {
    return notYet()
  }

  async alterConfigs(_options: AlterConfigsOptions): Promise<void> {
    return notYet()
  }

  async incrementalAlterConfigs(_options: IncrementalAlterConfigsOptions): Promise<void> {
    return notYet()
  }

  async describeLogDirs(_options?: DescribeLogDirsOptions): Promise<LogDirDescription[]> {
    return notYet()
  }

  async listOffsets(_options: ListOffsetsOptions): Promise<ListedOffset[]> {
    return notYet()
  }

  /** Earliest and latest offset of every partition of a topic. */
  async fetchTopicOffsets(_topic: string, _options?: OperationOptions): Promise<TopicOffsets[]> {
    return notYet()
  }

  async describeProducers(
    _options: OperationOptions & { readonly partitions: readonly { topic: string; partition: number }[] },
  ): Promise<PartitionProducers[]> {
    return notYet()
  }

  async offsetForLeaderEpoch(
    _options: OperationOptions & {
      readonly partitions: readonly { topic: string; partition: number; leaderEpoch: number }[]
    },
  ): Promise<EpochEndOffset[]> {
    return notYet()
  }

  /** Of every broker, or of one. */
  async apiVersions(
    _options?: OperationOptions & { readonly broker?: number },
  ): Promise<BrokerApiVersions[]> {
    return notYet()
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
