/**
 * The client's side of one connection, without the connection: bytes of the socket go in, decoded responses come out
 * through the replies that were handed in with the requests, and what is to be sent waits in `takeOutput`. It opens
 * with ApiVersions, chooses versions, numbers requests, and holds the broker to answering them in order.
 *
 * It has no socket, no clock and no promise: timeouts and reconnecting are the connection's business, which calls
 * `fail` when it is over. Replies are called synchronously, must not throw, and may send.
 */
import { API, type Api, type ApiName } from './apis.ts'
import { assert } from './assert.ts'
import {
  ErrorCode,
  errorMessage,
  errorName,
  MalformedError,
  ProtocolError,
  UnsupportedVersionError,
} from './errors.ts'
import { decodeResponseHeader, encodeRequest, FRAME_SIZE_BYTES, frameLength } from './frame.ts'
import { type ApiVersionsResponse } from './messages/api-versions.ts'
import { Reader } from './reader.ts'

/** Where the answer to a request goes: exactly one of the two is called, once. */
export interface Reply<Response> {
  /** Byte fields of the response are slices of what was received. */
  resolve(response: Response): void
  reject(error: Error): void
}

export interface SessionOptions {
  readonly clientId: string | null
  /** What ApiVersions tells the broker (KIP-511): letters, digits, dots and dashes. */
  readonly softwareName: string
  readonly softwareVersion: string
  /** Responses above this are refused. */
  readonly maxFrameBytes?: number
  /** The highest version that may be used, for APIs where it must not be the highest that both sides have. */
  readonly maxVersions?: Readonly<Partial<Record<ApiName, number>>>
}

export interface VersionRange {
  readonly min: number
  readonly max: number
}

/** The broker answered ApiVersions with an error. */
export class HandshakeError extends ProtocolError {
  override readonly name = 'HandshakeError'
  readonly code: number

  constructor(code: number) {
    super(`The broker refused to say which versions it serves: ${errorMessage(code)} (${errorName(code)})`)
    this.code = code
  }
}

interface Pending {
  readonly api: Api
  readonly version: number
  readonly correlationId: number
  readonly reply: Reply<unknown>
  readonly handshake: boolean
}

const DEFAULT_MAX_FRAME_BYTES = 256 * 1024 * 1024
/** A response may describe a large cluster: 200,000 partitions with three replicas take a quarter of this. */
const MAX_RESPONSE_ELEMENTS = 1 << 23
const MAX_CORRELATION_ID = 0x7fff_ffff

export class Session {
  readonly #options: SessionOptions
  readonly #maxFrameBytes: number
  #state: 'new' | 'handshake' | 'ready' | 'failed' = 'new'
  #nextCorrelationId = 0
  readonly #pending: Pending[] = []
  #output: Uint8Array[] = []
  #brokerVersions: ReadonlyMap<number, VersionRange> = new Map()
  #finalizedFeatures: ReadonlyMap<string, VersionRange> = new Map()

  /** The pieces of a frame that has not arrived as a whole, and how long it is: 0 where even that has not arrived. */
  #pieces: Uint8Array[] = []
  #piecesBytes = 0
  #wantedBytes = 0

  constructor(options: SessionOptions) {
    this.#options = options
    this.#maxFrameBytes = options.maxFrameBytes ?? DEFAULT_MAX_FRAME_BYTES
  }

  get state(): 'new' | 'handshake' | 'ready' | 'failed' {
    return this.#state
  }

  /** Requests that have not been answered yet. */
  get inFlight(): number {
    return this.#pending.length
  }

  /** What the broker serves, by API key. Empty before the handshake. */
  get brokerVersions(): ReadonlyMap<number, VersionRange> {
    return this.#brokerVersions
  }

  /** The features that the cluster has agreed on, as `transaction.version` (KIP-584). */
  get finalizedFeatures(): ReadonlyMap<string, VersionRange> {
    return this.#finalizedFeatures
  }

