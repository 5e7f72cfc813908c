/**
 * The real world, composed. This file and its folder are the only ones of the broker that touch Node's clocks,
 * timers, chance, files and sockets.
 */
import { readFileSync } from 'node:fs'
import { provideFileReader } from '../client/protocol/compression/zstd.ts'
import { type Env, type Log, type Rpc } from './env.ts'
import { createNodeClock, createNodeTimers } from './env-node/clock.ts'
import { createNodeDisk } from './env-node/disk.ts'
import { createNodeLog } from './env-node/log.ts'
import { createNodeNetwork } from './env-node/network.ts'
import { createNodeRandom } from './env-node/random.ts'

// Where Node has no zstd of its own it comes as a WebAssembly file, which the protocol room cannot read by itself.
provideFileReader(readFileSync)

export interface NodeEnvOptions {
  /** Default: text to standard error, from level info. */
  readonly log?: Log
}

export function createNodeEnv(options: NodeEnvOptions = {}): Env {
  const log = options.log ?? createNodeLog()
  return {
    clock: createNodeClock(),
    timers: createNodeTimers(),
    random: createNodeRandom(),
    disk: createNodeDisk(),
    network: createNodeNetwork({ log }),
    log,
  }
}

/** gRPC, for a broker in a cluster. Its library is loaded here and not before: one that is alone starts without. */
export async function loadNodeRpc(): Promise<Rpc> {
  const { createNodeRpc } = await import('./env-node/rpc.ts')
  return createNodeRpc()
}
