/**
 * One connection to one broker: a socket of the environment around a protocol session. It writes what was sent in one
 * turn at once, gives every request a deadline, and ends with a reason that every request under way is told. It never
 * reconnects and never retries: that is the cluster's business.
 */
import { CLIENT_SOFTWARE, type ClientConfig } from './config.ts'
import { connectionClosed, connectionOpened, requestDone } from './diagnostics.ts'
import {
  type BrokerAddress,
  type ClientEnv,
  type ClientSocket,
  type ClientTimer,
  SocketError,
  type SocketReceiver,
} from './env.ts'
import { KafkaError } from './errors.ts'
import { type Api } from './protocol/apis.ts'
import { ProtocolError, UnencodableError, UnsupportedVersionError } from './protocol/errors.ts'
import { frameLength } from './protocol/frame.ts'
import { HandshakeError, Session, type VersionRange } from './protocol/session.ts'
import { orAborted, throwIfAborted } from './retry.ts'

export interface OpenOptions {
  readonly env: ClientEnv
  readonly config: ClientConfig
  readonly address: BrokerAddress
  /** For messages: `3 (host:port)`. */
  readonly label: string
  readonly lane: string
}

export interface SendOptions {
  readonly timeoutMs: number
  readonly minVersion?: number
  readonly maxVersion?: number
  /** False for a request that gets no answer (Produce with acks 0): done when its bytes have left. */
  readonly expectsAnswer?: boolean
}

export type Done<Response> = (error: KafkaError | null, response: Response | null) => void

interface Waiting {
  readonly api: string
  readonly version: number
  readonly sentMs: number
  readonly deadlineMs: number
}

const SLAB_BYTES = 64 * 1024
/** Less room than this is not worth a read. */
const MIN_ROOM_BYTES = 2048
const MAX_FRAME_BYTES = 512 * 1024 * 1024

export class Connection implements SocketReceiver {
  readonly label: string
  readonly address: BrokerAddress
  readonly lane: string
  readonly #env: ClientEnv
  readonly #socket: ClientSocket
  readonly #session: Session
  readonly #waiting = new Set<Waiting>()
  #timer: ClientTimer | null = null
  #timerAtMs = Number.POSITIVE_INFINITY
  #flushPlanned = false
  #afterWrite: Done<never>[] = []
  #failure: KafkaError | null = null
  #onClose: (() => void)[] = []
  /** Bytes land here: `#start` .. `#end` is not yet taken. Never used twice, as answers hold slices of it. */
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
  #start = 0
  #end = 0

