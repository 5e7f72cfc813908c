/**
 * JoinGroup: enters a classic group, and waits until the group's rebalance has gathered its members. The
 * answer to the leader lists all members with their metadata, so that it can assign.
 *
 * Versions: 1 adds the rebalance timeout (before, the session timeout stood for both), 4 makes a new dynamic
 * member come back with the id that it is given (MEMBER_ID_REQUIRED, KIP-394), 5 adds static members (KIP-345),
 * 6 is flexible, 7 names the protocol type and lets the protocol name be null (KIP-559), 8 carries a reason
 * (KIP-800), 9 may tell the leader to skip the assignment (KIP-814).
 */
import { array, bool, bytes, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 9, flexible: 6 }

export const JoinGroupRequest = message('JoinGroupRequest', versions, {
  groupId: string(),
  sessionTimeoutMs: int32(),
  rebalanceTimeoutMs: int32({ since: 1, default: -1, ignorable: true }),
  memberId: string(),
  groupInstanceId: string({ since: 5, nullable: true, default: null }),
  protocolType: string(),
  protocols: array({
    name: string(),
    metadata: bytes(),
  }),
  reason: string({ since: 8, nullable: true, default: null, ignorable: true }),
})
export type JoinGroupRequest = Infer<typeof JoinGroupRequest>

export const JoinGroupResponse = message('JoinGroupResponse', versions, {
  throttleTimeMs: int32({ since: 2, ignorable: true }),
  errorCode: int16(),
  generationId: int32({ default: -1 }),
  protocolType: string({ since: 7, nullable: true, default: null, ignorable: true }),
  protocolName: string({ nullable: 7 }),
  leader: string(),
  skipAssignment: bool({ since: 9 }),
  memberId: string(),
  members: array({
    memberId: string(),
    groupInstanceId: string({ since: 5, nullable: true, default: null, ignorable: true }),
    metadata: bytes(),
  }),
})
export type JoinGroupResponse = Infer<typeof JoinGroupResponse>
