/**
 * Metadata: tells which brokers there are, which topics, and who leads each partition. The first thing that
 * every client asks, and asks again whenever a leader is not where it was thought to be.
 *
 * Versions: in version 0 an empty list of topics means all; from 1 on null means all and empty means none. 4
 * lets the client refuse auto-creation, 5 lists offline replicas, 7 adds leader epochs (KIP-320), 8 authorized
 * operations (KIP-430), 9 is flexible, 10 adds topic ids, 11 drops the cluster's authorized operations in favour
 * of DescribeCluster (KIP-700), 12 allows to ask by topic id (KIP-516), 13 has an error for the whole response
 * (KIP-1102).
 */
import { array, bool, type Infer, int16, int32, message, string, uuid } from '../schema.ts'

const versions = { min: 0, max: 13, flexible: 9 }

export const MetadataRequest = message('MetadataRequest', versions, {
  topics: array(
    {
      topicId: uuid({ since: 10, ignorable: true }),
      name: string({ nullable: 10 }),
    },
    { nullable: 1 },
  ),
  allowAutoTopicCreation: bool({ since: 4, default: true }),
  includeClusterAuthorizedOperations: bool({ since: 8, until: 10 }),
  includeTopicAuthorizedOperations: bool({ since: 8 }),
})
export type MetadataRequest = Infer<typeof MetadataRequest>

export const MetadataResponse = message('MetadataResponse', versions, {
  throttleTimeMs: int32({ since: 3, ignorable: true }),
  brokers: array({
    nodeId: int32(),
    host: string(),
    port: int32(),
    rack: string({ since: 1, nullable: true, default: null, ignorable: true }),
  }),
  clusterId: string({ since: 2, nullable: true, default: null, ignorable: true }),
  controllerId: int32({ since: 1, default: -1, ignorable: true }),
  topics: array({
    errorCode: int16(),
    name: string({ nullable: 12 }),
    topicId: uuid({ since: 10, ignorable: true }),
    isInternal: bool({ since: 1, ignorable: true }),
    partitions: array({
      errorCode: int16(),
      partitionIndex: int32(),
      leaderId: int32(),
      leaderEpoch: int32({ since: 7, default: -1, ignorable: true }),
      replicaNodes: array(int32()),
      isrNodes: array(int32()),
      offlineReplicas: array(int32(), { since: 5, ignorable: true }),
    }),
    topicAuthorizedOperations: int32({ since: 8, default: -2_147_483_648 }),
  }),
  clusterAuthorizedOperations: int32({ since: 8, until: 10, default: -2_147_483_648 }),
  errorCode: int16({ since: 13, ignorable: true }),
})
export type MetadataResponse = Infer<typeof MetadataResponse>
