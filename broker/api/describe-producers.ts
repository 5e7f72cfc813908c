/**
 * DescribeProducers (KIP-664): the idempotent producers that partitions remember, to find who holds a transaction open.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode, errorMessage } from '../../client/protocol/errors.ts'
import {
  type DescribeProducersRequest,
  type DescribeProducersResponse,
} from '../../client/protocol/messages/describe-producers.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { topicNameProblem } from '../controller/topic-names.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext, partitionOf } from './context.ts'

type Response = Input<typeof DescribeProducersResponse>
type ResponsePartition = Response['topics'][number]['partitions'][number]

export function describeProducersHandler(
  context: BrokerContext,
): ApiHandler<DescribeProducersRequest, Response> {
  return {
    api: API.DescribeProducers,
    handle(request) {
      // Each once: a partition may know many producers, and a request has room for its number by the ten thousand.
      const byTopic = new Map<string, Set<number>>()
      for (const { name, partitionIndexes } of request.topics) {
        const asked = byTopic.get(name)
        if (asked === undefined) byTopic.set(name, new Set(partitionIndexes))
        else for (const partition of partitionIndexes) asked.add(partition)
      }
      return {
        topics: Array.from(byTopic, ([name, partitions]) => ({
          name,
          partitions: Array.from(partitions, partition => describe(context, name, partition)),
        })),
      }
    },
  }
}

function describe(context: BrokerContext, topic: string, partitionIndex: number): ResponsePartition {
  const problem = topicNameProblem(topic)
  if (problem?.error === ErrorCode.INVALID_TOPIC_EXCEPTION) {
    return { partitionIndex, errorCode: problem.error, errorMessage: problem.message, activeProducers: [] }
  }
  const host = partitionOf(context, context.metadata.image.topic(topic), partitionIndex)
  if (typeof host === 'number') {
    return { partitionIndex, errorCode: host, errorMessage: errorMessage(host), activeProducers: [] }
  }
  const activeProducers = host.describeProducers().map(producer => ({
    producerId: producer.producerId,
    producerEpoch: producer.producerEpoch,
    lastSequence: producer.lastSequence,
    lastTimestamp: producer.lastTimestamp,
    coordinatorEpoch: producer.coordinatorEpoch,
    currentTxnStartOffset: producer.currentTransactionStartOffset,
  }))
  return { partitionIndex, errorCode: ErrorCode.NONE, activeProducers }
}
