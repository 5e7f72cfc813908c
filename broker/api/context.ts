/**
 * What the handlers know of the broker that they serve: its parts, and nothing of sockets.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type BrokerConfig } from '../config/broker-config.ts'
import { type TopicImage } from '../controller/image.ts'
import { type Env } from '../env.ts'
import { type ClusterMetadata } from '../runtime/cluster-metadata.ts'
import { type FetchSessions } from '../runtime/fetch-sessions.ts'
import { type GroupManager } from '../runtime/group-manager.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type PartitionManager } from '../runtime/partition-manager.ts'
import { type ProducerIds } from '../runtime/producer-ids.ts'
import { type Purgatory } from '../runtime/purgatory.ts'
import { type ReplicationThrottle } from '../runtime/replication-throttle.ts'
import { type Topics } from '../runtime/topics.ts'
import { type ConnectionInfo } from '../server/handler.ts'

export interface BrokerContext {
  readonly env: Env
  readonly brokerId: number
  readonly clusterId: string
  readonly dataFolder: string
  /** What holds now; changes when dynamic configs do, so it is not to be kept. */
  readonly config: BrokerConfig
  readonly metadata: ClusterMetadata
  readonly topics: Topics
  readonly partitions: PartitionManager
  readonly purgatory: Purgatory
  readonly fetchSessions: FetchSessions
  readonly throttle: ReplicationThrottle
  readonly producerIds: ProducerIds
  readonly groups: GroupManager
  /** Where a client on this connection is told to find this broker. */
  endpoint(connection: ConnectionInfo): { readonly host: string; readonly port: number }
}

/** "Not asked for" where a response has room for authorized operations. */
export const OPERATIONS_NOT_ASKED = -2_147_483_648

/** Bits of the operations that exist for a kind of resource (KIP-430). Without ACLs everyone may do all of them. */
export const ALL_TOPIC_OPERATIONS = bits(3, 4, 5, 6, 7, 8, 10, 11)
export const ALL_GROUP_OPERATIONS = bits(3, 6, 8, 10, 11)
export const ALL_CLUSTER_OPERATIONS = bits(5, 7, 8, 9, 10, 11, 12)

function bits(...operations: number[]): number {
  return operations.reduce((mask, operation) => mask | (1 << operation), 0)
}

/**
 * The partition, or why it cannot be served from here. `topic` undefined is a topic that the image does not have;
 * whether that is an unknown name or an unknown id depends on what the request carries.
 */
export function partitionOf(
  context: BrokerContext,
  topic: TopicImage | undefined,
  partition: number,
  unknownTopic: ErrorCode = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
): PartitionHost | ErrorCode {
  if (topic === undefined) return unknownTopic
  const host = context.partitions.get(topic.topicId, partition)
  if (host !== undefined) return host
  const registration = topic.partitions[partition]
  if (registration === undefined) return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  // It belongs here and is not there: its folder could not be made or read, which the log has told.
  return registration.leader === context.brokerId
    ? ErrorCode.KAFKA_STORAGE_ERROR
    : ErrorCode.NOT_LEADER_OR_FOLLOWER
}
