/**
 * AlterPartitionReassignments: moves partitions to other brokers, or cancels such a move where replicas are
 * null (KIP-455).
 *
 * Versions: 1 may refuse a change of the number of replicas.
 */
import { array, bool, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 1, flexible: 0 }

export const AlterPartitionReassignmentsRequest = message('AlterPartitionReassignmentsRequest', versions, {
  timeoutMs: int32({ default: 60_000 }),
  allowReplicationFactorChange: bool({ since: 1, default: true }),
  topics: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      replicas: array(int32(), { nullable: true, default: null }),
    }),
  }),
})
export type AlterPartitionReassignmentsRequest = Infer<typeof AlterPartitionReassignmentsRequest>

export const AlterPartitionReassignmentsResponse = message('AlterPartitionReassignmentsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  allowReplicationFactorChange: bool({ since: 1, default: true, ignorable: true }),
  errorCode: int16(),
  errorMessage: string({ nullable: true }),
  responses: array({
    name: string(),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
      errorMessage: string({ nullable: true }),
    }),
  }),
})
export type AlterPartitionReassignmentsResponse = Infer<typeof AlterPartitionReassignmentsResponse>
