/**
 * One segment: what is known of its file and its indexes. It counts and remembers; reading and writing the log's
 * bytes is done by those who hold it. The indexes are in memory while the segment is active and until they are on
 * disk; those of older segments are read when a look-up wants them and forgotten again.
 */

import {
  batchByteLength,
  batchLastOffset,
  batchMaxTimestamp,
  batchRecordCount,
  NO_TIMESTAMP,
} from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { DiskError, type DiskFile } from '../env.ts'
import {
  fileName,
  INDEX_SUFFIX,
  LOG_SUFFIX,
  TIME_INDEX_SUFFIX,
  TRANSACTION_INDEX_SUFFIX,
} from './file-names.ts'
import { OFFSET_INDEX_ENTRY_BYTES, OffsetIndex } from './offset-index.ts'
import { scanBatches } from './scan.ts'
import { type SharedStorage } from './shared-storage.ts'
import { TIME_INDEX_ENTRY_BYTES, TimeIndex } from './time-index.ts'
import { type SegmentConfig, type SegmentInfo } from './types.ts'

/** Both indexes of a segment; they are made, kept and dropped together. */
export interface Indexes {
  readonly offsets: OffsetIndex
  readonly times: TimeIndex
}

/** Positions and relative offsets of an index have 31 bits. */
const LARGEST_INT32 = 0x7fff_ffff

export interface SegmentMark {
  readonly sizeBytes: number
  readonly endOffset: Offset
  readonly largestTimestamp: number
  readonly largestTimestampOffset: Offset
  readonly firstTimestamp: number
  readonly bytesSinceEntry: number
}

export class Segment {
  readonly baseOffset: Offset
  readonly directory: string
  readonly path: string
  readonly createdMs: number
  /** Bytes of batches, with what is pending. */
  sizeBytes = 0
  /** Bytes handed to the system. */
  writtenBytes = 0
  /** Size of the file, where that may differ from `writtenBytes`: it was preallocated, or cut off in vain. */
  fileBytes = 0
  endOffset: Offset
  largestTimestamp = -1
  /** Last offset of the batch that first had the largest timestamp. */
  largestTimestampOffset: Offset
  firstTimestamp = -1
  /** When it was rolled, on the monotonic clock; -Infinity where that was before the log was opened. */
  sealedMs = Number.NEGATIVE_INFINITY
  /** False until its file is made. */
  exists = false
  /** Written (or cut) since the last sync of the file. */
  isDirty = false
  /** Null: on disk, and dropped from memory. */
  indexes: Indexes | null
  /** The files of the indexes are behind what is in memory (or were never written). */
  indexesDirty = false
  /** Its open file, kept open from the first write after a sync until the next one. */
  pinned: DiskFile | null = null
  #bytesSinceEntry = 0

  constructor(directory: string, baseOffset: Offset, createdMs: number) {
    this.directory = directory
    this.baseOffset = baseOffset
    this.path = `${directory}/${fileName(baseOffset, LOG_SUFFIX)}`
    this.createdMs = createdMs
    this.endOffset = baseOffset
    this.largestTimestampOffset = baseOffset
    this.indexes = emptyIndexes(baseOffset)
  }

  /** Paths of all files that a segment may have, the log first. Producer snapshots are not a segment's. */
  get paths(): string[] {
    const suffixes = [LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX]
    return suffixes.map(suffix => this.pathOf(suffix))
  }

  pathOf(suffix: string): string {
    return `${this.directory}/${fileName(this.baseOffset, suffix)}`
  }

  info(config: SegmentConfig, isActive: boolean): SegmentInfo {
    return {
      baseOffset: this.baseOffset,
      sizeBytes: this.sizeBytes,
      largestTimestamp: this.largestTimestamp,
      firstTimestamp: this.firstTimestamp,
      createdMs: this.createdMs,
      indexFull: isActive && this.#indexFull(config),
    }
  }

  /** Counts a batch that begins at `sizeBytes`, and adds index entries where it is time for them. */
  add(lastOffset: Offset, maxTimestamp: number, byteLength: number, config: SegmentConfig): void {
    if (this.sizeBytes === 0) this.firstTimestamp = maxTimestamp
    if (maxTimestamp > this.largestTimestamp) {
      this.largestTimestamp = maxTimestamp
      this.largestTimestampOffset = lastOffset
    }
    const isDue = this.#bytesSinceEntry > config.indexIntervalBytes && this.sizeBytes <= LARGEST_INT32
    if (isDue && this.indexes !== null && !this.#indexFull(config)) {
      this.indexes.offsets.append(lastOffset, this.sizeBytes)
      this.indexes.times.maybeAppend(this.largestTimestamp, this.largestTimestampOffset)
      this.indexesDirty = true
      this.#bytesSinceEntry = 0
    }
    this.#bytesSinceEntry += byteLength
    this.sizeBytes += byteLength
    this.endOffset = (lastOffset + 1) as Offset
  }

  /** The state before the batches that are added from now on, for `restore`. */
  mark(): SegmentMark {
    return {
      sizeBytes: this.sizeBytes,
      endOffset: this.endOffset,
      largestTimestamp: this.largestTimestamp,
      largestTimestampOffset: this.largestTimestampOffset,
      firstTimestamp: this.firstTimestamp,
      bytesSinceEntry: this.#bytesSinceEntry,
    }
  }

