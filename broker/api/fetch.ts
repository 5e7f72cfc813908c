/**
 * Fetch: reads partitions from given offsets, waits where there is too little, and answers with the very bytes that
 * were stored: slices, which are given back when the answer has been sent.
 *
 * Limits: the first partition of the request that has anything yields at least one batch, however large; everything
 * behind it stays inside what is left of the request's limit. Partitions are read in the order of the request, or of
 * the session, which puts those that yielded something last.
 *
 * Followers fetch by the same request; what is different for them is in `FollowerFetch`.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type FetchRequest, type FetchResponse } from '../../client/protocol/messages/fetch.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type BrokerId, type Offset } from '../../client/protocol/types.ts'
import { type FetchPlan, type FetchPosition, type FetchSession } from '../runtime/fetch-sessions.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type FetchOutcome, type Isolation, type ReadRequest } from '../runtime/partition-types.ts'
import { type DelayedOperation, type Wakeable } from '../runtime/purgatory.ts'
import { type ApiHandler, NO_RESPONSE, type NoResponse, type RequestContext } from '../server/handler.ts'
import { nodeEndpoints } from './brokers.ts'
import { type BrokerContext } from './context.ts'
import { FollowerFetch, followerOf } from './fetch-follower.ts'
import { diverges, hostAt, topicAt } from './fetch-position.ts'
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
      const replica = followerOf(request)
      const plan = context.fetchSessions.begin(request, byTopicId, replica?.replica ?? null)
      if (plan.kind === 'refused') return { errorCode: plan.error, responses: [] }
      const follower = replica === null ? null : new FollowerFetch(context, replica, plan, byTopicId)
      return new FetchOperation(context, request, requestContext, plan, follower).start()
    },
  }
}

/** What a read has yielded, or who else is to be asked. */
interface PartitionAnswer extends FetchOutcome {
  readonly preferredReadReplica?: number
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
  readonly #follower: FollowerFetch | null
  /** Of a consumer: a replica that does not lead may serve it. */
  readonly #allowFollower: boolean
  /** Of a consumer that is to be sent to a replica in it; null: it reads here. */
  readonly #rack: string | null
  /** Its number in the session, if there is one. */
  readonly #number: number
  #resolve: ((response: Response | NoResponse | Promise<Response>) => void) | null = null
  /** Takes back what has been left for the time of waiting. */
  #forget: (() => void) | null = null
  /** Leaders that errors of the answer point to; null as long as none does. */
  #hinted: number[] | null = null

  constructor(
    context: BrokerContext,
    request: FetchRequest,
    requestContext: RequestContext,
    plan: Plan,
    follower: FollowerFetch | null,
  ) {
    this.#context = context
    this.#requestContext = requestContext
    this.#plan = plan
    this.#number = plan.kind === 'incremental' ? plan.session.requests : 0
    this.#byTopicId = requestContext.apiVersion >= BY_TOPIC_ID_SINCE
    this.#isolation = request.isolationLevel === 1 ? 'read_committed' : 'read_uncommitted'
    this.#maxWaitMs = request.maxWaitMs
    this.#maxBytes = Math.min(request.maxBytes, context.config.values['fetch.max.bytes'])
    this.#minBytes = Math.min(request.minBytes, this.#maxBytes)
    this.#follower = follower
    this.#allowFollower = follower === null && requestContext.apiVersion >= FROM_FOLLOWERS_SINCE
    const byRack = this.#allowFollower && request.rackId !== '' && selectsByRack(context)
    this.#rack = byRack ? request.rackId : null
  }

