/**
 * One compaction of one log. First it notes the last offset of each key in the dirty part, as far as the memory for
 * that reaches; then it goes through the log from its start to where that got, group of segments by group, and puts a
 * new segment in the place of each group that loses records. The log is read and appended to all the while.
 *
 * It must never touch the active segment or what is not durable, and never copy what it could not check.
 */
import { BATCH_HEADER_BYTES, type BatchHeader, readBatchHeader } from '../../../client/protocol/batch.ts'
import { CodecUnavailableError } from '../../../client/protocol/compression/errors.ts'
import { CODEC_NAMES, decompress } from '../../../client/protocol/compression.ts'
import { MalformedError } from '../../../client/protocol/errors.ts'
import { decodeMarker, RecordReader } from '../../../client/protocol/record.ts'
import { type Offset } from '../../../client/protocol/types.ts'
import { BatchFilter, type Fate, KeyReader, type RecordFilter } from '../../log/compaction/filter.ts'
import { OffsetMap, type OffsetMapOptions } from '../../log/compaction/offset-map.ts'
import { type CompactionPlan, groupSegments } from '../../log/compaction/plan.ts'
import { emptyBatch, rewriteBatch, rewriteInPlace, withHorizon } from '../../log/compaction/rewrite.ts'
import { type MarkerType, PassedTransactions } from '../../log/compaction/transactions.ts'
import { type LogReader, segmentNumber } from '../log-reader.ts'
import { type LogWriter } from '../log-writer.ts'
import { type Segment } from '../segment.ts'
import { type SharedStorage } from '../shared-storage.ts'
import { type AbortedTransaction } from '../transaction-index.ts'
import { type SegmentConfig } from '../types.ts'
import { walkBatches } from './batch-walk.ts'
import { CleanedSegment } from './cleaned-segment.ts'
import { CleaningGivenUp, type Pace, RECORDS_PER_LOOK } from './pace.ts'
import { type SegmentExchange } from './segment-exchange.ts'

/** A batch that becomes larger is kept as it is. */
const MAX_DECOMPRESSED_BYTES = 128 * 1024 * 1024

export interface CleaningOptions {
  readonly plan: Pick<CompactionPlan, 'firstDirtyOffset' | 'uncleanableOffset'>
  /** See `lastSequences`. */
  readonly keepsSequence: (header: BatchHeader) => boolean
  readonly deleteRetentionMs: number
  readonly map: Omit<OffsetMapOptions, 'maxKeys'>
  /** Bytes of a read. */
  readonly ioBytes: number
  readonly wallMs: number
  /** Tombstones and markers with a delete horizon up to here go. */
  readonly dueHorizonMs: number
  readonly pace: Pace
  /** Asked now and then; false: nothing more is changed, and the promise rejects with CleaningGivenUp. */
  readonly isWanted: () => boolean
}

export interface CleaningOutcome {
  /** Everything below is clean. Below the wanted offset where the memory for keys did not suffice. */
  readonly cleanedTo: Offset
  /** When the first tombstone or marker that is left may go; Infinity: none waits. */
  readonly nextHorizonMs: number
  readonly segmentsBefore: number
  readonly segmentsAfter: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  readonly records: number
  readonly keptRecords: number
  readonly keys: number
  /** Batches that could not be read and were kept as they are. */
  readonly unreadable: number
}

/** What it works on; of one log. */
export interface CleaningParts {
  readonly shared: SharedStorage
  readonly segments: readonly Segment[]
  readonly reader: LogReader
  readonly writer: LogWriter
  readonly exchange: SegmentExchange
  readonly config: SegmentConfig
  readonly abortedTransactions: (from: Offset, upTo: Offset) => Promise<AbortedTransaction[]>
}

/** Rejects with CleaningGivenUp, CorruptLogError or DiskError; groups that were done by then stay done. */
export function cleanLog(parts: CleaningParts, options: CleaningOptions): Promise<CleaningOutcome> {
  return new LogCleaning(parts, options).run()
}

