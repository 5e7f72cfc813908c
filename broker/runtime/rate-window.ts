/**
 * How many bytes per second have gone over a way of late: samples of a fixed length, of which the oldest is forgotten
 * when all of them together have passed, as Kafka counts replication quotas. Pure: the time is told.
 *
 * The first sample counts as a whole one, or the rate would be endless at its beginning. It says when a rate will be
 * low enough; who waits for it, and how, is for others to say.
 */
import { assert } from '../../client/protocol/assert.ts'

interface Sample {
  readonly startMs: number
  bytes: number
}

export class RateWindow {
  readonly #sampleMs: number
  readonly #spanMs: number
  /** The oldest first. */
  readonly #samples: Sample[] = []
  #bytes = 0

  /** `samples` of `sampleMs` milliseconds each are remembered. */
  constructor(options: { readonly samples: number; readonly sampleMs: number }) {
    assert(options.samples >= 1 && options.sampleMs >= 1, 'a window has a length')
    this.#sampleMs = options.sampleMs
    this.#spanMs = options.samples * options.sampleMs
  }

  /** `nowMs` never goes back. */
  record(bytes: number, nowMs: number): void {
    this.#forget(nowMs)
    const last = this.#samples.at(-1)
    if (last === undefined || nowMs - last.startMs >= this.#sampleMs) {
      this.#samples.push({ startMs: nowMs, bytes })
    } else last.bytes += bytes
    this.#bytes += bytes
  }

  /** Bytes per second. */
  rate(nowMs: number): number {
    this.#forget(nowMs)
    const oldest = this.#samples[0]
    return oldest === undefined ? 0 : this.#rateOf(this.#bytes, oldest, nowMs)
  }

  /**
   * Milliseconds until the rate is no more than `bytesPerSecond`, if nothing is recorded in between; 0 where it is so
   * now. Never more than what is remembered.
   */
  msUntil(bytesPerSecond: number, nowMs: number): number {
    if (this.rate(nowMs) <= bytesPerSecond) return 0
    let bytes = this.#bytes
    for (const [index, sample] of this.#samples.entries()) {
      // The rate falls as the time passes that these bytes are spread over, until the oldest of them are forgotten.
      const expiresMs = sample.startMs + this.#spanMs
      const enoughMs = sample.startMs + Math.max(this.#sampleMs, (bytes / bytesPerSecond) * 1000)
      if (enoughMs < expiresMs) return Math.max(1, Math.ceil(enoughMs - nowMs))
      bytes -= sample.bytes
      const next = this.#samples[index + 1]
      if (next === undefined || this.#rateOf(bytes, next, expiresMs) <= bytesPerSecond) {
        return Math.max(1, Math.ceil(expiresMs - nowMs))
      }
    }
    return 0
  }

  #rateOf(bytes: number, oldest: Sample, nowMs: number): number {
    return (bytes * 1000) / Math.max(this.#sampleMs, nowMs - oldest.startMs)
  }

  #forget(nowMs: number): void {
    for (let oldest = this.#samples[0]; oldest !== undefined; oldest = this.#samples[0]) {
      if (nowMs - oldest.startMs < this.#spanMs) return
      this.#samples.shift()
      this.#bytes -= oldest.bytes
    }
  }
}
