import t from 'tap'
import { RpcError } from '../../../../broker/env.ts'
import { METHODS } from '../../../../broker/metastore/etcd/messages.ts'
import { ProtobufWriter } from '../../../../broker/metastore/etcd/protobuf.ts'
import { type Transaction } from '../../../../broker/metastore/metastore.ts'
import { fakeWorld, header } from './fake-etcd.ts'

const PUT: Transaction = { success: [{ type: 'put', key: 'a', value: Buffer.from('x') }] }
const lost = new RpcError('UNAVAILABLE', 'the connection was reset')

t.test('a change whose answer was lost is not sent again', async t => {
  for (const error of [
    lost,
    new RpcError('DEADLINE_EXCEEDED', 'too late'),
    new RpcError('UNAVAILABLE', 'etcdserver: request timed out'),
    new RpcError('UNAVAILABLE', 'etcdserver: leader changed'),
    new RpcError('UNKNOWN', 'raft proposal dropped'),
    new RpcError('INTERNAL', 'whatever'),
  ]) {
    const world = fakeWorld()
    const store = await world.open()
    world.etcd.answer = () => error
    await t.rejects(store.txn(PUT), { code: 'UNKNOWN_OUTCOME', message: /Read what it would have changed/ })
    await world.clock.advance(60_000)
    t.equal(world.etcd.asked.length, 1, error.message)
    world.etcd.answer = () => new ProtobufWriter().message(1, header(2)).flag(2, true)
    await store.txn(PUT)
    t.not(world.etcd.asked[1]?.port, world.etcd.asked[0]?.port, 'the next goes to another member')
    await store.close()
  }
})

t.test('an answer to a change that cannot be read leaves its outcome unknown', async t => {
  const world = fakeWorld()
  const store = await world.open()
  world.etcd.answer = () => new ProtobufWriter().text(1, 'no header')
  await t.rejects(store.txn(PUT), { code: 'UNKNOWN_OUTCOME' })
  await store.close()
})

t.test('what was certainly not done is tried elsewhere', async t => {
  const world = fakeWorld()
  const store = await world.open()
  world.etcd.answer = () =>
    world.etcd.asked.length === 1
      ? new RpcError('UNAVAILABLE', 'etcdserver: no leader')
      : new ProtobufWriter().message(1, header(2)).flag(2, true)
  const result = store.txn(PUT)
  await world.clock.advance(100)
  t.match(await result, { revision: 2 })
  t.equal(world.etcd.asked.length, 2)
  t.not(world.etcd.asked[1]?.port, world.etcd.asked[0]?.port)
  t.equal(world.etcd.asked[0]?.metadata['hasleader'], 'true')
  await store.close()
})

t.test('what etcd refuses to do is known not to be done', async t => {
  const world = fakeWorld()
  const store = await world.open()
  const refusals = [
    ['OUT_OF_RANGE', 'etcdserver: mvcc: required revision has been compacted', 'COMPACTED'],
    ['OUT_OF_RANGE', 'etcdserver: mvcc: required revision is a future revision', 'FUTURE_REVISION'],
    ['NOT_FOUND', 'etcdserver: requested lease not found', 'LEASE_NOT_FOUND'],
    ['INVALID_ARGUMENT', 'etcdserver: duplicate key given in txn request', 'DUPLICATE_KEY'],
    ['INVALID_ARGUMENT', 'etcdserver: request is too large', 'TOO_MANY_OPERATIONS'],
    ['RESOURCE_EXHAUSTED', 'grpc: received message larger than max (9 vs. 5)', 'TOO_MANY_OPERATIONS'],
    ['RESOURCE_EXHAUSTED', 'Received message larger than max (9 vs 5)', 'UNKNOWN_OUTCOME'],
    ['RESOURCE_EXHAUSTED', 'etcdserver: mvcc: database space exceeded', 'UNAVAILABLE'],
    ['PERMISSION_DENIED', 'etcdserver: permission denied', 'ACCESS_DENIED'],
    ['INVALID_ARGUMENT', 'etcdserver: key is not provided', 'UNSUPPORTED'],
    ['UNIMPLEMENTED', 'unknown service', 'UNSUPPORTED'],
  ] as const
  for (const [status, message, code] of refusals) {
    world.etcd.answer = () => new RpcError(status, message)
    await t.rejects(store.txn(PUT), { code }, message)
  }
  await store.close()
})

