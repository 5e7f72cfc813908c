/**
 * Whether the next write is made on the event loop or handed to the thread pool.
 *
 * A write to the page cache takes microseconds, a round trip through the pool about a hundred of them and another
 * core's work, so the loop is the rule. Two things speak for the pool: a write so large that the loop would be
 * missed (above LOOP_MAX_BYTES), and a system that makes writers wait because too much is dirty or the disk hangs.
 * The latter shows in the time that writes on the loop take: one that takes longer than SLOW_MS sends all writes to
 * the pool for a while, twice as long each time that the next try on the loop is slow again.
 */
import { type Clock } from '../env.ts'

const LOOP_MAX_BYTES = 2 * 1024 * 1024
const SLOW_MS = 10
const FIRST_PENALTY_MS = 250
const MAX_PENALTY_MS = 16_000
/** Fast writes in a row until a slow one counts as the first again. */
const FORGIVEN_AFTER = 1000

export class WritePolicy {
  readonly #clock: Clock
  #poolUntilMs = 0
  #penaltyMs = FIRST_PENALTY_MS
  #fastWrites = 0
  #startedMs = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Asked before a write; when it says true, `finished` is called after it. */
  takesLoop(bytes: number): boolean {
    if (bytes > LOOP_MAX_BYTES) return false
    this.#startedMs = this.#clock.monotonicMs()
    return this.#startedMs >= this.#poolUntilMs
  }

  finished(): void {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#startedMs <= SLOW_MS) {
      if (++this.#fastWrites >= FORGIVEN_AFTER) this.#penaltyMs = FIRST_PENALTY_MS
      return
    }
    this.#fastWrites = 0
    this.#poolUntilMs = nowMs + this.#penaltyMs
    this.#penaltyMs = Math.min(MAX_PENALTY_MS, 2 * this.#penaltyMs)
  }
}
