/**
 * DeleteRecords that wait until the followers in sync have moved the start of their logs as well: only then will no new
 * leader bring back what was deleted.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type Clock } from '../env.ts'
import { type Deadline, type DeadlineQueue } from './deadline-queue.ts'
import { type Waiter } from './purgatory.ts'

/** What the wait wants to know of the partition. */
export interface StartingLog {
  /** NONE while it leads. */
  check(): ErrorCode
  /** Where the log starts on the replica in sync whose log starts earliest. */
  lowestStart(): Offset
}

interface Waiting extends Deadline {
  readonly offset: Offset
  readonly resolve: (error: ErrorCode) => void
}

export class StartAdoption implements Waiter {
  readonly #log: StartingLog
  readonly #clock: Clock
  readonly #deadlines: DeadlineQueue
  readonly #waiters: Set<Waiter>
  #waiting: Waiting[] = []

  /** `waiters` are woken when the partition's leadership changes. */
  constructor(log: StartingLog, clock: Clock, deadlines: DeadlineQueue, waiters: Set<Waiter>) {
    this.#log = log
    this.#clock = clock
    this.#deadlines = deadlines
    this.#waiters = waiters
  }

  /** Resolves to NONE when no replica in sync has records below `offset`, or to why that cannot be said. */
  wait(offset: Offset, timeoutMs: number): Promise<ErrorCode> {
    return new Promise(resolve => {
      const waiting: Waiting = {
        offset,
        resolve,
        deadlineMs: this.#clock.monotonicMs() + timeoutMs,
        heapIndex: -1,
        reached: () => this.#end(waiting, ErrorCode.REQUEST_TIMED_OUT),
      }
      this.#waiting.push(waiting)
      this.#deadlines.add(waiting)
      this.#waiters.add(this)
      this.wake()
    })
  }

  /** A follower has told where its log starts, or the leadership has changed. */
  wake(): void {
    if (this.#waiting.length === 0) return
    const error = this.#log.check()
    const start = this.#log.lowestStart()
    for (const waiting of [...this.#waiting]) {
      if (error !== ErrorCode.NONE) this.#end(waiting, error)
      else if (start >= waiting.offset) this.#end(waiting, ErrorCode.NONE)
    }
  }

  #end(waiting: Waiting, error: ErrorCode): void {
    this.#deadlines.remove(waiting)
    this.#waiting = this.#waiting.filter(other => other !== waiting)
    if (this.#waiting.length === 0) this.#waiters.delete(this)
    waiting.resolve(error)
  }
}
