/**
 * OffsetDelete: forgets offsets of topics that the group does not read at present (KIP-496).
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type OffsetDeleteRequest,
  type OffsetDeleteResponse,
} from '../../client/protocol/messages/offset-delete.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'

type Response = Input<typeof OffsetDeleteResponse>

export function offsetDeleteHandler(context: BrokerContext): ApiHandler<OffsetDeleteRequest, Response> {
  return {
    api: API.OffsetDelete,
    async handle(request) {
      if (request.groupId === '') return { errorCode: ErrorCode.INVALID_GROUP_ID, topics: [] }
      const { image } = context.metadata
      const exists = (name: string, partition: number): boolean =>
        image.topic(name)?.partitions[partition] !== undefined
      const known = request.topics
        .map(({ name, partitions }) => ({
          name,
          partitions: partitions.filter(({ partitionIndex }) => exists(name, partitionIndex)),
        }))
        .filter(({ partitions }) => partitions.length > 0)
      const { error, answer } = await context.groups.ask(request.groupId, token => ({
        kind: 'offset-delete',
        token,
        request: { ...request, topics: known },
      }))
      const errorCode = answer?.errorCode ?? error
      if (answer === null || errorCode !== ErrorCode.NONE) return { errorCode, topics: [] }
      const decided = answer.topics.flatMap(({ partitions }) => partitions)
      let next = 0
      const topics = request.topics.map(({ name, partitions }) => ({
        name,
        partitions: partitions.map(({ partitionIndex }) =>
          exists(name, partitionIndex)
            ? decided[next++]!
            : { partitionIndex, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION },
        ),
      }))
      return { errorCode, topics }
    },
  }
}
