import t, { type Test } from 'tap'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { PeerMonitor } from '../../../broker/runtime/peer-monitor.ts'
import { type BrokerId } from '../../../client/protocol/types.ts'
import { linkSide, ScriptedPeer } from './scripted-peer.ts'

const PEER = 2 as BrokerId
const BEAT_MS = 500

async function start(t: Test) {
  const env = createMemoryEnv()
  const { memory } = linkSide()
  const dead: number[] = []
  const monitor = new PeerMonitor({
    env,
    memory,
    brokerId: 1 as BrokerId,
    heartbeatMs: () => BEAT_MS,
    isLeaving: () => false,
    onJudged: () => {},
    onDead: broker => dead.push(broker),
  })
  const peer = await ScriptedPeer.start(env, PEER)
  monitor.brokerChanged(PEER, peer.address)
  await env.clock.advance(10)
  t.teardown(async () => {
    monitor.stop()
    await peer.die()
  })
  const condition = (): string => [...monitor.conditions()].map(peer => peer.condition).join()
  return { env, monitor, peer, dead, condition }
}

t.test('a broker that answers is well, and costs one request per heartbeat', async t => {
  const { env, monitor, dead, condition } = await start(t)
  t.equal(condition(), 'well')
  await env.clock.advance(10 * BEAT_MS)
  t.equal(monitor.counters.heartbeats, 10)
  t.equal(condition(), 'well')
  t.same(dead, [])
})

t.test('a process that ends is found out in milliseconds', async t => {
  const { env, monitor, peer, dead, condition } = await start(t)
  await peer.die()
  await env.clock.advance(5)
  t.same(dead, [PEER])
  t.equal(condition(), 'dead')
  await env.clock.advance(10_000)
  t.same(dead, [PEER], 'it is told once')
  monitor.brokerChanged(PEER, null)
  t.same([...monitor.conditions()], [])
  t.equal(monitor.counters.siteFailures, 0)

  await peer.restart()
  monitor.brokerChanged(PEER, peer.address)
  await env.clock.advance(10)
  t.equal(condition(), 'well')
  t.equal(monitor.counters.recoveries, 1)
})

t.test('a connection that breaks is made anew, and nobody is dead', async t => {
  const { env, monitor, peer, dead, condition } = await start(t)
  peer.dropConnections()
  await env.clock.advance(5)
  t.equal(condition(), 'well')
  await env.clock.advance(5 * BEAT_MS)
  t.same(dead, [])
  t.equal(monitor.counters.suspicions, 0)
})

t.test(
  'one that stands still is first suspect, then the link counts as failed, and its return is told',
  async t => {
    const { env, monitor, peer, dead, condition } = await start(t)
    peer.standsStill = true
    await env.clock.advance(3 * BEAT_MS)
    t.equal(condition(), 'suspected')
    t.equal(monitor.counters.linkFailures, 0)
    await env.clock.advance(2 * BEAT_MS)
    t.equal(condition(), 'link-failed')
    await env.clock.advance(20 * BEAT_MS)
    t.match(monitor.counters, { linkFailures: 1, siteFailures: 0, recoveries: 0 })
    t.same(dead, [])
    peer.goOn()
    await env.clock.advance(5 * BEAT_MS)
    t.equal(condition(), 'well')
    t.equal(monitor.counters.recoveries, 1)
  },
)

t.test('one that stands still and is registered no more has failed altogether', async t => {
  const { env, monitor, peer, dead } = await start(t)
  peer.standsStill = true
  await env.clock.advance(6 * BEAT_MS)
  monitor.brokerChanged(PEER, null)
  t.match(monitor.counters, { linkFailures: 1, siteFailures: 1 })
  t.same(dead, [], 'its registration has ended by itself')
})

t.test('an address at which another broker answers is no sign of life', async t => {
  const { env, monitor, peer, condition } = await start(t)
  const other = 3 as BrokerId
  monitor.brokerChanged(PEER, null)
  monitor.brokerChanged(other, peer.address)
  await env.clock.advance(6 * BEAT_MS)
  t.equal(condition(), 'link-failed')
})

t.test('it comes to rest when nobody is left', async t => {
  const { env, monitor } = await start(t)
  monitor.brokerChanged(PEER, null)
  await env.clock.advance(10 * BEAT_MS)
  const { heartbeats } = monitor.counters
  await env.clock.advance(10 * BEAT_MS)
  t.equal(monitor.counters.heartbeats, heartbeats)
})
