/**
 * The disk of one machine: a memory disk whose operations take virtual time, of the process that waits for them.
 */

import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { type DiskOperation } from '../../../broker/env-memory/memory-file.ts'
import { type SeededRandom } from '../../../broker/env-memory/random.ts'
import { type SimProcess } from './process.ts'
import { KIND } from './scheduler.ts'

export interface DiskPace {
  /** Of a sync, on average. */
  readonly syncMs: number
  /** Of anything else, on average. */
  readonly otherMs: number
}

export class SimDisk {
  /** As it lies there, for who cuts the power or looks into it. */
  readonly disk = new MemoryDisk({ trackCrashes: true })
  /** How many times slower than usual it is now. */
  slowness = 1
  readonly #pace: DiskPace
  readonly #random: SeededRandom

  constructor(random: SeededRandom, pace: DiskPace) {
    this.#random = random
    this.#pace = pace
  }

  /** As one process has it, until it ends. */
  of(process: SimProcess): MemoryDisk {
    return this.disk.view(operation => this.#delay(process, operation))
  }

  processEnded(): void {
    this.disk.endLife()
  }

  /** What was not synced survives in part, or not at all. */
  cutPower(): void {
    const keep = this.#random.int(3) === 0 ? 'none' : 'random'
    this.disk.crash({ keep, random: this.#random })
  }

  #delay(process: SimProcess, operation: DiskOperation): Promise<void> | null {
    const { syncMs, otherMs } = this.#pace
    const isSync = operation === 'sync' || operation === 'syncDirectory'
    const meanMs = isSync ? syncMs : otherMs
    if (meanMs === 0) return null
    const ms = this.slowness * meanMs * (0.2 + 1.6 * this.#random.float())
    return new Promise(resolve => void process.after(ms, KIND.disk, resolve))
  }
}
