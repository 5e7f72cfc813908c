/**
 * FindCoordinator: tells which broker coordinates a group (key type 0), a transactional id (1) or a share group's
 * partition (2).
 *
 * Versions: 1 adds the key type, 3 is flexible, 4 asks for several keys at once (KIP-699), 5 may answer with
 * TRANSACTION_ABORTABLE (KIP-890), 6 knows share groups (KIP-932).
 */
import { array, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 6, flexible: 3 }

export const FindCoordinatorRequest = message('FindCoordinatorRequest', versions, {
  key: string({ until: 3 }),
  keyType: int8({ since: 1 }),
  coordinatorKeys: array(string(), { since: 4 }),
})
export type FindCoordinatorRequest = Infer<typeof FindCoordinatorRequest>

export const FindCoordinatorResponse = message('FindCoordinatorResponse', versions, {
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  errorCode: int16({ until: 3 }),
  errorMessage: string({ since: 1, until: 3, nullable: true, ignorable: true }),
  nodeId: int32({ until: 3 }),
  host: string({ until: 3 }),
  port: int32({ until: 3 }),
  coordinators: array(
    {
      key: string(),
      nodeId: int32(),
      host: string(),
      port: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: true }),
    },
    { since: 4 },
  ),
})
export type FindCoordinatorResponse = Infer<typeof FindCoordinatorResponse>
