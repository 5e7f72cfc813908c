/**
 * One connection: frames in, requests to their handlers, responses out in the order of the requests (work may overlap,
 * answers may not). It stops reading whenever the peer asks for more than its share: too many requests under way, too
 * much to send that the peer does not take, no memory for more, or a quota.
 *
 * It must never let what a peer sends reach anybody but this connection, and never keep a request's memory beyond its
 * end. It knows nothing of topics, and has no timer of its own: the server looks at all connections in one tick.
 */
import { AssertionError, asError } from '../../client/protocol/assert.ts'
import { ProtocolError } from '../../client/protocol/errors.ts'
import { type EncodedFrame, encodeResponse, type RequestHeader } from '../../client/protocol/frame.ts'
import {
  type Address,
  type Clock,
  type NetworkError,
  type Receiver,
  type Socket,
  type TimerHandle,
  type Timers,
} from '../env.ts'
import { type Counters } from './counters.ts'
import { dispatch } from './dispatch.ts'
import { type Frame, FrameReceiver } from './frame-receiver.ts'
import {
  type AnyApiHandler,
  type HandlerRegistry,
  type Interceptor,
  NO_RESPONSE,
  type Outcome,
} from './handler.ts'
import { type ServerLimits } from './limits.ts'
import { Outbox } from './outbox.ts'
import { type ReceiveMemory } from './receive-memory.ts'
import { PendingRequest, type RequestHome } from './request.ts'

/** What all connections of a server share. */
export interface ConnectionHost {
  readonly clock: Clock
  readonly timers: Timers
  readonly handlers: HandlerRegistry
  readonly limits: ServerLimits
  readonly memory: ReceiveMemory
  readonly counters: Counters
  readonly interceptor: Interceptor | null
  /** The peer sent what cannot be served; for the log. */
  refused(connection: Connection, header: RequestHeader | null, reason: string): void
  /** A handler threw, or closed the connection; for the log. */
  failed(connection: Connection, header: RequestHeader | null, error: unknown): void
  /** A bug: the broker must stop. */
  fatal(error: Error): void
  closed(connection: Connection, error: NetworkError | null): void
}

/** A request that has been read. */
interface ReadRequest {
  readonly request: PendingRequest
  readonly handler: AnyApiHandler
  readonly body: unknown
}

/** In place of a response where there is none. */
const NOTHING: EncodedFrame = { chunks: [], byteLength: 0 }

/** How much we still take from a peer, to drop it, while we wait for it to see our end. */
const MAX_DISCARDED_BYTES = 1024 * 1024

export class Connection implements Receiver, RequestHome {
  readonly id: number
  readonly remote: Address
  readonly local: Address
  readonly listenerName: string
  readonly state = new Map<symbol, unknown>()
  clientSoftwareName: string | null = null
  clientSoftwareVersion: string | null = null
  isClosed = false
  bytesReceived = 0
  /** Monotonic time of the last bytes in either direction, or of the opening. */
  lastActivityMs: number
  /** Since when the frame that has begun has been arriving, or null when none has. */
  frameBegunAtMs: number | null = null
  /** Since when the connection has been on its way to its end, or null. */
  closingSinceMs: number | null = null
  readonly #host: ConnectionHost
  readonly #socket: Socket
  readonly #frames: FrameReceiver
  readonly #outbox: Outbox
  /** Begun, and the response has not gone to the outbox; in order. */
  #requests: PendingRequest[] = []
  /** Read, but its response has to wait for room. */
  #held: ReadRequest | null = null
  /** Announced bytes of responses that have not been made yet. */
  #expectedBytes = 0
  readonly #closeListeners = new Set<() => void>()
  #pumping = false
  #paused = false
  #peerEnded = false
  #endSent = false
  /** A request has ended the conversation: later ones get no response. */
  #muted = false
  #throttle: { readonly untilMs: number; readonly timer: TimerHandle } | null = null
  #stopWaiting: (() => void) | null = null

