/**
 * The simulated metadata store when things go wrong: it must fail in every way in which etcd fails, and in no other.
 */
import t from 'tap'
import { type MetaStore, MetaStoreError, type WatchBatch } from '../../../broker/metastore/metastore.ts'
import { MetaStoreWorld } from './meta-world.ts'

const VALUE = Buffer.from('value')

function put(store: MetaStore, key: string): ReturnType<MetaStore['txn']> {
  return store.txn({ success: [{ type: 'put', key, value: VALUE }] })
}

/** How a promise ends, once it does. */
function ending(promise: Promise<unknown>): { how: string | null } {
  const end: { how: string | null } = { how: null }
  promise.then(
    () => (end.how = 'done'),
    (error: unknown) => (end.how = error instanceof MetaStoreError ? error.code : String(error)),
  )
  return end
}

function follow(store: MetaStore, from = 2): { revisions: number[]; ended: string | null } {
  const seen: { revisions: number[]; ended: string | null } = { revisions: [], ended: null }
  store.watch({ prefix: '' }, from, {
    changed: ({ revision, events }: WatchBatch) => {
      if (events.length > 0) seen.revisions.push(revision)
    },
    ended: ({ code }) => (seen.ended = code),
  })
  return seen
}

t.test('a change whose answer is lost was made, and its outcome is unknown', async t => {
  const world = new MetaStoreWorld(1)
  const process = world.process('a')
  const store = world.store(process)
  const first = ending(put(store, 'first'))
  await world.pass(100)
  t.equal(first.how, 'done')
  const heal = world.network.cut(world.server.host, process.host)
  const second = ending(put(store, 'second'))
  await world.pass(4000)
  t.equal(second.how, null, 'the caller still waits')
  await world.pass(1500)
  t.equal(second.how, 'UNKNOWN_OUTCOME')
  t.equal(world.server.state.range({ key: 'second' }).count, 1)
  const third = ending(put(store, 'third'))
  await world.pass(6000)
  t.equal(third.how, 'UNAVAILABLE', 'without a connection nothing is sent')
  t.equal(world.server.state.range({ key: 'third' }).count, 0)
  heal()
  const fourth = ending(put(store, 'fourth'))
  await world.pass(5000)
  t.equal(fourth.how, 'done')
})

t.test('a change that does not arrive may be made after its caller has given up', async t => {
  const world = new MetaStoreWorld(2)
  const process = world.process('a')
  const store = world.store(process)
  await Promise.all([store.range({ key: 'x' }), world.pass(100)])
  const heal = world.network.cut(process.host, world.server.host)
  const change = ending(put(store, 'late'))
  await world.pass(6000)
  t.equal(change.how, 'UNKNOWN_OUTCOME')
  t.equal(world.server.state.range({ key: 'late' }).count, 0)
  heal()
  await world.pass(2000)
  t.equal(world.server.state.range({ key: 'late' }).count, 1)
})

t.test('a lease lives as long as it is renewed, and ends at most half a second late', async t => {
  const world = new MetaStoreWorld(3)
  const store = world.store(world.process('a'))
  const granted = store.grantLease(500)
  await world.pass(50)
  const { id, ttlMs } = await granted
  t.equal(ttlMs, 2000, 'no shorter one is granted')
  const bound = ending(store.txn({ success: [{ type: 'put', key: 'mine', value: VALUE, lease: id }] }))
  await world.pass(1500)
  t.equal(bound.how, 'done')
  const renewedMs = world.scheduler.nowMs
  const renewed = store.keepAlive(id)
  await world.pass(1900)
  t.equal(await renewed, 2000)
  t.equal(world.server.state.range({ key: 'mine' }).count, 1)
  await world.pass(renewedMs + 2600 - world.scheduler.nowMs)
  t.equal(world.server.state.range({ key: 'mine' }).count, 0)
  const tooLate = ending(store.keepAlive(id))
  await world.pass(100)
  t.equal(tooLate.how, 'LEASE_NOT_FOUND')
})

t.test('without a leader nothing is done, and then every lease has its whole time', async t => {
  const world = new MetaStoreWorld(4)
  const store = world.store(world.process('a'))
  const granted = store.grantLease(2000)
  await world.pass(50)
  const { id } = await granted
  world.server.loseLeader(3000)
  const read = ending(store.range({ key: 'x' }))
  await world.pass(2900)
  t.equal(read.how, null)
  t.ok(world.server.state.lease(id), 'no lease ends meanwhile')
  await world.pass(2000)
  t.equal(read.how, 'done', 'it is asked again until it is answered')
  t.ok(world.server.state.lease(id))
  await world.pass(1000)
  t.notOk(world.server.state.lease(id))
  world.server.loseLeader(60_000)
  const overdue = ending(store.range({ key: 'x' }))
  await world.pass(8000)
  t.equal(overdue.how, 'UNAVAILABLE')
})

t.test('a watch that is cut goes on without a gap or a repetition', async t => {
  const world = new MetaStoreWorld(5)
  const watcher = world.process('a')
  const writer = world.store(world.process('b'))
  const seen = follow(world.store(watcher))
  const revisions: number[] = []
  for (let n = 0; n < 40; n++) {
    void put(writer, `key-${n}`).then(({ revision }) => revisions.push(revision))
    if (n % 7 === 3) world.server.cutWatches(watcher.host)
    if (n % 11 === 5) world.server.delayWatches(watcher.host, n % 2 === 0 ? 0 : 300)
    if (n === 20) world.network.cut(world.server.host, watcher.host)
    if (n === 30) world.network.heal()
    await world.pass(n > 20 && n < 30 ? 1000 : 20)
  }
  await world.pass(10_000)
  t.equal(revisions.length, 40)
  t.same(
    seen.revisions,
    revisions.toSorted((a, b) => a - b),
  )
})

t.test('a watch that has fallen behind a compaction ends, and says so', async t => {
  const world = new MetaStoreWorld(6)
  const watcher = world.process('a')
  const writer = world.store(world.process('b'))
  const seen = follow(world.store(watcher))
  await world.pass(50)
  const heal = world.network.cut(world.server.host, watcher.host)
  for (let n = 0; n < 5; n++) void put(writer, `key-${n}`)
  await world.pass(7000)
  world.server.compact(0)
  heal()
  await world.pass(5000)
  t.equal(seen.ended, 'COMPACTED')
  t.same(seen.revisions, [])
})

t.test('the calls of a process end with it, and those of a closed store are refused', async t => {
  const world = new MetaStoreWorld(7)
  const process = world.process('a')
  const store = world.store(process)
  const seen = follow(store)
  await world.pass(50)
  const change = ending(put(store, 'sent'))
  process.kill()
  await world.pass(20_000)
  t.equal(change.how, null)
  t.same(seen, { revisions: [], ended: null })
  const other = world.store(world.process('b'))
  const watched = follow(other)
  const closing = other.close()
  await Promise.all([closing, world.pass(10)])
  t.equal(watched.ended, 'CLOSED')
  await t.rejects(put(other, 'x'), { code: 'CLOSED' })
})
