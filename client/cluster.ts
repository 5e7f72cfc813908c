/**
 * The cluster as the client uses it: connections by broker and lane, metadata that is fetched when it is missing,
 * stale or contradicted, and requests that find their way and are tried again. Producers, consumers and admins share
 * one.
 *
 * A lane is a set of connections of its own: a fetch that waits for records must not hold up anybody else's answers.
 */
import { type ClientConfig } from './config.ts'
import { Connection } from './connection.ts'
import { metadataUpdated } from './diagnostics.ts'
import { type BrokerAddress, type ClientEnv, type ClientTimer } from './env.ts'
import { KafkaError, protocolError } from './errors.ts'
import { MetadataCache, type TopicMetadata } from './metadata.ts'
import { API, type Api } from './protocol/apis.ts'
import { ErrorCode } from './protocol/errors.ts'
import { orAborted, withRetries } from './retry.ts'

export type Lane = string

/** The lane of short requests. */
export const CONTROL_LANE: Lane = 'control'

export type Target =
  | 'any'
  | 'controller'
  | { readonly broker: number }
  | { readonly topic: string; readonly partition: number }

export interface RequestOptions<Response> {
  readonly target: Target
  readonly lane?: Lane
  readonly signal?: AbortSignal | undefined
  /** How long it may take with all retries; default `operationTimeoutMs`. */
  readonly timeoutMs?: number | undefined
  /** How long one answer may take; default `requestTimeoutMs`. */
  readonly requestTimeoutMs?: number
  /** Never use a version above this one. */
  readonly maxVersion?: number
  readonly minVersion?: number
  /** Throws for an answer that is a failure; a retriable KafkaError leads to another attempt. */
  readonly check?: (response: Response, broker: string) => void
}

export interface TopicOptions {
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number | undefined
  readonly allowAutoTopicCreation?: boolean
}

/** A topic that several answers in a row do not know is taken as missing: answers of different brokers may lag. */
const UNKNOWN_TOPIC_ATTEMPTS = 4
/** A broker that has owed an answer for so long may hang: others are asked whether they still count on it. */
const SILENT_MS = 1000
/** Who asks again so soon was not helped by the answer: then it is time to know another broker. */
const ASKED_AGAIN_MS = 5000
/** How long the first contact is tried for. */
const FIRST_CONTACT_TIMEOUT_MS = 15_000

export class Cluster {
  readonly config: ClientConfig
  readonly env: ClientEnv
  readonly metadata = new MetadataCache()
  readonly #connections = new Map<string, Connection>()
  readonly #opening = new Map<string, Promise<Connection>>()
  readonly #listeners = new Set<() => void>()
  readonly #closing = new AbortController()
  /** Topics that somebody uses: what a refresh asks for. */
  readonly #tracked = new Set<string>()
  #refreshing: Promise<void> | null = null
  #refreshPlanned = false
  #lastRefreshMs = Number.NEGATIVE_INFINITY
  #bootstrapTurn = 0
  #controlTurn = 0
  #ageTimer: ClientTimer | null = null
  #silenceTimer: ClientTimer | null = null
  #isInquiring = false

  constructor(config: ClientConfig, env: ClientEnv) {
    this.config = config
    this.env = env
  }

  get isClosed(): boolean {
    return this.#closing.signal.aborted
  }

  /** Called after every change of the metadata. Returns the function that ends it. */
  onUpdate(listener: () => void): () => void {
    this.#listeners.add(listener)
    if (this.#ageTimer === null) this.#watchAge()
    return () => this.#listeners.delete(listener)
  }

  /** Metadata of topics in use is asked again when it is old: partitions are added without anybody failing. */
  #watchAge(): void {
    this.#ageTimer = this.env.timers.setBackground(
      Math.min(this.config.metadataMaxAgeMs, 0x7fff_ffff),
      () => {
        if (this.isClosed) return
        if (this.#tracked.size > 0) this.refreshSoon()
        this.#watchAge()
      },
    )
  }

  // ---------------------------------------------------------------------------------------- silence

