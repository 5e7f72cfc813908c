import t from 'tap'
import {
  type ConfigDecision,
  type ConfigEdit,
  type ConfigRules,
  decideConfigEdits,
  decideConfigReplacement,
} from '../../../broker/controller/configs.ts'
import { errorName } from '../../../client/protocol/errors.ts'

const rules: ConfigRules = {
  problem: (name, text) => (text === 'bad' || name.startsWith('no.') ? `bad ${name}` : null),
  isList: name => name === 'list',
  fallback: () => 'x',
}

const outcome = (decision: ConfigDecision): unknown =>
  decision.refusal === null ? decision.configs : errorName(decision.refusal.error)

const edit = (
  current: Record<string, string>,
  ...edits: [string, ConfigEdit['operation'], string | null][]
): unknown =>
  outcome(
    decideConfigEdits(
      new Map(Object.entries(current)),
      edits.map(([name, operation, value]) => ({ name, operation, value })),
      rules,
    ),
  )

t.test('edits change what they name and leave the rest', t => {
  t.same(edit({ a: '1', b: '2' }, ['a', 'set', '3'], ['b', 'delete', null], ['c', 'set', '4']), {
    a: '3',
    c: '4',
  })
  t.same(edit({ a: '1' }, ['gone', 'delete', null]), { a: '1' })
  t.end()
})

t.test('lists are appended to and subtracted from, starting with what holds', t => {
  t.same(edit({ list: 'a,b' }, ['list', 'append', 'b,c']), { list: 'a,b,c' })
  t.same(edit({ list: 'a,b' }, ['list', 'subtract', 'b,z']), { list: 'a' })
  t.same(edit({}, ['list', 'append', 'y']), { list: 'x,y' })
  t.equal(edit({}, ['a', 'append', 'y']), 'INVALID_CONFIG')
  t.end()
})

t.test('one bad edit refuses them all', t => {
  t.equal(edit({}, ['a', 'set', '1'], ['b', 'set', 'bad']), 'INVALID_CONFIG')
  t.equal(edit({}, ['a', 'set', null]), 'INVALID_REQUEST')
  t.equal(edit({}, ['a', 'set', '1'], ['a', 'delete', null]), 'INVALID_REQUEST')
  t.end()
})

t.test('a replacement forgets what it does not name', t => {
  t.same(outcome(decideConfigReplacement([{ name: 'b', value: '2' }], rules)), { b: '2' })
  t.same(outcome(decideConfigReplacement([], rules)), {})
  t.equal(outcome(decideConfigReplacement([{ name: 'no.such', value: '2' }], rules)), 'INVALID_CONFIG')
  t.end()
})
