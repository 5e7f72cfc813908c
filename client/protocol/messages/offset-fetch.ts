/**
 * OffsetFetch: reads the offsets that groups have committed. A partition without a commit is answered with
 * offset -1 and no error.
 *
 * Versions: 2 allows null for all topics of the group, 5 adds leader epochs (KIP-320), 6 is flexible, 7 may
 * insist on offsets that no open transaction can still change (KIP-447), 8 asks for several groups at once
 * (KIP-709), 9 carries member id and epoch (KIP-848), 10 names topics by id.
 */
import { array, bool, type Infer, int16, int32, int64, message, string, uuid } from '../schema.ts'

const versions = { min: 1, max: 10, flexible: 6 }

export const OffsetFetchRequest = message('OffsetFetchRequest', versions, {
  groupId: string({ until: 7 }),
  topics: array(
    {
      name: string(),
      partitionIndexes: array(int32()),
    },
    { until: 7, nullable: 2 },
  ),
  groups: array(
    {
      groupId: string(),
      memberId: string({ since: 9, nullable: true, default: null, ignorable: true }),
      memberEpoch: int32({ since: 9, default: -1, ignorable: true }),
      topics: array(
        {
          name: string({ until: 9, ignorable: true }),
          topicId: uuid({ since: 10, ignorable: true }),
          partitionIndexes: array(int32()),
        },
        { nullable: true },
      ),
    },
    { since: 8 },
  ),
  requireStable: bool({ since: 7 }),
})
export type OffsetFetchRequest = Infer<typeof OffsetFetchRequest>

export const OffsetFetchResponse = message('OffsetFetchResponse', versions, {
  throttleTimeMs: int32({ since: 3, ignorable: true }),
  topics: array(
    {
      name: string(),
      partitions: array({
        partitionIndex: int32(),
        committedOffset: int64(),
        committedLeaderEpoch: int32({ since: 5, default: -1, ignorable: true }),
        metadata: string({ nullable: true }),
        errorCode: int16(),
      }),
    },
    { until: 7 },
  ),
  errorCode: int16({ since: 2, until: 7, ignorable: true }),
  groups: array(
    {
      groupId: string(),
      topics: array({
        name: string({ until: 9, ignorable: true }),
        topicId: uuid({ since: 10, ignorable: true }),
        partitions: array({
          partitionIndex: int32(),
          committedOffset: int64(),
          committedLeaderEpoch: int32({ default: -1 }),
          metadata: string({ nullable: true }),
          errorCode: int16(),
        }),
      }),
      errorCode: int16({ default: 0 }),
    },
    { since: 8 },
  ),
})
export type OffsetFetchResponse = Infer<typeof OffsetFetchResponse>
