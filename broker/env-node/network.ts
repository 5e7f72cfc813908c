/**
 * TCP, so that received bytes land where their receiver wants them. Node reads a socket into fresh memory unless the
 * socket was made with `onread`; an accepted socket never is. So the handle of an accepted socket is wrapped a second
 * time, with `onread`, before the first byte is read. Where Node does not let us reach the handle, each chunk is
 * copied into the receiver's room instead: slower, and otherwise the same.
 */
import net from 'node:net'
import {
  type Address,
  type Listener,
  type Log,
  type Network,
  NetworkError,
  type Receiver,
  type Socket,
} from '../env.ts'

export interface NodeNetworkOptions {
  /** Told of connections that could not be accepted; without it they fail silently. */
  readonly log?: Log
  /** For tests: act as if the handle could not be reached. */
  readonly alwaysCopy?: boolean
}

/** Connections that the kernel holds ready until we accept them; it cuts this to its own limit. */
const BACKLOG = 4096

/** To copy a few small chunks into one costs less than to hand each of them to the kernel. */
const COPY_UP_TO_BYTES = 8 * 1024

export function createNodeNetwork(options: NodeNetworkOptions = {}): Network {
  const { log, alwaysCopy = false } = options
  return {
    listen: (address, accept) => listen(address, socket => accept(new NodeSocket(socket, alwaysCopy)), log),
    connect: (address, timeoutMs) => connect(address, timeoutMs, alwaysCopy),
  }
}

function listen(address: Address, accept: (socket: net.Socket) => void, log?: Log): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = net.createServer({
      // Reading starts when the receiver is there.
      pauseOnConnect: true,
      // After the peer's end we may still have responses to send.
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
    })
    const refuse = (error: Error): void => reject(listenError(address, error))
    server.once('error', refuse)
    server.on('connection', accept)
    server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, () => {
      server.off('error', refuse)
      // From here on an error is one connection that could not be accepted: as a rule, no descriptors are left.
      server.on('error', error => log?.warn('A connection could not be accepted', { error, ...address }))
      resolve(listener(server, address))
    })
  })
}

function listener(server: net.Server, wanted: Address): Listener {
  const bound = server.address()
  const port = typeof bound === 'object' && bound !== null ? bound.port : wanted.port
  return {
    address: { host: wanted.host, port },
    close: () =>
      new Promise(resolve => {
        // The port is free as soon as the handle is closed; the event would wait for the connections too.
        server.close()
        setImmediate(resolve)
      }),
  }
}

function listenError(address: Address, error: Error): NetworkError {
  const code = codeOf(error)
  const at = `${address.host}:${address.port}`
  switch (code) {
    case 'EADDRINUSE':
      return new NetworkError(
        code,
        `Cannot listen on ${at}: another process uses this port. Stop it, or choose another port.`,
        error,
      )
    case 'EACCES':
      return new NetworkError(
        code,
        `Cannot listen on ${at}: this user may not use the port. Ports below 1024 need rights; choose a higher one.`,
        error,
      )
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new NetworkError(
        code,
        `Cannot listen on ${at}: this machine has no such address. Check the host of the listener.`,
        error,
      )
    default:
      return new NetworkError(code, `Cannot listen on ${at}: ${error.message}`, error)
  }
}

function connect(address: Address, timeoutMs: number, alwaysCopy: boolean): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = new net.Socket({ allowHalfOpen: true })
    // Not to read before the receiver is there.
    socket.pause()
    socket.setNoDelay(true)
    socket.setKeepAlive(true)
    const at = `${address.host}:${address.port}`
    const fail = (error: NetworkError): void => {
      clearTimeout(timer)
      socket.destroy()
      reject(error)
    }
    const timer = setTimeout(() => {
      fail(new NetworkError('ETIMEDOUT', `No connection to ${at} within ${timeoutMs} ms`))
    }, timeoutMs)
    timer.unref()
    const refused = (error: Error): void => {
      fail(new NetworkError(codeOf(error), `Cannot connect to ${at}: ${error.message}`, error))
    }
    socket.once('error', refused)
    socket.connect(address.port, address.host, () => {
      clearTimeout(timer)
      socket.off('error', refused)
      resolve(new NodeSocket(socket, alwaysCopy))
    })
  })
}

// -------------------------------------------------------------------------------------------- one socket

/** The part of libuv's handle, as Node exposes it, that we rely on. */
interface TcpHandle {
  useUserBuffer(buffer: Uint8Array): void
  readStart(): number
}

/** Room that is given where no receiver wants any more bytes: something must be there to fill. */
const NOWHERE = Buffer.alloc(64)

class NodeSocket implements Socket {
  readonly remote: Address
  readonly local: Address
  readonly #alwaysCopy: boolean
  #socket: net.Socket
  #receiver: Receiver | null = null
  #pending = new Set<PendingWrite>()
  #pendingBytes = 0
  #ended = false
  #closed = false
  #failure: NetworkError | null = null

