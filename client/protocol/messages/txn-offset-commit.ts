/**
 * TxnOffsetCommit: commits offsets of a group as part of a transaction; they count once the transaction is
 * committed.
 *
 * Versions: 2 adds the leader epoch (KIP-320), 3 is flexible and names member and generation (KIP-447), 4 may
 * answer TRANSACTION_ABORTABLE, 5 joins the group's partition to the transaction on the way (both KIP-890), 6
 * names topics by id.
 */
import { array, type Infer, int16, int32, int64, message, producerId, string, uuid } from '../schema.ts'

const versions = { min: 0, max: 6, flexible: 3 }

export const TxnOffsetCommitRequest = message('TxnOffsetCommitRequest', versions, {
  transactionalId: string(),
  groupId: string(),
  producerId: producerId(),
  producerEpoch: int16(),
  generationIdOrMemberEpoch: int32({ since: 3, default: -1 }),
  memberId: string({ since: 3 }),
  groupInstanceId: string({ since: 3, nullable: true, default: null }),
  topics: array({
    name: string({ until: 5, ignorable: true }),
    topicId: uuid({ since: 6, ignorable: true }),
    partitions: array({
      partitionIndex: int32(),
      committedOffset: int64(),
      committedLeaderEpoch: int32({ since: 2, default: -1, ignorable: true }),
      committedMetadata: string({ nullable: true }),
    }),
  }),
})
export type TxnOffsetCommitRequest = Infer<typeof TxnOffsetCommitRequest>

export const TxnOffsetCommitResponse = message('TxnOffsetCommitResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  topics: array({
    name: string({ until: 5, ignorable: true }),
    topicId: uuid({ since: 6, ignorable: true }),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
    }),
  }),
})
export type TxnOffsetCommitResponse = Infer<typeof TxnOffsetCommitResponse>
