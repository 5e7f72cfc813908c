/**
 * DescribeCluster: id, controller and brokers of the cluster (KIP-700).
 *
 * Versions: 1 can ask for the controllers' endpoints instead (KIP-919), 2 shows fenced brokers too (KIP-1073).
 */
import { array, bool, type Infer, int8, int16, int32, message, string } from '../schema.ts'

const versions = { min: 0, max: 2, flexible: 0 }

export const DescribeClusterRequest = message('DescribeClusterRequest', versions, {
  includeClusterAuthorizedOperations: bool(),
  endpointType: int8({ since: 1, default: 1 }),
  includeFencedBrokers: bool({ since: 2 }),
})
export type DescribeClusterRequest = Infer<typeof DescribeClusterRequest>

export const DescribeClusterResponse = message('DescribeClusterResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  errorCode: int16(),
  errorMessage: string({ nullable: true, default: null }),
  endpointType: int8({ since: 1, default: 1 }),
  clusterId: string(),
  controllerId: int32({ default: -1 }),
  brokers: array({
    brokerId: int32(),
    host: string(),
    port: int32(),
    rack: string({ nullable: true, default: null }),
    isFenced: bool({ since: 2 }),
  }),
  clusterAuthorizedOperations: int32({ default: -2_147_483_648 }),
})
export type DescribeClusterResponse = Infer<typeof DescribeClusterResponse>
