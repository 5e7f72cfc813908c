/**
 * DescribeQuorum: leader, voters and observers of the metadata quorum (KIP-595).
 *
 * Versions: 1 adds when a replica was last heard of and last caught up (KIP-836), 2 error messages, directory
 * ids and the voters' endpoints (KIP-853).
 */
import { array, type Infer, int16, int32, int64, message, string, uint16, uuid } from '../schema.ts'

const versions = { min: 0, max: 2, flexible: 0 }

export const DescribeQuorumRequest = message('DescribeQuorumRequest', versions, {
  topics: array({
    topicName: string(),
    partitions: array({
      partitionIndex: int32(),
    }),
  }),
})
export type DescribeQuorumRequest = Infer<typeof DescribeQuorumRequest>

const replicaState = {
  replicaId: int32(),
  replicaDirectoryId: uuid({ since: 2 }),
  logEndOffset: int64(),
  lastFetchTimestamp: int64({ since: 1, default: -1, ignorable: true }),
  lastCaughtUpTimestamp: int64({ since: 1, default: -1, ignorable: true }),
}

export const DescribeQuorumResponse = message('DescribeQuorumResponse', versions, {
  errorCode: int16(),
  errorMessage: string({ since: 2, nullable: true, ignorable: true }),
  topics: array({
    topicName: string(),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
      errorMessage: string({ since: 2, nullable: true, ignorable: true }),
      leaderId: int32(),
      leaderEpoch: int32(),
      highWatermark: int64(),
      currentVoters: array(replicaState),
      observers: array(replicaState),
    }),
  }),
  nodes: array(
    {
      nodeId: int32(),
      listeners: array({
        name: string(),
        host: string(),
        port: uint16(),
      }),
    },
    { since: 2 },
  ),
})
export type DescribeQuorumResponse = Infer<typeof DescribeQuorumResponse>
