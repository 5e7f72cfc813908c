/**
 * Look-ups by something else than an offset: timestamps, aborted transactions, estimates of size.
 */
import { batchBaseOffset, batchByteLength, batchLastOffset } from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { readOptional } from './checkpoints.ts'
import { TRANSACTION_INDEX_SUFFIX } from './file-names.ts'
import { type LogReader, segmentNumber } from './log-reader.ts'
import { scanBatches } from './scan.ts'
import { recordTimestamp, type Segment } from './segment.ts'
import { type SharedStorage } from './shared-storage.ts'
import {
  type AbortedTransaction,
  encodeAbortedTransaction,
  parseTransactionIndex,
} from './transaction-index.ts'
import { CorruptLogError, type LogSlices } from './types.ts'

/** A look-up is expected to end within an index interval. */
const SEARCH_CHUNK_BYTES = 64 * 1024

interface FoundBatch {
  readonly baseOffset: Offset
  readonly byteLength: number
  readonly maxTimestamp: number
}

export class LogSearch {
  readonly #shared: SharedStorage
  readonly #segments: readonly Segment[]
  readonly #reader: LogReader

  constructor(options: { shared: SharedStorage; segments: readonly Segment[]; reader: LogReader }) {
    this.#shared = options.shared
    this.#segments = options.segments
    this.#reader = options.reader
  }

  /** From the index where it is in memory, else as if all batches were alike. */
  estimatePosition(segment: Segment, offset: Offset): number {
    if (offset <= segment.baseOffset) return 0
    if (offset >= segment.endOffset) return segment.sizeBytes
    const { indexes } = segment
    if (indexes !== null && indexes.offsets.count > 0) return indexes.offsets.lookup(offset)
    const share = (offset - segment.baseOffset) / (segment.endOffset - segment.baseOffset)
    return Math.floor(segment.sizeBytes * share)
  }

  findByTimestamp(timestamp: number, fromOffset: Offset, limit: Offset): Promise<LogSlices | null> {
    return this.#reader.undisturbed(() => this.#findByTimestamp(timestamp, fromOffset, limit), releaseFound)
  }

  findMaxTimestamp(fromOffset: Offset, limit: Offset): Promise<LogSlices | null> {
    return this.#reader.undisturbed(() => this.#findMaxTimestamp(fromOffset, limit), releaseFound)
  }

  abortedTransactions(fromOffset: Offset, upTo: Offset): Promise<AbortedTransaction[]> {
    return this.#reader.undisturbed(() => this.#abortedTransactions(fromOffset, upTo))
  }

  async #findByTimestamp(timestamp: number, fromOffset: Offset, limit: Offset): Promise<LogSlices | null> {
    for (const segment of this.#from(fromOffset)) {
      if (segment.baseOffset >= limit) return null
      if (segment.largestTimestamp < timestamp || segment.endOffset <= fromOffset) continue
      const { times } = segment.indexes ?? (await this.#reader.indexesOf(segment))
      const start = Math.max(fromOffset, times.lookup(timestamp)) as Offset
      const isWanted = (batch: FoundBatch): boolean => batch.maxTimestamp >= timestamp
      const found = await this.#first(segment, start, fromOffset, limit, isWanted)
      if (found !== null) return this.#slices(found, limit)
    }
    return null
  }

  async #findMaxTimestamp(fromOffset: Offset, limit: Offset): Promise<LogSlices | null> {
    let best = null as FoundBatch | null
    for (const segment of this.#from(fromOffset)) {
      if (segment.baseOffset >= limit) break
      if (segment.writtenBytes === 0 || (best !== null && segment.largestTimestamp <= best.maxTimestamp))
        continue
      const { times } = segment.indexes ?? (await this.#reader.indexesOf(segment))
      // The entry is of a batch that may lie beyond the limit or before the start: then all have to be looked at.
      const start =
        segment.endOffset <= limit ? (Math.max(fromOffset, times.last?.offset ?? 0) as Offset) : fromOffset
      await this.#first(segment, start, fromOffset, limit, batch => {
        if (best === null || batch.maxTimestamp > best.maxTimestamp) best = batch
        return false
      })
    }
    return best === null ? null : this.#slices(best, limit)
  }

  async appendAborted(segment: Segment, transaction: AbortedTransaction): Promise<void> {
    const path = segment.pathOf(TRANSACTION_INDEX_SUFFIX)
    const file = await this.#shared.disk.open(path, 'create')
    try {
      await file.write([encodeAbortedTransaction(transaction)], await file.size())
      await file.sync()
    } finally {
      await file.close()
    }
  }

  async #abortedTransactions(fromOffset: Offset, upTo: Offset): Promise<AbortedTransaction[]> {
    const found: AbortedTransaction[] = []
    for (const segment of this.#from(fromOffset)) {
      for (const transaction of await this.#abortedIn(segment)) {
        if (transaction.lastOffset >= fromOffset && transaction.firstOffset < upTo) found.push(transaction)
        // Everything before this offset was decided when the entry was written: no later entry reaches into the
        // range.
        if (transaction.lastStableOffset >= upTo) return found
      }
    }
    return found
  }

  async #abortedIn(segment: Segment): Promise<readonly AbortedTransaction[]> {
    const path = segment.pathOf(TRANSACTION_INDEX_SUFFIX)
    const bytes = await readOptional(this.#shared.disk, path)
    const entries = bytes === null ? [] : parseTransactionIndex(bytes)
    if (typeof entries !== 'string') return entries
    throw new CorruptLogError(
      path,
      0,
      `the transaction index is damaged (${entries}): remove it and restart uncleanly`,
    )
  }

  #from(offset: Offset): Segment[] {
    return this.#segments.slice(Math.max(0, segmentNumber(this.#segments, offset)))
  }

  /**
   * The first batch in `segment` from `start` on that holds an offset in `fromOffset` .. `limit` - 1 and
   * `isWanted`.
   */
  async #first(
    segment: Segment,
    start: Offset,
    fromOffset: Offset,
    limit: Offset,
    isWanted: (batch: FoundBatch) => boolean,
  ): Promise<FoundBatch | null> {
    let found: FoundBatch | null = null
    const position = await this.#reader.positionOf(segment, start)
    const end = await this.#shared.files.with(segment.path, file =>
      scanBatches({
        file,
        start: position,
        end: segment.writtenBytes,
        minOffset: segment.baseOffset,
        chunkBytes: SEARCH_CHUNK_BYTES,
        visit: (bytes, at) => {
          const lastOffset = batchLastOffset(bytes, at)
          if (lastOffset >= limit) return false
          if (lastOffset < fromOffset) return true
          const batch = {
            baseOffset: batchBaseOffset(bytes, at),
            byteLength: batchByteLength(bytes, at),
            maxTimestamp: recordTimestamp(bytes, at),
          }
          if (!isWanted(batch)) return true
          found = batch
          return false
        },
      }),
    )
    if (end.problem !== null) {
      throw new CorruptLogError(segment.path, end.position, `the log is damaged on disk (${end.problem})`)
    }
    return found
  }

  async #slices(batch: FoundBatch, limit: Offset): Promise<LogSlices> {
    return this.#reader.read({
      offset: batch.baseOffset,
      maxBytes: batch.byteLength,
      limit,
      atLeastOne: true,
    })
  }
}

function releaseFound(found: LogSlices | null): void {
  found?.release()
}
