/**
 * CreatePartitions: raises the number of partitions of topics.
 *
 * Versions: 2 is flexible, 3 may be throttled by a quota (KIP-599).
 */
import { array, bool, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 3, flexible: 2 }

export const CreatePartitionsRequest = message('CreatePartitionsRequest', versions, {
  topics: array({
    name: string(),
    count: int32(),
    assignments: array(
      {
        brokerIds: array(int32()),
      },
      { nullable: true },
    ),
  }),
  timeoutMs: int32(),
  validateOnly: bool(),
})
export type CreatePartitionsRequest = Infer<typeof CreatePartitionsRequest>

export const CreatePartitionsResponse = message('CreatePartitionsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  results: array({
    name: string(),
    errorCode: int16(),
    errorMessage: string({ nullable: true, default: null }),
  }),
})
export type CreatePartitionsResponse = Infer<typeof CreatePartitionsResponse>
