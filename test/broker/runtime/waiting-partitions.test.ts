import t from 'tap'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { FollowedPartition } from '../../../broker/runtime/follower-session.ts'
import { WaitingPartitions } from '../../../broker/runtime/waiting-partitions.ts'
import { type LeaderEpoch } from '../../../client/protocol/types.ts'
import { FollowerModel } from './replication-models.ts'

function setUp() {
  const env = createMemoryEnv()
  const ready: number[] = []
  const hosts = [0, 1, 2].map(number => new FollowerModel(number, { after: () => Promise.resolve() }))
  const partitions = hosts.map(host => new FollowedPartition(host, 1 as LeaderEpoch))
  const waiting = new WaitingPartitions(env, ({ host, phase }) => {
    t.equal(phase, 'ready')
    ready.push(host.partition)
  })
  const inMs = (ms: number): number => env.clock.monotonicMs() + ms
  return { env, ready, hosts, partitions, waiting, inMs }
}

t.test('each waits for its own time, in whatever order they came', async t => {
  const { env, ready, partitions, waiting, inMs } = setUp()
  for (const [index, ms] of [300, 100, 200].entries()) waiting.add(partitions[index]!, inMs(ms))
  t.same(
    partitions.map(({ phase }) => phase),
    ['waiting', 'waiting', 'waiting'],
  )
  const seen: number[][] = []
  for (let step = 0; step < 4; step++) {
    await env.clock.advance(step === 0 ? 99 : 100)
    seen.push([...ready])
  }
  t.same(seen, [[], [1], [1, 2], [1, 2, 0]])
})

t.test('a host that has a position again ends the wait of those that wait for that', async t => {
  const { env, ready, hosts, partitions, waiting, inMs } = setUp()
  waiting.add(partitions[0]!, inMs(100), true)
  waiting.add(partitions[1]!, inMs(100))
  for (const host of hosts) host.back()
  t.same(ready, [0])
  hosts[0]!.back()
  await env.clock.advance(100)
  t.same(ready, [0, 1], 'and nobody is ready twice')
})

t.test('who is removed is never ready, nor is anybody after the stop', async t => {
  const { env, ready, hosts, partitions, waiting, inMs } = setUp()
  for (const partition of partitions) waiting.add(partition, inMs(100), true)
  waiting.end(partitions[0]!)
  waiting.remove(partitions[1]!)
  hosts[1]!.back()
  t.same(ready, [0])
  waiting.stop()
  hosts[2]!.back()
  await env.clock.advance(1000)
  t.same(ready, [0])
})
