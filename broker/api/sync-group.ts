/**
 * SyncGroup: the answer comes when the leader has assigned.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type SyncGroupRequest, type SyncGroupResponse } from '../../client/protocol/messages/sync-group.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { senderOf } from './group-requests.ts'

type Response = Input<typeof SyncGroupResponse>

/** Since then a member must say by which protocol it believes to work (KIP-559). */
const NAMED_SINCE = 5
const NOTHING = new Uint8Array(0)

export function syncGroupHandler(context: BrokerContext): ApiHandler<SyncGroupRequest, Response> {
  return {
    api: API.SyncGroup,
    async handle(request, requestContext) {
      const sender = senderOf(requestContext)
      const isUnnamed = request.protocolType === null || request.protocolName === null
      if (sender.version >= NAMED_SINCE && isUnnamed) {
        return { errorCode: ErrorCode.INCONSISTENT_GROUP_PROTOCOL, assignment: NOTHING }
      }
      const { error, answer } = await context.groups.ask(
        request.groupId,
        token => ({ kind: 'sync-group', token, ...sender, request }),
        requestContext,
      )
      return answer ?? { errorCode: error, assignment: NOTHING }
    },
  }
}
