/**
 * EndTxn: commits or aborts a transaction.
 *
 * Versions: 3 is flexible, 4 may answer TRANSACTION_ABORTABLE, 5 answers with the raised epoch that the next
 * transaction has to use (KIP-890).
 */
import { bool, type Infer, int16, int32, message, producerId, string } from '../schema.ts'

const versions = { min: 0, max: 5, flexible: 3 }

export const EndTxnRequest = message('EndTxnRequest', versions, {
  transactionalId: string(),
  producerId: producerId(),
  producerEpoch: int16(),
  committed: bool(),
})
export type EndTxnRequest = Infer<typeof EndTxnRequest>

export const EndTxnResponse = message('EndTxnResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  producerId: producerId({ since: 5, default: -1n, ignorable: true }),
  producerEpoch: int16({ since: 5, default: -1, ignorable: true }),
})
export type EndTxnResponse = Infer<typeof EndTxnResponse>
