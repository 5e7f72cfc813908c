/**
 * Keeps one quiet link to every other broker that is registered, and says what becomes of them: a process that has
 * ended is found out when the system closes its connections, long before its lease runs out. What is heard and not
 * heard the judge weighs; here are the links, one heartbeat for all, and the log.
 *
 * It reports and ends nothing: whether a dead broker's lease is ended is for its owner to say.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type ApiVersionsResponse } from '../../client/protocol/messages/api-versions.ts'
import { type BrokerId } from '../../client/protocol/types.ts'
import { type Address, type Env, type TimerHandle } from '../env.ts'
import { BrokerLink, type LinkError, type LinkMemory, type LinkReply } from './broker-link.ts'
import { type PeerCondition, PeerJudge, type PeerVerdict } from './peer-judge.ts'

export interface PeerMonitorOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'random' | 'network' | 'log'>
  readonly memory: LinkMemory
  readonly brokerId: BrokerId
  /** Between two heartbeats. */
  readonly heartbeatMs: () => number
  /** It has asked to be relieved of what it leads: that it ends is no misfortune. */
  readonly isLeaving: (broker: BrokerId) => boolean
  /** Its process has ended; called at once, and once for each registration. */
  readonly onDead: (broker: BrokerId) => void
  /** Something has become clear of a peer, or it is no longer registered. */
  readonly onJudged: (broker: BrokerId, verdict: PeerVerdict) => void
}

/** Plain numbers that only grow. */
export interface PeerCounters {
  heartbeats: number
  suspicions: number
  deaths: number
  linkFailures: number
  siteFailures: number
  recoveries: number
}

/** A peer that has been silent for so many heartbeats is suspect; for twice as many, it is judged. */
const PATIENCE_BEATS = 2
const MIN_BACKOFF_MS = 50
const MAX_BACKOFF_MS = 1000
const MAX_FRAME_BYTES = 1024 * 1024

export class PeerMonitor {
  readonly counters: PeerCounters = {
    heartbeats: 0,
    suspicions: 0,
    deaths: 0,
    linkFailures: 0,
    siteFailures: 0,
    recoveries: 0,
  }
  readonly #options: PeerMonitorOptions
  readonly #peers = new Map<BrokerId, Peer>()
  /** Brokers that are not registered and were last told of as failed. */
  readonly #reported = new Set<BrokerId>()
  #timer: TimerHandle | null = null
  #dueMs = 0

  constructor(options: PeerMonitorOptions) {
    this.#options = options
  }

  /** What each registered broker looks like from here. */
  *conditions(): Iterable<{
    readonly broker: BrokerId
    readonly condition: PeerCondition
    readonly heardMs: number
  }> {
    for (const { broker, judge } of this.#peers.values()) {
      yield { broker, condition: judge.condition, heardMs: judge.heardMs }
    }
  }

