/**
 * ElectLeaders: has partitions elect their preferred replica (election type 0), or any live one (1), as leader.
 *
 * Versions: 1 adds the type of election (KIP-460), 2 is flexible.
 */
import { array, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 2, flexible: 2 }

export const ElectLeadersRequest = message('ElectLeadersRequest', versions, {
  electionType: int8({ since: 1 }),
  topicPartitions: array(
    {
      topic: string(),
      partitions: array(int32()),
    },
    { nullable: true },
  ),
  timeoutMs: int32({ default: 60_000 }),
})
export type ElectLeadersRequest = Infer<typeof ElectLeadersRequest>

export const ElectLeadersResponse = message('ElectLeadersResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16({ since: 1 }),
  replicaElectionResults: array({
    topic: string(),
    partitionResult: array({
      partitionId: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: true }),
    }),
  }),
})
export type ElectLeadersResponse = Infer<typeof ElectLeadersResponse>
