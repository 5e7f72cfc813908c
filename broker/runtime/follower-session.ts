/**
 * What a follower asks one leader for: the partitions that it follows there, and its side of the incremental fetch
 * session (KIP-227). A request names only what has changed since the one before, so composing one costs as much as has
 * changed, however many partitions are followed.
 *
 * It knows positions and nothing else: when to ask, and what becomes of the answers, is the fetcher's business.
 */
import { type FetchRequest } from '../../client/protocol/messages/fetch.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type LeaderEpoch, type Offset, type TopicId } from '../../client/protocol/types.ts'
import { type Retained } from '../slab.ts'
import {
  type ReplicaPosition,
  type ReplicatedFrom,
  type ReplicateOutcome,
  type TruncateOutcome,
} from './partition-types.ts'
import { type Waiter, type Wakeable } from './purgatory.ts'

/** The following side of a partition; a partition host is one. */
export interface FollowedHost extends Wakeable {
  readonly topicId: TopicId
  readonly topicName: string
  readonly partition: number
  /** As in the broker's log. */
  readonly name: string
  /** Null: nothing can be fetched now; waiters are woken when that is over. */
  replicaPosition(): ReplicaPosition | null
  /**
   * Without records it takes over the offsets alone. The first batch may begin before the offset that was asked for,
   * where the leader's log starts inside of it. Resolves when the records may be counted as this replica's.
   */
  replicate(records: Uint8Array, owner: Retained | null, from: ReplicatedFrom): Promise<ReplicateOutcome>
  diverged(epoch: number, endOffset: number, leaderEpoch: LeaderEpoch): Promise<TruncateOutcome>
  startOver(atOffset: Offset, leaderEpoch: LeaderEpoch): Promise<TruncateOutcome>
}

/** One partition that is followed under one leader epoch. */
export class FollowedPartition {
  readonly key: string
  readonly host: FollowedHost
  readonly leaderEpoch: LeaderEpoch
  /** `working`: its last answer is being carried out; `waiting`: something failed and is tried again later. */
  phase: 'ready' | 'working' | 'waiting' | 'gone' = 'ready'
  /** In `waiting`: until then, on the monotonic clock. */
  retryAtMs = 0
  /** In a row. */
  failures = 0
  /** What the leader's session has of it, null: it is not in there. */
  asked: ReplicaPosition | null = null
  /** The number of the request that last said so: answers to earlier ones do not concern it. */
  askedIn = 0
  /** An answer came that was not taken: what it said of the leader's offsets the leader must say again. */
  hasMissed = false
  /** As the leader last said it. */
  leaderHighWatermark = Infinity
  /** The answer that it is working on. */
  round = 0
  /** In `waiting`: what the host wakes when it has a position again. */
  waiter: Waiter | null = null

  constructor(host: FollowedHost, leaderEpoch: LeaderEpoch) {
    this.key = partitionKey(host.topicId, host.partition)
    this.host = host
    this.leaderEpoch = leaderEpoch
  }

  /** Where it goes on, if it is still followed under the epoch that it was assigned with. */
  position(): ReplicaPosition | null {
    const position = this.host.replicaPosition()
    return position?.leaderEpoch === this.leaderEpoch ? position : null
  }
}

export function partitionKey(topicId: TopicId, partition: number): string {
  return `${topicId}:${partition}`
}

type Request = Input<typeof FetchRequest>
type RequestTopic = Request['topics'][number]
type RequestPartition = RequestTopic['partitions'][number]

/** The part of a fetch request that a session is about. */
export interface SessionPart {
  /** Counts the requests of this follower. */
  readonly number: number
  /** The request begins a session, and names every partition. */
  readonly isFull: boolean
  readonly sessionId: number
  readonly sessionEpoch: number
  readonly topics: readonly RequestTopic[]
  readonly forgottenTopicsData: NonNullable<Request['forgottenTopicsData']>
}

const MAX_EPOCH = 2 ** 31 - 1

export class FollowerSession {
  readonly #partitions = new Map<string, FollowedPartition>()
  /** Those of which the leader may have to be told something. */
  readonly #changed = new Set<FollowedPartition>()
  /** In the leader's session, and no longer followed; by key. */
  readonly #left = new Map<string, { readonly topicId: TopicId; readonly partition: number }>()
  #id = 0
  /** Of the next request; 0 begins a session. */
  #epoch = 0
  #number = 0
  /** The leader had no room for a session the last time: every request names everything. */
  isRefused = false

  get size(): number {
    return this.#partitions.size
  }

  get partitions(): Iterable<FollowedPartition> {
    return this.#partitions.values()
  }

  get(topicId: TopicId, partition: number): FollowedPartition | undefined {
    return this.#partitions.get(partitionKey(topicId, partition))
  }

  /** In place of an older one of the same key. */
  add(partition: FollowedPartition): void {
    const { key } = partition
    const before = this.#partitions.get(key)
    // What the leader has of it is out of date, but it does have it: until it is asked for anew, or not at all.
    if (before !== undefined) this.#drop(before)
    this.#partitions.set(key, partition)
    this.#changed.add(partition)
  }

