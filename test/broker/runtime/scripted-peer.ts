/**
 * Another broker on the network in memory: a real server with a few handlers of the test's, that can die, stand still
 * and come back at its address.
 */
import { apiVersionsHandler } from '../../../broker/api/api-versions.ts'
import { type BrokerContext } from '../../../broker/api/context.ts'
import { type Address } from '../../../broker/env.ts'
import { type MemoryEnv } from '../../../broker/env-memory.ts'
import { linkMemory } from '../../../broker/link-memory.ts'
import { type LinkMemory } from '../../../broker/runtime/broker-link.ts'
import { type AnyApiHandler, type HandlerRegistry } from '../../../broker/server/handler.ts'
import { createSlabPool, Server } from '../../../broker/server/server.ts'
import { type SlabPool } from '../../../broker/slab.ts'

export interface LinkSide {
  readonly pool: SlabPool
  readonly memory: LinkMemory
}

/** Memory for the side that connects. */
export function linkSide(): LinkSide {
  const pool = createSlabPool()
  return { pool, memory: linkMemory(pool) }
}

export class ScriptedPeer {
  readonly brokerId: number
  address: Address = { host: '127.0.0.1', port: 0 }
  /** While set, nothing is answered; what was asked is answered when it is over. */
  standsStill = false
  readonly #env: MemoryEnv
  readonly #registry: HandlerRegistry
  #server: Server | null = null
  #held: (() => void)[] = []

  private constructor(env: MemoryEnv, brokerId: number, handlers: readonly AnyApiHandler[]) {
    this.#env = env
    this.brokerId = brokerId
    const registry = new Map(handlers.map(handler => [handler.api.key, handler]))
    const versions = apiVersionsHandler({ clusterId: 'c', brokerId } as BrokerContext, () => registry)
    registry.set(versions.api.key, versions)
    this.#registry = registry
  }

  static async start(
    env: MemoryEnv,
    brokerId: number,
    handlers: readonly AnyApiHandler[] = [],
  ): Promise<ScriptedPeer> {
    const peer = new ScriptedPeer(env, brokerId, handlers)
    await peer.restart()
    return peer
  }

  /** Comes up, at the address that it had. */
  async restart(): Promise<void> {
    const server = new Server({
      env: this.#env,
      handlers: this.#registry,
      onFatal: error => {
        throw error
      },
      interceptor: (_handler, _request, _context, proceed) =>
        this.standsStill ? new Promise(resolve => this.#hold(() => resolve(proceed()))) : proceed(),
    })
    this.#server = server
    this.address = await server.listen({ name: 'PLAINTEXT', address: this.address })
  }

  #hold(answer: () => void): void {
    this.#held.push(answer)
  }

  goOn(): void {
    this.standsStill = false
    for (const answer of this.#held.splice(0)) answer()
  }

  /** Breaks every connection; who comes back is welcome. */
  dropConnections(): void {
    for (const connection of this.#server?.connections ?? []) connection.destroy()
  }

  /** The process ends: connections break, and nobody listens. */
  async die(): Promise<void> {
    this.dropConnections()
    const server = this.#server
    this.#server = null
    await server?.stop(0)
  }
}
