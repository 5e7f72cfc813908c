/**
 * Produce: appends record batches to partitions, one batch for each partition of a request. With acks 0 there
 * is no response at all.
 *
 * Versions: 3 brought transactions and record batch v2, and is the oldest that is served; 0 to 2 are described
 * because librdkafka reads off version 0 whether a broker knows compression. 7 allows zstd (KIP-110), 8 names
 * the records that were refused (KIP-467), 9 is flexible, 10 lets an error name the new leader (KIP-951), 12
 * adds a transaction's partitions to it on the way (KIP-890), 13 names topics by id (KIP-516).
 */
import { array, type Infer, int16, int32, int64, message, records, string, struct, uuid } from '../schema.ts'

const versions = { min: 0, max: 13, flexible: 9 }

export const ProduceRequest = message('ProduceRequest', versions, {
  transactionalId: string({ since: 3, nullable: true, default: null }),
  acks: int16(),
  timeoutMs: int32(),
  topicData: array({
    name: string({ until: 12, ignorable: true }),
    topicId: uuid({ since: 13, ignorable: true }),
    partitionData: array({
      index: int32(),
      records: records(),
    }),
  }),
})
export type ProduceRequest = Infer<typeof ProduceRequest>

export const ProduceResponse = message('ProduceResponse', versions, {
  responses: array({
    name: string({ until: 12, ignorable: true }),
    topicId: uuid({ since: 13, ignorable: true }),
    partitionResponses: array({
      index: int32(),
      errorCode: int16(),
      baseOffset: int64(),
      logAppendTimeMs: int64({ since: 2, default: -1, ignorable: true }),
      logStartOffset: int64({ since: 5, default: -1, ignorable: true }),
      recordErrors: array(
        {
          batchIndex: int32(),
          batchIndexErrorMessage: string({ nullable: true, default: null }),
        },
        { since: 8, ignorable: true },
      ),
      errorMessage: string({ since: 8, nullable: true, default: null, ignorable: true }),
      currentLeader: struct(
        {
          leaderId: int32({ default: -1 }),
          leaderEpoch: int32({ default: -1 }),
        },
        { since: 10, tag: 0 },
      ),
    }),
  }),
  throttleTimeMs: int32({ since: 1, ignorable: true }),
  nodeEndpoints: array(
    {
      nodeId: int32(),
      host: string(),
      port: int32(),
      rack: string({ nullable: true, default: null }),
    },
    { since: 10, tag: 0 },
  ),
})
export type ProduceResponse = Infer<typeof ProduceResponse>
