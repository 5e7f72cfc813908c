import t from 'tap'
import { compactionRun } from './compaction-run.ts'

t.test(
  'kill -9 in the middle of compactions leaves exactly the last value of each key',
  { timeout: 240_000 },
  async t => {
    const result = await compactionRun({
      bytes: 16 * 1024 * 1024,
      keys: 3000,
      valueBytes: 1024,
      segmentBytes: 1024 * 1024,
      kills: 12,
      maxUptimeMs: 150,
      measures: false,
      baselineMs: 0,
      seed: 42,
    })
    t.same(result.violations.slice(0, 10), [])
    // Keys are drawn at random, so that a few of them may never have been: what counts is that none is missing.
    t.ok(result.keysFound > 2900, `${result.keysFound} keys are there`)
    // Fewer on a busy machine; without any the test would say nothing.
    t.ok(result.killsInside > 1, `${result.killsInside} kills met a compaction`)
    t.ok(
      result.bytesAfter < result.bytesBefore / 2,
      `${result.bytesAfter} of ${result.bytesBefore} bytes are left`,
    )
  },
)
