/**
 * Responses of one connection on their way out: all that became ready in a turn of the event loop leaves in one
 * vectored write. It counts what a peer that does not read makes us keep.
 */
import { type Socket, type Timers } from '../env.ts'
import { type PendingRequest } from './request.ts'

/** What a small response costs beside its bytes; without it, a million tiny ones would look like nothing. */
const OVERHEAD_BYTES = 1024

export interface OutboxListener {
  /** A write has left; `byteLength` bytes of it are with the kernel. */
  written(byteLength: number): void
}

export class Outbox {
  readonly #socket: Socket
  readonly #timers: Timers
  readonly #listener: OutboxListener
  #ready: PendingRequest[] = []
  #flushIsDue = false
  #weight = 0
  #closed = false

  constructor(socket: Socket, timers: Timers, listener: OutboxListener) {
    this.#socket = socket
    this.#timers = timers
    this.#listener = listener
  }

  /** Bytes that wait here or in the socket, with what they cost beside. */
  get weight(): number {
    return this.#weight
  }

  get isEmpty(): boolean {
    return this.#weight === 0
  }

  /** Takes an answered request; it is finished when its bytes have left, or at once when it has none. */
  push(request: PendingRequest): void {
    if (request.byteLength === 0 || this.#closed) {
      request.finish()
      return
    }
    this.#weight += request.byteLength + OVERHEAD_BYTES
    this.#ready.push(request)
    if (this.#flushIsDue) return
    this.#flushIsDue = true
    this.#timers.endOfTurn(() => this.#flush())
  }

  /** The connection is gone. What the socket still has comes back through the write's end. */
  close(): void {
    this.#closed = true
    this.#finish(this.#ready)
    this.#ready = []
  }

  #flush(): void {
    this.#flushIsDue = false
    const leaving = this.#ready
    if (leaving.length === 0) return
    this.#ready = []
    const chunks: Uint8Array[] = []
    let byteLength = 0
    for (const request of leaving) {
      for (const chunk of request.chunks) chunks.push(chunk)
      byteLength += request.byteLength
    }
    this.#socket.write(chunks, error => {
      this.#finish(leaving)
      this.#listener.written(error === null ? byteLength : 0)
    })
  }

  #finish(requests: readonly PendingRequest[]): void {
    for (const request of requests) {
      this.#weight -= request.byteLength + OVERHEAD_BYTES
      request.finish()
    }
  }
}
