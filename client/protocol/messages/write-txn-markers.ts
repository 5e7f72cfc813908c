/**
 * WriteTxnMarkers: a transaction coordinator has the leaders of partitions write the control record that ends a
 * transaction. Between brokers only.
 *
 * Versions: 1 is flexible and the oldest that is served, 2 says which version of transactions it is about.
 */
import { array, bool, type Infer, int8, int16, int32, message, producerId, string } from '../schema.ts'

const versions = { min: 1, max: 2, flexible: 1 }

export const WriteTxnMarkersRequest = message('WriteTxnMarkersRequest', versions, {
  markers: array({
    producerId: producerId(),
    producerEpoch: int16(),
    transactionResult: bool(),
    topics: array({
      name: string(),
      partitionIndexes: array(int32()),
    }),
    coordinatorEpoch: int32(),
    transactionVersion: int8({ since: 2, ignorable: true }),
  }),
})
export type WriteTxnMarkersRequest = Infer<typeof WriteTxnMarkersRequest>

export const WriteTxnMarkersResponse = message('WriteTxnMarkersResponse', versions, {
  markers: array({
    producerId: producerId(),
    topics: array({
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        errorCode: int16(),
      }),
    }),
  }),
})
export type WriteTxnMarkersResponse = Infer<typeof WriteTxnMarkersResponse>
