/**
 * Incremental fetch sessions (KIP-227): the broker remembers which partitions a client reads, so that a fetch names
 * only what has changed and an answer holds only what has news.
 *
 * A session has an id and an epoch that counts its requests. A request with epoch 0 makes one (if there is room), one
 * with epoch -1 ends it, and one whose epoch is not the next is refused: the client then starts anew. Which
 * partitions are read, and in which order, is kept here; reading them is not.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type BrokerId, type TopicId } from '../../client/protocol/types.ts'
import { type Clock, type Random } from '../env.ts'
import { onceEach } from './once-each.ts'
import { SessionAttention } from './session-attention.ts'

/** One partition as a client reads it. Topic names and ids are as the request gave them: one of the two is empty. */
export class FetchPosition {
  readonly topic: string
  readonly topicId: TopicId
  readonly partition: number
  fetchOffset: number
  maxBytes: number
  currentLeaderEpoch: number
  lastFetchedEpoch: number
  /** Of a follower: where its log starts. -1: it does not say. */
  logStartOffset: number
  /** What the last answer of the session said; -1 when the next one must say it again. */
  sentHighWatermark = -1
  sentLogStartOffset = -1
  /** The request of its session that last named it: a follower passes over what answers to earlier ones say of it. */
  namedIn = 0

  constructor(topic: string, topicId: TopicId, from: AskedPartition) {
    this.topic = topic
    this.topicId = topicId
    this.partition = from.partition
    this.fetchOffset = from.fetchOffset
    this.maxBytes = from.partitionMaxBytes
    this.currentLeaderEpoch = epochOf(from.currentLeaderEpoch)
    this.lastFetchedEpoch = epochOf(from.lastFetchedEpoch)
    this.logStartOffset = from.logStartOffset ?? -1
  }

  moveTo(from: AskedPartition): void {
    this.fetchOffset = from.fetchOffset
    this.maxBytes = from.partitionMaxBytes
    this.currentLeaderEpoch = epochOf(from.currentLeaderEpoch)
    this.lastFetchedEpoch = epochOf(from.lastFetchedEpoch)
    this.logStartOffset = from.logStartOffset ?? -1
  }
}

/** Every negative epoch stands for none. */
function epochOf(epoch: number): number {
  return Math.max(-1, epoch)
}

export interface AskedPartition {
  readonly partition: number
  readonly fetchOffset: number
  readonly partitionMaxBytes: number
  readonly currentLeaderEpoch: number
  readonly lastFetchedEpoch: number
  readonly logStartOffset?: number
}

/** The part of a fetch request that sessions are about. */
export interface SessionRequest {
  readonly sessionId: number
  readonly sessionEpoch: number
  readonly topics: readonly {
    readonly topic: string
    readonly topicId: TopicId
    readonly partitions: readonly AskedPartition[]
  }[]
  readonly forgottenTopicsData: readonly {
    readonly topic: string
    readonly topicId: TopicId
    readonly partitions: readonly number[]
  }[]
}

/** How a request is to be read and answered. */
export type FetchPlan =
  | { readonly kind: 'refused'; readonly error: ErrorCode }
  /** Answer everything, remember nothing. */
  | { readonly kind: 'sessionless'; readonly positions: readonly FetchPosition[] }
  /** Answer everything, and make a session of it. */
  | { readonly kind: 'full'; readonly positions: readonly FetchPosition[] }
  /** Answer what has news. */
  | {
      readonly kind: 'incremental'
      readonly positions: readonly FetchPosition[]
      readonly session: FetchSession
    }

const NO_SESSION = 0
const INITIAL_EPOCH = 0
const FINAL_EPOCH = -1
const MAX_EPOCH = 2 ** 31 - 1

/** For so long a session is left alone even when there is no room for another (as in Kafka). */
const PROTECTED_MS = 120_000

export class FetchSession {
  readonly id: number
  /** Topics are named by id (Fetch 13 and later); one session cannot mix the two. */
  readonly byTopicId: boolean
  /** The follower whose it is: what it has missed is said again, and it has room before any consumer's. */
  readonly replica: BrokerId | null
  /** Of a follower: what is to be looked at; of a consumer all is, and this null. */
  readonly attention: SessionAttention | null
  readonly createdMs: number
  lastUsedMs: number
  /** Answers the request of the session that waits, if any: a session has one question at a time. */
  endWait: (() => void) | null = null
  /** That the next request must carry. */
  epoch = 1
  /** How many requests have gone on with it. */
  requests = 0
  /** In the order in which they are read. */
  readonly #positions = new Map<string, FetchPosition>()
  #list: FetchPosition[] | null = null

  constructor(
    id: number,
    kind: { readonly byTopicId: boolean; readonly replica: BrokerId | null },
    nowMs: number,
    positions: readonly FetchPosition[],
  ) {
    this.id = id
    this.byTopicId = kind.byTopicId
    this.replica = kind.replica
    this.attention = kind.replica === null ? null : new SessionAttention()
    this.createdMs = nowMs
    this.lastUsedMs = nowMs
    for (const position of positions) {
      this.#positions.set(this.#key(position), position)
      this.attention?.notice(position)
    }
  }

  get size(): number {
    return this.#positions.size
  }

  /** All of them, of a follower those that want a look. */
  positions(): readonly FetchPosition[] {
    if (this.attention !== null) return this.attention.due
    this.#list ??= [...this.#positions.values()]
    return this.#list
  }

