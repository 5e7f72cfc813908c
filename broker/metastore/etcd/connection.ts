/**
 * Finds a member of etcd that can serve, and carries calls to it. A member that fails is left for the next one. What
 * changes something is sent once and not again, unless it is known that nothing was done, or that doing it twice is
 * the same as doing it once.
 */
import { MetaStoreError, type MetaStoreErrorCode } from '../metastore.ts'
import { closedError, judge, reasonOf, unavailable, unknownOutcome } from './errors.ts'
import { type Status } from './messages.ts'
import { type Endpoint, type Settings } from './options.ts'
import { Session } from './session.ts'
import { judgeVersion, KNOWN_DEFECTS, OLDEST_VERSION, SOUND_VERSIONS } from './version.ts'

export interface Call {
  readonly method: string
  readonly request: Uint8Array
  /**
   * - `read`: may be asked as often as one likes
   * - `repeatable`: a change that is the same when made twice
   * - `once`: a change that must not be sent again when its answer is lost
   */
  readonly kind: 'read' | 'repeatable' | 'once'
  /** Of a `repeatable` call: the refusal by which a repetition learns that it was done before. */
  readonly doneBefore?: MetaStoreErrorCode
}

/** What can be repeated gets this part of the time for one attempt, so that another member has a chance. */
const ATTEMPTS = 3
const SHORTEST_PAUSE_MS = 20
const LONGEST_PAUSE_MS = 500

export class EtcdConnection {
  readonly #settings: Settings
  /** The endpoint to try next. */
  #next: number
  #session: Session | null = null
  #connecting: Promise<Session> | null = null
  #isClosed = false
  #clusterId: bigint | null = null
  /** Why nobody could be reached lately; null while all is well. */
  #outage: string | null = null
  readonly #warned = new Set<string>()
  /** Pauses that end early when the connection closes. */
  readonly #pauses = new Set<() => void>()

