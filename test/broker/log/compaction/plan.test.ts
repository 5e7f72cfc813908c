import t from 'tap'
import {
  type CompactionBounds,
  groupSegments,
  planCompaction,
} from '../../../../broker/log/compaction/plan.ts'
import { DEFAULT_LOG_CONFIG, type LogConfig } from '../../../../broker/log/config.ts'
import { type SegmentFacts } from '../../../../broker/log/segments.ts'
import { type Offset } from '../../../../client/protocol/types.ts'

const NOW = 1_000_000
const at = (offset: number): Offset => offset as Offset

/** Segments of 100 offsets and 100 bytes; the last one is active. Each is 1000 ms younger than the one before. */
function segments(count: number): SegmentFacts[] {
  return Array.from({ length: count }, (_, i) => ({
    baseOffset: at(100 * i),
    sizeBytes: 100,
    firstTimestamp: NOW - 1000 * (count - i),
    largestTimestamp: NOW - 1000 * (count - i) + 500,
    createdMs: NOW,
    indexFull: false,
  }))
}

function plan(
  list: readonly SegmentFacts[],
  bounds: Partial<Record<keyof CompactionBounds, number>> = {},
  config: Partial<LogConfig> = {},
): string {
  const end = 100 * list.length
  const all = {
    logStartOffset: 0,
    logEndOffset: end,
    lastStableOffset: end,
    durableOffset: end,
    cleanedTo: 0,
    nextHorizonMs: Infinity,
    dueHorizonMs: NOW,
    ...bounds,
  } as CompactionBounds
  const { firstDirtyOffset, uncleanableOffset, cleanBytes, dirtyBytes, reason } = planCompaction(
    list,
    all,
    { ...DEFAULT_LOG_CONFIG, cleanupPolicy: ['compact'], ...config },
    NOW,
  )
  return `${firstDirtyOffset}..${uncleanableOffset} clean ${cleanBytes} dirty ${dirtyBytes}: ${reason}`
}

t.test('everything but the active segment may be compacted', t => {
  t.equal(plan(segments(4)), '0..300 clean 0 dirty 300: dirty ratio')
  t.equal(plan(segments(1)), '0..0 clean 0 dirty 0: null')
  t.end()
})

t.test('nothing is touched that is not stable or not durable', t => {
  t.equal(plan(segments(4), { lastStableOffset: 299 }), '0..200 clean 0 dirty 200: dirty ratio')
  t.equal(plan(segments(4), { durableOffset: 200 }), '0..200 clean 0 dirty 200: dirty ratio')
  t.end()
})

t.test('a log is compacted when more than min.cleanable.dirty.ratio of it is dirty', t => {
  t.equal(plan(segments(5), { cleanedTo: 100 }), '100..400 clean 100 dirty 300: dirty ratio')
  t.equal(plan(segments(5), { cleanedTo: 200 }), '200..400 clean 200 dirty 200: null')
  t.equal(plan(segments(5), { cleanedTo: 150 }), '150..400 clean 100 dirty 300: dirty ratio')
  t.equal(
    plan(segments(5), { cleanedTo: 300 }, { minCleanableDirtyRatio: 0.2 }),
    '300..400 clean 300 dirty 100: dirty ratio',
  )
  t.equal(
    plan(segments(5), { cleanedTo: 400 }, { minCleanableDirtyRatio: 0 }),
    '400..400 clean 400 dirty 0: null',
  )
  t.end()
})

t.test('what is younger than min.compaction.lag.ms is left, unless it is clean already', t => {
  t.equal(plan(segments(5), {}, { minCompactionLagMs: 2600 }), '0..200 clean 0 dirty 200: dirty ratio')
  t.equal(plan(segments(5), {}, { minCompactionLagMs: 9000 }), '0..0 clean 0 dirty 0: null')
  t.equal(
    plan(segments(5), { cleanedTo: 300 }, { minCompactionLagMs: 9000, minCleanableDirtyRatio: 0 }),
    '300..300 clean 300 dirty 0: null',
  )
  t.end()
})

t.test('what is older than max.compaction.lag.ms is compacted whatever the ratio', t => {
  const config = { minCleanableDirtyRatio: 1 }
  const reason = 'max.compaction.lag.ms'
  t.equal(
    plan(segments(4), {}, { ...config, maxCompactionLagMs: 3999 }),
    `0..300 clean 0 dirty 300: ${reason}`,
  )
  t.equal(plan(segments(4), {}, { ...config, maxCompactionLagMs: 4000 }), '0..300 clean 0 dirty 300: null')
  const unknown = segments(4).map(segment => ({ ...segment, firstTimestamp: -1 }))
  t.equal(plan(unknown, {}, { ...config, maxCompactionLagMs: 3499 }), `0..300 clean 0 dirty 300: ${reason}`)
  t.end()
})

t.test('tombstones that are due are a reason of their own', t => {
  const reason = 'delete.retention.ms'
  t.equal(plan(segments(4), { cleanedTo: 300, nextHorizonMs: NOW }), `300..300 clean 300 dirty 0: ${reason}`)
  t.equal(plan(segments(4), { cleanedTo: 300, nextHorizonMs: NOW + 1 }), '300..300 clean 300 dirty 0: null')
  const held = { cleanedTo: 300, nextHorizonMs: NOW, dueHorizonMs: -Infinity }
  t.equal(plan(segments(4), held), '300..300 clean 300 dirty 0: null')
  t.end()
})

t.test('a checkpoint that does not fit the log is not believed', t => {
  t.equal(plan(segments(4), { cleanedTo: 401 }), '0..300 clean 0 dirty 300: dirty ratio')
  t.equal(
    plan(segments(4), { cleanedTo: 50, logStartOffset: 120 }),
    '120..300 clean 100 dirty 200: dirty ratio',
  )
  t.end()
})

t.test('segments become one as long as they fit, in bytes, in index entries and in offsets', t => {
  const group = (
    sizes: readonly (readonly [baseOffset: number, sizeBytes: number])[],
    limits: { segmentBytes?: number; segmentIndexBytes?: number; indexIntervalBytes?: number } = {},
  ): number[][] => {
    const list = sizes.map(([baseOffset, sizeBytes], i) => ({
      baseOffset: at(baseOffset),
      sizeBytes,
      endOffset: at(sizes[i + 1]?.[0] ?? baseOffset + 1),
    }))
    const all = { segmentBytes: 100, segmentIndexBytes: 1e6, indexIntervalBytes: 10, ...limits }
    return groupSegments(list, all).map(members => members.map(member => member.baseOffset as number))
  }
  t.same(group([]), [])
  const four = [
    [0, 50],
    [10, 50],
    [20, 1],
    [30, 200],
  ] as const
  t.same(group(four), [[0, 10], [20], [30]])
  t.same(group(four, { segmentBytes: 1000 }), [[0, 10, 20, 30]])
  t.same(group(four, { segmentBytes: 1000, segmentIndexBytes: 2 * 6 * 12 }), [[0, 10], [20], [30]])
  t.same(
    group([
      [0, 1],
      [2 ** 31 - 2, 1],
      [2 ** 31 - 1, 1],
      [2 ** 31, 1],
    ]),
    [[0, 2 ** 31 - 2, 2 ** 31 - 1], [2 ** 31]],
  )
  t.end()
})
