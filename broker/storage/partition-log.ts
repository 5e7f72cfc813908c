/**
 * The files of one partition as one log: append, read, roll, truncate, delete, recover. It keeps bytes and offsets
 * and makes no protocol decisions; it must never show a batch that is not written, call a batch durable that is
 * not, or go on after a failed sync.
 *
 *   logStart     segments        active segment
 *      v    |........|........|...........#####~~~~~|
 *                                         ^    ^    ^
 *                                 durableOffset |    endOffset (appended)
 *                                         writtenOffset
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { DiskError } from '../env.ts'
import { baseNameOf, parentOf } from './checkpoints.ts'
import { type CleaningOptions, type CleaningOutcome, cleanLog } from './cleaner/log-cleaner.ts'
import { SegmentExchange } from './cleaner/segment-exchange.ts'
import { deletedFolderName } from './file-names.ts'
import { prepareFolder } from './folder.ts'
import { LogCutter } from './log-cutter.ts'
import { LogReader, segmentNumber } from './log-reader.ts'
import { LogSearch } from './log-search.ts'
import { LogWriter } from './log-writer.ts'
import { type ProducerSnapshot } from './producer-snapshot.ts'
import { type RecoveredSegments, recoverSegments } from './recovery.ts'
import { replayLog } from './replay.ts'
import { Segment, writeIndexes } from './segment.ts'
import { type SharedStorage } from './shared-storage.ts'
import { Snapshots } from './snapshots.ts'
import { emptySlices, type PartitionTail } from './tail-cache.ts'
import { type AbortedTransaction } from './transaction-index.ts'
import {
  type LogCut,
  type LogSlices,
  type Recovered,
  type RecoveryProgress,
  type Replay,
  type SegmentConfig,
  type SegmentInfo,
  type StoredBatch,
} from './types.ts'

export interface OpenLogOptions {
  readonly shared: SharedStorage
  /** `<data>/<topic>-<partition>`, made where it is missing. */
  readonly directory: string
  readonly config: SegmentConfig
  /** From the log-start-offset checkpoint, 0 where it has none. A log that starts later than that starts later. */
  readonly logStartOffset: Offset
  /** From the recovery-point checkpoint, 0 where it has none. Not looked at after a clean shutdown. */
  readonly recoveryPoint: Offset
  /** From the cleaner-offset checkpoint: segments below may end before the next one begins. Default 0. */
  readonly cleanedTo?: Offset
  readonly cleanShutdown: boolean
  readonly replay?: Replay
  /** Called now and then while a scan takes long. */
  readonly onProgress?: (progress: RecoveryProgress) => void
  /** Asked before anything is cut off or set aside; rejecting keeps the log closed and its files as they are. */
  readonly onCut?: (cut: LogCut) => Promise<void>
}

export interface OpenedLog {
  readonly log: PartitionLog
  readonly recovered: Recovered
}

export class PartitionLog {
  readonly directory: string
  readonly #shared: SharedStorage
  readonly #segments: Segment[]
  readonly #tail: PartitionTail
  readonly #writer: LogWriter
  readonly #reader: LogReader
  readonly #search: LogSearch
  readonly #cutter: LogCutter
  readonly #exchange: SegmentExchange
  readonly #snapshots: Snapshots
  #config: SegmentConfig
  #isClosed = false
  /** Since it was opened: else closing finds all in order. */
  #wasChanged = false
  /** A truncation is under way: nothing may be appended. */
  #isCutting = false

