/**
 * The shell of the controller: keeps the image in step with the metadata store by a watch, and carries out the changes
 * that the controller decides. It must not decide anything itself, and the image changes by what the watch brings
 * alone - also for this broker's own changes, so that every broker sees the same order.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { ClusterImage } from '../controller/image.ts'
import {
  type Change,
  type ControllerRecord,
  pieces,
  type Refusal,
  refuse,
  type Step,
} from '../controller/records.ts'
import { type Log } from '../env.ts'
import {
  type KeyValue,
  type MetaStore,
  MetaStoreError,
  type Revision,
  type Watch,
  type WatchBatch,
} from '../metastore/metastore.ts'
import { ClusterKeys } from './cluster-keys.ts'

export interface ClusterMetadataOptions {
  readonly store: MetaStore
  readonly clusterId: string
  readonly log: Log
  /** Nobody else uses the store: what changes that were cut short have left behind is swept up at the start. */
  readonly isAlone: boolean
  /** The image can no longer be kept in step: the broker must stop. */
  readonly onFatal: (error: Error) => void
}

/** What a decision comes to: refused, or a change to carry out and what it yields once it is done. */
export type Decided<T> =
  | { readonly refusal: Refusal }
  | { readonly refusal: null; readonly change: Change; readonly result: T }

/** What became of one step: carried out, its conditions failed, or nobody can tell. */
export type StepOutcome = 'done' | 'failed' | 'unknown'

/**
 * A decision made on a state that has moved is made again; so often only when many brokers change one thing at once.
 */
const MAX_ATTEMPTS = 10
/** Entries read at a time: a cluster's whole state is more than one message of a store may hold. */
const PAGE_ENTRIES = 2000

export class ClusterMetadata {
  readonly image = new ClusterImage()
  readonly #store: MetaStore
  readonly #keys: ClusterKeys
  readonly #log: Log
  /** This broker is the only one that there can be: it needs nobody's leave to lead what it has. */
  readonly isAlone: boolean
  readonly #onFatal: (error: Error) => void
  readonly #listeners = new Set<(records: readonly ControllerRecord[]) => void>()
  /** Of every key that is in the image: the revision that it was last changed at. */
  readonly #present = new Map<string, Revision>()
  #revision: Revision = 0
  #waiting: { readonly revision: Revision; readonly resolve: () => void }[] = []
  #watch: Watch | null = null
  #isClosed = false

  private constructor(options: ClusterMetadataOptions) {
    this.#store = options.store
    this.#keys = new ClusterKeys(options.clusterId)
    this.#log = options.log
    this.isAlone = options.isAlone
    this.#onFatal = options.onFatal
  }

  /** Reads all that there is, and watches from there on. */
  static async open(options: ClusterMetadataOptions): Promise<ClusterMetadata> {
    const metadata = new ClusterMetadata(options)
    await metadata.#load()
    return metadata
  }

  /** Everything up to this revision of the store is in the image. */
  get revision(): Revision {
    return this.#revision
  }

  /** Calls `listener` with the records of one revision after they are applied. */
  onChange(listener: (records: readonly ControllerRecord[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Decides and carries out; resolves when the image shows it. Where the state has moved in between, or nobody can tell
   * whether a step was carried out, it is decided anew on what there is then: a decision must know its own effect when
   * it meets it. Where the store cannot be reached that is a refusal too; rejects with a `MetaStoreError` when it fails
   * for good.
   */
  async change<T>(decide: () => Decided<T>): Promise<{ refusal: Refusal } | { refusal: null; result: T }> {
    try {
      for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        const decided = decide()
        if (decided.refusal !== null) return decided
        if (await this.#execute(decided.change)) return { refusal: null, result: decided.result }
      }
    } catch (error) {
      if (!(error instanceof MetaStoreError) || !isPassing(error)) throw error
      this.#log.warn('The metadata store cannot be reached, so that a change could not be made', { error })
      return { refusal: refuse(ErrorCode.REQUEST_TIMED_OUT, STORE_OUT_OF_REACH) }
    }
    return {
      refusal: refuse(
        ErrorCode.REQUEST_TIMED_OUT,
        'The same thing was being changed by others all the time. Try again.',
      ),
    }
  }

  /**
   * Carries out one step; resolves when the image shows what became of it, also when its conditions failed or its
   * outcome is unknown. Of two steps with one guard that both change what it guards, one is carried out at most.
   * Rejects with a `MetaStoreError` (UNAVAILABLE: nothing was changed).
   */
  async perform(step: Step): Promise<StepOutcome> {
    try {
      const { succeeded, revision } = await this.#store.txn({
        compare: step.conditions.map(condition => this.#keys.compare(condition)),
        success: step.records.map(record => this.#keys.operation(record)),
      })
      await this.#caughtUp(revision)
      return succeeded ? 'done' : 'failed'
    } catch (error) {
      if (!(error instanceof MetaStoreError) || error.code !== 'UNKNOWN_OUTCOME') throw error
      await this.catchUp()
      return 'unknown'
    }
  }

  /** Resolves when the image shows all that the store holds now. Rejects with a `MetaStoreError`. */
  async catchUp(): Promise<void> {
    const { revision } = await this.#store.range({ prefix: this.#keys.prefix }, { countOnly: true })
    await this.#caughtUp(revision)
  }

  close(): void {
    this.#isClosed = true
    this.#watch?.cancel()
    this.#watch = null
    this.#wake(Number.POSITIVE_INFINITY)
  }

  async #load(): Promise<void> {
    const { entries, revision } = await this.#readAll()
    for (const entry of entries) this.#put(entry)
    this.#follow(revision)
    // A broker that is alone can have nothing under way now; among many this is the elected controller's to do.
    const orphans = this.isAlone ? this.image.orphans() : []
    if (orphans.length === 0) return
    this.#log.info('Removing the rest of topics whose creation or deletion was cut short', {
      records: orphans.length,
    })
    await this.#execute({ steps: pieces(orphans) })
  }

