/**
 * When records are due. At a fixed rate every record has a time at which it should be sent, whether or not the sender
 * is held up; latencies are counted from that time, so that a stall shows in all the records that it delayed and not
 * in one of them (coordinated omission). Without a rate a record is due when it can be sent.
 */
import { performance } from 'node:perf_hooks'

const TICK_MS = 1
/** Records sent before the event loop gets its turn, when there is no rate. */
const BURST = 256

export class Pacer {
  private readonly rate: number | null
  private readonly startedAt = performance.now()
  private sent = 0

  /** `rate` in records per second, or null. */
  constructor(rate: number | null) {
    this.rate = rate
  }

  /** Resolves to how many records are due now, at least one; each is then taken with `next`. */
  async due(): Promise<number> {
    if (this.rate === null) {
      await nextTurn()
      return BURST
    }
    for (;;) {
      const elapsedMs = performance.now() - this.startedAt
      const due = Math.floor((elapsedMs / 1000) * this.rate) - this.sent
      if (due >= 1) return due
      await sleep(TICK_MS)
    }
  }

  /** The time, on the clock of `performance.now()`, from which the latency of the next record counts. */
  next(): number {
    const index = this.sent
    this.sent += 1
    return this.rate === null ? performance.now() : this.startedAt + (index / this.rate) * 1000
  }
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, milliseconds))
}

function nextTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
