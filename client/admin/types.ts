/**
 * The administrator's words. Types only.
 *
 * One rule for partial failures: a call that changes several things, or reads several things by name, does all it can
 * and then throws one KafkaError: that of the single failure, or PARTIAL_FAILURE with one entry in `errors` per item
 * that failed, each with its topic (and partition). What succeeded stays done. Calls that list what exists never fail
 * in part: an item that could not be read carries its `error`.
 */
import { type KafkaError } from '../errors.ts'

export interface OperationOptions {
  readonly signal?: AbortSignal
  /** Default: `operationTimeoutMs` of `Kafka`. */
  readonly timeoutMs?: number
}

export interface NewTopic {
  readonly topic: string
  /** Default: the broker's `num.partitions`. */
  readonly partitions?: number
  /** Default: the broker's `default.replication.factor`. */
  readonly replicationFactor?: number
  /** Replicas by partition, instead of the two counts. */
  readonly assignments?: readonly { readonly partition: number; readonly replicas: readonly number[] }[]
  readonly configs?: Readonly<Record<string, string>>
}

export interface CreateTopicsOptions extends OperationOptions {
  readonly topics: readonly (string | NewTopic)[]
  /** Check only. */
  readonly validateOnly?: boolean
  /** Topics that exist already are no failure. */
  readonly ifNotExists?: boolean
}

export interface CreatedTopic {
  readonly topic: string
  /** 32 hexadecimal digits; null where the broker does not tell. */
  readonly topicId: string | null
  /** False where it was there already (`ifNotExists`). */
  readonly created: boolean
  /** -1 where the broker does not tell. */
  readonly partitions: number
  readonly replicationFactor: number
}

export interface DeleteTopicsOptions extends OperationOptions {
  readonly topics: readonly string[]
  /** Topics that do not exist are no failure. */
  readonly ifExists?: boolean
}

export interface CreatePartitionsOptions extends OperationOptions {
  readonly topics: readonly {
    readonly topic: string
    /** How many there shall be in all. */
    readonly count: number
    /** Replicas of each new partition. */
    readonly assignments?: readonly (readonly number[])[]
  }[]
  readonly validateOnly?: boolean
}

export interface DeleteRecordsOptions extends OperationOptions {
  readonly topic: string
  /** All records below `offset` go; `latest` = all there are now. */
  readonly partitions: readonly { readonly partition: number; readonly offset: number | bigint | 'latest' }[]
}

export interface DeletedRecords {
  readonly partition: number
  /** The log starts here now. */
  readonly lowWatermark: number
}

export interface TopicListing {
  readonly topic: string
  readonly topicId: string | null
  readonly internal: boolean
  readonly partitions: number
  /** Replicas of the first partition. */
  readonly replicationFactor: number
}

export interface PartitionDescription {
  readonly partition: number
  /** -1 where it has none. */
  readonly leader: number
  readonly leaderEpoch: number
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
  readonly offlineReplicas: readonly number[]
  /**
   * Replicas that are not in sync and have everything that is committed, so that they may lead (KIP-966). Null where it
   * was not asked for or the broker does not tell.
   */
  readonly elr: readonly number[] | null
  /** Who had been eligible when nobody was any more; null as above. */
  readonly lastKnownElr: readonly number[] | null
  readonly error: KafkaError | null
}

export interface DescribeTopicsOptions extends OperationOptions {
  readonly topics: readonly string[]
  /** Also which replicas are eligible to lead, by brokers that tell (Kafka 4.0). Default false. */
  readonly includeElr?: boolean
}

export interface TopicDescription {
  readonly topic: string
  readonly topicId: string | null
  readonly internal: boolean
  /** In ascending order. */
  readonly partitions: readonly PartitionDescription[]
}

export interface BrokerDescription {
  readonly id: number
  readonly host: string
  readonly port: number
  readonly rack: string | null
  /** It is known to the cluster and takes no part in it; told only where it was asked for. */
  readonly fenced: boolean
}

export interface DescribeClusterOptions extends OperationOptions {
  /** Also brokers that take no part: with an empty host and port -1 where nobody knows where they are (KIP-1073). */
  readonly includeFenced?: boolean
}

export interface ClusterDescription {
  readonly clusterId: string | null
  /** -1 where there is none or the broker does not tell. */
  readonly controllerId: number
  readonly brokers: readonly BrokerDescription[]
}

