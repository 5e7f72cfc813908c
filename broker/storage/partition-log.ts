/**
 * The files of one partition as one log: append, read, roll, truncate, delete, recover. It keeps bytes and offsets and
 * makes no protocol decisions; it must never show a batch that is not written, call a batch durable that is not, or
 * go on after a failed sync.
 *
 *   logStart     segments        active segment
 *      v    |........|........|...........#####~~~~~|
 *                                         ^    ^    ^
 *                                 durableOffset |    endOffset (appended)
 *                                         writtenOffset
 */
import { type Offset } from '../../client/protocol/types.ts'
import { type ProducerSnapshot } from './producer-snapshot.ts'
import { type SharedStorage } from './shared-storage.ts'
import {
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
  readonly cleanShutdown: boolean
  readonly replay?: Replay
  /** Called now and then while a scan takes long. */
  readonly onProgress?: (progress: RecoveryProgress) => void
}

export interface OpenedLog {
  readonly log: PartitionLog
  readonly recovered: Recovered
}

export class PartitionLog {
  /**
   * Brings the folder into order (left-overs, torn tail, missing indexes) and opens it. Rejects with `DiskError`, or
   * with `CorruptLogError` where going on would lose what cannot be set aside.
   */
  static open(_options: OpenLogOptions): Promise<OpenedLog> {
    throw new Error('not implemented')
  }

  declare readonly directory: string
  /** In order of their base offsets; the last one is the active one. Never empty. */
  get segments(): readonly SegmentInfo[] {
    throw new Error('not implemented')
  }
  /** Bytes of all segments. */
  get sizeBytes(): number {
    throw new Error('not implemented')
  }
  /** Base offset of the first segment: nothing before it exists on disk. The log start offset may lie higher. */
  get firstOffset(): Offset {
    throw new Error('not implemented')
  }
  /** One beyond the last offset appended. */
  get endOffset(): Offset {
    throw new Error('not implemented')
  }
  /** One beyond the last offset handed to the system: what may be shown to readers. */
  get writtenOffset(): Offset {
    throw new Error('not implemented')
  }
  /** One beyond the last offset that survives a power cut. */
  get durableOffset(): Offset {
    throw new Error('not implemented')
  }
  /** The failed sync or write that made this log read-only, or null. */
  get failure(): Error | null {
    throw new Error('not implemented')
  }

  updateConfig(_config: SegmentConfig): void {
    throw new Error('not implemented')
  }

  /**
   * Joins the pending write and the tail cache; nothing is on disk yet. `baseOffset` is at least `endOffset`. Throws
   * `failure` where there is one.
   */
  append(_batch: StoredBatch): void {
    throw new Error('not implemented')
  }

  /** What is appended from now on goes to a new segment. `baseOffset` is where it starts: at least `endOffset`. */
  roll(_baseOffset: Offset): void {
    throw new Error('not implemented')
  }

  /**
   * Hands all that is pending to the system, one vectored write per segment. Undefined: done already, on the loop. A
   * promise: the thread pool is at it, later calls join. Throws or rejects with `AppendError` when the disk took not
   * all: then nothing from its `endOffset` on exists any more, also what was appended in the meantime.
   */
  writePending(): undefined | Promise<void> {
    throw new Error('not implemented')
  }

  /**
   * Group commit: resolves to `durableOffset` when all that was written at the time of the call is durable. At most one
   * sync is under way; callers that come meanwhile share the next one. Rejects with the `DiskError` of a failed sync,
   * which is final: the broker has to stop.
   */
  sync(): Promise<Offset> {
    throw new Error('not implemented')
  }

  /**
   * Whole batches from the one that holds `offset` on, all with offsets below `limit`, of at most `maxBytes` (or the first
   * one alone, where it is larger and `atLeastOne`). Synchronous when the tail cache or read-ahead has them. Empty where
   * nothing is to be had; `offset` must be at least `firstOffset`. Rejects with `CorruptLogError` or `DiskError`.
   */
  read(
    _offset: Offset,
    _maxBytes: number,
    _limit: Offset,
    _atLeastOne: boolean,
  ): LogSlices | Promise<LogSlices> {
    throw new Error('not implemented')
  }

  /** Bytes from the batch at `offset` to the end of what is written; exact to an index interval, touches no disk. */
  bytesFrom(_offset: Offset): number {
    throw new Error('not implemented')
  }

  /** The first batch from `fromOffset` on, below `limit`, whose largest timestamp is at least `timestamp`; null: none. */
  findByTimestamp(_timestamp: number, _fromOffset: Offset, _limit: Offset): Promise<LogSlices | null> {
    throw new Error('not implemented')
  }

  /** The first batch that has the largest timestamp of all below `limit`; null when there is no batch. */
  findMaxTimestamp(_fromOffset: Offset, _limit: Offset): Promise<LogSlices | null> {
    throw new Error('not implemented')
  }

  /**
   * Removes every batch that reaches `offset`, so the log ends at it or (where it lies inside a batch) before it.
   * Indexes and producer snapshots beyond go too. Resolves to the new end. Pending writes are written first.
   */
  truncateTo(_offset: Offset): Promise<Offset> {
    throw new Error('not implemented')
  }

  /** Removes everything; the log is empty and starts at `offset`. */
  truncateFullyAndStartAt(_offset: Offset): Promise<void> {
    throw new Error('not implemented')
  }

  /**
   * Deletes the segments all of whose offsets are below `offset`, never the active one. They are renamed to `.deleted` at
   * once and removed by a later `purgeDeleted`. Resolves to the number deleted.
   */
  deleteSegmentsBefore(_offset: Offset): Promise<number> {
    throw new Error('not implemented')
  }

  /** Removes files that were marked deleted at least `delayMs` ago (file.delete.delay.ms). For a periodic tick. */
  purgeDeleted(_delayMs: number): Promise<void> {
    throw new Error('not implemented')
  }

  /** Writes `<offset>.snapshot`; durable when it resolves. Older snapshots than the newest two are removed. */
  writeSnapshot(_snapshot: ProducerSnapshot): Promise<void> {
    throw new Error('not implemented')
  }

  /** Pending writes are written; `clean` makes all durable and trims the files. Later calls of any kind reject. */
  close(_clean: boolean): Promise<void> {
    throw new Error('not implemented')
  }

  /** Closes, renames the folder to `<topic>-<partition>.<unique>-delete` durably and removes it. */
  delete(_unique: string): Promise<void> {
    throw new Error('not implemented')
  }
}
