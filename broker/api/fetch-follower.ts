/**
 * What is special about a fetch of a follower. What it asks for tells what it has, so its leaders hear of it before
 * anything is read; it reads up to the end of what is written, and is woken by writes, not by commits. Who is no
 * replica of a partition reads nothing of it. One that is throttled and not in sync gets no records while the quota is
 * used up, and its fetch waits until some is back (KIP-73).
 *
 * One for each fetch of a follower, none for a consumer's. When to wait and how to answer is not its to say.
 */
import { assert } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type FetchRequest } from '../../client/protocol/messages/fetch.ts'
import { type BrokerId, type Offset } from '../../client/protocol/types.ts'
import { type FetchPlan, type FetchPosition } from '../runtime/fetch-sessions.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type FetchOutcome, type ReadRequest } from '../runtime/partition-types.ts'
import { type Wakeable } from '../runtime/purgatory.ts'
import { type SessionAttention } from '../runtime/session-attention.ts'
import { type BrokerContext } from './context.ts'
import { diverges, hostAt, topicAt } from './fetch-position.ts'
import { selectsByRack } from './near-replica.ts'

/** Another broker that copies what this one leads. */
export interface Follower {
  readonly replica: BrokerId
  /** -1 in versions that do not say. */
  readonly brokerEpoch: number
}

/** Null: a consumer asks. Which of the two places the id is in depends on the version (KIP-903). */
export function followerOf({ replicaId, replicaState }: FetchRequest): Follower | null {
  if (replicaState.replicaId >= 0) {
    return { replica: replicaState.replicaId as BrokerId, brokerEpoch: replicaState.replicaEpoch }
  }
  return replicaId >= 0 ? { replica: replicaId as BrokerId, brokerEpoch: -1 } : null
}

type Plan = Exclude<FetchPlan, { kind: 'refused' }>

export class FollowerFetch {
  readonly #context: BrokerContext
  readonly #follower: Follower
  readonly #byTopicId: boolean
  readonly #plan: Plan
  /** Of its session: what is to be looked at. Null outside of one: then all is. */
  readonly #attention: SessionAttention | null
  /** Followers serve consumers, so they must hear of commits without delay. */
  readonly #tellsCommits: boolean
  /** Of which partitions the leader has heard of this fetch, and whether it serves the follower. */
  readonly #met = new Map<FetchPosition, ErrorCode>()
  /** The throttle holds records back. */
  #isHeldBack = false

  constructor(context: BrokerContext, follower: Follower, plan: Plan, byTopicId: boolean) {
    this.#context = context
    this.#follower = follower
    this.#byTopicId = byTopicId
    this.#plan = plan
    this.#attention = plan.kind === 'incremental' ? plan.session.attention : null
    this.#tellsCommits = this.#attention !== null && selectsByRack(context)
  }

  get replica(): BrokerId {
    return this.#follower.replica
  }

  /** With nothing to look at there is something to wait for: the session watches all partitions that rest. */
  get isWatching(): boolean {
    return this.#attention !== null
  }

  /** Before anything is asked here: its leaders hear of it, in a session those that are to be looked at, and then. */
  begin(): void {
    const plan = this.#plan
    if (plan.kind !== 'incremental') {
      for (const position of plan.positions) this.#meet(position)
      return
    }
    const attention = this.#attention
    assert(attention !== null, 'a session that a follower goes on with is its own')
    attention.tellsBounds = this.#tellsCommits
    const { brokerEpoch } = this.#follower
    if (attention.brokerEpoch === brokerEpoch) return
    // Another process than before, or one that is registered anew: all of its leaders want to know.
    attention.brokerEpoch = brokerEpoch
    plan.session.noticeAll()
  }

