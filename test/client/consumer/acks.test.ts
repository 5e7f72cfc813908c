/**
 * Acknowledgements in any order, and what may be committed by them.
 */
import fc from 'fast-check'
import t from 'tap'
import { AckLedger } from '../../../client/consumer/acks.ts'

t.test('the lowest record that is not done is what holds a commit back', async t => {
  const ledger = new AckLedger()
  t.equal(ledger.lowest, null)
  for (const offset of [10, 11, 14, 15]) ledger.handOut(offset)
  t.equal(ledger.lowest, 10)
  ledger.ack(14)
  t.equal(ledger.lowest, 10)
  ledger.ack(10)
  t.equal(ledger.lowest, 11)
  ledger.ack(11)
  t.equal(ledger.lowest, 15, 'what was done before its turn is passed')
  t.equal(ledger.open, 1)
  ledger.ack(15)
  t.equal(ledger.lowest, null)
})

t.test('what was never handed out, or done already, changes nothing', async t => {
  const ledger = new AckLedger()
  ledger.handOut(5)
  ledger.ack(4)
  ledger.ack(6)
  t.equal(ledger.lowest, 5)
  ledger.ack(5)
  ledger.ack(5)
  t.equal(ledger.lowest, null)
  ledger.handOut(6)
  ledger.clear()
  ledger.ack(6)
  t.equal(ledger.lowest, null)
})

t.test('the record that an application was handed last, and left, is not waited for', async t => {
  const ledger = new AckLedger()
  ledger.handOut(1)
  ledger.handOut(2)
  t.ok(ledger.isAwaited)
  ledger.leaveLast()
  t.ok(ledger.isAwaited, 'the one before may be in work')
  ledger.ack(1)
  t.notOk(ledger.isAwaited)
  t.equal(ledger.lowest, 2, 'but it is not done either')
})

t.test('in any order of thousands it agrees with the plain definition', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3000 }), fc.integer(), (count, seed) => {
      const ledger = new AckLedger()
      const open = new Set<number>()
      let random = seed >>> 0
      const draw = (below: number): number => {
        random = (Math.imul(random, 1_664_525) + 1_013_904_223) >>> 0
        return random % below
      }
      for (let offset = 0; offset < count; offset++) {
        ledger.handOut(offset)
        open.add(offset)
        const done = Math.max(0, offset - draw(40))
        ledger.ack(done)
        open.delete(done)
      }
      const lowest = Math.min(...open)
      return ledger.lowest === (open.size === 0 ? null : lowest) && ledger.open === open.size
    }),
    { numRuns: 50 },
  )
})
