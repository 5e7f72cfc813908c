/** The watches of a store, and what they have to know of it: that revisions have passed, and that it closes. */
import {
  type KeySelector,
  type MetaStoreError,
  type Revision,
  type Watch,
  type WatchListener,
} from '../metastore.ts'
import { type EtcdConnection } from './connection.ts'
import { closedError } from './errors.ts'
import { type Settings } from './options.ts'
import { EtcdWatch } from './watch.ts'

export class EtcdWatches {
  readonly #settings: Settings
  readonly #connection: EtcdConnection
  readonly #watches = new Set<EtcdWatch>()
  #isClosed = false

  constructor(settings: Settings, connection: EtcdConnection) {
    this.#settings = settings
    this.#connection = connection
  }

  add(select: KeySelector, fromRevision: Revision, listener: WatchListener): Watch {
    const watch: EtcdWatch = new EtcdWatch(this.#settings, this.#connection, select, fromRevision, {
      changed: batch => listener.changed(batch),
      ended: (error: MetaStoreError) => {
        this.#watches.delete(watch)
        listener.ended(error)
      },
    })
    this.#watches.add(watch)
    if (this.#isClosed) void Promise.resolve().then(() => watch.finish(closedError()))
    else watch.start()
    return {
      cancel: () => {
        this.#watches.delete(watch)
        watch.cancel()
      },
    }
  }

  /** A change has been made at `revision`: whoever watches shall hear soon that it has passed. */
  passed(revision: Revision): void {
    for (const watch of this.#watches) watch.passed(revision)
  }

  close(): void {
    this.#isClosed = true
    for (const watch of Array.from(this.#watches)) watch.finish(closedError())
  }
}
