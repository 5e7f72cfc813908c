/**
 * ListGroups: the groups that a broker coordinates; a client asks every broker for the whole list.
 *
 * Versions: 3 is flexible, 4 filters by state and shows it (KIP-518), 5 filters by type and shows it (KIP-848).
 */
import { array, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 5, flexible: 3 }

export const ListGroupsRequest = message('ListGroupsRequest', versions, {
  statesFilter: array(string(), { since: 4 }),
  typesFilter: array(string(), { since: 5 }),
})
export type ListGroupsRequest = Infer<typeof ListGroupsRequest>

export const ListGroupsResponse = message('ListGroupsResponse', versions, {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16(),
  groups: array({
    groupId: string(),
    protocolType: string(),
    groupState: string({ since: 4, ignorable: true }),
    groupType: string({ since: 5, ignorable: true }),
  }),
})
export type ListGroupsResponse = Infer<typeof ListGroupsResponse>
