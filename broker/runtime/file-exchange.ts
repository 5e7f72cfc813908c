/**
 * Lets one piece of work have a partition's files for itself, and keeps in order what comes meanwhile: who wants to
 * append waits for it, and so does a change of leadership, of which the last word counts.
 */
import { assert } from '../../client/protocol/assert.ts'

export class FileExchange {
  #running: Promise<void> | null = null
  #held: (() => void)[] = []
  #told: (() => void) | null = null

  /** Settles when the work that is under way has ended, never rejecting; null: there is none. */
  get running(): Promise<void> | null {
    return this.#running
  }

  /** A change of leadership waits. */
  get isTold(): boolean {
    return this.#told !== null
  }

  /** For when the work has ended; in order. */
  hold(action: () => void): void {
    assert(this.#running !== null, 'there is something to wait for')
    this.#held.push(action)
  }

  /** A change of leadership: at once, or when the work has ended and no later one has come. */
  tell(action: () => void): void {
    if (this.#running === null) action()
    else this.#told = action
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    assert(this.#running === null, 'files are exchanged by one at a time')
    let end = (): void => {}
    this.#running = new Promise(resolve => {
      end = resolve
    })
    try {
      return await work()
    } finally {
      this.#running = null
      end()
      const told = this.#told
      this.#told = null
      told?.()
      const held = this.#held
      this.#held = []
      for (const action of held) action()
    }
  }
}
