/**
 * OffsetDelete: forgets committed offsets of a group (KIP-496). Never flexible.
 */
import { array, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 0 }

export const OffsetDeleteRequest = message('OffsetDeleteRequest', versions, {
  groupId: string(),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
    }),
  }),
})
export type OffsetDeleteRequest = Infer<typeof OffsetDeleteRequest>

export const OffsetDeleteResponse = message('OffsetDeleteResponse', versions, {
  errorCode: int16(),
  throttleTimeMs: int32({ default: 0 }),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
    }),
  }),
})
export type OffsetDeleteResponse = Infer<typeof OffsetDeleteResponse>
