/**
 * Copies the partitions that one other broker leads: over one link, with one fetch under way, again and again. The
 * answer goes to all its partitions at once, so that they share a sync, and the next fetch leaves as soon as they are
 * done; what the leader has in between comes with that one.
 *
 * - A partition that takes long (its log is being cut, its disk is slow) is left out after a while and joins again.
 * - A partition with something new to ask, while the leader holds the fetch under way for want of records, is asked for
 *   by a second fetch of the same session: the leader answers the first one then (`FetchSessions`).
 * - A throttled partition that is not in sync is left out while the quota is used up.
 * - Errors put a partition off, for a time that grows; the loss of the link puts all of them off.
 *
 * It decides nothing about the log: what becomes of records, of a divergence and of a start anew is the host's to say.
 */
import { API } from '../../client/protocol/apis.ts'
import { AssertionError } from '../../client/protocol/assert.ts'
import { ErrorCode, errorName } from '../../client/protocol/errors.ts'
import { type FetchResponse } from '../../client/protocol/messages/fetch.ts'
import { type BrokerId, type Offset } from '../../client/protocol/types.ts'
import { type Address, type Env, type TimerHandle } from '../env.ts'
import { type Retained } from '../slab.ts'
import { AnswerRound } from './answer-round.ts'
import { BrokerLink, type LinkError, type LinkMemory } from './broker-link.ts'
import { type FollowedHost, FollowedPartition, FollowerSession } from './follower-session.ts'
import { findLeaderBounds } from './leader-bounds.ts'
import { type ReplicateOutcome, type TruncateOutcome } from './partition-types.ts'
import { WaitingPartitions } from './waiting-partitions.ts'

export interface FetcherConfig {
  /** How long a leader may hold a fetch for want of records. */
  readonly waitMaxMs: number
  readonly minBytes: number
  /** Of one partition. */
  readonly maxBytes: number
  /** Of one answer. */
  readonly responseMaxBytes: number
  /** The longest time for which a partition is put off after an error. */
  readonly backoffMs: number
  readonly socketTimeoutMs: number
}

/** What goes wrong on the way and how much arrives; plain numbers that only grow. */
export interface FetcherCounters {
  fetches: number
  bytes: number
  partitionErrors: number
  corruptBatches: number
  divergences: number
  startsOver: number
  sessionErrors: number
  linkFailures: number
}

/** What slows down replicas that are not in sync (KIP-73): all fetchers of a broker share one quota. */
export interface CopyingThrottle {
  /** Milliseconds until there is quota again, 0 where there is some now. */
  readonly msUntilBack: number
  /** This replica is throttled and not in sync: without quota it is not to be asked for. */
  holds(host: FollowedHost): boolean
  /** So many bytes were copied; counted where the replica is throttled. */
  record(host: FollowedHost, bytes: number): void
}

/** What the fetchers of a broker share. */
export interface FetcherServices {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'network' | 'log'>
  readonly memory: LinkMemory
  readonly brokerId: BrokerId
  /** Of the registration that holds now. */
  brokerEpoch(): number
  config(): FetcherConfig
  readonly throttle: CopyingThrottle
  readonly counters: FetcherCounters
  /** A bug was found: the broker must stop. */
  onFatal(error: Error): void
  /** An answer brought nothing: memory that is kept for more may be given back. */
  quiet(): void
}

type Responses = FetchResponse['responses']
type Answer = Responses[number]['partitions'][number]

/** The oldest version that says all that a follower has to say. */
const MIN_FETCH_VERSION = 17
const CONNECT_TIMEOUT_MS = 3000
/** A batch may be as large as its producer was allowed to make it; the answer holds at least one. */
const MAX_FRAME_BYTES = 256 * 1024 * 1024
/** What an answer takes beside its records, at most in a common case. */
const ENVELOPE_BYTES = 64 * 1024
const MIN_LINK_BACKOFF_MS = 50
const MAX_LINK_BACKOFF_MS = 1000
const MIN_BACKOFF_MS = 20
/** For so long at most a throttled partition waits before the quota is looked at again: it may have been raised. */
const MAX_THROTTLE_MS = 1000
/** Errors in a row before the log tells of them: a new leader is often heard of before it has heard itself. */
const SILENT_FAILURES = 6

