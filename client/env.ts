/**
 * The world as the client sees it: time, timers, chance and byte streams to brokers. `env-node.ts` is its only real
 * implementation; the simulator brings its own, and a whole fleet of clients then replays from a seed. Nothing here
 * may leak a Node type that a simulator could not make, and nothing else in the client may reach for one.
 */

export interface ClientEnv {
  readonly clock: ClientClock
  readonly timers: ClientTimers
  readonly random: ClientRandom
  /** Opens a stream to `address`. Rejects with a `SocketError`; `timeoutMs` covers name resolution, TCP and TLS. */
  connect(address: BrokerAddress, options: ConnectOptions): Promise<ClientSocket>
}

export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

export interface ConnectOptions {
  readonly timeoutMs: number
  /** Null for plain TCP. */
  readonly tls: TlsOptions | null
}

/** What `node:tls` understands of these is passed on as it is. */
export interface TlsOptions {
  readonly ca?: string | Uint8Array | readonly (string | Uint8Array)[]
  readonly cert?: string | Uint8Array
  readonly key?: string | Uint8Array
  readonly passphrase?: string
  /** The name that the certificate must carry; by default the host that is connected to. */
  readonly servername?: string
  /** False accepts any certificate: for tests only. */
  readonly rejectUnauthorized?: boolean
}

export interface ClientClock {
  /** Milliseconds since 1970, an integer; may jump. For record timestamps and nothing else. */
  wallMs(): number
  /** Milliseconds since an arbitrary start, never going back. For durations and deadlines. */
  monotonicMs(): number
}

/** A pending timer; opaque to everyone but the `ClientTimers` that made it. */
export interface ClientTimer {
  readonly clientTimer: unique symbol
}

export interface ClientTimers {
  /**
   * Calls `callback` once, after `delayMs` (0 .. 2^31-1). A pending timer keeps the process alive: somebody waits for
   * it.
   */
  set(delayMs: number, callback: () => void): ClientTimer
  /** As `set`, but for housekeeping: it does not keep the process alive. */
  setBackground(delayMs: number, callback: () => void): ClientTimer
  clear(timer: ClientTimer): void
  /**
   * Calls `callback` after all that is ready now was handled: where the work gathered in one turn is carried out at
   * once.
   */
  endOfTurn(callback: () => void): void
}

export interface ClientRandom {
  /** A float in [0, 1). */
  float(): number
  /** An integer in [0, below); below is 1 .. 2^31. */
  int(below: number): number
}

/** A failure of a stream. `code` is the system's, as ECONNREFUSED, ETIMEDOUT. */
export class SocketError extends Error {
  override readonly name = 'SocketError'
  readonly code: string

  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/** Where a socket puts what it receives: it asks for room, fills it, and tells how much. */
export interface SocketReceiver {
  /** Room for the next bytes, at least one byte long. Asked again after every `received`. */
  room(): Uint8Array
  /** The first `length` bytes of the last room are filled. */
  received(length: number): void
  /** Called exactly once, last. Null when the peer closed in good order, or after `destroy`. */
  closed(error: SocketError | null): void
}

export interface ClientSocket {
  start(receiver: SocketReceiver): void
  /**
   * Sends all of `chunks` in order, as one vectored write. Each stays the socket's until it has left, which is when
   * `done` is called at the latest (exactly once), or when the peer has said what it makes of it.
   */
  write(chunks: readonly Uint8Array[], done: (error: SocketError | null) => void): void
  /** While false, this open socket alone does not keep the process alive. */
  keepAlive(needed: boolean): void
  /** Closes at once; pending writes end with an error. */
  destroy(): void
}
