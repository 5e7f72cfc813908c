/**
 * A client of the bare protocol on a real socket: every request names its version and is sent as it is, sensible or
 * not. It knows what a broker may do to a request that it does not like: answer, close the connection, or say nothing.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { API, type Api } from '../../client/protocol/apis.ts'
import { decodeResponseHeader, encodeRequest, frameLength } from '../../client/protocol/frame.ts'
import { Reader } from '../../client/protocol/reader.ts'

const MAX_FRAME_BYTES = 64 * 1024 * 1024
const ANSWER_TIMEOUT_MS = 3000

interface Waiting {
  readonly api: Api
  readonly version: number
  resolve(response: unknown): void
}

export class Peer implements AsyncDisposable {
  readonly #host: string
  readonly #port: number
  #socket: Socket | null = null
  #received = Buffer.alloc(0)
  #waiting: Waiting[] = []
  #correlationId = 0
  #versions: ReadonlyMap<number, { readonly min: number; readonly max: number }> = new Map()

  private constructor(bootstrap: string) {
    const colon = bootstrap.lastIndexOf(':')
    this.#host = bootstrap.slice(0, colon)
    this.#port = Number(bootstrap.slice(colon + 1))
  }

  static async connect(bootstrap: string): Promise<Peer> {
    const peer = new Peer(bootstrap)
    const versions = await peer.ask(API.ApiVersions, 4, {
      clientSoftwareName: 'peer',
      clientSoftwareVersion: '1',
    })
    if (versions === 'closed' || versions === 'silent')
      throw new Error(`${bootstrap} did not tell its versions`)
    peer.#versions = new Map(
      versions.apiKeys.map(({ apiKey, minVersion, maxVersion }) => [
        apiKey,
        { min: minVersion, max: maxVersion },
      ]),
    )
    return peer
  }

  /** Whether the broker advertises this. */
  serves(api: { readonly key: number }, version: number): boolean {
    const range = this.#versions.get(api.key)
    return range !== undefined && version >= range.min && version <= range.max
  }

  versions(api: { readonly key: number }): { readonly min: number; readonly max: number } | undefined {
    return this.#versions.get(api.key)
  }

  /** The answer; `closed` when the broker hung up instead, after which the next request connects anew. */
  async ask<Response, RequestInput>(
    api: Api<unknown, Response, RequestInput, unknown>,
    version: number,
    body: RequestInput,
  ): Promise<Response | 'closed' | 'silent'> {
    const socket = await this.#open()
    const { chunks } = encodeRequest(api, version, ++this.#correlationId, 'peer', body)
    return new Promise(resolve => {
      const deadline = setTimeout(() => {
        // Its answer may still come, and would be taken for that of the next request.
        this.#socket = null
        this.#waiting = []
        socket.destroy()
        resolve('silent')
      }, ANSWER_TIMEOUT_MS)
      this.#waiting.push({
        api: api as Api,
        version,
        resolve: response => {
          clearTimeout(deadline)
          resolve(response as Response)
        },
      })
      socket.write(Buffer.concat(chunks))
    })
  }

  /** Sends what is not answered; `after` is what the answer to a following ApiVersions was. */
  async tell<RequestInput>(
    api: Api<unknown, unknown, RequestInput, unknown>,
    version: number,
    body: RequestInput,
  ): Promise<'closed' | 'open'> {
    const socket = await this.#open()
    const { chunks } = encodeRequest(api, version, ++this.#correlationId, 'peer', body)
    socket.write(Buffer.concat(chunks))
    const after = await this.ask(API.ApiVersions, 0, {})
    return after === 'closed' ? 'closed' : 'open'
  }

  async #open(): Promise<Socket> {
    if (this.#socket !== null) return this.#socket
    const socket = connect(this.#port, this.#host)
    socket.setNoDelay(true)
    await once(socket, 'connect')
    this.#received = Buffer.alloc(0)
    socket.on('data', chunk => {
      if (this.#socket === socket) this.#take(chunk)
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = null
      for (const { resolve } of this.#waiting.splice(0)) resolve('closed')
    })
    this.#socket = socket
    return socket
  }

  #take(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk])
    for (;;) {
      const length = frameLength(this.#received, 0, this.#received.length, MAX_FRAME_BYTES)
      if (length === 0 || length > this.#received.length) return
      const frame = this.#received.subarray(4, length)
      this.#received = this.#received.subarray(length)
      const waiting = this.#waiting.shift()
      if (waiting === undefined) throw new Error('an answer to nothing')
      const reader = new Reader(frame)
      decodeResponseHeader(reader, waiting.api, waiting.version)
      waiting.resolve(waiting.api.response.at(waiting.version).decode(reader))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const socket = this.#socket
    if (socket === null) return
    const gone = once(socket, 'close')
    socket.destroy()
    await gone
  }
}
