/**
 * One process on one machine: what it owns on the heap of time, its clocks, and what becomes of both when it is
 * paused or killed. A process that was killed runs not one line any more, whatever it was in the middle of.
 */
import { type Clock, type TimerHandle, type Timers } from '../../../broker/env.ts'
import { type ClientTimer } from '../../../client/env.ts'
import { KIND, type Scheduler, type SimEvent } from './scheduler.ts'

export interface Skew {
  /** Added to the wall clock. */
  offsetMs: number
  /** How fast its clocks go: 1 is right. */
  readonly rate: number
}

/** Events happen at whole microseconds. */
const ROUNDING_MS = 0.001
const WALL_START_MS = 1_700_000_000_000

export class SimProcess implements Clock, Timers {
  readonly name: string
  readonly host: string
  readonly scheduler: Scheduler
  readonly skew: Skew
  /** How long a turn of its event loop lasts: what arrives in the meantime is handled in the same turn. */
  readonly turnMs: number
  readonly #startMs: number
  #alive = true
  #paused = false
  #backlog: (() => void)[] = []
  #endOfTurn: (() => void)[] = []
  readonly #onKill: (() => void)[] = []

  constructor(options: { name: string; host: string; scheduler: Scheduler; skew: Skew; turnMs: number }) {
    this.name = options.name
    this.host = options.host
    this.scheduler = options.scheduler
    this.skew = options.skew
    this.turnMs = options.turnMs
    this.#startMs = options.scheduler.nowMs
  }

  get isAlive(): boolean {
    return this.#alive
  }

  get isPaused(): boolean {
    return this.#paused
  }

  wallMs(): number {
    const { nowMs } = this.scheduler
    return Math.floor(WALL_START_MS + nowMs * this.skew.rate + this.skew.offsetMs)
  }

  monotonicMs(): number {
    return (this.scheduler.nowMs - this.#startMs) * this.skew.rate
  }

  // --------------------------------------------------------------------------------------------- events

  /** `callback` after `delayMs` of virtual time, when the process lives and runs by then. */
  after(delayMs: number, kind: number, callback: () => void): SimEvent {
    return this.scheduler.in(delayMs, kind, () => this.enter(callback))
  }

  /** Runs now, later when it is paused, or never when it is dead. */
  enter(callback: () => void): void {
    if (!this.#alive) return
    if (this.#paused) this.#backlog.push(callback)
    else callback()
  }

  /** Resolves after `ms`; never where the process ends before. */
  sleep(ms: number): Promise<void> {
    return new Promise(resolve => void this.after(ms, KIND.timer, resolve))
  }

  /** Never early, not even by what rounding takes: who looks at his clock must find that the time has passed. */
  set(delayMs: number, callback: () => void): TimerHandle & ClientTimer {
    const afterMs = delayMs / this.skew.rate + ROUNDING_MS
    return this.after(afterMs, KIND.timer, callback) as unknown as TimerHandle & ClientTimer
  }

  setBackground(delayMs: number, callback: () => void): ClientTimer {
    return this.set(delayMs, callback)
  }

  clear(handle: TimerHandle | ClientTimer): void {
    this.scheduler.cancel(handle as unknown as SimEvent)
  }

  endOfTurn(callback: () => void): void {
    this.#endOfTurn.push(callback)
    if (this.#endOfTurn.length > 1) return
    this.after(this.turnMs, KIND.turn, () => {
      const callbacks = this.#endOfTurn
      this.#endOfTurn = []
      for (const each of callbacks) each()
    })
  }

  // -------------------------------------------------------------------------------------------- the end

  /** `callback` is called when the process is killed. */
  onKill(callback: () => void): void {
    this.#onKill.push(callback)
  }

  kill(): void {
    if (!this.#alive) return
    this.#alive = false
    this.#backlog = []
    this.#endOfTurn = []
    for (const callback of this.#onKill) callback()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    const backlog = this.#backlog
    this.#backlog = []
    for (const callback of backlog) this.after(0, KIND.process, callback)
  }
}