  constructor(socket: net.Socket, alwaysCopy: boolean) {
    this.#socket = socket
    this.#alwaysCopy = alwaysCopy
    this.remote = { host: socket.remoteAddress ?? '', port: socket.remotePort ?? 0 }
    this.local = { host: socket.localAddress ?? '', port: socket.localPort ?? 0 }
    this.#listen(socket)
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  start(receiver: Receiver): void {
    this.#receiver = receiver
    if (this.#closed) {
      // The connection broke before anybody listened.
      setImmediate(() => receiver.closed(this.#failure))
      return
    }
    const handle = this.#alwaysCopy || this.#pending.size > 0 ? null : takeHandle(this.#socket)
    if (handle === null) this.#receiveByCopy(receiver)
    else this.#receiveInPlace(receiver, handle)
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  write(chunks: readonly Uint8Array[], done: (error: NetworkError | null) => void): void {
    let byteLength = 0
    for (const chunk of chunks) byteLength += chunk.byteLength
    const pending: PendingWrite = { byteLength, done }
    this.#pending.add(pending)
    this.#pendingBytes += byteLength
    const settle = (error?: Error | null): void => {
      // A write that was cut short by `destroy` comes back without an error.
      if (!error && !this.#socket.destroyed) this.#settle(pending, null)
      else this.#settle(pending, this.#failure ?? (error ? networkError(error) : cutShort()))
    }
    const last = chunks.length - 1
    if (last < 0 || this.#closed) {
      setImmediate(settle, this.#closed ? new Error('the connection is closed') : null)
      return
    }
    if (last === 0 || byteLength <= COPY_UP_TO_BYTES) {
      this.#socket.write(last === 0 ? chunks[0]! : Buffer.concat(chunks, byteLength), settle)
      return
    }
    // Corked writes leave as one writev; only the last one needs to tell.
    this.#socket.cork()
    for (let index = 0; index < last; index++) this.#socket.write(chunks[index]!)
    this.#socket.write(chunks[last]!, settle)
    this.#socket.uncork()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #receiveInPlace(receiver: Receiver, handle: TcpHandle): void {
    let socket: net.Socket | null = null
    const options = {
      handle,
      allowHalfOpen: true,
      onread: {
        // Node asks once more after a callback in which the socket was destroyed.
        buffer: () => (socket?.destroyed ? NOWHERE : receiver.room()),
        callback: (length: number) => {
          receiver.received(length)
          return true
        },
      },
    }
    socket = new net.Socket(options as unknown as net.SocketConstructorOpts)
    this.#socket = socket
    this.#listen(socket)
  }

  #receiveByCopy(receiver: Receiver): void {
    this.#socket.on('data', (chunk: Buffer) => {
      for (let offset = 0; offset < chunk.byteLength && !this.#socket.destroyed; ) {
        const room = receiver.room()
        const length = Math.min(room.byteLength, chunk.byteLength - offset)
        room.set(chunk.subarray(offset, offset + length))
        offset += length
        receiver.received(length)
      }
    })
    this.#socket.resume()
  }

  #listen(socket: net.Socket): void {
    socket.on('end', () => {
      if (this.#ended) return
      this.#ended = true
      this.#receiver?.ended()
    })
    socket.on('error', error => {
      this.#failure ??= networkError(error)
    })
    socket.on('close', () => {
      // A socket whose handle was taken over closes too; that is not the end of the connection.
      if (socket === this.#socket) this.#close()
    })
  }

  #settle(pending: PendingWrite, error: NetworkError | null): void {
    if (!this.#pending.delete(pending)) return
    this.#pendingBytes -= pending.byteLength
    pending.done(error)
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    const gone =
      this.#failure ?? new NetworkError('ECANCELED', 'The connection was closed before all was sent')
    for (const pending of this.#pending) this.#settle(pending, gone)
    this.#receiver?.closed(this.#failure)
  }
}

interface PendingWrite {
  readonly byteLength: number
  readonly done: (error: NetworkError | null) => void
}

/** Takes the handle out of a socket that has neither read nor written, or null where Node does not let us. */
function takeHandle(socket: net.Socket): TcpHandle | null {
  const holder = socket as unknown as { _handle?: Partial<TcpHandle> | null }
  const handle = holder._handle
  if (typeof handle?.useUserBuffer !== 'function' || typeof handle.readStart !== 'function') return null
  holder._handle = null
  // Without its handle the socket only tells its server that it is gone.
  socket.destroy()
  return handle as TcpHandle
}

function cutShort(): NetworkError {
  return new NetworkError('ECANCELED', 'The connection was closed before all was sent')
}

function networkError(error: Error): NetworkError {
  return error instanceof NetworkError ? error : new NetworkError(codeOf(error), error.message, error)
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : 'UNKNOWN'
}
