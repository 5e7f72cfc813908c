/**
 * OffsetForLeaderEpoch: where an epoch ended, so that a client can find out whether the log that it read from has since
 * been cut (KIP-320).
 */
import { API } from '../../client/protocol/apis.ts'
import {
  type OffsetForLeaderEpochRequest,
  type OffsetForLeaderEpochResponse,
} from '../../client/protocol/messages/offset-for-leader-epoch.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext, partitionOf } from './context.ts'

type Response = Input<typeof OffsetForLeaderEpochResponse>

export function offsetForLeaderEpochHandler(
  context: BrokerContext,
): ApiHandler<OffsetForLeaderEpochRequest, Response> {
  return {
    api: API.OffsetForLeaderEpoch,
    handle: request => ({
      topics: request.topics.map(({ topic, partitions }) => ({
        topic,
        partitions: partitions.map(({ partition, currentLeaderEpoch, leaderEpoch }) => {
          const host = partitionOf(context, context.metadata.image.topic(topic), partition)
          if (typeof host === 'number') return { partition, errorCode: host }
          const { error, ...found } = host.offsetForLeaderEpoch(currentLeaderEpoch, leaderEpoch)
          return { partition, errorCode: error, ...found }
        }),
      })),
    }),
  }
}
