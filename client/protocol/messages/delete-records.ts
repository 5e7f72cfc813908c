/**
 * DeleteRecords: moves the start of partitions up to an offset; -1 stands for the high watermark. What lies before it
 * is gone for every reader (KIP-107).
 *
 * Versions: 2 is flexible.
 */
import { array, type Infer, int16, int32, int64, message, string } from '../schema.ts'

const versions = { min: 0, max: 2, flexible: 2 }

export const DeleteRecordsRequest = message('DeleteRecordsRequest', versions, {
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      offset: int64(),
    }),
  }),
  timeoutMs: int32(),
})
export type DeleteRecordsRequest = Infer<typeof DeleteRecordsRequest>

export const DeleteRecordsResponse = message('DeleteRecordsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      lowWatermark: int64(),
      errorCode: int16(),
    }),
  }),
})
export type DeleteRecordsResponse = Infer<typeof DeleteRecordsResponse>
