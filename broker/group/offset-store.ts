/**
 * The offsets that groups have committed, by group, topic and partition.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type OffsetCommitRecord } from './records.ts'

export interface CommittedOffset {
  /** Of the next record to read. */
  readonly offset: number
  /** -1 where the client named none. */
  readonly leaderEpoch: number
  readonly metadata: string
  /** By the wall clock. */
  readonly commitTimestamp: number
  /** -1, or the moment that an old client asked for. */
  readonly expireTimestamp: number
  /** Zeros where it is not known. */
  readonly topicId: TopicId
}

export type PartitionOffsets = ReadonlyMap<number, CommittedOffset>
export type GroupOffsets = ReadonlyMap<string, PartitionOffsets>

export class OffsetStore {
  readonly #groups = new Map<string, Map<string, Map<number, CommittedOffset>>>()
  #count = 0

  /** All offsets of all groups. */
  get count(): number {
    return this.#count
  }

  groupIds(): IterableIterator<string> {
    return this.#groups.keys()
  }

  /** Undefined where the group has committed nothing. */
  of(groupId: string): GroupOffsets | undefined {
    return this.#groups.get(groupId)
  }

  get(groupId: string, topic: string, partition: number): CommittedOffset | undefined {
    return this.#groups.get(groupId)?.get(topic)?.get(partition)
  }

  apply({ key, value }: OffsetCommitRecord): void {
    if (value === null) {
      this.#remove(key.group, key.topic, key.partition)
      return
    }
    let topics = this.#groups.get(key.group)
    if (topics === undefined) this.#groups.set(key.group, (topics = new Map()))
    let partitions = topics.get(key.topic)
    if (partitions === undefined) topics.set(key.topic, (partitions = new Map()))
    if (!partitions.has(key.partition)) this.#count++
    partitions.set(key.partition, {
      offset: value.offset,
      leaderEpoch: value.leaderEpoch,
      metadata: value.metadata,
      commitTimestamp: value.commitTimestamp,
      expireTimestamp: value.expireTimestamp,
      topicId: value.topicId,
    })
  }

  #remove(groupId: string, topic: string, partition: number): void {
    const topics = this.#groups.get(groupId)
    const partitions = topics?.get(topic)
    if (topics === undefined || partitions === undefined || !partitions.delete(partition)) return
    this.#count--
    if (partitions.size === 0) topics.delete(topic)
    if (topics.size === 0) this.#groups.delete(groupId)
  }
}
