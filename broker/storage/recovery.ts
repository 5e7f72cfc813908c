/**
 * From a folder to segments that can be appended to. After a clean stop only sizes and the very end are looked at.
 * After any other, everything from the recovery point on is read and its CRCs are checked; the log ends where the
 * first batch is not whole.
 *
 * What is cut off is told apart. Preallocated zeros, and what lies behind an end mark, are nothing. Bytes with no
 * sound batch behind them are a torn tail: never acknowledged as durable, cut with a warning. Damage with sound
 * batches behind it means that the disk has lost or changed what it had; Kafka would cut there all the same, for a
 * log has no holes, and so is it done here, but first the rest is copied to `<base>.log.damaged-<position>` (later
 * segments are renamed so) and the loss is reported as an error with the offsets. Where no copy can be made the
 * partition does not open.
 */
import { batchByteLength, batchLastOffset, batchMaxTimestamp } from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type DiskFile } from '../env.ts'
import { baseNameOf } from './checkpoints.ts'
import { INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX } from './file-names.ts'
import { END_MARK } from './log-writer.ts'
import { isZero } from './offset-index.ts'
import { findBatchBehind, type ScanEnd, scanBatches } from './scan.ts'
import { emptyIndexes, readIndexes, recordTimestamp, Segment, writeIndexes } from './segment.ts'
import { type SharedStorage } from './shared-storage.ts'
import { TIME_INDEX_ENTRY_BYTES, TimeIndex } from './time-index.ts'
import {
  CorruptLogError,
  type DamagedRange,
  type LogCut,
  type Recovered,
  type RecoveryProgress,
  type SegmentConfig,
} from './types.ts'

const COPY_BYTES = 1024 * 1024
/** A segment no larger is scanned instead of reading its index: that is fewer reads. */
const SCAN_INSTEAD_BYTES = 64 * 1024
const LARGEST_INT32 = 0x7fff_ffff
const PROGRESS_EVERY_MS = 1000

export interface RecoveryOptions {
  readonly shared: SharedStorage
  readonly directory: string
  readonly config: SegmentConfig
  readonly bases: readonly Offset[]
  readonly recoveryPoint: Offset
  /** Up to here the log was compacted, perhaps by Kafka, which leaves gaps at the end of segments. Default 0. */
  readonly cleanedTo?: Offset
  readonly cleanShutdown: boolean
  readonly onProgress?: ((progress: RecoveryProgress) => void) | undefined
  readonly onCut?: ((cut: LogCut) => Promise<void>) | undefined
}

export interface RecoveredSegments {
  readonly segments: Segment[]
  readonly recovered: Recovered
}

export async function recoverSegments(options: RecoveryOptions): Promise<RecoveredSegments> {
  const recovery = new Recovery(options)
  await recovery.run()
  const { segments, scanned, scannedBytes, truncatedBytes, damaged, rebuiltIndexes } = recovery
  return { segments, recovered: { scanned, scannedBytes, truncatedBytes, damaged, rebuiltIndexes } }
}

class Recovery {
  segments: Segment[]
  scanned = false
  scannedBytes = 0
  truncatedBytes = 0
  readonly damaged: DamagedRange[] = []
  rebuiltIndexes = 0
  readonly #options: RecoveryOptions
  #totalBytes = 0
  #reportedMs: number

  constructor(options: RecoveryOptions) {
    this.#options = options
    const { shared, directory, bases } = options
    this.segments = bases.map(base => new Segment(directory, base, shared.clock.wallMs()))
    this.#reportedMs = shared.clock.monotonicMs()
  }

  async run(): Promise<void> {
    const { shared, cleanShutdown, recoveryPoint } = this.#options
    const sizes = await Promise.all(this.segments.map(segment => shared.disk.size(segment.path)))
    for (const [i, segment] of this.segments.entries()) {
      segment.fileBytes = sizes[i] ?? 0
      segment.exists = true
    }
    // Also the segment that ends just at the recovery point: it may have been rolled after the last sync, and then
    // has more in its file than belongs to it. One that ends before was trimmed by a later sync.
    const suspects = cleanShutdown ? [] : this.segments.filter((_, i) => this.#endBound(i) >= recoveryPoint)
    this.#totalBytes = suspects.reduce((sum, segment) => sum + segment.fileBytes, 0)
    // Damage may shorten the list on the way.
    for (let i = 0; i < this.segments.length; i++) {
      const segment = this.segments[i]!
      if (suspects.includes(segment)) await this.#scan(segment, i, recoveryPoint)
      else if (i < this.segments.length - 1) await this.#openOld(segment, i)
      else await this.#openActive(segment, i)
    }
  }

  /** No offset of segment `i` reaches this one. */
  #endBound(i: number): number {
    return this.segments[i + 1]?.baseOffset ?? Infinity
  }

