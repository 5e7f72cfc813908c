import fc from 'fast-check'
import t from 'tap'
import { RateWindow } from '../../../broker/runtime/rate-window.ts'

t.test('the first sample counts as a whole one', t => {
  const window = new RateWindow({ samples: 11, sampleMs: 1000 })
  t.equal(window.rate(0), 0)
  window.record(500, 0)
  t.equal(window.rate(0), 500, 'bytes of a moment are bytes of a second')
  t.equal(window.rate(999), 500)
  t.equal(window.rate(2000), 250)
  window.record(500, 2000)
  t.equal(window.rate(2000), 500)
  t.end()
})

t.test('what is older than all samples together is forgotten', t => {
  const window = new RateWindow({ samples: 2, sampleMs: 1000 })
  window.record(100, 0)
  window.record(30, 1500)
  t.equal(window.rate(1999), 130_000 / 1999)
  t.equal(window.rate(2000), 30)
  t.equal(window.rate(3500), 0)
  t.end()
})

t.test('it tells when a rate is low enough again', t => {
  const window = new RateWindow({ samples: 11, sampleMs: 1000 })
  t.equal(window.msUntil(0, 0), 0)
  window.record(4000, 0)
  t.equal(window.msUntil(4000, 0), 0)
  t.equal(window.msUntil(1000, 0), 4000, 'four seconds of it')
  t.equal(window.msUntil(1000, 1500), 2500)
  t.equal(window.msUntil(0, 0), 11_000, 'no rate at all: when it is forgotten')
  t.equal(window.msUntil(1, 0), 11_000)
  t.end()
})

const steps = fc.array(
  fc.record({ afterMs: fc.integer({ min: 0, max: 5000 }), bytes: fc.integer({ min: 0, max: 1_000_000 }) }),
  { maxLength: 60 },
)
const shapes = fc.record({
  samples: fc.integer({ min: 1, max: 12 }),
  sampleMs: fc.integer({ min: 1, max: 3000 }),
})

t.test('the rate is that of what a plain list of all samples would hold', async () => {
  fc.assert(
    fc.property(shapes, steps, (shape, steps) => {
      const window = new RateWindow(shape)
      const samples: { startMs: number; bytes: number }[] = []
      let nowMs = 0
      for (const { afterMs, bytes } of steps) {
        nowMs += afterMs
        window.record(bytes, nowMs)
        const last = samples.at(-1)
        if (last !== undefined && nowMs < last.startMs + shape.sampleMs) last.bytes += bytes
        else samples.push({ startMs: nowMs, bytes })
        const kept = samples.filter(({ startMs }) => nowMs < startMs + shape.samples * shape.sampleMs)
        const total = kept.reduce((sum, sample) => sum + sample.bytes, 0)
        const overMs = Math.max(shape.sampleMs, nowMs - (kept[0]?.startMs ?? nowMs))
        if (window.rate(nowMs) !== (total * 1000) / overMs) return false
      }
      return true
    }),
  )
})

t.test(
  'quota is back at the time that is told, not more than a moment before, and in bounded time',
  async () => {
    fc.assert(
      fc.property(shapes, steps, fc.integer({ min: 0, max: 100_000 }), (shape, steps, limit) => {
        const window = new RateWindow(shape)
        let nowMs = 0
        for (const { afterMs, bytes } of steps) {
          nowMs += afterMs
          window.record(bytes, nowMs)
        }
        const waitMs = window.msUntil(limit, nowMs)
        if (waitMs === 0) return window.rate(nowMs) <= limit
        if (waitMs > shape.samples * shape.sampleMs) return false
        // Asked before: the rate only falls while nothing comes and nothing is forgotten, and whole milliseconds are
        // waited.
        const early = waitMs >= 2 && window.rate(nowMs + waitMs - 2) <= limit
        return !early && window.rate(nowMs + waitMs) <= limit
      }),
      { numRuns: 500 },
    )
  },
)

t.test('who waits as told never gets more than its rate and one piece, over any time', async () => {
  const pieces = fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 100 })
  fc.assert(
    fc.property(pieces, fc.integer({ min: 500, max: 5000 }), (pieces, limit) => {
      const window = new RateWindow({ samples: 11, sampleMs: 1000 })
      let nowMs = 0
      let sent = 0
      for (const bytes of pieces) {
        nowMs += window.msUntil(limit, nowMs)
        window.record(bytes, nowMs)
        sent += bytes
      }
      // A second's worth at the start of each span that is remembered, and one piece that went over.
      return sent <= limit * (nowMs / 1000) + (1 + nowMs / 11_000) * (limit + 5000)
    }),
  )
})
