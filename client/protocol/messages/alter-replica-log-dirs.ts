/**
 * AlterReplicaLogDirs: moves replicas of partitions to another data folder of the same broker (KIP-113).
 *
 * Versions: 1 is the oldest that is served, 2 is flexible.
 */
import { array, type Infer, int16, int32, message, string } from '../schema.ts'

const versions = { min: 1, max: 2, flexible: 2 }

export const AlterReplicaLogDirsRequest = message('AlterReplicaLogDirsRequest', versions, {
  dirs: array({
    path: string(),
    topics: array({
      name: string(),
      partitions: array(int32()),
    }),
  }),
})
export type AlterReplicaLogDirsRequest = Infer<typeof AlterReplicaLogDirsRequest>

export const AlterReplicaLogDirsResponse = message('AlterReplicaLogDirsResponse', versions, {
  throttleTimeMs: int32({ default: 0 }),
  results: array({
    topicName: string(),
    partitions: array({
      partitionIndex: int32(),
      errorCode: int16(),
    }),
  }),
})
export type AlterReplicaLogDirsResponse = Infer<typeof AlterReplicaLogDirsResponse>
