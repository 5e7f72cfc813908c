/**
 * `npm run compaction -- --bytes 2g --keys 1000000`: the run over a compacted topic as a program. Ends with one JSON
 * line; exit 1 on a violation.
 */
import { parseArgs } from 'node:util'
import { compactionRun } from './compaction-run.ts'

const { values } = parseArgs({
  options: {
    bytes: { type: 'string', default: '64m' },
    keys: { type: 'string', default: '20000' },
    value: { type: 'string', default: '1024' },
    segment: { type: 'string', default: '' },
    kills: { type: 'string', default: '20' },
    uptime: { type: 'string', default: '' },
    baseline: { type: 'string', default: '10' },
    'no-latencies': { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
  },
})

function bytesOf(text: string): number {
  const unit = { k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 }[text.slice(-1).toLowerCase()]
  return unit === undefined ? Number(text) : Number(text.slice(0, -1)) * unit
}

const bytes = bytesOf(values.bytes)
// About sixteen segments, and time enough for a kill to meet any of them.
const segmentBytes =
  values.segment === '' ? Math.max(2 ** 20, Math.ceil(bytes / 16)) : bytesOf(values.segment)
const maxUptimeMs = values.uptime === '' ? 500 + bytes / 2 ** 19 : Number(values.uptime)
const result = await compactionRun({
  bytes,
  keys: Number(values.keys),
  valueBytes: bytesOf(values.value),
  segmentBytes,
  kills: Number(values.kills),
  maxUptimeMs,
  measures: !values['no-latencies'],
  baselineMs: 1000 * Number(values.baseline),
  seed: Number(values.seed),
  onProgress: line => process.stderr.write(`${line}\n`),
})
for (const violation of result.violations.slice(0, 20)) process.stderr.write(`VIOLATION ${violation}\n`)
console.log(JSON.stringify({ ...result, violations: result.violations.length }))
process.exitCode = result.violations.length > 0 ? 1 : 0