  constructor(host: ConnectionHost, socket: Socket, id: number, listenerName: string) {
    this.#host = host
    this.#socket = socket
    this.id = id
    this.remote = socket.remote
    this.local = socket.local
    this.listenerName = listenerName
    this.lastActivityMs = host.clock.monotonicMs()
    const { limits } = host
    const maxFrameBytes = limits.maxFrameBytesBeforeAuthentication ?? limits.maxFrameBytes
    this.#frames = new FrameReceiver(host.memory, maxFrameBytes)
    this.#outbox = new Outbox(socket, host.timers, this)
  }

  start(): void {
    this.#socket.start(this)
  }

  /** Lifts the smaller limit of the time before authentication. */
  authenticated(): void {
    this.#frames.maxFrameBytes = this.#host.limits.maxFrameBytes
  }

  /** True when nothing of a request is left here, neither work nor bytes to send. */
  get isQuiet(): boolean {
    return this.#requests.length === 0 && this.#held === null && this.#outbox.isEmpty
  }

  /** No handler is working on a request of it; at most bytes are left that the peer does not take. */
  get isIdle(): boolean {
    return this.#requests.length === 0 && this.#held === null
  }

  /** A part of a frame is there and the rest is due; false while it is us who do not read, memory apart. */
  get awaitsRestOfFrame(): boolean {
    return this.frameBegunAtMs !== null && (!this.#paused || this.#frames.starved)
  }

  /** Size of the frame that has begun, 0 while it is not known; and what of it has arrived. */
  get frameProgress(): { readonly frameBytes: number; readonly heldBytes: number } {
    return { frameBytes: this.#frames.begunFrameBytes, heldBytes: this.#frames.heldBytes }
  }

  /** Gives back memory that is kept for more of the same; to be called when nothing has arrived for a while. */
  relax(): void {
    this.#frames.relax()
  }

  /** Begins no further request; ends the connection when those under way have been answered. */
  close(): void {
    if (this.isClosed || this.closingSinceMs !== null) return
    this.closingSinceMs = this.#host.clock.monotonicMs()
    this.#dropHeld()
    this.#regulate()
    this.#endWhenQuiet()
  }

  /** Closes at once. */
  destroy(): void {
    this.#socket.destroy()
  }

  // -------------------------------------------------------------------------------------- the socket's side

  room(): Uint8Array {
    const room = this.#frames.room()
    if (this.#frames.starved) this.#regulate()
    return room
  }

  received(length: number): void {
    this.bytesReceived += length
    this.#host.counters.bytesIn += length
    if (this.isClosed) return
    if (this.closingSinceMs !== null) {
      this.#discard(length)
      return
    }
    this.lastActivityMs = this.#host.clock.monotonicMs()
    this.#frames.received(length)
    this.#goOn()
  }

  ended(): void {
    this.#peerEnded = true
    if (this.#endSent) this.#socket.destroy()
    else this.#endWhenQuiet()
  }

  closed(error: NetworkError | null): void {
    this.isClosed = true
    this.#stopWaiting?.()
    this.#endThrottle()
    this.#dropHeld()
    this.#frames.dispose()
    const answered = this.#requests.filter(request => request.state === 'answered')
    // What handlers still work on is finished when they are.
    this.#requests = []
    this.#guard(() => {
      for (const listener of this.#closeListeners) listener()
      this.#closeListeners.clear()
      for (const request of answered) request.finish()
      this.#outbox.close()
    })
    this.state.clear()
    this.#host.closed(this, error)
  }

  written(byteLength: number): void {
    this.#host.counters.bytesOut += byteLength
    if (this.isClosed) return
    this.lastActivityMs = this.#host.clock.monotonicMs()
    this.#goOn()
    this.#endWhenQuiet()
  }

  addCloseListener(listener: () => void): () => void {
    this.#closeListeners.add(listener)
    return () => this.#closeListeners.delete(listener)
  }

  // ------------------------------------------------------------------------------------- beginning requests

  /** Begins what may be begun of what has arrived, then reads on, or stops reading. */
  #goOn(): void {
    if (this.#pumping || this.isClosed) return
    this.#pumping = true
    try {
      while (this.#mayBegin()) if (!this.#beginNext()) break
    } catch (error) {
      this.#cannotRead(error)
    } finally {
      this.#pumping = false
    }
    if (this.isClosed) return
    this.#frames.settle()
    this.frameBegunAtMs = this.#frames.heldBytes > 0 ? (this.frameBegunAtMs ?? this.lastActivityMs) : null
    this.#regulate()
    if (this.#peerEnded) this.#endWhenQuiet()
  }

  #mayBegin(): boolean {
    const { limits } = this.#host
    if (this.closingSinceMs !== null || this.isClosed || this.#throttle !== null) return false
    if (this.#requests.length >= limits.maxRequestsInFlight) return false
    if (this.#outbox.weight >= limits.maxPendingResponseBytes) return false
    return this.#held === null || this.#hasRoomFor(this.#held.request.expectedBytes)
  }

  /** A response that is announced as large waits until the others leave it room, or are gone. */
  #hasRoomFor(expectedBytes: number): boolean {
    const coming = this.#expectedBytes + this.#outbox.weight
    const fits = coming + expectedBytes <= this.#host.limits.maxPendingResponseBytes
    return expectedBytes === 0 || coming === 0 || fits
  }

  /** False when no whole request is there, or the next one has to wait. */
  #beginNext(): boolean {
    if (this.#held !== null) {
      const held = this.#held
      this.#held = null
      this.#begin(held)
      return true
    }
    const frame = this.#frames.next()
    if (frame === null) return false
    this.frameBegunAtMs = null
    const next = this.#read(frame)
    if (next === null) return true
    if (this.#hasRoomFor(next.request.expectedBytes)) this.#begin(next)
    else this.#held = next
    return this.#held === null
  }

  /** Reads one frame. Null when there is nothing for a handler to do. */
  #read(frame: Frame): ReadRequest | null {
    const { handlers, counters } = this.#host
    const dispatched = releasingOnThrow(frame, () => dispatch(handlers, frame.bytes))
    const { header } = dispatched
    if (dispatched.kind === 'refuse') {
      frame.owner.release()
      this.#refuse(header, dispatched.reason)
      return null
    }
    counters.countRequest(dispatched.header.apiKey)
    if (dispatched.kind === 'answer') {
      const request = new PendingRequest(this, dispatched.header, frame, this.lastActivityMs, 0)
      this.#enter(request)
      this.#answered(request, dispatched.response)
      return null
    }
    const { handler, request: body } = dispatched
    const expectedBytes = handler.expectedResponseBytes?.(body) ?? 0
    const request = new PendingRequest(this, dispatched.header, frame, this.lastActivityMs, expectedBytes)
    return { request, handler, body }
  }

  #enter(request: PendingRequest): void {
    this.#requests.push(request)
    this.#expectedBytes += request.expectedBytes
    this.#host.counters.requestsInFlight++
  }

  #begin({ request, handler, body }: ReadRequest): void {
    this.#enter(request)
    const { interceptor } = this.#host
    let outcome: Outcome<unknown>
    try {
      if (interceptor === null) outcome = handler.handle(body, request)
      else outcome = interceptor(handler, body, request, () => handler.handle(body, request))
    } catch (error) {
      this.#failed(request, error)
      return
    }
    if (!(outcome instanceof Promise)) {
      this.#respond(request, handler, outcome)
      return
    }
    outcome.then(
      response => {
        this.#respond(request, handler, response)
        this.#goOn()
      },
      (error: unknown) => this.#failed(request, error),
    )
  }

  // ------------------------------------------------------------------------------------- ending requests

  #respond(request: PendingRequest, handler: AnyApiHandler, response: unknown): void {
    if (response === NO_RESPONSE || this.isClosed) {
      this.#answered(request, NOTHING)
      return
    }
    let frame: EncodedFrame
    try {
      frame = encodeResponse(handler.api, request.apiVersion, request.correlationId, response)
    } catch (error) {
      this.#failed(request, error)
      return
    }
    this.#answered(request, frame)
  }

  #failed(request: PendingRequest, error: unknown): void {
    if (error instanceof AssertionError) this.#host.fatal(error)
    else if (!this.isClosed) this.#host.failed(this, request.header, error)
    request.closeConnection('')
    this.#answered(request, NOTHING)
  }

  #answered(request: PendingRequest, response: EncodedFrame): void {
    this.#host.counters.requestsInFlight--
    this.#expectedBytes -= request.expectedBytes
    this.#guard(() => {
      request.answer(response)
      if (this.isClosed) request.finish()
      else this.#sendInOrder()
    })
  }

  /** Hands over the responses that have none before them to wait for. */
  #sendInOrder(): void {
    let count = 0
    for (const request of this.#requests) {
      if (request.state === 'working') break
      count++
      if (this.#muted) {
        request.finish()
        continue
      }
      this.#outbox.push(request)
      if (request.throttleMs > 0) this.#stopReadingFor(request.throttleMs)
      if (request.closeReason !== null) this.#closeAfter(request, request.closeReason)
    }
    if (count === 1) this.#requests.shift()
    else if (count > 1) this.#requests.splice(0, count)
    this.#endWhenQuiet()
  }

  #closeAfter(request: PendingRequest, reason: string): void {
    this.#muted = true
    if (reason !== '') this.#host.refused(this, request.header, reason)
    this.close()
  }

  #refuse(header: RequestHeader | null, reason: string): void {
    this.#host.refused(this, header, reason)
    this.#host.counters.refusedFrames++
    this.close()
  }

  /** Reading a frame threw: that is the peer's fault, or a bug which must not be at a peer's command. */
  #cannotRead(error: unknown): void {
    if (error instanceof AssertionError) this.#host.fatal(error)
    else if (error instanceof ProtocolError) this.#refuse(null, error.message)
    else {
      this.#host.failed(this, null, error)
      this.close()
    }
  }

  #dropHeld(): void {
    const held = this.#held
    this.#held = null
    held?.request.answer(NOTHING)
    held?.request.finish()
  }

  // --------------------------------------------------------------------------------------- reading or not

  #regulate(): void {
    if (this.isClosed) return
    const { starved } = this.#frames
    const read = this.closingSinceMs === null ? this.#mayBegin() && !starved : this.#endSent
    if (starved && this.closingSinceMs === null) this.#waitForMemory()
    if (read !== this.#paused) return
    this.#paused = !read
    if (!read) {
      this.#socket.pause()
      return
    }
    // The time in which we did not read is not the peer's.
    if (this.frameBegunAtMs !== null) this.frameBegunAtMs = this.#host.clock.monotonicMs()
    this.#socket.resume()
  }

  #waitForMemory(): void {
    this.#stopWaiting ??= this.#host.memory.whenAvailable(() => {
      this.#stopWaiting = null
      this.#frames.feed()
      this.#regulate()
    })
  }

  #stopReadingFor(ms: number): void {
    const { clock, timers } = this.#host
    const untilMs = clock.monotonicMs() + ms
    if (this.#throttle !== null && this.#throttle.untilMs >= untilMs) return
    this.#endThrottle()
    const timer = timers.set(ms, () => {
      this.#throttle = null
      this.#goOn()
    })
    this.#throttle = { untilMs, timer }
    this.#regulate()
  }

  #endThrottle(): void {
    if (this.#throttle !== null) this.#host.timers.clear(this.#throttle.timer)
    this.#throttle = null
  }

  // --------------------------------------------------------------------------------------------- the end

  #endWhenQuiet(): void {
    if (this.isClosed || this.#endSent || !this.#outbox.isEmpty) return
    if (this.closingSinceMs === null && (!this.#peerEnded || this.#hasWholeFrame)) return
    if (!this.#muted && !this.isQuiet) return
    this.#endSent = true
    this.closingSinceMs ??= this.#host.clock.monotonicMs()
    // Not a close at once: bytes that nobody has read would turn it into a reset, which may overtake our last
    // response. What still comes is taken and dropped until the peer has seen our end.
    this.#socket.end()
    this.#regulate()
  }

  get #hasWholeFrame(): boolean {
    const { begunFrameBytes, heldBytes } = this.#frames
    return begunFrameBytes > 0 && heldBytes >= begunFrameBytes
  }

  #discard(length: number): void {
    this.#discardedBytes += length
    if (this.#discardedBytes > MAX_DISCARDED_BYTES) this.#socket.destroy()
  }

  #discardedBytes = 0

  /** Runs callbacks of handlers: what they throw is a bug of ours. */
  #guard(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#host.fatal(asError(error))
    }
  }
}

function releasingOnThrow<T>(frame: Frame, run: () => T): T {
  try {
    return run()
  } catch (error) {
    frame.owner.release()
    throw error
  }
}
