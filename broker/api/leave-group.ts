/**
 * LeaveGroup: one member up to version 2, several since.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type LeaveGroupRequest,
  type LeaveGroupResponse,
} from '../../client/protocol/messages/leave-group.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { senderOf } from './group-requests.ts'

type Response = Input<typeof LeaveGroupResponse>

const BATCHED_SINCE = 3

export function leaveGroupHandler(context: BrokerContext): ApiHandler<LeaveGroupRequest, Response> {
  return {
    api: API.LeaveGroup,
    async handle(request, requestContext) {
      const sender = senderOf(requestContext)
      const isBatched = sender.version >= BATCHED_SINCE
      const members = isBatched
        ? request.members
        : [{ memberId: request.memberId, groupInstanceId: null, reason: null }]
      const { error, answer } = await context.groups.ask(request.groupId, token => ({
        kind: 'leave-group',
        token,
        ...sender,
        request: { ...request, members },
      }))
      if (answer === null) return { errorCode: error }
      if (isBatched) return answer
      // The one member's error is that of the whole.
      const errorCode =
        answer.errorCode === ErrorCode.NONE ? (answer.members?.[0]?.errorCode ?? 0) : answer.errorCode
      return { errorCode }
    },
  }
}