/** Made for one walk over the log, so that the two of them see its batches in the same order. */
interface Filter {
  readonly batches: BatchFilter
  readonly transactions: PassedTransactions<AbortedTransaction>
}

const KEEP: Fate = { kind: 'keep' }

class LogCleaning {
  readonly #parts: CleaningParts
  readonly #options: CleaningOptions
  readonly #map: OffsetMap
  /** Base of the first segment that is not touched. */
  readonly #limit: Offset
  #unreadable = 0
  #segmentsAfter = 0
  #bytesAfter = 0

  constructor(parts: CleaningParts, options: CleaningOptions) {
    this.#parts = parts
    this.#options = options
    const { firstDirtyOffset, uncleanableOffset } = options.plan
    // One that was rolled and whose indexes are not on disk yet can wait for the next time.
    const unsettled = parts.segments.find(
      (segment, i) => i === parts.segments.length - 1 || !parts.writer.isSettled(segment),
    )
    this.#limit = Math.min(uncleanableOffset, unsettled!.baseOffset) as Offset
    const maxKeys = Math.max(0, this.#limit - firstDirtyOffset)
    this.#map = new OffsetMap({ ...options.map, maxKeys })
  }

  async run(): Promise<CleaningOutcome> {
    const end = await this.#readKeys()
    const sources = this.#parts.segments.filter(segment => segment.baseOffset < end)
    const bytesBefore = sources.reduce((sum, segment) => sum + segment.sizeBytes, 0)
    const filter = await this.#makeFilter()
    const { segmentBytes, indexBytes, indexIntervalBytes } = this.#parts.config
    const limits = { segmentBytes, segmentIndexBytes: indexBytes, indexIntervalBytes }
    for (const group of groupSegments(sources, limits)) await this.#cleanGroup(group, filter)
    const { records, keptRecords, nextHorizonMs } = filter.batches.counts
    return {
      cleanedTo: Math.max(end, this.#options.plan.firstDirtyOffset) as Offset,
      nextHorizonMs,
      segmentsBefore: sources.length,
      segmentsAfter: this.#segmentsAfter,
      bytesBefore,
      bytesAfter: this.#bytesAfter,
      records,
      keptRecords,
      keys: this.#map.size,
      unreadable: this.#unreadable,
    }
  }

  // ------------------------------------------------------------------------------------- the keys

  /** Resolves to where the map reaches: the offset up to which the log can be cleaned now. */
  async #readKeys(): Promise<Offset> {
    const { segments, abortedTransactions } = this.#parts
    const { firstDirtyOffset } = this.#options.plan
    const limit = this.#limit
    if (firstDirtyOffset < limit) {
      const transactions = new PassedTransactions(await abortedTransactions(firstDirtyOffset, limit))
      const first = Math.max(0, segmentNumber(segments, firstDirtyOffset))
      for (const segment of segments.slice(first)) {
        if (segment.baseOffset >= limit) break
        if (!(await this.#readKeysOf(segment, transactions))) return (this.#map.latestOffset + 1) as Offset
      }
    }
    if (limit - 1 > this.#map.latestOffset) this.#map.seen(limit - 1)
    return limit
  }

  /** False: the map is full. */
  async #readKeysOf(
    segment: Segment,
    transactions: PassedTransactions<AbortedTransaction>,
  ): Promise<boolean> {
    const { firstDirtyOffset } = this.#options.plan
    const isPartlyClean = firstDirtyOffset > segment.baseOffset
    const start = isPartlyClean ? await this.#parts.reader.positionOf(segment, firstDirtyOffset) : 0
    let isFull = false
    await this.#walk(segment, start, async (bytes, at, end) => {
      const header = readBatchHeader(bytes, at)
      if (header.lastOffset < firstDirtyOffset) return true
      if (header.isControl) transactions.passMarker(header, markerOf(header, bytes, at))
      else if (!transactions.passBatch(header)) isFull = !(await this.#noteKeys(header, bytes, at, end))
      if (!isFull && header.lastOffset > this.#map.latestOffset) this.#map.seen(header.lastOffset)
      return !isFull
    })
    return !isFull
  }

  /** False: the map is full. What cannot be read has no keys: it will be kept. */
  async #noteKeys(header: BatchHeader, bytes: Buffer, at: number, end: number): Promise<boolean> {
    const body = bodyOf(header, bytes, at, end)
    if (body === null) return true
    try {
      const keys = new KeyReader(this.#map, header, body, this.#options.plan.firstDirtyOffset)
      for (;;) {
        const state = keys.advance(RECORDS_PER_LOOK)
        if (state !== 'more') return state === 'done'
        await this.#breathe()
      }
    } catch (error) {
      if (error instanceof MalformedError) return true
      throw error
    }
  }

  // ------------------------------------------------------------------------------------- the records

  async #makeFilter(): Promise<Filter> {
    const { segments, abortedTransactions } = this.#parts
    const { wallMs, dueHorizonMs, deleteRetentionMs, keepsSequence } = this.#options
    const transactions = new PassedTransactions(
      await abortedTransactions(segments[0]!.baseOffset, this.#limit),
    )
    const batches = new BatchFilter({
      map: this.#map,
      transactions,
      nowMs: wallMs,
      dueHorizonMs,
      deleteRetentionMs,
      keepsSequence,
    })
    return { batches, transactions }
  }

  /** One segment takes the place of the group, unless it would be the same. */
  async #cleanGroup(group: readonly Segment[], filter: Filter): Promise<void> {
    const { shared, segments, config, exchange } = this.#parts
    const last = group.at(-1)!
    const cleaned = await CleanedSegment.create(shared.disk, group[0]!, config)
    let isDone = false
    try {
      let isChanged = group.length > 1
      for (const segment of group) {
        if (await this.#copy(segment, cleaned, filter.batches, segment === last)) isChanged = true
      }
      const aborted = filter.transactions.takeKept()
      const after = isChanged ? cleaned.segment : last
      this.#segmentsAfter += 1
      this.#bytesAfter += after.sizeBytes
      if (!isChanged) return
      const next = segments[segments.indexOf(last) + 1]
      if (next === undefined) throw new CleaningGivenUp('the log was cut')
      await cleaned.finish(next.baseOffset, aborted)
      this.#checkWanted()
      isDone = await exchange.exchange(group, cleaned)
      if (!isDone) throw new CleaningGivenUp('the segments are gone')
    } finally {
      if (!isDone) await this.#discard(cleaned)
    }
  }

  async #discard(cleaned: CleanedSegment): Promise<void> {
    try {
      await cleaned.discard()
    } catch (error) {
      // The next compaction writes over it, and the next start removes it.
      this.#parts.shared.log.warn('what an unfinished compaction wrote could not be removed', {
        path: cleaned.segment.path,
        error,
      })
    }
  }