  /** Page by page, all at one revision. */
  async #readAll(): Promise<{ entries: KeyValue[]; revision: Revision }> {
    const select = { prefix: this.#keys.prefix }
    const first = await this.#store.range(select, { limit: PAGE_ENTRIES })
    const { revision } = first
    const entries = [...first.entries]
    while (entries.length < first.count) {
      const after = entries.at(-1)!.key
      const page = await this.#store.range(select, { limit: PAGE_ENTRIES, after, revision })
      if (page.entries.length === 0) break
      entries.push(...page.entries)
    }
    return { entries, revision }
  }

  #follow(revision: Revision): void {
    this.#revision = revision
    this.#watch = this.#store.watch({ prefix: this.#keys.prefix }, revision + 1, {
      changed: batch => this.#changed(batch),
      ended: error => this.#ended(error),
    })
  }

  /** False when the conditions of a step failed, or its outcome is unknown. */
  async #execute(change: Change): Promise<boolean> {
    for (const step of change.steps) if ((await this.perform(step)) !== 'done') return false
    return true
  }

  async #caughtUp(revision: Revision): Promise<void> {
    if (this.#revision >= revision || this.#isClosed) return
    await new Promise<void>(resolve => this.#waiting.push({ revision, resolve }))
  }

  #put(entry: KeyValue): ControllerRecord | null {
    this.#present.set(entry.key, entry.modRevision)
    const record = this.#keys.record(entry.key, entry)
    if (record !== null) this.image.apply(record, entry.modRevision)
    return record
  }

  #delete(key: string, revision: Revision): ControllerRecord | null {
    this.#present.delete(key)
    const record = this.#keys.record(key, null)
    if (record !== null) this.image.apply(record, revision)
    return record
  }

  #changed(batch: WatchBatch): void {
    const records: ControllerRecord[] = []
    for (const event of batch.events) {
      const record =
        event.type === 'put' ? this.#put(event.entry) : this.#delete(event.key, event.modRevision)
      if (record !== null) records.push(record)
    }
    this.#reached(batch.revision, records)
  }

  #reached(revision: Revision, records: readonly ControllerRecord[]): void {
    this.#revision = revision
    if (records.length > 0) for (const listener of this.#listeners) listener(records)
    this.#wake(revision)
  }

  #wake(revision: Revision): void {
    if (this.#waiting.length === 0) return
    const ready = this.#waiting.filter(waiting => waiting.revision <= revision)
    this.#waiting = this.#waiting.filter(waiting => waiting.revision > revision)
    for (const { resolve } of ready) resolve()
  }

  #ended(error: MetaStoreError): void {
    this.#watch = null
    if (this.#isClosed) return
    if (error.code === 'COMPACTED') {
      this.#log.warn(
        'The metadata store has forgotten changes that were not seen yet: all of it is read again',
      )
      this.#reload().catch((cause: unknown) => this.#lost(cause))
      return
    }
    this.#lost(error)
  }

  #lost(cause: unknown): void {
    if (this.#isClosed) return
    this.close()
    if (cause instanceof MetaStoreError && cause.code === 'CLOSED') return
    this.#onFatal(cause instanceof Error ? cause : new Error(String(cause)))
  }

  /** What has changed in between is told as if it had happened at one moment: it is not known in which order it did. */
  async #reload(): Promise<void> {
    const { entries, revision } = await this.#readAll()
    if (this.#isClosed) return
    const gone = new Set(this.#present.keys())
    const records: ControllerRecord[] = []
    const note = (record: ControllerRecord | null): void => void (record !== null && records.push(record))
    for (const entry of entries) {
      gone.delete(entry.key)
      if (this.#present.get(entry.key) !== entry.modRevision) note(this.#put(entry))
    }
    for (const key of gone) note(this.#delete(key, revision))
    this.#follow(revision)
    this.#reached(revision, records)
  }
}

const STORE_OUT_OF_REACH =
  'The metadata store cannot be reached at the moment, so nothing can be changed. Reading and writing records goes on. Try again.'

/** The store may answer the next time. */
function isPassing({ code }: MetaStoreError): boolean {
  return code === 'UNAVAILABLE' || code === 'UNKNOWN_OUTCOME'
}
