/**
 * One connection from this broker to another: a socket of the environment around the client's side of the protocol.
 * Requests are answered in order through callbacks; nothing is promised, nothing polls, and a link on which nothing is
 * under way costs nothing but its socket.
 *
 * What is received lands in counted memory (see `LinkMemory`), and answers are decoded where they lie: so the records
 * of a fetch go to the disk and to the tail cache without being copied. It never reconnects and never asks again: that
 * is for those to decide who know what the answer was wanted for.
 */
import { type Api } from '../../client/protocol/apis.ts'
import { assert } from '../../client/protocol/assert.ts'
import { ProtocolError, UnsupportedVersionError } from '../../client/protocol/errors.ts'
import { Session } from '../../client/protocol/session.ts'
import { type Address, type Env, NetworkError, type Receiver, type Socket, type TimerHandle } from '../env.ts'
import { type Retained } from '../slab.ts'

/** Cuts what a socket receives into whole frames; as the server's frame receiver does. */
export interface FrameIntake {
  room(): Uint8Array
  received(length: number): void
  /** The reference to `owner` belongs to whoever takes the frame. Throws MalformedError. */
  next(): { readonly bytes: Uint8Array; readonly owner: Retained } | null
  settle(): void
  readonly starved: boolean
  /** Tries again to get the memory that was refused; true when reading may go on. */
  feed(): boolean
  relax(): void
  dispose(): void
}

/** Where links receive; shared by all of a broker's. */
export interface LinkMemory {
  intake(maxFrameBytes: number): FrameIntake
  /** Calls `listener` once when memory that was refused may be had again; returns the way to give up. */
  whenAvailable(listener: () => void): () => void
  /** Lets go of what is kept for more of the same; called when nothing has been received for a while. */
  rest(): void
  /** A frame up to this size lands in pooled memory; a larger one costs fresh memory, and may have to wait for it. */
  readonly pooledFrameBytes: number
}

export type LinkErrorCode =
  /** Nobody listens there. */
  | 'REFUSED'
  /** Not reached for another reason, or not in time. */
  | 'UNREACHABLE'
  /** An answer did not come in time. */
  | 'TIMEOUT'
  /** The other side closed or reset the connection, or the network did. */
  | 'LOST'
  /** The other side sent what makes no sense, or does not speak a version that is needed. */
  | 'PROTOCOL'
  /** This side closed it. */
  | 'CLOSED'

/** Why a link, and every request on it, has ended. What was under way may or may not have been done. */
export class LinkError extends Error {
  override readonly name = 'LinkError'
  readonly code: LinkErrorCode

