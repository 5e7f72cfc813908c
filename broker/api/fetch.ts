/**
 * Fetch: reads partitions from given offsets, waits where there is too little, and answers with the very bytes that
 * were stored: slices, which are given back when the answer has been sent.
 *
 * Limits: the first partition of the request that has anything yields at least one batch, however large; everything
 * behind it stays inside what is left of the request's limit. Partitions are read in the order of the request, or of
 * the session, which puts those that yielded something last.
 *
 * Followers fetch by the same request. What they ask for tells what they have; they read up to the end of what is
 * written, and are woken by writes, not by commits. Who is no replica of a partition reads nothing of it. One that is
 * throttled and not in sync gets no records while the quota is used up, and its fetch waits until some is back.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type FetchRequest, type FetchResponse } from '../../client/protocol/messages/fetch.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type BrokerId, type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type TopicImage } from '../controller/image.ts'
import { type FetchPlan, type FetchPosition, type FetchSession } from '../runtime/fetch-sessions.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type FetchOutcome, type Isolation, type ReadRequest } from '../runtime/partition-types.ts'
import { type DelayedOperation, type Wakeable } from '../runtime/purgatory.ts'
import { type SessionAttention } from '../runtime/session-attention.ts'
import { type ApiHandler, NO_RESPONSE, type NoResponse, type RequestContext } from '../server/handler.ts'
import { nodeEndpoints } from './brokers.ts'
import { type BrokerContext, partitionOf } from './context.ts'
import { nearReplica, selectsByRack } from './near-replica.ts'

type Response = Input<typeof FetchResponse>
type ResponseTopic = Response['responses'][number]
type ResponsePartition = ResponseTopic['partitions'][number]
type Plan = Exclude<FetchPlan, { kind: 'refused' }>

/** From this version on topics are named by id, and by id alone. */
const BY_TOPIC_ID_SINCE = 13
/** From this version on a consumer may be served by a follower (KIP-392). */
const FROM_FOLLOWERS_SINCE = 11
/** From this version on an error may name the leader and its endpoint (KIP-951). */
const LEADER_HINT_SINCE = 16

export function fetchHandler(context: BrokerContext): ApiHandler<FetchRequest, Response> {
  return {
    api: API.Fetch,
    expectedResponseBytes: ({ maxBytes }) => Math.min(maxBytes, context.config.values['fetch.max.bytes']),
    handle(request, requestContext) {
      const { apiVersion } = requestContext
      const byTopicId = apiVersion >= BY_TOPIC_ID_SINCE
      const plan = context.fetchSessions.begin(request, byTopicId)
      if (plan.kind === 'refused') return { errorCode: plan.error, responses: [] }
      return new FetchOperation(context, request, requestContext, plan, byTopicId).start()
    },
  }
}

/** What a read has yielded, or who else is to be asked. */
interface PartitionAnswer extends FetchOutcome {
  readonly preferredReadReplica?: number
}

/** Another broker that copies what this one leads. */
interface Follower {
  readonly replica: BrokerId
  /** -1 in versions that do not say. */
  readonly brokerEpoch: number
}

/** Which of the two places the id is in depends on the version (KIP-903). */
function followerOf({ replicaId, replicaState }: FetchRequest): Follower | null {
  if (replicaState.replicaId >= 0) {
    return { replica: replicaState.replicaId as BrokerId, brokerEpoch: replicaState.replicaEpoch }
  }
  return replicaId >= 0 ? { replica: replicaId as BrokerId, brokerEpoch: -1 } : null
}

/** One fetch on its way: at once, or after a while in the purgatory. */
class FetchOperation implements DelayedOperation {
  readonly #context: BrokerContext
  readonly #requestContext: RequestContext
  readonly #plan: Plan
  readonly #byTopicId: boolean
  readonly #isolation: Isolation
  readonly #maxWaitMs: number
  readonly #minBytes: number
  readonly #maxBytes: number
  /** Null: a consumer asks. */
  readonly #replica: Follower | null
  readonly #allowFollower: boolean
  /** Of a consumer that is to be sent to a replica in it; null: it reads here. */
  readonly #rack: string | null
  /** Followers serve consumers, so they must hear of commits without delay. */
  readonly #tellCommits: boolean
  /** Its number in the session, if there is one. */
  readonly #number: number
  #resolve: ((response: Response | NoResponse | Promise<Response>) => void) | null = null

