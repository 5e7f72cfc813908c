/**
 * A network inside the process: connections are byte streams that may arrive in other pieces than they were sent
 * in. Nothing is delivered within the call that sent it.
 */
import { assert } from '../../client/protocol/assert.ts'
import {
  type Address,
  type Listener,
  type Network,
  NetworkError,
  type Receiver,
  type Socket,
} from '../env.ts'

export interface MemoryNetworkOptions {
  /** How many of the next `length` bytes arrive together (1 .. length). Default: all. */
  readonly split?: (length: number) => number
}

const FIRST_PORT = 40_000

export class MemoryNetwork implements Network {
  readonly #split: (length: number) => number
  readonly #listeners = new Map<number, (socket: Socket) => void>()
  #nextPort = FIRST_PORT

  constructor(options: MemoryNetworkOptions = {}) {
    this.#split = options.split ?? (length => length)
  }

  async listen(address: Address, accept: (socket: Socket) => void): Promise<Listener> {
    const port = address.port === 0 ? this.#nextPort++ : address.port
    if (this.#listeners.has(port)) {
      throw new NetworkError('EADDRINUSE', `port ${port} is taken: stop who has it, or take another`)
    }
    this.#listeners.set(port, accept)
    return {
      address: { host: address.host, port },
      close: async () => {
        if (this.#listeners.get(port) === accept) this.#listeners.delete(port)
      },
    }
  }

  async connect(address: Address, _timeoutMs: number): Promise<Socket> {
    const accept = this.#listeners.get(address.port)
    if (accept === undefined) {
      throw new NetworkError('ECONNREFUSED', `nobody listens on ${address.host}:${address.port}`)
    }
    const local = { host: '127.0.0.1', port: this.#nextPort++ }
    const client = new MemorySocket(local, address, this.#split)
    const server = new MemorySocket(address, local, this.#split)
    client.join(server)
    server.join(client)
    accept(server)
    return client
  }
}

interface PendingWrite {
  bytesLeft: number
  readonly done: (error: NetworkError | null) => void
}

class MemorySocket implements Socket {
  readonly local: Address
  readonly remote: Address
  readonly #split: (length: number) => number
  #peer: MemorySocket | null = null
  #receiver: Receiver | null = null
  #paused = false
  /** On the way to the receiver of this side; the bytes are the peer's until they arrive. */
  readonly #incoming: Uint8Array[] = []
  #peerEnded = false
  #endDelivered = false
  #ended = false
  #closed = false
  #closedError: NetworkError | null = null
  #closeDelivered = false
  readonly #writes: PendingWrite[] = []
  #pumping = false
  pendingBytes = 0

  constructor(local: Address, remote: Address, split: (length: number) => number) {
    this.local = local
    this.remote = remote
    this.#split = split
  }

  join(peer: MemorySocket): void {
    this.#peer = peer
  }

  start(receiver: Receiver): void {
    assert(this.#receiver === null, 'a socket is started once')
    this.#receiver = receiver
    this.#wake()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#wake()
  }

  write(chunks: readonly Uint8Array[], done: (error: NetworkError | null) => void): void {
    const peer = this.#peer
    if (this.#closed || this.#ended || peer === null) {
      const error = this.#closedError ?? new NetworkError('EPIPE', 'the connection is closed')
      queueMicrotask(() => done(error))
      return
    }
    const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
    if (length === 0) {
      queueMicrotask(() => done(null))
      return
    }
    if (peer.#closed) {
      const error = resetByPeer()
      queueMicrotask(() => done(error))
      this.#close(error)
      return
    }
    this.pendingBytes += length
    this.#writes.push({ bytesLeft: length, done })
    for (const chunk of chunks) if (chunk.length > 0) peer.#incoming.push(chunk)
    peer.#wake()
  }

  end(): void {
    if (this.#ended || this.#closed) return
    this.#ended = true
    this.#peer?.ends()
    this.#wake()
  }

  destroy(): void {
    const isClean = this.#ended && this.pendingBytes === 0 && this.#incoming.length === 0
    this.#close(null)
    const peer = this.#peer
    if (peer === null) return
    if (isClean) peer.#wake()
    else peer.#close(resetByPeer())
  }

  /** The peer will send no more. */
  ends(): void {
    this.#peerEnded = true
    this.#wake()
  }

  #close(error: NetworkError | null): void {
    if (this.#closed) return
    this.#closed = true
    this.#closedError = error
    this.#incoming.length = 0
    const failure = error ?? new NetworkError('ECANCELED', 'the connection was closed before all was sent')
    for (const write of this.#writes.splice(0)) queueMicrotask(() => write.done(failure))
    this.pendingBytes = 0
    this.#wake()
  }

  #wake(): void {
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(() => {
      this.#pumping = false
      this.#deliver()
    })
  }

  #deliver(): void {
    const receiver = this.#receiver
    if (receiver === null) return
    const chunk = this.#incoming[0]
    if (!this.#closed && chunk !== undefined && !this.#paused) {
      this.#deliverChunk(receiver, chunk)
      this.#wake()
      return
    }
    if (!this.#closed && this.#peerEnded && chunk === undefined && !this.#endDelivered) {
      this.#endDelivered = true
      receiver.ended()
    }
    const allSaid = this.#ended && this.pendingBytes === 0 && this.#endDelivered
    if (allSaid) this.#closed = true
    if (this.#closed && !this.#closeDelivered) {
      this.#closeDelivered = true
      receiver.closed(this.#closedError)
    }
  }

  #deliverChunk(receiver: Receiver, chunk: Uint8Array): void {
    const room = receiver.room()
    assert(room.length > 0, 'a receiver always has room')
    const whole = Math.min(room.length, chunk.length)
    const length = Math.max(1, Math.min(whole, this.#split(whole)))
    room.set(chunk.subarray(0, length))
    if (length === chunk.length) this.#incoming.shift()
    else this.#incoming[0] = chunk.subarray(length)
    this.#peer?.arrived(length)
    receiver.received(length)
  }

  /** The peer has taken `length` bytes of what was written here. */
  arrived(length: number): void {
    let left = length
    this.pendingBytes -= length
    while (left > 0) {
      const write = this.#writes[0]
      if (write === undefined) return
      const taken = Math.min(left, write.bytesLeft)
      write.bytesLeft -= taken
      left -= taken
      if (write.bytesLeft > 0) return
      this.#writes.shift()
      queueMicrotask(() => write.done(null))
    }
    if (this.#ended) this.#wake()
  }
}

function resetByPeer(): NetworkError {
  return new NetworkError('ECONNRESET', 'the peer has reset the connection')
}