export interface ConfigResource {
  readonly type: 'topic' | 'broker' | 'broker-logger' | 'client-metrics' | 'group'
  /** Topic name or broker id; for the cluster-wide default of brokers the empty string. */
  readonly name: string
}

export type ConfigSource =
  | 'topic'
  | 'dynamic-broker'
  | 'dynamic-default-broker'
  | 'static-broker'
  | 'default'
  | 'broker-logger'
  | 'client-metrics'
  | 'group'
  | 'unknown'

export interface ConfigEntry {
  readonly name: string
  /** Null where it is sensitive, or not set. */
  readonly value: string | null
  readonly source: ConfigSource
  readonly isDefault: boolean
  readonly readOnly: boolean
  readonly sensitive: boolean
  readonly type: string
  readonly documentation: string | null
  readonly synonyms: readonly {
    readonly name: string
    readonly value: string | null
    readonly source: ConfigSource
  }[]
}

export interface DescribeConfigsOptions extends OperationOptions {
  readonly resources: readonly (ConfigResource & {
    /** Default: all. */ readonly names?: readonly string[]
  })[]
  readonly includeSynonyms?: boolean
  readonly includeDocumentation?: boolean
}

export interface ConfigDescription extends ConfigResource {
  readonly entries: readonly ConfigEntry[]
}

/** Replaces all dynamic configs of the resource: those not named go back to their defaults. */
export interface AlterConfigsOptions extends OperationOptions {
  readonly resources: readonly (ConfigResource & {
    readonly configs: Readonly<Record<string, string | null>>
  })[]
  readonly validateOnly?: boolean
}

export type ConfigChange =
  | { readonly name: string; readonly op: 'set' | 'append' | 'subtract'; readonly value: string }
  /** Back to the default. */
  | { readonly name: string; readonly op: 'delete' }

export interface IncrementalAlterConfigsOptions extends OperationOptions {
  readonly resources: readonly (ConfigResource & { readonly changes: readonly ConfigChange[] })[]
  readonly validateOnly?: boolean
}

export interface LogDirReplica {
  readonly topic: string
  readonly partition: number
  readonly sizeBytes: number
  readonly offsetLag: number
  readonly isFuture: boolean
}

export interface LogDirDescription {
  readonly broker: number
  readonly path: string
  readonly error: KafkaError | null
  /** -1 where the broker does not tell. */
  readonly totalBytes: number
  readonly usableBytes: number
  readonly replicas: readonly LogDirReplica[]
}

export interface DescribeLogDirsOptions extends OperationOptions {
  /** Default: all. */
  readonly brokers?: readonly number[]
  /** Default: all partitions. */
  readonly topics?: readonly string[]
}

/** What ListOffsets can be asked for. */
export type ListOffsetSpec =
  | 'earliest'
  | 'latest'
  /** The record with the largest timestamp. */
  | 'max-timestamp'
  | 'earliest-local'
  | 'latest-tiered'
  | { readonly timestamp: number }

export interface ListOffsetsOptions extends OperationOptions {
  readonly partitions: readonly {
    readonly topic: string
    readonly partition: number
    readonly spec: ListOffsetSpec
  }[]
  /** With read_committed `latest` is the last stable offset. */
  readonly isolation?: 'read_uncommitted' | 'read_committed'
}

export interface ListedOffset {
  readonly topic: string
  readonly partition: number
  /** -1 where no record fits. */
  readonly offset: number
  /** Of the record found, else -1. */
  readonly timestamp: number
  readonly leaderEpoch: number
}

export interface TopicOffsets {
  readonly partition: number
  readonly earliest: number
  readonly latest: number
}

export interface ActiveProducer {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly lastSequence: number
  readonly lastTimestamp: number
  readonly coordinatorEpoch: number
  /** -1 where no transaction is open. */
  readonly currentTransactionStartOffset: number
}

export interface PartitionProducers {
  readonly topic: string
  readonly partition: number
  readonly producers: readonly ActiveProducer[]
}

export interface EpochEndOffset {
  readonly topic: string
  readonly partition: number
  /** The largest epoch known that is not above the one asked for; -1 for none. */
  readonly leaderEpoch: number
  /** Where that epoch ends; -1 for none. */
  readonly endOffset: number
}

/** Names as the broker gives them: `Stable`, `Empty`, `PreparingRebalance`, `Assigning` ... */
export type GroupState = string
export type GroupType = 'classic' | 'consumer' | (string & {})

