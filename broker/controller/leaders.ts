/**
 * Decides terms of leadership. With one broker there is nobody to elect, but a term ends all the same when that broker
 * was killed: records that were not on disk yet may be gone, and other records may take their offsets.
 */
import { type ClusterImage } from './image.ts'
import { type Change, type ControllerRecord, pieces } from './records.ts'

/**
 * A new leader epoch for everything that `broker` leads. Clients that read what is now gone find out by its epoch
 * (KIP-320) instead of going on in the middle of other records.
 */
export function decideNewTerms(image: ClusterImage, broker: number): Change {
  const records: ControllerRecord[] = []
  for (const topic of image.topics()) {
    for (const partition of topic.partitions) {
      if (partition.leader !== broker) continue
      const { leaderEpoch, partitionEpoch } = partition
      records.push({
        ...partition,
        type: 'partition',
        leaderEpoch: leaderEpoch + 1,
        partitionEpoch: partitionEpoch + 1,
      })
    }
  }
  return { steps: pieces(records) }
}
