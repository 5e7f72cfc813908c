import t from 'tap'
import { AssertionError, assert, unreachable } from '../../../client/protocol/assert.ts'

t.test('an assertion that holds says nothing', async t => {
  t.doesNotThrow(() => assert(true, 'truth'))
  t.doesNotThrow(() => assert('text', 'text is true'))
})

t.test('an assertion that fails throws its message', async t => {
  t.throws(() => assert(false, 'offsets rise'), new AssertionError('offsets rise'))
  t.throws(() => assert(undefined, 'there is a value'), AssertionError)
})

t.test('what the types rule out is a bug when it comes', async t => {
  t.throws(() => unreachable('surprise' as never), new AssertionError('unexpected value: surprise'))
})
