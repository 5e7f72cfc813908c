/**
 * The producer snapshots that a partition writes when it rolls: they wait until what they count is durable. Were the
 * data lost and written anew, a snapshot of what had been there before would let duplicates in.
 */
import { type Offset } from '../../client/protocol/types.ts'
import { type Log } from '../env.ts'
import { type PartitionLog } from '../storage/partition-log.ts'
import { type ProducerSnapshot } from '../storage/producer-snapshot.ts'

export interface RollSnapshotsOptions {
  readonly name: string
  readonly storage: PartitionLog
  readonly services: { readonly log: Log }
  /** Of the newest one in the folder, -1 where there is none. */
  readonly snapshotOffset: number
}

export class RollSnapshots {
  readonly #options: RollSnapshotsOptions
  /** Not written yet, oldest first. */
  #waiting: ProducerSnapshot[] = []
  #newestOffset: number

  constructor(options: RollSnapshotsOptions) {
    this.#options = options
    this.#newestOffset = options.snapshotOffset
  }

  /** Of the newest one that is written, -1 where there is none. */
  get newestOffset(): number {
    return this.#newestOffset
  }

  add(snapshot: ProducerSnapshot): void {
    this.#waiting.push(snapshot)
  }

  /** Everything below `durableOffset` is on disk: writes those that count no more. A failure is logged. */
  async save(durableOffset: Offset): Promise<void> {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (next.offset > durableOffset) return
      this.#waiting.shift()
      try {
        await this.write(next)
      } catch (error) {
        const { name, services } = this.#options
        services.log.warn('a producer snapshot could not be written: the next start may take longer', {
          partition: name,
          error,
        })
      }
    }
  }

  async write(snapshot: ProducerSnapshot): Promise<void> {
    await this.#options.storage.writeSnapshot(snapshot)
    this.#newestOffset = snapshot.offset
  }

  /** What begins there was not written. */
  dropBeyond(endOffset: Offset | -1): void {
    this.#waiting = this.#waiting.filter(({ offset }) => offset <= endOffset)
  }

  /** The log was cut, and the files of snapshots beyond `endOffset` went with it; -1: all of them. */
  wasCut(endOffset: Offset | -1): void {
    this.dropBeyond(endOffset)
    if (this.#newestOffset > endOffset) this.#newestOffset = -1
  }
}
