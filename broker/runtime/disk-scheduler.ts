/**
 * When partitions write and sync. All that was appended in one turn of the event loop goes to disk in one write for
 * each partition; syncs run in parallel, but only so many, because each takes a thread and the disk has one queue.
 */
import { type Timers } from '../env.ts'

/** What the scheduler drives; neither method may throw or reject. */
export interface DiskWorker {
  /** Hands what is pending to the system. */
  writePending(): void
  /** A sync is about to begin: what is to share it has to be written now. */
  beforeSync(): void
  /** Makes durable what is written; resolves when the outcome has been dealt with. */
  sync(): Promise<void>
}

type SyncState = 'queued' | 'running' | 'running, and again'

export class DiskScheduler {
  readonly #timers: Timers
  readonly #parallelSyncs: number
  #dirty: DiskWorker[] = []
  #writeScheduled = false
  #writes = 0
  readonly #syncs = new Map<DiskWorker, SyncState>()
  readonly #queue: DiskWorker[] = []
  #running = 0

  constructor(options: { timers: Timers; parallelSyncs: number }) {
    this.#timers = options.timers
    this.#parallelSyncs = Math.max(1, options.parallelSyncs)
  }

  /** Counts up whenever anything is to be written. */
  get writes(): number {
    return this.#writes
  }

  /** `worker` has something to write at the end of this turn. To be called once for each turn. */
  write(worker: DiskWorker): void {
    this.#writes++
    this.#dirty.push(worker)
    if (this.#writeScheduled) return
    this.#writeScheduled = true
    this.#timers.endOfTurn(() => this.#writeAll())
  }

  /** `worker` has something to sync; a sync that is under way may have begun too early for it. */
  sync(worker: DiskWorker): void {
    const state = this.#syncs.get(worker)
    if (state === 'running') this.#syncs.set(worker, 'running, and again')
    if (state !== undefined) return
    this.#syncs.set(worker, 'queued')
    this.#queue.push(worker)
    this.#startSyncs()
  }

  #writeAll(): void {
    this.#writeScheduled = false
    const dirty = this.#dirty
    this.#dirty = []
    for (const worker of dirty) worker.writePending()
  }

  #startSyncs(): void {
    while (this.#running < this.#parallelSyncs) {
      const worker = this.#queue.shift()
      if (worker === undefined) return
      this.#running += 1
      // What this writes asks for a sync in turn: while the worker counts as queued, that is this one.
      worker.beforeSync()
      this.#syncs.set(worker, 'running')
      void worker.sync().then(() => this.#syncEnded(worker))
    }
  }

  #syncEnded(worker: DiskWorker): void {
    this.#running -= 1
    const again = this.#syncs.get(worker) === 'running, and again'
    this.#syncs.delete(worker)
    if (again) this.sync(worker)
    this.#startSyncs()
  }
}
