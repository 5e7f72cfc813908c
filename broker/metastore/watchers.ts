/**
 * The watches of a store: each is told every revision from its start on, once, in order, and only what is durable. The
 * first call of a listener never happens inside of `add`.
 */
import {
  type KeySelector,
  MetaStoreError,
  type Revision,
  type Watch,
  type WatchListener,
} from './metastore.ts'
import { type MetaState } from './state.ts'

interface Watcher {
  readonly select: KeySelector
  readonly listener: WatchListener
  next: Revision
}

export class Watchers {
  readonly #state: MetaState
  readonly #watchers = new Set<Watcher>()
  /** Watches may be told what happened up to here. */
  #revision: Revision
  #ended: MetaStoreError | null = null

  constructor(state: MetaState) {
    this.#state = state
    this.#revision = state.revision
  }

  /** The last revision that is durable. */
  get revision(): Revision {
    return this.#revision
  }

  add(select: KeySelector, fromRevision: Revision, listener: WatchListener): Watch {
    const watcher = { select, listener, next: fromRevision }
    this.#watchers.add(watcher)
    void Promise.resolve().then(() => {
      if (this.#ended === null) this.#tell(watcher)
      else this.#finish(watcher, this.#ended)
    })
    return { cancel: () => void this.#watchers.delete(watcher) }
  }

  /** Everything up to `revision` is durable now: whoever watches hears of it before this returns. */
  advance(revision: Revision): void {
    if (revision <= this.#revision) return
    this.#revision = revision
    for (const watcher of Array.from(this.#watchers)) this.#tell(watcher)
  }

  /** Nothing follows. */
  end(error: MetaStoreError): void {
    if (this.#ended !== null) return
    this.#ended = error
    for (const watcher of Array.from(this.#watchers)) this.#finish(watcher, error)
  }

  #tell(watcher: Watcher): void {
    const target = this.#revision
    try {
      if (watcher.next <= target) this.#state.checkNotCompacted(watcher.next)
    } catch (error) {
      if (!(error instanceof MetaStoreError)) throw error
      this.#finish(watcher, error)
      return
    }
    let toldLast = true
    while (watcher.next <= target && this.#watchers.has(watcher)) {
      const revision = watcher.next++
      const events = this.#state.eventsOf(revision, watcher.select)
      toldLast = events.length > 0
      if (toldLast) watcher.listener.changed({ revision, events })
    }
    // Whoever waits for a revision learns that nothing of it was meant for him.
    if (!toldLast && this.#watchers.has(watcher)) watcher.listener.changed({ revision: target, events: [] })
  }

  #finish(watcher: Watcher, error: MetaStoreError): void {
    if (this.#watchers.delete(watcher)) watcher.listener.ended(error)
  }
}
