/**
 * Long work in slices: whoever goes through a great deal asks here every now and then whether it is time to let others
 * have their turn, so that no slice holds up the event loop for longer than is noticed.
 */
import { type Clock, type Timers } from '../env.ts'

/** Leaves room below five milliseconds for the piece of work between two questions. */
const SLICE_MS = 2.5
/** Asking the clock costs as much as a small piece of work. */
const PIECES_PER_LOOK = 16
/** The weight of a piece after which the clock is asked in any case. */
export const HEAVY = PIECES_PER_LOOK

export class Slices {
  readonly #clock: Clock
  readonly #timers: Timers
  #endMs: number
  #pieces = 0

  constructor({ clock, timers }: { readonly clock: Clock; readonly timers: Timers }) {
    this.#clock = clock
    this.#timers = timers
    this.#endMs = clock.monotonicMs() + SLICE_MS
  }

  /**
   * To be asked after every piece of work: true when the slice is over, and `rest` is to be awaited. `weight` is how
   * many small pieces this one was worth.
   */
  isOver(weight = 1): boolean {
    this.#pieces += weight
    if (this.#pieces < PIECES_PER_LOOK) return false
    this.#pieces = 0
    return this.#clock.monotonicMs() >= this.#endMs
  }

  /** Resolves when the others have had their turn. */
  async rest(): Promise<void> {
    await new Promise<void>(resolve => this.#timers.endOfTurn(resolve))
    this.#endMs = this.#clock.monotonicMs() + SLICE_MS
  }
}
