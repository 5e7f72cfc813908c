import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka as KafkaJs, logLevel, Partitioners } from 'kafkajs'
import t from 'tap'
import { error, startCluster } from '../../../broker/testing.ts'
import { Kafka } from '../../../client/index.ts'

t.test('three brokers share the topics, and hold what is produced to any of them', async t => {
  await using cluster = await startCluster({ topics: { orders: 3 }, racks: ['a', 'b', 'c'] })
  t.equal(cluster.bootstrap.split(',').length, 3)
  t.same(cluster.topics, ['orders'])
  t.same(cluster.inSync('orders', 2), [1, 2, 3])
  const leaders = [0, 1, 2].map(partition => cluster.leaderOf('orders', partition))
  t.same(leaders.toSorted(), [1, 2, 3], 'each leads one partition')

  await using kafka = new Kafka({ brokers: cluster.broker(2).bootstrap })
  const { brokers, controllerId } = await kafka.admin().describeCluster()
  t.match(brokers, [
    { id: 1, port: cluster.broker(1).port, rack: 'a' },
    { id: 2, port: cluster.broker(2).port, rack: 'b' },
    { id: 3, port: cluster.broker(3).port, rack: 'c' },
  ])
  t.ok([1, 2, 3].includes(controllerId))
  const messages = [0, 1, 2].map(partition => ({ partition, value: `to ${partition}` }))
  await kafka.producer().send({ topic: 'orders', messages })
  t.match(await cluster.records('orders'), messages)
  t.throws(() => cluster.broker(4), { message: /no broker 4: their ids are 1 to 3/ })
})

t.test('when a leader is killed another one takes over and nothing is lost', async t => {
  await using cluster = await startCluster({ topics: { orders: 1 } })
  await cluster.produce('orders', ['before'])
  const first = cluster.leaderOf('orders')!
  await cluster.kill(first)
  const second = await cluster.waitForLeader('orders', 0, { not: first })
  t.not(second, first)
  await cluster.produce('orders', ['after'])
  t.match(await cluster.waitForRecords('orders', 2), [{ value: 'before' }, { value: 'after', offset: 1 }])
  t.equal(cluster.running.length, 2)

  await cluster.restart(first)
  await cluster.waitForSync('orders')
  t.same(cluster.inSync('orders'), [1, 2, 3])
})

t.test('foreign clients go on through the death of a broker', async t => {
  await using cluster = await startCluster({ topics: { orders: 3 } })
  const kafka = new KafkaJs({ brokers: cluster.bootstrap.split(','), logLevel: logLevel.NOTHING })
  const producer = kafka.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  const send = (value: string) =>
    producer.send({ topic: 'orders', messages: [0, 1, 2].map(partition => ({ partition, value })) })
  await send('one')
  await cluster.kill(2)
  await send('two')
  t.equal((await cluster.waitForRecords('orders', 6)).length, 6)
  await producer.disconnect()
})

t.test('without a majority in sync nothing is acknowledged', async t => {
  await using cluster = await startCluster({ topics: { orders: 1 } })
  await using kafka = new Kafka({ brokers: cluster.bootstrap })
  const leader = cluster.leaderOf('orders')!
  for (const { brokerId } of cluster.brokers) {
    if (brokerId !== leader) await cluster.kill(brokerId)
  }
  const sent = kafka
    .producer({ deliveryTimeoutMs: 400 })
    .send({ topic: 'orders', messages: [{ value: 'x' }] })
  await t.rejects(sent)
  t.same(await cluster.records('orders'), [])
})

t.test('a topic may have another number of replicas', async t => {
  await using cluster = await startCluster({ topics: { single: { replicationFactor: 1 } } })
  t.equal(cluster.inSync('single').length, 1)
  await t.rejects(cluster.createTopic('many', { replicationFactor: 4 }), {
    code: 'INVALID_REPLICATION_FACTOR',
  })
  await t.rejects(cluster.createTopic('single'), { code: 'TOPIC_ALREADY_EXISTS' })
})

t.test('each broker can be interfered with', async t => {
  await using cluster = await startCluster({ topics: { orders: 1 } })
  const leader = cluster.broker(cluster.leaderOf('orders')!)
  await using kafka = new Kafka({ brokers: cluster.bootstrap })
  const interception = leader.intercept('Produce', (_request, { count }) =>
    count < 2 ? error('NOT_LEADER_OR_FOLLOWER') : { kind: 'pass' },
  )
  await kafka.producer().send({ topic: 'orders', messages: [{ value: 'x' }] })
  t.equal(interception.count, 3)
})

t.test('reset begins anew, with every broker', async t => {
  await using cluster = await startCluster({ topics: { orders: 2 } })
  const { bootstrap } = cluster
  await cluster.produce('orders', ['old'])
  await cluster.createTopic('other')
  await cluster.kill(3)
  await cluster.reset()
  t.equal(cluster.running.length, 3)
  t.same(cluster.topics, ['orders'])
  t.same(await cluster.records('orders'), [])
  t.equal(cluster.bootstrap, bootstrap)
  await cluster.produce('orders', ['new'])
  t.match(await cluster.records('orders'), [{ value: 'new', offset: 0 }])
})

t.test('waiting in vain says for what', async t => {
  await using cluster = await startCluster({ brokers: 2, topics: { orders: 1 } })
  t.same(cluster.inSync('orders'), [1, 2])
  await t.rejects(cluster.waitForLeader('orders', 0, { not: cluster.leaderOf('orders')!, timeoutMs: 20 }), {
    message: /After 20 ms nobody but \d leads orders-0/,
  })
  await t.rejects(cluster.waitForRecords('orders', 1, { timeoutMs: 20 }), { message: /it holds none/ })
})

t.test('storage temp is removed at the end, storage dir is found again', async t => {
  const temp = await startCluster({ storage: 'temp', topics: { orders: 1 } })
  await temp.produce('orders', ['x'])
  t.ok(existsSync(join(temp.broker(1).dir, 'orders-0')))
  await temp.stop()
  t.notOk(existsSync(join(temp.broker(1).dir, '..')))

  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const first = await startCluster({ storage: { dir }, topics: { orders: 1 } })
  await first.produce('orders', ['kept'])
  await first.stop()
  const second = await startCluster({ storage: { dir } })
  await second.waitForLeader('orders')
  t.match(await second.waitForRecords('orders', 1), [{ value: 'kept' }])
  await second.stop()
})