  constructor(
    context: BrokerContext,
    request: FetchRequest,
    requestContext: RequestContext,
    plan: Plan,
    byTopicId: boolean,
  ) {
    this.#context = context
    this.#requestContext = requestContext
    this.#plan = plan
    this.#number = plan.kind === 'incremental' ? plan.session.requests : 0
    this.#byTopicId = byTopicId
    this.#isolation = request.isolationLevel === 1 ? 'read_committed' : 'read_uncommitted'
    this.#maxWaitMs = request.maxWaitMs
    this.#maxBytes = Math.min(request.maxBytes, context.config.values['fetch.max.bytes'])
    this.#minBytes = Math.min(request.minBytes, this.#maxBytes)
    this.#replica = followerOf(request)
    this.#allowFollower = this.#replica === null && requestContext.apiVersion >= FROM_FOLLOWERS_SINCE
    const byRack = selectsByRack(context)
    this.#rack = byRack && this.#allowFollower && request.rackId !== '' ? request.rackId : null
    this.#tellCommits = byRack && this.#replica !== null && plan.kind === 'incremental'
  }

  start(): Response | Promise<Response | NoResponse> {
    if (this.#replica !== null) this.#meet(this.#replica)
    if (this.#maxWaitMs <= 0 || this.#minBytes <= 0 || this.#isReady()) return this.#read()
    return new Promise(resolve => {
      this.#resolve = resolve
      const waiting = this.#context.purgatory.wait(this, this.#wakeables(), this.#waitMs())
      const session = this.#plan.kind === 'incremental' ? this.#plan.session : null
      if (session !== null) {
        session.endWait = () => {
          waiting.cancel()
          this.#answer(this.#read())
        }
      }
      const forget = this.#requestContext.onClose(() => {
        waiting.cancel()
        this.#answer(NO_RESPONSE)
      })
      this.#forget = () => {
        forget()
        if (session !== null) session.endWait = null
      }
    })
  }

  #forget: () => void = () => {}

  /** What is held back by the throttle wants to be looked at when there is quota again: nothing else wakes it. */
  #waitMs(): number {
    const { msUntilBack } = this.#context.throttle.leader
    return this.#isHeldBack ? Math.min(this.#maxWaitMs, msUntilBack) : this.#maxWaitMs
  }

  #isHeldBack = false

  #wakeables(): Wakeable[] {
    if (this.#attention !== null) return [this.#attention]
    const wakeables: Wakeable[] = []
    for (const position of this.#plan.positions) {
      const host = this.#host(position)
      if (typeof host === 'number') continue
      if (this.#replica !== null) wakeables.push(host.replicaWaiters)
      if (this.#replica === null || this.#tellCommits) wakeables.push(host)
    }
    return wakeables
  }

  /** Of a follower's session: what is to be looked at. */
  get #attention(): SessionAttention | null {
    return this.#plan.kind === 'incremental' ? this.#plan.session.attention : null
  }

  /** What a follower asks for tells what it has: its leaders hear of it before anything is read. */
  #meet({ brokerEpoch }: Follower): void {
    if (this.#plan.kind !== 'incremental') {
      for (const position of this.#plan.positions) this.#takeNote(position)
      return
    }
    const { session } = this.#plan
    const { attention } = session
    if (attention === null) return
    attention.tellsBounds = this.#tellCommits
    if (attention.brokerEpoch === brokerEpoch) return
    attention.brokerEpoch = brokerEpoch
    session.noticeAll()
  }

  /** Of a follower's session those that want a look now, which may be more than when the fetch began. */
  #positions(): readonly FetchPosition[] {
    const attention = this.#attention
    if (attention === null) return this.#plan.positions
    const { due } = attention
    for (const position of due) {
      if (this.#noted.has(position)) continue
      const host = this.#takeNote(position)
      if (typeof host !== 'number') attention.watch(position, host)
    }
    return due
  }

  readonly #noted = new Set<FetchPosition>()

  #takeNote(position: FetchPosition): PartitionHost | ErrorCode {
    const host = this.#host(position)
    if (typeof host === 'number' || this.#replica === null) return host
    this.#noted.add(position)
    const { replica, brokerEpoch } = this.#replica
    const error = host.replicaFetched({
      replica,
      brokerEpoch,
      fetchOffset: position.fetchOffset as Offset,
      lastFetchedEpoch: position.lastFetchedEpoch,
      logStartOffset: position.logStartOffset as Offset,
      leaderEpoch: position.currentLeaderEpoch,
    })
    if (error !== ErrorCode.NONE) this.#refused.set(position, error)
    return host
  }

  /** Partitions in which this follower is not served, with the reason. */
  readonly #refused = new Map<FetchPosition, ErrorCode>()

  tryComplete(): boolean {
    if (!this.#isReady()) return false
    this.#answer(this.#read())
    return true
  }

  expire(): void {
    this.#answer(this.#read())
  }

  #answer(response: Response | NoResponse | Promise<Response>): void {
    const resolve = this.#resolve
    this.#resolve = null
    this.#forget()
    resolve?.(response)
  }

  #topic(position: FetchPosition): TopicImage | undefined {
    const { image } = this.#context.metadata
    return this.#byTopicId ? image.topicById(position.topicId) : image.topic(position.topic)
  }

  #host(position: FetchPosition): PartitionHost | ErrorCode {
    const unknown = this.#byTopicId ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    return partitionOf(this.#context, this.#topic(position), position.partition, unknown)
  }

  /** The follower is not in sync, and what this broker may send to such ones is used up (KIP-73). */
  #isThrottled(position: FetchPosition): boolean {
    const quota = this.#context.throttle.leader
    if (this.#replica === null || quota.msUntilBack === 0) return false
    const topic = this.#topic(position)
    return topic !== undefined && quota.holds(topic, position.partition, this.#replica.replica)
  }

  #countThrottled(reading: Reading): void {
    const quota = this.#context.throttle.leader
    for (const [index, { byteLength }] of reading.outcomes.entries()) {
      if (byteLength === 0) continue
      const position = reading.positions[index]!
      const topic = this.#topic(position)
      if (topic !== undefined && quota.covers(topic, position.partition)) quota.record(byteLength)
    }
  }

  /** Enough bytes, or an error, or nothing to wait for: an answer that holds an error must not wait. */
  #isReady(): boolean {
    const positions = this.#positions()
    if (positions.length === 0) return this.#attention === null
    let bytes = 0
    for (const position of positions) {
      const host = this.#host(position)
      if (typeof host === 'number') return true
      const readable =
        this.#replica === null ? this.#readable(host, position) : this.#replicable(host, position)
      if (readable > 0 && readable < Infinity && this.#isThrottled(position)) {
        this.#isHeldBack = true
        continue
      }
      bytes += readable
      if (bytes >= this.#minBytes) return true
    }
    return false
  }

  /** Infinity where the answer is an error, or something else that must not wait. */
  #readable(host: PartitionHost, position: FetchPosition): number {
    const { currentLeaderEpoch, fetchOffset } = position
    const error = this.#allowFollower
      ? host.checkReplica(currentLeaderEpoch)
      : host.checkLeader(currentLeaderEpoch)
    if (error !== ErrorCode.NONE || diverges(host, position)) return Infinity
    if (this.#nearReplica(host, position) !== null) return Infinity
    return host.readableBytes(fetchOffset as Offset, this.#isolation)
  }

  #nearReplica(host: PartitionHost, { fetchOffset }: FetchPosition): BrokerId | null {
    return this.#rack === null ? null : nearReplica(this.#context, host, this.#rack, fetchOffset as Offset)
  }

  #replicable(host: PartitionHost, position: FetchPosition): number {
    if (this.#refused.has(position)) return Infinity
    if (host.checkLeader(position.currentLeaderEpoch) !== ErrorCode.NONE) return Infinity
    if (diverges(host, position)) return Infinity
    if (this.#tellCommits && position.sentHighWatermark !== host.highWatermark) return Infinity
    return host.replicableBytes(position.fetchOffset as Offset)
  }

  /** Without a promise as long as every partition answers from memory. */
  #read(): Response | Promise<Response> {
    const positions = this.#positions()
    const reading = new Reading(positions, this.#maxBytes)
    for (let index = 0; index < positions.length; index++) {
      const outcome = this.#readOne(positions[index]!, reading)
      if (outcome instanceof Promise) return this.#readRest(index, outcome, reading)
      reading.take(outcome)
    }
    return this.#respond(reading)
  }

  async #readRest(from: number, first: Promise<PartitionAnswer>, reading: Reading): Promise<Response> {
    const { positions } = reading
    try {
      reading.take(await first)
      for (let index = from + 1; index < positions.length; index++) {
        reading.take(await this.#readOne(positions[index]!, reading))
      }
    } catch (error) {
      reading.release()
      throw error
    }
    return this.#respond(reading)
  }

  #readOne(position: FetchPosition, reading: Reading): PartitionAnswer | Promise<PartitionAnswer> {
    const host = this.#host(position)
    if (typeof host === 'number') return failed(host)
    const request = {
      offset: position.fetchOffset as Offset,
      maxBytes: Math.min(position.maxBytes, reading.remaining),
      isolation: this.#isolation,
      currentLeaderEpoch: position.currentLeaderEpoch,
      lastFetchedEpoch: position.lastFetchedEpoch,
      atLeastOne: reading.isEmpty,
      allowFollower: this.#allowFollower,
    }
    if (this.#replica === null) {
      const near = this.#nearReplica(host, position)
      return near === null ? host.read(request) : this.#redirect(host, request, near)
    }
    const refusal = this.#refused.get(position)
    if (refusal !== undefined) return failed(refusal)
    // Without records it still hears of bounds and of where the logs part.
    if (this.#isThrottled(position))
      return host.readForReplica({ ...request, maxBytes: 0, atLeastOne: false })
    return host.readForReplica(request)
  }

  /** The offsets of here, and the records from there. */
  #redirect(
    host: PartitionHost,
    request: ReadRequest,
    near: BrokerId,
  ): PartitionAnswer | Promise<PartitionAnswer> {
    const bounds = host.read({ ...request, maxBytes: 0, atLeastOne: false })
    if (bounds instanceof Promise) return bounds
    const isFine = bounds.error === ErrorCode.NONE && bounds.divergingEpoch === null
    if (!isFine) return bounds
    const { error, highWatermark, lastStableOffset, logStartOffset, abortedTransactions } = bounds
    return {
      error,
      highWatermark,
      lastStableOffset,
      logStartOffset,
      divergingEpoch: null,
      abortedTransactions,
      slices: [],
      byteLength: 0,
      release: () => bounds.release(),
      preferredReadReplica: near,
    }
  }

  #respond(reading: Reading): Response {
    const plan = this.#plan
    this.#requestContext.onSent(() => reading.release())
    if (this.#replica !== null) this.#countThrottled(reading)
    if (plan.kind === 'incremental') return this.#respondWithNews(reading, plan.session)
    const { positions } = reading
    const responses: ResponseTopic[] = []
    for (const [index, outcome] of reading.outcomes.entries()) {
      this.#add(responses, positions[index]!, outcome)
    }
    let sessionId = 0
    if (plan.kind === 'full') {
      for (const [index, outcome] of reading.outcomes.entries()) remember(positions[index]!, outcome)
      const replica = this.#replica?.replica ?? null
      sessionId = this.#context.fetchSessions.create(positions, this.#byTopicId, replica)?.id ?? 0
    }
    return this.#finish(sessionId, responses)
  }

  #respondWithNews(reading: Reading, session: FetchSession): Response {
    const responses: ResponseTopic[] = []
    for (const [index, outcome] of reading.outcomes.entries()) {
      const position = reading.positions[index]!
      // While the records came from the disk the position may have been named anew: that answer tells it then.
      const isCurrent = position.namedIn <= this.#number
      if (hasNews(position, outcome)) {
        if (isCurrent) remember(position, outcome)
        this.#add(responses, position, outcome)
        if (outcome.byteLength > 0) session.rotate(position)
      }
      if (isCurrent && this.#rests(position)) session.attention?.rest(position)
    }
    return this.#finish(session.id, responses)
  }

  /** The follower has all that there is, knows all bounds, and is in sync: until that changes it need not be told. */
  #rests(position: FetchPosition): boolean {
    if (this.#replica === null || this.#refused.has(position)) return false
    const host = this.#host(position)
    if (typeof host === 'number' || this.#replicable(host, position) > 0) return false
    const { fetchOffset, sentHighWatermark, sentLogStartOffset } = position
    return (
      sentHighWatermark === host.highWatermark &&
      sentLogStartOffset === host.state.logStartOffset &&
      host.hasInSync(this.#replica.replica, fetchOffset as Offset)
    )
  }

  #finish(sessionId: number, responses: ResponseTopic[]): Response {
    const { apiVersion, connection } = this.#requestContext
    const response = { errorCode: ErrorCode.NONE, sessionId, responses }
    const leaders = apiVersion < LEADER_HINT_SINCE ? [] : responses.flatMap(hintedLeaders)
    if (leaders.length === 0) return response
    return { ...response, nodeEndpoints: nodeEndpoints(this.#context, connection, leaders) }
  }

  /** Partitions that follow one another in one topic share its entry. */
  #add(responses: ResponseTopic[], position: FetchPosition, outcome: PartitionAnswer): void {
    const last = responses.at(-1)
    const { topic, topicId } = position
    const same = last !== undefined && (this.#byTopicId ? last.topicId === topicId : last.topic === topic)
    const partition = this.#describe(position, outcome)
    if (same) (last.partitions as ResponsePartition[]).push(partition)
    else responses.push({ topic, topicId, partitions: [partition] })
  }

  #describe(position: FetchPosition, outcome: PartitionAnswer): ResponsePartition {
    const partition = {
      preferredReadReplica: outcome.preferredReadReplica ?? -1,
      partitionIndex: position.partition,
      errorCode: outcome.error,
      highWatermark: outcome.highWatermark,
      lastStableOffset: outcome.lastStableOffset,
      logStartOffset: outcome.logStartOffset,
      abortedTransactions: outcome.abortedTransactions,
      // Never null: librdkafka takes that for a broken answer.
      records: outcome.slices,
    }
    const { apiVersion } = this.#requestContext
    if (outcome.divergingEpoch !== null) return { ...partition, divergingEpoch: outcome.divergingEpoch }
    if (apiVersion < LEADER_HINT_SINCE || !namesLeader(outcome.error)) return partition
    const registration = this.#topic(position)?.partitions[position.partition]
    if (registration === undefined) return partition
    const { leader, leaderEpoch } = registration
    return { ...partition, currentLeader: { leaderId: leader, leaderEpoch } }
  }
}

/** What one fetch has read so far, and how much more it may. */
class Reading {
  readonly outcomes: PartitionAnswer[] = []
  readonly positions: readonly FetchPosition[]
  remaining: number
  isEmpty = true

  constructor(positions: readonly FetchPosition[], maxBytes: number) {
    this.positions = positions
    this.remaining = maxBytes
  }

  take(outcome: PartitionAnswer): void {
    this.outcomes.push(outcome)
    if (outcome.byteLength === 0) return
    this.isEmpty = false
    this.remaining = Math.max(0, this.remaining - outcome.byteLength)
  }

  release(): void {
    for (const outcome of this.outcomes) outcome.release()
  }
}

/** Records, an error, or a bound that has moved since the last answer of the session. */
function hasNews(position: FetchPosition, outcome: PartitionAnswer): boolean {
  return (
    outcome.preferredReadReplica !== undefined ||
    outcome.byteLength > 0 ||
    outcome.error !== ErrorCode.NONE ||
    outcome.divergingEpoch !== null ||
    outcome.highWatermark !== position.sentHighWatermark ||
    outcome.logStartOffset !== position.sentLogStartOffset
  )
}

/** After an error the high watermark counts as not sent, so that the partition comes again when the error has gone. */
function remember(position: FetchPosition, outcome: FetchOutcome): void {
  const broken = outcome.error !== ErrorCode.NONE || outcome.divergingEpoch !== null
  position.sentHighWatermark = broken ? -1 : outcome.highWatermark
  position.sentLogStartOffset = outcome.logStartOffset
}

/** The read will say where the logs part, or that it cannot say. In the newest epoch, as nearly always, none do. */
function diverges(host: PartitionHost, { lastFetchedEpoch, fetchOffset }: FetchPosition): boolean {
  if (lastFetchedEpoch < 0) return false
  const { epochs, logEndOffset } = host.state
  if (lastFetchedEpoch === epochs.latestEpoch) return fetchOffset > logEndOffset
  const end = epochs.endOffsetFor(lastFetchedEpoch as LeaderEpoch, logEndOffset)
  return end === null || end.epoch !== lastFetchedEpoch || end.endOffset < fetchOffset
}

function namesLeader(error: number): boolean {
  return error === ErrorCode.NOT_LEADER_OR_FOLLOWER || error === ErrorCode.FENCED_LEADER_EPOCH
}

function hintedLeaders({ partitions }: ResponseTopic): number[] {
  return partitions.flatMap(({ currentLeader }) => currentLeader?.leaderId ?? [])
}

function failed(error: ErrorCode): FetchOutcome {
  return {
    error,
    highWatermark: -1,
    lastStableOffset: -1,
    logStartOffset: -1,
    divergingEpoch: null,
    abortedTransactions: [],
    slices: [],
    byteLength: 0,
    release() {},
  }
}
