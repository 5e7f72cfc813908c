/**
 * The metadata store of a single node: the state machine over a log in the data folder. A transaction is carried out in
 * memory at once and answered when it is durable; so is every read that has seen it. Many that come together share one
 * sync. This file must never let anybody see what a power cut could still take back.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type Env, type TimerHandle } from '../env.ts'
import { AppendError } from '../storage/types.ts'
import { Journal } from './journal.ts'
import {
  type KeySelector,
  type Lease,
  type LeaseId,
  type MetaStore,
  MetaStoreError,
  type RangeOptions,
  type RangeResult,
  type Revision,
  type Transaction,
  type TransactionResult,
  type Watch,
  type WatchListener,
} from './metastore.ts'
import { leaseNotFound } from './rules.ts'
import { MetaState, type StateChange, type Undo } from './state.ts'
import { Watchers } from './watchers.ts'

export interface EmbeddedOptions {
  readonly env: Pick<Env, 'disk' | 'clock' | 'timers' | 'log'>
  /** Absolute path of the broker's data folder; the store lies in `__sluice_metadata-0` in it. */
  readonly dataFolder: string
  /** Called once when the disk has failed: nothing is answered any more, and the broker must stop. */
  readonly onFatal?: (error: Error) => void
  /** Revisions of history that are kept at least, for watches and reads at a revision. Default 1,000. */
  readonly historyRevisions?: number
  /** A snapshot is taken after so many bytes of transactions, and no fewer than the last one had. Default 4 MiB. */
  readonly snapshotBytes?: number
}

export const METADATA_FOLDER = '__sluice_metadata-0'

const DEFAULT_HISTORY_REVISIONS = 1000
const DEFAULT_SNAPSHOT_BYTES = 4 * 1024 * 1024
/** An expired lease that could not be ended, because the disk is full, is tried again after so long. */
const LEASE_RETRY_MS = 1000
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** Opens the store of a data folder, or makes a new one. Leases of an earlier life begin their time to live anew. */
export async function openEmbeddedMetaStore(options: EmbeddedOptions): Promise<MetaStore> {
  const { disk, clock, log } = options.env
  const directory = `${options.dataFolder}/${METADATA_FOLDER}`
  const { journal, snapshot } = await Journal.open({ disk, clock, log, directory })
  const nowMs = clock.monotonicMs()
  const state = snapshot === null ? new MetaState() : MetaState.restore(snapshot.image, nowMs)
  await journal.replay(changes => void state.apply(changes, nowMs))
  // After a kill the system may still hold what never reached the disk; it is shown from now on, so it must stay.
  await journal.flush()
  await journal.saveRecoveryPoint()
  return new EmbeddedMetaStore(options, journal, state)
}

/** Somebody who waits for the log to be durable up to `offset`: a transaction, or a read of its effects. */
interface Waiting {
  readonly offset: Offset
  /** The revision that may be shown once this is durable. */
  readonly revision: Revision
  /** Null for a read. */
  readonly undo: Undo | null
  /** Null: durable. An error: the disk did not take it, and it is as if it had never been. */
  readonly resolve: (refused: AppendError | null) => void
  readonly reject: (error: MetaStoreError) => void
}

class EmbeddedMetaStore implements MetaStore {
  readonly #env: EmbeddedOptions['env']
  readonly #options: EmbeddedOptions
  readonly #journal: Journal
  readonly #state: MetaState
  readonly #watchers: Watchers
  /** In the order of their offsets. */
  #waiting: Waiting[] = []
  #flushing: Promise<void> | null = null
  #snapshotting: Promise<void> | null = null
  /** While a snapshot is about to be taken: the transactions that wait for it, in order. */
  #door: (() => void)[] | null = null
  #leaseTimer: TimerHandle | null = null
  #failure: MetaStoreError | null = null
  #closing: Promise<void> | null = null

  constructor(options: EmbeddedOptions, journal: Journal, state: MetaState) {
    this.#env = options.env
    this.#options = options
    this.#journal = journal
    this.#state = state
    this.#watchers = new Watchers(state)
    this.#armLeaseTimer()
  }

  // ------------------------------------------------------------------------------------- keys

