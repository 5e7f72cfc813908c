/**
 * Work that is done for all partitions from time to time, behind one timer. A run that takes longer than its interval
 * is not started twice.
 */
import { type Clock, type Log, type TimerHandle, type Timers } from '../env.ts'

interface Task {
  readonly name: string
  readonly everyMs: number
  readonly run: () => Promise<void> | void
  nextMs: number
  running: Promise<void> | null
}

export class Ticker {
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #log: Log
  readonly #tasks: Task[] = []
  #timer: TimerHandle | null = null
  #stopped = false

  constructor(options: { clock: Clock; timers: Timers; log: Log }) {
    this.#clock = options.clock
    this.#timers = options.timers
    this.#log = options.log
  }

  /** Runs `run` every `everyMs` from now on. A failure is logged, and the next run tries again. */
  every(everyMs: number, name: string, run: () => Promise<void> | void): void {
    const nextMs = this.#clock.monotonicMs() + everyMs
    this.#tasks.push({ name, everyMs, run, nextMs, running: null })
    this.#arm()
  }

  /** Starts nothing more; resolves when what is running has ended. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#timer !== null) this.#timers.clear(this.#timer)
    this.#timer = null
    await Promise.all(this.#tasks.flatMap(task => task.running ?? []))
  }

  #arm(): void {
    if (this.#timer !== null) this.#timers.clear(this.#timer)
    this.#timer = null
    if (this.#stopped || this.#tasks.length === 0) return
    const nextMs = Math.min(...this.#tasks.map(task => task.nextMs))
    const delayMs = Math.min(Math.max(Math.ceil(nextMs - this.#clock.monotonicMs()), 0), 2 ** 31 - 1)
    this.#timer = this.#timers.set(delayMs, () => this.#fire())
  }

  #fire(): void {
    this.#timer = null
    const nowMs = this.#clock.monotonicMs()
    for (const task of this.#tasks) {
      if (task.nextMs > nowMs) continue
      task.nextMs = nowMs + task.everyMs
      task.running ??= this.#run(task)
    }
    this.#arm()
  }

  async #run(task: Task): Promise<void> {
    try {
      await task.run()
    } catch (error) {
      this.#log.warn(`${task.name} failed and will be tried again`, { error })
    } finally {
      task.running = null
    }
  }
}
