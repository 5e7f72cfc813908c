/**
 * Waiting, for work that goes on in the background until it is ended: for a while, longer after each failure, or until
 * something has changed. Ending it ends every wait at once.
 */
import { type Env, type TimerHandle } from '../env.ts'
import { type ClusterMetadata } from './cluster-metadata.ts'

const FIRST_MS = 50
const LONGEST_MS = 2000

export class Pauses {
  readonly #env: Pick<Env, 'timers' | 'random'>
  readonly #waiting = new Set<() => void>()
  #isEnded = false

  constructor(env: Pick<Env, 'timers' | 'random'>) {
    this.#env = env
  }

  /** After the `attempt`th failure in a row: about twice as long each time, and never the same for two. */
  backOff(attempt: number): Promise<void> {
    const longestMs = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt - 1, 16))
    return this.for(longestMs * (0.5 + this.#env.random.float() / 2))
  }

  for(delayMs: number): Promise<void> {
    return this.#wait(delayMs, () => () => {})
  }

  /** Until the image changes, but no longer than `delayMs`. */
  untilChange(metadata: ClusterMetadata, delayMs: number): Promise<void> {
    return this.#wait(delayMs, wake => metadata.onChange(wake))
  }

  end(): void {
    this.#isEnded = true
    for (const wake of [...this.#waiting]) wake()
  }

  #wait(delayMs: number, listen: (wake: () => void) => () => void): Promise<void> {
    if (this.#isEnded) return Promise.resolve()
    return new Promise(resolve => {
      let timer: TimerHandle | null = null
      const wake = (): void => {
        if (!this.#waiting.delete(wake)) return
        if (timer !== null) this.#env.timers.clear(timer)
        stopListening()
        resolve()
      }
      this.#waiting.add(wake)
      const stopListening = listen(wake)
      timer = this.#env.timers.set(delayMs, wake)
    })
  }
}
