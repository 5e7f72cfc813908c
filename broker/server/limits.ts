/**
 * How much of the broker one peer may use, and for how long: every bound of the server in one place, with its
 * default and the reason for it.
 */

export interface ServerLimits {
  /** Largest frame that is read; config socket.request.max.bytes. */
  readonly maxFrameBytes: number
  /** Largest frame before a connection has been authenticated; null where no listener asks for that. */
  readonly maxFrameBytesBeforeAuthentication: number | null
  /** Connections at one time in all, and from one address; configs max.connections, max.connections.per.ip. */
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  /** Requests of one connection that are being worked on; those that follow wait in the socket. */
  readonly maxRequestsInFlight: number
  /**
   * Bytes of responses that one connection may have waiting. At this mark no further request of it is begun, so a
   * peer that asks and does not read costs this much and one response more.
   */
  readonly maxPendingResponseBytes: number
  /** A connection without a request and without a byte for so long is closed; config connections.max.idle.ms. */
  readonly idleMs: number
  /** The first byte must come within this time after the connection was made. */
  readonly firstByteMs: number
  /** A frame that was begun must go on within this time ... */
  readonly frameProgressMs: number
  /** ... and be complete within that time at this rate, so that a byte now and then does not keep it alive. */
  readonly frameBytesPerSecond: number
  /** How long requests under way may go on when a connection is to be closed. */
  readonly closeGraceMs: number
}

export const DEFAULT_LIMITS: ServerLimits = {
  maxFrameBytes: 100 * 1024 * 1024,
  maxFrameBytesBeforeAuthentication: null,
  maxConnections: 2 ** 31 - 1,
  maxConnectionsPerAddress: 2 ** 31 - 1,
  maxRequestsInFlight: 100,
  maxPendingResponseBytes: 16 * 1024 * 1024,
  idleMs: 600_000,
  firstByteMs: 60_000,
  frameProgressMs: 30_000,
  frameBytesPerSecond: 16 * 1024,
  closeGraceMs: 10_000,
}
