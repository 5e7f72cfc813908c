/**
 * OffsetForLeaderEpoch: where the log of a leader ended in a given epoch, so that who has read on from another
 * log can tell where the two diverge (KIP-101, KIP-320).
 *
 * Versions: 2 is the oldest that is served, 3 lets a follower say who it is, 4 is flexible.
 */
import { array, type Infer, int16, int32, int64, message, string } from '../schema.ts'

const versions = { min: 2, max: 4, flexible: 4 }

export const OffsetForLeaderEpochRequest = message('OffsetForLeaderEpochRequest', versions, {
  replicaId: int32({ since: 3, default: -2, ignorable: true }),
  topics: array({
    topic: string(),
    partitions: array({
      partition: int32(),
      currentLeaderEpoch: int32({ default: -1 }),
      leaderEpoch: int32(),
    }),
  }),
})
export type OffsetForLeaderEpochRequest = Infer<typeof OffsetForLeaderEpochRequest>

export const OffsetForLeaderEpochResponse = message('OffsetForLeaderEpochResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  topics: array({
    topic: string(),
    partitions: array({
      errorCode: int16(),
      partition: int32(),
      leaderEpoch: int32({ default: -1 }),
      endOffset: int64({ default: -1 }),
    }),
  }),
})
export type OffsetForLeaderEpochResponse = Infer<typeof OffsetForLeaderEpochResponse>
