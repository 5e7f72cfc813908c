/**
 * DeleteGroups: removes empty groups with their offsets.
 *
 * Versions: 2 is flexible, 3 has error messages.
 */
import { array, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 3, flexible: 2 }

export const DeleteGroupsRequest = message('DeleteGroupsRequest', versions, {
  groupsNames: array(string()),
})
export type DeleteGroupsRequest = Infer<typeof DeleteGroupsRequest>

export const DeleteGroupsResponse = message('DeleteGroupsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  results: array({
    groupId: string(),
    errorCode: int16(),
    errorMessage: string({ since: 3, nullable: true, default: null, ignorable: true }),
  }),
})
export type DeleteGroupsResponse = Infer<typeof DeleteGroupsResponse>
