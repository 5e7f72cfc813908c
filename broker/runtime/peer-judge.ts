/**
 * What one broker makes of another one that it hears or does not hear of, over two paths: its own link to it, and the
 * registration in the metadata store, which lives as long as that broker reaches the store.
 *
 *   link broken, and the next connection refused         the process has ended: dead, at once
 *   silent for long, and once more for as long           the registration lives: the link has failed
 *                                                        the registration is gone too: the site has failed
 *
 * A state machine without clock or timers: it is told what happens, and answers what is new in it.
 */

export type PeerCondition = 'unknown' | 'well' | 'suspected' | 'dead' | 'link-failed' | 'site-failed'

/** What has just become clear; null: nothing new. */
export type PeerVerdict = 'suspected' | 'dead' | 'link-failed' | 'site-failed' | 'recovered'

export class PeerJudge {
  readonly #patienceMs: number
  #condition: PeerCondition = 'unknown'
  /** It was told of as failed, and not as recovered. */
  #isReported: boolean
  #heardMs: number
  /** The link has been there, and broke. */
  #isBroken = false

  /**
   * `patienceMs`: silence for so long makes a peer suspect; as much again, and it is judged. `wasReported`: an earlier
   * registration of the same broker was told of as failed, so that its return is news.
   */
  constructor(options: {
    readonly patienceMs: number
    readonly nowMs: number
    readonly wasReported?: boolean
  }) {
    this.#patienceMs = options.patienceMs
    this.#heardMs = options.nowMs
    this.#isReported = options.wasReported ?? false
  }

  get condition(): PeerCondition {
    return this.#condition
  }

  get isReported(): boolean {
    return this.#isReported
  }

  /** When it was last heard; before the first time, when we began to listen. */
  get heardMs(): number {
    return this.#heardMs
  }

  heard(nowMs: number): PeerVerdict | null {
    this.#heardMs = nowMs
    this.#isBroken = false
    this.#condition = 'well'
    if (!this.#isReported) return null
    this.#isReported = false
    return 'recovered'
  }

  /** The link has ended, other than by silence. */
  broken(): void {
    if (this.#condition !== 'unknown') this.#isBroken = true
  }

  /** Nobody listens where it listened. Where it was never reached the address may simply be wrong. */
  refused(): PeerVerdict | null {
    if (!this.#isBroken || this.#condition === 'dead') return null
    this.#condition = 'dead'
    this.#isReported = true
    return 'dead'
  }

  /** Time has passed. It is not to be called when we ourselves could not have heard: see `excuse`. */
  passed(nowMs: number): PeerVerdict | null {
    const silentMs = nowMs - this.#heardMs
    const { condition } = this
    if (condition === 'dead' || condition === 'link-failed' || condition === 'site-failed') return null
    if (silentMs >= 2 * this.#patienceMs) {
      this.#condition = 'link-failed'
      this.#isReported = true
      return 'link-failed'
    }
    if (silentMs < this.#patienceMs || condition === 'suspected') return null
    this.#condition = 'suspected'
    return 'suspected'
  }

  /** We were held up for so long ourselves: it does not count as its silence. */
  excuse(ms: number): void {
    this.#heardMs += ms
  }

  /** Its registration is gone. Of one that was well that is no news: it took its leave. */
  unregistered(): PeerVerdict | null {
    if (this.#condition !== 'suspected' && this.#condition !== 'link-failed') return null
    this.#condition = 'site-failed'
    this.#isReported = true
    return 'site-failed'
  }
}
