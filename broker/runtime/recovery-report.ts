/**
 * Tells the operator how far a long start is. Short ones are silent but for a line at the end when anything was
 * scanned.
 */
import { type Env, type TimerHandle } from '../env.ts'
import { type RecoveryProgress } from '../storage/types.ts'

const EVERY_MS = 3_000

export class RecoveryReport {
  readonly #env: Env
  readonly #total: number
  readonly #clean: boolean
  readonly #startedMs: number
  readonly #progress = new Map<string, RecoveryProgress>()
  #opened = 0
  #timer: TimerHandle | null = null

  constructor(env: Env, total: number, clean: boolean) {
    this.#env = env
    this.#total = total
    this.#clean = clean
    this.#startedMs = env.clock.monotonicMs()
    this.#arm()
  }

  /** A partition is open. */
  opened(): void {
    this.#opened += 1
  }

  /** A partition is being scanned. */
  scanned(progress: RecoveryProgress): void {
    this.#progress.set(progress.directory, progress)
  }

  end(): void {
    if (this.#timer !== null) this.#env.timers.clear(this.#timer)
    this.#timer = null
    const tookMs = Math.round(this.#env.clock.monotonicMs() - this.#startedMs)
    if (this.#total === 0 || (this.#clean && tookMs < EVERY_MS)) return
    this.#env.log.info('opened the partitions', { ...this.#figures(), clean: this.#clean, tookMs })
  }

  #arm(): void {
    this.#timer = this.#env.timers.set(EVERY_MS, () => {
      this.#env.log.info('opening the partitions', this.#figures())
      this.#arm()
    })
  }

  #figures(): Record<string, number> {
    let scannedBytes = 0
    let bytesToScan = 0
    for (const progress of this.#progress.values()) {
      scannedBytes += progress.scannedBytes
      bytesToScan += progress.totalBytes
    }
    return {
      partitions: this.#opened,
      of: this.#total,
      percent: this.#total === 0 ? 100 : Math.floor((100 * this.#opened) / this.#total),
      scannedBytes,
      bytesToScan,
    }
  }
}
