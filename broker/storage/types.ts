/**
 * What a partition's files and their users say to each other. Types only; who owns which buffer is said here.
 */
import { type BatchHeader } from '../../client/protocol/batch.ts'
import { type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type Retained } from '../slab.ts'
import { type ProducerSnapshot } from './producer-snapshot.ts'

/** One stamped batch on its way to disk. `bytes` must not change after `append`. */
export interface StoredBatch {
  readonly bytes: Uint8Array
  /** Who owns `bytes`; null for plain memory. The log retains it for as long as it needs the bytes. */
  readonly owner: Retained | null
  readonly baseOffset: Offset
  readonly lastOffset: Offset
  readonly maxTimestamp: number
  readonly leaderEpoch: LeaderEpoch
}

/** Whole batches, one after another, as they lie on disk. Empty: `byteLength` 0, both offsets equal. */
export interface LogSlices {
  readonly slices: readonly Uint8Array[]
  readonly byteLength: number
  /** Base offset of the first batch, which may lie before the offset asked for. */
  readonly firstOffset: Offset
  /** One beyond the last offset of the last batch: where the next read goes on. */
  readonly nextOffset: Offset
  /** The slices are valid until this is called, which must happen exactly once. */
  release(): void
}

/** The part of a topic's config that concerns files. */
export interface SegmentConfig {
  /** segment.bytes: a hint only, who appends decides when to roll; it sizes preallocation. */
  readonly segmentBytes: number
  /** segment.index.bytes: bounds the entries of one offset index (8 bytes each) and time index (12 bytes each). */
  readonly indexBytes: number
  /** index.interval.bytes */
  readonly indexIntervalBytes: number
  /** preallocate: extend a new segment to its full size at once; off by default, as in Kafka. */
  readonly preallocate: boolean
}

export interface SegmentInfo {
  readonly baseOffset: Offset
  /** Bytes of batches, written and pending. */
  readonly sizeBytes: number
  /** Largest timestamp of its batches, -1 while it is empty. */
  readonly largestTimestamp: number
  /** Largest timestamp of its first batch (what segment.ms counts from), -1 where unknown or empty. */
  readonly firstTimestamp: number
  /** Wall clock when it was made or opened; what segment.ms counts from where no batch has a timestamp. */
  readonly createdMs: number
  /** The offset index takes no further entry: roll. Always false for segments that are not the active one. */
  readonly indexFull: boolean
}

/** What the log has lost its chance to store; the cause is a `DiskError`, mostly DISK_FULL. */
export class AppendError extends Error {
  override readonly name = 'AppendError'
  /** Every batch from this offset on is gone, written or not, and may be appended anew: the log ends here now. */
  readonly endOffset: Offset

  constructor(endOffset: Offset, message: string, cause: unknown) {
    super(message, { cause })
    this.endOffset = endOffset
  }
}

/** Bytes on disk that are no batch where one should be. Reading or opening that partition cannot go on by itself. */
export class CorruptLogError extends Error {
  override readonly name = 'CorruptLogError'
  readonly code = 'CORRUPT_LOG'
  readonly path: string
  readonly position: number

  constructor(path: string, position: number, message: string) {
    super(`${message} (${path}, position ${position})`)
    this.path = path
    this.position = position
  }
}

export interface RecoveryProgress {
  readonly directory: string
  readonly scannedBytes: number
  readonly totalBytes: number
}

/** What opening found, and did. */
export interface Recovered {
  /** False: sizes and indexes were checked, no batch was. */
  readonly scanned: boolean
  readonly scannedBytes: number
  /** Bytes cut from the end because no whole batch was left in them. Preallocated zeros do not count. */
  readonly truncatedBytes: number
  /** Copies of what was cut although valid batches followed the damage: the operator must hear of each. */
  readonly damaged: readonly DamagedRange[]
  readonly rebuiltIndexes: number
}

/** What recovery is about to take from a log. */
export interface LogCut {
  /** The file, and where in it the log is to end; what lies behind is to go. */
  readonly path: string
  readonly position: number
  /** One beyond the last offset that stays. */
  readonly endOffset: Offset
  /** Segments behind it, which go with it. */
  readonly laterPaths: readonly string[]
}

export interface DamagedRange {
  readonly path: string
  readonly position: number
  /** First offset that is missing now, and the largest that was seen valid behind the damage. */
  readonly firstOffset: Offset
  readonly lastOffset: Offset
  /** Where the bytes are kept. */
  readonly copy: string
}

/**
 * Receives what rebuilds the state kept in memory. `snapshot` comes first, exactly once: the newest valid producer
 * snapshot that is not beyond the log's end, or null. Then every batch from the snapshot's offset on (after an
 * unclean stop from the recovery point on, if that is lower), in order: who rebuilds producers skips those below
 * the snapshot.
 */
export interface Replay {
  snapshot(snapshot: ProducerSnapshot | null): void
  batch(header: BatchHeader): void
}
