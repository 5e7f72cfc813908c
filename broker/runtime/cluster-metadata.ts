/**
 * The shell of the controller: keeps the image in step with the metadata store by a watch, and carries out the changes
 * that the controller decides. It must not decide anything itself, and the image changes by what the watch brings
 * alone - also for this broker's own changes, so that every broker sees the same order.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { ClusterImage } from '../controller/image.ts'
import { type Change, type ControllerRecord, pieces, type Refusal, refuse } from '../controller/records.ts'
import { type Log } from '../env.ts'
import { type MetaStore, type MetaStoreError, type Watch, type WatchBatch } from '../metastore/metastore.ts'
import { ClusterKeys } from './cluster-keys.ts'

export interface ClusterMetadataOptions {
  readonly store: MetaStore
  readonly clusterId: string
  readonly log: Log
  /** The image can no longer be kept in step: the broker must stop. */
  readonly onFatal: (error: Error) => void
}

/** What a decision comes to: refused, or a change to carry out and what it yields once it is done. */
export type Decided<T> =
  | { readonly refusal: Refusal }
  | { readonly refusal: null; readonly change: Change; readonly result: T }

/**
 * A decision made on a state that has moved is made again; so often only when many brokers change one thing at once.
 */
const MAX_ATTEMPTS = 10

export class ClusterMetadata {
  readonly image = new ClusterImage()
  readonly #store: MetaStore
  readonly #keys: ClusterKeys
  readonly #log: Log
  readonly #onFatal: (error: Error) => void
  readonly #listeners = new Set<(records: readonly ControllerRecord[]) => void>()
  #revision = 0
  #waiting: { readonly revision: number; readonly resolve: () => void }[] = []
  #watch: Watch | null = null

  private constructor(options: ClusterMetadataOptions) {
    this.#store = options.store
    this.#keys = new ClusterKeys(options.clusterId)
    this.#log = options.log
    this.#onFatal = options.onFatal
  }

  /** Reads all that there is, sweeps up what a crash left behind, and watches from there on. */
  static async open(options: ClusterMetadataOptions): Promise<ClusterMetadata> {
    const metadata = new ClusterMetadata(options)
    await metadata.#load()
    return metadata
  }

  /** Everything up to this revision of the store is in the image. */
  get revision(): number {
    return this.#revision
  }

  /** Calls `listener` with the records of one revision after they are applied. */
  onChange(listener: (records: readonly ControllerRecord[]) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Decides and carries out; resolves when the image shows it. Where the state has moved in between it is decided anew.
   * Rejects with a `MetaStoreError` when the store fails.
   */
  async change<T>(decide: () => Decided<T>): Promise<{ refusal: Refusal } | { refusal: null; result: T }> {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const decided = decide()
      if (decided.refusal !== null) return decided
      if (await this.#execute(decided.change)) return { refusal: null, result: decided.result }
    }
    return {
      refusal: refuse(
        ErrorCode.REQUEST_TIMED_OUT,
        'The same thing was being changed by others all the time. Try again.',
      ),
    }
  }

  close(): void {
    this.#watch?.cancel()
    this.#watch = null
    this.#wake(Number.POSITIVE_INFINITY)
  }

  async #load(): Promise<void> {
    const { entries, revision } = await this.#store.range({ prefix: this.#keys.prefix })
    for (const entry of entries) {
      const record = this.#keys.record(entry.key, entry.value)
      if (record !== null) this.image.apply(record, entry.modRevision)
    }
    this.#revision = revision
    this.#watch = this.#store.watch({ prefix: this.#keys.prefix }, revision + 1, {
      changed: batch => this.#changed(batch),
      ended: error => this.#ended(error),
    })
    // A broker that is alone can have nothing under way now; among many this is the elected controller's to do.
    const orphans = this.image.orphans()
    if (orphans.length === 0) return
    this.#log.info('Removing the rest of topics whose creation or deletion was cut short', {
      records: orphans.length,
    })
    await this.#execute({ steps: pieces(orphans) })
  }

  /** False when the conditions of a step failed. */
  async #execute(change: Change): Promise<boolean> {
    for (const step of change.steps) {
      const { succeeded, revision } = await this.#store.txn({
        compare: step.conditions.map(condition => this.#keys.compare(condition)),
        success: step.records.map(record => this.#keys.operation(record)),
      })
      await this.#caughtUp(revision)
      if (!succeeded) return false
    }
    return true
  }

  /**
   * The store's revision may lie ahead of the last change of ours that the watch will tell: then nothing is to come.
   */
  async #caughtUp(revision: number): Promise<void> {
    if (this.#revision >= revision || this.#watch === null) return
    await new Promise<void>(resolve => this.#waiting.push({ revision, resolve }))
  }

  #changed(batch: WatchBatch): void {
    const records: ControllerRecord[] = []
    for (const event of batch.events) {
      const record =
        event.type === 'put'
          ? this.#keys.record(event.entry.key, event.entry.value)
          : this.#keys.record(event.key, null)
      if (record === null) continue
      this.image.apply(record, batch.revision)
      records.push(record)
    }
    this.#revision = batch.revision
    if (records.length > 0) for (const listener of this.#listeners) listener(records)
    this.#wake(batch.revision)
  }

  #wake(revision: number): void {
    if (this.#waiting.length === 0) return
    const ready = this.#waiting.filter(waiting => waiting.revision <= revision)
    this.#waiting = this.#waiting.filter(waiting => waiting.revision > revision)
    for (const { resolve } of ready) resolve()
  }

  #ended(error: MetaStoreError): void {
    this.#watch = null
    this.#wake(Number.POSITIVE_INFINITY)
    if (error.code !== 'CLOSED') this.#onFatal(error)
  }
}
