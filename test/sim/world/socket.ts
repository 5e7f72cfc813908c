/**
 * One end of a stream, as the kernel of its machine and the process that owns it see it. It serves the broker's
 * `Socket`; the client's is a thin layer over it.
 *
 * Who writes gives his memory away until it has left: the checksum of a chunk is the same then as when it was written,
 * or the run ends here. Were only what has arrived looked at, such bytes would have to hurt somebody first.
 */

import { type Address, NetworkError, type Receiver, type Socket } from '../../../broker/env.ts'
import { assert } from '../../../client/protocol/assert.ts'
import { crc32c } from '../../../client/protocol/crc32c.ts'
import { type SimNetwork } from './network.ts'
import { type SimProcess } from './process.ts'
import { KIND } from './scheduler.ts'
import { Violation } from './violation.ts'

interface PendingWrite {
  readonly chunks: readonly Uint8Array[]
  index: number
  offset: number
  readonly byteLength: number
  /** Of each chunk, as it was written. */
  readonly checksums: readonly number[]
  readonly atMs: number
  readonly done: (error: NetworkError | null) => void
}

type Segment = { readonly atMs: number } & (
  | { readonly kind: 'data'; readonly bytes: Buffer }
  | { readonly kind: 'end' }
  | { readonly kind: 'reset' }
)

const SEGMENT_BYTES = 64 * 1024
/** Retransmission after a link has healed comes within so long. */
const RETRANSMIT_MS = 400

export class Endpoint implements Socket {
  readonly local: Address
  readonly remote: Address
  readonly process: SimProcess
  pendingBytes = 0
  readonly #network: SimNetwork
  #peer: Endpoint | null = null
  #receiver: Receiver | null = null
  #paused = false
  /** `vanished`: the machine knows nothing of this stream any more. */
  #state: 'open' | 'closed' | 'vanished' = 'open'
  #error: NetworkError | null = null
  #closedTold = false

  // Sending: from `#writes` to `#outgoing`, which is on its way to the peer.
  readonly #writes: PendingWrite[] = []
  readonly #outgoing: Segment[] = []
  #inFlight = 0
  #leaving = false
  #endAsked = false
  #endSent = false
  #pumping = false
  #stalled = false

  // Receiving: what the kernel holds for the process.
  #arrived: Buffer[] = []
  #peerEnded = false
  #endTold = false
  #delivering = false

  constructor(network: SimNetwork, process: SimProcess, local: Address, remote: Address) {
    this.#network = network
    this.process = process
    this.local = local
    this.remote = remote
  }

  join(peer: Endpoint): void {
    this.#peer = peer
  }