export class ReplicaFetcher {
  readonly leader: BrokerId
  readonly #services: FetcherServices
  readonly #session = new FollowerSession()
  readonly #waiting: WaitingPartitions
  readonly #round: AnswerRound
  #address: Address | null
  #link: BrokerLink | null = null
  #linkFailures = 0
  #connectTimer: TimerHandle | null = null
  /** Fetches under way: one, or two while the second ends the wait of the first. */
  #inFlight = 0
  #fullInFlight = false
  #lastBytes = 0
  #pumpPlanned = false
  #stopped = false

  /** `address` null: the leader is not known to be there, and nothing is tried until it is. */
  constructor(services: FetcherServices, leader: BrokerId, address: Address | null) {
    this.#services = services
    this.leader = leader
    this.#address = address
    this.#waiting = new WaitingPartitions(services.env, partition => {
      this.#session.changed(partition)
      this.#planPump()
    })
    this.#round = new AnswerRound(services.env, () => this.#pump())
  }

  get size(): number {
    return this.#session.size
  }

  /** The last answer brought no records. */
  get isQuiet(): boolean {
    return this.#link === null || this.#lastBytes === 0
  }

  add(host: FollowedHost, leaderEpoch: FollowedPartition['leaderEpoch']): void {
    const known = this.#session.get(host.topicId, host.partition)
    if (known?.host === host && known.leaderEpoch === leaderEpoch) {
      // Said again: whatever kept it from getting on may be over.
      if (known.phase === 'waiting') this.#waiting.end(known)
    } else {
      if (known !== undefined) this.#waiting.remove(known)
      this.#session.add(new FollowedPartition(host, leaderEpoch))
    }
    this.#planPump()
  }

  remove(topicId: FollowedHost['topicId'], partition: number): void {
    const known = this.#session.get(topicId, partition)
    if (known === undefined) return
    this.#waiting.remove(known)
    this.#session.remove(topicId, partition)
    if (this.#session.size === 0) this.#disconnect()
  }

  /** The leader has moved, is back, or (null) is gone. */
  moveTo(address: Address | null): void {
    this.#address = address
    this.#disconnect()
    this.#linkFailures = 0
    this.#planPump()
  }

  stop(): void {
    this.#stopped = true
    this.#disconnect()
    this.#waiting.stop()
    this.#round.stop()
    for (const { host } of [...this.#session.partitions]) this.remove(host.topicId, host.partition)
  }

  // --------------------------------------------------------------------------------------------- the link

  #connect(address: Address): void {
    const { env, memory, brokerId } = this.#services
    const link = BrokerLink.open({
      env,
      memory,
      address,
      clientId: `broker-${brokerId}-fetcher`,
      connectTimeoutMs: CONNECT_TIMEOUT_MS,
      maxFrameBytes: MAX_FRAME_BYTES,
      onReady: () => this.#planPump(),
      onEnded: error => {
        if (this.#link === link) this.#lost(error)
      },
    })
    this.#link = link
  }

  #disconnect(): void {
    const link = this.#link
    this.#link = null
    link?.close()
    if (this.#connectTimer !== null) this.#services.env.timers.clear(this.#connectTimer)
    this.#connectTimer = null
    this.#inFlight = 0
    this.#session.reset()
  }

  #lost(error: LinkError): void {
    const { env, counters } = this.#services
    this.#disconnect()
    counters.linkFailures++
    const delayMs = jittered(env, growing(MIN_LINK_BACKOFF_MS, this.#linkFailures, MAX_LINK_BACKOFF_MS))
    this.#linkFailures++
    const fields = { leader: this.leader, partitions: this.size, code: error.code, error: error.message }
    if (this.#linkFailures === 1) env.log.info('The link to a leader broke; it is made anew', fields)
    else if (this.#linkFailures === SILENT_FAILURES) {
      env.log.warn('A leader cannot be reached: its partitions are not copied; it is tried again', fields)
    }
    this.#connectTimer = env.timers.set(delayMs, () => {
      this.#connectTimer = null
      this.#pump()
    })
  }

  // ------------------------------------------------------------------------------------------- fetching

  #planPump(): void {
    if (this.#pumpPlanned || this.#stopped) return
    this.#pumpPlanned = true
    this.#services.env.timers.endOfTurn(() => {
      this.#pumpPlanned = false
      this.#pump()
    })
  }

  /** Sends the next fetch if it is time for it. */
  #pump(): void {
    if (this.#stopped || this.#session.size === 0 || this.#connectTimer !== null) return
    if (this.#link === null) {
      if (this.#address !== null) this.#connect(this.#address)
      return
    }
    if (!this.#link.isReady || this.#inFlight > 1) return
    const mayInterrupt = !this.#fullInFlight && this.#session.hasNews
    if (this.#inFlight === 1 ? !mayInterrupt : this.#round.isOpen) return
    this.#fetch(this.#link)
  }

  #fetch(link: BrokerLink): void {
    const { brokerId, counters, memory } = this.#services
    const config = this.#services.config()
    this.#holdThrottled()
    const cannot = (partition: FollowedPartition): void => this.#putOff(partition)
    const part = this.#session.next({ maxBytes: config.maxBytes, onlyNews: this.#inFlight > 0, cannot })
    if (part === null) return
    const { number, isFull, ...request } = part
    // A full request makes the session; it is not to be held, for only within a session a wait can be ended.
    const maxWaitMs = isFull && !this.#session.isRefused ? 0 : config.waitMaxMs
    this.#inFlight++
    this.#fullInFlight = isFull
    counters.fetches++
    link.send(
      API.Fetch,
      {
        replicaState: { replicaId: brokerId, replicaEpoch: this.#services.brokerEpoch() },
        maxWaitMs,
        // With none a leader would not hold a fetch at all.
        minBytes: Math.max(1, config.minBytes),
        maxBytes: Math.max(1, Math.min(config.responseMaxBytes, memory.pooledFrameBytes - ENVELOPE_BYTES)),
        ...request,
      },
      { timeoutMs: config.socketTimeoutMs + maxWaitMs, minVersion: MIN_FETCH_VERSION },
      {
        answered: (response, owner) => {
          if (this.#link === link) this.#answered(response, owner, number, isFull)
        },
        // What becomes of the link tells the rest.
        failed() {},
      },
    )
  }

  #answered(response: FetchResponse, owner: Retained, number: number, isFull: boolean): void {
    this.#inFlight--
    if (response.errorCode !== ErrorCode.NONE) {
      this.#sessionFailed(response.errorCode, isFull)
      return
    }
    this.#linkRecovered()
    this.#round.begin()
    let bytes = 0
    for (const { topicId, partitions } of response.responses) {
      for (const answer of partitions) {
        const partition = this.#session.get(topicId, answer.partitionIndex)
        if (partition === undefined) continue
        const length = answer.records?.length ?? 0
        bytes += length
        if (length > 0) this.#services.throttle.record(partition.host, length)
        this.#take(partition, answer, owner, number)
      }
    }
    if (isFull) this.#session.opened(response.sessionId)
    this.#services.counters.bytes += bytes
    this.#lastBytes = bytes
    if (bytes === 0) {
      this.#link?.relax()
      this.#services.quiet()
    }
    if (this.#round.isOpen) this.#round.watch()
    else this.#pump()
  }

  /** The leader has forgotten the session, or lost count: a new one is begun, at once where that can help. */
  #sessionFailed(errorCode: number, isFull: boolean): void {
    const { counters, env } = this.#services
    counters.sessionErrors++
    env.log.debug('A fetch session ended', { leader: this.leader, error: errorName(errorCode) })
    this.#session.reset()
    if (!isFull) {
      this.#pump()
      return
    }
    this.#connectTimer = env.timers.set(jittered(env, this.#services.config().backoffMs), () => {
      this.#connectTimer = null
      this.#pump()
    })
  }

  #linkRecovered(): void {
    if (this.#linkFailures >= SILENT_FAILURES) {
      this.#services.env.log.info('A leader is reached again', { leader: this.leader })
    }
    this.#linkFailures = 0
  }

  // ------------------------------------------------------------------------------------- one partition

  #take(partition: FollowedPartition, answer: Answer, owner: Retained, number: number): void {
    const { asked, host } = partition
    if (asked === null || partition.askedIn > number) return
    if (partition.phase !== 'ready') {
      // Two answers on one another's heels: with the first done it may stand where it stood, and have nothing to ask.
      partition.hasMissed = true
      return
    }
    const position = partition.position()
    if (position?.fetchOffset !== asked.fetchOffset) {
      // It is an answer to a question that is out of date: the next request asks from where the log stands now.
      this.#session.changed(partition)
      return
    }
    const { counters } = this.#services
    const { epoch, endOffset } = answer.divergingEpoch
    if (answer.errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
      this.#work(partition, this.#meetBounds(partition, position.fetchOffset))
    } else if (answer.errorCode !== ErrorCode.NONE) {
      counters.partitionErrors++
      this.#putOff(partition, errorName(answer.errorCode))
    } else if (endOffset >= 0) {
      counters.divergences++
      this.#work(partition, host.diverged(epoch, endOffset, partition.leaderEpoch))
    } else {
      const { highWatermark, logStartOffset } = answer
      partition.leaderHighWatermark = highWatermark
      const { fetchOffset } = position
      const from = { epoch: partition.leaderEpoch, fetchOffset, highWatermark, logStartOffset }
      const records = answer.records ?? NO_RECORDS
      this.#work(partition, host.replicate(records, owner, from))
    }
  }

  #work(partition: FollowedPartition, work: Promise<ReplicateOutcome>): void {
    partition.phase = 'working'
    this.#round.enter(partition)
    this.#session.changed(partition)
    work.then(
      outcome => this.#worked(partition, outcome),
      (error: unknown) => {
        if (error instanceof AssertionError) this.#services.onFatal(error)
        const why = error instanceof Error ? error.message : String(error)
        this.#worked(partition, 'failed', why)
      },
    )
  }

  #worked(partition: FollowedPartition, outcome: ReplicateOutcome, why?: string): void {
    const inTime = this.#round.leave(partition)
    if (partition.phase === 'working') {
      partition.phase = 'ready'
      if (outcome === 'ok') this.#gotOn(partition)
      else {
        if (outcome === 'corrupt') this.#services.counters.corruptBatches++
        this.#putOff(partition, why ?? outcome)
      }
    }
    if (!inTime) this.#planPump()
    else if (!this.#round.isOpen) this.#pump()
  }

  #gotOn(partition: FollowedPartition): void {
    if (partition.failures >= SILENT_FAILURES) {
      this.#services.env.log.info('A partition is copied again', { partition: partition.host.name })
    }
    partition.failures = 0
    this.#session.changed(partition)
  }

  /** The offset that was asked for is not in the leader's log: its start has passed it, or its end lies before it. */
  async #meetBounds(partition: FollowedPartition, fetchOffset: Offset): Promise<TruncateOutcome> {
    const link = this.#link
    if (link === null) return 'failed'
    const { brokerId, counters, env } = this.#services
    const { host, leaderEpoch } = partition
    const timeoutMs = this.#services.config().socketTimeoutMs
    const bounds = await findLeaderBounds(link, { host, leaderEpoch, brokerId, timeoutMs })
    if (bounds === null || partition.phase !== 'working') return 'failed'
    const { start, end } = bounds
    const fields = { partition: host.name, fetchOffset, leaderStart: start, leaderEnd: end.offset }
    if (start > fetchOffset) {
      counters.startsOver++
      env.log.warn('The leader has deleted what this replica would copy next; its log starts over', fields)
      return host.startOver(start, leaderEpoch)
    }
    if (end.offset >= fetchOffset) return 'failed'
    counters.divergences++
    env.log.warn('The leader has less than this replica: what is beyond its end is cut off', fields)
    return host.diverged(end.epoch, end.offset, leaderEpoch)
  }

  // --------------------------------------------------------------------------------------------- waiting

  /** Without a reason its host has no position: it tells when it has one again. */
  #putOff(partition: FollowedPartition, reason: string | null = null): void {
    const { env } = this.#services
    const delayMs = growing(MIN_BACKOFF_MS, partition.failures, this.#services.config().backoffMs)
    partition.failures++
    if (partition.failures === SILENT_FAILURES && reason !== null) {
      const fields = { partition: partition.host.name, leader: this.leader, reason }
      env.log.warn('A partition cannot be copied from its leader; it is tried again and again', fields)
    }
    this.#waiting.add(partition, env.clock.monotonicMs() + jittered(env, delayMs), reason === null)
    this.#session.changed(partition)
  }

  /**
   * While the quota is used up throttled partitions are not asked for, except those that have all that is committed.
   */
  #holdThrottled(): void {
    const { throttle, env } = this.#services
    const waitMs = Math.min(MAX_THROTTLE_MS, throttle.msUntilBack)
    if (waitMs === 0) return
    const untilMs = env.clock.monotonicMs() + waitMs
    for (const partition of this.#session.partitions) {
      if (partition.phase !== 'ready' || !throttle.holds(partition.host)) continue
      const position = partition.position()
      if (position === null || position.fetchOffset >= partition.leaderHighWatermark) continue
      this.#waiting.add(partition, untilMs)
      this.#session.changed(partition)
    }
  }
}

const NO_RECORDS = new Uint8Array(0)

function growing(fromMs: number, failures: number, toMs: number): number {
  return Math.min(toMs, fromMs * 2 ** Math.min(failures, 16))
}

function jittered({ random }: FetcherServices['env'], ms: number): number {
  return ms * (0.5 + random.float() / 2)
}
