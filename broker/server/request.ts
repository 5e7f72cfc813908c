/**
 * One request from its frame to the last byte of its response. It answers for what the request holds: the owner of
 * its bytes is released once, and what waits for the response's end or the connection's end is told once.
 */
import { type EncodedFrame, type RequestHeader } from '../../client/protocol/frame.ts'
import { type Retained } from '../slab.ts'
import { type ConnectionInfo, type RequestContext } from './handler.ts'

/** What a request needs from its connection. */
export interface RequestHome extends ConnectionInfo {
  readonly isClosed: boolean
  /** Remembers a listener for the end of the connection. */
  addCloseListener(listener: () => void): () => void
}

/**
 * - `working`: the handler has it
 * - `answered`: the response is encoded, or there is none; it leaves when those before it have
 * - `done`: its bytes are no longer needed
 */
export type RequestState = 'working' | 'answered' | 'done'

export class PendingRequest implements RequestContext {
  readonly connection: RequestHome
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  readonly clientId: string | null
  readonly header: RequestHeader
  readonly receivedAtMs: number
  readonly requestBytes: number
  readonly owner: Retained
  /** Bytes of the response that were announced when the request was begun. */
  readonly expectedBytes: number
  state: RequestState = 'working'
  chunks: readonly Uint8Array[] = []
  byteLength = 0
  throttleMs = 0
  /** Why the connection is to be closed after this request, or null. */
  closeReason: string | null = null
  #sentCallbacks: (() => void)[] | null = null

  constructor(
    connection: RequestHome,
    header: RequestHeader,
    frame: { readonly bytes: Buffer; readonly owner: Retained },
    receivedAtMs: number,
    expectedBytes: number,
  ) {
    this.connection = connection
    this.header = header
    this.apiKey = header.apiKey
    this.apiVersion = header.apiVersion
    this.correlationId = header.correlationId
    this.clientId = header.clientId
    this.requestBytes = frame.bytes.byteLength
    this.owner = frame.owner
    this.receivedAtMs = receivedAtMs
    this.expectedBytes = expectedBytes
  }

  get closed(): boolean {
    return this.connection.isClosed
  }

  onClose(listener: () => void): () => void {
    if (this.connection.isClosed) {
      listener()
      return () => {}
    }
    return this.connection.addCloseListener(listener)
  }

  onSent(callback: () => void): void {
    if (this.state === 'done') callback()
    else (this.#sentCallbacks ??= []).push(callback)
  }

  throttle(ms: number): void {
    this.throttleMs = Math.max(this.throttleMs, ms)
  }

  closeConnection(reason: string): void {
    this.closeReason ??= reason
  }

  /** The handler is finished with the request. The response is empty where there is none. */
  answer(response: EncodedFrame): void {
    this.chunks = response.chunks
    this.byteLength = response.byteLength
    this.state = 'answered'
    this.owner.release()
  }

  /** The bytes of the response are no longer needed, whether they were sent or not. */
  finish(): void {
    this.state = 'done'
    this.chunks = []
    const callbacks = this.#sentCallbacks
    this.#sentCallbacks = null
    if (callbacks !== null) for (const callback of callbacks) callback()
  }
}