  constructor(code: LinkErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/** Exactly one of the two is called, once; never before `send` has returned. Must not throw. */
export interface LinkReply<Response> {
  /** Byte fields are slices of what `owner` owns: retain it to keep them beyond the call. */
  answered(response: Response, owner: Retained): void
  failed(error: LinkError): void
}

export interface LinkOptions {
  readonly env: Pick<Env, 'clock' | 'timers' | 'network'>
  readonly memory: LinkMemory
  readonly address: Address
  readonly clientId: string
  /** Time to connect and to shake hands, each. */
  readonly connectTimeoutMs: number
  readonly maxFrameBytes: number
  /** Requests may be sent from now on. */
  readonly onReady: () => void
  /** Called exactly once, last, unless `close` was called. After the replies to requests under way. */
  readonly onEnded: (error: LinkError) => void
}

const SOFTWARE = { softwareName: 'sluice-broker', softwareVersion: '1' } as const

export class BrokerLink implements Receiver {
  readonly address: Address
  bytesReceived = 0
  readonly #options: LinkOptions
  readonly #session: Session
  readonly #frames: FrameIntake
  /** When each request under way must have been answered, the oldest first: answers come in order. */
  readonly #deadlinesMs: number[] = []
  #socket: Socket | null = null
  /** While a frame is being answered: who owns it. */
  #owner: Retained | null = null
  #timer: TimerHandle | null = null
  #timerAtMs = Infinity
  #writePlanned = false
  #pumping = false
  #stopWaiting: (() => void) | null = null
  #ended: LinkError | null = null

  private constructor(options: LinkOptions) {
    this.#options = options
    this.address = options.address
    const { clientId, maxFrameBytes } = options
    this.#session = new Session({ clientId, ...SOFTWARE, maxFrameBytes })
    this.#frames = options.memory.intake(maxFrameBytes)
  }

  /** Begins to connect; `onReady` or `onEnded` follows, neither within this call. */
  static open(options: LinkOptions): BrokerLink {
    const link = new BrokerLink(options)
    options.env.network.connect(options.address, options.connectTimeoutMs).then(
      socket => link.#connected(socket),
      (error: unknown) => link.#end(connectError(options.address, error)),
    )
    return link
  }

  get isReady(): boolean {
    return this.#session.state === 'ready'
  }

  /** Requests that have not been answered. */
  get inFlight(): number {
    return this.#deadlinesMs.length
  }

  /**
   * Sends at the end of this turn, with all else that is sent in it, in the highest version that both sides have. It
   * must be ready. Where there is no common version from `minVersion` on, the link ends.
   */
  send<Response, RequestInput>(
    api: Api<unknown, Response, RequestInput, unknown>,
    request: RequestInput,
    options: { readonly timeoutMs: number; readonly minVersion?: number },
    reply: LinkReply<Response>,
  ): void {
    assert(this.isReady, 'requests are sent on a link that is ready')
    let version: number
    try {
      version = this.#session.versionOf(api, { min: options.minVersion ?? api.minVersion })
    } catch (error) {
      if (!(error instanceof UnsupportedVersionError)) throw error
      const failure = new LinkError(
        'PROTOCOL',
        `${this.#peer} is too old or too new: ${error.message}`,
        error,
      )
      this.#options.env.timers.endOfTurn(() => {
        reply.failed(failure)
        this.#end(failure)
      })
      return
    }
    this.#session.send(api, version, request, {
      resolve: response => {
        this.#deadlinesMs.shift()
        assert(this.#owner !== null, 'an answer is in a frame')
        reply.answered(response, this.#owner)
      },
      reject: error => {
        this.#deadlinesMs.shift()
        reply.failed(this.#ended ?? asLinkError(this.#peer, error))
      },
    })
    this.#expect(options.timeoutMs)
    this.#planWrite()
  }

  /** Ends it; requests under way fail with CLOSED, `onEnded` is not called. Content when it has ended. */
  close(): void {
    this.#end(new LinkError('CLOSED', `the link to ${this.#peer} was closed by this broker`))
  }

  /** Gives back memory that is kept for more of the same; to be called when nothing has arrived for a while. */
  relax(): void {
    if (this.#ended === null) this.#frames.relax()
  }

  // ------------------------------------------------------------------------------------- the socket's side

  #connected(socket: Socket): void {
    if (this.#ended !== null) {
      socket.destroy()
      return
    }
    this.#socket = socket
    this.#session.handshake({
      resolve: () => {
        this.#deadlinesMs.shift()
        this.#options.onReady()
      },
      reject: error => {
        this.#deadlinesMs.shift()
        this.#end(asLinkError(this.#peer, error))
      },
    })
    this.#expect(this.#options.connectTimeoutMs)
    // Before the first byte is written: later a socket could not be made to receive in our memory.
    socket.start(this)
    this.#write()
  }

  room(): Uint8Array {
    const room = this.#frames.room()
    if (this.#frames.starved) this.#waitForMemory()
    return room
  }

  received(length: number): void {
    if (this.#ended !== null) return
    this.bytesReceived += length
    this.#frames.received(length)
    this.#takeFrames()
  }

  ended(): void {
    this.#end(new LinkError('LOST', `${this.#peer} closed the connection`))
  }

  closed(error: NetworkError | null): void {
    const why = error === null ? 'was closed' : `broke (${error.code}: ${error.message})`
    this.#end(new LinkError('LOST', `the connection to ${this.#peer} ${why}`, error ?? undefined))
  }

  #takeFrames(): void {
    if (this.#pumping) return
    this.#pumping = true
    try {
      while (this.#ended === null) {
        const frame = this.#frames.next()
        if (frame === null) break
        this.#takeFrame(frame.bytes, frame.owner)
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#end(asLinkError(this.#peer, error))
    } finally {
      this.#pumping = false
      if (this.#ended === null) this.#frames.settle()
    }
    if (this.#ended === null && this.#frames.starved) this.#waitForMemory()
  }

  #takeFrame(bytes: Uint8Array, owner: Retained): void {
    this.#owner = owner
    try {
      this.#session.receiveFrame(bytes)
    } finally {
      this.#owner = null
      owner.release()
    }
    // A broker that does not know our version of ApiVersions is asked again in one of its own.
    if (this.#session.state === 'handshake') this.#write()
  }

  #waitForMemory(): void {
    if (this.#stopWaiting !== null) return
    this.#socket?.pause()
    this.#stopWaiting = this.#options.memory.whenAvailable(() => {
      this.#stopWaiting = null
      if (this.#ended !== null) return
      if (this.#frames.feed()) this.#socket?.resume()
      else this.#waitForMemory()
    })
  }

  // --------------------------------------------------------------------------------------------- sending

  #planWrite(): void {
    if (this.#writePlanned) return
    this.#writePlanned = true
    this.#options.env.timers.endOfTurn(() => {
      this.#writePlanned = false
      this.#write()
    })
  }

  #write(): void {
    const chunks = this.#session.takeOutput()
    if (chunks.length === 0 || this.#ended !== null) return
    // An error is told by `closed` too, with the same reason.
    this.#socket?.write(chunks, () => {})
  }

  // ------------------------------------------------------------------------------------------- deadlines

  #expect(timeoutMs: number): void {
    const deadlineMs = this.#options.env.clock.monotonicMs() + timeoutMs
    this.#deadlinesMs.push(deadlineMs)
    if (deadlineMs < this.#timerAtMs) this.#arm(deadlineMs)
  }

  /** One timer, which is left alone when an answer comes, and looks when it goes off what it has to wait for. */
  #arm(atMs: number): void {
    const { timers, clock } = this.#options.env
    if (this.#timer !== null) timers.clear(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = timers.set(Math.max(0, atMs - clock.monotonicMs()), () => this.#checkDeadlines())
  }

  #checkDeadlines(): void {
    this.#timer = null
    this.#timerAtMs = Infinity
    const earliestMs = Math.min(...this.#deadlinesMs)
    if (earliestMs === Infinity) return
    if (earliestMs > this.#options.env.clock.monotonicMs()) this.#arm(earliestMs)
    else this.#end(new LinkError('TIMEOUT', `${this.#peer} did not answer in time`))
  }

  // --------------------------------------------------------------------------------------------- the end

  #end(error: LinkError): void {
    if (this.#ended !== null) return
    this.#ended = error
    if (this.#timer !== null) this.#options.env.timers.clear(this.#timer)
    this.#timer = null
    this.#stopWaiting?.()
    this.#stopWaiting = null
    this.#socket?.destroy()
    this.#session.fail(error)
    this.#frames.dispose()
    if (error.code !== 'CLOSED') this.#options.onEnded(error)
  }

  get #peer(): string {
    return `${this.address.host}:${this.address.port}`
  }
}

function connectError(address: Address, error: unknown): LinkError {
  const where = `${address.host}:${address.port}`
  const refused = error instanceof NetworkError && error.code === 'ECONNREFUSED'
  const text = error instanceof Error ? error.message : String(error)
  return new LinkError(refused ? 'REFUSED' : 'UNREACHABLE', `cannot connect to ${where}: ${text}`, error)
}

function asLinkError(peer: string, error: Error): LinkError {
  return error instanceof LinkError
    ? error
    : new LinkError('PROTOCOL', `${peer} sent what makes no sense: ${error.message}`, error)
}
