/**
 * Which partitions of a follower's fetch session want a look: those that it asks about, and those in which something
 * has happened since they were last found at rest. So a fetch costs as much as has happened, and not as much as is
 * followed: of thousands of partitions nearly all rest at nearly all times.
 *
 * It watches and remembers; whether a partition rests is for those to say who read it, at one moment with the reading:
 * whatever comes later wakes.
 */
import { type FetchPosition } from './fetch-sessions.ts'
import { type Waiter, type Wakeable } from './purgatory.ts'

/** What is watched of a partition; a partition host is one. */
export interface WatchedPartition extends Wakeable {
  /** Woken by what is written and by changes of leadership; the partition itself by all that moves its bounds. */
  readonly replicaWaiters: Wakeable
}

interface Watch {
  readonly host: WatchedPartition
  readonly onBounds: Waiter
  readonly onRecords: Waiter
}

export class SessionAttention implements Wakeable {
  /** Of the follower's registration, as its last fetch said; where it changes all is to be looked at. */
  brokerEpoch = -1
  /** Whether a fetch that waits is to hear of moved bounds as well, and not of records alone. */
  tellsBounds = false
  /** In the order in which they are to be read. */
  readonly #due = new Set<FetchPosition>()
  readonly #watched = new Map<FetchPosition, Watch>()
  readonly #waiters = new Set<Waiter>()

  get due(): readonly FetchPosition[] {
    return [...this.#due]
  }

  /** The partition wants a look. */
  notice(position: FetchPosition): void {
    this.#due.add(position)
  }

  /** From now on what happens at `host` makes the partition want a look, and wakes the fetch that waits. */
  watch(position: FetchPosition, host: WatchedPartition): void {
    const before = this.#watched.get(position)
    if (before?.host === host) return
    if (before !== undefined) unwatch(before)
    const onBounds = { wake: () => this.#happened(position, this.tellsBounds) }
    const onRecords = { wake: () => this.#happened(position, true) }
    this.#watched.set(position, { host, onBounds, onRecords })
    host.addWaiter(onBounds)
    host.replicaWaiters.addWaiter(onRecords)
  }

  #happened(position: FetchPosition, tells: boolean): void {
    this.#due.add(position)
    if (tells) for (const waiter of this.#waiters) waiter.wake()
  }

  /** There is nothing to say of it until something happens. It must be watched. */
  rest(position: FetchPosition): void {
    this.#due.delete(position)
  }

  /** To be read last. */
  rotate(position: FetchPosition): void {
    if (this.#due.delete(position)) this.#due.add(position)
  }

  /** It is in the session no more. */
  forget(position: FetchPosition): void {
    this.#due.delete(position)
    const watch = this.#watched.get(position)
    if (watch === undefined) return
    this.#watched.delete(position)
    unwatch(watch)
  }

  /** The session has ended. */
  close(): void {
    for (const watch of this.#watched.values()) unwatch(watch)
    this.#watched.clear()
    this.#due.clear()
  }

  /** A fetch that waits: one at most. */
  addWaiter(waiter: Waiter): void {
    this.#waiters.add(waiter)
  }

  removeWaiter(waiter: Waiter): void {
    this.#waiters.delete(waiter)
  }
}

function unwatch({ host, onBounds, onRecords }: Watch): void {
  host.removeWaiter(onBounds)
  host.replicaWaiters.removeWaiter(onRecords)
}
