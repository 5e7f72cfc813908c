/**
 * Takes from a log: batches from its end, segments from its start, everything. Runs alone (`LogWriter.exclusive`),
 * with nothing pending. Files go from the end to the start of what is cut off and from the start when old segments
 * are deleted, so that what a crash leaves is always a log without a hole.
 */
import { assert } from '../../client/protocol/assert.ts'
import { batchBaseOffset, batchLastOffset } from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { DiskError } from '../env.ts'
import { readOptional, replaceFile } from './checkpoints.ts'
import { DELETED_SUFFIX, TRANSACTION_INDEX_SUFFIX } from './file-names.ts'
import { type LogReader, segmentNumber } from './log-reader.ts'
import { type LogWriter } from './log-writer.ts'
import { scanBatches } from './scan.ts'
import { loadIndexes, recordTimestamp, Segment, writeIndexes } from './segment.ts'
import { type SharedStorage } from './shared-storage.ts'
import { type Snapshots } from './snapshots.ts'
import { encodeAbortedTransaction, parseTransactionIndex } from './transaction-index.ts'
import { CorruptLogError, type SegmentConfig } from './types.ts'

export interface LogCutterOptions {
  readonly shared: SharedStorage
  readonly directory: string
  /** The log's own list, which is changed here. */
  readonly segments: Segment[]
  readonly writer: LogWriter
  readonly reader: LogReader
  readonly snapshots: Snapshots
  readonly config: () => SegmentConfig
}

/** A file that is marked deleted and still there. */
interface DeletedFile {
  readonly path: string
  readonly sinceMs: number
  /** A log file whose pages are surely still in the page cache, and nobody reads it any more. */
  readonly isSpare: boolean
}

/**
 * Files rolled no longer ago are recycled. Later their pages may be gone, and writing over them would read back
 * every page that a write begins or ends in.
 */
const WARM_MS = 60_000

export class LogCutter {
  readonly #shared: SharedStorage
  readonly #directory: string
  readonly #segments: Segment[]
  readonly #writer: LogWriter
  readonly #reader: LogReader
  readonly #snapshots: Snapshots
  readonly #config: () => SegmentConfig
  /** In order of their deletion. */
  #deleted: DeletedFile[] = []

  constructor(options: LogCutterOptions) {
    this.#shared = options.shared
    this.#directory = options.directory
    this.#segments = options.segments
    this.#writer = options.writer
    this.#reader = options.reader
    this.#snapshots = options.snapshots
    this.#config = options.config
  }

  /** Resolves to the new end of the log. */
  async truncateTo(offset: Offset): Promise<Offset> {
    const number = segmentNumber(this.#segments, offset)
    if (number < 0) {
      await this.startAt(offset)
      return offset
    }
    const segment = this.#segments[number]!
    const isWhole = offset >= segment.endOffset
    const cut = isWhole
      ? { position: segment.writtenBytes, endOffset: segment.endOffset }
      : await this.#place(segment, offset)
    await this.#snapshots.truncateTo(cut.endOffset)
    while (this.#segments.length > number + 1) await this.#removeSegment(this.#segments.pop()!)
    await this.#cutSegment(segment, cut.position, cut.endOffset)
    await this.#commit(cut.endOffset)
    return cut.endOffset
  }

  async startAt(offset: Offset): Promise<void> {
    this.#dropSpares()
    await this.#snapshots.removeAll()
    while (this.#segments.length > 0) await this.#removeSegment(this.#segments.pop()!)
    const first = new Segment(this.#directory, offset, this.#shared.clock.wallMs())
    this.#segments.push(first)
    const file = await this.#writer.createFile(first)
    this.#shared.files.unpin(first.path, file)
    await this.#commit(offset)
  }

  async deleteBefore(offset: Offset): Promise<number> {
    if (!this.#isFirstBelow(offset)) return 0
    // The file that the log goes on with has to be there after a power cut, before those go that say where it goes
    // on: an empty folder would begin at offset 0 again. Its name is enough: what is in it is as durable as it was.
    await this.#writer.syncNames()
    let count = 0
    const spares: string[] = []
    while (this.#isFirstBelow(offset)) {
      const first = this.#segments.shift()!
      const isIdle = this.#release(first)
      const isWarm = this.#shared.clock.monotonicMs() - first.sealedMs < WARM_MS
      for (const path of first.paths) await this.#markDeleted(path)
      if (isIdle && isWarm) spares.push(`${first.path}${DELETED_SUFFIX}`)
      count++
    }
    // A file may only be written over when its old name is gone for good: else a power cut could bring that back, with
    // batches in it that belong to another segment.
    if (spares.length > 0) await this.#shared.disk.syncDirectory(this.#directory)
    this.#deleted = this.#deleted.map(file =>
      spares.includes(file.path) ? { ...file, isSpare: true } : file,
    )
    this.#reader.forget()
    this.#writer.namesChanged()
    await this.#snapshots.removeBefore(this.#segments[0]!.baseOffset)
    return count
  }

  /** What is not written yet cannot be renamed, nor can the log start with it; the next tick comes soon. */
  #isFirstBelow(offset: Offset): boolean {
    const [first, second] = this.#segments
    if (first === undefined || second === undefined || second.baseOffset > offset) return false
    return first.exists && first.writtenBytes === first.sizeBytes && second.exists
  }

  takeSpare(): string | null {
    const at = this.#deleted.findLastIndex(file => file.isSpare)
    return at < 0 ? null : this.#deleted.splice(at, 1)[0]!.path
  }

  /** Their batches may have offsets that the log will have again: they must not be recycled. */
  #dropSpares(): void {
    this.#deleted = this.#deleted.map(file => ({ ...file, isSpare: false }))
  }

  async purgeDeleted(delayMs: number): Promise<void> {
    const nowMs = this.#shared.clock.monotonicMs()
    while (this.#deleted.length > 0 && nowMs - this.#deleted[0]!.sinceMs >= delayMs) {
      const { path } = this.#deleted.shift()!
      await this.#removeIfThere(path)
    }
  }

  /** The first batch of the segment that reaches `offset`. */
  async #place(segment: Segment, offset: Offset): Promise<{ position: number; endOffset: Offset }> {
    let found: { position: number; endOffset: Offset } | null = null
    const start = await this.#reader.positionOf(segment, offset)
    const end = await this.#shared.files.with(segment.path, file =>
      scanBatches({
        file,
        start,
        end: segment.writtenBytes,
        minOffset: segment.baseOffset,
        visit: (bytes, at, position) => {
          if (batchLastOffset(bytes, at) < offset) return true
          // Compaction may have left a gap before the batch: then the log ends where it was told to.
          found = { position, endOffset: Math.min(offset, batchBaseOffset(bytes, at)) as Offset }
          return false
        },
      }),
    )
    if (end.problem !== null) {
      throw new CorruptLogError(segment.path, end.position, `the log is damaged on disk (${end.problem})`)
    }
    return found ?? { position: end.position, endOffset: offset }
  }

