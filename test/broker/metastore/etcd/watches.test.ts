import t from 'tap'
import { ProtobufWriter } from '../../../../broker/metastore/etcd/protobuf.ts'
import { type MetaStoreError, type WatchBatch } from '../../../../broker/metastore/metastore.ts'
import { creations, event, fakeWorld, header, progressRequests, watchAnswer } from './fake-etcd.ts'

function recorder(): {
  changed(batch: WatchBatch): void
  ended(error: MetaStoreError): void
  readonly told: string[]
  error: MetaStoreError | null
} {
  const told: string[] = []
  return {
    told,
    error: null,
    changed({ revision, events }) {
      const keys = events.map(event => (event.type === 'put' ? event.entry.key : `-${event.key}`))
      told.push(`${revision}: ${keys.join(' ')}`)
    },
    ended(error) {
      this.error = error
    },
  }
}

t.test('after a cut a watch goes on behind its last event, whatever the head of the answer said', async t => {
  const world = fakeWorld()
  const store = await world.open()
  const seen = recorder()
  store.watch({ prefix: 'a/' }, 3, seen)
  await world.clock.settle()
  const first = world.etcd.lastStream
  t.match(creations(first.sent), [{ from: 3, start: 'a/', end: 'a0' }])
  first.reply(watchAnswer({ revision: 900, created: true }))
  first.reply(watchAnswer({ revision: 900, events: [event('a/1', 5)] }))
  first.cut()
  await world.clock.advance(1000)
  const second = world.etcd.lastStream
  t.not(second, first)
  t.not(second.port, first.port, 'at another member')
  t.match(creations(second.sent), [{ from: 6 }])
  t.same(seen.told, ['5: a/1'])
  await store.close()
  t.equal(seen.error?.code, 'CLOSED')
})

t.test('the events of one revision are told together, those of others apart', async t => {
  const world = fakeWorld()
  const store = await world.open()
  const seen = recorder()
  store.watch({ prefix: '' }, 3, seen)
  await world.clock.settle()
  const stream = world.etcd.lastStream
  stream.reply(watchAnswer({ revision: 4, created: true }))
  stream.reply(watchAnswer({ revision: 4, events: [event('a', 3), event('b', 3), event('c', 4)] }))
  t.same(seen.told, ['3: a b', '4: c'])
  stream.reply(watchAnswer({ revision: 5, fragment: true, events: [event('d', 5)] }))
  stream.reply(watchAnswer({ revision: 5, fragment: true, events: [event('e', 5)] }))
  t.equal(seen.told.length, 2, 'a part of an answer is not told')
  stream.reply(watchAnswer({ revision: 5, events: [event('f', 5), event('g', 6)] }))
  t.same(seen.told.slice(2), ['5: d e f', '6: g'])
  stream.reply(watchAnswer({ revision: 6, events: [event('g', 6)] }))
  t.equal(seen.told.length, 4, 'nothing is told twice')
  await store.close()
})

t.test('an answer that is cut off in the middle is asked for again as a whole', async t => {
  const world = fakeWorld()
  const store = await world.open()
  const seen = recorder()
  store.watch({ prefix: '' }, 3, seen)
  await world.clock.settle()
  const first = world.etcd.lastStream
  first.reply(watchAnswer({ revision: 5, created: true }))
  first.reply(watchAnswer({ revision: 5, fragment: true, events: [event('d', 5)] }))
  first.cut()
  await world.clock.advance(1000)
  t.match(creations(world.etcd.lastStream.sent), [{ from: 3 }])
  world.etcd.lastStream.reply(watchAnswer({ revision: 5, created: true }))
  world.etcd.lastStream.reply(watchAnswer({ revision: 5, events: [event('d', 5), event('e', 5)] }))
  t.same(seen.told, ['5: d e'])
  await store.close()
})

t.test('who waits for a revision that was not meant for him hears that it has passed', async t => {
  const world = fakeWorld()
  const store = await world.open()
  const seen = recorder()
  store.watch({ prefix: 'a/' }, 3, seen)
  await world.clock.settle()
  const stream = world.etcd.lastStream
  stream.reply(watchAnswer({ revision: 2, created: true }))
  world.etcd.answer = () => new ProtobufWriter().message(1, header(8)).flag(2, true)
  await store.txn({ success: [{ type: 'delete', key: 'elsewhere' }] })
  await world.clock.advance(20)
  t.equal(progressRequests(stream.sent), 1)
  await world.clock.advance(100)
  t.equal(progressRequests(stream.sent), 2, 'a busy server does not answer the first')
  stream.reply(watchAnswer({ revision: 8, id: -1 }))
  t.same(seen.told, ['8: '])
  await world.clock.advance(1000)
  t.equal(progressRequests(stream.sent), 2)
  stream.reply(watchAnswer({ revision: 9 }))
  t.same(seen.told, ['8: ', '9: '], "the server's own notice counts as well")
  stream.cut()
  await world.clock.advance(1000)
  t.match(creations(world.etcd.lastStream.sent), [{ from: 10 }])
  await store.close()
})

