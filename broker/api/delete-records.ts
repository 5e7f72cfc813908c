/**
 * DeleteRecords: moves the log start offset forward. What lies below it is no longer read from then on; the space comes
 * back with whole segments.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type DeleteRecordsRequest,
  type DeleteRecordsResponse,
} from '../../client/protocol/messages/delete-records.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { isInternalTopic } from '../controller/topic-names.ts'
import { onceEach } from '../runtime/once-each.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext, partitionOf } from './context.ts'

type Response = Input<typeof DeleteRecordsResponse>
type ResponsePartition = Response['topics'][number]['partitions'][number]

export function deleteRecordsHandler(context: BrokerContext): ApiHandler<DeleteRecordsRequest, Response> {
  return {
    api: API.DeleteRecords,
    async handle(request) {
      const topics = request.topics.map(async ({ name, partitions }) => ({
        name,
        partitions: await Promise.all(
          onceEach(partitions, ({ partitionIndex }) => partitionIndex).map(
            ({ item: { partitionIndex, offset } }) =>
              deleteOne(context, name, partitionIndex, offset, request.timeoutMs),
          ),
        ),
      }))
      return { topics: await Promise.all(topics) }
    },
  }
}

async function deleteOne(
  context: BrokerContext,
  topic: string,
  partitionIndex: number,
  offset: number,
  timeoutMs: number,
): Promise<ResponsePartition> {
  // The coordinators build on what they have written.
  if (isInternalTopic(topic)) {
    return { partitionIndex, lowWatermark: -1, errorCode: ErrorCode.INVALID_TOPIC_EXCEPTION }
  }
  const host = partitionOf(context, context.metadata.image.topic(topic), partitionIndex)
  if (typeof host === 'number') return { partitionIndex, lowWatermark: -1, errorCode: host }
  const { error, lowWatermark } = await host.deleteRecords(offset, timeoutMs)
  return { partitionIndex, lowWatermark, errorCode: error }
}
