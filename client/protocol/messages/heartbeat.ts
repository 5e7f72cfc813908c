/**
 * Heartbeat: keeps a member of a classic group alive, and tells it when the group rebalances.
 *
 * Versions: 3 adds static members (KIP-345), 4 is flexible.
 */
import { type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 4, flexible: 4 }

export const HeartbeatRequest = message('HeartbeatRequest', versions, {
  groupId: string(),
  generationId: int32(),
  memberId: string(),
  groupInstanceId: string({ since: 3, nullable: true, default: null }),
})
export type HeartbeatRequest = Infer<typeof HeartbeatRequest>

export const HeartbeatResponse = message('HeartbeatResponse', versions, {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16(),
})
export type HeartbeatResponse = Infer<typeof HeartbeatResponse>