t.test('a server whose notices overtake events is asked for all keys instead', async t => {
  const world = fakeWorld()
  world.etcd.version = '3.4.23'
  const store = await world.open()
  const seen = recorder()
  store.watch({ prefix: 'a/' }, 3, seen)
  await world.clock.settle()
  const stream = world.etcd.lastStream
  t.match(creations(stream.sent), [{ from: 3, start: '\0', end: '\0' }])
  stream.reply(watchAnswer({ revision: 2, created: true }))
  stream.reply(watchAnswer({ revision: 9, id: -1 }))
  t.same(seen.told, [], 'a notice says nothing')
  stream.reply(watchAnswer({ revision: 9, events: [event('a/1', 3), event('b', 3), event('c', 4)] }))
  t.same(seen.told, ['3: a/1', '4: '])
  await store.close()
})

t.test('a member that is silent is left', async t => {
  const world = fakeWorld()
  const store = await world.open({ progressIntervalMs: 1000 })
  store.watch({ prefix: '' }, 3, recorder())
  await world.clock.settle()
  const first = world.etcd.lastStream
  first.reply(watchAnswer({ revision: 2, created: true }))
  for (let i = 0; i < 10; i++) {
    await world.clock.advance(1000)
    first.reply(watchAnswer({ revision: 2, id: -1 }))
  }
  t.equal(world.etcd.streams.length, 1, 'answers are a sign of life')
  t.equal(progressRequests(first.sent), 10)
  await world.clock.advance(5000)
  t.equal(world.etcd.streams.length, 2)
  t.ok(first.isCancelled)
  t.not(world.etcd.lastStream.port, first.port)
  await store.close()
})

t.test('a watch that comes too late is told what can still be read', async t => {
  const world = fakeWorld()
  const store = await world.open()
  const late = recorder()
  const fine = recorder()
  store.watch({ prefix: '' }, 3, late)
  store.watch({ prefix: '' }, 9, fine)
  await world.clock.settle()
  const [first, second] = world.etcd.streams
  t.equal(world.etcd.streams.length, 2, 'each has a stream of its own')
  first?.reply(watchAnswer({ revision: 9, created: true }))
  second?.reply(watchAnswer({ revision: 9, created: true }))
  first?.reply(watchAnswer({ revision: 9, canceled: true, compactRevision: 8 }))
  t.match(late.error, { code: 'COMPACTED', compactRevision: 8 })
  t.ok(first?.isCancelled)
  second?.reply(watchAnswer({ revision: 9, events: [event('x', 9)] }))
  t.same(fine.told, ['9: x'], 'the others go on')
  await store.close()
})

t.test('a watch that is not allowed ends and says so', async t => {
  const world = fakeWorld()
  const store = await world.open()
  for (const id of [0, -1]) {
    const seen = recorder()
    store.watch({ prefix: '' }, 3, seen)
    await world.clock.settle()
    const reason = 'etcdserver: permission denied'
    world.etcd.lastStream.reply(watchAnswer({ revision: 9, id, created: true, canceled: true, reason }))
    t.match(seen.error, { code: 'ACCESS_DENIED', message: /role/ })
  }
  await store.close()
})

t.test('a cancelled watch hears nothing, and leaves nothing behind', async t => {
  const world = fakeWorld()
  const store = await world.open()
  const seen = recorder()
  const watch = store.watch({ prefix: '' }, 3, seen)
  store.watch({ prefix: '' }, 3, recorder()).cancel()
  await world.clock.settle()
  t.equal(world.etcd.streams.length, 1, 'the one that was cancelled at once asked for nothing')
  const stream = world.etcd.lastStream
  watch.cancel()
  t.ok(stream.isCancelled)
  stream.reply(watchAnswer({ revision: 3, events: [event('x', 3)] }))
  t.same(seen.told, [])
  await world.clock.advance(5000)
  t.equal(world.etcd.streams.length, 1)
  await store.close()
  t.equal(seen.error, null)
  t.equal(world.clock.pendingTimers, 0, 'no timer is left')
})

t.test(
  'progress is asked for when the watch is confirmed, and not before: no answer is older than it',
  async t => {
    const world = fakeWorld()
    const store = await world.open({ progressIntervalMs: 1000 })
    store.watch({ prefix: 'a/' }, 3, recorder())
    await world.clock.settle()
    world.etcd.answer = () => new ProtobufWriter().message(1, header(8)).flag(2, true)
    await store.txn({ success: [{ type: 'delete', key: 'elsewhere' }] })
    await world.clock.advance(1500)
    t.equal(progressRequests(world.etcd.lastStream.sent), 0)
    world.etcd.lastStream.reply(watchAnswer({ revision: 8, created: true }))
    await world.clock.advance(100)
    t.equal(progressRequests(world.etcd.lastStream.sent), 1)
    await store.close()
  },
)

t.test('an answer that cannot be read ends the stream, not the broker', async t => {
  const world = fakeWorld()
  const store = await world.open()
  store.watch({ prefix: '' }, 3, recorder())
  await world.clock.settle()
  const first = world.etcd.lastStream
  first.reply(new ProtobufWriter().text(1, 'no header'))
  t.ok(first.isCancelled)
  await world.clock.advance(1000)
  t.equal(world.etcd.streams.length, 2)
  await store.close()
})
