/**
 * DescribeTransactions: state and partitions of transactions, from their coordinator (KIP-664).
 */
import { array, type Infer, int16, int32, int64, message, producerId, string } from '../schema.ts'

const versions = { min: 0, max: 0, flexible: 0 }

export const DescribeTransactionsRequest = message('DescribeTransactionsRequest', versions, {
  transactionalIds: array(string()),
})
export type DescribeTransactionsRequest = Infer<typeof DescribeTransactionsRequest>

export const DescribeTransactionsResponse = message('DescribeTransactionsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  transactionStates: array({
    errorCode: int16(),
    transactionalId: string(),
    transactionState: string(),
    transactionTimeoutMs: int32(),
    transactionStartTimeMs: int64(),
    producerId: producerId(),
    producerEpoch: int16(),
    topics: array({
      topic: string(),
      partitions: array(int32()),
    }),
  }),
})
export type DescribeTransactionsResponse = Infer<typeof DescribeTransactionsResponse>
