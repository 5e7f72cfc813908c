/**
 * A peer of the server under test: sends frames, well-formed or not, and collects the responses. Everything runs in the
 * environment in memory, so a test decides when time passes and how bytes are cut.
 */

import { type Address, type NetworkError, type Receiver, type Socket } from '../../../broker/env.ts'
import { createMemoryEnv, type MemoryEnv, type MemoryEnvOptions } from '../../../broker/env-memory.ts'
import {
  type AnyApiHandler,
  type Interceptor,
  type Outcome,
  type RequestContext,
} from '../../../broker/server/handler.ts'
import { type ServerLimits } from '../../../broker/server/limits.ts'
import { Server } from '../../../broker/server/server.ts'
import { SlabPool } from '../../../broker/slab.ts'
import { API, type Api, type ApiName } from '../../../client/protocol/apis.ts'
import { decodeResponseHeader, encodeRequest } from '../../../client/protocol/frame.ts'
import { Reader } from '../../../client/protocol/reader.ts'

export class Peer implements Receiver {
  isEnded = false
  /** Undefined while open. */
  closedWith: NetworkError | null | undefined
  readonly socket: Socket
  readonly #room = Buffer.alloc(64 * 1024)
  #received = Buffer.alloc(0)
  #nextCorrelationId = 1

  constructor(socket: Socket) {
    this.socket = socket
    socket.start(this)
  }

  room(): Uint8Array {
    return this.#room
  }
  received(length: number): void {
    this.#received = Buffer.concat([this.#received, this.#room.subarray(0, length)])
  }
  ended(): void {
    this.isEnded = true
    this.socket.end()
  }
  closed(error: NetworkError | null): void {
    this.closedWith = error
  }

  get isClosed(): boolean {
    return this.closedWith !== undefined
  }

  send(bytes: Uint8Array): void {
    this.socket.write([bytes], () => {})
  }

  /** Sends a request and returns its correlation id. */
  request(api: ApiName, version: number, body: object): number {
    const correlationId = this.#nextCorrelationId++
    this.send(frame(api, version, correlationId, body))
    return correlationId
  }

  get receivedBytes(): number {
    return this.#received.byteLength
  }

  /** The correlation ids of the whole responses that have come, in order. */
  get correlationIds(): number[] {
    return this.frames().map(bytes => bytes.readInt32BE(0))
  }

  frames(): Buffer[] {
    const frames: Buffer[] = []
    for (let at = 0; at + 4 <= this.#received.byteLength; ) {
      const end = at + 4 + this.#received.readInt32BE(at)
      if (end > this.#received.byteLength) break
      frames.push(this.#received.subarray(at + 4, end))
      at = end
    }
    return frames
  }

  /** The body of response number `index`. */
  response(index: number, api: ApiName, version: number): Record<string, unknown> {
    const reader = new Reader(this.frames()[index]!)
    decodeResponseHeader(reader, API[api] as Api, version)
    return (API[api] as Api).response.at(version).decode(reader) as Record<string, unknown>
  }
}

export function frame(api: ApiName, version: number, correlationId: number, body: object): Buffer {
  return Buffer.concat(encodeRequest(API[api] as Api, version, correlationId, 'peer', body).chunks)
}

export interface World {
  readonly env: MemoryEnv
  readonly server: Server
  readonly pool: SlabPool
  readonly address: Address
  readonly fatal: Error[]
  connect(): Promise<Peer>
  /** Lets everything that is ready happen, without letting time pass. */
  settle(): Promise<void>
  logged(pattern: RegExp): number
}

type Handle = (request: never, context: RequestContext) => Outcome<unknown>

export interface WorldOptions {
  readonly handlers?: { readonly [Name in ApiName]?: Handle }
  readonly expectedResponseBytes?: number
  readonly limits?: Partial<ServerLimits>
  readonly env?: MemoryEnvOptions
  readonly pool?: { readonly slabBytes?: number; readonly maxBytes?: number }
  readonly interceptor?: Interceptor
}

export async function world(options: WorldOptions): Promise<World> {
  const env = createMemoryEnv(options.env)
  const pool = new SlabPool({ slabBytes: 256 * 1024, maxIdleSlabs: 4, ...options.pool })
  const handlers = new Map<number, AnyApiHandler>()
  for (const [name, handle] of Object.entries(options.handlers ?? {})) {
    const api = API[name as ApiName]
    const { expectedResponseBytes } = options
    handlers.set(api.key, {
      api,
      handle,
      ...(expectedResponseBytes === undefined ? {} : { expectedResponseBytes: () => expectedResponseBytes }),
    } as AnyApiHandler)
  }
  const fatal: Error[] = []
  const server = new Server({
    env,
    handlers,
    pool,
    limits: options.limits ?? {},
    onFatal: error => fatal.push(error),
    ...(options.interceptor === undefined ? {} : { interceptor: options.interceptor }),
  })
  const address = await server.listen({ name: 'PLAINTEXT', address: { host: '127.0.0.1', port: 0 } })
  return {
    env,
    server,
    pool,
    address,
    fatal,
    connect: async () => new Peer(await env.network.connect(address, 1000)),
    settle: () => settle(env),
    logged: pattern => env.log.lines.filter(line => pattern.test(JSON.stringify(line))).length,
  }
}

/** The network in memory moves one piece a promise: large transfers need many. */
async function settle(env: MemoryEnv): Promise<void> {
  for (let round = 0; round < 50; round++) await env.clock.settle()
}

/** Ends what a test has begun, and checks that all memory came back. */
export async function finish({ server, env, pool }: World): Promise<number> {
  const stopped = server.stop(0)
  await env.clock.advance(10_000)
  await stopped
  return pool.slabsInUse
}