  /** True when anything is not as it was. */
  async #copy(
    segment: Segment,
    cleaned: CleanedSegment,
    filter: BatchFilter,
    isLastSegment: boolean,
  ): Promise<boolean> {
    let isChanged = false
    await this.#walk(
      segment,
      0,
      async (bytes, at, end, isLast) => {
        const header = readBatchHeader(bytes, at)
        const fate = await this.#decide(filter, header, bytes, at, end, isLast && isLastSegment)
        if (fate.kind !== 'keep') isChanged = true
        switch (fate.kind) {
          case 'keep':
            cleaned.add(bytes, at, end)
            break
          case 'drop':
            break
          case 'empty': {
            const batch = emptyBatch(header)
            cleaned.add(batch, 0, batch.length)
            break
          }
          case 'rewrite': {
            const batch =
              rewriteInPlace(header, bytes, at, fate) ??
              rewriteBatch(header, bodyOf(header, bytes, at, end)!, fate)
            cleaned.add(batch, 0, batch.length)
            break
          }
          default:
            fate satisfies never
        }
        return true
      },
      async () => {
        const { pace, isWanted } = this.#options
        await pace.moved(await cleaned.flush(), isWanted)
        if (cleaned.isSyncDue) await pace.disk(() => cleaned.sync())
      },
    )
    return isChanged
  }

  async #decide(
    filter: BatchFilter,
    header: BatchHeader,
    bytes: Buffer,
    at: number,
    end: number,
    isLast: boolean,
  ): Promise<Fate> {
    if (header.isControl) {
      const fate = filter.marker(header, markerOf(header, bytes, at), isLast)
      if (fate.kind !== 'keep-until') return fate
      return withHorizon(header, bodyOf(header, bytes, at, end)!, fate.deleteHorizonMs)
    }
    const fate = filter.batch(header, isLast)
    if (fate !== null) return fate
    const body = bodyOf(header, bytes, at, end)
    const decided = body === null ? null : await this.#decideRecords(filter, header, body, isLast)
    if (decided === null) this.#unreadable++
    return decided ?? KEEP
  }

  /** Null: they cannot be read. */
  async #decideRecords(
    filter: BatchFilter,
    header: BatchHeader,
    body: Uint8Array,
    isLast: boolean,
  ): Promise<Fate | null> {
    try {
      const records: RecordFilter = filter.records(header, body, isLast)
      while (!records.advance(RECORDS_PER_LOOK)) await this.#breathe()
      return records.fate()
    } catch (error) {
      if (error instanceof MalformedError) return null
      throw error
    }
  }

  // ------------------------------------------------------------------------------------- in small pieces

  async #walk(
    segment: Segment,
    start: number,
    visit: (bytes: Buffer, at: number, end: number, isLast: boolean) => Promise<boolean>,
    afterChunk: () => Promise<void> = async () => {},
  ): Promise<void> {
    const { files } = this.#parts.shared
    const { pace, isWanted, ioBytes: chunkBytes } = this.#options
    this.#checkWanted()
    await files.with(segment.path, file =>
      walkBatches({
        file,
        start,
        end: segment.writtenBytes,
        minOffset: segment.baseOffset,
        chunkBytes,
        pace,
        isWanted,
        visit,
        afterChunk: async () => {
          await afterChunk()
          this.#checkWanted()
        },
      }),
    )
  }

  async #breathe(): Promise<void> {
    if (!this.#options.pace.isOver()) return
    await this.#options.pace.rest()
    this.#checkWanted()
  }

  #checkWanted(): void {
    if (!this.#options.isWanted()) throw new CleaningGivenUp('the log is not to be compacted any more')
  }
}

/** The records behind the header, decompressed; null where that cannot be done. */
function bodyOf(header: BatchHeader, bytes: Buffer, at: number, end: number): Uint8Array | null {
  const packed = bytes.subarray(at + BATCH_HEADER_BYTES, end)
  const codec = CODEC_NAMES[header.codecId]!
  if (codec === 'none' || header.recordCount === 0) return packed
  try {
    return decompress(codec, packed, MAX_DECOMPRESSED_BYTES)
  } catch (error) {
    if (error instanceof MalformedError || error instanceof CodecUnavailableError) return null
    throw error
  }
}

/** What a control batch says; null where it says nothing any more, or nothing about a transaction. */
function markerOf(header: BatchHeader, bytes: Buffer, at: number): MarkerType | null {
  if (header.recordCount === 0) return null
  try {
    const record = new RecordReader(bytes, at).next()
    return record === null ? null : (decodeMarker(record)?.type ?? null)
  } catch (error) {
    if (error instanceof MalformedError) return null
    throw error
  }
}
