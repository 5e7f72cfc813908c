/**
 * Finds out where partitions start (ListOffsets), and after a change of leader whether the log still agrees with what
 * was read (OffsetForLeaderEpoch, KIP-320). Changes the partitions it is given; retries inside.
 */
import { type Cluster } from '../cluster.ts'
import { KafkaError } from '../errors.ts'
import {
  type EpochEnd,
  epochEnds,
  type Isolation,
  leaderEpochOf,
  listOffsets,
  NAMED_OFFSET,
  type OffsetQuery,
} from '../offsets.ts'
import { assert } from '../protocol/assert.ts'
import { type ConsumerPartition } from './partition.ts'

export interface PositionOptions {
  readonly cluster: Cluster
  readonly isolation: Isolation
  readonly signal?: AbortSignal | undefined
  /**
   * Places partitions whose `lookUp` is `committed`: at the offset, or with another look-up where there is none. Needed
   * where there are such.
   */
  readonly committed?:
    | ((partitions: readonly ConsumerPartition[], signal: AbortSignal | undefined) => Promise<void>)
    | undefined
}

/** Looks up every partition that has a `lookUp`. Throws KafkaError. */
export async function lookUpPositions(
  partitions: readonly ConsumerPartition[],
  options: PositionOptions,
): Promise<void> {
  const { cluster, isolation } = options
  const grouped = partitions.filter(partition => partition.lookUp === 'committed')
  if (grouped.length > 0) await options.committed?.(grouped, options.signal)
  const open = partitions
    // One that is still to be placed by its group was taken away while that was asked for.
    .filter(({ lookUp }) => lookUp !== null && lookUp !== 'committed')
    .map(partition => ({ partition, generation: partition.generation }))
  if (open.length === 0) return
  const found = await listOffsets(
    cluster,
    open.map(({ partition }) => queryOf(partition)),
    isolation,
    options,
  )
  // Where no record is as young as the timestamp, reading starts at the end.
  const beyond = open.filter((_, index) => found[index]!.offset < 0)
  const ends = new Map<ConsumerPartition, number>()
  if (beyond.length > 0) {
    const queries = beyond.map(({ partition: { topic, partition } }) => ({
      topic,
      partition,
      ...NAMED_OFFSET.latest,
    }))
    const offsets = await listOffsets(cluster, queries, isolation, options)
    beyond.forEach(({ partition }, index) => {
      ends.set(partition, offsets[index]!.offset)
    })
  }
  open.forEach(({ partition, generation }, index) => {
    if (partition.generation !== generation) return
    partition.moveTo(ends.get(partition) ?? found[index]!.offset)
  })
}

function queryOf({ topic, partition, lookUp }: ConsumerPartition): OffsetQuery {
  assert(lookUp !== 'committed', 'a partition is placed by its group before it is looked up')
  if (lookUp === 'earliest' || lookUp === 'latest') return { topic, partition, ...NAMED_OFFSET[lookUp] }
  return { topic, partition, timestamp: lookUp?.timestamp ?? 0, minVersion: 1 }
}

/** Whether a leader has taken over since the log was last compared with what was fetched. */
export function needsComparison(partition: ConsumerPartition, leaderEpoch: number): boolean {
  return partition.fetchedEpoch >= 0 && leaderEpoch > partition.agreedEpoch
}

/**
 * Compares with the leaders' logs. Returns the partitions whose log ends, for the epoch last fetched, before the
 * position: records that were handed out are not in the log any more. Brokers without the API are believed.
 */
export async function compareWithLeaders(
  partitions: readonly ConsumerPartition[],
  options: PositionOptions,
): Promise<{ readonly partition: ConsumerPartition; readonly endOffset: number }[]> {
  const { cluster } = options
  const open = partitions.map(partition => ({
    partition,
    generation: partition.generation,
    fetchOffset: partition.fetchOffset,
    fetchedEpoch: partition.fetchedEpoch,
  }))
  let ends: EpochEnd[]
  try {
    ends = await epochEnds(
      cluster,
      open.map(({ partition: { topic, partition }, fetchedEpoch }) => ({
        topic,
        partition,
        leaderEpoch: fetchedEpoch,
      })),
      options,
    )
  } catch (error) {
    if (!(error instanceof KafkaError) || error.code !== 'UNSUPPORTED') throw error
    for (const { partition } of open) partition.agreedEpoch = leaderEpochOf(cluster, partition)
    return []
  }
  const truncated: { partition: ConsumerPartition; endOffset: number }[] = []
  open.forEach(({ partition, generation, fetchOffset, fetchedEpoch }, index) => {
    if (partition.generation !== generation) return
    // A fetch that was under way has brought more, perhaps of a later epoch: the answer says nothing of that.
    if (partition.fetchOffset !== fetchOffset || partition.fetchedEpoch !== fetchedEpoch) return
    const { endOffset, leaderEpoch: foundEpoch, currentLeaderEpoch } = ends[index]!
    const agrees =
      endOffset < 0 || (endOffset >= partition.fetchOffset && foundEpoch === partition.fetchedEpoch)
    const unhanded = partition.fetchOffset - partition.position
    if (agrees || endOffset >= partition.fetchOffset) {
      partition.agreedEpoch = currentLeaderEpoch
    } else if (unhanded > 0 && endOffset >= partition.position) {
      // Only what was fetched ahead is gone: fetch again from the position.
      partition.drop()
      partition.agreedEpoch = currentLeaderEpoch
    } else {
      truncated.push({ partition, endOffset })
    }
  })
  return truncated
}
