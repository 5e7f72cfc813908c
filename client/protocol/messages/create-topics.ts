/**
 * CreateTopics: makes topics, with partitions counted or assigned to brokers one by one, and configs.
 *
 * Versions: 2 is the oldest that is served, 4 takes -1 for the broker's default number of partitions and
 * replicas (KIP-464), 5 is flexible and answers with what was made (KIP-525), 6 may be throttled by a quota
 * (KIP-599), 7 answers with topic ids (KIP-516).
 */
import { array, bool, type Infer, int8, int16, int32, message, string, uuid } from '../schema.ts'

const versions = { min: 2, max: 7, flexible: 5 }

export const CreateTopicsRequest = message('CreateTopicsRequest', versions, {
  topics: array({
    name: string(),
    numPartitions: int32(),
    replicationFactor: int16(),
    assignments: array({
      partitionIndex: int32(),
      brokerIds: array(int32()),
    }),
    configs: array({
      name: string(),
      value: string({ nullable: true }),
    }),
  }),
  timeoutMs: int32({ default: 60_000 }),
  validateOnly: bool({ default: false }),
})
export type CreateTopicsRequest = Infer<typeof CreateTopicsRequest>

export const CreateTopicsResponse = message('CreateTopicsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  topics: array({
    name: string(),
    topicId: uuid({ since: 7, ignorable: true }),
    errorCode: int16(),
    errorMessage: string({ nullable: true }),
    topicConfigErrorCode: int16({ since: 5, tag: 0, ignorable: true }),
    numPartitions: int32({ since: 5, default: -1, ignorable: true }),
    replicationFactor: int16({ since: 5, default: -1, ignorable: true }),
    configs: array(
      {
        name: string(),
        value: string({ nullable: true }),
        readOnly: bool(),
        configSource: int8({ default: -1 }),
        isSensitive: bool(),
      },
      { since: 5, nullable: true, ignorable: true },
    ),
  }),
})
export type CreateTopicsResponse = Infer<typeof CreateTopicsResponse>
