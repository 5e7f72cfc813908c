/**
 * DescribeProducers: the producers that a partition remembers: id, epoch, last sequence, and the start of an open
 * transaction (KIP-664).
 */
import { array, type Infer, int16, int32, int64, message, producerId, string } from '../schema.ts'

const versions = { min: 0, max: 0, flexible: 0 }

export const DescribeProducersRequest = message('DescribeProducersRequest', versions, {
  topics: array({
    name: string(),
    partitionIndexes: array(int32()),
  }),
})
export type DescribeProducersRequest = Infer<typeof DescribeProducersRequest>

export const DescribeProducersResponse = message('DescribeProducersResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: true, default: null }),
      activeProducers: array({
        producerId: producerId(),
        producerEpoch: int32(),
        lastSequence: int32({ default: -1 }),
        lastTimestamp: int64({ default: -1 }),
        coordinatorEpoch: int32(),
        currentTxnStartOffset: int64({ default: -1 }),
      }),
    }),
  }),
})
export type DescribeProducersResponse = Infer<typeof DescribeProducersResponse>