  constructor(settings: Settings) {
    this.#settings = settings
    // Not all brokers shall lean on the first member.
    this.#next = settings.env.random.int(settings.endpoints.length)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /**
   * Resolves to the answer, or to null where a repeated call learned that it had been carried out before. Rejects with
   * a `MetaStoreError`.
   */
  async call(call: Call): Promise<Uint8Array | null> {
    const { requestTimeoutMs, env } = this.#settings
    const deadlineMs = env.clock.monotonicMs() + requestTimeoutMs
    const attemptMs = call.kind === 'once' ? requestTimeoutMs : requestTimeoutMs / ATTEMPTS
    /** The failure after which nobody knows whether the call was carried out. */
    let lost: unknown = null
    let hasRenewed = false
    for (let attempt = 1; ; attempt++) {
      const session = await this.#sessionFor(call, deadlineMs, lost)
      const leftMs = Math.max(1, deadlineMs - env.clock.monotonicMs())
      try {
        return await session.call(call.method, call.request, Math.min(leftMs, attemptMs))
      } catch (cause) {
        if (this.#isClosed && call.kind === 'read') throw closedError()
        const failure = judge(cause)
        switch (failure.kind) {
          case 'refused':
            if (lost !== null && failure.error.code === call.doneBefore) return null
            throw failure.error
          case 'token':
            await this.#renew(session, leftMs, cause, hasRenewed)
            hasRenewed = true
            continue
          case 'not-done':
            this.suspect(session)
            break
          case 'unknown':
            this.suspect(session)
            if (call.kind === 'once') throw unknownOutcome(cause)
            lost = cause
            break
          default:
            failure satisfies never
        }
        if (env.clock.monotonicMs() >= deadlineMs) throw overdue(call, lost, cause)
        await this.pause(attempt)
      }
    }
  }

  /** A member that can serve. Rejects with UNAVAILABLE where none is found by `deadlineMs` of the monotonic clock. */
  async session(deadlineMs: number): Promise<Session> {
    const { clock } = this.#settings.env
    for (let attempt = 1; ; attempt++) {
      if (this.#isClosed) throw closedError()
      if (this.#session?.isUsable === true) return this.#session
      if (this.#session !== null) this.suspect(this.#session)
      this.#connecting ??= this.#connect().finally(() => {
        this.#connecting = null
      })
      try {
        return await this.#until(deadlineMs, this.#connecting)
      } catch (error) {
        const mayPass = error instanceof MetaStoreError && error.code === 'UNAVAILABLE'
        if (!mayPass || clock.monotonicMs() >= deadlineMs) throw error
        await this.pause(attempt)
      }
    }
  }

  /** Something went wrong there: the next call goes to the next member. */
  suspect(session: Session): void {
    session.retire()
    if (this.#session !== session) return
    this.#session = null
    this.#next++
  }

  /** Waits a while before the next attempt, longer after each, never in step with others, and not beyond `close`. */
  async pause(attempt: number): Promise<void> {
    if (this.#isClosed) return
    const { timers, random } = this.#settings.env
    const most = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** Math.min(attempt, 10))
    await new Promise<void>(resolve => {
      const end = (): void => {
        timers.clear(timer)
        this.#pauses.delete(end)
        resolve()
      }
      const timer = timers.set((most * (1 + random.float())) / 2, end)
      this.#pauses.add(end)
    })
  }

  close(): void {
    this.#isClosed = true
    this.#session?.retire()
    this.#session = null
    for (const end of Array.from(this.#pauses)) end()
  }

  // ------------------------------------------------------------------------------------- inside

  async #sessionFor(call: Call, deadlineMs: number, lost: unknown): Promise<Session> {
    try {
      return await this.session(deadlineMs)
    } catch (error) {
      if (lost !== null && call.kind === 'repeatable') throw unknownOutcome(lost)
      throw error
    }
  }

  async #renew(session: Session, leftMs: number, cause: unknown, hasRenewed: boolean): Promise<void> {
    if (hasRenewed) {
      throw new MetaStoreError(
        'ACCESS_DENIED',
        `Etcd refuses the token that it has just given (${reasonOf(cause)}). Look into the logs of etcd: its members ` +
          'may differ in their settings (--auth-token).',
        { cause },
      )
    }
    try {
      await session.renewToken(leftMs)
    } catch (error) {
      if (error instanceof MetaStoreError) throw error
      // The next attempt finds another member, and logs in there.
      this.suspect(session)
    }
  }

  /** Asks each member once. */
  async #connect(): Promise<Session> {
    const { endpoints, env } = this.#settings
    const reasons: string[] = []
    let refusal: MetaStoreError | null = null
    for (let tried = 0; tried < endpoints.length; tried++) {
      const endpoint = endpoints[this.#next % endpoints.length]!
      try {
        const session = await this.#open(endpoint)
        if (this.#outage !== null) {
          env.log.info('etcd can be reached again', { endpoint: endpoint.url })
          this.#outage = null
        }
        this.#session = session
        return session
      } catch (error) {
        if (error instanceof MetaStoreError) {
          if (error.code !== 'UNSUPPORTED') throw error
          refusal = error
        }
        reasons.push(`${endpoint.url} says: ${reasonOf(error)}`)
        this.#next++
      }
    }
    if (refusal !== null && reasons.length === 1) throw refusal
    const reason = reasons.join('; ')
    if (this.#outage === null) env.log.warn('no member of etcd can be reached', { reason })
    this.#outage = reason
    throw unavailable(reason)
  }

  async #open(endpoint: Endpoint): Promise<Session> {
    const session = new Session(this.#settings, endpoint)
    try {
      const status = await session.open(this.#settings.connectTimeoutMs)
      if (this.#isClosed) throw closedError()
      this.#check(endpoint, status)
      session.isSound = judgeVersion(status.version) === 'sound'
      return session
    } catch (error) {
      session.retire()
      throw error
    }
  }

  #check(endpoint: Endpoint, { version, header, hasLeader }: Status): void {
    const verdict = judgeVersion(version)
    if (verdict === 'unsupported') {
      throw new MetaStoreError(
        'UNSUPPORTED',
        `The etcd at ${endpoint.url} is version ${version}, which lacks what the broker needs. Use ${SOUND_VERSIONS} or ` +
          `later (${OLDEST_VERSION} and later will do for tests).`,
      )
    }
    if (verdict === 'unsound') this.#meetUnsound(endpoint, version)
    if (!hasLeader) throw unavailable(`${endpoint.url} is cut off from the other members (it has no leader)`)
    this.#clusterId ??= header.clusterId
    if (header.clusterId !== this.#clusterId) {
      throw new MetaStoreError(
        'UNSUPPORTED',
        `The etcd at ${endpoint.url} belongs to another cluster than the ones before (${header.clusterId.toString(16)}, ` +
          `not ${this.#clusterId.toString(16)}): its revisions mean something else. Correct the addresses, and restart ` +
          'the broker if etcd was set up anew.',
      )
    }
  }

  #meetUnsound(endpoint: Endpoint, version: string): void {
    if (this.#settings.refusesUnsound) {
      throw new MetaStoreError(
        'UNSUPPORTED',
        `The etcd at ${endpoint.url} is version ${version}, which has known bugs: ${KNOWN_DEFECTS}. Upgrade it to ` +
          `${SOUND_VERSIONS} or later.`,
      )
    }
    const finding = `${endpoint.url} ${version}`
    if (this.#warned.has(finding)) return
    this.#warned.add(finding)
    this.#settings.env.log.warn(
      `this version of etcd has known bugs: ${KNOWN_DEFECTS}. It will do for tests; in production use ${SOUND_VERSIONS} ` +
        'or later',
      { endpoint: endpoint.url, version },
    )
  }

  async #until<T>(deadlineMs: number, promise: Promise<T>): Promise<T> {
    const { clock, timers } = this.#settings.env
    return new Promise<T>((resolve, reject) => {
      const timer = timers.set(Math.max(0, deadlineMs - clock.monotonicMs()), () => {
        reject(unavailable(this.#outage ?? 'no member has answered yet'))
      })
      promise.then(resolve, reject).finally(() => timers.clear(timer))
    })
  }
}

function overdue(call: Call, lost: unknown, cause: unknown): MetaStoreError {
  if (call.kind === 'repeatable' && lost !== null) return unknownOutcome(lost)
  return unavailable(reasonOf(cause), cause)
}
