/**
 * DescribeAcls: lists the access rules that match a filter.
 *
 * Versions: 1 adds the pattern type of a resource (KIP-290), 2 is flexible, 3 knows the resource type USER (KIP-373).
 */
import { array, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 1, max: 3, flexible: 2 }

export const DescribeAclsRequest = message('DescribeAclsRequest', versions, {
  resourceTypeFilter: int8(),
  resourceNameFilter: string({ nullable: true }),
  patternTypeFilter: int8({ default: 3 }),
  principalFilter: string({ nullable: true }),
  hostFilter: string({ nullable: true }),
  operation: int8(),
  permissionType: int8(),
})
export type DescribeAclsRequest = Infer<typeof DescribeAclsRequest>

export const DescribeAclsResponse = message('DescribeAclsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
  resources: array({
    resourceType: int8(),
    resourceName: string(),
    patternType: int8({ default: 3 }),
    acls: array({
      principal: string(),
      host: string(),
      operation: int8(),
      permissionType: int8(),
    }),
  }),
})
export type DescribeAclsResponse = Infer<typeof DescribeAclsResponse>
