/** Patterns of topics: RE2's syntax, whole names, and no pattern that costs more than it should. */
import t from 'tap'
import { TopicPatterns } from '../../../broker/runtime/group-patterns.ts'
import { workedMs } from '../../helpers/worked.ts'

t.test('a pattern matches whole names', async t => {
  const patterns = new TopicPatterns()
  const matches = (pattern: string, name: string) => patterns.compile(pattern)?.(name)
  t.equal(matches('orders', 'orders'), true)
  t.equal(matches('orders', 'orders-eu'), false)
  t.equal(matches('orders-(eu|us)', 'orders-us'), true)
  t.equal(matches('a|ab', 'ab'), true)
  t.equal(matches('^orders.*$', 'orders-eu'), true)
  t.equal(matches('(?i)ORDERS', 'orders'), true)
  t.equal(matches('orders.', 'orders'), false)
})

t.test('what RE2 does not have is not valid', async t => {
  const patterns = new TopicPatterns()
  for (const pattern of ['(', '[', '*', '(?=a)', '(?!a)', '(a)\\1', 'a{1001}']) {
    t.equal(patterns.compile(pattern), null, pattern)
  }
  t.equal(patterns.compile('('), null, 'asked again, it is still not')
})

t.test('what would take long with a backtracking engine takes no time', async t => {
  const matches = new TopicPatterns().compile('(a+)+b')
  const before = workedMs()
  t.equal(matches?.('a'.repeat(249)), false)
  // With such an engine it would be more than the age of the universe.
  t.ok(workedMs() - before < 1000)
})

t.test('a pattern that is large when it is written out is refused', async t => {
  const patterns = new TopicPatterns()
  t.equal(patterns.compile('(a{0,30}){0,30}'), null)
  t.equal(patterns.compile('x'.repeat(1025)), null)
  t.type(patterns.compile('x'.repeat(249)), 'function')
})
