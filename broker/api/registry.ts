/**
 * Everything that is served. What is not in here is not advertised, and a request for it closes its connection:
 * transactions come with their coordinator, not before.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type AnyApiHandler, type HandlerRegistry } from '../server/handler.ts'
import { alterConfigsHandler } from './alter-configs.ts'
import { alterPartitionReassignmentsHandler } from './alter-partition-reassignments.ts'
import { apiVersionsHandler } from './api-versions.ts'
import { consumerGroupDescribeHandler } from './consumer-group-describe.ts'
import { consumerGroupHeartbeatHandler } from './consumer-group-heartbeat.ts'
import { type BrokerContext } from './context.ts'
import { createPartitionsHandler } from './create-partitions.ts'
import { createTopicsHandler } from './create-topics.ts'
import { deleteGroupsHandler } from './delete-groups.ts'
import { deleteRecordsHandler } from './delete-records.ts'
import { deleteTopicsHandler } from './delete-topics.ts'
import { describeClusterHandler } from './describe-cluster.ts'
import { describeConfigsHandler } from './describe-configs.ts'
import { describeGroupsHandler } from './describe-groups.ts'
import { describeLogDirsHandler } from './describe-log-dirs.ts'
import { describeProducersHandler } from './describe-producers.ts'
import { describeTopicPartitionsHandler } from './describe-topic-partitions.ts'
import { electLeadersHandler } from './elect-leaders.ts'
import { fetchHandler } from './fetch.ts'
import { findCoordinatorHandler } from './find-coordinator.ts'
import { heartbeatHandler } from './heartbeat.ts'
import { incrementalAlterConfigsHandler } from './incremental-alter-configs.ts'
import { initProducerIdHandler } from './init-producer-id.ts'
import { joinGroupHandler } from './join-group.ts'
import { leaveGroupHandler } from './leave-group.ts'
import { listGroupsHandler } from './list-groups.ts'
import { listOffsetsHandler } from './list-offsets.ts'
import { listPartitionReassignmentsHandler } from './list-partition-reassignments.ts'
import { metadataHandler } from './metadata.ts'
import { offsetCommitHandler } from './offset-commit.ts'
import { offsetDeleteHandler } from './offset-delete.ts'
import { offsetFetchHandler } from './offset-fetch.ts'
import { offsetForLeaderEpochHandler } from './offset-for-leader-epoch.ts'
import { produceHandler } from './produce.ts'
import { syncGroupHandler } from './sync-group.ts'

export function createRegistry(context: BrokerContext): HandlerRegistry {
  const registry = new Map<number, AnyApiHandler>()
  const handlers: AnyApiHandler[] = [
    produceHandler(context),
    fetchHandler(context),
    listOffsetsHandler(context),
    metadataHandler(context),
    apiVersionsHandler(context, () => registry),
    createTopicsHandler(context),
    deleteTopicsHandler(context),
    deleteRecordsHandler(context),
    initProducerIdHandler(context),
    offsetForLeaderEpochHandler(context),
    describeConfigsHandler(context),
    alterConfigsHandler(context),
    describeLogDirsHandler(context),
    createPartitionsHandler(context),
    incrementalAlterConfigsHandler(context),
    describeClusterHandler(context),
    describeProducersHandler(context),
    describeTopicPartitionsHandler(context),
    findCoordinatorHandler(context),
    joinGroupHandler(context),
    syncGroupHandler(context),
    heartbeatHandler(context),
    leaveGroupHandler(context),
    offsetCommitHandler(context),
    offsetFetchHandler(context),
    offsetDeleteHandler(context),
    listGroupsHandler(context),
    describeGroupsHandler(context),
    deleteGroupsHandler(context),
    consumerGroupHeartbeatHandler(context),
    consumerGroupDescribeHandler(context),
    electLeadersHandler(context),
    alterPartitionReassignmentsHandler(context),
    listPartitionReassignmentsHandler(context),
  ]
  for (const handler of handlers) {
    assert(!registry.has(handler.api.key), `one handler serves ${handler.api.name}`)
    registry.set(handler.api.key, handler)
  }
  return registry
}
