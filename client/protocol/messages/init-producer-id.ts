/**
 * InitProducerId: gives a producer its id and epoch. For a transactional id it also ends what the former
 * holder of that id had left open, and fences it.
 *
 * Versions: 2 is flexible, 3 lets a producer raise its own epoch (KIP-360), 4 may answer PRODUCER_FENCED
 * (KIP-588), 5 TRANSACTION_ABORTABLE (KIP-890). Version 6 (two-phase commit, KIP-939) is not stable in Kafka
 * 4.4, and not described.
 */
import { type Infer, int16, int32, message, producerId, string } from '../schema.ts'

const versions = { min: 0, max: 5, flexible: 2 }

export const InitProducerIdRequest = message('InitProducerIdRequest', versions, {
  transactionalId: string({ nullable: true }),
  transactionTimeoutMs: int32(),
  producerId: producerId({ since: 3, default: -1n }),
  producerEpoch: int16({ since: 3, default: -1 }),
})
export type InitProducerIdRequest = Infer<typeof InitProducerIdRequest>

export const InitProducerIdResponse = message('InitProducerIdResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  producerId: producerId({ default: -1n }),
  producerEpoch: int16(),
})
export type InitProducerIdResponse = Infer<typeof InitProducerIdResponse>
