import t from 'tap'
import { parseOffset } from '../../../cli/records/offset.ts'

const NOW = Date.parse('2026-01-31T12:00:00Z')

t.test('a position is read as people write it', t => {
  t.same(parseOffset('start', NOW), { kind: 'start' })
  t.same(parseOffset('earliest', NOW), { kind: 'start' })
  t.same(parseOffset('end', NOW), { kind: 'end' })
  t.same(parseOffset('1200', NOW), { kind: 'offset', offset: 1200 })
  t.same(parseOffset('-100', NOW), { kind: 'from-end', count: 100 })
  t.end()
})

t.test('a time is milliseconds since 1970, a date, or so long ago', t => {
  t.same(parseOffset('@1767225600000', NOW), { kind: 'time', timestampMs: 1_767_225_600_000 })
  t.same(parseOffset('@2026-01-31T11:00:00Z', NOW), { kind: 'time', timestampMs: NOW - 3_600_000 })
  t.same(parseOffset('@15m', NOW), { kind: 'time', timestampMs: NOW - 900_000 })
  t.end()
})

t.test('anything else is a usage error that says what can be written', t => {
  for (const text of ['', 'middle', '1.5', '--1', '@', '@soon']) {
    t.throws(() => parseOffset(text, NOW), /position|time|duration/, text)
  }
  t.end()
})