  /**
   * The partition goes to the end, so that the next answer begins with others: one busy partition must not starve
   * them.
   */
  rotate(position: FetchPosition): void {
    if (this.attention !== null) {
      this.attention.rotate(position)
      return
    }
    if (this.#positions.size < 2) return
    const key = this.#key(position)
    if (this.#positions.get(key) !== position) return
    this.#positions.delete(key)
    this.#positions.set(key, position)
    this.#list = null
  }

  update(request: SessionRequest): void {
    this.requests++
    for (const { topic, topicId, partitions } of request.topics) {
      for (const asked of partitions) {
        const key = this.#key({ topic, topicId, partition: asked.partition })
        const known = this.#positions.get(key)
        if (known !== undefined) {
          known.moveTo(asked)
          known.namedIn = this.requests
          if (this.attention === null) continue
          // A follower may have dropped the answer that said it.
          known.sentHighWatermark = -1
          this.attention.notice(known)
          continue
        }
        const position = new FetchPosition(topic, topicId, asked)
        position.namedIn = this.requests
        this.#positions.set(key, position)
        this.attention?.notice(position)
        this.#list = null
      }
    }
    for (const { topic, topicId, partitions } of request.forgottenTopicsData) {
      for (const partition of partitions) {
        const key = this.#key({ topic, topicId, partition })
        const known = this.#positions.get(key)
        if (known === undefined) continue
        this.#positions.delete(key)
        this.attention?.forget(known)
        this.#list = null
      }
    }
  }

  /** All of them want a look. */
  noticeAll(): void {
    for (const position of this.#positions.values()) this.attention?.notice(position)
  }

  #key(position: { readonly topic: string; readonly topicId: TopicId; readonly partition: number }): string {
    return `${this.byTopicId ? position.topicId : position.topic}:${position.partition}`
  }
}

export class FetchSessions {
  readonly #clock: Clock
  readonly #random: Random
  readonly #slots: () => number
  /** The least recently used first. */
  readonly #sessions = new Map<number, FetchSession>()

  /** `slots`: how many sessions are remembered at most; asked anew each time. */
  constructor(options: { clock: Clock; random: Random; slots: () => number }) {
    this.#clock = options.clock
    this.#random = options.random
    this.#slots = options.slots
  }

  get size(): number {
    return this.#sessions.size
  }

  /** `replica`: the follower that asks, null for a consumer. Nobody goes on with the session of another kind. */
  begin(request: SessionRequest, byTopicId: boolean, replica: BrokerId | null = null): FetchPlan {
    const { sessionId, sessionEpoch } = request
    if (sessionEpoch === INITIAL_EPOCH || sessionEpoch === FINAL_EPOCH) {
      if (sessionId !== NO_SESSION) this.#end(sessionId)
      const positions = positionsOf(request)
      return { kind: sessionEpoch === INITIAL_EPOCH ? 'full' : 'sessionless', positions }
    }
    const session = this.#sessions.get(sessionId)
    if (session?.replica !== replica) return { kind: 'refused', error: ErrorCode.FETCH_SESSION_ID_NOT_FOUND }
    if (session.epoch !== sessionEpoch)
      return { kind: 'refused', error: ErrorCode.INVALID_FETCH_SESSION_EPOCH }
    if (session.byTopicId !== byTopicId)
      return { kind: 'refused', error: ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR }
    session.endWait?.()
    session.update(request)
    if (session.size === 0) {
      this.#end(sessionId)
      return { kind: 'sessionless', positions: [] }
    }
    session.epoch = session.epoch === MAX_EPOCH ? 1 : session.epoch + 1
    session.lastUsedMs = this.#clock.monotonicMs()
    this.#sessions.delete(sessionId)
    this.#sessions.set(sessionId, session)
    return { kind: 'incremental', session, positions: session.positions() }
  }

  /** Remembers the partitions of a full fetch, in place of a follower's former session; null when there is no room. */
  create(
    positions: readonly FetchPosition[],
    byTopicId: boolean,
    replica: BrokerId | null = null,
  ): FetchSession | null {
    const nowMs = this.#clock.monotonicMs()
    for (const session of this.#sessions.values()) {
      if (replica !== null && session.replica === replica) this.#end(session.id)
    }
    if (!this.#makeRoom(nowMs, positions.length, replica !== null)) return null
    let id: number
    do id = 1 + this.#random.int(MAX_EPOCH)
    while (this.#sessions.has(id))
    const session = new FetchSession(id, { byTopicId, replica }, nowMs, positions)
    this.#sessions.set(id, session)
    return session
  }

  #makeRoom(nowMs: number, size: number, isReplica: boolean): boolean {
    const slots = this.#slots()
    while (this.#sessions.size >= slots) {
      const victim = this.#victim(nowMs, size, isReplica)
      if (victim === null) return false
      this.#end(victim.id)
    }
    return true
  }

  #end(id: number): void {
    this.#sessions.get(id)?.attention?.close()
    this.#sessions.delete(id)
  }

  /**
   * One that is not used any more, else an old one that is smaller: a large session saves more than a small one. That
   * of a follower gives way to none, and any consumer's to it (Kafka calls them privileged).
   */
  #victim(nowMs: number, size: number, isReplica: boolean): FetchSession | null {
    let smallest: FetchSession | null = null
    for (const session of this.#sessions.values()) {
      if (session.lastUsedMs + PROTECTED_MS < nowMs) return session
      if (session.replica !== null) continue
      if (!isReplica && (session.createdMs + PROTECTED_MS >= nowMs || session.size >= size)) continue
      if (smallest === null || session.size < smallest.size) smallest = session
    }
    return smallest
  }
}

function positionsOf(request: SessionRequest): FetchPosition[] {
  const positions: FetchPosition[] = []
  for (const { topic, topicId, partitions } of request.topics) {
    for (const { item } of onceEach(partitions, ({ partition }) => partition)) {
      positions.push(new FetchPosition(topic, topicId, item))
    }
  }
  return positions
}
