import fc from 'fast-check'
import t from 'tap'
import {
  decodeChanges,
  decodeSnapshot,
  durableOffsetIn,
  encodeChanges,
  encodeSnapshot,
} from '../../../broker/metastore/records.ts'
import { MetaState, type StateChange } from '../../../broker/metastore/state.ts'
import { MalformedError } from '../../../client/protocol/errors.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import { type Offset } from '../../../client/protocol/types.ts'
import { anyTransaction } from './model.ts'

t.test('changes survive the way into a batch and back', async t => {
  const changes: StateChange[] = [
    { type: 'grant', lease: '12', ttlMs: 3000 },
    { type: 'put', key: '/a', value: Buffer.from('value'), lease: '12' },
    { type: 'put', key: '', value: Buffer.alloc(0), lease: null },
    { type: 'delete', key: '/b\u{1F600}' },
    { type: 'revoke', lease: '12' },
    { type: 'compact', revision: 2 ** 40 },
  ]
  const bytes = encodeChanges(changes, 77 as Offset, 1000, 70 as Offset)
  t.strictSame(decodeChanges(bytes, 0), changes)
  t.equal(durableOffsetIn(bytes, 0), 70, 'and what was durable before them')
})

t.test('records of a later version are refused by name', async t => {
  const later = encodeBatch([
    { key: 'k', value: 'v', timestamp: 0, headers: [{ key: 'op', value: 'merge' }] },
  ])
  t.throws(
    () => decodeChanges(later, 0),
    new MalformedError('the metadata log has a record of unknown kind "merge": it is from a later version'),
  )
  const bare = encodeBatch([{ key: 'k', value: 'v', timestamp: 0 }])
  t.throws(() => decodeChanges(bare, 0), MalformedError)
  const wrong = encodeBatch([
    {
      key: 'k',
      value: null,
      timestamp: 0,
      headers: [
        { key: 'op', value: 'grant' },
        { key: 'ttl', value: '-1' },
      ],
    },
  ])
  t.throws(() => decodeChanges(wrong, 0), MalformedError)
})

t.test('an image survives the way into a snapshot and back', async t => {
  fc.assert(
    fc.property(fc.array(anyTransaction, { maxLength: 20 }), transactions => {
      const state = new MetaState()
      state.apply([{ type: 'grant', lease: '1', ttlMs: 9000 }], 0)
      state.execute({ success: [{ type: 'put', key: 'leased', value: Buffer.from('x'), lease: '1' }] })
      for (const transaction of transactions) state.execute(transaction)
      const snapshot = { image: state.image(), logOffset: 99 as Offset }
      t.strictSame(decodeSnapshot(Buffer.concat(encodeSnapshot(snapshot, 0))), snapshot)
    }),
    { numRuns: 50 },
  )
})

t.test('a large image fills several batches', async t => {
  const state = new MetaState()
  for (let i = 0; i < 100; i++) {
    state.execute({ success: [{ type: 'put', key: `key ${i}`, value: Buffer.alloc(30_000, i) }] })
  }
  const pieces = encodeSnapshot({ image: state.image(), logOffset: 0 as Offset }, 0)
  t.ok(pieces.length > 2)
  t.strictSame(decodeSnapshot(Buffer.concat(pieces)).image, state.image())
})

t.test('a snapshot that is not whole is malformed', async t => {
  const state = new MetaState()
  for (let i = 0; i < 60; i++) {
    state.execute({ success: [{ type: 'put', key: `key ${i}`, value: Buffer.alloc(30_000, i) }] })
  }
  const pieces = encodeSnapshot({ image: state.image(), logOffset: 0 as Offset }, 0)
  const whole = Buffer.concat(pieces)
  t.throws(() => decodeSnapshot(Buffer.alloc(0)), MalformedError, 'empty')
  t.throws(() => decodeSnapshot(whole.subarray(0, -1)), MalformedError, 'cut')
  t.throws(() => decodeSnapshot(pieces[0]!), MalformedError, 'cut between batches')
  t.throws(() => decodeSnapshot(Buffer.concat(pieces.slice(1))), MalformedError, 'without its beginning')
  const damaged = Buffer.from(whole)
  damaged[whole.length >> 1]! ^= 1
  t.throws(() => decodeSnapshot(damaged), MalformedError, 'damaged')
})
