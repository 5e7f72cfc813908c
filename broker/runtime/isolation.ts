/**
 * Notices that this broker is cut off from the others while it and they reach the metadata store. Such a broker would
 * go on to lead what nobody can follow: its lease lives, so nobody takes over, and with min.insync.replicas above one
 * nothing can be written. So it withdraws its registration until it reaches the others again.
 *
 * Only among three or more: of two that do not hear each other nobody can say which is the one that is cut off. Where
 * nobody hears anybody one after the other would withdraw; the waits are of different length, and the last two stay.
 */
import { type Env, type TimerHandle } from '../env.ts'
import { type PeerCondition } from './peer-judge.ts'

export interface IsolationOptions {
  readonly env: Pick<Env, 'timers' | 'random' | 'log'>
  /** Of every other broker that is registered. */
  readonly conditions: () => Iterable<{ readonly condition: PeerCondition }>
  readonly withdraw: () => void
  readonly resume: () => void
}

const MIN_OTHERS = 2
const LONGEST_DOUBT_MS = 500

export class Isolation {
  readonly #options: IsolationOptions
  #isWithdrawn = false
  #doubt: TimerHandle | null = null
  #isStopped = false

  constructor(options: IsolationOptions) {
    this.#options = options
  }

  get isWithdrawn(): boolean {
    return this.#isWithdrawn
  }

  /** Call it whenever the condition of a peer, or who is registered, has changed. */
  judge(): void {
    if (this.#isStopped) return
    const { env, resume } = this.#options
    if (!this.#isWithdrawn) {
      if (this.#isCutOff())
        this.#doubt ??= env.timers.set(env.random.float() * LONGEST_DOUBT_MS, () => this.#decide())
      return
    }
    const { others, well } = this.#count()
    if (others >= MIN_OTHERS && well * 2 < others) return
    this.#isWithdrawn = false
    env.log.info('This broker reaches the others again, or they are gone: it registers anew', {
      others,
      well,
    })
    resume()
  }

  stop(): void {
    this.#isStopped = true
    if (this.#doubt !== null) this.#options.env.timers.clear(this.#doubt)
    this.#doubt = null
  }

  #decide(): void {
    this.#doubt = null
    if (!this.#isCutOff()) return
    this.#isWithdrawn = true
    this.#options.env.log.warn(
      'This broker is cut off from most of the others, while it and they reach the metadata store. It withdraws its registration, so that they lead in its place, until it reaches them again.',
      this.#count(),
    )
    this.#options.withdraw()
  }

  #isCutOff(): boolean {
    const { others, failed } = this.#count()
    return others >= MIN_OTHERS && failed * 2 > others
  }

  #count(): { readonly others: number; readonly failed: number; readonly well: number } {
    let others = 0
    let failed = 0
    let well = 0
    for (const { condition } of this.#options.conditions()) {
      others++
      if (condition === 'link-failed') failed++
      if (condition === 'well') well++
    }
    return { others, failed, well }
  }
}