t.test('reads are asked again, within their time', async t => {
  const world = fakeWorld()
  const store = await world.open()
  world.etcd.answer = () => (world.etcd.asked.length < 3 ? lost : new ProtobufWriter().message(1, header(5)))
  const answer = store.range({ key: 'a' })
  await world.clock.advance(1000)
  t.match(await answer, { revision: 5, entries: [] })
  world.etcd.answer = () => lost
  const reading = t.rejects(store.txn({ success: [{ type: 'range', select: { key: 'a' } }] }), {
    code: 'UNAVAILABLE',
    message: /nothing was changed.*majority/s,
  })
  await world.clock.advance(6000)
  await reading
  await store.close()
})

t.test('a revocation may be repeated: that the lease is gone says that it was done', async t => {
  const world = fakeWorld()
  const store = await world.open()
  const gone = new RpcError('NOT_FOUND', 'etcdserver: requested lease not found')
  world.etcd.answer = () => (world.etcd.asked.length === 1 ? lost : gone)
  const revoked = store.revokeLease('5')
  await world.clock.advance(1000)
  await revoked
  await t.rejects(
    store.revokeLease('5'),
    { code: 'LEASE_NOT_FOUND' },
    'at the first attempt it says otherwise',
  )
  await store.close()
})

t.test(
  'members that are down are passed over; all of them down is said once, and their return too',
  async t => {
    const world = fakeWorld()
    for (const port of [1, 2]) world.etcd.down.add(port)
    const store = await world.open()
    world.etcd.answer = () => new ProtobufWriter().message(1, header(5))
    await store.range({ key: 'a' })
    t.equal(world.etcd.asked[0]?.port, 3)
    world.etcd.down.add(3)
    for (let i = 0; i < 3; i++) {
      const failing = t.rejects(store.range({ key: 'a' }), {
        code: 'UNAVAILABLE',
        message: /e:1 says: .*ECONNREFUSED/,
      })
      await world.clock.advance(6000)
      await failing
    }
    await t.rejects(
      (async () => {
        const failing = store.txn(PUT)
        failing.catch(() => {})
        await world.clock.advance(6000)
        return failing
      })(),
      { code: 'UNAVAILABLE' },
      'what could not be sent was certainly not done',
    )
    world.etcd.down.clear()
    await store.range({ key: 'a' })
    const lines = world.log.lines.map(line => line.message)
    t.equal(lines.filter(line => line === 'no member of etcd can be reached').length, 1)
    t.equal(lines.filter(line => line === 'etcd can be reached again').length, 1)
    await store.close()
    t.ok(
      world.etcd.channels.every(channel => channel.isClosed),
      'no channel is left',
    )
  },
)

t.test('a token that is no longer known is renewed', async t => {
  const world = fakeWorld()
  let given = 0
  let valid = 'token 1'
  world.etcd.answer = call => {
    if (call.method === METHODS.authenticate) return new ProtobufWriter().text(2, `token ${++given}`)
    return call.metadata['token'] === valid
      ? new ProtobufWriter().message(1, header(2)).flag(2, true)
      : new RpcError('UNAUTHENTICATED', 'etcdserver: invalid auth token')
  }
  const store = await world.open({ user: 'broker', password: 'secret' })
  await store.txn(PUT)
  t.equal(given, 1)
  valid = 'token 2'
  const both = Promise.all([store.txn(PUT), store.txn(PUT)])
  await both
  t.equal(given, 2, 'once for all who need it')
  valid = 'none'
  await t.rejects(store.txn(PUT), { code: 'ACCESS_DENIED', message: /token/ })
  world.etcd.answer = () => new RpcError('PERMISSION_DENIED', 'etcdserver: permission denied')
  await t.rejects(store.range({ key: 'a' }), { code: 'ACCESS_DENIED', message: /role/ })
  await store.close()
})

t.test('the process stays while anybody waits for an answer, and no longer', async t => {
  const world = fakeWorld()
  for (const port of [1, 2, 3]) world.etcd.down.add(port)
  const opening = world.open()
  opening.catch(() => {})
  await world.clock.settle()
  t.equal(world.etcd.holds, 1)
  await world.clock.advance(6000)
  await t.rejects(opening, { code: 'UNAVAILABLE' })
  t.equal(world.etcd.holds, 0)
  world.etcd.down.clear()
  const store = await world.open()
  world.etcd.answer = () => lost
  const failing = Promise.allSettled([store.range({ key: 'a' }), store.keepAlive('1')])
  await world.clock.settle()
  t.equal(world.etcd.holds, 1)
  await world.clock.advance(20_000)
  await failing
  t.equal(world.etcd.holds, 0)
  await store.close()
})

