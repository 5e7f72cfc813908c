import fc from 'fast-check'
import t from 'tap'
import { compareKeys, SortedKeys } from '../../../broker/metastore/keys.ts'
import { type Operation } from '../../../broker/metastore/metastore.ts'
import { MetaState } from '../../../broker/metastore/state.ts'
import { anySelect, anyTransaction, ModelStore } from './model.ts'

const put = (key: string, value = 'v', lease: string | null = null): Operation => ({
  type: 'put',
  key,
  value: Buffer.from(value),
  lease,
})
const remove = (key: string): Operation => ({ type: 'delete', key })

/** Carries out one transaction without conditions. */
function run(state: MetaState, ...success: Operation[]): number {
  return state.execute({ success }).result.revision
}

t.test(
  'a store starts at revision 1, and each transaction that changes something takes the next',
  async t => {
    const state = new MetaState()
    t.equal(state.revision, 1)
    t.equal(run(state, put('a'), put('b')), 2, 'one for all that it changes')
    t.equal(run(state, remove('nothing')), 2, 'none for what changes nothing')
    t.equal(run(state, { type: 'range', select: { key: 'a' } }), 2, 'none for a read')
    t.equal(run(state, remove('a')), 3)
  },
)

t.test('a key remembers when it was made, when it changed, and how often', async t => {
  const state = new MetaState()
  run(state, put('a', 'one'))
  run(state, put('other'))
  run(state, put('a', 'two'))
  t.match(state.range({ key: 'a' }).entries, [{ createRevision: 2, modRevision: 4, version: 2, lease: null }])
  run(state, remove('a'))
  t.same(state.range({ key: 'a' }).entries, [])
  run(state, put('a', 'three'))
  t.match(
    state.range({ key: 'a' }).entries,
    [{ createRevision: 6, modRevision: 6, version: 1 }],
    'a new life',
  )
})

t.test('conditions decide which branch is carried out', async t => {
  const state = new MetaState()
  const claim = {
    compare: [{ key: 'leader', target: 'version', value: 0 } as const],
    success: [put('leader', 'me')],
    failure: [{ type: 'range', select: { key: 'leader' } } as const],
  }
  t.match(state.execute(claim).result, { succeeded: true, revision: 2 })
  const second = state.execute(claim).result
  t.match(second, { succeeded: false, revision: 2, results: [{ type: 'range', count: 1 }] })
})

t.test('the keys of a lease go in the order of all keys', async t => {
  const state = new MetaState()
  state.apply([{ type: 'grant', lease: '1', ttlMs: 1000 }], 0)
  run(state, put('\u{1F600}', 'v', '1'), put('\uFFFD', 'v', '1'), put('a', 'v', '1'))
  const changes = state.revocation('1') ?? []
  t.same(
    changes.flatMap(change => (change.type === 'delete' ? [change.key] : [])),
    ['a', '\uFFFD', '\u{1F600}'],
  )
})

t.test('ranges page through a prefix at one revision', async t => {
  const state = new MetaState()
  for (const key of ['p/1', 'p/2', 'p/3', 'q']) run(state, put(key))
  const first = state.range({ prefix: 'p/' }, { limit: 2 })
  t.same(
    first.entries.map(entry => entry.key),
    ['p/1', 'p/2'],
  )
  t.equal(first.count, 3)
  run(state, put('p/2a'), remove('p/3'))
  const rest = state.range({ prefix: 'p/' }, { after: 'p/2', revision: first.revision })
  t.same(
    rest.entries.map(entry => entry.key),
    ['p/3'],
    'as it was',
  )
  t.match(state.range({ prefix: '' }, { countOnly: true }), { count: 4, entries: [] })
})

t.test('a transaction that cannot be carried out changes nothing and says why', async t => {
  const state = new MetaState()
  run(state, put('a'))
  const refused = (success: Operation[], code: string): void => {
    t.throws(() => state.execute({ success }), { code }, code)
    t.equal(state.revision, 2)
    t.equal(state.range({ prefix: '' }).count, 1)
  }
  refused([put('b'), put('b')], 'DUPLICATE_KEY')
  refused([put('b'), remove('b')], 'DUPLICATE_KEY')
  refused([{ type: 'delete-prefix', prefix: 'b' }, put('b/1')], 'DUPLICATE_KEY')
  refused([put('b'), put('c', 'v', '77')], 'LEASE_NOT_FOUND')
  refused([put('b'), { type: 'range', select: { key: 'a' }, options: { revision: 9 } }], 'FUTURE_REVISION')
  refused(
    Array.from({ length: 129 }, (_, i) => put(`k${i}`)),
    'TOO_MANY_OPERATIONS',
  )
  t.throws(() => state.execute({ success: [], failure: [put('b'), put('b')] }), { code: 'DUPLICATE_KEY' })
})

