/**
 * ListPartitionReassignments: the moves of partitions that are under way, of all topics or of those asked for. What is
 * not being moved, or is not there, is left out (KIP-455).
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type ListPartitionReassignmentsRequest,
  type ListPartitionReassignmentsResponse,
} from '../../client/protocol/messages/list-partition-reassignments.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { movesOf } from '../controller/reassignments.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'

type Response = Input<typeof ListPartitionReassignmentsResponse>

export function listPartitionReassignmentsHandler(
  context: BrokerContext,
): ApiHandler<ListPartitionReassignmentsRequest, Response> {
  return {
    api: API.ListPartitionReassignments,
    handle({ topics: asked }) {
      const wanted = asked === null ? null : indexesByName(asked)
      const topics: Response['topics'][number][] = []
      for (const topic of context.metadata.image.topics()) {
        const indexes = wanted?.get(topic.name)
        if (wanted !== null && indexes === undefined) continue
        const partitions = movesOf(topic)
          .filter(({ partition }) => indexes === undefined || indexes.has(partition))
          .map(({ partition, replicas, adding, removing }) => ({
            partitionIndex: partition,
            replicas,
            addingReplicas: adding,
            removingReplicas: removing,
          }))
        if (partitions.length > 0) topics.push({ name: topic.name, partitions })
      }
      return { errorCode: ErrorCode.NONE, errorMessage: null, topics }
    },
  }
}

function indexesByName(
  asked: NonNullable<ListPartitionReassignmentsRequest['topics']>,
): ReadonlyMap<string, ReadonlySet<number>> {
  const byName = new Map<string, Set<number>>()
  for (const { name, partitionIndexes } of asked) {
    byName.set(name, new Set([...(byName.get(name) ?? []), ...partitionIndexes]))
  }
  return byName
}