  /** Those that want a look now, which may be more than when the fetch began. */
  positions(): readonly FetchPosition[] {
    const attention = this.#attention
    if (attention === null) return this.#plan.positions
    const { due } = attention
    for (const position of due) {
      if (this.#met.has(position)) continue
      const host = this.#meet(position)
      if (host !== null) attention.watch(position, host)
    }
    return due
  }

  #meet(position: FetchPosition): PartitionHost | null {
    const host = hostAt(this.#context, this.#byTopicId, position)
    if (typeof host === 'number') return null
    const { replica, brokerEpoch } = this.#follower
    const error = host.replicaFetched({
      replica,
      brokerEpoch,
      fetchOffset: position.fetchOffset as Offset,
      lastFetchedEpoch: position.lastFetchedEpoch,
      logStartOffset: position.logStartOffset as Offset,
      leaderEpoch: position.currentLeaderEpoch,
    })
    this.#met.set(position, error)
    return host
  }

  /** NONE where the follower is served. */
  #refusal(position: FetchPosition): ErrorCode {
    return this.#met.get(position) ?? ErrorCode.NONE
  }

  /** What a wait of at most `maxWaitMs` waits for. */
  wakeables(): readonly Wakeable[] {
    if (this.#attention !== null) return [this.#attention]
    const wakeables: Wakeable[] = []
    for (const position of this.#plan.positions) {
      const host = hostAt(this.#context, this.#byTopicId, position)
      if (typeof host !== 'number') wakeables.push(host.replicaWaiters)
    }
    return wakeables
  }

  /** What is held back by the throttle wants to be looked at when there is quota again: nothing else wakes it. */
  waitMs(maxWaitMs: number): number {
    return this.#isHeldBack ? Math.min(maxWaitMs, this.#context.throttle.leader.msUntilBack) : maxWaitMs
  }

  /** Bytes that it may have now; Infinity where the answer is an error, or something else that must not wait. */
  readable(host: PartitionHost, position: FetchPosition): number {
    const bytes = this.#replicable(host, position)
    if (bytes === 0 || bytes === Infinity || !this.#isThrottled(position)) return bytes
    this.#isHeldBack = true
    return 0
  }

  #replicable(host: PartitionHost, position: FetchPosition): number {
    if (this.#refusal(position) !== ErrorCode.NONE) return Infinity
    if (host.checkLeader(position.currentLeaderEpoch) !== ErrorCode.NONE) return Infinity
    if (diverges(host, position)) return Infinity
    if (this.#tellsCommits && position.sentHighWatermark !== host.highWatermark) return Infinity
    return host.replicableBytes(position.fetchOffset as Offset)
  }

  read(
    host: PartitionHost,
    position: FetchPosition,
    request: ReadRequest,
  ): ErrorCode | FetchOutcome | Promise<FetchOutcome> {
    const refusal = this.#refusal(position)
    if (refusal !== ErrorCode.NONE) return refusal
    if (!this.#isThrottled(position)) return host.readForReplica(request)
    // Without records it still hears of bounds and of where the logs part.
    return host.readForReplica({ ...request, maxBytes: 0, atLeastOne: false })
  }

  /** The follower is not in sync, and what this broker may send to such ones is used up. */
  #isThrottled(position: FetchPosition): boolean {
    const quota = this.#context.throttle.leader
    if (quota.msUntilBack === 0) return false
    const topic = topicAt(this.#context, this.#byTopicId, position)
    return topic !== undefined && quota.holds(topic, position.partition, this.replica)
  }

  /** `bytes` of the partition are on their way. */
  sends(position: FetchPosition, bytes: number): void {
    const quota = this.#context.throttle.leader
    const topic = topicAt(this.#context, this.#byTopicId, position)
    if (topic !== undefined && quota.covers(topic, position.partition)) quota.record(bytes)
  }

  /** To be told when the answer has all of the partition that it will have. */
  answered(position: FetchPosition): void {
    if (this.#attention !== null && this.#rests(position)) this.#attention.rest(position)
  }

  /** The follower has all that there is, knows all bounds, and is in sync: until that changes it need not be told. */
  #rests(position: FetchPosition): boolean {
    if (this.#refusal(position) !== ErrorCode.NONE) return false
    const host = hostAt(this.#context, this.#byTopicId, position)
    if (typeof host === 'number' || this.#replicable(host, position) > 0) return false
    const { fetchOffset, sentHighWatermark, sentLogStartOffset } = position
    return (
      sentHighWatermark === host.highWatermark &&
      sentLogStartOffset === host.state.logStartOffset &&
      host.hasInSync(this.replica, fetchOffset as Offset)
    )
  }
}
