/**
 * What stands between the server and the APIs: a handler gets a decoded request with its context and gives back the
 * response to encode, now or later. The server knows frames, order and limits; a handler knows nothing of sockets.
 */
import { type Api } from '../../client/protocol/apis.ts'
import { type Address } from '../env.ts'
import { type Retained } from '../slab.ts'

/** A handler's answer to a request that gets no response, such as Produce with acks=0. */
export const NO_RESPONSE: unique symbol = Symbol('no response')
export type NoResponse = typeof NO_RESPONSE

export type Outcome<Response> = Response | NoResponse | Promise<Response | NoResponse>

/**
 * Serves one API in its whole range of versions. The versions that a broker advertises are those of the handlers in
 * its registry, nothing else.
 *
 * Outcomes of the protocol are part of the response. A handler that throws has failed to make one: the connection is
 * closed and the error logged; an AssertionError stops the broker.
 */
export interface ApiHandler<Request, Response> {
  readonly api: Api<Request, Response>
  handle(request: Request, context: RequestContext): Outcome<Response>
  /**
   * How many bytes the response may have, for requests that ask for many (Fetch). Such a request waits until what
   * its connection already has coming leaves room for it; others are not held up by their size.
   */
  expectedResponseBytes?(request: Request): number
}

// biome-ignore-start lint/suspicious/noExplicitAny: handlers of different messages share one table; the key ties them.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type AnyApiHandler = ApiHandler<any, any>
// biome-ignore-end lint/suspicious/noExplicitAny: see above

/** All that a broker serves, by API key. */
export type HandlerRegistry = ReadonlyMap<number, AnyApiHandler>

/**
 * Stands between the server and every handler, where a test asks for it: `proceed` does what would be done without
 * it. Decides whether, when and with what a request is answered.
 */
export type Interceptor = (
  handler: AnyApiHandler,
  request: unknown,
  context: RequestContext,
  proceed: () => Outcome<unknown>,
) => Outcome<unknown>

/** The connection as a handler may know it. Lives as long as the connection. */
export interface ConnectionInfo {
  /** Unique in the life of the process. */
  readonly id: number
  readonly remote: Address
  readonly local: Address
  /** Name of the listener that accepted it, such as PLAINTEXT. */
  readonly listenerName: string
  /** What the client calls itself (KIP-511); set by the ApiVersions handler, null before. */
  clientSoftwareName: string | null
  clientSoftwareVersion: string | null
  /** For what an API remembers of a connection, under a symbol of its own. Dropped with the connection. */
  readonly state: Map<symbol, unknown>
}

/** One request on its way through the broker. */
export interface RequestContext {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  readonly connection: ConnectionInfo
  /** Monotonic time at which the frame was complete. */
  readonly receivedAtMs: number
  /** Size of the frame in bytes, without its length field. */
  readonly requestBytes: number
  /**
   * Owner of the request's bytes: every `Uint8Array` in the request is a slice of them. Held by the server until the
   * handler has returned, or its promise has settled; a handler that keeps a slice for longer retains it itself.
   */
  readonly owner: Retained
  /** True once the connection is gone: an answer would reach nobody. */
  readonly closed: boolean
  /**
   * Calls `listener` once when the connection is gone, at once when it is already; the returned function forgets it.
   * For requests that wait, so that they do not wait for nobody.
   */
  onClose(listener: () => void): () => void
  /**
   * Calls `callback` exactly once, when the response's bytes are no longer needed: taken by the kernel, or never to
   * be sent because the connection is gone or there is no response. The place to release what a response slices.
   */
  onSent(callback: () => void): void
  /**
   * After this response nothing more is read from the connection for `ms` milliseconds: how a quota is enforced
   * (KIP-219). The longest of those asked for at a time counts.
   */
  throttle(ms: number): void
  /** Closes the connection after the responses before this one have left. `reason` goes to the log. */
  closeConnection(reason: string): void
}
