/**
 * DeleteGroups: groups without members, and all their offsets.
 */
import { API } from '../../client/protocol/apis.ts'
import { errorMessage } from '../../client/protocol/errors.ts'
import {
  type DeleteGroupsRequest,
  type DeleteGroupsResponse,
} from '../../client/protocol/messages/delete-groups.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'

type Response = Input<typeof DeleteGroupsResponse>

export function deleteGroupsHandler(context: BrokerContext): ApiHandler<DeleteGroupsRequest, Response> {
  return {
    api: API.DeleteGroups,
    async handle({ groupsNames }) {
      // Named twice, a group would be deleted and then be missing.
      const asked = await context.groups.askEach([...new Set(groupsNames)], (token, groupIds) => ({
        kind: 'delete-groups',
        token,
        groupIds,
      }))
      const results = asked.flatMap(
        ({ groupIds, answered: { error, answer } }) =>
          answer ??
          groupIds.map(groupId => ({ groupId, errorCode: error, errorMessage: errorMessage(error) })),
      )
      return { results }
    },
  }
}
