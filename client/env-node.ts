/**
 * The client's only door to Node's sockets, clock, timers and randomness. Everything else in the client gets them as
 * a `ClientEnv`; nothing here knows the protocol.
 */
import { readFileSync } from 'node:fs'
import { connect as connectTcp, isIP, Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import {
  type BrokerAddress,
  type ClientEnv,
  type ClientSocket,
  type ClientTimer,
  type ConnectOptions,
  SocketError,
  type SocketReceiver,
} from './env.ts'
import { provideFileReader } from './protocol/compression/zstd.ts'

// Where Node has no zstd of its own it comes as a WebAssembly file, which the protocol room cannot read by itself.
provideFileReader(readFileSync)

/** Made once per process: it holds no state. */
export const nodeEnv: ClientEnv = {
  clock: {
    wallMs: () => Date.now(),
    monotonicMs: () => performance.now(),
  },
  timers: {
    set: (delayMs, callback) => setTimeout(callback, delayMs) as unknown as ClientTimer,
    setBackground: (delayMs, callback) => setTimeout(callback, delayMs).unref() as unknown as ClientTimer,
    clear: timer => clearTimeout(timer as unknown as NodeJS.Timeout),
    endOfTurn: callback => {
      setImmediate(callback)
    },
  },
  random: {
    float: () => Math.random(),
    int: below => Math.floor(Math.random() * below),
  },
  connect: connectSocket,
}

const KEEP_ALIVE_INITIAL_DELAY_MS = 60_000

function connectSocket(address: BrokerAddress, options: ConnectOptions): Promise<ClientSocket> {
  return new Promise((resolve, reject) => {
    const socket = new NodeSocket(address, options, error => {
      clearTimeout(timer)
      if (error === null) resolve(socket)
      else reject(error)
    })
    const timer = setTimeout(() => {
      socket.fail(new SocketError('ETIMEDOUT', `nobody accepted within ${options.timeoutMs} ms`))
    }, options.timeoutMs)
  })
}

/**
 * Plain sockets read straight into the receiver's room (`onread`). TLS sockets do not offer that on all versions of
 * Node; their decrypted pieces are copied into it.
 */
class NodeSocket implements ClientSocket {
  readonly #socket: Socket
  #receiver: SocketReceiver | null = null
  #settle: ((error: SocketError | null) => void) | null
  #error: SocketError | null = null
  #closed = false
  /** Where bytes land that arrive before `start`: a broker does not speak first, so this is never large. */
  readonly #early = Buffer.allocUnsafeSlow(1024)
  #earlyBytes = 0
  /** Whose the room is that Node fills now: it asks for the next one before we know that `start` will be called. */
  #roomIsEarly = true

  constructor(address: BrokerAddress, options: ConnectOptions, settle: (error: SocketError | null) => void) {
    this.#settle = settle
    const { host, port } = address
    if (options.tls === null) {
      this.#socket = connectTcp({
        host,
        port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: KEEP_ALIVE_INITIAL_DELAY_MS,
        onread: {
          buffer: () => {
            this.#roomIsEarly = this.#receiver === null
            return this.#room()
          },
          callback: length => {
            this.#landed(length)
            return true
          },
        },
      })
      this.#socket.once('connect', () => this.#connected())
    } else {
      this.#socket = connectTls({
        host,
        port,
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...(options.tls as object),
      })
      this.#socket.setNoDelay(true)
      this.#socket.setKeepAlive(true, KEEP_ALIVE_INITIAL_DELAY_MS)
      this.#socket.once('secureConnect', () => this.#connected())
      this.#socket.on('data', (chunk: Buffer) => this.#copyIn(chunk))
    }
    this.#socket.on('error', error => {
      this.#error ??= toSocketError(error, this.#socket)
    })
    this.#socket.on('end', () => this.#socket.destroy())
    this.#socket.on('close', () => this.#onClose())
  }

  #connected(): void {
    const settle = this.#settle
    this.#settle = null
    settle?.(null)
  }

  #onClose(): void {
    this.#closed = true
    const settle = this.#settle
    this.#settle = null
    settle?.(this.#error ?? new SocketError('ECONNRESET', 'the connection closed while it was being opened'))
    const receiver = this.#receiver
    this.#receiver = null
    receiver?.closed(this.#error)
  }

  #room(): Uint8Array {
    if (this.#receiver !== null) return this.#receiver.room()
    return this.#early.subarray(this.#earlyBytes)
  }

  #landed(length: number): void {
    if (this.#roomIsEarly && this.#receiver !== null) this.#copyIn(this.#early.subarray(0, length))
    else this.#received(length)
  }

  #received(length: number): void {
    if (this.#receiver !== null) {
      this.#receiver.received(length)
      return
    }
    this.#earlyBytes += length
    if (this.#earlyBytes === this.#early.length) {
      this.fail(new SocketError('EPROTO', 'the other side speaks first: this is no Kafka broker'))
    }
  }

  #copyIn(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const room = this.#room()
      const length = Math.min(room.length, chunk.length - at)
      if (length === 0) return
      room.set(chunk.subarray(at, at + length))
      this.#received(length)
      at += length
    }
  }

  start(receiver: SocketReceiver): void {
    if (this.#closed) {
      receiver.closed(this.#error)
      return
    }
    this.#receiver = receiver
    const early = this.#early.subarray(0, this.#earlyBytes)
    this.#earlyBytes = 0
    this.#copyIn(early)
  }

  write(chunks: readonly Uint8Array[], done: (error: SocketError | null) => void): void {
    const last = chunks.length - 1
    if (last < 0 || this.#closed) {
      done(this.#closed ? new SocketError('EPIPE', 'the connection is closed') : null)
      return
    }
    // Corked writes leave as one vectored write.
    const cork = last > 0
    if (cork) this.#socket.cork()
    for (let index = 0; index < last; index++) this.#socket.write(chunks[index]!)
    this.#socket.write(chunks[last]!, error => {
      done(error == null ? null : new SocketError(codeOf(error), error.message, error))
    })
    if (cork) this.#socket.uncork()
  }

  keepAlive(needed: boolean): void {
    if (needed) this.#socket.ref()
    else this.#socket.unref()
  }

  fail(error: SocketError): void {
    this.#error ??= error
    this.#socket.destroy()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

function codeOf(error: Error): string {
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : 'UNKNOWN'
}

function toSocketError(error: Error, socket: Socket): SocketError {
  const code = codeOf(error)
  // A host name with several addresses fails with one error for each; the first says enough.
  const inner = error instanceof AggregateError ? (error.errors[0] as Error | undefined) : undefined
  const text = inner?.message ?? error.message
  const unverified = (socket as Partial<TLSSocket>).authorizationError
  const hint = unverified ? ` (certificate: ${String(unverified)})` : ''
  return new SocketError(code, `${text}${hint}`, error)
}
