/**
 * From what a partition's files tell to the producers that it remembers: the newest snapshot, and the batches after it.
 * Used when a log is opened, and when one was cut.
 */
import { type BatchHeader } from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type LeaderEpochCache } from '../log/leader-epochs.ts'
import { replayBatch } from '../log/log-state.ts'
import { ProducerState } from '../log/producer-state.ts'
import { type ProducerSnapshot } from '../storage/producer-snapshot.ts'
import { type Replay } from '../storage/types.ts'

export class ProducerReplay implements Replay {
  readonly producers = new ProducerState(0 as Offset)
  /** Of the snapshot that was loaded, -1 where there is none. */
  snapshotOffset = -1
  readonly #epochs: LeaderEpochCache
  readonly #wallMs: number
  readonly #expirationMs: number

  /** `epochs` learn what the batches know. */
  constructor(epochs: LeaderEpochCache, wallMs: number, expirationMs: number) {
    this.#epochs = epochs
    this.#wallMs = wallMs
    this.#expirationMs = expirationMs
  }

  snapshot(snapshot: ProducerSnapshot | null): void {
    if (snapshot === null) return
    this.snapshotOffset = snapshot.offset
    this.producers.load(snapshot.entries, snapshot.offset, this.#wallMs, this.#expirationMs)
  }

  batch(header: BatchHeader): void {
    replayBatch(this.producers, this.#epochs, header, this.#wallMs)
  }
}
