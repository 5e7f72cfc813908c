/**
 * ListTransactions: the transactions that a broker coordinates (KIP-664).
 *
 * Versions: 1 filters by duration (KIP-994), 2 by a pattern of the transactional id (KIP-1152).
 */
import { array, type Infer, int16, int32, int64, message, producerId, string } from '../schema.ts'

const versions = { min: 0, max: 2, flexible: 0 }

export const ListTransactionsRequest = message('ListTransactionsRequest', versions, {
  stateFilters: array(string()),
  producerIdFilters: array(producerId()),
  durationFilter: int64({ since: 1, default: -1 }),
  transactionalIdPattern: string({ since: 2, nullable: true, default: null }),
})
export type ListTransactionsRequest = Infer<typeof ListTransactionsRequest>

export const ListTransactionsResponse = message('ListTransactionsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  unknownStateFilters: array(string()),
  transactionStates: array({
    transactionalId: string(),
    producerId: producerId(),
    transactionState: string(),
  }),
})
export type ListTransactionsResponse = Infer<typeof ListTransactionsResponse>
