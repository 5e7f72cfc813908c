/**
 * DescribeGroups: state and members of classic groups.
 *
 * Versions: 3 adds authorized operations (KIP-430), 4 static members (KIP-345), 5 is flexible, 6 has an error
 * message, and answers GROUP_ID_NOT_FOUND where older ones describe a missing group as dead (KIP-1043).
 */
import { array, bool, bytes, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 6, flexible: 5 }

export const DescribeGroupsRequest = message('DescribeGroupsRequest', versions, {
  groups: array(string()),
  includeAuthorizedOperations: bool({ since: 3 }),
})
export type DescribeGroupsRequest = Infer<typeof DescribeGroupsRequest>

export const DescribeGroupsResponse = message('DescribeGroupsResponse', versions, {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  groups: array({
    errorCode: int16(),
    errorMessage: string({ since: 6, nullable: true, default: null }),
    groupId: string(),
    groupState: string(),
    protocolType: string(),
    protocolData: string(),
    members: array({
      memberId: string(),
      groupInstanceId: string({ since: 4, nullable: true, default: null, ignorable: true }),
      clientId: string(),
      clientHost: string(),
      memberMetadata: bytes(),
      memberAssignment: bytes(),
    }),
    authorizedOperations: int32({ since: 3, default: -2_147_483_648 }),
  }),
})
export type DescribeGroupsResponse = Infer<typeof DescribeGroupsResponse>
