/**
 * ListPartitionReassignments: the moves of partitions that are under way (KIP-455).
 */
import { array, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 0, flexible: 0 }

export const ListPartitionReassignmentsRequest = message('ListPartitionReassignmentsRequest', versions, {
  timeoutMs: int32({ default: 60_000 }),
  topics: array(
    {
      name: string(),
      partitionIndexes: array(int32()),
    },
    { nullable: true, default: null },
  ),
})
export type ListPartitionReassignmentsRequest = Infer<typeof ListPartitionReassignmentsRequest>

export const ListPartitionReassignmentsResponse = message('ListPartitionReassignmentsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      replicas: array(int32()),
      addingReplicas: array(int32()),
      removingReplicas: array(int32()),
    }),
  }),
})
export type ListPartitionReassignmentsResponse = Infer<typeof ListPartitionReassignmentsResponse>
