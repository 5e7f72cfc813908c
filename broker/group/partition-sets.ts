/**
 * Sets of partitions of topics: what a member owns, gives up, or is to have. Never changed, only replaced.
 */
import { type TopicId } from '../../client/protocol/types.ts'

/** Topic id -> partitions, ascending and not empty. */
export type PartitionSet = ReadonlyMap<TopicId, readonly number[]>

export interface TopicPartitions {
  readonly topicId: TopicId
  readonly partitions: readonly number[]
}

export const NO_PARTITIONS: PartitionSet = new Map()

/** From the wire, or a record: order and repetition do not count. */
export function partitionSet(topics: readonly TopicPartitions[]): PartitionSet {
  const set = new Map<TopicId, readonly number[]>()
  for (const { topicId, partitions } of topics) {
    const all = [...(set.get(topicId) ?? []), ...partitions]
    if (all.length > 0)
      set.set(
        topicId,
        [...new Set(all)].sort((left, right) => left - right),
      )
  }
  return set
}

export function toTopicPartitions(set: PartitionSet): { topicId: TopicId; partitions: number[] }[] {
  return Array.from(set, ([topicId, partitions]) => ({ topicId, partitions: [...partitions] }))
}

export function samePartitions(left: PartitionSet, right: PartitionSet): boolean {
  if (left === right) return true
  if (left.size !== right.size) return false
  for (const [topicId, partitions] of left) {
    const others = right.get(topicId)
    if (others === undefined || others.length !== partitions.length) return false
    if (!partitions.every((partition, index) => partition === others[index])) return false
  }
  return true
}

export function hasPartition(set: PartitionSet, topicId: TopicId, partition: number): boolean {
  return set.get(topicId)?.includes(partition) ?? false
}

export function isSubset(part: PartitionSet, whole: PartitionSet): boolean {
  for (const [topicId, partitions] of part) {
    const others = new Set(whole.get(topicId))
    if (!partitions.every(partition => others.has(partition))) return false
  }
  return true
}

/** What is in `left` and in `right`; and what is in `left` alone. */
export function split(left: PartitionSet, right: PartitionSet): { both: PartitionSet; rest: PartitionSet } {
  const both = new Map<TopicId, readonly number[]>()
  const rest = new Map<TopicId, readonly number[]>()
  for (const [topicId, partitions] of left) {
    const others = new Set(right.get(topicId))
    const kept = partitions.filter(partition => others.has(partition))
    if (kept.length > 0) both.set(topicId, kept)
    if (kept.length < partitions.length)
      rest.set(
        topicId,
        partitions.filter(partition => !others.has(partition)),
      )
  }
  return { both, rest }
}

export function intersects(left: PartitionSet, right: PartitionSet): boolean {
  return split(left, right).both.size > 0
}

export function union(left: PartitionSet, right: PartitionSet): PartitionSet {
  if (right.size === 0) return left
  const all = new Map(left)
  for (const [topicId, partitions] of right) {
    const joined = new Set([...(all.get(topicId) ?? []), ...partitions])
    all.set(
      topicId,
      [...joined].sort((one, other) => one - other),
    )
  }
  return all
}

export function countPartitions(set: PartitionSet): number {
  let count = 0
  for (const partitions of set.values()) count += partitions.length
  return count
}
