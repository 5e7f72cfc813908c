import t from 'tap'
import { parseSeek, resolveSeek } from '../../../cli/records/shift.ts'

const NOW = Date.UTC(2026, 0, 31)
const range = { committed: 50, earliest: 10, end: 100, atTime: 70 }
const to = (text: string, at = range) => resolveSeek(parseSeek(text, undefined, NOW), at)
const by = (text: string, at = range) => resolveSeek(parseSeek(undefined, text, NOW), at)

t.test('a group is moved to a place, or by a number of records', async t => {
  t.equal(to('start'), 10)
  t.equal(to('end'), 100)
  t.equal(to('42'), 42)
  t.equal(to('-5'), 95)
  t.equal(by('-20'), 30)
  t.equal(by('+20'), 70)
  t.equal(by('+20', { ...range, committed: -1 }), 30, 'from the start where nothing is committed')
})

t.test('an offset never leaves the log', async t => {
  t.equal(to('3'), 10)
  t.equal(to('1000'), 100)
  t.equal(by('-1000'), 10)
  t.equal(by('+1000'), 100)
})

t.test('a time is looked up; the end is the answer where no record is as young', async t => {
  t.same(parseSeek(undefined, '-15m', NOW), { kind: 'time', timestampMs: NOW - 900_000 })
  t.same(parseSeek('@15m', undefined, NOW), { kind: 'time', timestampMs: NOW - 900_000 })
  t.equal(by('-15m'), 70)
  t.equal(by('-15m', { ...range, atTime: -1 }), 100)
})

t.test('what makes no sense is refused', async t => {
  for (const text of ['15', '+15m', '-', '-1x', ''])
    t.throws(() => by(text), { exitCode: 2 } as unknown as Error)
  t.throws(() => parseSeek(undefined, undefined, NOW), { message: /Where to is not said/ })
  t.throws(() => parseSeek('start', '-1', NOW), { message: /exclude each other/ })
})
