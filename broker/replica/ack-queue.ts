/**
 * Produce requests that wait for an offset to be reached, lowest offset first. Almost all join at the end, because
 * offsets are given in order; a retry of an older batch finds its place further up front.
 */
import { type Offset } from '../../client/protocol/types.ts'

export interface WaitingProduce<Token> {
  readonly token: Token
  /** Answered when everything below this offset is written, or committed. */
  readonly endOffset: Offset
  /** On the monotonic clock. */
  readonly deadlineMs: number
  readonly baseOffset: Offset
  /** -1 with CreateTime. */
  readonly logAppendTimeMs: number
}

/** Taken from the front without moving the rest each time. */
const COMPACT_AFTER = 1024

export class AckQueue<Token> {
  #waiting: WaitingProduce<Token>[] = []
  #first = 0

  get size(): number {
    return this.#waiting.length - this.#first
  }

  push(entry: WaitingProduce<Token>): void {
    const waiting = this.#waiting
    let at = waiting.length
    while (at > this.#first && waiting[at - 1]!.endOffset > entry.endOffset) at -= 1
    if (at === waiting.length) waiting.push(entry)
    else waiting.splice(at, 0, entry)
  }

  /** Takes the first one that waits for `offset` or less; null when there is none. */
  takeReached(offset: Offset): WaitingProduce<Token> | null {
    const entry = this.#waiting[this.#first]
    if (entry === undefined || entry.endOffset > offset) return null
    this.#first += 1
    if (this.#first === this.#waiting.length) {
      this.#waiting.length = 0
      this.#first = 0
    } else if (this.#first === COMPACT_AFTER) {
      this.#waiting.splice(0, this.#first)
      this.#first = 0
    }
    return entry
  }

  /** Takes all that fulfil `condition`, in order. */
  takeWhere(condition: (entry: WaitingProduce<Token>) => boolean): WaitingProduce<Token>[] {
    const taken: WaitingProduce<Token>[] = []
    const kept: WaitingProduce<Token>[] = []
    for (let index = this.#first; index < this.#waiting.length; index++) {
      const entry = this.#waiting[index]!
      if (condition(entry)) taken.push(entry)
      else kept.push(entry)
    }
    this.#waiting = kept
    this.#first = 0
    return taken
  }

  /** The earliest deadline, Infinity when nothing waits. */
  earliestDeadlineMs(): number {
    let earliest = Infinity
    for (let index = this.#first; index < this.#waiting.length; index++) {
      earliest = Math.min(earliest, this.#waiting[index]!.deadlineMs)
    }
    return earliest
  }
}