  restore(mark: SegmentMark): void {
    this.cutTo(mark.sizeBytes, mark.endOffset)
    this.largestTimestamp = mark.largestTimestamp
    this.largestTimestampOffset = mark.largestTimestampOffset
    this.firstTimestamp = mark.firstTimestamp
    this.#bytesSinceEntry = mark.bytesSinceEntry
  }

  /** No batch follows: the time index gets its last entry, as Kafka adds it on rolling and closing. */
  seal(): void {
    this.indexes?.times.maybeAppend(this.largestTimestamp, this.largestTimestampOffset)
    this.indexesDirty = true
  }

  /** The state that holds when the last batch that remains ends at `position` before `endOffset`. */
  cutTo(position: number, endOffset: Offset): void {
    this.sizeBytes = position
    this.writtenBytes = Math.min(this.writtenBytes, position)
    this.endOffset = endOffset
    if (this.indexes !== null) {
      this.indexes.offsets.truncateTo(endOffset)
      this.indexes.times.truncateTo(endOffset)
      this.indexesDirty = true
      this.#bytesSinceEntry = position - (this.indexes.offsets.lookup(endOffset) || 0)
    }
    if (position === 0) this.firstTimestamp = -1
  }

  #indexFull(config: SegmentConfig): boolean {
    if (this.indexes === null) return false
    const { offsets, times } = this.indexes
    return (
      offsets.count >= Math.floor(config.indexBytes / OFFSET_INDEX_ENTRY_BYTES) ||
      // One place is kept for the entry of `seal`.
      times.count >= Math.floor(config.indexBytes / TIME_INDEX_ENTRY_BYTES) - 1
    )
  }
}

/** The largest timestamp of a batch; -1 where it has no records left that could have it. */
export function recordTimestamp(bytes: Uint8Array, at: number): number {
  return batchRecordCount(bytes, at) === 0 ? NO_TIMESTAMP : batchMaxTimestamp(bytes, at)
}

export function emptyIndexes(baseOffset: Offset): Indexes {
  return { offsets: new OffsetIndex(baseOffset), times: new TimeIndex(baseOffset) }
}

/**
 * The indexes of a segment: those in memory, else those on disk. Where these are missing or make no sense they are
 * rebuilt from the log, in memory and marked to be written.
 */
export async function loadIndexes(
  shared: SharedStorage,
  segment: Segment,
  config: SegmentConfig,
): Promise<Indexes> {
  if (segment.indexes !== null) return segment.indexes
  const found = await readIndexes(shared, segment)
  if (typeof found !== 'string') return found
  shared.log.warn('index is missing or damaged and is rebuilt from the log', {
    path: segment.path,
    reason: found,
  })
  return rebuildIndexes(shared, segment, config)
}

/** The indexes as they are on disk, or why they cannot be used. */
export async function readIndexes(shared: SharedStorage, segment: Segment): Promise<Indexes | string> {
  const { disk } = shared
  try {
    const [offsetBytes, timeBytes] = await Promise.all([
      disk.readFile(segment.pathOf(INDEX_SUFFIX)),
      disk.readFile(segment.pathOf(TIME_INDEX_SUFFIX)),
    ])
    const offsets = OffsetIndex.parse(offsetBytes, segment.baseOffset)
    if (typeof offsets === 'string') return `${INDEX_SUFFIX}: ${offsets}`
    const times = TimeIndex.parse(timeBytes, segment.baseOffset)
    if (typeof times === 'string') return `${TIME_INDEX_SUFFIX}: ${times}`
    return { offsets, times }
  } catch (error) {
    if (error instanceof DiskError && error.code === 'NOT_FOUND') return 'the file is missing'
    throw error
  }
}

async function rebuildIndexes(
  shared: SharedStorage,
  segment: Segment,
  config: SegmentConfig,
): Promise<Indexes> {
  const copy = new Segment(segment.directory, segment.baseOffset, segment.createdMs)
  await shared.files.with(segment.path, file =>
    scanBatches({
      file,
      start: 0,
      end: segment.writtenBytes,
      minOffset: segment.baseOffset,
      maxOffset: (segment.baseOffset + LARGEST_INT32) as Offset,
      visit: (bytes, at) =>
        copy.add(batchLastOffset(bytes, at), recordTimestamp(bytes, at), batchByteLength(bytes, at), config),
    }),
  )
  copy.seal()
  // Somebody else may have done the same in the meantime.
  segment.indexes ??= copy.indexes
  segment.indexesDirty = true
  return segment.indexes!
}

/** Writes both index files as a whole. Synced where they are to be relied upon after a crash. */
export async function writeIndexes(
  shared: SharedStorage,
  segment: Segment,
  isSynced: boolean,
): Promise<void> {
  const { indexes } = segment
  if (indexes === null) return
  segment.indexesDirty = false
  try {
    await Promise.all([
      writeWhole(shared, segment.pathOf(INDEX_SUFFIX), indexes.offsets.encode(), isSynced),
      writeWhole(shared, segment.pathOf(TIME_INDEX_SUFFIX), indexes.times.encode(), isSynced),
    ])
  } catch (error) {
    segment.indexesDirty = true
    throw error
  }
}

async function writeWhole(
  shared: SharedStorage,
  path: string,
  content: Buffer,
  isSynced: boolean,
): Promise<void> {
  const file = await shared.disk.open(path, 'create')
  try {
    if (content.length > 0) await file.write([content], 0)
    await file.truncate(content.length)
    if (isSynced) await file.sync()
  } finally {
    await file.close()
  }
}