  start(): Response | Promise<Response | NoResponse> {
    this.#follower?.begin()
    if (this.#maxWaitMs <= 0 || this.#minBytes <= 0 || this.#isReady()) return this.#read()
    return new Promise(resolve => {
      this.#resolve = resolve
      const waitMs = this.#follower?.waitMs(this.#maxWaitMs) ?? this.#maxWaitMs
      const waiting = this.#context.purgatory.wait(this, this.#wakeables(), waitMs)
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

  #wakeables(): readonly Wakeable[] {
    if (this.#follower !== null) return this.#follower.wakeables()
    const wakeables: Wakeable[] = []
    for (const position of this.#plan.positions) {
      const host = this.#host(position)
      if (typeof host !== 'number') wakeables.push(host)
    }
    return wakeables
  }

  /** A follower may have more to be looked at than when its fetch began. */
  #positions(): readonly FetchPosition[] {
    return this.#follower?.positions() ?? this.#plan.positions
  }

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
    this.#forget?.()
    this.#forget = null
    resolve?.(response)
  }

  #host(position: FetchPosition): PartitionHost | ErrorCode {
    return hostAt(this.#context, this.#byTopicId, position)
  }

  /** Enough bytes, or an error, or nothing to wait for: an answer that holds an error must not wait. */
  #isReady(): boolean {
    const positions = this.#positions()
    if (positions.length === 0) return this.#follower?.isWatching !== true
    let bytes = 0
    for (const position of positions) {
      const host = this.#host(position)
      if (typeof host === 'number') return true
      bytes += this.#follower?.readable(host, position) ?? this.#readable(host, position)
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
    if (this.#follower !== null) {
      const answer = this.#follower.read(host, position, request)
      return typeof answer === 'number' ? failed(answer) : answer
    }
    const near = this.#nearReplica(host, position)
    return near === null ? host.read(request) : this.#redirect(host, request, near)
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
    if (this.#follower !== null) this.#tellSent(this.#follower, reading)
    if (plan.kind === 'incremental') return this.#respondWithNews(reading, plan.session)
    const { positions } = reading
    const responses: ResponseTopic[] = []
    for (const [index, outcome] of reading.outcomes.entries()) {
      this.#add(responses, positions[index]!, outcome)
    }
    let sessionId = 0
    if (plan.kind === 'full') {
      for (const [index, outcome] of reading.outcomes.entries()) remember(positions[index]!, outcome)
      const replica = this.#follower?.replica ?? null
      sessionId = this.#context.fetchSessions.create(positions, this.#byTopicId, replica)?.id ?? 0
    }
    return this.#finish(sessionId, responses)
  }

  #tellSent(follower: FollowerFetch, { positions, outcomes }: Reading): void {
    for (const [index, { byteLength }] of outcomes.entries()) {
      if (byteLength > 0) follower.sends(positions[index]!, byteLength)
    }
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
      if (isCurrent) this.#follower?.answered(position)
    }
    return this.#finish(session.id, responses)
  }

  #finish(sessionId: number, responses: ResponseTopic[]): Response {
    const response = { errorCode: ErrorCode.NONE, sessionId, responses }
    const { connection } = this.#requestContext
    if (this.#hinted === null) return response
    return { ...response, nodeEndpoints: nodeEndpoints(this.#context, connection, this.#hinted) }
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
      // As Kafka has it: consumers get a list, if an empty one, and followers none.
      abortedTransactions: this.#follower === null ? outcome.abortedTransactions : null,
      // Never null: librdkafka takes that for a broken answer.
      records: outcome.slices,
    }
    const { apiVersion } = this.#requestContext
    if (outcome.divergingEpoch !== null) return { ...partition, divergingEpoch: outcome.divergingEpoch }
    if (apiVersion < LEADER_HINT_SINCE || !namesLeader(outcome.error)) return partition
    const topic = topicAt(this.#context, this.#byTopicId, position)
    const registration = topic?.partitions[position.partition]
    if (registration === undefined) return partition
    const { leader, leaderEpoch } = registration
    // A follower knows where everybody is.
    if (this.#follower === null) {
      this.#hinted ??= []
      this.#hinted.push(leader)
    }
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

function namesLeader(error: number): boolean {
  return error === ErrorCode.NOT_LEADER_OR_FOLLOWER || error === ErrorCode.FENCED_LEADER_EPOCH
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
