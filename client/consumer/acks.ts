/**
 * Which of the records that were handed out are done: an application may acknowledge them in any order, but an offset
 * says that everything before it is done. Pure. In order, which is how it nearly always is, both calls are constant.
 */

const COMPACT_AT = 1024

export class AckLedger {
  /** Offsets handed out, ascending; those before `#head` are done. */
  #offsets: number[] = []
  #done: boolean[] = []
  #head = 0
  #lastIsLeft = false
  /** Somebody acknowledges at all. */
  isUsed = false

  /** Offset of the first record that is not done, or null where all are. */
  get lowest(): number | null {
    return this.#offsets[this.#head] ?? null
  }

  /** Records handed out and not done. */
  get open(): number {
    let open = 0
    for (let index = this.#head; index < this.#done.length; index++) if (!this.#done[index]) open++
    return open
  }

  /** Some record is not done and may yet be: whoever commits had better wait for it. */
  get isAwaited(): boolean {
    const end = this.#lastIsLeft ? this.#done.length - 1 : this.#done.length
    for (let index = this.#head; index < end; index++) if (!this.#done[index]) return true
    return false
  }

  /** The application went away from the record that it was handed last. */
  leaveLast(): void {
    this.#lastIsLeft = true
  }

  handOut(offset: number): void {
    this.#lastIsLeft = false
    this.#offsets.push(offset)
    this.#done.push(false)
  }

  /** What was never handed out, or was forgotten since, is ignored. */
  ack(offset: number): void {
    this.isUsed = true
    const index = this.#offsets[this.#head] === offset ? this.#head : this.#find(offset)
    if (index < 0) return
    this.#done[index] = true
    while (this.#head < this.#done.length && this.#done[this.#head]) this.#head++
    if (this.#head < COMPACT_AT || this.#head * 2 < this.#offsets.length) return
    this.#offsets = this.#offsets.slice(this.#head)
    this.#done = this.#done.slice(this.#head)
    this.#head = 0
  }

  /** Everything below `offset` is done. */
  ackBelow(offset: number): void {
    this.isUsed = true
    while (
      this.#head < this.#offsets.length &&
      (this.#offsets[this.#head]! < offset || this.#done[this.#head])
    )
      this.#head++
  }

  clear(): void {
    this.#offsets = []
    this.#done = []
    this.#head = 0
  }

  #find(offset: number): number {
    let low = this.#head
    let high = this.#offsets.length - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const found = this.#offsets[middle]!
      if (found === offset) return middle
      if (found < offset) low = middle + 1
      else high = middle - 1
    }
    return -1
  }
}