  /** A segment that nobody appends to any more: its size is believed, its largest timestamp is in its time index. */
  async #openOld(segment: Segment, i: number): Promise<void> {
    this.#believe(segment, segment.fileBytes, this.segments[i + 1]!.baseOffset)
    segment.indexes = null
    const last = await this.#lastTimeEntry(segment)
    if (last === null) return
    segment.largestTimestamp = last.timestamp
    segment.largestTimestampOffset = last.offset
  }

  async #lastTimeEntry(segment: Segment): Promise<TimeIndex['last']> {
    const { disk } = this.#options.shared
    const path = segment.pathOf(TIME_INDEX_SUFFIX)
    const size = await disk.size(path)
    if (size === null || size < TIME_INDEX_ENTRY_BYTES || size % TIME_INDEX_ENTRY_BYTES !== 0) return null
    const file = await disk.open(path, 'read')
    try {
      const bytes = Buffer.alloc(TIME_INDEX_ENTRY_BYTES)
      await file.read(bytes, size - TIME_INDEX_ENTRY_BYTES)
      const entry = TimeIndex.parse(bytes, segment.baseOffset)
      return typeof entry === 'string' ? null : entry.last
    } finally {
      await file.close()
    }
  }

  /** The last segment after a clean stop: its end is found from the last index entry. Distrust costs a full scan. */
  async #openActive(segment: Segment, i: number): Promise<void> {
    if (segment.fileBytes === 0) return
    const { shared } = this.#options
    const isSmall = segment.fileBytes <= SCAN_INSTEAD_BYTES
    const indexes = isSmall ? emptyIndexes(segment.baseOffset) : await readIndexes(shared, segment)
    if (typeof indexes === 'string') {
      shared.log.warn('index is missing or damaged and is rebuilt from the log', {
        path: segment.path,
        reason: indexes,
      })
      await this.#scan(segment, i, Infinity as Offset)
      this.rebuiltIndexes++
      return
    }
    const { offsets, times } = indexes
    const lastEntry = offsets.count === 0 ? null : offsets.entry(offsets.count - 1)
    const start = lastEntry?.position ?? 0
    if (start >= segment.fileBytes) {
      await this.#distrust(segment, i, 'its index reaches beyond its end')
      return
    }
    segment.indexes = indexes
    segment.sizeBytes = start
    segment.largestTimestamp = times.last?.timestamp ?? -1
    segment.largestTimestampOffset = times.last?.offset ?? segment.baseOffset
    const scan = await this.#walk(segment, start, undefined, start === 0 ? segment.baseOffset : (0 as Offset))
    const isInLog = times.last === null || times.last.offset < segment.endOffset
    const fits = isInLog && (lastEntry === null || scan.firstLastOffset === lastEntry.offset)
    if (scan.problem !== null || !fits) {
      await this.#distrust(segment, i, scan.problem ?? 'its index does not fit')
      return
    }
    if (start > 0) await this.#readFirstTimestamp(segment)
    this.#believe(segment, scan.position, segment.endOffset)
  }

  async #distrust(segment: Segment, i: number, reason: string): Promise<void> {
    this.#options.shared.log.error(
      'the log was closed cleanly but its end is damaged: it is checked from its start',
      {
        path: segment.path,
        reason,
      },
    )
    await this.#scan(segment, i, 0 as Offset)
  }

  async #readFirstTimestamp(segment: Segment): Promise<void> {
    await this.#options.shared.files.with(segment.path, async file => {
      const header = Buffer.alloc(64)
      await file.read(header, 0)
      segment.firstTimestamp = batchMaxTimestamp(header, 0)
    })
  }

  #believe(segment: Segment, bytes: number, endOffset: Offset): void {
    segment.sizeBytes = bytes
    segment.writtenBytes = bytes
    segment.endOffset = endOffset
  }

  /**
   * Reads a segment from its start, rebuilds its indexes, checks the CRC of what reaches `checkFrom`, cuts what is
   * not whole.
   */
  async #scan(segment: Segment, i: number, checkFrom: Offset): Promise<void> {
    const { shared } = this.#options
    const isActive = i === this.segments.length - 1
    this.scanned ||= checkFrom !== Infinity
    segment.indexes = emptyIndexes(segment.baseOffset)
    segment.sizeBytes = 0
    segment.largestTimestamp = -1
    const end = await this.#walk(segment, 0, checkFrom, segment.baseOffset)
    if (end.nextOffset > this.#endBound(i)) throw this.#overlap(segment, i, end)
    this.#believe(segment, end.position, end.nextOffset)
    // The page cache may have it, but nobody knows that the disk has.
    segment.isDirty = checkFrom !== Infinity
    // Segments follow one another without a gap, our own compaction leaves none. Where records are missing between two
    // that were not known to be durable, a power cut has taken the end of one and left the other.
    const mayHaveGap = checkFrom === Infinity || this.#endBound(i) <= (this.#options.cleanedTo ?? 0)
    const isHole = !mayHaveGap && end.nextOffset < this.#endBound(i) && !isActive
    if (end.problem !== null || isHole) await this.#cut(segment, i, end)
    this.rebuiltIndexes += isActive ? 0 : 1
    if (isActive || i === this.segments.length - 1) {
      segment.indexesDirty = true
      // Index files of an earlier life would name batches that are no more.
      if (end.problem !== null) await writeIndexes(shared, segment, false)
      return
    }
    segment.seal()
    await writeIndexes(shared, segment, true)
    segment.indexes = null
  }

  /**
   * No crash leaves that behind: a file was put there, or its name changed, and only its owner knows which
   * is right.
   */
  #overlap(segment: Segment, i: number, end: ScanEnd): CorruptLogError {
    const next = this.segments[i + 1]!
    return new CorruptLogError(
      segment.path,
      end.position,
      `the log has records up to offset ${end.nextOffset - 1} here, but ${baseNameOf(next.path)} begins at ` +
        `${next.baseOffset}: one of the two does not belong here. Look at both with "sluice log dump" and move the wrong ` +
        'one out of the folder',
    )
  }

  async #walk(
    segment: Segment,
    start: number,
    checkFrom: Offset | undefined,
    minOffset: Offset,
  ): Promise<ScanEnd & { firstLastOffset: Offset | null }> {
    const { shared, config } = this.#options
    let firstLastOffset: Offset | null = null
    const end = await shared.files.with(segment.path, file =>
      scanBatches({
        file,
        start,
        end: segment.fileBytes,
        minOffset,
        maxOffset: (segment.baseOffset + LARGEST_INT32) as Offset,
        checkFrom,
        visit: (bytes, at) => {
          const lastOffset = batchLastOffset(bytes, at)
          firstLastOffset ??= lastOffset
          segment.add(lastOffset, recordTimestamp(bytes, at), batchByteLength(bytes, at), config)
        },
        onRead: checkFrom === undefined ? undefined : bytes => this.#progress(bytes),
      }),
    )
    return { ...end, firstLastOffset }
  }

  #progress(bytes: number): void {
    const { shared, directory, onProgress } = this.#options
    this.scannedBytes += bytes
    const nowMs = shared.clock.monotonicMs()
    if (nowMs - this.#reportedMs < PROGRESS_EVERY_MS) return
    this.#reportedMs = nowMs
    onProgress?.({ directory, scannedBytes: this.scannedBytes, totalBytes: this.#totalBytes })
  }

  // ------------------------------------------------------------------------------------- damage

  /** The batch at `end.position` of segment `i` is not whole: nothing from there on stays. */
  async #cut(segment: Segment, i: number, end: ScanEnd): Promise<void> {
    const { shared } = this.#options
    const later = this.segments.slice(i + 1)
    await this.#options.onCut?.({
      path: segment.path,
      position: end.position,
      endOffset: end.nextOffset,
      // A rolled segment ends where the next one begins: then that one stays.
      laterPaths: later[0]?.baseOffset === end.nextOffset ? [] : later.map(other => other.path),
    })
    await shared.files.with(segment.path, async file => {
      const isPreallocated =
        (await isEndMark(file, end.position)) || (await isZeroFrom(file, end.position, segment.fileBytes))
      // A rolled segment ends where the next one begins: then what is left over is no loss.
      const isComplete = later[0]?.baseOffset === end.nextOffset
      const behind = isPreallocated
        ? null
        : await findBatchBehind(file, end.position, segment.fileBytes, end.nextOffset)
      const isMiddle = !isComplete && (behind !== null || later.some(other => other.fileBytes > 0))
      if (isMiddle) await this.#setAside(segment, file, end, behind?.lastOffset ?? null, later)
      else if (!isPreallocated) this.#reportTornTail(segment, end)
      if (!isPreallocated) this.truncatedBytes += segment.fileBytes - end.position
      if (!isComplete) this.segments = this.segments.slice(0, i + 1)
      await file.truncate(end.position)
      await file.sync()
      segment.fileBytes = end.position
    })
    if (!this.segments.includes(later[0]!)) await this.#removeEmpty(later)
  }

  #reportTornTail(segment: Segment, end: ScanEnd): void {
    this.#options.shared.log.warn(
      'the end of the log was not written completely before the last stop and is cut off',
      {
        path: segment.path,
        position: end.position,
        bytes: segment.fileBytes - end.position,
        reason: end.problem,
        endOffset: end.nextOffset,
      },
    )
  }

  async #setAside(
    segment: Segment,
    file: DiskFile,
    end: ScanEnd,
    lastSeen: Offset | null,
    later: readonly Segment[],
  ): Promise<void> {
    const { shared, directory } = this.#options
    const copy = `${segment.path}.damaged-${end.position}`
    await copyRange(file, end.position, segment.fileBytes, await shared.disk.open(copy, 'create'))
    for (const other of later) {
      if (other.fileBytes === 0) continue
      shared.files.forget(other.path)
      await shared.disk.rename(other.path, `${other.path}.damaged-0`)
    }
    await shared.disk.syncDirectory(directory)
    // The last segment's own end is not known; its base is the least that was lost.
    const lastOffset = later.findLast(other => other.fileBytes > 0)?.baseOffset ?? lastSeen ?? end.nextOffset
    const range = {
      path: segment.path,
      position: end.position,
      firstOffset: end.nextOffset,
      lastOffset,
      copy,
    }
    this.damaged.push(range)
    shared.log.error(
      'the log is damaged in its middle: records from firstOffset on are lost to readers, their bytes are kept in ' +
        'the copy. Check the disk; if this partition has replicas, they hold the records',
      {
        ...range,
        bytes: segment.fileBytes - end.position,
        reason: end.problem,
        laterSegments: later.map(other => baseNameOf(other.path)),
      },
    )
  }

  /** What is left of segments that are no longer part of the log: empty log files and indexes. */
  async #removeEmpty(segments: readonly Segment[]): Promise<void> {
    const { disk, files } = this.#options.shared
    for (const segment of segments) {
      files.forget(segment.path)
      const suffixes = [INDEX_SUFFIX, TIME_INDEX_SUFFIX, TRANSACTION_INDEX_SUFFIX]
      for (const path of [segment.path, ...suffixes.map(suffix => segment.pathOf(suffix))]) {
        if ((await disk.size(path)) !== null) await disk.remove(path)
      }
    }
  }
}

