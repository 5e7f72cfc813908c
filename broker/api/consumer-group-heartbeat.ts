/**
 * ConsumerGroupHeartbeat (KIP-848).
 */
import { API } from '../../client/protocol/apis.ts'
import { errorMessage } from '../../client/protocol/errors.ts'
import {
  type ConsumerGroupHeartbeatRequest,
  type ConsumerGroupHeartbeatResponse,
} from '../../client/protocol/messages/consumer-group-heartbeat.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { senderOf } from './group-requests.ts'

type Response = Input<typeof ConsumerGroupHeartbeatResponse>

export function consumerGroupHeartbeatHandler(
  context: BrokerContext,
): ApiHandler<ConsumerGroupHeartbeatRequest, Response> {
  return {
    api: API.ConsumerGroupHeartbeat,
    async handle(request, requestContext) {
      const { groups } = context
      const sender = senderOf(requestContext)
      const newMemberId = request.memberId === '' ? groups.freshShortMemberId() : request.memberId
      const { error, answer } = await groups.ask(request.groupId, token => ({
        kind: 'consumer-group-heartbeat',
        token,
        ...sender,
        request,
        newMemberId,
      }))
      return (
        answer ?? {
          errorCode: error,
          errorMessage: errorMessage(error),
          memberEpoch: 0,
          heartbeatIntervalMs: 0,
        }
      )
    },
  }
}
