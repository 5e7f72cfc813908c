/**
 * CreateAcls: adds access rules.
 *
 * Versions: 1 adds the pattern type of a resource (KIP-290), 2 is flexible, 3 knows the resource type USER (KIP-373).
 */
import { array, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 1, max: 3, flexible: 2 }

export const CreateAclsRequest = message('CreateAclsRequest', versions, {
  creations: array({
    resourceType: int8(),
    resourceName: string(),
    resourcePatternType: int8({ default: 3 }),
    principal: string(),
    host: string(),
    operation: int8(),
    permissionType: int8(),
  }),
})
export type CreateAclsRequest = Infer<typeof CreateAclsRequest>

export const CreateAclsResponse = message('CreateAclsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  results: array({
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
  }),
})
export type CreateAclsResponse = Infer<typeof CreateAclsResponse>
