/**
 * DeleteAcls: removes the access rules that match filters, and answers with what it removed.
 *
 * Versions: 1 adds the pattern type of a resource (KIP-290), 2 is flexible, 3 knows the resource type USER (KIP-373).
 */
import { array, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 1, max: 3, flexible: 2 }

export const DeleteAclsRequest = message('DeleteAclsRequest', versions, {
  filters: array({
    resourceTypeFilter: int8(),
    resourceNameFilter: string({ nullable: true }),
    patternTypeFilter: int8({ default: 3 }),
    principalFilter: string({ nullable: true }),
    hostFilter: string({ nullable: true }),
    operation: int8(),
    permissionType: int8(),
  }),
})
export type DeleteAclsRequest = Infer<typeof DeleteAclsRequest>

export const DeleteAclsResponse = message('DeleteAclsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  filterResults: array({
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    matchingAcls: array({
      errorCode: int16(),
      errorMessage: string({ nullable: true }),
      resourceType: int8(),
      resourceName: string(),
      patternType: int8({ default: 3 }),
      principal: string(),
      host: string(),
      operation: int8(),
      permissionType: int8(),
    }),
  }),
})
export type DeleteAclsResponse = Infer<typeof DeleteAclsResponse>
