/**
 * The partitions of a fetcher that are put off: each until its time has come, or until its host has a position again,
 * if that is what it waits for. For how long is the fetcher's to say.
 */
import { type Env, type TimerHandle } from '../env.ts'
import { type FollowedPartition } from './follower-session.ts'

export class WaitingPartitions {
  readonly #env: Pick<Env, 'clock' | 'timers'>
  readonly #onReady: (partition: FollowedPartition) => void
  readonly #waiting = new Set<FollowedPartition>()
  #timer: TimerHandle | null = null
  #timerAtMs = Infinity

  /** `onReady` is called for each that waits no longer and is still followed. */
  constructor(env: Pick<Env, 'clock' | 'timers'>, onReady: (partition: FollowedPartition) => void) {
    this.#env = env
    this.#onReady = onReady
  }

  /** Until then, on the monotonic clock; `isWoken`: or until its host wakes it. */
  add(partition: FollowedPartition, untilMs: number, isWoken = false): void {
    partition.phase = 'waiting'
    partition.retryAtMs = untilMs
    this.#waiting.add(partition)
    if (isWoken) {
      partition.waiter = { wake: () => this.end(partition) }
      partition.host.addWaiter(partition.waiter)
    }
    this.#arm(untilMs)
  }

  /** It need not wait any longer. */
  end(partition: FollowedPartition): void {
    this.remove(partition)
    if (partition.phase !== 'waiting') return
    partition.phase = 'ready'
    this.#onReady(partition)
  }

  /** It is followed no more, or otherwise. Content when it does not wait. */
  remove(partition: FollowedPartition): void {
    this.#waiting.delete(partition)
    if (partition.waiter !== null) partition.host.removeWaiter(partition.waiter)
    partition.waiter = null
  }

  /** Nobody is ready any more. */
  stop(): void {
    for (const partition of this.#waiting) this.remove(partition)
    if (this.#timer !== null) this.#env.timers.clear(this.#timer)
    this.#timer = null
  }

  #arm(atMs: number): void {
    if (atMs >= this.#timerAtMs) return
    const { timers, clock } = this.#env
    if (this.#timer !== null) timers.clear(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = timers.set(Math.max(0, atMs - clock.monotonicMs()), () => this.#due())
  }

  #due(): void {
    this.#timer = null
    this.#timerAtMs = Infinity
    const nowMs = this.#env.clock.monotonicMs()
    let earliestMs = Infinity
    for (const partition of this.#waiting) {
      if (partition.retryAtMs <= nowMs) this.end(partition)
      else earliestMs = Math.min(earliestMs, partition.retryAtMs)
    }
    if (earliestMs < Infinity) this.#arm(earliestMs)
  }
}