  #watchSilence(): void {
    this.#silenceTimer = this.env.timers.setBackground(SILENT_MS, () => {
      if (this.isClosed) return
      this.#watchSilence()
      const isSilent = [...this.#connections.values()].some(isOverdue)
      if (!isSilent || this.#isInquiring || this.metadata.brokers.size < 2) return
      this.#isInquiring = true
      this.#inquire()
        .catch((error: unknown) => {
          if (!this.isClosed)
            this.config.logger.debug('nobody could be asked about a silent broker', { error })
        })
        .finally(() => {
          this.#isInquiring = false
        })
    })
  }

  /**
   * A process that stands still keeps its connections open and answers nothing, until the request times out long after
   * others lead in its place. What the other brokers no longer name is given up.
   */
  async #inquire(): Promise<void> {
    const silent = new Set(
      [...this.#connections.values()].filter(isOverdue).map(({ address }) => nameOf(address)),
    )
    const others = [...this.metadata.brokers].filter(([, node]) => !silent.has(nameOf(node)))
    const [other] = rotate(others, this.env.random.int(2 ** 30))
    if (other === undefined) return
    await this.#refreshFrom(await this.connection(other[0], CONTROL_LANE), [...this.#tracked], false)
    const named = new Set([...this.metadata.brokers.values()].map(nameOf))
    for (const [key, connection] of this.#connections) {
      if (!isOverdue(connection) || named.has(nameOf(connection.address))) continue
      this.#connections.delete(key)
      connection.abandon()
    }
  }

  // ------------------------------------------------------------------------------------ connections

  /** The connection to a broker in a lane, opened where there is none. Rejects with KafkaError. */
  connection(brokerId: number, lane: Lane): Promise<Connection> {
    const node = this.metadata.brokers.get(brokerId)
    if (node === undefined) {
      return Promise.reject(
        new KafkaError({
          code: 'BROKER_NOT_AVAILABLE',
          message: `Broker ${brokerId} is not among the brokers that the cluster names now; it may have stopped.`,
          retriable: true,
        }),
      )
    }
    return this.#open(`${lane}/${brokerId}`, node, `${brokerId} (${node.host}:${node.port})`, lane)
  }

  #open(key: string, address: BrokerAddress, label: string, lane: Lane): Promise<Connection> {
    if (this.isClosed) return Promise.reject(closedError())
    const open = this.#connections.get(key)
    // A broker that moved is reached at its new address; what is under way on the old connection ends there.
    if (open?.isOpen === true && open.address.host === address.host && open.address.port === address.port) {
      return Promise.resolve(open)
    }
    let opening = this.#opening.get(key)
    if (opening === undefined) {
      opening = Connection.open({ env: this.env, config: this.config, address, label, lane }).then(
        connection => {
          this.#opening.delete(key)
          if (this.isClosed) {
            connection.close()
            throw closedError()
          }
          this.#connections.set(key, connection)
          if (this.#silenceTimer === null) this.#watchSilence()
          return connection
        },
        (error: unknown) => {
          this.#opening.delete(key)
          throw error
        },
      )
      this.#opening.set(key, opening)
    }
    return opening
  }

  /** Closes the connections of a lane; requests under way fail. */
  closeLane(lane: Lane): void {
    for (const [key, connection] of this.#connections) {
      if (!key.startsWith(`${lane}/`)) continue
      this.#connections.delete(key)
      connection.close()
    }
  }

  /** Those that answer, for short requests. */
  #controlConnections(): Connection[] {
    return [...this.#connections]
      .filter(([key]) => key.startsWith(`${CONTROL_LANE}/`))
      .map(([, connection]) => connection)
      .filter(connection => connection.isOpen && !isOverdue(connection))
  }

  /**
   * Any broker that answers: one that we talk to already, else the known ones, else those we started from. In turn:
   * what one of them does not know, because it is cut off from the others, the next one may.
   */
  async #anyConnection(): Promise<Connection> {
    const [open] = rotate(this.#controlConnections(), this.#controlTurn++)
    if (open !== undefined) return open
    const failures: KafkaError[] = []
    const attempt = async (open: () => Promise<Connection>): Promise<Connection | null> => {
      try {
        return await open()
      } catch (error) {
        if (!(error instanceof KafkaError) || this.isClosed) throw error
        failures.push(error)
        return null
      }
    }
    for (const id of rotate([...this.metadata.brokers.keys()], this.env.random.int(2 ** 30))) {
      const connection = await attempt(() => this.connection(id, CONTROL_LANE))
      if (connection !== null) return connection
    }
    const bootstrap = await this.config.bootstrap()
    for (const address of rotate(bootstrap, this.#bootstrapTurn++)) {
      const label = `${address.host}:${address.port}`
      const connection = await attempt(() =>
        this.#open(`${CONTROL_LANE}/bootstrap/${label}`, address, label, CONTROL_LANE),
      )
      if (connection !== null) return connection
    }
    throw unreachable(failures)
  }

  /** Where all that we could ask is one broker: another one, for the next time. Nobody waits for it. */
  #befriendAnother(): void {
    const asked = new Set(this.#controlConnections().map(({ address }) => nameOf(address)))
    const others = [...this.metadata.brokers].filter(([, node]) => !asked.has(nameOf(node)))
    const [other] = rotate(others, this.env.random.int(2 ** 30))
    if (asked.size !== 1 || other === undefined) return
    this.connection(other[0], CONTROL_LANE).catch((error: unknown) => {
      if (!this.isClosed) this.config.logger.debug('another broker cannot be reached', { error })
    })
  }

  // ------------------------------------------------------------------------------------ requests

  /** Sends a request to where it belongs and tries again while that may help. */
  async request<Req, Res, ReqInput, ResInput>(
    api: Api<Req, Res, ReqInput, ResInput>,
    value: ReqInput | ((connection: Connection) => ReqInput),
    options: RequestOptions<Res>,
  ): Promise<Res> {
    const { target, signal, lane = CONTROL_LANE, check } = options
    return this.retrying(api.name, options, async () => {
      const connection = await this.route(target, lane)
      const request =
        typeof value === 'function' ? (value as (connection: Connection) => ReqInput)(connection) : value
      const response = await connection.request(api, request, {
        timeoutMs: options.requestTimeoutMs ?? this.config.requestTimeoutMs,
        ...(options.maxVersion === undefined ? {} : { maxVersion: options.maxVersion }),
        ...(options.minVersion === undefined ? {} : { minVersion: options.minVersion }),
        signal,
      })
      check?.(response, connection.label)
      return response
    })
  }

  /** `attempt` until it succeeds or time is up; fresh metadata before each repetition that may need it. */
  retrying<T>(
    what: string,
    options: { readonly signal?: AbortSignal | undefined; readonly timeoutMs?: number | undefined },
    attempt: (attemptNumber: number) => Promise<T>,
  ): Promise<T> {
    const { env, config } = this
    return withRetries(
      {
        env,
        retry: config.retry,
        what,
        deadlineMs:
          env.clock.monotonicMs() + this.#patienceMs(options.timeoutMs ?? config.operationTimeoutMs),
        signal: options.signal,
        onRetry: error => {
          config.logger.debug(`${what} is tried again`, { error })
          if (this.isClosed) throw closedError()
          if (error.code !== 'THROTTLING_QUOTA_EXCEEDED') this.refreshSoon(error.topic)
        },
      },
      attempt,
    )
  }

  /** A cluster that was never reached is more likely misnamed than restarting: say so soon. */
  #patienceMs(timeoutMs: number): number {
    return this.metadata.brokers.size > 0 ? timeoutMs : Math.min(timeoutMs, FIRST_CONTACT_TIMEOUT_MS)
  }

  async route(target: Target, lane: Lane): Promise<Connection> {
    if (target === 'any') return this.#anyConnection()
    if (target === 'controller') {
      if (this.metadata.controllerId < 0) await this.refresh([])
      const { controllerId } = this.metadata
      // Where nobody is named every broker may forward, or will answer NOT_CONTROLLER.
      return controllerId < 0 ? this.#anyConnection() : this.connection(controllerId, lane)
    }
    if ('broker' in target) {
      if (!this.metadata.brokers.has(target.broker)) await this.refresh([])
      return this.connection(target.broker, lane)
    }
    const { topic, partition } = target
    await this.topic(topic)
    const leader = this.metadata.leaderOf(topic, partition)
    if (leader === null) {
      throw protocolError(ErrorCode.LEADER_NOT_AVAILABLE, { api: 'Metadata', topic, partition })
    }
    return this.connection(leader, lane)
  }

  // ------------------------------------------------------------------------------------ metadata

  /**
   * What is known of a topic; asked for where nothing is. Rejects with UNKNOWN_TOPIC_OR_PARTITION where it is missing.
   */
  async topic(name: string, options: TopicOptions = {}): Promise<TopicMetadata> {
    this.#tracked.add(name)
    const known = this.metadata.topic(name)
    if (known !== undefined && known.partitions.length > 0) {
      if (this.env.clock.monotonicMs() - known.asOfMs > this.config.metadataMaxAgeMs) this.refreshSoon(name)
      return known
    }
    let misses = 0
    try {
      return await this.retrying(`Metadata of topic ${name}`, options, async () => {
        const failed = await this.refresh([name], options.allowAutoTopicCreation)
        const fresh = this.metadata.topic(name)
        if (fresh !== undefined && fresh.partitions.length > 0) return fresh
        const code = failed.get(name) ?? ErrorCode.LEADER_NOT_AVAILABLE
        const error = protocolError(code, { api: 'Metadata', topic: name })
        if (code !== ErrorCode.UNKNOWN_TOPIC_OR_PARTITION || ++misses < UNKNOWN_TOPIC_ATTEMPTS) throw error
        throw missingTopic(name, error)
      })
    } catch (error) {
      this.#tracked.delete(name)
      throw error
    }
  }

  /** Drops a topic that nobody uses any more from what is refreshed. */
  untrack(name: string): void {
    this.#tracked.delete(name)
  }

  /**
   * Asks for metadata now: of these topics, or of all (null). One attempt. Returns the error codes of single topics.
   */
  async refresh(
    topics: readonly string[] | null,
    allowAutoTopicCreation = false,
  ): Promise<Map<string, number>> {
    if (this.isClosed) throw closedError()
    return this.#refreshFrom(await this.#anyConnection(), topics, allowAutoTopicCreation)
  }

  async #refreshFrom(
    connection: Connection,
    topics: readonly string[] | null,
    allowAutoTopicCreation: boolean,
  ): Promise<Map<string, number>> {
    const answer = await connection.request(
      API.Metadata,
      {
        // Version 0 has no way to ask for none: an empty list means all there.
        topics:
          topics === null
            ? connection.version(API.Metadata) === 0
              ? []
              : null
            : topics.map(name => ({ name })),
        allowAutoTopicCreation,
      },
      { timeoutMs: this.config.requestTimeoutMs },
    )
    if (answer.errorCode !== ErrorCode.NONE) {
      throw protocolError(answer.errorCode, { api: 'Metadata', broker: connection.label })
    }
    const nowMs = this.env.clock.monotonicMs()
    this.#lastRefreshMs = nowMs
    const failed = this.metadata.update(answer, nowMs)
    if (metadataUpdated.hasSubscribers) {
      metadataUpdated.publish({
        brokers: answer.brokers.length,
        topics: answer.topics.map(topic => topic.name),
      })
    }
    for (const listener of this.#listeners) listener()
    return failed
  }

  /** Fresh metadata of all topics in use, in the background; calls while one is planned or under way share it. */
  refreshSoon(topic?: string): void {
    if (topic !== undefined) this.#tracked.add(topic)
    if (this.isClosed || this.#refreshPlanned) return
    this.#refreshPlanned = true
    const sinceMs = this.env.clock.monotonicMs() - this.#lastRefreshMs
    const run = (): void => {
      this.#refreshPlanned = false
      if (this.isClosed || this.#refreshing !== null) return
      if (sinceMs < ASKED_AGAIN_MS) this.#befriendAnother()
      this.#refreshing = this.refresh([...this.#tracked])
        .then(
          () => {},
          (error: unknown) => this.config.logger.warn('metadata could not be refreshed', { error }),
        )
        .finally(() => {
          this.#refreshing = null
        })
    }
    // Refreshes keep the distance of a first pause: they are asked for by whoever meets a failure.
    const intervalMs = this.config.retry.initialBackoffMs
    if (sinceMs >= intervalMs) this.env.timers.endOfTurn(run)
    else this.env.timers.set(intervalMs - sinceMs, run)
  }

  /** Resolves when the cluster has been reached. */
  async connect(options: {
    readonly signal?: AbortSignal | undefined
    readonly timeoutMs?: number | undefined
  }): Promise<void> {
    await this.retrying('connect', options, () => orAborted(this.refresh([]), 'connect', options.signal))
  }

  close(): void {
    if (this.isClosed) return
    this.#closing.abort()
    if (this.#ageTimer !== null) this.env.timers.clear(this.#ageTimer)
    if (this.#silenceTimer !== null) this.env.timers.clear(this.#silenceTimer)
    for (const connection of this.#connections.values()) connection.close()
    this.#connections.clear()
    this.#listeners.clear()
  }
}

function isOverdue(connection: Connection): boolean {
  return connection.isOpen && connection.silentMs >= SILENT_MS
}

function nameOf({ host, port }: BrokerAddress): string {
  return `${host}:${port}`
}

function rotate<T>(items: readonly T[], by: number): T[] {
  const at = items.length === 0 ? 0 : by % items.length
  return [...items.slice(at), ...items.slice(0, at)]
}

function closedError(): KafkaError {
  return new KafkaError({ code: 'CLOSED', message: 'The client was closed; make a new Kafka to go on.' })
}

function missingTopic(topic: string, cause: KafkaError): KafkaError {
  return new KafkaError({
    code: 'UNKNOWN_TOPIC_OR_PARTITION',
    message:
      `Topic ${topic} does not exist, and was not created on first use. ` +
      'Create it first, or check its name and the rights of this client.',
    api: 'Metadata',
    topic,
    cause,
  })
}

function unreachable(failures: readonly KafkaError[]): KafkaError {
  const reasons = [...new Set(failures.map(failure => failure.message.replace(/\.$/, '')))]
  return new KafkaError({
    code: 'CONNECTION_FAILED',
    message:
      `No broker could be reached: ${reasons.join('; ')}. ` +
      'Check that a broker runs there, and that its advertised listener can be reached from here.',
    // Where every broker refuses in a way that cannot change by itself, waiting is no use.
    retriable: failures.length === 0 || failures.some(failure => failure.retriable),
    cause: failures.length === 1 ? failures[0] : undefined,
    errors: failures.length === 1 ? [] : failures,
  })
}