  get peer(): Endpoint {
    assert(this.#peer !== null, 'a stream has two ends')
    return this.#peer
  }

  get isOpen(): boolean {
    return this.#state === 'open'
  }

  // --------------------------------------------------------------------------------------- for its process

  start(receiver: Receiver): void {
    assert(this.#receiver === null, 'a socket is started once')
    this.#receiver = receiver
    this.#wake()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#wake()
  }

  write(chunks: readonly Uint8Array[], done: (error: NetworkError | null) => void): void {
    let byteLength = 0
    for (const chunk of chunks) byteLength += chunk.length
    if (this.#state !== 'open' || this.#endAsked || byteLength === 0) {
      const isGone = this.#state !== 'open' || this.#endAsked
      const error = isGone ? (this.#error ?? new NetworkError('EPIPE', 'the connection is closed')) : null
      this.process.after(0, KIND.network, () => done(error))
      return
    }
    this.pendingBytes += byteLength
    const atMs = this.#network.scheduler.nowMs
    const checksums = chunks.map(chunk => crc32c(chunk))
    this.#writes.push({ chunks, index: 0, offset: 0, byteLength, checksums, atMs, done })
    this.#leave()
  }

  end(): void {
    if (this.#endAsked || this.#state !== 'open') return
    this.#endAsked = true
    this.#leave()
  }

  destroy(): void {
    if (this.#state !== 'open') return
    const isClean = this.pendingBytes === 0 && this.#arrived.length === 0
    this.#send({ kind: isClean && !this.#endSent ? 'end' : 'reset', atMs: this.#arrivalMs(0) })
    this.#close(null)
  }

  // ---------------------------------------------------------------------------------------- for the world

  /** The process has ended: its kernel closes the stream. */
  abandon(): void {
    if (this.#state !== 'open') return
    this.#send({ kind: 'reset', atMs: this.#arrivalMs(0) })
    this.#close(null)
  }

  /** Nothing is told to anybody: not to the peer, and, where the process lives, it does not know either. */
  vanish(): void {
    if (this.#state !== 'open') return
    this.#state = 'vanished'
    this.#outgoing.length = 0
    this.#writes.length = 0
    this.#network.forget(this)
  }

  /** The stream breaks: this end learns it now, the other one only if `tellPeer`, or when it sends. */
  breaks(tellPeer: boolean): void {
    if (this.#state !== 'open') return
    if (tellPeer) this.#send({ kind: 'reset', atMs: this.#arrivalMs(0) })
    this.#close(reset())
  }

  /** A link has healed, or a machine come back. */
  retransmit(): void {
    if (!this.#stalled) return
    this.#stalled = false
    this.#pump(this.#network.random.float() * RETRANSMIT_MS)
  }

  // -------------------------------------------------------------------------------------------- sending

  /** Bytes leave the process a moment after they were written: until then they are its own. */
  #leave(): void {
    if (this.#leaving) return
    this.#leaving = true
    this.#network.scheduler.in(0.005, KIND.network, () => {
      this.#leaving = false
      if (this.#state === 'open' && this.process.isAlive) this.#sendWindow()
    })
  }

  #sendWindow(): void {
    const windowBytes = this.#network.windowOf(this.local.host)
    while (this.#writes.length > 0 && this.#inFlight < windowBytes) {
      const bytes = this.#take(Math.min(SEGMENT_BYTES, windowBytes - this.#inFlight))
      this.#inFlight += bytes.length
      this.#send({ kind: 'data', bytes, atMs: this.#arrivalMs(bytes.length) })
    }
    if (this.#endAsked && !this.#endSent && this.#writes.length === 0) {
      this.#endSent = true
      this.#send({ kind: 'end', atMs: this.#arrivalMs(0) })
      this.#settleEnd()
    }
  }

  /** Copies up to `limit` bytes of what is to be sent; tells who wrote them. */
  #take(limit: number): Buffer {
    const parts: Uint8Array[] = []
    let length = 0
    while (length < limit) {
      const write = this.#writes[0]
      if (write === undefined) break
      const chunk = write.chunks[write.index]
      if (chunk === undefined) {
        this.#taken(write)
        continue
      }
      const part = chunk.subarray(write.offset, write.offset + limit - length)
      parts.push(part)
      length += part.length
      write.offset += part.length
      if (write.offset === chunk.length) {
        this.#checkUnchanged(write, write.index)
        write.index++
        write.offset = 0
      }
    }
    const taken = Buffer.concat(parts, length)
    const last = this.#writes[0]
    if (last !== undefined && last.index === last.chunks.length) this.#taken(last)
    return taken
  }

  /** The last byte of the first write has left its process. */
  #taken(write: PendingWrite): void {
    this.#writes.shift()
    this.pendingBytes -= write.byteLength
    this.process.enter(() => write.done(null))
  }

  /**
   * A chunk that is leaving, or will not. One that has left may change, though the write is not done: an answer to it
   * may have come already, and the memory be in use for the next request.
   */
  #checkUnchanged({ chunks, checksums, byteLength, atMs }: PendingWrite, index: number): void {
    if (crc32c(chunks[index]!) === checksums[index]) return
    const { scheduler } = this.#network
    const where = `${this.process.name} to ${this.remote.host}:${this.remote.port}`
    const what = `of the ${byteLength} bytes that were written at ${atMs} ms some were changed before they left`
    scheduler.stop(new Violation('changed-while-written', `${where}: ${what}`))
  }

  #arrivalMs(bytes: number): number {
    const { scheduler } = this.#network
    const atMs = scheduler.nowMs + this.#network.delayMs(this.local.host, this.remote.host, bytes)
    return Math.max(atMs, this.#outgoing.at(-1)?.atMs ?? 0)
  }

  #send(segment: Segment): void {
    this.#outgoing.push(segment)
    if (!this.#stalled) this.#pump(segment.atMs - this.#network.scheduler.nowMs)
  }

  #pump(inMs: number): void {
    if (this.#pumping) return
    this.#pumping = true
    this.#network.scheduler.in(inMs, KIND.network, () => {
      this.#pumping = false
      this.#transmit()
    })
  }

  #transmit(): void {
    const network = this.#network
    const { nowMs } = network.scheduler
    for (let segment = this.#outgoing[0]; segment !== undefined; segment = this.#outgoing[0]) {
      if (!network.passes(this.local.host, this.remote.host) || network.isDown(this.remote.host)) {
        this.#stalled = true
        return
      }
      if (segment.atMs > nowMs + 0.001) {
        this.#pump(segment.atMs - nowMs)
        return
      }
      this.#outgoing.shift()
      this.peer.#arrives(segment)
    }
  }

  /** The peer's process has taken `length` bytes, and its kernel has said so. */
  #acknowledged(length: number): void {
    this.#inFlight -= length
    if (this.#writes.length > 0 || this.#endAsked) this.#leave()
  }

  // ------------------------------------------------------------------------------------------ receiving

  #arrives(segment: Segment): void {
    if (this.#state !== 'open') {
      // Nobody knows this stream here. Whoever sends to it is told so.
      if (segment.kind === 'data') this.#send({ kind: 'reset', atMs: this.#arrivalMs(0) })
      return
    }
    switch (segment.kind) {
      case 'data':
        this.#network.scheduler.note(segment.bytes.length)
        this.#arrived.push(segment.bytes)
        break
      case 'end':
        this.#peerEnded = true
        break
      case 'reset':
        this.#close(reset())
        return
      default:
        segment satisfies never
    }
    this.process.enter(() => this.#deliver())
  }

  #wake(): void {
    this.process.after(0, KIND.network, () => this.#deliver())
  }

  #deliver(): void {
    const receiver = this.#receiver
    if (receiver === null || this.#delivering) return
    this.#delivering = true
    while (this.#state === 'open' && !this.#paused && this.#arrived.length > 0) this.#deliverSome(receiver)
    if (this.#state === 'open' && this.#peerEnded && this.#arrived.length === 0 && !this.#endTold) {
      this.#endTold = true
      receiver.ended()
      this.#settleEnd()
    }
    this.#delivering = false
    this.#tellClosed()
  }

  #deliverSome(receiver: Receiver): void {
    const bytes = this.#arrived[0]!
    const room = receiver.room()
    assert(room.length > 0, 'a receiver always has room')
    const whole = Math.min(room.length, bytes.length)
    const { random, splits } = this.#network
    const length = splits && random.int(8) === 0 ? 1 + random.int(whole) : whole
    room.set(length === bytes.length ? bytes : bytes.subarray(0, length))
    if (length === bytes.length) this.#arrived.shift()
    else this.#arrived[0] = bytes.subarray(length)
    this.peer.#acknowledged(length)
    receiver.received(length)
  }

  /** Both ends have said all. */
  #settleEnd(): void {
    if (this.#endSent && this.#endTold) this.#close(null)
  }

  #close(error: NetworkError | null): void {
    if (this.#state !== 'open') return
    this.#state = 'closed'
    this.#error = error
    this.#arrived = []
    this.#network.forget(this)
    const failure = error ?? new NetworkError('ECANCELED', 'the connection was closed before all was sent')
    const writes = this.#writes.splice(0)
    for (const write of writes) {
      for (let index = write.index; index < write.chunks.length; index++) this.#checkUnchanged(write, index)
    }
    this.pendingBytes = 0
    this.process.after(0, KIND.network, () => {
      for (const write of writes) write.done(failure)
      this.#tellClosed()
    })
  }

  #tellClosed(): void {
    if (this.#state !== 'closed' || this.#closedTold || this.#receiver === null) return
    this.#closedTold = true
    this.#receiver.closed(this.#error)
  }
}

function reset(): NetworkError {
  return new NetworkError('ECONNRESET', 'the peer has reset the connection')
}
