/**
 * The broker's door: listens, accepts what its limits allow, and looks after all connections with one shared tick, so
 * that ten thousand silent ones cost next to nothing. What is said on a connection is `connection.ts`'s business.
 */
import { type RequestHeader } from '../../client/protocol/frame.ts'
import {
  type Address,
  type Env,
  type Listener,
  type NetworkError,
  type Socket,
  type TimerHandle,
} from '../env.ts'
import { SlabPool } from '../slab.ts'
import { Connection, type ConnectionHost } from './connection.ts'
import { Counters } from './counters.ts'
import { apiName } from './dispatch.ts'
import { type HandlerRegistry, type Interceptor } from './handler.ts'
import { DEFAULT_LIMITS, type ServerLimits } from './limits.ts'
import { RateLimitedLog } from './rate-limited-log.ts'
import { ReceiveMemory } from './receive-memory.ts'

export interface ServerOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'network' | 'log'>
  readonly handlers: HandlerRegistry
  /** What differs from the defaults. */
  readonly limits?: Partial<ServerLimits>
  /** Where requests are received. Who caches slices of them listens for its pressure. Default: one of its own. */
  readonly pool?: SlabPool
  /** A bug was found: the broker must stop. May be called more than once. */
  readonly onFatal: (error: Error) => void
  readonly interceptor?: Interceptor
}

export interface ListenerSpec {
  /** Name of the listener, such as PLAINTEXT; handlers see it. */
  readonly name: string
  readonly address: Address
}

/** At this size a 1 MiB batch fits several times, and little is lost where a slab is shared. */
const SLAB_BYTES = 4 * 1024 * 1024
/** What is received and not yet let go of, the slices in a tail cache included. */
const MAX_SLAB_BYTES = 128 * 1024 * 1024
const MAX_IDLE_SLABS = 8
/** How long a peer may take to see our end when the server stops. */
const STOP_LINGER_MS = 20
const MAX_TICK_MS = 1000
const MIN_TICK_MS = 10

export function createSlabPool(): SlabPool {
  return new SlabPool({ slabBytes: SLAB_BYTES, maxIdleSlabs: MAX_IDLE_SLABS, maxBytes: MAX_SLAB_BYTES })
}

export class Server {
  readonly counters = new Counters()
  readonly #env: ServerOptions['env']
  readonly #host: ConnectionHost
  readonly #limits: ServerLimits
  readonly #memory: ReceiveMemory
  readonly #log: RateLimitedLog
  readonly #listeners: Listener[] = []
  readonly #connections = new Set<Connection>()
  readonly #perAddress = new Map<string, number>()
  readonly #tickMs: number
  #tick: TimerHandle | null = null
  #bytesAtLastTick = 0
  #nextId = 1
  #stopping: Promise<void> | null = null
  #whenEmpty: (() => void) | null = null

