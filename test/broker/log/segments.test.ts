import t from 'tap'
import { DEFAULT_LOG_CONFIG, type LogConfig } from '../../../broker/log/config.ts'
import { planRetention, type SegmentFacts, shouldRoll } from '../../../broker/log/segments.ts'
import { type Offset } from '../../../client/protocol/types.ts'

const HOUR_MS = 3_600_000
const NOW_MS = 1_700_000_000_000

function segment(baseOffset: number, over: Partial<SegmentFacts> = {}): SegmentFacts {
  return {
    baseOffset: baseOffset as Offset,
    sizeBytes: 1000,
    largestTimestamp: NOW_MS,
    firstTimestamp: NOW_MS,
    createdMs: NOW_MS,
    indexFull: false,
    ...over,
  }
}

function config(over: Partial<LogConfig> = {}): LogConfig {
  return { ...DEFAULT_LOG_CONFIG, segmentBytes: 2000, segmentMs: HOUR_MS, ...over }
}

t.test('a batch begins a new segment', t => {
  const next = { byteLength: 1000, lastOffset: 120 as Offset, maxTimestamp: NOW_MS }
  const rolls = (active: SegmentFacts, over: Partial<LogConfig> = {}, batch = next, jitter = 0): boolean =>
    shouldRoll(active, batch, config(over), jitter, NOW_MS)

  t.notOk(rolls(segment(100)), 'not while it fits')
  t.ok(rolls(segment(100, { sizeBytes: 1001 })), 'when it does not fit')
  t.notOk(rolls(segment(100, { sizeBytes: 0 }), { segmentBytes: 10 }), 'not when the present one is empty')
  t.ok(rolls(segment(100, { indexFull: true })), 'when the index is full')
  t.ok(
    rolls(segment(100), {}, { ...next, lastOffset: (100 + 2 ** 31) as Offset }),
    'when the offset is too far from the base for 32 bits',
  )
  t.ok(rolls(segment(100, { firstTimestamp: NOW_MS - HOUR_MS - 1 })), 'when segment.ms is over')
  t.notOk(rolls(segment(100, { firstTimestamp: NOW_MS - HOUR_MS })))
  t.ok(
    rolls(
      segment(100, { firstTimestamp: NOW_MS - HOUR_MS / 2 - 1 }),
      { segmentJitterMs: HOUR_MS },
      next,
      0.5,
    ),
    'sooner by its share of segment.jitter.ms',
  )
  t.ok(
    rolls(segment(100, { firstTimestamp: -1, createdMs: NOW_MS - HOUR_MS - 1 })),
    'by the age of the file where records have no time',
  )
  t.end()
})

t.test('retention', t => {
  const bounds = {
    logStartOffset: 0 as Offset,
    highWatermark: 300 as Offset,
    logEndOffset: 300 as Offset,
  }
  const segments = [segment(0), segment(100), segment(200)]
  const forever = config({ retentionMs: -1 })
  const plan = (over: Partial<LogConfig>, list = segments, at = bounds) =>
    planRetention(list, at, { ...forever, ...over }, NOW_MS)

  t.same(plan({}), { logStartOffset: 0, deletesAll: false, reason: null }, 'keeps everything without limits')
  t.same(
    plan({ retentionBytes: 2000 }),
    { logStartOffset: 100, deletesAll: false, reason: 'retention.bytes' },
    'deletes the oldest while more than retention.bytes is left without it',
  )
  t.same(plan({ retentionBytes: 2001 }).logStartOffset, 0)
  t.same(
    plan({ retentionMs: HOUR_MS }, [
      segment(0, { largestTimestamp: NOW_MS - HOUR_MS - 1 }),
      segment(100),
      segment(200, { largestTimestamp: NOW_MS - 2 * HOUR_MS }),
    ]),
    { logStartOffset: 100, deletesAll: false, reason: 'retention.ms' },
    'deletes what is older than retention.ms, up to the first that is not',
  )
  t.same(
    plan(
      { retentionMs: HOUR_MS },
      segments.map(facts => ({ ...facts, largestTimestamp: NOW_MS - 2 * HOUR_MS })),
    ),
    { logStartOffset: 300, deletesAll: true, reason: 'retention.ms' },
    'the active segment too when it is as old',
  )
  t.same(
    plan({ retentionBytes: 0 }, segments, { ...bounds, highWatermark: 150 as Offset }).logStartOffset,
    100,
    'nothing at or above the high watermark',
  )
  t.same(
    plan({ cleanupPolicy: ['compact'], retentionBytes: 0 }, segments, {
      ...bounds,
      logStartOffset: 120 as Offset,
    }),
    { logStartOffset: 120, deletesAll: false, reason: 'log start' },
    'what lies below the log start goes under every policy',
  )
  t.same(
    plan({ retentionBytes: 0 }, [segment(0, { sizeBytes: 0 })], {
      ...bounds,
      logEndOffset: 0 as Offset,
      highWatermark: 0 as Offset,
    }).reason,
    null,
    'an empty log is left alone',
  )
  t.end()
})
