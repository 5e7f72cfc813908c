/**
 * The table of all APIs that have a schema here: key, name, versions, messages, and which header goes before them.
 * Having a schema does not mean being served: a broker advertises what it has handlers for, nothing else.
 */
import { AddOffsetsToTxnRequest, AddOffsetsToTxnResponse } from './messages/add-offsets-to-txn.ts'
import { AddPartitionsToTxnRequest, AddPartitionsToTxnResponse } from './messages/add-partitions-to-txn.ts'
import { AlterClientQuotasRequest, AlterClientQuotasResponse } from './messages/alter-client-quotas.ts'
import { AlterConfigsRequest, AlterConfigsResponse } from './messages/alter-configs.ts'
import {
  AlterPartitionReassignmentsRequest,
  AlterPartitionReassignmentsResponse,
} from './messages/alter-partition-reassignments.ts'
import { AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse } from './messages/alter-replica-log-dirs.ts'
import {
  AlterUserScramCredentialsRequest,
  AlterUserScramCredentialsResponse,
} from './messages/alter-user-scram-credentials.ts'
import { ApiVersionsRequest, ApiVersionsResponse } from './messages/api-versions.ts'
import {
  ConsumerGroupDescribeRequest,
  ConsumerGroupDescribeResponse,
} from './messages/consumer-group-describe.ts'
import {
  ConsumerGroupHeartbeatRequest,
  ConsumerGroupHeartbeatResponse,
} from './messages/consumer-group-heartbeat.ts'
import { CreateAclsRequest, CreateAclsResponse } from './messages/create-acls.ts'
import { CreatePartitionsRequest, CreatePartitionsResponse } from './messages/create-partitions.ts'
import { CreateTopicsRequest, CreateTopicsResponse } from './messages/create-topics.ts'
import { DeleteAclsRequest, DeleteAclsResponse } from './messages/delete-acls.ts'
import { DeleteGroupsRequest, DeleteGroupsResponse } from './messages/delete-groups.ts'
import { DeleteRecordsRequest, DeleteRecordsResponse } from './messages/delete-records.ts'
import { DeleteTopicsRequest, DeleteTopicsResponse } from './messages/delete-topics.ts'
import { DescribeAclsRequest, DescribeAclsResponse } from './messages/describe-acls.ts'
import {
  DescribeClientQuotasRequest,
  DescribeClientQuotasResponse,
} from './messages/describe-client-quotas.ts'
import { DescribeClusterRequest, DescribeClusterResponse } from './messages/describe-cluster.ts'
import { DescribeConfigsRequest, DescribeConfigsResponse } from './messages/describe-configs.ts'
import { DescribeGroupsRequest, DescribeGroupsResponse } from './messages/describe-groups.ts'
import { DescribeLogDirsRequest, DescribeLogDirsResponse } from './messages/describe-log-dirs.ts'
import { DescribeProducersRequest, DescribeProducersResponse } from './messages/describe-producers.ts'
import { DescribeQuorumRequest, DescribeQuorumResponse } from './messages/describe-quorum.ts'
import {
  DescribeTopicPartitionsRequest,
  DescribeTopicPartitionsResponse,
} from './messages/describe-topic-partitions.ts'
import {
  DescribeTransactionsRequest,
  DescribeTransactionsResponse,
} from './messages/describe-transactions.ts'
import {
  DescribeUserScramCredentialsRequest,
  DescribeUserScramCredentialsResponse,
} from './messages/describe-user-scram-credentials.ts'
import { ElectLeadersRequest, ElectLeadersResponse } from './messages/elect-leaders.ts'
import { EndTxnRequest, EndTxnResponse } from './messages/end-txn.ts'
import { FetchRequest, FetchResponse } from './messages/fetch.ts'
import { FindCoordinatorRequest, FindCoordinatorResponse } from './messages/find-coordinator.ts'
import { HeartbeatRequest, HeartbeatResponse } from './messages/heartbeat.ts'
import {
  IncrementalAlterConfigsRequest,
  IncrementalAlterConfigsResponse,
} from './messages/incremental-alter-configs.ts'
import { InitProducerIdRequest, InitProducerIdResponse } from './messages/init-producer-id.ts'
import { JoinGroupRequest, JoinGroupResponse } from './messages/join-group.ts'
import { LeaveGroupRequest, LeaveGroupResponse } from './messages/leave-group.ts'
import { ListConfigResourcesRequest, ListConfigResourcesResponse } from './messages/list-config-resources.ts'
import { ListGroupsRequest, ListGroupsResponse } from './messages/list-groups.ts'
import { ListOffsetsRequest, ListOffsetsResponse } from './messages/list-offsets.ts'
import {
  ListPartitionReassignmentsRequest,
  ListPartitionReassignmentsResponse,
} from './messages/list-partition-reassignments.ts'
import { ListTransactionsRequest, ListTransactionsResponse } from './messages/list-transactions.ts'
import { MetadataRequest, MetadataResponse } from './messages/metadata.ts'
import { OffsetCommitRequest, OffsetCommitResponse } from './messages/offset-commit.ts'
import { OffsetDeleteRequest, OffsetDeleteResponse } from './messages/offset-delete.ts'
import { OffsetFetchRequest, OffsetFetchResponse } from './messages/offset-fetch.ts'
import {
  OffsetForLeaderEpochRequest,
  OffsetForLeaderEpochResponse,
} from './messages/offset-for-leader-epoch.ts'
import { ProduceRequest, ProduceResponse } from './messages/produce.ts'
import { SaslAuthenticateRequest, SaslAuthenticateResponse } from './messages/sasl-authenticate.ts'
import { SaslHandshakeRequest, SaslHandshakeResponse } from './messages/sasl-handshake.ts'
import { SyncGroupRequest, SyncGroupResponse } from './messages/sync-group.ts'
import { TxnOffsetCommitRequest, TxnOffsetCommitResponse } from './messages/txn-offset-commit.ts'
import { UnregisterBrokerRequest, UnregisterBrokerResponse } from './messages/unregister-broker.ts'
import { UpdateFeaturesRequest, UpdateFeaturesResponse } from './messages/update-features.ts'
import { WriteTxnMarkersRequest, WriteTxnMarkersResponse } from './messages/write-txn-markers.ts'
import { type Message } from './schema.ts'

