/**
 * The producer snapshots of a partition: which there are, the newest one that can be believed, a few kept.
 */
import { type Offset } from '../../client/protocol/types.ts'
import { DiskError } from '../env.ts'
import { readOptional, replaceFile } from './checkpoints.ts'
import { fileName, SNAPSHOT_SUFFIX } from './file-names.ts'
import { encodeProducerSnapshot, type ProducerSnapshot, parseProducerSnapshot } from './producer-snapshot.ts'
import { type SharedStorage } from './shared-storage.ts'

/** As Kafka: the newest, and one before it for the case that the newest cannot be read. */
const KEPT = 2

export class Snapshots {
  readonly #shared: SharedStorage
  readonly #directory: string
  /** Ascending. */
  #offsets: Offset[]

  constructor(shared: SharedStorage, directory: string, offsets: readonly Offset[]) {
    this.#shared = shared
    this.#directory = directory
    this.#offsets = [...offsets]
  }

  get offsets(): readonly Offset[] {
    return this.#offsets
  }

  async write(snapshot: ProducerSnapshot): Promise<void> {
    await replaceFile(
      this.#shared.disk,
      this.#path(snapshot.offset),
      encodeProducerSnapshot(snapshot.entries),
    )
    this.#offsets = [...this.#offsets.filter(offset => offset !== snapshot.offset), snapshot.offset]
    this.#offsets.sort((a, b) => a - b)
    for (const offset of this.#offsets.slice(0, -KEPT)) await this.#remove(offset)
  }

  /** The newest sound snapshot at or below `endOffset`; damaged ones and those beyond are removed. */
  async newest(endOffset: Offset): Promise<ProducerSnapshot | null> {
    await this.truncateTo(endOffset)
    for (const offset of this.#offsets.toReversed()) {
      const bytes = await readOptional(this.#shared.disk, this.#path(offset))
      const entries = bytes === null ? 'it is missing' : parseProducerSnapshot(bytes)
      if (typeof entries !== 'string') return { offset, entries }
      this.#shared.log.warn(
        'producer snapshot is damaged and removed: producers are rebuilt from an older one',
        {
          path: this.#path(offset),
          reason: entries,
        },
      )
      await this.#remove(offset)
    }
    return null
  }

  /** Removes those beyond `endOffset`: they know of records that are no more. */
  async truncateTo(endOffset: Offset): Promise<void> {
    for (const offset of this.#offsets) if (offset > endOffset) await this.#remove(offset)
  }

  /** Removes those below `startOffset` but the newest: nobody will replay from there. */
  async removeBefore(startOffset: Offset): Promise<void> {
    for (const offset of this.#offsets.slice(0, -1)) if (offset < startOffset) await this.#remove(offset)
  }

  async removeAll(): Promise<void> {
    for (const offset of this.#offsets) await this.#remove(offset)
  }

  async #remove(offset: Offset): Promise<void> {
    this.#offsets = this.#offsets.filter(other => other !== offset)
    try {
      await this.#shared.disk.remove(this.#path(offset))
    } catch (error) {
      if (!(error instanceof DiskError && error.code === 'NOT_FOUND')) throw error
    }
  }

  #path(offset: Offset): string {
    return `${this.#directory}/${fileName(offset, SNAPSHOT_SUFFIX)}`
  }
}