  /** A broker has registered, perhaps anew, and is at `address`; or (null) its registration is gone. */
  brokerChanged(broker: BrokerId, address: Address | null): void {
    const before = this.#peers.get(broker)
    if (before !== undefined) {
      this.#peers.delete(broker)
      before.stop()
      if (address === null) this.#pronounce(before, before.judge.unregistered())
      if (before.judge.isReported) this.#reported.add(broker)
    }
    if (address === null) {
      if (this.#peers.size === 0) this.#rest()
      return
    }
    const wasReported = this.#reported.delete(broker)
    const { clock } = this.#options.env
    const patienceMs = PATIENCE_BEATS * this.#options.heartbeatMs()
    const judge = new PeerJudge({ patienceMs, nowMs: clock.monotonicMs(), wasReported })
    const pronounce = (peer: Peer, verdict: PeerVerdict | null): void => this.#pronounce(peer, verdict)
    const peer = new Peer(this.#options, { broker, address, judge, pronounce })
    this.#peers.set(broker, peer)
    peer.connect()
    if (this.#timer === null) this.#plan()
  }

  stop(): void {
    for (const peer of this.#peers.values()) peer.stop()
    this.#peers.clear()
    this.#rest()
  }

  #rest(): void {
    if (this.#timer !== null) this.#options.env.timers.clear(this.#timer)
    this.#timer = null
  }

  #plan(): void {
    const { timers, clock } = this.#options.env
    const heartbeatMs = this.#options.heartbeatMs()
    this.#dueMs = clock.monotonicMs() + heartbeatMs
    this.#timer = timers.set(heartbeatMs, () => this.#beat(heartbeatMs))
  }

  #beat(heartbeatMs: number): void {
    const nowMs = this.#options.env.clock.monotonicMs()
    // A process that was held up has not listened: what it did not hear meanwhile may still be in its sockets.
    const lateMs = nowMs - this.#dueMs
    for (const peer of this.#peers.values()) {
      if (lateMs > heartbeatMs) peer.judge.excuse(lateMs)
      peer.beat(this.counters)
      this.#pronounce(peer, peer.judge.passed(nowMs))
    }
    this.#plan()
  }

  #pronounce({ broker, address, judge }: Peer, verdict: PeerVerdict | null): void {
    if (verdict === null) return
    this.#tell(broker, address, judge, verdict)
    this.#options.onJudged(broker, verdict)
  }

  #tell(broker: BrokerId, address: Address, judge: PeerJudge, verdict: PeerVerdict): void {
    const { log, clock } = this.#options.env
    const silentMs = Math.round(clock.monotonicMs() - judge.heardMs)
    const fields = { broker, address: `${address.host}:${address.port}`, silentMs }
    switch (verdict) {
      case 'suspected':
        this.counters.suspicions++
        log.debug('A broker is silent; it is given as long again', fields)
        return
      case 'dead':
        this.counters.deaths++
        if (this.#options.isLeaving(broker)) log.info('A broker that was leaving has ended', fields)
        else log.warn('A broker has ended: its connection broke and nobody listens there any more', fields)
        this.#options.onDead(broker)
        return
      case 'link-failed':
        this.counters.linkFailures++
        log.warn(
          'The link to a broker has failed: it does not answer here, while its registration in the metadata store lives. Look at the network between the two.',
          fields,
        )
        return
      case 'site-failed':
        this.counters.siteFailures++
        log.error('A broker has failed: it answers neither here nor to the metadata store', fields)
        return
      case 'recovered':
        this.counters.recoveries++
        log.info('A broker that had failed answers again', fields)
        return
      default:
        verdict satisfies never
    }
  }
}

interface PeerOptions {
  readonly broker: BrokerId
  readonly address: Address
  readonly judge: PeerJudge
  readonly pronounce: (peer: Peer, verdict: PeerVerdict | null) => void
}

/** One other broker, and the link to it. */
class Peer {
  readonly broker: BrokerId
  readonly address: Address
  readonly judge: PeerJudge
  readonly #options: PeerMonitorOptions
  readonly #pronounce: PeerOptions['pronounce']
  #link: BrokerLink | null = null
  #failures = 0
  #timer: TimerHandle | null = null
  #stopped = false

  constructor(options: PeerMonitorOptions, { broker, address, judge, pronounce }: PeerOptions) {
    this.#options = options
    this.broker = broker
    this.address = address
    this.judge = judge
    this.#pronounce = pronounce
  }

  connect(): void {
    const { env, memory, brokerId, heartbeatMs } = this.#options
    this.#link = BrokerLink.open({
      env,
      memory,
      address: this.address,
      clientId: `broker-${brokerId}-monitor`,
      connectTimeoutMs: PATIENCE_BEATS * heartbeatMs(),
      maxFrameBytes: MAX_FRAME_BYTES,
      onReady: () => this.#heard(),
      onEnded: error => this.#ended(error),
    })
  }

  /** Asks for a sign of life, if none is under way. */
  beat(counters: PeerCounters): void {
    const link = this.#link
    if (link === null || !link.isReady || link.inFlight > 0) return
    counters.heartbeats++
    link.relax()
    // Another broker that has come to this address says so, and is no sign of life of this one.
    const request = {
      clientSoftwareName: 'sluice-broker',
      clientSoftwareVersion: '1',
      nodeId: this.broker,
    }
    // The judge has judged by then: the link is made anew.
    const timeoutMs = 2 * PATIENCE_BEATS * this.#options.heartbeatMs()
    const reply: LinkReply<ApiVersionsResponse> = {
      answered: ({ errorCode }) => {
        if (errorCode === ErrorCode.NONE) this.#heard()
      },
      failed() {},
    }
    link.send(API.ApiVersions, request, { timeoutMs }, reply)
  }

  stop(): void {
    this.#stopped = true
    this.#link?.close()
    this.#link = null
    if (this.#timer !== null) this.#options.env.timers.clear(this.#timer)
    this.#timer = null
  }

  #heard(): void {
    this.#failures = 0
    this.#pronounce(this, this.judge.heard(this.#options.env.clock.monotonicMs()))
  }

  #ended(error: LinkError): void {
    if (this.#stopped) return
    const isBroken = error.code === 'LOST' || error.code === 'TIMEOUT'
    this.#link = null
    if (isBroken) this.judge.broken()
    if (error.code === 'REFUSED') this.#pronounce(this, this.judge.refused())
    // The answer to a verdict may be that it is monitored no more.
    if (this.#isStopped()) return
    const { timers, random } = this.#options.env
    // At once after a link broke: whether the next one is refused tells most.
    const longestMs = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** Math.min(this.#failures, 8))
    const delayMs = isBroken && this.#failures === 0 ? 0 : longestMs * (0.5 + random.float() / 2)
    this.#failures++
    this.#timer = timers.set(delayMs, () => {
      this.#timer = null
      this.connect()
    })
  }

  #isStopped(): boolean {
    return this.#stopped
  }
}
