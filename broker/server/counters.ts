/** What the server counts: plain numbers on the hot path, read when somebody asks. */
export class Counters {
  connectionsOpen = 0
  connectionsAccepted = 0
  /** Closed at once because a limit of connections was reached. */
  connectionsRefused = 0
  /** Closed because the peer said nothing, or stopped in the middle of a frame. */
  connectionsTimedOut = 0
  bytesIn = 0
  bytesOut = 0
  /** Frames that made no sense, or asked for what is not served. */
  refusedFrames = 0
  /** Requests for which a handler made no response. */
  failedRequests = 0
  requestsInFlight = 0
  /** Requests by API key. */
  readonly requests = new Map<number, number>()

  countRequest(apiKey: number): void {
    this.requests.set(apiKey, (this.requests.get(apiKey) ?? 0) + 1)
  }
}