  async range(select: KeySelector, options: RangeOptions = {}): Promise<RangeResult> {
    for (;;) {
      this.#checkUsable()
      const result = this.#state.range(select, options)
      // What was read and then taken back is read again.
      if ((await this.#durable(null)) === null) return result
    }
  }

  async txn(transaction: Transaction): Promise<TransactionResult> {
    const door = this.#door
    if (door === null) return this.#carryOut(transaction)
    return new Promise((resolve, reject) => {
      door.push(() => void this.#carryOut(transaction).then(resolve, reject))
    })
  }

  async #carryOut(transaction: Transaction): Promise<TransactionResult> {
    for (;;) {
      this.#checkUsable()
      const { result, changes, undo } = this.#state.execute(transaction)
      if (changes.length > 0) {
        await this.#commit(changes, undo)
        return result
      }
      if ((await this.#durable(null)) === null) return result
    }
  }

  async compact(revision: Revision): Promise<void> {
    // What is not durable may still be taken back, and history is what takes it back.
    do {
      this.#checkUsable()
      this.#state.checkCompact(revision)
    } while ((await this.#durable(null)) !== null)
    this.#checkUsable()
    this.#state.checkCompact(revision)
    await this.#change([{ type: 'compact', revision }])
  }

  // ------------------------------------------------------------------------------------- leases

  async grantLease(ttlMs: number): Promise<Lease> {
    assert(Number.isSafeInteger(ttlMs) && ttlMs > 0, 'a lease lives a whole number of milliseconds')
    this.#checkUsable()
    const id = this.#state.nextLease
    await this.#change([{ type: 'grant', lease: id, ttlMs }])
    return { id, ttlMs }
  }

  async keepAlive(lease: LeaseId): Promise<number> {
    this.#checkUsable()
    const nowMs = this.#env.clock.monotonicMs()
    const state = this.#state.lease(lease)
    if (state === undefined) throw leaseNotFound(lease)
    if (state.deadlineMs <= nowMs) {
      // The timer is late; the lease is over all the same.
      this.#expireLeases()
      throw leaseNotFound(lease)
    }
    this.#state.renew(lease, nowMs)
    return state.ttlMs
  }

  async revokeLease(lease: LeaseId): Promise<void> {
    this.#checkUsable()
    const changes = this.#state.revocation(lease)
    if (changes === null) throw leaseNotFound(lease)
    await this.#change(changes)
  }

  /** For the next deadline, but not before `leastDelayMs` has passed. */
  #armLeaseTimer(leastDelayMs = 0): void {
    const { timers, clock } = this.#env
    if (this.#leaseTimer !== null) timers.clear(this.#leaseTimer)
    this.#leaseTimer = null
    const deadlineMs = this.#state.nextDeadlineMs
    if (deadlineMs === null || this.#failure !== null) return
    const untilDeadlineMs = Math.ceil(deadlineMs - clock.monotonicMs())
    const delayMs = Math.min(LONGEST_TIMER_MS, Math.max(leastDelayMs, untilDeadlineMs))
    this.#leaseTimer = timers.set(delayMs, () => {
      this.#leaseTimer = null
      this.#expireLeases()
      this.#armLeaseTimer()
    })
  }

  /** Each lease goes in a revision of its own. */
  #expireLeases(): void {
    if (this.#failure !== null) return
    for (const lease of this.#state.expiredLeases(this.#env.clock.monotonicMs())) {
      this.#env.log.info('a lease has expired, its keys are deleted', { lease })
      this.#change(this.#state.revocation(lease)!).catch((error: unknown) => {
        // Where the disk is full the lease is back, and the timer finds it again after a while.
        this.#env.log.warn('an expired lease could not be ended', { lease, error })
      })
    }
  }

  // ------------------------------------------------------------------------------------- watches

  watch(select: KeySelector, fromRevision: Revision, listener: WatchListener): Watch {
    return this.#watchers.add(select, fromRevision, listener)
  }

  // ------------------------------------------------------------------------------------- committing

  /** Carries out changes that are already decided. */
  async #change(changes: readonly StateChange[]): Promise<void> {
    const undo = this.#state.apply(changes, this.#env.clock.monotonicMs())
    await this.#commit(changes, undo)
  }

  async #commit(changes: readonly StateChange[], undo: Undo): Promise<void> {
    try {
      this.#journal.append(changes)
    } catch (error) {
      undo()
      throw this.#fail(error)
    }
    const waiting = this.#durable(undo)
    this.#armLeaseTimer()
    const refused = await waiting
    if (refused === null) return
    this.#armLeaseTimer(LEASE_RETRY_MS)
    throw new MetaStoreError(
      'UNAVAILABLE',
      'The disk did not take a change of the metadata, nothing was changed. Make room on the disk and try again.',
      { cause: refused },
    )
  }

  /** Resolves when everything that has been carried out so far is durable, to null; or to why it was taken back. */
  #durable(undo: Undo | null): Promise<AppendError | null> {
    const { revision } = this.#state
    const offset = this.#journal.endOffset
    if (this.#isDurable()) return Promise.resolve(null)
    if (this.#failure !== null) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#waiting.push({ offset, revision, undo, resolve, reject })
      // A promise job later, so that all who come in this turn share the write.
      this.#flushing ??= Promise.resolve().then(() => this.#flush())
    })
  }

