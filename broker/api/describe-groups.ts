/**
 * DescribeGroups: state and members of classic groups.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type DescribeGroupsRequest,
  type DescribeGroupsResponse,
} from '../../client/protocol/messages/describe-groups.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { ALL_GROUP_OPERATIONS, type BrokerContext, OPERATIONS_NOT_ASKED } from './context.ts'

type Response = Input<typeof DescribeGroupsResponse>
type ResponseGroup = Response['groups'][number]

export function describeGroupsHandler(context: BrokerContext): ApiHandler<DescribeGroupsRequest, Response> {
  return {
    api: API.DescribeGroups,
    async handle(request, { apiVersion: version }) {
      // Each once: a group has as many members as it likes, and a request has room for its name by the ten thousand.
      const each = [...new Set(request.groups)]
      const asked = await context.groups.askEach(each, (token, groupIds) => ({
        kind: 'describe-groups',
        token,
        version,
        groupIds,
      }))
      const described = new Map<string, ResponseGroup>()
      for (const { groupIds, answered } of asked) {
        const groups = answered.answer ?? groupIds.map(groupId => unknown(groupId, answered.error))
        for (const group of groups) described.set(group.groupId, group)
      }
      const operations = request.includeAuthorizedOperations ? ALL_GROUP_OPERATIONS : OPERATIONS_NOT_ASKED
      const groups = each.map(groupId => {
        const group = described.get(groupId)!
        return group.errorCode === ErrorCode.NONE ? { ...group, authorizedOperations: operations } : group
      })
      return { groups }
    },
  }
}

function unknown(groupId: string, errorCode: ErrorCode): ResponseGroup {
  return { errorCode, groupId, groupState: '', protocolType: '', protocolData: '', members: [] }
}