  /** For `open` alone. */
  constructor(options: OpenLogOptions, segments: Segment[], snapshots: Snapshots) {
    const { shared, directory, config } = options
    this.directory = directory
    this.#shared = shared
    this.#config = config
    this.#segments = segments
    this.#snapshots = snapshots
    this.#tail = shared.tailCache.partition()
    this.#writer = new LogWriter({
      shared,
      directory,
      endOffset: this.#active.endOffset,
      preallocateBytes: () => (this.#config.preallocate ? this.#config.segmentBytes : 0),
      onCut: endOffset => this.#forgetFrom(endOffset),
      takeSpare: () => this.#cutter.takeSpare(),
    })
    this.#reader = new LogReader({ shared, segments: () => this.#segments, config: () => this.#config })
    this.#search = new LogSearch({ shared, segments: this.#segments, reader: this.#reader })
    this.#cutter = new LogCutter({
      shared,
      directory,
      segments: this.#segments,
      writer: this.#writer,
      reader: this.#reader,
      snapshots,
      config: () => this.#config,
    })
    this.#exchange = new SegmentExchange({
      shared,
      directory,
      segments: this.#segments,
      writer: this.#writer,
      reader: this.#reader,
      onExchanged: endOffset => this.#tail.forgetBelow(endOffset),
    })
  }

  /**
   * Brings the folder into order (left-overs, torn tail, missing indexes) and opens it. Rejects with `DiskError`,
   * or with `CorruptLogError` where going on would lose what cannot be set aside.
   */
  static async open(options: OpenLogOptions): Promise<OpenedLog> {
    const first = await recoverFolder(options)
    const isShort = endOf(first.segments, options) < options.recoveryPoint
    // What was durable is not there: neither a mark of a clean stop nor the recovery point is believed, everything is
    // looked through. A file that does not belong here may have hidden it, and then nothing must be cut.
    const opening = isShort ? { ...options, cleanShutdown: false, recoveryPoint: 0 as Offset } : options
    const found = isShort ? await recoverFolder(opening) : first
    reportMissing(options, endOf(found.segments, options))
    return PartitionLog.#open(opening, found)
  }

  static async #open(options: OpenLogOptions, found: RecoveredFolder): Promise<OpenedLog> {
    const { shared, directory, logStartOffset } = options
    const { content, segments, recovered } = found
    const isStartBeyond = segments.length > 0 && logStartOffset > segments.at(-1)!.endOffset
    if (segments.length === 0) {
      segments.push(new Segment(directory, logStartOffset, shared.clock.wallMs()))
    }
    const snapshots = new Snapshots(shared, directory, content.snapshots)
    const log = new PartitionLog(options, segments, snapshots)
    await log.#finishOpening(content.isNew || !options.cleanShutdown, recovered)
    if (isStartBeyond) {
      shared.log.error(
        'the log ends before its start offset: all that is left in it was deleted before, it starts anew',
        {
          directory,
          logStartOffset,
          endOffset: log.endOffset,
        },
      )
      await log.truncateFullyAndStartAt(logStartOffset)
    }
    await replayLog({ ...options, segments: log.#segments, reader: log.#reader, snapshots })
    return { log, recovered }
  }

  /** What opening tells, told anew: the newest producer snapshot and every batch after it, as the log is now. */
  async replay(replay: Replay): Promise<void> {
    await replayLog({
      shared: this.#shared,
      segments: this.#segments,
      reader: this.#reader,
      snapshots: this.#snapshots,
      recoveryPoint: this.endOffset,
      cleanShutdown: false,
      replay,
    })
  }

  async #finishOpening(needsNames: boolean, recovered: Recovered): Promise<void> {
    const active = this.#active
    if (!active.exists) {
      this.#shared.files.unpin(active.path, await this.#writer.createFile(active))
    }
    // The name of the folder itself is made durable by the first sync, before anything in it counts as durable.
    // After a process that was killed it may be there and not be durable yet.
    if (needsNames) this.#writer.namesChanged(true)
    // What a crash has left in the page cache was read and found whole, but nobody has synced it yet.
    for (const segment of this.#segments) if (segment.isDirty) this.#writer.fileChanged(segment)
    if (recovered.scanned) await this.sync()
    this.#wasChanged = recovered.scanned || recovered.rebuiltIndexes > 0
  }

  get #active(): Segment {
    return this.#segments.at(-1)!
  }

  /** In order of their base offsets; the last one is the active one. Never empty. */
  get segments(): readonly SegmentInfo[] {
    const last = this.#segments.length - 1
    return this.#segments.map((segment, i) => segment.info(this.#config, i === last))
  }

  /** The last of `segments`, for those who ask with each append. */
  get activeSegment(): SegmentInfo {
    return this.#active.info(this.#config, true)
  }

  /** Bytes of all segments. */
  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0)
  }

  /** Base offset of the first segment: nothing before it exists on disk. The log start offset may lie higher. */
  get firstOffset(): Offset {
    return this.#segments[0]!.baseOffset
  }

  /** One beyond the last offset appended. */
  get endOffset(): Offset {
    return this.#active.endOffset
  }

  /** One beyond the last offset handed to the system: what may be shown to readers. */
  get writtenOffset(): Offset {
    return this.#writer.writtenOffset
  }

  /** One beyond the last offset that survives a power cut. */
  get durableOffset(): Offset {
    return this.#writer.durableOffset
  }

  /** The failed sync or write that made this log read-only, or null. */
  get failure(): Error | null {
    return this.#writer.failure
  }

  updateConfig(config: SegmentConfig): void {
    this.#config = config
  }

  // ------------------------------------------------------------------------------------- writing

  /**
   * Joins the pending write and the tail cache; nothing is on disk yet. `baseOffset` is at least `endOffset`.
   * Throws `failure` where there is one.
   */
  append(batch: StoredBatch): void {
    if (this.#writer.failure !== null) throw this.#writer.failure
    assert(!this.#isClosed && !this.#isCutting, 'nothing is appended to a log that is closed or being cut')
    const active = this.#active
    assert(batch.baseOffset >= active.endOffset, 'batches are appended in order of their offsets')
    assert(
      batch.lastOffset - active.baseOffset <= 0x7fff_ffff,
      'offsets of a segment fit 31 bits: roll before',
    )
    this.#wasChanged = true
    const before = active.mark()
    active.add(batch.lastOffset, batch.maxTimestamp, batch.bytes.length, this.#config)
    this.#writer.enqueue(active, before, batch)
    this.#tail.add(batch)
  }

  /** What is appended from now on goes to a new segment. `baseOffset` is where it starts: at least `endOffset`. */
  roll(baseOffset: Offset): void {
    const active = this.#active
    assert(!this.#isClosed && !this.#isCutting, 'a log that is closed or being cut is not rolled')
    assert(baseOffset >= active.endOffset, 'a segment starts behind all that was appended')
    // An empty segment already is a new one; it could not have the same name twice.
    if (active.sizeBytes === 0 && active.baseOffset === baseOffset) return
    this.#wasChanged = true
    if (active.exists || active.sizeBytes > 0) {
      active.seal()
      active.sealedMs = this.#shared.clock.monotonicMs()
      this.#writer.segmentSealed(active)
    } else {
      // It was rolled before anything was written to it: there is not even a file.
      this.#segments.pop()
    }
    this.#segments.push(new Segment(this.directory, baseOffset, this.#shared.clock.wallMs()))
  }

  /** Appended and not handed to the system yet. */
  get pendingBytes(): number {
    return this.#writer.pendingBytes
  }

  /**
   * Hands all that is pending to the system, one vectored write per segment. Undefined: done already, on the loop.
   * A promise: the thread pool is at it, later calls join. Throws or rejects with `AppendError` when the disk took
   * not all: then nothing from its `endOffset` on exists any more, also what was appended in the meantime.
   */
  writePending(): undefined | Promise<void> {
    return this.#writer.write()
  }

  /**
   * Group commit: resolves to `durableOffset` when all that was written at the time of the call is durable. At most
   * one sync is under way; callers that come meanwhile share the next one. Rejects with the `DiskError` of a failed
   * sync, which is final: the broker has to stop. Segments that were rolled are finished by it too (index files).
   */
  sync(): Promise<Offset> {
    return this.#writer.sync()
  }

  // ------------------------------------------------------------------------------------- reading

  /**
   * Whole batches from the one that holds `offset` on, all with offsets below `limit`, of at most `maxBytes` (or
   * the first one alone, where it is larger and `atLeastOne`). Synchronous when the tail cache or read-ahead has
   * them. Empty where nothing is to be had; `offset` must be at least `firstOffset`. Rejects with `CorruptLogError`
   * or `DiskError`.
   */
  read(offset: Offset, maxBytes: number, limit: Offset, atLeastOne: boolean): LogSlices | Promise<LogSlices> {
    assert(offset >= this.firstOffset, 'nothing is read before the first segment')
    // What is not written yet is in the tail cache too, but not for anybody's eyes.
    const written = Math.min(limit, this.writtenOffset) as Offset
    if (offset >= written) return emptySlices(offset)
    const fromTail = this.#tail.read(offset, maxBytes, written, atLeastOne)
    if (fromTail !== null) return fromTail
    return this.#reader.read({ offset, maxBytes, limit: written, atLeastOne })
  }

  /** Bytes from the batch at `offset` to the end of the log; an estimate, touches no disk. */
  bytesFrom(offset: Offset): number {
    let bytes = 0
    const first = Math.max(0, segmentNumber(this.#segments, offset))
    for (let i = first; i < this.#segments.length; i++) bytes += this.#segments[i]!.sizeBytes
    return Math.max(0, bytes - this.#search.estimatePosition(this.#segments[first]!, offset))
  }

  /**
   * The first batch from `fromOffset` on, below `limit`, whose largest timestamp is at least `timestamp`; null:
   * none.
   */
  findByTimestamp(timestamp: number, fromOffset: Offset, limit: Offset): Promise<LogSlices | null> {
    const written = Math.min(limit, this.writtenOffset) as Offset
    return this.#search.findByTimestamp(timestamp, fromOffset, written)
  }

  /** The first batch that has the largest timestamp of all below `limit`; null when there is no batch. */
  findMaxTimestamp(fromOffset: Offset, limit: Offset): Promise<LogSlices | null> {
    const written = Math.min(limit, this.writtenOffset) as Offset
    return this.#search.findMaxTimestamp(fromOffset, written)
  }

  /** Adds to the transaction index of the active segment. Durable with the next sync after it. */
  appendAborted(transaction: AbortedTransaction): Promise<void> {
    return this.#search.appendAborted(this.#active, transaction)
  }

  /** Aborted transactions that have records in `fromOffset` .. `upTo` - 1. */
  abortedTransactions(fromOffset: Offset, upTo: Offset): Promise<AbortedTransaction[]> {
    return this.#search.abortedTransactions(fromOffset, upTo)
  }

  // ------------------------------------------------------------------------------------- cutting

  /**
   * Removes every batch that reaches `offset`, so the log ends at it or (where it lies inside a batch) before it.
   * Indexes and producer snapshots beyond go too. Resolves to the new end, durably. Pending writes are written
   * first; nothing may be appended until it has resolved.
   */
  truncateTo(offset: Offset): Promise<Offset> {
    return this.#cut(async () => {
      if (offset >= this.endOffset) return this.endOffset
      const endOffset = await this.#cutter.truncateTo(offset)
      this.#tail.truncateTo(endOffset)
      return endOffset
    })
  }

  /**
   * Removes everything; the log is empty and starts at `offset`, durably. Nothing may be appended until it has
   * resolved.
   */
  async truncateFullyAndStartAt(offset: Offset): Promise<void> {
    await this.#cut(async () => {
      await this.#cutter.startAt(offset)
      this.#tail.clear()
    })
  }

  async #cut<T>(action: () => Promise<T>): Promise<T> {
    assert(!this.#isClosed && !this.#isCutting, 'a log is cut by one at a time, while it is open')
    this.#isCutting = true
    this.#wasChanged = true
    try {
      await this.#writer.write()
      return await this.#writer.exclusive(action)
    } catch (error) {
      // Half cut, the files and what is known of them may disagree.
      throw this.#writer.poison(error as Error)
    } finally {
      this.#isCutting = false
    }
  }

  /**
   * Deletes the segments all of whose offsets are below `offset`, never the active one. They are renamed to
   * `.deleted` at once and removed by a later `purgeDeleted`. Resolves to the number deleted.
   */
  deleteSegmentsBefore(offset: Offset): Promise<number> {
    return this.#writer.exclusive(() => this.#cutter.deleteBefore(offset))
  }

  /** Removes files that were marked deleted at least `delayMs` ago (file.delete.delay.ms). For a periodic tick. */
  purgeDeleted(delayMs: number): Promise<void> {
    return this.#cutter.purgeDeleted(delayMs)
  }

  /**
   * Compacts: replaces segments by ones without the records that later ones of their keys have made worthless. One at
   * a time, and not while segments are deleted for their age. Rejects with CleaningGivenUp, CorruptLogError or
   * DiskError; the log is whole then, and may be partly compacted.
   */
  clean(options: CleaningOptions): Promise<CleaningOutcome> {
    assert(!this.#isClosed, 'a log that is closed is not compacted')
    const parts = {
      shared: this.#shared,
      segments: this.#segments,
      reader: this.#reader,
      writer: this.#writer,
      exchange: this.#exchange,
      config: this.#config,
      abortedTransactions: (from: Offset, upTo: Offset) => this.abortedTransactions(from, upTo),
    }
    return cleanLog(parts, options)
  }

  /** Counts up when compaction has changed what is read. */
  get exchanges(): number {
    return this.#reader.exchanges
  }

  /** Writes `<offset>.snapshot`; durable when it resolves. Older snapshots than the newest two are removed. */
  writeSnapshot(snapshot: ProducerSnapshot): Promise<void> {
    return this.#snapshots.write(snapshot)
  }

  /** After a failed write: everything from `endOffset` on has never been. */
  #forgetFrom(endOffset: Offset): void {
    while (this.#segments.length > 1 && this.#active.baseOffset > endOffset) {
      const gone = this.#segments.pop()!
      this.#writer.segmentGone(gone)
      // The one before is the active one again.
      this.#writer.segmentGone(this.#active)
      if (this.#active.writtenBytes > 0) this.#writer.fileChanged(this.#active)
    }
    this.#tail.truncateTo(endOffset)
  }

  // ------------------------------------------------------------------------------------- closing

  /** Pending writes are written; `clean` makes all durable and trims the files. Later calls of any kind reject. */
  async close(clean: boolean): Promise<void> {
    if (this.#isClosed) return
    try {
      if (clean && this.failure === null) {
        await this.#writer.write()
        await this.#writer.exclusive(() => this.#settleAll())
      }
    } finally {
      this.#letGo()
      await this.#shared.files.settle()
    }
  }

  async #settleAll(): Promise<void> {
    const active = this.#active
    if (!active.exists) this.#shared.files.unpin(active.path, await this.#writer.createFile(active))
    if (active.fileBytes > active.writtenBytes) await this.#writer.trim(active)
    if (this.#wasChanged) {
      active.seal()
      await writeIndexes(this.#shared, active, true)
      this.#writer.namesChanged()
    }
    await this.#writer.syncNow()
  }

  #letGo(): void {
    this.#isClosed = true
    this.#reader.forget()
    this.#tail.clear()
    for (const segment of this.#segments) {
      this.#writer.segmentGone(segment)
      this.#shared.indexes.forget(segment)
      this.#shared.files.forget(segment.path)
    }
    this.#writer.poison(new DiskError('IO_ERROR', this.directory, 'the log is used after it was closed'))
  }

  /** Closes, renames the folder to `<topic>-<partition>.<unique>-delete` durably and removes it. */
  async delete(unique: string): Promise<void> {
    const { disk } = this.#shared
    await this.#writer.exclusive(async () => this.#letGo())
    await this.#shared.files.settle()
    const parent = parentOf(this.directory)
    const renamed = `${parent}/${deletedFolderName(baseNameOf(this.directory), unique)}`
    await disk.rename(this.directory, renamed)
    await disk.syncDirectory(parent)
    await disk.removeTree(renamed)
  }
}

type RecoveredFolder = RecoveredSegments & { readonly content: Awaited<ReturnType<typeof prepareFolder>> }

async function recoverFolder(options: OpenLogOptions): Promise<RecoveredFolder> {
  const { shared, directory } = options
  const content = await prepareFolder(shared.disk, directory, shared.log)
  return { content, ...(await recoverSegments({ ...options, bases: content.bases })) }
}

/** Before its start offset a log need not have anything. */
function endOf(segments: readonly Segment[], { logStartOffset }: OpenLogOptions): Offset {
  return Math.max(segments.at(-1)?.endOffset ?? 0, logStartOffset) as Offset
}

/** Up to the recovery point all was durable: when the log ends before it, the disk has lost it, or somebody did. */
function reportMissing({ shared, directory, recoveryPoint }: OpenLogOptions, endOffset: Offset): void {
  if (endOffset >= recoveryPoint) return
  shared.log.error(
    'records that were durable are missing from the end of the log, their offsets will be given out again. ' +
      'Check the disk, and whether files of the folder were removed; if this partition has replicas, they hold the records',
    { directory, endOffset, recoveryPoint },
  )
}
