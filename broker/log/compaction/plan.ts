/**
 * Which part of a log may be compacted, whether it is worth it, and which segments become one: decisions over what is
 * known of the segments, by Kafka's rules (LogCleanerManager, Cleaner.groupSegmentsBySize).
 *
 *   | clean       | dirty                  | uncleanable               |
 *   [0 .. 99] [100 .. 219] [220 .. 300] [301 .. 400] [401 .. active
 *             ^ first dirty offset       ^ high watermark, last stable offset, min.compaction.lag.ms, active segment
 */
import { type Offset } from '../../../client/protocol/types.ts'
import { type LogConfig } from '../config.ts'
import { type SegmentFacts } from '../segments.ts'

/** Offsets of a segment are stored relative to its base, in 31 bits. */
const MAX_RELATIVE_OFFSET = 2 ** 31 - 1
/** The larger of the two kinds of index entries. */
const INDEX_ENTRY_BYTES = 12

export interface CompactionBounds {
  readonly logStartOffset: Offset
  readonly logEndOffset: Offset
  /** Not beyond the high watermark. */
  readonly lastStableOffset: Offset
  readonly durableOffset: Offset
  /** Where the last compaction got to, 0 before the first. */
  readonly cleanedTo: Offset
  /** When the first tombstone of the clean part may go, Infinity where none waits or nobody knows. */
  readonly nextHorizonMs: number
  /** Delete horizons up to here may pass; -Infinity: none may now. */
  readonly dueHorizonMs: number
}

export interface CompactionPlan {
  /** Keys are read from here. */
  readonly firstDirtyOffset: Offset
  /** Base of the first segment that must not be touched. */
  readonly uncleanableOffset: Offset
  readonly cleanBytes: number
  readonly dirtyBytes: number
  /** Share of the dirty bytes in all that could be compacted; what the dirtiest log is chosen by. */
  readonly dirtyRatio: number
  /** Null: nothing to do now. */
  readonly reason: 'dirty ratio' | 'max.compaction.lag.ms' | 'delete.retention.ms' | null
}

export function isCompacted(config: LogConfig): boolean {
  return config.cleanupPolicy.includes('compact')
}

/** `segments`: of the whole log, the active one last. */
export function planCompaction(
  segments: readonly SegmentFacts[],
  bounds: CompactionBounds,
  config: LogConfig,
  wallMs: number,
): CompactionPlan {
  const { cleanedTo, logStartOffset, logEndOffset } = bounds
  // A checkpoint beyond the end is of a log that was cut since: nothing of it holds.
  const isBelievable = cleanedTo >= logStartOffset && cleanedTo <= logEndOffset
  const firstDirtyOffset = isBelievable ? cleanedTo : logStartOffset
  const uncleanableOffset = findUncleanable(segments, bounds, firstDirtyOffset, config, wallMs)
  let cleanBytes = 0
  let dirtyBytes = 0
  let oldestDirtyMs = Infinity
  for (const [i, segment] of segments.entries()) {
    if (segment.baseOffset >= uncleanableOffset) break
    const isClean = (segments[i + 1]?.baseOffset ?? Infinity) <= firstDirtyOffset
    if (isClean) {
      cleanBytes += segment.sizeBytes
      continue
    }
    dirtyBytes += segment.sizeBytes
    if (segment.sizeBytes > 0) oldestDirtyMs = Math.min(oldestDirtyMs, oldestMs(segment))
  }
  const dirtyRatio = dirtyBytes === 0 ? 0 : dirtyBytes / (cleanBytes + dirtyBytes)
  const reason = reasonToCompact()
  return { firstDirtyOffset, uncleanableOffset, cleanBytes, dirtyBytes, dirtyRatio, reason }

  function reasonToCompact(): CompactionPlan['reason'] {
    if (dirtyBytes > 0 && dirtyRatio > config.minCleanableDirtyRatio) return 'dirty ratio'
    if (dirtyBytes > 0 && oldestDirtyMs < wallMs - config.maxCompactionLagMs) return 'max.compaction.lag.ms'
    if (cleanBytes > 0 && bounds.nextHorizonMs <= bounds.dueHorizonMs) return 'delete.retention.ms'
    return null
  }
}

/** The first timestamp is not known of a segment that was there when the broker started. */
function oldestMs({ firstTimestamp, largestTimestamp, createdMs }: SegmentFacts): number {
  if (firstTimestamp >= 0) return firstTimestamp
  return largestTimestamp >= 0 ? largestTimestamp : createdMs
}

function findUncleanable(
  segments: readonly SegmentFacts[],
  bounds: CompactionBounds,
  firstDirtyOffset: Offset,
  config: LogConfig,
  wallMs: number,
): Offset {
  const limit = Math.min(bounds.lastStableOffset, bounds.durableOffset)
  const found = segments.find((segment, i) => {
    const end = segments[i + 1]?.baseOffset
    // The active segment, and what is not decided, or not even on disk.
    if (end === undefined || end > limit) return true
    const isDirty = end > firstDirtyOffset
    const newestMs = segment.largestTimestamp >= 0 ? segment.largestTimestamp : segment.createdMs
    return isDirty && config.minCompactionLagMs > 0 && newestMs > wallMs - config.minCompactionLagMs
  })
  return found?.baseOffset ?? bounds.logStartOffset
}

/** A segment as its place in a group depends on it. */
export interface GroupedSegment {
  readonly baseOffset: Offset
  readonly sizeBytes: number
  /** Base of the one that follows. */
  readonly endOffset: Offset
}

/**
 * Segments that follow one another and become one: as many as fit segment.bytes, segment.index.bytes and the range of
 * relative offsets, were nothing to be dropped.
 */
export function groupSegments<S extends GroupedSegment>(
  segments: readonly S[],
  limits: {
    readonly segmentBytes: number
    readonly segmentIndexBytes: number
    readonly indexIntervalBytes: number
  },
): S[][] {
  const groups: S[][] = []
  let sizeBytes = 0
  let indexBytes = 0
  for (const segment of segments) {
    const group = groups.at(-1)
    const ownIndexBytes =
      INDEX_ENTRY_BYTES * (1 + Math.floor(segment.sizeBytes / Math.max(1, limits.indexIntervalBytes)))
    const fits =
      group !== undefined &&
      sizeBytes + segment.sizeBytes <= limits.segmentBytes &&
      indexBytes + ownIndexBytes <= limits.segmentIndexBytes &&
      segment.endOffset - 1 - group[0]!.baseOffset <= MAX_RELATIVE_OFFSET
    if (fits) group.push(segment)
    else groups.push([segment])
    sizeBytes = (fits ? sizeBytes : 0) + segment.sizeBytes
    indexBytes = (fits ? indexBytes : 0) + ownIndexBytes
  }
  return groups
}