  /** It is the active one from now on: its indexes are in memory. */
  async #cutSegment(segment: Segment, position: number, endOffset: Offset): Promise<void> {
    const indexes = await loadIndexes(this.#shared, segment, this.#config())
    this.#release(segment)
    segment.indexes = indexes
    await this.#shared.files.with(segment.path, async file => {
      await file.truncate(position)
      segment.fileBytes = position
      this.#writer.fileChanged(segment)
    })
    segment.cutTo(position, endOffset)
    await writeIndexes(this.#shared, segment, false)
    await this.#cutTransactionIndex(segment, endOffset)
    await this.#findLargestTimestamp(segment)
  }

  async #findLargestTimestamp(segment: Segment): Promise<void> {
    assert(segment.indexes !== null, 'the indexes of the active segment are in memory')
    const { offsets, times } = segment.indexes
    segment.largestTimestamp = times.last?.timestamp ?? -1
    segment.largestTimestampOffset = times.last?.offset ?? segment.baseOffset
    await this.#shared.files.with(segment.path, file =>
      scanBatches({
        file,
        start: offsets.lookup(segment.largestTimestampOffset),
        end: segment.writtenBytes,
        minOffset: segment.baseOffset,
        visit: (bytes, at) => {
          const timestamp = recordTimestamp(bytes, at)
          if (timestamp <= segment.largestTimestamp) return
          segment.largestTimestamp = timestamp
          segment.largestTimestampOffset = batchLastOffset(bytes, at)
        },
      }),
    )
  }

  async #cutTransactionIndex(segment: Segment, endOffset: Offset): Promise<void> {
    const path = segment.pathOf(TRANSACTION_INDEX_SUFFIX)
    const bytes = await readOptional(this.#shared.disk, path)
    const entries = bytes === null ? [] : parseTransactionIndex(bytes)
    if (bytes === null || typeof entries === 'string') return
    const kept = entries.filter(entry => entry.lastOffset < endOffset)
    await replaceFile(this.#shared.disk, path, Buffer.concat(kept.map(encodeAbortedTransaction)))
  }

  async #commit(endOffset: Offset): Promise<void> {
    this.#reader.forget()
    this.#writer.namesChanged()
    this.#writer.resetTo(endOffset, this.#writer.durableOffset)
    await this.#writer.syncNow()
  }

  async #removeSegment(segment: Segment): Promise<void> {
    this.#release(segment)
    // The log file last: an index without a log is a left-over, a log without an index is a segment.
    for (const path of segment.paths.toReversed()) await this.#removeIfThere(path)
  }

  /** Whether nobody uses its file. */
  #release(segment: Segment): boolean {
    this.#writer.segmentGone(segment)
    this.#shared.indexes.forget(segment)
    return this.#shared.files.forget(segment.path)
  }

  async #markDeleted(path: string): Promise<void> {
    const deleted = `${path}${DELETED_SUFFIX}`
    try {
      await this.#shared.disk.rename(path, deleted)
      this.#deleted.push({ path: deleted, sinceMs: this.#shared.clock.monotonicMs(), isSpare: false })
    } catch (error) {
      if (!(error instanceof DiskError && error.code === 'NOT_FOUND')) throw error
    }
  }

  async #removeIfThere(path: string): Promise<void> {
    try {
      await this.#shared.disk.remove(path)
    } catch (error) {
      if (!(error instanceof DiskError && error.code === 'NOT_FOUND')) throw error
    }
  }
}
