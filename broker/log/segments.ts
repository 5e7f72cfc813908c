/**
 * When a log begins a new segment and which segments it may let go: decisions over what is known of the segments,
 * without touching one.
 */
import { type Offset } from '../../client/protocol/types.ts'
import { type LogConfig } from './config.ts'

/** What the decisions want to know of one segment. */
export interface SegmentFacts {
  readonly baseOffset: Offset
  readonly sizeBytes: number
  /** Largest timestamp of its batches, -1 while it is empty or has none. */
  readonly largestTimestamp: number
  /** Largest timestamp of its first batch, -1 where unknown or empty. */
  readonly firstTimestamp: number
  /** Wall clock when the file was made. */
  readonly createdMs: number
  readonly indexFull: boolean
}

/** Offsets of a segment are stored relative to its base, in 32 bits. */
const MAX_RELATIVE_OFFSET = 2 ** 31 - 1

/** A batch that is about to be appended. */
export interface NextBatch {
  readonly byteLength: number
  readonly lastOffset: Offset
  readonly maxTimestamp: number
}

/**
 * Whether `next` must begin a new segment. `jitter` in [0, 1) spreads the rolls of many partitions made at the same
 * time over segment.jitter.ms.
 */
export function shouldRoll(
  active: SegmentFacts,
  next: NextBatch,
  config: LogConfig,
  jitter: number,
  wallMs: number,
): boolean {
  if (active.sizeBytes === 0) return next.lastOffset - active.baseOffset > MAX_RELATIVE_OFFSET
  if (active.sizeBytes + next.byteLength > config.segmentBytes) return true
  if (active.indexFull) return true
  if (next.lastOffset - active.baseOffset > MAX_RELATIVE_OFFSET) return true
  // Only what is rolled can be compacted.
  const isCompacted = config.cleanupPolicy.includes('compact')
  const segmentMs = isCompacted ? Math.min(config.segmentMs, config.maxCompactionLagMs) : config.segmentMs
  const limitMs = segmentMs - jitter * Math.min(config.segmentJitterMs, segmentMs)
  return ageMs(active, next.maxTimestamp, wallMs) > limitMs
}

/** Counted in the records' own time where they have one, so that a log which is written anew rolls as the first did. */
function ageMs(active: SegmentFacts, timestamp: number, wallMs: number): number {
  if (active.firstTimestamp >= 0 && timestamp >= 0) return timestamp - active.firstTimestamp
  return wallMs - active.createdMs
}

export interface RetentionPlan {
  /** Where the log starts from now on. Equal to the present start: nothing is to be done. */
  readonly logStartOffset: Offset
  /** The active segment goes too: nothing is left of the log but where it ends. */
  readonly deletesAll: boolean
  readonly reason: 'retention.bytes' | 'retention.ms' | 'log start' | null
}

/**
 * Which segments from the oldest on are to be deleted: those below the log start, those beyond retention.bytes, those
 * whose newest record is older than retention.ms. Nothing at or above the high watermark goes.
 *
 *   segments   [0 .. 99] [100 .. 219] [220 .. 300]   plan { logStartOffset: 220 } deletes the first two
 */
export function planRetention(
  segments: readonly SegmentFacts[],
  log: { readonly logStartOffset: Offset; readonly highWatermark: Offset; readonly logEndOffset: Offset },
  config: LogConfig,
  wallMs: number,
): RetentionPlan {
  const endOf = (index: number): Offset => segments[index + 1]?.baseOffset ?? log.logEndOffset
  let excessBytes = -1
  if (config.retentionBytes >= 0) {
    excessBytes = segments.reduce((sum, segment) => sum + segment.sizeBytes, 0) - config.retentionBytes
  }
  let reason: RetentionPlan['reason'] = null
  let deleted = 0
  for (const [index, segment] of segments.entries()) {
    const isActive = index === segments.length - 1
    if (endOf(index) > log.highWatermark || (isActive && segment.sizeBytes === 0)) break
    const why = reasonToDelete(segment, isActive ? null : endOf(index), excessBytes)
    if (why === null) break
    excessBytes -= segment.sizeBytes
    reason = why
    deleted += 1
  }
  if (deleted === 0) return { logStartOffset: log.logStartOffset, deletesAll: false, reason: null }
  const start = Math.max(log.logStartOffset, endOf(deleted - 1)) as Offset
  return { logStartOffset: start, deletesAll: deleted === segments.length, reason }

  function reasonToDelete(
    segment: SegmentFacts,
    nextBase: Offset | null,
    excess: number,
  ): RetentionPlan['reason'] {
    if (nextBase !== null && nextBase <= log.logStartOffset) return 'log start'
    if (!config.cleanupPolicy.includes('delete')) return null
    if (config.retentionBytes >= 0 && excess >= segment.sizeBytes) return 'retention.bytes'
    // A segment without timestamps is as old as its file.
    const newestMs = segment.largestTimestamp >= 0 ? segment.largestTimestamp : segment.createdMs
    return config.retentionMs >= 0 && wallMs - newestMs > config.retentionMs ? 'retention.ms' : null
  }
}
