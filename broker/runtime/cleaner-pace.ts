/**
 * The share of the machine that compaction gets: short slices between which everybody else has a turn, and no more
 * bytes in a second than are configured.
 */
import { type Clock, type Timers } from '../env.ts'
import { type Pace } from '../storage/cleaner/pace.ts'

/** Leaves room below five milliseconds for the largest piece of work between two questions: one batch. */
const SLICE_MS = 1.5
/** A wait shorter than this is saved up: timers are no more precise. */
const SHORTEST_WAIT_MS = 5
/** Whoever wants to stop should not wait longer. */
const LONGEST_WAIT_MS = 100

export class CleanerPace implements Pace {
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #bytesPerSecond: () => number
  #sliceEndMs: number
  /** When all that was moved would have been, had it been moved at the allowed speed. */
  #dueMs: number

  constructor(options: { clock: Clock; timers: Timers; bytesPerSecond: () => number }) {
    this.#clock = options.clock
    this.#timers = options.timers
    this.#bytesPerSecond = options.bytesPerSecond
    this.#dueMs = this.#clock.monotonicMs()
    this.#sliceEndMs = this.#dueMs + SLICE_MS
  }

  isOver(): boolean {
    return this.#clock.monotonicMs() >= this.#sliceEndMs
  }

  async rest(): Promise<void> {
    await new Promise<void>(resolve => this.#timers.endOfTurn(resolve))
    this.#sliceEndMs = this.#clock.monotonicMs() + SLICE_MS
  }

  async moved(bytes: number, isWanted: () => boolean): Promise<void> {
    this.#dueMs = Math.max(this.#dueMs, this.#clock.monotonicMs()) + (1000 * bytes) / this.#bytesPerSecond()
    for (;;) {
      const waitMs = this.#dueMs - this.#clock.monotonicMs()
      if (waitMs < SHORTEST_WAIT_MS || !isWanted()) break
      await new Promise<void>(resolve => this.#timers.set(Math.min(waitMs, LONGEST_WAIT_MS), resolve))
    }
    // The disk was waited for, so the others have had their turn.
    this.#sliceEndMs = this.#clock.monotonicMs() + SLICE_MS
  }
}
