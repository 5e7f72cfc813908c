/**
 * OffsetCommit: stores how far a group has read, in the group's coordinator. A commit from outside of a group carries
 * generation -1 and an empty member id.
 *
 * Versions: 2 is the oldest that is served; 5 drops the retention time, which is the broker's alone since (KIP-211),
 * 6 adds the leader epoch of the committed offset (KIP-320), 7 static members (KIP-345), 8 is flexible, 9 carries the
 * member epoch of a consumer group (KIP-848) in the place of the generation, 10 names topics by id.
 */
import { array, type Infer, int16, int32, int64, message, string, uuid } from '../schema.ts'

const versions = { min: 2, max: 10, flexible: 8 }

export const OffsetCommitRequest = message('OffsetCommitRequest', versions, {
  groupId: string(),
  generationIdOrMemberEpoch: int32({ default: -1 }),
  memberId: string(),
  groupInstanceId: string({ since: 7, nullable: true, default: null }),
  retentionTimeMs: int64({ until: 4, default: -1, ignorable: true }),
  topics: array({
    name: string({ until: 9, ignorable: true }),
    topicId: uuid({ since: 10, ignorable: true }),
    partitions: array({
      partitionIndex: int32(),
      committedOffset: int64(),
      committedLeaderEpoch: int32({ since: 6, default: -1, ignorable: true }),
      committedMetadata: string({ nullable: true }),
    }),
  }),
})
export type OffsetCommitRequest = Infer<typeof OffsetCommitRequest>

export const OffsetCommitResponse = message('OffsetCommitResponse', versions, {
  throttleTimeMs: int32({ since: 3, ignorable: true }),
  topics: array({
    name: string({ until: 9, ignorable: true }),
    topicId: uuid({ since: 10, ignorable: true }),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
    }),
  }),
})
export type OffsetCommitResponse = Infer<typeof OffsetCommitResponse>