t.test('compaction forgets what was before, and nothing else', async t => {
  const state = new MetaState()
  run(state, put('a', 'one')) // 2
  run(state, put('b', 'one')) // 3
  run(state, remove('a')) // 4
  run(state, put('b', 'two')) // 5
  state.checkCompact(4)
  state.apply([{ type: 'compact', revision: 4 }], 0)
  t.equal(state.compactRevision, 4)
  t.throws(() => state.range({ key: 'b' }, { revision: 3 }), { code: 'COMPACTED', compactRevision: 4 })
  t.same(
    state.range({ prefix: '' }, { revision: 4 }).entries.map(entry => entry.value.toString()),
    ['one'],
  )
  t.match(state.eventsOf(4, { prefix: '' }), [{ type: 'delete', key: 'a', previous: null }], 'still watched')
  t.throws(() => state.checkCompact(4), { code: 'COMPACTED' })
  t.throws(() => state.checkCompact(6), { code: 'FUTURE_REVISION' })
})

t.test('the keys of a lease go with it, in one revision', async t => {
  const state = new MetaState()
  state.apply([{ type: 'grant', lease: state.nextLease, ttlMs: 5000 }], 100)
  t.equal(state.nextLease, '2')
  run(state, put('a', 'v', '1'), put('b', 'v', '1'), put('c'))
  run(state, put('b', 'mine now'))
  t.equal(state.nextDeadlineMs, 5100)
  t.equal(state.renew('1', 4000), true)
  t.same(state.expiredLeases(8999), [])
  t.same(state.expiredLeases(9000), ['1'])
  state.apply(state.revocation('1')!, 9000)
  t.equal(state.revision, 4)
  t.same(
    state.range({ prefix: '' }).entries.map(entry => entry.key),
    ['b', 'c'],
    'a put without it lets go of it',
  )
  t.equal(state.revocation('1'), null)
  t.equal(state.renew('1', 9000), false)
})

t.test('whatever the transactions are, the store agrees with the model at every revision', async t => {
  fc.assert(
    fc.property(
      fc.array(anyTransaction, { maxLength: 25 }),
      anySelect,
      fc.nat(3),
      (transactions, select, limit) => {
        const state = new MetaState()
        const replayed = new MetaState()
        const model = new ModelStore()
        for (const transaction of transactions) {
          const { result, changes } = state.execute(transaction)
          t.strictSame(result, model.txn(transaction))
          replayed.apply(changes, 0)
        }
        const restored = MetaState.restore(state.image(), 0)
        for (let revision = 1; revision <= model.revision; revision++) {
          const expected = model.range(select, revision, limit)
          for (const store of [state, replayed, restored]) {
            t.strictSame(store.range(select, { revision, limit }), expected)
            t.strictSame(store.eventsOf(revision, select), model.eventsOf(revision, select))
          }
        }
      },
    ),
    { numRuns: 120 },
  )
})

t.test('compaction at any revision leaves the rest as the model has it', async t => {
  const scenario = fc.tuple(fc.array(anyTransaction, { minLength: 1, maxLength: 20 }), fc.nat(), anySelect)
  fc.assert(
    fc.property(scenario, ([transactions, at, select]) => {
      const state = new MetaState()
      const model = new ModelStore()
      for (const transaction of transactions) {
        state.execute(transaction)
        model.txn(transaction)
      }
      const compact = 1 + (at % model.revision)
      state.apply([{ type: 'compact', revision: compact }], 0)
      const restored = MetaState.restore(state.image(), 0)
      for (const store of [state, restored]) {
        for (let revision = compact; revision <= model.revision; revision++) {
          t.strictSame(store.range(select, { revision }), model.range(select, revision))
          const changed = (events: readonly { type: string }[]): unknown[] =>
            events.map(event => ({ ...event, previous: undefined }))
          t.strictSame(changed(store.eventsOf(revision, select)), changed(model.eventsOf(revision, select)))
        }
      }
    }),
    { numRuns: 120 },
  )
})

t.test('what was done last can be undone, as if it had never been', async t => {
  fc.assert(
    fc.property(
      fc.array(anyTransaction, { maxLength: 10 }),
      fc.array(anyTransaction, { maxLength: 5 }),
      (kept, undone) => {
        const state = new MetaState()
        for (const transaction of kept) state.execute(transaction)
        const before = state.image()
        const undo = undone.map(transaction => state.execute(transaction).undo)
        for (const back of undo.reverse()) back()
        t.strictSame(state.image(), before)
      },
    ),
    { numRuns: 100 },
  )
  const state = new MetaState()
  state.apply([{ type: 'grant', lease: '1', ttlMs: 10 }], 0)
  run(state, put('a', 'v', '1'))
  const before = state.image()
  const first = state.execute({ success: [put('a', 'w')] }).undo
  const second = state.apply(state.revocation('1')!, 0)
  second()
  first()
  t.strictSame(state.image(), before)
  t.same(state.revocation('1'), [
    { type: 'delete', key: 'a' },
    { type: 'revoke', lease: '1' },
  ])
})

t.test('keys are in the order of their UTF-8 bytes', async t => {
  const anyText = fc.string({ unit: 'binary', maxLength: 4 })
  fc.assert(
    fc.property(anyText, anyText, (a, b) => {
      const expected = Buffer.compare(Buffer.from(a), Buffer.from(b))
      return Math.sign(compareKeys(a, b)) === expected
    }),
  )
  const keys = new SortedKeys()
  for (const key of ['b', 'a', 'c', 'a', '']) keys.add(key)
  keys.remove('b')
  keys.remove('x')
  t.equal(keys.size, 3)
  t.same([keys.at(0), keys.at(1), keys.at(2)], ['', 'a', 'c'])
})
