/**
 * JoinGroup: the answer comes when the group has gathered its members. Where the client goes before, its join is taken
 * back.
 */
import { API } from '../../client/protocol/apis.ts'
import { type JoinGroupRequest, type JoinGroupResponse } from '../../client/protocol/messages/join-group.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { senderOf } from './group-requests.ts'

type Response = Input<typeof JoinGroupResponse>

/** Before, a protocol that is not chosen yet was the empty one. */
const NULL_PROTOCOL_SINCE = 7

export function joinGroupHandler(context: BrokerContext): ApiHandler<JoinGroupRequest, Response> {
  return {
    api: API.JoinGroup,
    async handle(request, requestContext) {
      const { groups } = context
      const sender = senderOf(requestContext)
      const newMemberId = groups.freshMemberId(request.groupInstanceId ?? sender.clientId)
      const { error, answer } = await groups.ask(
        request.groupId,
        token => ({ kind: 'join-group', token, ...sender, request, newMemberId }),
        requestContext,
      )
      const response: Response = answer ?? {
        errorCode: error,
        protocolName: null,
        leader: '',
        memberId: request.memberId,
        members: [],
      }
      if (sender.version >= NULL_PROTOCOL_SINCE) return response
      return { ...response, protocolName: response.protocolName ?? '' }
    },
  }
}