t.test('a wrong password is told at once', async t => {
  const world = fakeWorld()
  world.etcd.answer = () =>
    new RpcError('INVALID_ARGUMENT', 'etcdserver: authentication failed, invalid user ID or password')
  await t.rejects(world.open({ user: 'broker', password: 'wrong' }), {
    code: 'ACCESS_DENIED',
    message: /user or password/,
  })
  t.notMatch(JSON.stringify(world.log.lines), /wrong/)
})

t.test('the version is looked at, and the cluster', async t => {
  const world = fakeWorld()
  world.etcd.version = '3.3.25'
  const opening = world.open()
  opening.catch(() => {})
  await world.clock.advance(6000)
  await t.rejects(opening, { message: /3\.3\.25/ })

  world.etcd.version = '3.4.23'
  const refused = world.open({ unsoundVersions: 'refuse' })
  refused.catch(() => {})
  await world.clock.advance(6000)
  await t.rejects(refused, { message: /3\.4\.23.*known bugs.*Upgrade/ })

  const store = await world.open()
  t.ok(world.log.lines.some(line => line.level === 'warn' && /has known bugs/.test(line.message)))
  world.etcd.answer = () => lost
  await t.rejects(store.txn(PUT), { code: 'UNKNOWN_OUTCOME' })
  world.etcd.clusterId = 8n
  const strange = store.txn(PUT)
  strange.catch(() => {})
  await world.clock.advance(6000)
  await t.rejects(strange, { message: /belongs to another cluster/ })
  await store.close()
})

t.test('renewals are answered in their order; silence is asked about elsewhere', async t => {
  const world = fakeWorld()
  const store = await world.open()
  const answers: string[] = []
  const renew = (name: string): Promise<void> =>
    store.keepAlive('5').then(
      ttlMs => void answers.push(`${name} ${ttlMs}`),
      (error: { code: string }) => void answers.push(`${name} ${error.code}`),
    )
  const all = [renew('first'), renew('second')]
  await world.clock.settle()
  const stream = world.etcd.lastStream
  t.equal(stream.sent.length, 2)
  const answer = (ttl: number): ProtobufWriter => new ProtobufWriter().integer(2, 5).integer(3, ttl)
  stream.reply(answer(6))
  await world.clock.settle()
  t.same(answers, ['first 6000'], 'an answer is for the one who asked first')
  stream.reply(answer(0))
  await world.clock.settle()
  t.same(answers, ['first 6000', 'second LEASE_NOT_FOUND'])

  all.push(renew('third'))
  await world.clock.advance(2000)
  t.ok(stream.isCancelled)
  t.not(world.etcd.lastStream.port, stream.port)
  world.etcd.lastStream.reply(answer(6))
  await Promise.all(all)
  t.equal(answers[2], 'third 6000')
  const silent = renew('fourth')
  await world.clock.advance(10_000)
  await silent
  t.equal(answers[3], 'fourth UNAVAILABLE')
  await store.close()
  t.equal(world.clock.pendingTimers, 0, 'no timer is left')
})

t.test('closing waits for what is under way, and nothing works afterwards', async t => {
  const world = fakeWorld()
  const store = await world.open()
  let finish = (_: ProtobufWriter): void => {}
  world.etcd.answer = () => new Promise<ProtobufWriter>(resolve => (finish = resolve))
  const last = store.txn(PUT)
  const closing = Promise.all([store.close(), store.close()])
  await t.rejects(store.range({ key: 'a' }), { code: 'CLOSED' })
  finish(new ProtobufWriter().message(1, header(2)).flag(2, true))
  t.match(await last, { revision: 2 })
  await closing
  await t.rejects(store.grantLease(1000), { code: 'CLOSED' })
  await t.rejects(store.keepAlive('1'), { code: 'CLOSED' })
  t.ok(world.etcd.channels.every(channel => channel.isClosed))
})

t.test('addresses that cannot be meant are refused', async t => {
  const world = fakeWorld()
  for (const endpoints of [
    [],
    ['ftp://a:1'],
    ['a b:1'],
    ['http://a:99999'],
    ['http://a:1', 'https://b:1'],
    [''],
  ]) {
    await t.rejects(world.open({ endpoints }), { code: 'UNSUPPORTED' }, JSON.stringify(endpoints))
  }
  await t.rejects(world.open({ tls: {} }), { message: /https/ })
  await t.rejects(world.open({ user: 'a' }), { message: /both/ })
  const store = await world.open({ endpoints: ['https://[::1]', 'https://etcd-2:2380/'] })
  await store.close()
})
