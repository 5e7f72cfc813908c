/**
 * The partitions that work on one answer of their leader. The next fetch waits for all of them, so that it asks for all
 * at once and they share a sync; but for no longer than a moment: whoever takes longer joins a later round.
 */
import { type Env, type TimerHandle } from '../env.ts'
import { type FollowedPartition } from './follower-session.ts'

/** For so long an answer's partitions wait for one another. */
const GATHER_MS = 50

export class AnswerRound {
  readonly #env: Pick<Env, 'clock' | 'timers'>
  readonly #onLate: () => void
  /** Numbers answers. */
  #number = 0
  #working = 0
  #untilMs = 0
  #timer: TimerHandle | null = null

  /** `onLate`: the slow ones are in no round any more; the others go on. */
  constructor(env: Pick<Env, 'clock' | 'timers'>, onLate: () => void) {
    this.#env = env
    this.#onLate = onLate
  }

  /** Some of its partitions are still at work. */
  get isOpen(): boolean {
    return this.#working > 0
  }

  /** An answer has come. Who still works on the one before is in no round. */
  begin(): void {
    this.#number++
    this.#working = 0
  }

  enter(partition: FollowedPartition): void {
    partition.round = this.#number
    this.#working++
  }

  /** The partition is done. False: nobody has waited for it. */
  leave(partition: FollowedPartition): boolean {
    if (partition.round !== this.#number || this.#working === 0) return false
    this.#working--
    return true
  }

  /** From now on the time counts. One timer looks now and then, however many answers come. */
  watch(): void {
    const { timers, clock } = this.#env
    this.#untilMs = clock.monotonicMs() + GATHER_MS
    this.#timer ??= timers.set(GATHER_MS, () => this.#look())
  }

  stop(): void {
    if (this.#timer !== null) this.#env.timers.clear(this.#timer)
    this.#timer = null
  }

  #look(): void {
    this.#timer = null
    if (!this.isOpen) return
    const { timers, clock } = this.#env
    const leftMs = this.#untilMs - clock.monotonicMs()
    if (leftMs > 0) {
      this.#timer = timers.set(leftMs, () => this.#look())
      return
    }
    this.begin()
    this.#onLate()
  }
}