async function isEndMark(file: DiskFile, position: number): Promise<boolean> {
  const bytes = Buffer.alloc(END_MARK.length)
  return (await file.read(bytes, position)) === bytes.length && bytes.equals(END_MARK)
}

async function isZeroFrom(file: DiskFile, start: number, end: number): Promise<boolean> {
  const chunk = Buffer.allocUnsafeSlow(Math.min(COPY_BYTES, Math.max(1, end - start)))
  for (let at = start; at < end; ) {
    const length = await file.read(chunk.subarray(0, Math.min(chunk.length, end - at)), at)
    if (length === 0) return true
    if (!isZero(chunk.subarray(0, length))) return false
    at += length
  }
  return true
}

/** Durable when it resolves, but for the name; closes `to`. */
async function copyRange(from: DiskFile, start: number, end: number, to: DiskFile): Promise<void> {
  try {
    const chunk = Buffer.allocUnsafeSlow(COPY_BYTES)
    for (let at = start; at < end; ) {
      const length = await from.read(chunk.subarray(0, Math.min(chunk.length, end - at)), at)
      if (length === 0) break
      await to.write([chunk.subarray(0, length)], at - start)
      at += length
    }
    await to.truncate(end - start)
    await to.sync()
  } finally {
    await to.close()
  }
}
