/**
 * ConsumerGroupDescribe: state, members and assignments of consumer groups (KIP-848).
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode, errorMessage } from '../../client/protocol/errors.ts'
import {
  type ConsumerGroupDescribeRequest,
  type ConsumerGroupDescribeResponse,
} from '../../client/protocol/messages/consumer-group-describe.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { ALL_GROUP_OPERATIONS, type BrokerContext, OPERATIONS_NOT_ASKED } from './context.ts'

type Response = Input<typeof ConsumerGroupDescribeResponse>
type ResponseGroup = Response['groups'][number]

export function consumerGroupDescribeHandler(
  context: BrokerContext,
): ApiHandler<ConsumerGroupDescribeRequest, Response> {
  return {
    api: API.ConsumerGroupDescribe,
    async handle(request) {
      // Each once: a group has as many members as it likes, and a request has room for its name by the ten thousand.
      const each = [...new Set(request.groupIds)]
      const groupIds = each.filter(groupId => groupId !== '')
      const asked = await context.groups.askEach(groupIds, (token, groupIds) => ({
        kind: 'consumer-group-describe',
        token,
        groupIds,
      }))
      const described = new Map<string, ResponseGroup>()
      for (const { groupIds, answered } of asked) {
        const groups = answered.answer ?? groupIds.map(groupId => unknown(groupId, answered.error))
        for (const group of groups) described.set(group.groupId, group)
      }
      const operations = request.includeAuthorizedOperations ? ALL_GROUP_OPERATIONS : OPERATIONS_NOT_ASKED
      const groups = each.map(groupId => {
        const group = described.get(groupId) ?? unknown(groupId, ErrorCode.INVALID_GROUP_ID)
        return group.errorCode === ErrorCode.NONE ? { ...group, authorizedOperations: operations } : group
      })
      return { groups }
    },
  }
}

function unknown(groupId: string, errorCode: ErrorCode): ResponseGroup {
  return {
    errorCode,
    errorMessage: errorMessage(errorCode),
    groupId,
    groupState: '',
    groupEpoch: 0,
    assignmentEpoch: 0,
    assignorName: '',
    members: [],
  }
}
