/**
 * The one heap of virtual time. Everything that happens in a simulation is an event here, belonging to a process or
 * to the world itself; after each event the promise jobs run out before the next one begins, so a run is a function
 * of its seed alone. A rolling hash of what happened tells two runs apart.
 */
import { assert } from '../../../client/protocol/assert.ts'

export interface SimEvent {
  readonly timeMs: number
  readonly order: number
  /** Null when it was cancelled. */
  callback: (() => void) | null
  readonly kind: number
}

/** What the hash calls the kinds of events. */
export const KIND = {
  timer: 1,
  turn: 2,
  network: 3,
  disk: 4,
  fault: 5,
  check: 6,
  process: 7,
  store: 8,
} as const

/** So many events at one moment have no end. */
const ENDLESS = 100_000

/** Runs ready promise jobs at once. Node keeps it for its own loop; there is no public way to do it synchronously. */
const drainJobs = (process as unknown as { _tickCallback(): void })._tickCallback

export class Scheduler {
  nowMs = 0
  /** Events that were run. */
  events = 0
  readonly #heap: SimEvent[] = []
  #order = 0
  #hashLow = 0x811c9dc5
  #hashHigh = 0x1b873593
  #stopped: Error | null = null
  #eventsNow = 0
  /** Called after each event and its promise jobs. */
  afterEvent: () => void = () => {}

  /** Rounded to microseconds, so that sums of delays in another order are the same moment. */
  at(timeMs: number, kind: number, callback: () => void): SimEvent {
    const event: SimEvent = {
      timeMs: Math.max(this.nowMs, Math.round(timeMs * 1000) / 1000),
      order: this.#order++,
      callback,
      kind,
    }
    this.#push(event)
    return event
  }

  in(delayMs: number, kind: number, callback: () => void): SimEvent {
    return this.at(this.nowMs + delayMs, kind, callback)
  }

  cancel(event: SimEvent): void {
    event.callback = null
  }

  /** Ends `run` after this event; the first error counts. */
  stop(error: Error): void {
    this.#stopped ??= error
  }

  get stopped(): Error | null {
    return this.#stopped
  }

  /** Runs events until `isDone`, or `untilMs`, or until nothing is left or `stop` was called. */
  run(untilMs: number, isDone: () => boolean = () => false): void {
    drainJobs()
    for (;;) {
      if (this.#stopped !== null || isDone()) return
      const next = this.#heap[0]
      if (next === undefined || next.timeMs > untilMs) {
        this.nowMs = Math.max(this.nowMs, untilMs)
        return
      }
      this.#pop()
      const { callback } = next
      if (callback === null) continue
      if (next.timeMs > this.nowMs) this.#eventsNow = 0
      else if (this.#eventsNow++ === ENDLESS) this.stop(new Error(`time stands still at ${this.nowMs} ms`))
      this.nowMs = next.timeMs
      this.events++
      this.note(next.kind)
      this.note(Math.floor(next.timeMs * 1000) | 0)
      callback()
      drainJobs()
      this.afterEvent()
    }
  }

  /** Makes `value`, an int32, part of the trace's hash. */
  note(value: number): void {
    this.#hashLow = Math.imul(this.#hashLow ^ value, 0x01000193)
    this.#hashHigh = Math.imul((this.#hashHigh << 13) | (this.#hashHigh >>> 19), 5) + (value ^ 0x6b64e654)
    this.#hashHigh |= 0
  }

  get hash(): string {
    const hex = (value: number): string => (value >>> 0).toString(16).padStart(8, '0')
    return hex(this.#hashHigh) + hex(this.#hashLow)
  }

  // ---------------------------------------------------------------------------------------------- heap

  #push(event: SimEvent): void {
    const heap = this.#heap
    let index = heap.length
    heap.push(event)
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (isBefore(heap[parent]!, event)) break
      heap[index] = heap[parent]!
      index = parent
    }
    heap[index] = event
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    assert(last !== undefined, 'an empty heap gives nothing')
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let child = 2 * index + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (isBefore(last, heap[child]!)) break
      heap[index] = heap[child]!
      index = child
    }
    heap[index] = last
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.timeMs < b.timeMs || (a.timeMs === b.timeMs && a.order < b.order)
}
