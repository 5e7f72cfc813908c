import t from 'tap'
import { fit, over } from '../../../cli/output/live.ts'

t.test('what does not fit the terminal is counted', t => {
  t.same(fit(['a', 'b'], 2), ['a', 'b'])
  t.same(fit(['a', 'b', 'c', 'd'], 3), ['a', 'b', '… 2 more'])
  t.end()
})

t.test('lines are written over the ones before, and what is left of those is cleared', t => {
  t.equal(over(['a'], 0), '\x1b[?7la\x1b[K\n\x1b[J\x1b[?7h')
  t.equal(over(['a', 'b'], 3), '\x1b[?7l\x1b[3A\ra\x1b[K\nb\x1b[K\n\x1b[J\x1b[?7h')
  t.end()
})
