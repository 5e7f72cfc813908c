import t from 'tap'
import { finish, frame, type Peer, world } from './peer.ts'

const HEARTBEAT = { groupId: 'g', generationId: 1, memberId: 'm' }
const heartbeat = () => ({ errorCode: 0 })

t.test('who says nothing is closed after a while', async t => {
  const it = await world({
    handlers: { Heartbeat: heartbeat },
    limits: { firstByteMs: 5000, idleMs: 60_000 },
  })
  const silent = await it.connect()
  const talks = await it.connect()
  await it.env.clock.advance(2000)
  talks.request('Heartbeat', 0, HEARTBEAT)
  await it.env.clock.advance(2000)
  t.notOk(silent.isClosed)
  await it.env.clock.advance(3000)
  t.ok(silent.isClosed)
  t.notOk(talks.isClosed)
  t.equal(it.logged(/no request came/), 1)
  t.equal(it.server.counters.connectionsTimedOut, 1)
  t.equal(await finish(it), 0)
})

t.test('an idle connection is closed, one whose request is worked on is not', async t => {
  const it = await world({
    handlers: { Heartbeat: heartbeat, ListGroups: () => new Promise(() => {}) },
    limits: { idleMs: 10_000 },
  })
  const idle = await it.connect()
  const waits = await it.connect()
  idle.request('Heartbeat', 0, HEARTBEAT)
  waits.request('ListGroups', 0, {})
  await it.env.clock.advance(9000)
  t.notOk(idle.isClosed)
  await it.env.clock.advance(3000)
  t.equal(idle.closedWith, null)
  t.notOk(waits.isClosed)
  t.equal(await finish(it), 0)
})

t.test('half a request and then silence is closed with a line that says so', async t => {
  const it = await world({ handlers: { Heartbeat: heartbeat }, limits: { frameProgressMs: 3000 } })
  const peer = await it.connect()
  peer.request('Heartbeat', 0, HEARTBEAT)
  peer.send(frame('Heartbeat', 0, 2, HEARTBEAT).subarray(0, 9))
  await it.env.clock.advance(2500)
  t.notOk(peer.isClosed)
  await it.env.clock.advance(2000)
  t.ok(peer.isClosed)
  t.equal(it.logged(/a frame was begun and did not go on.*"heldBytes":9/), 1)
  t.equal(await finish(it), 0)
})

t.test('a byte now and then does not keep a frame alive', async t => {
  const it = await world({
    handlers: { Heartbeat: heartbeat },
    limits: { frameProgressMs: 3000, frameBytesPerSecond: 1000 },
  })
  const peer = await it.connect()
  const bytes = frame('Heartbeat', 0, 1, { ...HEARTBEAT, groupId: 'g'.repeat(2000) })
  let sent = 0
  for (; sent < 10 && !peer.isClosed; sent++) {
    peer.send(bytes.subarray(sent, sent + 1))
    await it.env.clock.advance(1000)
  }
  t.ok(peer.isClosed, 'within the time that the size allows')
  t.ok(sent >= 5, 'but not before')
  t.equal(await finish(it), 0)
})

t.test("the time in which the server does not read is not the peer's", async t => {
  const answers: ((response: unknown) => void)[] = []
  const it = await world({
    handlers: { Heartbeat: () => new Promise(answer => answers.push(answer)) },
    limits: { frameProgressMs: 1000, maxRequestsInFlight: 1 },
  })
  const peer = await it.connect()
  const bytes = frame('Heartbeat', 0, 2, HEARTBEAT)
  peer.send(Buffer.concat([frame('Heartbeat', 0, 1, HEARTBEAT), bytes.subarray(0, 10)]))
  await it.env.clock.advance(5000)
  t.notOk(peer.isClosed)
  answers[0]!(heartbeat())
  await it.settle()
  peer.send(bytes.subarray(10))
  await it.settle()
  answers[1]!(heartbeat())
  await it.settle()
  t.same(peer.correlationIds, [1, 2])
  t.equal(await finish(it), 0)
})

