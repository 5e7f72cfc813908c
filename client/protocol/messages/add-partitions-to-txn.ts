/**
 * AddPartitionsToTxn: tells the transaction coordinator which partitions a transaction is about to write to.
 *
 * Versions: 3 is flexible, 4 takes several transactions at once and can merely verify, for brokers (KIP-890);
 * its fields of old stay behind with the name V3AndBelow. 5 may answer TRANSACTION_ABORTABLE.
 */
import { array, bool, type Infer, int16, int32, message, producerId, string } from '../schema.ts'

const versions = { min: 0, max: 5, flexible: 3 }

const addPartitionsToTxnTopic = {
  name: string(),
  partitions: array(int32()),
}

export const AddPartitionsToTxnRequest = message('AddPartitionsToTxnRequest', versions, {
  transactions: array(
    {
      transactionalId: string(),
      producerId: producerId(),
      producerEpoch: int16(),
      verifyOnly: bool({ default: false }),
      topics: array(addPartitionsToTxnTopic),
    },
    { since: 4 },
  ),
  v3AndBelowTransactionalId: string({ until: 3 }),
  v3AndBelowProducerId: producerId({ until: 3 }),
  v3AndBelowProducerEpoch: int16({ until: 3 }),
  v3AndBelowTopics: array(addPartitionsToTxnTopic, { until: 3 }),
})
export type AddPartitionsToTxnRequest = Infer<typeof AddPartitionsToTxnRequest>

const addPartitionsToTxnPartitionResult = {
  partitionIndex: int32(),
  partitionErrorCode: int16(),
}

const addPartitionsToTxnTopicResult = {
  name: string(),
  resultsByPartition: array(addPartitionsToTxnPartitionResult),
}

export const AddPartitionsToTxnResponse = message('AddPartitionsToTxnResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16({ since: 4, ignorable: true }),
  resultsByTransaction: array(
    {
      transactionalId: string(),
      topicResults: array(addPartitionsToTxnTopicResult),
    },
    { since: 4 },
  ),
  resultsByTopicV3AndBelow: array(addPartitionsToTxnTopicResult, { until: 3 }),
})
export type AddPartitionsToTxnResponse = Infer<typeof AddPartitionsToTxnResponse>
