/**
 * ListOffsets: finds the offset of the first record at or after a timestamp, or one of the offsets that have a negative
 * timestamp as their name: -1 latest, -2 earliest, -3 that of the largest timestamp (since version 7, KIP-734),
 * -4 earliest kept locally (8, KIP-405), -5 latest in the remote tier (9, KIP-1005), -6 earliest not yet uploaded
 * (11, KIP-1023).
 *
 * Versions: 1 answers with one offset and its timestamp, 2 adds the isolation level, 4 leader epochs (KIP-320), 6 is
 * flexible, 10 lets the client say how long it will wait (KIP-1075).
 */
import { array, type Infer, int8, int16, int32, int64, message, string } from '../schema.ts'

const versions = { min: 1, max: 11, flexible: 6 }

export const ListOffsetsRequest = message('ListOffsetsRequest', versions, {
  replicaId: int32(),
  isolationLevel: int8({ since: 2 }),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      currentLeaderEpoch: int32({ since: 4, default: -1, ignorable: true }),
      timestamp: int64(),
    }),
  }),
  timeoutMs: int32({ since: 10, ignorable: true }),
})
export type ListOffsetsRequest = Infer<typeof ListOffsetsRequest>

export const ListOffsetsResponse = message('ListOffsetsResponse', versions, {
  throttleTimeMs: int32({ since: 2, ignorable: true }),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
      timestamp: int64({ default: -1 }),
      offset: int64({ default: -1 }),
      leaderEpoch: int32({ since: 4, default: -1 }),
    }),
  }),
})
export type ListOffsetsResponse = Infer<typeof ListOffsetsResponse>
