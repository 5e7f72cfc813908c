/**
 * The newest batches of all partitions, kept as the very slices that came in, so that a reader at the tail costs no
 * read from disk. Bounded by the memory that the slices keep from being used again (whole slabs), oldest out first.
 */
import { type Offset } from '../../client/protocol/types.ts'
import { type LogSlices, type StoredBatch } from './types.ts'

export class TailCache {
  readonly maxBytes: number

  constructor(options: { maxBytes: number }) {
    this.maxBytes = options.maxBytes
  }

  /** Memory kept alive. */
  get bytes(): number {
    throw new Error('not implemented')
  }

  partition(): PartitionTail {
    throw new Error('not implemented')
  }

  /** Lets go of at least `bytes`, where there are as many: fits `SlabPool.onPressure`. */
  shrink(_bytes: number): void {
    throw new Error('not implemented')
  }
}

/** One partition's part of the cache: consecutive batches up to the end of its log. */
export class PartitionTail {
  /** Retains the owner of the batch until it is evicted. */
  add(_batch: StoredBatch): void {
    throw new Error('not implemented')
  }

  /** Null where `offset` is not in the cache. The slices are retained for the caller. */
  read(_offset: Offset, _maxBytes: number, _limit: Offset, _atLeastOne: boolean): LogSlices | null {
    throw new Error('not implemented')
  }

  /** Forgets every batch that reaches `offset`. */
  truncateTo(_offset: Offset): void {
    throw new Error('not implemented')
  }

  clear(): void {
    throw new Error('not implemented')
  }
}
