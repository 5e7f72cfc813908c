/**
 * A log for what peers can cause at will: some lines at once, then one a second of each kind, with the number of those
 * left out. A broker that logs every hostile frame is attacked through its disk.
 */
import { type Clock, type Log, type LogFields } from '../env.ts'

const BURST_LINES = 10
const LINE_EVERY_MS = 1000

interface Bucket {
  lines: number
  filledAtMs: number
  leftOut: number
}

export class RateLimitedLog {
  readonly #log: Log
  readonly #clock: Clock
  /** By message: the messages are ours, so they are few. */
  readonly #buckets = new Map<string, Bucket>()

  constructor(log: Log, clock: Clock) {
    this.#log = log
    this.#clock = clock
  }

  warn(message: string, fields: LogFields): void {
    const leftOut = this.#admit(message)
    if (leftOut !== null) this.#log.warn(message, leftOut > 0 ? { ...fields, leftOut } : fields)
  }

  info(message: string, fields: LogFields): void {
    const leftOut = this.#admit(message)
    if (leftOut !== null) this.#log.info(message, leftOut > 0 ? { ...fields, leftOut } : fields)
  }

  /** How many lines like it were left out before this one, or null when this one is left out too. */
  #admit(message: string): number | null {
    const nowMs = this.#clock.monotonicMs()
    let bucket = this.#buckets.get(message)
    if (bucket === undefined) {
      bucket = { lines: BURST_LINES, filledAtMs: nowMs, leftOut: 0 }
      this.#buckets.set(message, bucket)
    }
    const earned = Math.floor((nowMs - bucket.filledAtMs) / LINE_EVERY_MS)
    if (earned > 0) {
      bucket.lines = Math.min(BURST_LINES, bucket.lines + earned)
      bucket.filledAtMs += earned * LINE_EVERY_MS
    }
    if (bucket.lines === 0) {
      bucket.leftOut++
      return null
    }
    bucket.lines--
    const { leftOut } = bucket
    bucket.leftOut = 0
    return leftOut
  }
}
