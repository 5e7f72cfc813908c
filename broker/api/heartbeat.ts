/**
 * Heartbeat of a member of a classic group.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type HeartbeatRequest, type HeartbeatResponse } from '../../client/protocol/messages/heartbeat.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { senderOf } from './group-requests.ts'

type Response = Input<typeof HeartbeatResponse>

export function heartbeatHandler(context: BrokerContext): ApiHandler<HeartbeatRequest, Response> {
  return {
    api: API.Heartbeat,
    async handle(request, requestContext) {
      const sender = senderOf(requestContext)
      const { error, answer } = await context.groups.ask(request.groupId, token => ({
        kind: 'heartbeat',
        token,
        ...sender,
        request,
      }))
      // As in Kafka: a coordinator that loads forgets nobody, so the member may go on with its work.
      const isLoading = error === ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
      return answer ?? { errorCode: isLoading ? ErrorCode.NONE : error }
    },
  }
}
