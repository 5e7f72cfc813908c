/**
 * What an assignor of a classic group is: it runs in the group's leader, sees all members, and deals out the
 * partitions. Pure: the same input gives the same assignment, whoever computes it and in whatever order the members
 * are listed.
 */
import { type TopicPartition } from '../types.ts'

export interface AssignorMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly topics: readonly string[]
  /** What the member holds, or held last, as it says itself. */
  readonly owned: readonly TopicPartition[]
  /** The generation that `owned` is of; -1 where the member does not tell. */
  readonly generation: number
  readonly userData: Uint8Array | null
  readonly rack: string | null
}

export interface AssignorInput {
  readonly members: readonly AssignorMember[]
  /** Number of partitions of each topic that exists. Members may name topics that do not. */
  readonly partitionCounts: ReadonlyMap<string, number>
}

/** Partitions by member id; members without any may be missing. */
export type GroupAssignment = ReadonlyMap<string, readonly TopicPartition[]>

export interface Assignor {
  /** As the members of the group vote for it; a group needs one that all of its members have. */
  readonly name: string
  /** Members keep what they hold during a rebalance, and a partition moves only when its owner has let go (KIP-429). */
  readonly cooperative: boolean
  /** What a member tells the leader beside its topics, given what it holds or held last, and since which generation. */
  userData?(owned: readonly TopicPartition[], generation: number): Uint8Array | null
  assign(input: AssignorInput): GroupAssignment
}

/** Members in the order in which all clients list them: those with an instance id first. */
export function inOrder(members: readonly AssignorMember[]): AssignorMember[] {
  return [...members].sort((a, b) => {
    if (a.groupInstanceId !== null && b.groupInstanceId !== null)
      return compare(a.groupInstanceId, b.groupInstanceId)
    if (a.groupInstanceId !== null) return -1
    if (b.groupInstanceId !== null) return 1
    return compare(a.memberId, b.memberId)
  })
}

export function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Topics that somebody wants and that exist, in order. */
export function wantedTopics({ members, partitionCounts }: AssignorInput): string[] {
  const topics = new Set<string>()
  for (const member of members) {
    for (const topic of member.topics) if (partitionCounts.has(topic)) topics.add(topic)
  }
  return [...topics].sort(compare)
}
