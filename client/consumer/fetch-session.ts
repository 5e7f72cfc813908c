/**
 * The client's half of an incremental fetch session (KIP-227): remembers what the broker knows of this reader, so
 * that a request names only what changed. Pure. One session belongs to one broker.
 *
 * A session begins with a full request (epoch 0), to which the broker answers with an id, or with 0 where it gives
 * none: then every request is a full one. Whenever the two sides disagree, the next request starts over.
 */
import { ErrorCode } from '../protocol/errors.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../protocol/types.ts'

export interface WantedPartition {
  readonly topic: string
  /** Null where the broker does not know topic ids. */
  readonly topicId: TopicId | null
  readonly partition: number
  readonly fetchOffset: number
  readonly currentLeaderEpoch: number
  readonly partitionMaxBytes: number
}

interface WirePartition {
  readonly partition: number
  readonly currentLeaderEpoch: number
  readonly fetchOffset: number
  readonly partitionMaxBytes: number
}

export interface SessionRequest {
  readonly sessionId: number
  readonly sessionEpoch: number
  readonly topics: {
    readonly topic: string
    readonly topicId: TopicId
    readonly partitions: WirePartition[]
  }[]
  readonly forgottenTopicsData: {
    readonly topic: string
    readonly topicId: TopicId
    readonly partitions: number[]
  }[]
}

const FINAL_EPOCH = -1
const LARGEST_EPOCH = 0x7fff_ffff

export class FetchSession {
  #id = 0
  #epoch = 0
  /** What the broker holds of the session, by topic and partition. */
  #known = new Map<string, WantedPartition>()
  /** What it will hold once it has answered the request under way. */
  #offered = new Map<string, WantedPartition>()

  get isEstablished(): boolean {
    return this.#id !== 0
  }

  /**
   * The session part of the next request, for exactly these partitions. Their order is kept: the broker serves them
   * in it. Follow up with `accepted` or `failed`.
   */
  request(wanted: readonly WantedPartition[]): SessionRequest {
    const offered = new Map<string, WantedPartition>()
    for (const each of wanted) {
      const key = keyOf(each)
      const known = this.#known.get(key)
      // A topic that was deleted and made anew is another topic, and no session mixes the two.
      if (known !== undefined && known.topicId !== each.topicId) this.#epoch = 0
      offered.set(key, each)
    }
    const isFull = this.#epoch === 0
    const changed = isFull
      ? wanted
      : wanted.filter(each => {
          const known = this.#known.get(keyOf(each))
          return known === undefined || !isSame(known, each)
        })
    const forgotten = isFull
      ? []
      : [...this.#known].filter(([key]) => !offered.has(key)).map(([, gone]) => gone)
    this.#offered = offered
    return {
      sessionId: this.#id,
      sessionEpoch: this.#epoch,
      topics: byTopic(changed, each => ({
        partition: each.partition,
        currentLeaderEpoch: each.currentLeaderEpoch,
        fetchOffset: each.fetchOffset,
        partitionMaxBytes: each.partitionMaxBytes,
      })),
      forgottenTopicsData: byTopic(forgotten, each => each.partition),
    }
  }

  /** The broker took the request; `sessionId` is the one of its answer. */
  accepted(sessionId: number): void {
    if (sessionId === 0) {
      this.reset()
      return
    }
    this.#epoch =
      this.#id === sessionId && this.#epoch !== 0 && this.#epoch < LARGEST_EPOCH ? this.#epoch + 1 : 1
    this.#id = sessionId
    this.#known = this.#offered
  }

  /** The answer carried an error, or none came (null): start over. An id that still lives is named, to be freed. */
  failed(errorCode: number | null): void {
    const id = errorCode === ErrorCode.FETCH_SESSION_ID_NOT_FOUND ? 0 : this.#id
    this.reset()
    this.#id = id
  }

  reset(): void {
    this.#id = 0
    this.#epoch = 0
    this.#known = new Map()
    this.#offered = new Map()
  }

  /** What ends the session at the broker, or null where there is none. */
  farewell(): SessionRequest | null {
    if (this.#id === 0) return null
    const request = { sessionId: this.#id, sessionEpoch: FINAL_EPOCH, topics: [], forgottenTopicsData: [] }
    this.reset()
    return request
  }
}

function keyOf(partition: WantedPartition): string {
  return `${partition.partition}/${partition.topic}`
}

function isSame(left: WantedPartition, right: WantedPartition): boolean {
  return (
    left.fetchOffset === right.fetchOffset &&
    left.currentLeaderEpoch === right.currentLeaderEpoch &&
    left.partitionMaxBytes === right.partitionMaxBytes
  )
}

/** One entry per topic, in the order in which the topics first occur. */
function byTopic<T>(
  partitions: readonly WantedPartition[],
  shape: (partition: WantedPartition) => T,
): { topic: string; topicId: TopicId; partitions: T[] }[] {
  const groups = new Map<string, { topic: string; topicId: TopicId; partitions: T[] }>()
  for (const each of partitions) {
    let group = groups.get(each.topic)
    if (group === undefined) {
      group = { topic: each.topic, topicId: each.topicId ?? ZERO_TOPIC_ID, partitions: [] }
      groups.set(each.topic, group)
    }
    group.partitions.push(shape(each))
  }
  return [...groups.values()]
}
