/**
 * Where requests wait that cannot be answered yet: a fetch below its minimum of bytes, above all. An operation waits on
 * any number of partitions and for a time; whichever comes first completes it, and nothing completes it twice.
 *
 * Wakes of one turn of the event loop are gathered: an operation is tried once at the end of the turn however many of
 * its partitions moved, so a fetch over 100 partitions costs one try and not 100.
 *
 * The purgatory must not know what an operation does, and must cost nothing while nothing waits: one timer in all,
 * none when it is empty.
 */
import { type Clock, type Timers } from '../env.ts'
import { type Deadline, DeadlineQueue } from './deadline-queue.ts'

/** Something that can be waited on; a partition host is one. */
export interface Wakeable {
  addWaiter(waiter: Waiter): void
  removeWaiter(waiter: Waiter): void
}

/** Told that something it waits on has moved. Must not throw, and must do its work later, not inside the call. */
export interface Waiter {
  wake(): void
}

/** A request that waits. */
export interface DelayedOperation {
  /**
   * Tries to complete: true when it has answered and waits no longer. Called after a wake; never after it returned
   * true, never after `expire`.
   */
  tryComplete(): boolean
  /** The deadline has passed: answer with what there is. Called at most once and never after `tryComplete` was true. */
  expire(): void
}

/** Handle of a waiting operation. */
export interface Waiting {
  /** Forgets the operation without calling it (its connection is gone). Content when it is complete already. */
  cancel(): void
  readonly done: boolean
}

class WaitingOperation implements Waiter, Waiting, Deadline {
  deadlineMs: number
  heapIndex = -1
  done = false
  queued = false
  readonly operation: DelayedOperation
  readonly partitions: readonly Wakeable[]
  readonly purgatory: Purgatory

  constructor(
    purgatory: Purgatory,
    operation: DelayedOperation,
    partitions: readonly Wakeable[],
    deadlineMs: number,
  ) {
    this.purgatory = purgatory
    this.operation = operation
    this.partitions = partitions
    this.deadlineMs = deadlineMs
  }

  wake(): void {
    if (!this.done && !this.queued) this.purgatory.enqueue(this)
  }

  cancel(): void {
    this.purgatory.forget(this)
  }

  reached(): void {
    if (this.done) return
    this.purgatory.forget(this)
    this.operation.expire()
  }
}

export class Purgatory {
  readonly #timers: Timers
  readonly #clock: Clock
  readonly #deadlines: DeadlineQueue
  #woken: WaitingOperation[] = []
  #tryScheduled = false
  #waiting = 0

  constructor(options: { timers: Timers; clock: Clock }) {
    this.#timers = options.timers
    this.#clock = options.clock
    this.#deadlines = new DeadlineQueue(options)
  }

  /** Operations that wait now. */
  get size(): number {
    return this.#waiting
  }

  /**
   * Lets `operation` wait on `partitions` for at most `timeoutMs` (0 expires in the next turn). The caller has tried
   * it before, in the same synchronous piece of work, so that no wake lies between.
   */
  wait(operation: DelayedOperation, partitions: readonly Wakeable[], timeoutMs: number): Waiting {
    const waiting = new WaitingOperation(
      this,
      operation,
      partitions,
      this.#clock.monotonicMs() + Math.max(0, timeoutMs),
    )
    this.#waiting += 1
    for (const partition of partitions) partition.addWaiter(waiting)
    this.#deadlines.add(waiting)
    return waiting
  }

  /** Expires all that waits, at shutdown. */
  expireAll(): void {
    this.#deadlines.expireAll()
  }

  /** For the operations themselves. */
  enqueue(waiting: WaitingOperation): void {
    waiting.queued = true
    this.#woken.push(waiting)
    if (this.#tryScheduled) return
    this.#tryScheduled = true
    this.#timers.endOfTurn(() => this.#tryWoken())
  }

  /** For the operations themselves. */
  forget(waiting: WaitingOperation): void {
    if (waiting.done) return
    waiting.done = true
    this.#waiting -= 1
    for (const partition of waiting.partitions) partition.removeWaiter(waiting)
    this.#deadlines.remove(waiting)
  }

  #tryWoken(): void {
    this.#tryScheduled = false
    const woken = this.#woken
    this.#woken = []
    for (const waiting of woken) {
      waiting.queued = false
      if (waiting.done) continue
      if (waiting.operation.tryComplete()) this.forget(waiting)
    }
  }
}
