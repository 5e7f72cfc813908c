/**
 * Pieces of long work, one at a time, in the order in which they came but for those that somebody is waiting for.
 */

interface Work {
  readonly key: object
  readonly run: () => Promise<void>
}

export class WorkQueue {
  readonly #queue: Work[] = []
  #isRunning = false

  /** Work that waits, without what is under way. */
  get size(): number {
    return this.#queue.length
  }

  /** `run` must not reject. */
  add(key: object, run: () => Promise<void>): void {
    this.#queue.push({ key, run })
    if (!this.#isRunning) void this.#runAll()
  }

  /** It is the next one, where it waits at all. */
  hurry(key: object): void {
    const index = this.#queue.findIndex(work => work.key === key)
    if (index > 0) this.#queue.unshift(...this.#queue.splice(index, 1))
  }

  /** Takes it out where it waits; what is under way goes on. */
  cancel(key: object): void {
    const index = this.#queue.findIndex(work => work.key === key)
    if (index >= 0) this.#queue.splice(index, 1)
  }

  async #runAll(): Promise<void> {
    this.#isRunning = true
    for (let work = this.#queue.shift(); work !== undefined; work = this.#queue.shift()) await work.run()
    this.#isRunning = false
  }
}
