/**
 * Many deadlines behind one timer: a binary heap in which every entry knows its place, so that one which is no longer
 * wanted leaves at once and holds nothing alive.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Clock, type TimerHandle, type Timers } from '../env.ts'

/** An entry; the queue writes `heapIndex` (-1 while it is not queued). */
export interface Deadline {
  /** On the monotonic clock. Must not change while queued. */
  readonly deadlineMs: number
  heapIndex: number
  /** The deadline has passed; the entry has left the queue and may join it again. */
  reached(): void
}

/** Longest delay a timer takes; a later deadline is approached in steps. */
const MAX_DELAY_MS = 2 ** 31 - 1

export class DeadlineQueue {
  readonly #timers: Timers
  readonly #clock: Clock
  readonly #heap: Deadline[] = []
  #timer: TimerHandle | null = null
  #timerAtMs = Infinity

  constructor(options: { timers: Timers; clock: Clock }) {
    this.#timers = options.timers
    this.#clock = options.clock
  }

  get size(): number {
    return this.#heap.length
  }

  add(entry: Deadline): void {
    assert(entry.heapIndex === -1, 'a deadline is queued once')
    entry.heapIndex = this.#heap.length
    this.#heap.push(entry)
    this.#up(entry.heapIndex)
    if (entry.deadlineMs < this.#timerAtMs) this.#arm()
  }

  /** Content when the entry is not queued. */
  remove(entry: Deadline): void {
    const index = entry.heapIndex
    if (index === -1) return
    entry.heapIndex = -1
    const last = this.#heap.pop()!
    if (last !== entry) {
      this.#heap[index] = last
      last.heapIndex = index
      this.#up(index)
      this.#down(last.heapIndex)
    }
    // The timer stays armed for a deadline that is gone: firing once for nothing costs less than setting it anew for
    // every request that completes in time.
    if (this.#heap.length === 0) this.#disarm()
  }

  /** Treats every deadline as passed. */
  expireAll(): void {
    for (const entry of [...this.#heap]) {
      if (entry.heapIndex === -1) continue
      this.remove(entry)
      entry.reached()
    }
  }

  #fire(): void {
    this.#timer = null
    this.#timerAtMs = Infinity
    const nowMs = this.#clock.monotonicMs()
    // Who joins again meanwhile with a deadline that has passed waits for the next turn: others want theirs too.
    for (let left = this.#heap.length; left > 0; left--) {
      const first = this.#heap[0]
      if (first === undefined || first.deadlineMs > nowMs) break
      this.remove(first)
      first.reached()
    }
    this.#arm()
  }

  #arm(): void {
    const first = this.#heap[0]
    if (first === undefined || first.deadlineMs >= this.#timerAtMs) return
    this.#disarm()
    const delayMs = Math.ceil(first.deadlineMs - this.#clock.monotonicMs())
    this.#timerAtMs = first.deadlineMs
    this.#timer = this.#timers.set(Math.min(Math.max(delayMs, 0), MAX_DELAY_MS), () => this.#fire())
  }

  #disarm(): void {
    if (this.#timer !== null) this.#timers.clear(this.#timer)
    this.#timer = null
    this.#timerAtMs = Infinity
  }

  #up(index: number): void {
    const heap = this.#heap
    const entry = heap[index]!
    let at = index
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above]!
      if (parent.deadlineMs <= entry.deadlineMs) break
      heap[at] = parent
      parent.heapIndex = at
      at = above
    }
    heap[at] = entry
    entry.heapIndex = at
  }

  #down(index: number): void {
    const heap = this.#heap
    const entry = heap[index]!
    let at = index
    for (;;) {
      let below = 2 * at + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && heap[below + 1]!.deadlineMs < heap[below]!.deadlineMs) below += 1
      const child = heap[below]!
      if (child.deadlineMs >= entry.deadlineMs) break
      heap[at] = child
      child.heapIndex = at
      at = below
    }
    heap[at] = entry
    entry.heapIndex = at
  }
}