  constructor(options: ServerOptions) {
    const { env } = options
    this.#env = env
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#log = new RateLimitedLog(env.log, env.clock)
    this.#memory = new ReceiveMemory(options.pool ?? createSlabPool())
    const { idleMs, firstByteMs, frameProgressMs, closeGraceMs } = this.#limits
    const shortest = Math.min(idleMs, firstByteMs, frameProgressMs, closeGraceMs)
    this.#tickMs = Math.max(MIN_TICK_MS, Math.min(MAX_TICK_MS, shortest / 4))
    this.#host = {
      clock: env.clock,
      timers: env.timers,
      handlers: options.handlers,
      limits: this.#limits,
      memory: this.#memory,
      counters: this.counters,
      interceptor: options.interceptor ?? null,
      refused: (connection, header, reason) => this.#refused(connection, header, reason),
      failed: (connection, header, error) => this.#failed(connection, header, error),
      fatal: options.onFatal,
      closed: (connection, error) => this.#closed(connection, error),
    }
  }

  get pool(): SlabPool {
    return this.#memory.pool
  }

  get connections(): Iterable<Connection> {
    return this.#connections
  }

  /** Opens a listener and returns where it listens, with the port that it got. Rejects with a NetworkError. */
  async listen(spec: ListenerSpec): Promise<Address> {
    const listener = await this.#env.network.listen(spec.address, socket => this.#accept(socket, spec.name))
    this.#listeners.push(listener)
    return listener.address
  }

  /**
   * Accepts nothing more and begins no further request; resolves when those under way have been answered, at the
   * latest after `graceMs`, and all connections are closed. Called again, it closes them at once.
   */
  stop(graceMs = this.#limits.closeGraceMs): Promise<void> {
    if (this.#stopping !== null) {
      this.#destroyAll()
      return this.#stopping
    }
    this.#stopping = this.#stop(graceMs)
    return this.#stopping
  }

  async #stop(graceMs: number): Promise<void> {
    const closings = this.#listeners.map(listener => listener.close())
    const empty = new Promise<void>(resolve => {
      this.#whenEmpty = resolve
    })
    for (const connection of this.#connections) connection.close()
    const { timers } = this.#env
    const grace = timers.set(graceMs, () => this.#destroyAll())
    const linger = this.#destroyAnsweredAfter(STOP_LINGER_MS)
    if (this.#connections.size > 0) await empty
    timers.clear(grace)
    linger()
    await Promise.all(closings)
    if (this.#tick !== null) timers.clear(this.#tick)
    this.#tick = null
    this.#memory.rest()
  }

  /** Closes, again and again, the connections that have nothing more to say but whose peers do not go. */
  #destroyAnsweredAfter(ms: number): () => void {
    const { timers } = this.#env
    const look = (): TimerHandle =>
      timers.set(ms, () => {
        for (const connection of this.#connections) if (connection.isQuiet) connection.destroy()
        timer = look()
      })
    let timer = look()
    return () => timers.clear(timer)
  }

  #destroyAll(): void {
    for (const connection of this.#connections) connection.destroy()
  }

  // ------------------------------------------------------------------------------------------- connections

  #accept(socket: Socket, listenerName: string): void {
    const { host } = socket.remote
    const fromThere = this.#perAddress.get(host) ?? 0
    const refusal = this.#refusal(fromThere)
    if (refusal !== null) {
      this.counters.connectionsRefused++
      this.#log.warn(refusal, { peer: peerName(socket.remote), listener: listenerName })
      socket.destroy()
      return
    }
    if (this.#stopping !== null) {
      socket.destroy()
      return
    }
    const connection = new Connection(this.#host, socket, this.#nextId++, listenerName)
    this.#connections.add(connection)
    this.#perAddress.set(host, fromThere + 1)
    this.counters.connectionsAccepted++
    this.counters.connectionsOpen++
    this.#scheduleTick()
    connection.start()
  }

  #refusal(fromThere: number): string | null {
    const { maxConnections, maxConnectionsPerAddress } = this.#limits
    if (this.#connections.size >= maxConnections) {
      return 'Refused a connection: max.connections is reached'
    }
    if (fromThere >= maxConnectionsPerAddress) {
      return 'Refused a connection: max.connections.per.ip is reached for this address'
    }
    return null
  }

  #closed(connection: Connection, error: NetworkError | null): void {
    if (!this.#connections.delete(connection)) return
    this.counters.connectionsOpen--
    const { host } = connection.remote
    const left = (this.#perAddress.get(host) ?? 1) - 1
    if (left === 0) this.#perAddress.delete(host)
    else this.#perAddress.set(host, left)
    if (error !== null) {
      this.#env.log.debug('A connection broke', { peer: peerName(connection.remote), error })
    }
    if (this.#connections.size === 0) this.#whenEmpty?.()
  }

  #refused(connection: Connection, header: RequestHeader | null, reason: string): void {
    this.#log.warn('Closed a connection: its request cannot be served', {
      peer: peerName(connection.remote),
      ...requestFields(connection, header),
      reason,
    })
  }

  #failed(connection: Connection, header: RequestHeader | null, error: unknown): void {
    this.counters.failedRequests++
    this.#log.warn('Closed a connection: its request failed inside the broker', {
      peer: peerName(connection.remote),
      ...requestFields(connection, header),
      error,
    })
  }

  // -------------------------------------------------------------------------------------------------- tick

  #scheduleTick(): void {
    if (this.#tick !== null) return
    this.#tick = this.#env.timers.set(this.#tickMs, () => {
      this.#tick = null
      this.#lookAtAll()
      if (this.#connections.size > 0) this.#scheduleTick()
      else this.#memory.rest()
    })
  }

  #lookAtAll(): void {
    const nowMs = this.#env.clock.monotonicMs()
    for (const connection of this.#connections) this.#lookAt(connection, nowMs)
    if (this.counters.bytesIn === this.#bytesAtLastTick) {
      this.#memory.rest()
      this.#memory.pool.trim(1)
    }
    this.#bytesAtLastTick = this.counters.bytesIn
    this.#memory.wakeOne()
  }

  #lookAt(connection: Connection, nowMs: number): void {
    const { idleMs, firstByteMs, frameProgressMs, frameBytesPerSecond, closeGraceMs } = this.#limits
    const silentMs = nowMs - connection.lastActivityMs
    if (connection.closingSinceMs !== null) {
      if (nowMs - connection.closingSinceMs > closeGraceMs) connection.destroy()
      return
    }
    if (silentMs >= this.#tickMs) connection.relax()
    if (connection.awaitsRestOfFrame) {
      const { frameBytes, heldBytes } = connection.frameProgress
      const allowedMs = frameProgressMs + (frameBytes / frameBytesPerSecond) * 1000
      const arrivingMs = nowMs - (connection.frameBegunAtMs ?? nowMs)
      if (silentMs > frameProgressMs || arrivingMs > allowedMs) {
        const fields = { frameBytes, heldBytes, arrivingMs: Math.round(arrivingMs) }
        this.#timeOut(connection, 'Closed a connection: a frame was begun and did not go on', fields)
      }
    } else if (connection.bytesReceived === 0) {
      if (silentMs > firstByteMs) {
        this.#timeOut(connection, 'Closed a connection: no request came', { silentMs: Math.round(silentMs) })
      }
    } else if (silentMs > idleMs && connection.isIdle) {
      this.counters.connectionsTimedOut++
      this.#env.log.debug('Closed an idle connection', { peer: peerName(connection.remote), silentMs })
      connection.close()
    }
  }

  #timeOut(connection: Connection, message: string, fields: Record<string, unknown>): void {
    this.counters.connectionsTimedOut++
    this.#log.info(message, { peer: peerName(connection.remote), ...fields })
    connection.destroy()
  }
}

function peerName({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function requestFields(connection: Connection, header: RequestHeader | null): Record<string, unknown> {
  if (header === null) return { listener: connection.listenerName }
  return {
    listener: connection.listenerName,
    api: apiName(header.apiKey),
    version: header.apiVersion,
    correlationId: header.correlationId,
    clientId: header.clientId ?? undefined,
    software: connection.clientSoftwareName ?? undefined,
  }
}