t.test('connections are limited in all and per address', async t => {
  const it = await world({ handlers: { Heartbeat: heartbeat }, limits: { maxConnections: 3 } })
  const peers: Peer[] = []
  for (let index = 0; index < 5; index++) peers.push(await it.connect())
  await it.settle()
  t.same(
    peers.map(peer => peer.isClosed),
    [false, false, false, true, true],
  )
  t.equal(it.logged(/max.connections is reached/), 2)
  t.equal(it.server.counters.connectionsRefused, 2)
  peers[0]!.socket.destroy()
  await it.settle()
  const next = await it.connect()
  next.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  t.same(next.correlationIds, [1], 'a place that was left is free again')
  t.equal(await finish(it), 0)

  const perAddress = await world({ handlers: {}, limits: { maxConnectionsPerAddress: 1 } })
  const [first, second] = [await perAddress.connect(), await perAddress.connect()]
  await perAddress.settle()
  t.same([first.isClosed, second.isClosed], [false, true])
  t.equal(perAddress.logged(/max.connections.per.ip/), 1)
  t.equal(await finish(perAddress), 0)
})

t.test('before authentication a frame is small', async t => {
  const it = await world({
    handlers: { Heartbeat: heartbeat },
    limits: { maxFrameBytesBeforeAuthentication: 1000 },
  })
  const peer = await it.connect()
  peer.request('Heartbeat', 0, { ...HEARTBEAT, groupId: 'g'.repeat(2000) })
  await it.settle()
  t.ok(peer.isClosed)
  const other = await it.connect()
  await it.settle()
  for (const connection of it.server.connections) connection.authenticated()
  other.request('Heartbeat', 0, { ...HEARTBEAT, groupId: 'g'.repeat(2000) })
  await it.settle()
  t.same(other.correlationIds, [1])
  t.equal(await finish(it), 0)
})

t.test('hostile frames do not fill the log', async t => {
  const it = await world({ handlers: {} })
  for (let index = 0; index < 100; index++) {
    const peer = await it.connect()
    peer.send(Buffer.from('ffffffff', 'hex'))
    await it.settle()
  }
  t.equal(it.logged(/cannot be served/), 10)
  await it.env.clock.advance(1000)
  const peer = await it.connect()
  peer.send(Buffer.from('ffffffff', 'hex'))
  await it.settle()
  t.equal(it.logged(/"leftOut":90/), 1)
  t.equal(it.server.counters.refusedFrames, 101)
  t.equal(await finish(it), 0)
})

t.test('stop lets requests under way finish, and begins no more', async t => {
  const answers: ((response: unknown) => void)[] = []
  const it = await world({ handlers: { Heartbeat: () => new Promise(answer => answers.push(answer)) } })
  const [busy, idle] = [await it.connect(), await it.connect()]
  busy.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  let stopped = false
  const stop = it.server.stop(5000).then(() => {
    stopped = true
  })
  busy.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  t.ok(idle.isClosed)
  t.notOk(stopped)
  await t.rejects(it.connect(), { code: 'ECONNREFUSED' })
  answers[0]!(heartbeat())
  await it.settle()
  await it.env.clock.advance(50)
  t.equal(answers.length, 1)
  t.same(busy.correlationIds, [1])
  await stop
  t.equal(it.server.counters.connectionsOpen, 0)
  t.equal(it.pool.slabsInUse, 0)
})

t.test('stop waits no longer than it was told, and a second call not at all', async t => {
  for (const force of [false, true]) {
    const it = await world({ handlers: { Heartbeat: () => new Promise(() => {}) } })
    const peer = await it.connect()
    peer.request('Heartbeat', 0, HEARTBEAT)
    await it.settle()
    const stop = it.server.stop(5000)
    await it.env.clock.advance(4900)
    t.notOk(peer.isClosed)
    if (force) void it.server.stop()
    else await it.env.clock.advance(200)
    await it.settle()
    t.ok(peer.isClosed)
    await stop
    t.equal(it.env.clock.pendingTimers, 0, 'no timer is left')
  }
})

t.test('ten thousand connections that say nothing share one timer and own no slab', async t => {
  const it = await world({ handlers: { Heartbeat: heartbeat }, limits: { firstByteMs: 5000 } })
  const peers: Peer[] = []
  for (let index = 0; index < 10_000; index++) peers.push(await it.connect())
  t.equal(it.env.clock.pendingTimers, 1)
  t.equal(it.pool.slabsInUse, 0)
  peers[9999]!.request('Heartbeat', 0, HEARTBEAT)
  await it.settle()
  t.same(peers[9999]!.correlationIds, [1])
  await it.env.clock.advance(8000)
  t.equal(it.server.counters.connectionsOpen, 1)
  t.equal(await finish(it), 0)
})