  /** Asks the broker for its versions. Nothing else may be sent before `reply` is resolved. */
  handshake(reply: Reply<ApiVersionsResponse>): void {
    assert(this.#state === 'new', 'a session shakes hands once')
    this.#state = 'handshake'
    const pinned = this.#options.maxVersions?.ApiVersions ?? API.ApiVersions.maxVersion
    this.#sendHandshake(Math.min(pinned, API.ApiVersions.maxVersion), reply)
  }

  #sendHandshake(version: number, reply: Reply<ApiVersionsResponse>): void {
    const { softwareName, softwareVersion } = this.#options
    const request = { clientSoftwareName: softwareName, clientSoftwareVersion: softwareVersion }
    this.#enqueue(API.ApiVersions, version, request, reply as Reply<unknown>, true)
  }

  /**
   * The highest version that this client, the broker, the user's `maxVersions` and the caller's own range all have.
   * Throws UnsupportedVersionError, naming the ranges, where there is none.
   */
  versionOf(api: Api<unknown, unknown, never, never>, range: Partial<VersionRange> = {}): number {
    assert(this.#state === 'ready', 'versions are known after the handshake')
    const pinned = this.#options.maxVersions?.[api.name as ApiName] ?? api.maxVersion
    const ours = {
      min: Math.max(api.minVersion, range.min ?? api.minVersion),
      max: Math.min(api.maxVersion, pinned, range.max ?? api.maxVersion),
    }
    const theirs = this.#brokerVersions.get(api.key)
    if (theirs === undefined) {
      throw new UnsupportedVersionError(`The broker does not serve ${api.name} (key ${api.key}) at all`)
    }
    const version = Math.min(ours.max, theirs.max)
    if (version < Math.max(ours.min, theirs.min)) {
      throw new UnsupportedVersionError(
        `No common version of ${api.name}: this client can use ${ours.min} to ${ours.max} here, the broker serves ${theirs.min} to ${theirs.max}`,
      )
    }
    return version
  }

  /**
   * Puts a request into the output. `reply` is null for a request that gets no response, as Produce with acks 0.
   * Throws as `Codec.encode` does, and then nothing was sent. Byte fields of the request must not change until the
   * output has been sent.
   */
  send<Response, RequestInput>(
    api: Api<unknown, Response, RequestInput, unknown>,
    version: number,
    request: RequestInput,
    reply: Reply<Response> | null,
  ): void {
    assert(this.#state === 'ready', 'requests are sent after the handshake and before the end')
    this.#enqueue(api, version, request, reply as Reply<unknown> | null, false)
  }

  #enqueue<RequestInput>(
    api: Api<unknown, unknown, RequestInput, unknown>,
    version: number,
    request: RequestInput,
    reply: Reply<unknown> | null,
    handshake: boolean,
  ): void {
    const correlationId = this.#nextCorrelationId
    const frame = encodeRequest(api, version, correlationId, this.#options.clientId, request)
    this.#nextCorrelationId = correlationId === MAX_CORRELATION_ID ? 0 : correlationId + 1
    for (const chunk of frame.chunks) this.#output.push(chunk)
    if (reply !== null) this.#pending.push({ api: api as Api, version, correlationId, reply, handshake })
  }

  /** All that is to be sent since the last call, in order; the caller's to send as one vectored write. */
  takeOutput(): Uint8Array[] {
    const output = this.#output
    if (output.length > 0) this.#output = []
    return output
  }

  /**
   * Takes what the socket has received, cut anyhow. Responses are decoded where they lie, so `chunk` must not change
   * afterwards; only a frame that arrives in pieces is put together in memory of its own, once, when it is complete.
   *
   * Throws MalformedError when the bytes make no sense. The session has failed then, and the connection must be closed.
   */
  receive(chunk: Uint8Array): void {
    if (this.#state === 'failed') return
    try {
      let start = this.#piecesBytes > 0 ? this.#gather(chunk) : 0
      while (start < chunk.length && !this.#failed()) {
        const length = frameLength(chunk, start, chunk.length, this.#maxFrameBytes)
        if (length === 0 || length > chunk.length - start) {
          this.#hold(chunk.subarray(start), length)
          return
        }
        this.#answer(chunk, start + FRAME_SIZE_BYTES, start + length)
        start += length
      }
    } catch (error) {
      if (error instanceof ProtocolError) this.fail(error)
      throw error
    }
  }

  /**
   * The same for who cuts frames itself: one whole response, without the length before it. Not to be mixed with
   * `receive`. Byte fields of the response are slices of `frame`, also after this has returned.
   */
  receiveFrame(frame: Uint8Array): void {
    if (this.#state === 'failed') return
    assert(this.#piecesBytes === 0, 'frames are cut by one of the two')
    try {
      this.#answer(frame, 0, frame.length)
    } catch (error) {
      if (error instanceof ProtocolError) this.fail(error)
      throw error
    }
  }

  #hold(piece: Uint8Array, wantedBytes: number): void {
    this.#pieces.push(piece)
    this.#piecesBytes += piece.length
    this.#wantedBytes = wantedBytes
  }

  /** Adds to the frame that is incomplete; returns how much of `chunk` belonged to it. */
  #gather(chunk: Uint8Array): number {
    if (this.#wantedBytes === 0) {
      const size = Buffer.concat([...this.#pieces, chunk.subarray(0, FRAME_SIZE_BYTES - this.#piecesBytes)])
      this.#wantedBytes = frameLength(size, 0, size.length, this.#maxFrameBytes)
    }
    const missing = this.#wantedBytes - this.#piecesBytes
    if (this.#wantedBytes === 0 || chunk.length < missing) {
      this.#hold(chunk, this.#wantedBytes)
      return chunk.length
    }
    const frame = Buffer.concat([...this.#pieces, chunk.subarray(0, missing)], this.#wantedBytes)
    this.#pieces = []
    this.#piecesBytes = 0
    this.#wantedBytes = 0
    this.#answer(frame, FRAME_SIZE_BYTES, frame.length)
    return missing
  }

  /** One whole response: it must be the answer to the oldest request. */
  #answer(bytes: Uint8Array, start: number, end: number): void {
    const reader = new Reader(bytes, start, end, MAX_RESPONSE_ELEMENTS)
    const pending = this.#pending[0]
    if (pending === undefined)
      throw new MalformedError('The broker sent a response that nobody had asked for')
    const correlationId = decodeResponseHeader(reader, pending.api, pending.version)
    if (correlationId !== pending.correlationId) {
      throw new MalformedError(
        `The broker answered request ${correlationId} where ${pending.correlationId} (${pending.api.name}) was the oldest: responses must come in order`,
      )
    }
    if (pending.handshake) {
      this.#answerHandshake(reader, pending)
      return
    }
    const response = pending.api.response.at(pending.version).decode(reader)
    this.#pending.shift()
    pending.reply.resolve(response)
  }

  /**
   * A broker that does not know our version of ApiVersions answers in version 0, with its own range where it is new
   * enough for KIP-511. The error code comes first in every version, so it tells how to read the rest.
   */
  #answerHandshake(reader: Reader, { version, reply }: Pending): void {
    const { position } = reader
    const errorCode = reader.int16()
    reader.position = position
    const downgrade = errorCode === ErrorCode.UNSUPPORTED_VERSION
    const response = API.ApiVersions.response.at(downgrade ? 0 : version).decode(reader)
    this.#pending.shift()
    if (downgrade) {
      const theirs = response.apiKeys.find(({ apiKey }) => apiKey === API.ApiVersions.key)
      const next = Math.min(version - 1, theirs?.maxVersion ?? 0)
      if (next >= 0) {
        this.#sendHandshake(next, reply)
        return
      }
    }
    if (errorCode !== ErrorCode.NONE) {
      const error = new HandshakeError(errorCode)
      this.#state = 'failed'
      reply.reject(error)
      return
    }
    this.#brokerVersions = new Map(
      response.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [
        apiKey,
        { min: minVersion, max: maxVersion },
      ]),
    )
    this.#finalizedFeatures = new Map(
      response.finalizedFeatures.map(({ name, minVersionLevel, maxVersionLevel }) => [
        name,
        { min: minVersionLevel, max: maxVersionLevel },
      ]),
    )
    this.#state = 'ready'
    reply.resolve(response)
  }

  /**
   * Ends the session: every request that waits is rejected with `error`, in order. May be called again, to no
   * effect.
   */
  fail(error: Error): void {
    if (this.#state === 'failed') return
    this.#state = 'failed'
    this.#output = []
    this.#pieces = []
    for (const { reply } of this.#pending.splice(0)) reply.reject(error)
  }

  /** A reply may have ended the session, which a check of `#state` in a loop would not see. */
  #failed(): boolean {
    return this.#state === 'failed'
  }
}
