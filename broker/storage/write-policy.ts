/**
 * Whether the next write is made on the event loop or handed to the thread pool.
 *
 * A write to the page cache takes microseconds, a round trip through the pool about a hundred of them, and there the
 * bytes are copied by a core that has not got them in its cache. So the loop is the rule. Two things speak for the
 * pool: a write so large that the loop would be missed (above LOOP_MAX_BYTES), and a system that makes writers wait
 * because too much is dirty or the disk hangs.
 *
 * The latter shows in the time that writes take: one that took longer than SLOW_MS on the loop sends the next ones
 * to the pool, where waiting harms nobody. When PROBES of them in a row were fast there, the loop gets them again;
 * twice as many are asked for each time that the loop then meets a slow one soon. That a busy machine did not run us
 * looks like a slow write too, and is forgotten after a few milliseconds; a disk that hangs is not.
 */
import { type Clock } from '../env.ts'

const LOOP_MAX_BYTES = 8 * 1024 * 1024
const SLOW_MS = 10
const PROBES = 4
const MAX_PROBES = 1024
/** Fast writes on the loop in a row until a slow one counts as the first again. */
const FORGIVEN_AFTER = 1000

export class WritePolicy {
  readonly #clock: Clock
  /** Fast writes in the pool that are still wanted before the loop is trusted again. */
  #probesLeft = 0
  #probesWanted = 0
  /** How many the next slow write will ask for. */
  #nextProbes = PROBES
  #fastWrites = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  takesLoop(bytes: number): boolean {
    return bytes <= LOOP_MAX_BYTES && this.#probesLeft === 0
  }

  /** A write begins; what this returns is handed to `wroteOnLoop` or `wroteInPool` when it has ended. */
  begin(): number {
    return this.#clock.monotonicMs()
  }

  wroteOnLoop(startedMs: number): void {
    if (this.#isFast(startedMs)) {
      if (++this.#fastWrites >= FORGIVEN_AFTER) this.#nextProbes = PROBES
      return
    }
    this.#fastWrites = 0
    this.#probesLeft = this.#probesWanted = this.#nextProbes
    this.#nextProbes = Math.min(MAX_PROBES, 2 * this.#nextProbes)
  }

  wroteInPool(startedMs: number): void {
    if (this.#probesLeft === 0) return
    if (this.#isFast(startedMs)) this.#probesLeft--
    else this.#probesLeft = this.#probesWanted
  }

  #isFast(startedMs: number): boolean {
    return this.#clock.monotonicMs() - startedMs <= SLOW_MS
  }
}
