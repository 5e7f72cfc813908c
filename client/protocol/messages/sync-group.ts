/**
 * SyncGroup: the leader of a classic group hands in the assignment, every member gets its own part of it.
 *
 * Versions: 3 adds static members (KIP-345), 4 is flexible, 5 names protocol type and name, so that a mismatch
 * is noticed (KIP-559).
 */
import { array, bytes, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 5, flexible: 4 }

export const SyncGroupRequest = message('SyncGroupRequest', versions, {
  groupId: string(),
  generationId: int32(),
  memberId: string(),
  groupInstanceId: string({ since: 3, nullable: true, default: null }),
  protocolType: string({ since: 5, nullable: true, default: null, ignorable: true }),
  protocolName: string({ since: 5, nullable: true, default: null, ignorable: true }),
  assignments: array({
    memberId: string(),
    assignment: bytes(),
  }),
})
export type SyncGroupRequest = Infer<typeof SyncGroupRequest>

export const SyncGroupResponse = message('SyncGroupResponse', versions, {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16(),
  protocolType: string({ since: 5, nullable: true, default: null, ignorable: true }),
  protocolName: string({ since: 5, nullable: true, default: null, ignorable: true }),
  assignment: bytes(),
})
export type SyncGroupResponse = Infer<typeof SyncGroupResponse>
