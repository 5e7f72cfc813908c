/**
 * AddOffsetsToTxn: tells the transaction coordinator that a transaction will commit offsets of a group.
 *
 * Versions: 3 is flexible, 4 may answer TRANSACTION_ABORTABLE (KIP-890).
 */
import { type Infer, int16, int32, message, producerId, string } from '../schema.ts'

const versions = { min: 0, max: 4, flexible: 3 }

export const AddOffsetsToTxnRequest = message('AddOffsetsToTxnRequest', versions, {
  transactionalId: string(),
  producerId: producerId(),
  producerEpoch: int16(),
  groupId: string(),
})
export type AddOffsetsToTxnRequest = Infer<typeof AddOffsetsToTxnRequest>

export const AddOffsetsToTxnResponse = message('AddOffsetsToTxnResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
})
export type AddOffsetsToTxnResponse = Infer<typeof AddOffsetsToTxnResponse>
