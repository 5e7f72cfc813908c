/**
 * Notices a consumer that has silently come to a stop: records that wait but are not taken, or brokers that do not
 * answer. Looks a few times per period, which costs nothing while all is well.
 */
import { type ClientEnv, type ClientTimer } from '../env.ts'
import { type StalledEvent } from './types.ts'

export interface Pulse {
  /** Changes whenever something was handed out. */
  readonly taken: number
  /** Something lies ready to be taken. */
  readonly hasData: boolean
  /** When a broker answered last, on the monotonic clock. */
  readonly lastAnswerMs: number
  /** What is being worked on, and how far it is: unchanged for a whole period, it hangs. */
  readonly working: readonly { readonly key: object; readonly position: number }[]
  /** Since when the consumer waits to become a member of its group; null where it is one, or has none. */
  readonly memberlessSinceMs: number | null
  /** Something is to be fetched at all: not everything is paused. */
  readonly isFetching: boolean
}

const LOOKS_PER_PERIOD = 4

export class Watchdog {
  readonly #env: ClientEnv
  readonly #periodMs: number
  readonly #pulse: () => Pulse
  readonly #onStalled: (reason: StalledEvent['reason'], forMs: number) => void
  #timer: ClientTimer | null = null
  #taken = -1
  #sinceMs = 0
  readonly #work = new Map<object, { position: number; sinceMs: number }>()
  /** What was reported: once, until something moves again or something else stands in the way. */
  #reported: StalledEvent['reason'] | null = null

  /** `periodMs` 0: never looks. */
  constructor(
    env: ClientEnv,
    periodMs: number,
    pulse: () => Pulse,
    onStalled: (reason: StalledEvent['reason'], forMs: number) => void,
  ) {
    this.#env = env
    this.#periodMs = periodMs
    this.#pulse = pulse
    this.#onStalled = onStalled
  }

  start(): void {
    if (this.#periodMs === 0 || this.#timer !== null) return
    this.#reported = null
    this.#taken = -1
    this.#look()
  }

  stop(): void {
    if (this.#timer !== null) this.#env.timers.clear(this.#timer)
    this.#timer = null
  }

  #look(): void {
    this.#check()
    const delayMs = Math.max(1, Math.floor(this.#periodMs / LOOKS_PER_PERIOD))
    this.#timer = this.#env.timers.setBackground(delayMs, () => this.#look())
  }

  #check(): void {
    const nowMs = this.#env.clock.monotonicMs()
    const { taken, hasData, lastAnswerMs, isFetching, working, memberlessSinceMs } = this.#pulse()
    if (taken !== this.#taken || !hasData) {
      this.#taken = taken
      this.#sinceMs = nowMs
    }
    const handlerMs = Math.max(nowMs - this.#sinceMs, this.#longestWorkMs(working, nowMs))
    const brokerMs = isFetching && !hasData ? nowMs - lastAnswerMs : 0
    const groupMs = memberlessSinceMs === null ? 0 : nowMs - memberlessSinceMs
    if (handlerMs >= this.#periodMs) this.#report('handler', handlerMs)
    else if (groupMs >= this.#periodMs) this.#report('group', groupMs)
    else if (brokerMs >= this.#periodMs) this.#report('broker', brokerMs)
    else this.#reported = null
  }

  #report(reason: StalledEvent['reason'], forMs: number): void {
    if (this.#reported === reason) return
    this.#reported = reason
    this.#onStalled(reason, forMs)
  }

  #longestWorkMs(working: Pulse['working'], nowMs: number): number {
    let longestMs = 0
    for (const key of this.#work.keys()) if (!working.some(each => each.key === key)) this.#work.delete(key)
    for (const { key, position } of working) {
      const known = this.#work.get(key)
      if (known?.position === position) longestMs = Math.max(longestMs, nowMs - known.sinceMs)
      else this.#work.set(key, { position, sinceMs: nowMs })
    }
    return longestMs
  }
}