export interface ListGroupsOptions extends OperationOptions {
  /** Default: all. Brokers before Kafka 2.6 (states) and 3.8 (types) cannot filter: these are refused there. */
  readonly states?: readonly GroupState[]
  readonly types?: readonly GroupType[]
}

export interface GroupListing {
  readonly groupId: string
  /** `consumer` for groups of consumers; empty for one that has only offsets. */
  readonly protocolType: string
  /** Null where the broker does not tell. */
  readonly state: GroupState | null
  readonly type: GroupType | null
  /** Id of the broker. */
  readonly coordinator: number
}

export interface PartitionOfTopic {
  readonly topic: string
  readonly partition: number
}

export interface ElectLeadersOptions extends OperationOptions {
  /**
   * `preferred` (the default) makes the first replica the leader; `unclean` makes any live replica the leader of a
   * partition that nobody leads, also one that lacks records.
   */
  readonly type?: 'preferred' | 'unclean'
  /** Default: all. */
  readonly partitions?: readonly PartitionOfTopic[]
}

export interface ElectedLeader extends PartitionOfTopic {
  /** False: it has the leader that the election would give it. */
  readonly elected: boolean
}

export interface AlterPartitionReassignmentsOptions extends OperationOptions {
  /** The first of `replicas` is the preferred leader; null cancels the move. */
  readonly partitions: readonly (PartitionOfTopic & { readonly replicas: readonly number[] | null })[]
  /** False refuses to change how many replicas there are (KIP-860). Default true. */
  readonly mayChangeReplicationFactor?: boolean
}

export interface ListPartitionReassignmentsOptions extends OperationOptions {
  /** Default: all. */
  readonly partitions?: readonly PartitionOfTopic[]
}

/** A partition that is being moved. */
export interface PartitionReassignment extends PartitionOfTopic {
  /** All that have it now or shall have it. */
  readonly replicas: readonly number[]
  readonly adding: readonly number[]
  readonly removing: readonly number[]
}

export interface GroupMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly rack: string | null
  readonly topics: readonly string[]
  /** A pattern that the broker matches, or null. */
  readonly pattern: string | null
  readonly assignment: readonly PartitionOfTopic[]
  /** What the member shall have when the rebalance is over; null in classic groups. */
  readonly targetAssignment: readonly PartitionOfTopic[] | null
  /** Null in classic groups. */
  readonly memberEpoch: number | null
}

export interface GroupDescription {
  readonly groupId: string
  readonly type: 'classic' | 'consumer'
  readonly state: GroupState
  readonly protocolType: string
  /** The assignor in use; empty where there is none yet. */
  readonly assignor: string
  readonly coordinator: number
  /** Null in classic groups. */
  readonly groupEpoch: number | null
  readonly members: readonly GroupMember[]
}

export interface FetchOffsetsOptions extends OperationOptions {
  readonly groupId: string
  /** Default: all that the group has committed. */
  readonly partitions?: readonly PartitionOfTopic[]
  /** Fail while a transaction that touches the offsets is open. Default false. */
  readonly requireStable?: boolean
}

export interface GroupOffset extends PartitionOfTopic {
  /** -1 where nothing is committed. */
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
}

export interface SetOffsetsOptions extends OperationOptions {
  readonly groupId: string
  readonly offsets: readonly (PartitionOfTopic & {
    /** An offset, or what is looked up: the end where no record is as young as the timestamp. */
    readonly offset: number | bigint | 'earliest' | 'latest' | { readonly timestamp: number }
    readonly metadata?: string
  })[]
  /** Only look up what would be set. */
  readonly validateOnly?: boolean
}

export interface SetOffset extends PartitionOfTopic {
  readonly offset: number
}

export interface GroupLagOptions extends OperationOptions {
  readonly groupId: string
  /** Default: all that the group has committed. */
  readonly topics?: readonly string[]
  readonly isolation?: 'read_uncommitted' | 'read_committed'
}

export interface GroupLag extends PartitionOfTopic {
  /** -1 where nothing is committed. */
  readonly committed: number
  readonly earliest: number
  readonly end: number
  /** Records behind; from the log's start where nothing is committed. */
  readonly lag: number
}

export interface BrokerApiVersions {
  readonly broker: BrokerDescription
  readonly apis: readonly {
    readonly apiKey: number
    /** Null where this client does not know the API. */
    readonly name: string | null
    readonly minVersion: number
    readonly maxVersion: number
    /** The version this client would use, or null where there is none in common. */
    readonly usedVersion: number | null
  }[]
}
