/**
 * Time that stands still until somebody moves it. Timers fire in the order of their deadlines, those of one
 * deadline in the order they were set, and the clock shows each its own deadline.
 */
import { type Clock, type TimerHandle, type Timers } from '../env.ts'

interface PendingTimer {
  readonly deadlineMs: number
  readonly order: number
  readonly callback: () => void
}

/**
 * Promise jobs are the only "now" that portable JavaScript offers: an end of turn comes after this many of them in
 * a row, which lets chains of promises that are ready run out first.
 */
const HOPS_PER_TURN = 32
const READY = Promise.resolve()

export class ManualClock implements Clock, Timers {
  #wallMs: number
  #monotonicMs = 0
  #order = 0
  #timers = new Map<TimerHandle, PendingTimer>()
  #endOfTurn: (() => void)[] = []
  #turnScheduled = false

  constructor(options: { wallMs?: number } = {}) {
    this.#wallMs = options.wallMs ?? 1_700_000_000_000
  }

  wallMs(): number {
    return Math.floor(this.#wallMs)
  }

  monotonicMs(): number {
    return this.#monotonicMs
  }

  /** Moves the wall clock alone, either way, as an administrator or NTP does. */
  jumpWall(byMs: number): void {
    this.#wallMs += byMs
  }

  set(delayMs: number, callback: () => void): TimerHandle {
    const handle = {} as TimerHandle
    this.#timers.set(handle, { deadlineMs: this.#monotonicMs + delayMs, order: this.#order++, callback })
    return handle
  }

  clear(handle: TimerHandle): void {
    this.#timers.delete(handle)
  }

  /** Runs by itself when the promises that are ready have run out; nobody needs to move the clock for it. */
  endOfTurn(callback: () => void): void {
    this.#endOfTurn.push(callback)
    if (this.#turnScheduled) return
    this.#turnScheduled = true
    void this.#turn()
  }

  get pendingTimers(): number {
    return this.#timers.size
  }

  /** How long until the next timer is due, or null when none is set. */
  get nextTimerMs(): number | null {
    const next = this.#next(Infinity)
    return next === null ? null : Math.max(0, next[1].deadlineMs - this.#monotonicMs)
  }

  /**
   * Lets `ms` pass: fires what is due, in order, also what is set on the way. After each timer the promises that
   * are ready run out, so a chain of timers and promises unfolds as with real time.
   */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#monotonicMs + ms
    for (;;) {
      await this.settle()
      const next = this.#next(untilMs)
      if (next === null) break
      this.#moveTo(Math.max(this.#monotonicMs, next[1].deadlineMs))
      this.#timers.delete(next[0])
      next[1].callback()
    }
    this.#moveTo(Math.max(this.#monotonicMs, untilMs))
    await this.settle()
  }

  /** Time passes at once, as in a call that takes long: what is due fires at the next `advance`. */
  skip(ms: number): void {
    this.#moveTo(this.#monotonicMs + ms)
  }

  /** Lets ready promises and ends of turns run out, without letting time pass. */
  async settle(): Promise<void> {
    do {
      for (let hop = 0; hop < 2 * HOPS_PER_TURN; hop++) await READY
    } while (this.#turnScheduled)
  }

  async #turn(): Promise<void> {
    for (let hop = 0; hop < HOPS_PER_TURN; hop++) await READY
    const callbacks = this.#endOfTurn
    this.#endOfTurn = []
    this.#turnScheduled = false
    for (const callback of callbacks) callback()
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs
    this.#monotonicMs = monotonicMs
  }

  #next(untilMs: number): [TimerHandle, PendingTimer] | null {
    let next: [TimerHandle, PendingTimer] | null = null
    for (const entry of this.#timers) {
      const timer = entry[1]
      if (timer.deadlineMs > untilMs) continue
      const best = next?.[1]
      const isEarlier =
        best === undefined ||
        timer.deadlineMs < best.deadlineMs ||
        (timer.deadlineMs === best.deadlineMs && timer.order < best.order)
      if (isEarlier) next = entry
    }
    return next
  }
}
