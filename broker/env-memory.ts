/**
 * A whole environment in memory, moved by hand: for tests of the broker and its parts. The same seed gives the same
 * run.
 */
import { type Env } from './env.ts'
import { ManualClock } from './env-memory/clock.ts'
import { MemoryDisk, type MemoryDiskOptions } from './env-memory/disk.ts'
import { CollectingLog } from './env-memory/log.ts'
import { MemoryNetwork, type MemoryNetworkOptions } from './env-memory/network.ts'
import { SeededRandom } from './env-memory/random.ts'

export interface MemoryEnv extends Env {
  readonly clock: ManualClock
  readonly timers: ManualClock
  readonly random: SeededRandom
  readonly disk: MemoryDisk
  readonly network: MemoryNetwork
  readonly log: CollectingLog
}

export interface MemoryEnvOptions {
  /** Default 1. */
  readonly seed?: number
  /** Take over the disk of an earlier life: what is still running in that one is dead after a crash. */
  readonly disk?: MemoryDisk
  readonly diskOptions?: MemoryDiskOptions
  readonly networkOptions?: MemoryNetworkOptions
}

export function createMemoryEnv(options: MemoryEnvOptions = {}): MemoryEnv {
  const clock = new ManualClock()
  return {
    clock,
    timers: clock,
    random: new SeededRandom(options.seed ?? 1),
    disk: options.disk?.view() ?? new MemoryDisk(options.diskOptions),
    network: new MemoryNetwork(options.networkOptions),
    log: new CollectingLog(),
  }
}