/**
 * One API. `Request` and `Response` are what is decoded, `RequestInput` and `ResponseInput` what may be encoded, with
 * defaults left out. A handler that answers with an input may call itself `ApiHandler<ProduceRequest, Input<typeof
 * ProduceResponse>>`: the types allow it.
 */
export interface Api<
  Request = unknown,
  Response = unknown,
  RequestInput = Request,
  ResponseInput = Response,
> {
  readonly key: number
  /** Kafka's name, as `CreateTopics`. */
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  /** The first flexible version; Infinity where there is none. */
  readonly firstFlexibleVersion: number
  readonly request: Message<Request, RequestInput>
  readonly response: Message<Response, ResponseInput>
  /** 2 (with tagged fields) or 1. */
  requestHeaderVersion(version: number): 1 | 2
  /** 1 (with tagged fields) or 0. */
  responseHeaderVersion(version: number): 0 | 1
}

function api<Request, Response, RequestInput, ResponseInput>(
  key: number,
  request: Message<Request, RequestInput>,
  response: Message<Response, ResponseInput>,
): Api<Request, Response, RequestInput, ResponseInput> {
  return {
    key,
    name: request.name.slice(0, -'Request'.length),
    minVersion: request.minVersion,
    maxVersion: request.maxVersion,
    firstFlexibleVersion: request.flexibleSince,
    request,
    response,
    requestHeaderVersion: version => (version >= request.flexibleSince ? 2 : 1),
    // Whoever asks with a version that the broker does not know must be able to read the answer (KIP-511).
    responseHeaderVersion: version => (key !== API_VERSIONS_KEY && version >= request.flexibleSince ? 1 : 0),
  }
}

const API_VERSIONS_KEY = 18