  remove(topicId: TopicId, partition: number): void {
    const found = this.get(topicId, partition)
    if (found !== undefined) this.#drop(found)
  }

  #drop(partition: FollowedPartition): void {
    const { key, host, asked } = partition
    partition.phase = 'gone'
    this.#partitions.delete(key)
    this.#changed.delete(partition)
    if (asked !== null) this.#left.set(key, { topicId: host.topicId, partition: host.partition })
  }

  /** Its phase or its position is another one than it was. */
  changed(partition: FollowedPartition): void {
    if (partition.phase !== 'gone') this.#changed.add(partition)
  }

  /** There is a partition to ask for that the leader does not know of, or not where it stands now. */
  get hasNews(): boolean {
    for (const { phase } of this.#changed) if (phase === 'ready') return true
    return false
  }

  /** Nothing that was said to the leader holds any more. */
  reset(): void {
    this.#epoch = 0
    this.#left.clear()
    this.#changed.clear()
    for (const partition of this.#partitions.values()) {
      partition.asked = null
      this.#changed.add(partition)
    }
  }

  /**
   * What to ask next, or null where there is nothing. `cannot` is called for a partition that is ready and yet has no
   * position; it must put it into another phase.
   */
  next(options: {
    readonly maxBytes: number
    /** A request that says nothing new is not worth it, because one is under way. */
    readonly onlyNews: boolean
    readonly cannot: (partition: FollowedPartition) => void
  }): SessionPart | null {
    const { maxBytes, onlyNews, cannot } = options
    const isFull = this.#epoch === 0
    const number = this.#number + 1
    const asked = new Map<TopicId, RequestPartition[]>()
    const forgotten = new Map<TopicId, number[]>()
    for (const partition of isFull ? this.#partitions.values() : this.#changed) {
      this.#ask(partition, number, maxBytes, asked, forgotten, cannot)
    }
    for (const { topicId, partition } of this.#left.values()) into(forgotten, topicId, partition)
    this.#left.clear()
    if (onlyNews && asked.size === 0 && forgotten.size === 0) return null
    if (!this.#asksAnything()) return null
    this.#number = number
    const sessionEpoch = this.#epoch
    this.#epoch = sessionEpoch === MAX_EPOCH ? 1 : sessionEpoch + 1
    return {
      number,
      isFull,
      // A full request closes the session that was before, if there still is one.
      sessionId: this.#id,
      sessionEpoch,
      topics: Array.from(asked, ([topicId, partitions]) => ({ topicId, partitions })),
      forgottenTopicsData: Array.from(forgotten, ([topicId, partitions]) => ({ topicId, partitions })),
    }
  }

  #ask(
    partition: FollowedPartition,
    number: number,
    maxBytes: number,
    asked: Map<TopicId, RequestPartition[]>,
    forgotten: Map<TopicId, number[]>,
    cannot: (partition: FollowedPartition) => void,
  ): void {
    const { host } = partition
    const position = partition.phase === 'ready' ? partition.position() : null
    if (position === null && partition.phase === 'ready') cannot(partition)
    this.#changed.delete(partition)
    if (position === null) {
      if (partition.asked !== null) into(forgotten, host.topicId, host.partition)
      partition.asked = null
      return
    }
    if (partition.asked !== null && !partition.hasMissed && isSame(partition.asked, position)) return
    partition.hasMissed = false
    partition.asked = position
    partition.askedIn = number
    this.#left.delete(partition.key)
    into(asked, host.topicId, {
      partition: host.partition,
      currentLeaderEpoch: position.leaderEpoch,
      fetchOffset: position.fetchOffset,
      lastFetchedEpoch: position.lastFetchedEpoch,
      logStartOffset: position.logStartOffset,
      partitionMaxBytes: maxBytes,
    })
  }

  /** A session of which all is forgotten would end: whoever asks for nothing does not ask. */
  #asksAnything(): boolean {
    for (const { asked } of this.#partitions.values()) if (asked !== null) return true
    this.reset()
    return false
  }

  /** The answer to a full request: the leader has made a session, or (0) it has not. */
  opened(sessionId: number): void {
    this.#id = sessionId
    this.isRefused = sessionId === 0
    if (this.isRefused) this.reset()
  }
}

function isSame(a: ReplicaPosition, b: ReplicaPosition): boolean {
  return (
    a.fetchOffset === b.fetchOffset &&
    a.lastFetchedEpoch === b.lastFetchedEpoch &&
    a.leaderEpoch === b.leaderEpoch &&
    a.logStartOffset === b.logStartOffset
  )
}

function into<Key, Item>(lists: Map<Key, Item[]>, key: Key, item: Item): void {
  const list = lists.get(key)
  if (list === undefined) lists.set(key, [item])
  else list.push(item)
}
