/**
 * LeaveGroup: takes members out of a classic group without waiting for their sessions to end.
 *
 * Versions: 3 takes several members, static ones too (KIP-345), 4 is flexible, 5 carries a reason (KIP-800).
 */
import { array, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 5, flexible: 4 }

export const LeaveGroupRequest = message('LeaveGroupRequest', versions, {
  groupId: string(),
  memberId: string({ until: 2 }),
  members: array(
    {
      memberId: string(),
      groupInstanceId: string({ nullable: true, default: null }),
      reason: string({ since: 5, nullable: true, default: null, ignorable: true }),
    },
    { since: 3 },
  ),
})
export type LeaveGroupRequest = Infer<typeof LeaveGroupRequest>

export const LeaveGroupResponse = message('LeaveGroupResponse', versions, {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16(),
  members: array(
    {
      memberId: string(),
      groupInstanceId: string({ nullable: true }),
      errorCode: int16(),
    },
    { since: 3 },
  ),
})
export type LeaveGroupResponse = Infer<typeof LeaveGroupResponse>