  private constructor(options: OpenOptions, socket: ClientSocket) {
    this.label = options.label
    this.address = options.address
    this.lane = options.lane
    this.#env = options.env
    this.#socket = socket
    this.#session = new Session({
      clientId: options.config.clientId,
      ...CLIENT_SOFTWARE,
      maxFrameBytes: MAX_FRAME_BYTES,
    })
  }

  /** Connects and learns the broker's versions. Rejects with KafkaError CONNECTION_FAILED. */
  static async open(options: OpenOptions): Promise<Connection> {
    const { env, config, address, label, lane } = options
    const startMs = env.clock.monotonicMs()
    let socket: ClientSocket
    try {
      socket = await env.connect(address, { timeoutMs: config.connectionTimeoutMs, tls: config.tls })
    } catch (error) {
      throw connectFailure(label, error)
    }
    const connection = new Connection(options, socket)
    const leftMs = Math.max(1, config.connectionTimeoutMs - (env.clock.monotonicMs() - startMs))
    try {
      await connection.#handshake(leftMs)
    } catch (error) {
      connection.close()
      throw handshakeFailure(label, config.tls !== null, error)
    }
    if (connectionOpened.hasSubscribers) {
      connectionOpened.publish({ broker: label, lane, durationMs: env.clock.monotonicMs() - startMs })
    }
    return connection
  }

  #handshake(timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting = this.#expect('ApiVersions', 0, timeoutMs)
      this.#session.handshake({
        resolve: () => {
          this.#settled(waiting, null)
          resolve()
        },
        reject: error => {
          this.#settled(waiting, null)
          reject(error)
        },
      })
      this.flush()
      this.#socket.start(this)
    })
  }

  get isOpen(): boolean {
    return this.#failure === null
  }

  /** Requests that wait for an answer. */
  get inFlight(): number {
    return this.#waiting.size
  }

  /** For how long the oldest of them has been waiting, in milliseconds; 0 when none does. */
  get silentMs(): number {
    const [oldest] = this.#waiting
    return oldest === undefined ? 0 : this.#env.clock.monotonicMs() - oldest.sentMs
  }

  /** What the broker serves, by API key. */
  get brokerVersions(): ReadonlyMap<number, VersionRange> {
    return this.#session.brokerVersions
  }

  serves(api: Api<unknown, unknown, never, never>): boolean {
    return this.#session.brokerVersions.has(api.key)
  }

  /**
   * The version that a request would use. Throws KafkaError UNSUPPORTED, or the reason for which the connection ended.
   */
  version(
    api: Api<unknown, unknown, never, never>,
    range: { readonly minVersion?: number; readonly maxVersion?: number } = {},
  ): number {
    if (this.#failure !== null) throw this.#failure
    try {
      return this.#session.versionOf(api, {
        ...(range.minVersion === undefined ? {} : { min: range.minVersion }),
        ...(range.maxVersion === undefined ? {} : { max: range.maxVersion }),
      })
    } catch (error) {
      throw this.#refusal(api.name, error)
    }
  }

  /** Called once when the connection has ended, whoever ended it. */
  onClose(listener: () => void): void {
    if (this.isOpen) this.#onClose.push(listener)
    else listener()
  }

  /**
   * Puts a request on its way; it leaves at the end of the turn, or with `flush`. `done` is called exactly once,
   * never before this returns. Byte fields of the request must not change until then.
   */
  send<Res, ReqInput>(
    api: Api<unknown, Res, ReqInput, unknown>,
    request: ReqInput,
    options: SendOptions,
    done: Done<Res>,
  ): void {
    let waiting: Waiting | null = null
    try {
      const version = this.version(api, options)
      if (options.expectsAnswer === false) {
        this.#session.send(api, version, request, null)
        this.#afterWrite.push(done as Done<never>)
      } else {
        const expected = this.#expect(api.name, version, options.timeoutMs)
        waiting = expected
        this.#session.send(api, version, request, {
          resolve: response => {
            this.#settled(expected, null)
            done(null, response)
          },
          reject: error => {
            const failure = this.#lost(expected, error)
            this.#settled(expected, failure)
            done(failure, null)
          },
        })
      }
    } catch (error) {
      const failure = this.#refusal(api.name, error)
      if (waiting !== null) this.#settled(waiting, failure)
      void Promise.resolve().then(() => done(failure, null))
      return
    }
    this.#planFlush()
  }

  /** The same as a promise. The answer of a request that was aborted is thrown away when it comes. */
  request<Res, ReqInput>(
    api: Api<unknown, Res, ReqInput, unknown>,
    request: ReqInput,
    options: SendOptions & { readonly signal?: AbortSignal | undefined },
  ): Promise<Res> {
    throwIfAborted(api.name, options.signal)
    const answer = new Promise<Res>((resolve, reject) => {
      this.send(api, request, options, (error, response) => {
        if (error === null) resolve(response as Res)
        else reject(error)
      })
    })
    return orAborted(answer, api.name, options.signal)
  }

  #planFlush(): void {
    if (this.#flushPlanned) return
    this.#flushPlanned = true
    this.#env.timers.endOfTurn(() => this.flush())
  }

  /** Writes all that was sent since the last time, as one vectored write. */
  flush(): void {
    this.#flushPlanned = false
    if (this.#failure !== null) return
    const chunks = this.#session.takeOutput()
    if (chunks.length === 0) return
    const afterWrite = this.#afterWrite
    this.#afterWrite = []
    this.#socket.write(chunks, error => {
      if (error !== null) this.#fail(this.#broken(error))
      const failure = error === null ? null : this.#failure
      for (const done of afterWrite) done(failure, null)
    })
  }

  // ---------------------------------------------------------------------------------- receiving

  room(): Uint8Array {
    if (this.#slab.length - this.#end < MIN_ROOM_BYTES && this.#start === this.#end) this.#renew(SLAB_BYTES)
    else if (this.#slab.length === this.#end) this.#renew(SLAB_BYTES)
    return this.#slab.subarray(this.#end)
  }

  /** Goes on in a slab of `bytes`, with what is not yet taken at its begin. */
  #renew(bytes: number): void {
    const rest = this.#slab.subarray(this.#start, this.#end)
    this.#slab = Buffer.allocUnsafeSlow(Math.max(bytes, SLAB_BYTES))
    this.#slab.set(rest)
    this.#start = 0
    this.#end = rest.length
  }

  received(length: number): void {
    if (this.#failure !== null) return
    this.#end += length
    try {
      for (;;) {
        const frameBytes = frameLength(this.#slab, this.#start, this.#end, MAX_FRAME_BYTES)
        if (frameBytes === 0) return
        if (frameBytes > this.#end - this.#start) {
          // The rest of a large answer is read straight to where it will stay.
          if (this.#start + frameBytes > this.#slab.length) this.#renew(frameBytes)
          return
        }
        const frame = this.#slab.subarray(this.#start, this.#start + frameBytes)
        this.#start += frameBytes
        this.#session.receive(frame)
        // A broker that does not know our version of ApiVersions is asked again in one of its own.
        if (this.#session.state === 'handshake') this.flush()
        if (this.#failed()) return
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#fail(
        new KafkaError({
          code: 'MALFORMED_RESPONSE',
          message:
            `Broker ${this.label} sent bytes that make no sense (${error.message}), so the connection was closed. ` +
            'Check that the address is a Kafka listener, and whether it wants TLS.',
          retriable: true,
          broker: this.label,
          cause: error,
        }),
      )
    }
  }

  /** A reply may have closed the connection, which a check in the loop would not see. */
  #failed(): boolean {
    return this.#failure !== null
  }

  closed(error: SocketError | null): void {
    this.#fail(this.#broken(error))
  }

  /** Ends the connection; requests under way fail with CONNECTION_CLOSED. */
  close(): void {
    this.#fail(
      new KafkaError({
        code: 'CONNECTION_CLOSED',
        message: `The connection to broker ${this.label} was closed by this client.`,
        retriable: true,
        broker: this.label,
      }),
    )
  }

  /** The cluster has given the broker up: what is under way is not waited for any longer. */
  abandon(): void {
    this.#fail(
      new KafkaError({
        code: 'BROKER_NOT_AVAILABLE',
        message:
          `Broker ${this.label} is silent, and the other brokers no longer count on it, so the connection was closed. ` +
          'What was under way may or may not have been done.',
        retriable: true,
        broker: this.label,
      }),
    )
  }

  #broken(cause: SocketError | null): KafkaError {
    return new KafkaError({
      code: 'CONNECTION_CLOSED',
      message:
        cause === null
          ? `Broker ${this.label} closed the connection; what was under way may or may not have been done.`
          : `The connection to broker ${this.label} broke (${cause.code}: ${cause.message}); what was under way may or may not have been done.`,
      retriable: true,
      broker: this.label,
      cause: cause ?? undefined,
    })
  }

  #fail(reason: KafkaError): void {
    if (this.#failure !== null) return
    this.#failure = reason
    if (this.#timer !== null) this.#env.timers.clear(this.#timer)
    this.#timer = null
    this.#socket.destroy()
    this.#session.fail(reason)
    const afterWrite = this.#afterWrite
    this.#afterWrite = []
    for (const done of afterWrite) done(reason, null)
    if (connectionClosed.hasSubscribers) {
      connectionClosed.publish({ broker: this.label, lane: this.lane, error: reason })
    }
    const listeners = this.#onClose
    this.#onClose = []
    for (const listener of listeners) listener()
  }

  // ---------------------------------------------------------------------------------- deadlines

  #expect(api: string, version: number, timeoutMs: number): Waiting {
    const sentMs = this.#env.clock.monotonicMs()
    const waiting = { api, version, sentMs, deadlineMs: sentMs + timeoutMs }
    if (this.#waiting.size === 0) this.#socket.keepAlive(true)
    this.#waiting.add(waiting)
    if (waiting.deadlineMs < this.#timerAtMs) this.#arm(waiting.deadlineMs, timeoutMs)
    return waiting
  }

  #arm(atMs: number, delayMs: number): void {
    const { timers } = this.#env
    if (this.#timer !== null) timers.clear(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = timers.setBackground(Math.min(Math.ceil(delayMs), 0x7fff_ffff), () =>
      this.#checkDeadlines(),
    )
  }

  #checkDeadlines(): void {
    this.#timer = null
    this.#timerAtMs = Number.POSITIVE_INFINITY
    const nowMs = this.#env.clock.monotonicMs()
    let earliestMs = Number.POSITIVE_INFINITY
    for (const waiting of this.#waiting) {
      if (waiting.deadlineMs > nowMs) {
        earliestMs = Math.min(earliestMs, waiting.deadlineMs)
        continue
      }
      // Answers come in order: behind one that does not come, none will.
      this.#fail(
        new KafkaError({
          code: 'TIMEOUT',
          message:
            `Broker ${this.label} did not answer ${waiting.api} within ${Math.round(nowMs - waiting.sentMs)} ms, so the ` +
            'connection was closed. The broker may be overloaded or stopped, or the network cut; what was under way may ' +
            'or may not have been done.',
          retriable: true,
          api: waiting.api,
          broker: this.label,
        }),
      )
      return
    }
    if (earliestMs < Number.POSITIVE_INFINITY) this.#arm(earliestMs, earliestMs - nowMs)
  }

  #settled(waiting: Waiting, error: KafkaError | null): void {
    this.#waiting.delete(waiting)
    if (this.#waiting.size === 0 && this.#failure === null) this.#socket.keepAlive(false)
    if (!requestDone.hasSubscribers) return
    const durationMs = this.#env.clock.monotonicMs() - waiting.sentMs
    requestDone.publish({ broker: this.label, api: waiting.api, version: waiting.version, durationMs, error })
  }

  #lost(waiting: Waiting, error: Error): KafkaError {
    const reason = error instanceof KafkaError ? error : (this.#failure ?? this.#broken(null))
    return new KafkaError({
      code: reason.code,
      message: `${waiting.api} got no answer. ${reason.message}`,
      retriable: reason.retriable,
      api: waiting.api,
      broker: this.label,
      cause: reason,
    })
  }

  #refusal(api: string, error: unknown): KafkaError {
    if (error instanceof KafkaError) return error
    if (error instanceof UnsupportedVersionError) {
      return new KafkaError({
        code: 'UNSUPPORTED',
        message: `Broker ${this.label} cannot do this: ${error.message}. Upgrade the broker, or do without.`,
        api,
        broker: this.label,
        cause: error,
      })
    }
    if (error instanceof UnencodableError) {
      return new KafkaError({
        code: 'INVALID_OPTION',
        message: `${api} cannot be sent: ${error.message}`,
        api,
        cause: error,
      })
    }
    throw error
  }
}

/** Failures of TLS that will be the same at the next attempt. */
const CERTIFICATE_FAILURE = /^(CERT_|ERR_TLS|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_(GET|VERIFY)|ERR_SSL|EPROTO)/

function connectFailure(label: string, error: unknown): KafkaError {
  const code = error instanceof SocketError ? error.code : 'UNKNOWN'
  const text = error instanceof Error ? error.message : String(error)
  return new KafkaError({
    code: 'CONNECTION_FAILED',
    message: `cannot connect to broker ${label}: ${text}`,
    retriable: !CERTIFICATE_FAILURE.test(code),
    broker: label,
    cause: error,
  })
}

function handshakeFailure(label: string, tls: boolean, error: unknown): KafkaError {
  const cause = error instanceof KafkaError ? error : undefined
  const text = error instanceof Error ? error.message : String(error)
  const hint = tls ? '' : ' If this listener wants TLS, set ssl.'
  return new KafkaError({
    code: 'CONNECTION_FAILED',
    message: `broker ${label} accepted the connection but not the handshake: ${text}${hint}`,
    retriable: !(error instanceof HandshakeError) && (cause?.retriable ?? true),
    broker: label,
    cause: error,
  })
}
