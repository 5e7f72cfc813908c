/**
 * What both protocols of membership have in common: the words in which a membership, which is a state machine without
 * sockets and clocks, talks with the shell around it. `step` is fed what happened and says what is to be done, in
 * order.
 *
 * - `send` is answered by `answered` or `failed` of the same id. One request at a time is under way; answers with an
 *   older id come too late and are ignored.
 * - `commit` is answered by `committed`, whether or not it worked.
 * - `revoke` is answered by `revoked`, when nothing works on the partitions any more and what was done is committed.
 * - `assign` and `lose` take effect at once and are not answered.
 * - `balance` is answered by `balanced`, or by `failed` with its id.
 */
import { type KafkaError } from '../../errors.ts'
import { type ConsumerGroupHeartbeatResponse } from '../../protocol/messages/consumer-group-heartbeat.ts'
import { type HeartbeatResponse } from '../../protocol/messages/heartbeat.ts'
import { type JoinGroupResponse } from '../../protocol/messages/join-group.ts'
import { type SyncGroupResponse } from '../../protocol/messages/sync-group.ts'
import { type Assignor, type AssignorMember, type GroupAssignment } from '../assignors/assignor.ts'
import { type TopicPartition } from '../types.ts'

export type GroupApi = 'JoinGroup' | 'SyncGroup' | 'Heartbeat' | 'ConsumerGroupHeartbeat'

export interface GroupResponses {
  readonly JoinGroup: JoinGroupResponse
  readonly SyncGroup: SyncGroupResponse
  readonly Heartbeat: HeartbeatResponse
  readonly ConsumerGroupHeartbeat: ConsumerGroupHeartbeatResponse
}

/** What the member wants to read. */
export interface Wants {
  /** Names, and in the classic protocol also what patterns match. */
  readonly topics: readonly string[]
  /** A pattern that the broker matches (RE2); null for none. */
  readonly pattern: string | null
}

export type MembershipEvent =
  | { readonly kind: 'start' }
  /** The subscription matches other topics now. */
  | { readonly kind: 'wants'; readonly wants: Wants }
  /** Topics that the group reads have other partitions than when they were dealt out. */
  | { readonly kind: 'outdated' }
  | {
      readonly kind: 'answered'
      readonly id: number
      readonly api: GroupApi
      readonly response: GroupResponses[GroupApi]
    }
  | { readonly kind: 'failed'; readonly id: number; readonly error: KafkaError }
  | { readonly kind: 'balanced'; readonly id: number; readonly assignment: GroupAssignment }
  | { readonly kind: 'revoked' }
  | { readonly kind: 'committed' }
  /** Topic names may be known now that were not. */
  | { readonly kind: 'metadata' }
  /** Another request of this member (OffsetCommit, OffsetFetch) was refused because of its membership. */
  | { readonly kind: 'refused'; readonly code: number; readonly generation: number }
  | { readonly kind: 'timer' }
  | { readonly kind: 'leave' }

export type MembershipEffect =
  | { readonly kind: 'send'; readonly id: number; readonly api: GroupApi; readonly request: object; readonly timeoutMs: number } // biome-ignore format: one variant
  | {
      readonly kind: 'balance'
      readonly id: number
      readonly assignor: Assignor
      readonly members: readonly AssignorMember[]
    }
  /** The generation has begun: partitions come by `assign`. */
  | { readonly kind: 'joined' }
  | { readonly kind: 'assign'; readonly partitions: readonly TopicPartition[] }
  | { readonly kind: 'revoke'; readonly partitions: readonly TopicPartition[] }
  /** They belong to somebody else already: nothing of them may be committed. */
  | { readonly kind: 'lose'; readonly partitions: readonly TopicPartition[]; readonly error: KafkaError }
  /** Commit what was done: the generation is about to end, and what was processed in it had better be stored in it. */
  | { readonly kind: 'commit' }
  /** Topic ids were met that have no name here. */
  | { readonly kind: 'learn-topics' }
  /** Something failed and is tried again. */
  | { readonly kind: 'retry'; readonly error: KafkaError }
  | { readonly kind: 'find-coordinator' }
  /** The broker refuses this protocol or this pattern; the shell goes on with what it is told here. */
  | { readonly kind: 'fall-back'; readonly to: 'classic' | 'own-patterns'; readonly error: KafkaError }
  /** It cannot go on. */
  | { readonly kind: 'crash'; readonly error: KafkaError }

export interface Membership {
  readonly protocol: 'classic' | 'consumer'
  readonly memberId: string
  /** Generation or member epoch; -1 while not a member. */
  readonly generation: number
  /** When `step` wants a `timer` next, on the monotonic clock; null for never. */
  readonly timerAtMs: number | null
  /** In the group with an assignment, as far as is known. */
  readonly isStable: boolean
  step(event: MembershipEvent, nowMs: number): MembershipEffect[]
}

export interface MembershipOptions {
  readonly groupId: string
  readonly groupInstanceId: string | null
  readonly rack: string | null
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly requestTimeoutMs: number
  /** Pause before the n-th repetition of something that failed. */
  readonly backoffMs: (attempt: number) => number
}

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${partition}/${topic}`
}

/** Those of `places` that are not in `others`. */
export function without(
  places: readonly TopicPartition[],
  others: readonly TopicPartition[],
): TopicPartition[] {
  if (places.length === 0 || others.length === 0) return [...places]
  const keys = new Set(others.map(keyOf))
  return places.filter(place => !keys.has(keyOf(place)))
}

/** As the protocol groups them. */
export function partitionsByTopic(
  places: readonly TopicPartition[],
): { topic: string; partitions: number[] }[] {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of places) {
    const partitions = topics.get(topic)
    if (partitions === undefined) topics.set(topic, [partition])
    else partitions.push(partition)
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
}
