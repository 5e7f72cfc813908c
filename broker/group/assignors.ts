/**
 * What an assignor is given and what it gives. An assignor is a function of the members, their subscriptions, the
 * topics, and what everybody had before; the same input gives the same result.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type TopicInfo } from './config.ts'
import { type PartitionSet } from './partition-sets.ts'

export interface AssignorMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly rackId: string | null
  /** The topics that it reads and that exist, in the order of their names. */
  readonly topics: readonly TopicInfo[]
  /** What the last target gave it. */
  readonly previous: PartitionSet
}

export interface AssignorInput {
  /** In the order of their ids. */
  readonly members: readonly AssignorMember[]
  /** All members read the same topics: then `topics` of all is one array. */
  readonly isUniform: boolean
}

export type Assignor = (input: AssignorInput) => Map<string, PartitionSet>

/** A set under construction. */
export class PartitionSetBuilder {
  readonly #topics = new Map<TopicId, number[]>()
  size = 0

  add(topicId: TopicId, partition: number): void {
    const partitions = this.#topics.get(topicId)
    if (partitions === undefined) this.#topics.set(topicId, [partition])
    else partitions.push(partition)
    this.size++
  }

  build(): PartitionSet {
    for (const partitions of this.#topics.values()) partitions.sort((left, right) => left - right)
    return this.#topics
  }
}
