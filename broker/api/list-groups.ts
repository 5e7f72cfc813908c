/**
 * ListGroups: all groups that this broker coordinates, or those in certain states (KIP-518) and of certain types
 * (KIP-848).
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type ListGroupsRequest,
  type ListGroupsResponse,
} from '../../client/protocol/messages/list-groups.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'

type Response = Input<typeof ListGroupsResponse>

export function listGroupsHandler(context: BrokerContext): ApiHandler<ListGroupsRequest, Response> {
  return {
    api: API.ListGroups,
    async handle({ statesFilter, typesFilter }) {
      const answers = await context.groups.askAll(token => ({
        kind: 'list-groups',
        token,
        states: statesFilter,
        types: typesFilter,
      }))
      // A list that lacks some would pass for the whole.
      const failed = answers.find(({ error }) => error !== ErrorCode.NONE)
      if (failed !== undefined) return { errorCode: failed.error, groups: [] }
      return { errorCode: ErrorCode.NONE, groups: answers.flatMap(({ answer }) => answer ?? []) }
    },
  }
}