/** Every API, by name: `API.Produce`. */
export const API = {
  Produce: api(0, ProduceRequest, ProduceResponse),
  Fetch: api(1, FetchRequest, FetchResponse),
  ListOffsets: api(2, ListOffsetsRequest, ListOffsetsResponse),
  Metadata: api(3, MetadataRequest, MetadataResponse),
  OffsetCommit: api(8, OffsetCommitRequest, OffsetCommitResponse),
  OffsetFetch: api(9, OffsetFetchRequest, OffsetFetchResponse),
  FindCoordinator: api(10, FindCoordinatorRequest, FindCoordinatorResponse),
  JoinGroup: api(11, JoinGroupRequest, JoinGroupResponse),
  Heartbeat: api(12, HeartbeatRequest, HeartbeatResponse),
  LeaveGroup: api(13, LeaveGroupRequest, LeaveGroupResponse),
  SyncGroup: api(14, SyncGroupRequest, SyncGroupResponse),
  DescribeGroups: api(15, DescribeGroupsRequest, DescribeGroupsResponse),
  ListGroups: api(16, ListGroupsRequest, ListGroupsResponse),
  SaslHandshake: api(17, SaslHandshakeRequest, SaslHandshakeResponse),
  ApiVersions: api(API_VERSIONS_KEY, ApiVersionsRequest, ApiVersionsResponse),
  CreateTopics: api(19, CreateTopicsRequest, CreateTopicsResponse),
  DeleteTopics: api(20, DeleteTopicsRequest, DeleteTopicsResponse),
  DeleteRecords: api(21, DeleteRecordsRequest, DeleteRecordsResponse),
  InitProducerId: api(22, InitProducerIdRequest, InitProducerIdResponse),
  OffsetForLeaderEpoch: api(23, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse),
  AddPartitionsToTxn: api(24, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse),
  AddOffsetsToTxn: api(25, AddOffsetsToTxnRequest, AddOffsetsToTxnResponse),
  EndTxn: api(26, EndTxnRequest, EndTxnResponse),
  WriteTxnMarkers: api(27, WriteTxnMarkersRequest, WriteTxnMarkersResponse),
  TxnOffsetCommit: api(28, TxnOffsetCommitRequest, TxnOffsetCommitResponse),
  DescribeAcls: api(29, DescribeAclsRequest, DescribeAclsResponse),
  CreateAcls: api(30, CreateAclsRequest, CreateAclsResponse),
  DeleteAcls: api(31, DeleteAclsRequest, DeleteAclsResponse),
  DescribeConfigs: api(32, DescribeConfigsRequest, DescribeConfigsResponse),
  AlterConfigs: api(33, AlterConfigsRequest, AlterConfigsResponse),
  AlterReplicaLogDirs: api(34, AlterReplicaLogDirsRequest, AlterReplicaLogDirsResponse),
  DescribeLogDirs: api(35, DescribeLogDirsRequest, DescribeLogDirsResponse),
  SaslAuthenticate: api(36, SaslAuthenticateRequest, SaslAuthenticateResponse),
  CreatePartitions: api(37, CreatePartitionsRequest, CreatePartitionsResponse),
  DeleteGroups: api(42, DeleteGroupsRequest, DeleteGroupsResponse),
  ElectLeaders: api(43, ElectLeadersRequest, ElectLeadersResponse),
  IncrementalAlterConfigs: api(44, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse),
  AlterPartitionReassignments: api(
    45,
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
  ),
  ListPartitionReassignments: api(46, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse),
  OffsetDelete: api(47, OffsetDeleteRequest, OffsetDeleteResponse),
  DescribeClientQuotas: api(48, DescribeClientQuotasRequest, DescribeClientQuotasResponse),
  AlterClientQuotas: api(49, AlterClientQuotasRequest, AlterClientQuotasResponse),
  DescribeUserScramCredentials: api(
    50,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
  ),
  AlterUserScramCredentials: api(51, AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse),
  DescribeQuorum: api(55, DescribeQuorumRequest, DescribeQuorumResponse),
  UpdateFeatures: api(57, UpdateFeaturesRequest, UpdateFeaturesResponse),
  DescribeCluster: api(60, DescribeClusterRequest, DescribeClusterResponse),
  DescribeProducers: api(61, DescribeProducersRequest, DescribeProducersResponse),
  UnregisterBroker: api(64, UnregisterBrokerRequest, UnregisterBrokerResponse),
  DescribeTransactions: api(65, DescribeTransactionsRequest, DescribeTransactionsResponse),
  ListTransactions: api(66, ListTransactionsRequest, ListTransactionsResponse),
  ConsumerGroupHeartbeat: api(68, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse),
  ConsumerGroupDescribe: api(69, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse),
  ListConfigResources: api(74, ListConfigResourcesRequest, ListConfigResourcesResponse),
  DescribeTopicPartitions: api(75, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse),
}

export type ApiName = keyof typeof API

/** The key of every API, by name: `ApiKey.Produce`. */
export const ApiKey = Object.fromEntries(Object.entries(API).map(([name, { key }]) => [name, key])) as {
  readonly [Name in ApiName]: number
}

/** Every API in the order of the keys. */
export const APIS: readonly Api[] = (Object.values(API) as readonly Api[]).toSorted(
  (left, right) => left.key - right.key,
)

const BY_KEY: readonly (Api | undefined)[] = APIS.reduce<(Api | undefined)[]>((table, each) => {
  table[each.key] = each
  return table
}, [])

/** Undefined for a key that has no schema here; any number may be asked for. */
export function apiByKey(key: number): Api | undefined {
  return BY_KEY[key]
}
