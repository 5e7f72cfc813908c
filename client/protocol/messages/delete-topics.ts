/**
 * DeleteTopics: removes topics, by name or by id.
 *
 * Versions: 4 is flexible, 5 has error messages and may be throttled by a quota (KIP-599), 6 takes topic ids (KIP-516).
 */
import { array, type Infer, int16, int32, message, string, uuid } from '../schema.ts'

const versions = { min: 1, max: 6, flexible: 4 }

export const DeleteTopicsRequest = message('DeleteTopicsRequest', versions, {
  topics: array(
    {
      name: string({ nullable: true, default: null }),
      topicId: uuid(),
    },
    { since: 6 },
  ),
  topicNames: array(string(), { until: 5, ignorable: true }),
  timeoutMs: int32(),
})
export type DeleteTopicsRequest = Infer<typeof DeleteTopicsRequest>

export const DeleteTopicsResponse = message('DeleteTopicsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  responses: array({
    name: string({ nullable: 6 }),
    topicId: uuid({ since: 6, ignorable: true }),
    errorCode: int16(),
    errorMessage: string({ since: 5, nullable: true, default: null, ignorable: true }),
  }),
})
export type DeleteTopicsResponse = Infer<typeof DeleteTopicsResponse>
