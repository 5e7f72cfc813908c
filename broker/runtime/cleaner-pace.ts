/**
 * The share of the machine that compaction gets: short slices between which everybody else has a turn, and no more
 * bytes in a second than are configured.
 */
import { type Clock, type Timers } from '../env.ts'
import { type Pace } from '../storage/cleaner/pace.ts'

/** Leaves room below five milliseconds for the largest piece of work between two questions: one batch. */
const SLICE_MS = 1.5
/** The same, and the pause after it, while somebody produces: each request has several turns, all of which may wait. */
const BUSY_SLICE_MS = 1
const BUSY_PAUSE_MS = 1
/** Who has produced within so long is taken to go on. */
const BUSY_FOR_MS = 1000
/** A wait shorter than this is saved up: timers are no more precise. */
const SHORTEST_WAIT_MS = 5
/** Whoever wants to stop should not wait longer. */
const LONGEST_WAIT_MS = 100

export interface CleanerPaceOptions {
  readonly clock: Clock
  readonly timers: Timers
  readonly bytesPerSecond: () => number
  /** Counts up whenever somebody produces. */
  readonly writes: () => number
}

export class CleanerPace implements Pace {
  readonly #options: CleanerPaceOptions
  #sliceEndMs: number
  /** When all that was moved would have been, had it been moved at the allowed speed. */
  #dueMs: number
  #writes = 0
  #busyUntilMs = -Infinity

  constructor(options: CleanerPaceOptions) {
    this.#options = options
    this.#dueMs = options.clock.monotonicMs()
    this.#sliceEndMs = this.#dueMs + SLICE_MS
  }

  isOver(): boolean {
    return this.#options.clock.monotonicMs() >= this.#sliceEndMs
  }

  async rest(): Promise<void> {
    if (this.#isBusy()) await this.#wait(BUSY_PAUSE_MS)
    else await new Promise<void>(resolve => this.#options.timers.endOfTurn(resolve))
    this.#beginSlice()
  }

  async moved(bytes: number, isWanted: () => boolean): Promise<void> {
    const { clock, bytesPerSecond } = this.#options
    this.#dueMs = Math.max(this.#dueMs, clock.monotonicMs()) + (1000 * bytes) / bytesPerSecond()
    for (;;) {
      const waitMs = this.#dueMs - clock.monotonicMs()
      if (waitMs < SHORTEST_WAIT_MS || !isWanted()) return
      await this.#wait(Math.min(waitMs, LONGEST_WAIT_MS))
      this.#beginSlice()
    }
  }

  async disk(work: () => Promise<void>): Promise<void> {
    const startMs = this.#options.clock.monotonicMs()
    await work()
    const tookMs = this.#options.clock.monotonicMs() - startMs
    if (tookMs >= BUSY_PAUSE_MS && this.#isBusy()) await this.#wait(Math.min(tookMs, LONGEST_WAIT_MS))
    this.#beginSlice()
  }

  #isBusy(): boolean {
    const nowMs = this.#options.clock.monotonicMs()
    const writes = this.#options.writes()
    if (writes !== this.#writes) this.#busyUntilMs = nowMs + BUSY_FOR_MS
    this.#writes = writes
    return nowMs < this.#busyUntilMs
  }

  #beginSlice(): void {
    const sliceMs = this.#isBusy() ? BUSY_SLICE_MS : SLICE_MS
    this.#sliceEndMs = this.#options.clock.monotonicMs() + sliceMs
  }

  async #wait(ms: number): Promise<void> {
    await new Promise<void>(resolve => this.#options.timers.set(ms, resolve))
  }
}