  #isDurable(): boolean {
    return this.#waiting.length === 0 && this.#journal.endOffset <= this.#journal.durableOffset
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0 && this.#failure === null) {
      try {
        await this.#journal.flush()
      } catch (error) {
        if (error instanceof AppendError) this.#takeBack(error)
        else this.#fail(error)
      }
      this.#settle()
    }
    this.#flushing = null
  }

  /** Answers all whose effects are durable: first the watches, then the callers. */
  #settle(): void {
    const { durableOffset } = this.#journal
    let count = 0
    while (count < this.#waiting.length && this.#waiting[count]!.offset <= durableOffset) count++
    if (count === 0) return
    const settled = this.#waiting.splice(0, count)
    this.#watchers.advance(settled.at(-1)!.revision)
    for (const { resolve } of settled) resolve(null)
    this.#tidyUp()
  }

  /** The log ends where it did before these: so does the state. */
  #takeBack(error: AppendError): void {
    const kept = this.#waiting.findIndex(waiting => waiting.offset > error.endOffset)
    if (kept === -1) return
    const gone = this.#waiting.splice(kept)
    for (const { undo } of gone.toReversed()) undo?.()
    this.#env.log.error('the disk did not take a change of the metadata', { error })
    for (const { resolve } of gone) resolve(error)
  }

  #fail(cause: unknown): MetaStoreError {
    const error = storageFailed(cause)
    this.#failure = error
    const waiting = this.#waiting
    this.#waiting = []
    for (const { reject } of waiting) reject(error)
    this.#watchers.end(error)
    this.#options.onFatal?.(error)
    return error
  }

  // ------------------------------------------------------------------------------------- history, snapshots

  #tidyUp(): void {
    const keep = this.#options.historyRevisions ?? DEFAULT_HISTORY_REVISIONS
    const { revision } = this.#watchers
    // Twice as much before anything is done, as compaction looks at every key.
    if (revision - this.#state.compactRevision > 2 * keep && revision > keep) {
      void this.#inBackground('compaction', () =>
        this.#change([{ type: 'compact', revision: revision - keep }]),
      )
    }
    if (this.#snapshotting !== null) return
    if (!this.#journal.isSnapshotDue(this.#options.snapshotBytes ?? DEFAULT_SNAPSHOT_BYTES)) return
    this.#snapshotting = this.#inBackground('snapshot', () => this.#takeSnapshot()).finally(() => {
      this.#snapshotting = null
    })
  }

  /**
   * An image is taken of what is durable and nothing more. Under constant load that moment would never come by itself:
   * new transactions wait for it at the door.
   */
  async #takeSnapshot(): Promise<void> {
    const door: (() => void)[] = []
    this.#door = door
    let written: Promise<void>
    try {
      while (!this.#isDurable()) await this.#durable(null)
      written = this.#journal.takeSnapshot(this.#state.image())
    } finally {
      this.#door = null
      for (const enter of door) enter()
    }
    await written
  }

  /** Work that nobody waits for: it may fail, and is tried again when it is next due. */
  async #inBackground(name: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (this.#failure === null)
        this.#env.log.warn(`metadata ${name} failed, it is tried again later`, { error })
    }
  }

  // ------------------------------------------------------------------------------------- the end

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    const closed = new MetaStoreError('CLOSED', 'The metadata store has been closed.')
    if (this.#leaseTimer !== null) this.#env.timers.clear(this.#leaseTimer)
    this.#leaseTimer = null
    while (this.#flushing !== null || this.#snapshotting !== null) {
      await this.#flushing
      await this.#snapshotting
    }
    const failed = this.#failure !== null
    this.#failure ??= closed
    this.#watchers.end(closed)
    try {
      await this.#journal.close(!failed)
    } catch (error) {
      if (!failed) throw storageFailed(error)
      this.#env.log.debug('the failed metadata log could not be closed', { error })
    }
  }

  #checkUsable(): void {
    if (this.#failure !== null) throw this.#failure
    if (this.#closing !== null) throw new MetaStoreError('CLOSED', 'The metadata store is being closed.')
  }
}

function storageFailed(cause: unknown): MetaStoreError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new MetaStoreError(
    'STORAGE_FAILED',
    `The metadata log cannot be made durable any more (${reason}). What was last changed may or may not be on disk: ` +
      'the broker stops, and reads at its next start what is there.',
    { cause },
  )
}
