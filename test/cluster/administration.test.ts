/** What administrators do to a cluster, whichever broker they ask: topics, moves, elections, the limits of writing. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startCluster, type TestCluster } from '../../broker/testing.ts'
import { type Admin, Kafka } from '../../client/index.ts'
import { until } from '../helpers/until.ts'

t.setTimeout(60_000)

/** A client that knows but one of the brokers, and asks it as far as it may choose. */
function adminOf(cluster: TestCluster, brokerId: number): { kafka: Kafka; admin: Admin } {
  const kafka = new Kafka({ brokers: cluster.broker(brokerId).bootstrap })
  return { kafka, admin: kafka.admin() }
}

async function partitionsOf(admin: Admin, topic: string) {
  const [description] = await admin.describeTopics({ topics: [topic], includeElr: true })
  return description!.partitions
}

const values = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `value ${from + index}`)

/** The copies of one partition, as each broker has them: offset of the end, and of what is committed. */
function copies(cluster: TestCluster, topic: string, partition = 0): Map<number, number> {
  const ends = new Map<number, number>()
  for (const { brokerId, broker } of cluster.running) {
    const { metadata, partitions } = broker.context
    const topicId = metadata.image.topic(topic)?.topicId
    const host = topicId === undefined ? undefined : partitions.get(topicId, partition)
    if (host !== undefined) ends.set(brokerId, host.state.logEndOffset)
  }
  return ends
}

t.test('a topic that one broker makes, all show, and each can give it partitions and configs', async t => {
  await using cluster = await startCluster()
  const clients = [1, 2, 3].map(brokerId => adminOf(cluster, brokerId))
  const [one, two, three] = clients.map(({ admin }) => admin) as [Admin, Admin, Admin]
  await one.createTopics({
    topics: [{ topic: 'orders', partitions: 3, configs: { 'retention.ms': '1000' } }],
  })
  await t.rejects(two.createTopics({ topics: ['orders'] }), { code: 'TOPIC_ALREADY_EXISTS' })
  await three.createPartitions({ topics: [{ topic: 'orders', count: 6 }] })
  await two.incrementalAlterConfigs({
    resources: [
      { type: 'topic', name: 'orders', changes: [{ name: 'retention.ms', op: 'set', value: '2000' }] },
    ],
  })
  for (const admin of [one, two, three]) {
    await until(async () => {
      const partitions = await partitionsOf(admin, 'orders')
      return partitions.length === 6 && partitions.every(({ isr }) => isr.length === 3)
    }, 'each broker shows six partitions in sync')
    const [topic] = await admin.describeConfigs({ resources: [{ type: 'topic', name: 'orders' }] })
    t.equal(topic!.entries.find(({ name }) => name === 'retention.ms')?.value, '2000')
    t.same(
      (await admin.listTopics()).map(({ topic }) => topic),
      ['orders'],
    )
  }
  const leaders = (await partitionsOf(one, 'orders')).map(({ leader }) => leader)
  t.same(leaders.toSorted(), [1, 1, 2, 2, 3, 3], 'the load is shared')
  // Many at once, of the same names: each is made once.
  const made = await Promise.all(
    [one, two, three].map(admin => admin.createTopics({ topics: ['a', 'b', 'c'], ifNotExists: true })),
  )
  t.equal(made.flat().filter(({ created }) => created).length, 3)
  await two.deleteTopics({ topics: ['orders'] })
  for (const admin of [one, two, three]) {
    await until(async () => !(await admin.listTopics()).some(({ topic }) => topic === 'orders'), 'it is gone')
  }
  await Promise.all(clients.map(({ kafka }) => kafka.close()))
})

t.test('what is deleted while a broker is down, is deleted there when it comes back', async t => {
  await using cluster = await startCluster({ storage: 'temp', topics: { orders: 2, kept: 1 } })
  await cluster.produce('orders', ['x'])
  const folder = (brokerId: number, topic: string) => join(cluster.broker(brokerId).dir, `${topic}-0`)
  for (const brokerId of [1, 2, 3]) t.ok(existsSync(folder(brokerId, 'orders')))
  await cluster.kill(3)
  const { kafka, admin } = adminOf(cluster, 1)
  await admin.deleteTopics({ topics: ['orders'] })
  await until(
    () => !existsSync(folder(1, 'orders')) && !existsSync(folder(2, 'orders')),
    'two have deleted it',
  )
  t.ok(existsSync(folder(3, 'orders')))
  // One of the same name in the meantime is another one.
  await admin.createTopics({ topics: [{ topic: 'orders', partitions: 1 }] })
  await cluster.produce('orders', [{ partition: 0, value: 'new' }])
  await cluster.restart(3)
  await cluster.waitForSync('orders', { timeoutMs: 10_000 })
  await until(() => copies(cluster, 'orders').get(3) === 1, 'the new one is copied')
  await until(
    () => !existsSync(join(cluster.broker(3).dir, 'orders-1')),
    'what was the old one alone is gone',
  )
  t.match(await cluster.records('orders'), [{ value: 'new' }])
  t.ok(existsSync(folder(3, 'kept')))
  await kafka.close()
})

t.test('a partition moves with its data, and the old copies go', async t => {
  await using cluster = await startCluster({
    brokers: 4,
    storage: 'temp',
    configs: { 'default.replication.factor': '2', 'min.insync.replicas': '1' },
  })
  const { kafka, admin } = adminOf(cluster, 2)
  await admin.createTopics({
    topics: [{ topic: 'orders', assignments: [{ partition: 0, replicas: [1, 2] }] }],
  })
  await cluster.waitForLeader('orders')
  await cluster.produce('orders', values(0, 500))
  const producer = kafka.producer()
  let sent = 500
  let isOver = false
  const writing = (async () => {
    while (!isOver) await producer.send({ topic: 'orders', messages: [{ value: `value ${sent++}` }] })
  })()
  await admin.alterPartitionReassignments({
    partitions: [{ topic: 'orders', partition: 0, replicas: [3, 4] }],
  })
  await until(async () => (await admin.listPartitionReassignments()).length === 0, 'the move is over')
  const [moved] = await partitionsOf(admin, 'orders')
  t.same(moved!.replicas, [3, 4])
  t.same(moved!.isr.toSorted(), [3, 4])
  t.ok([3, 4].includes(moved!.leader))
  isOver = true
  await writing
  t.same(
    (await cluster.records('orders')).map(({ value }) => value),
    values(0, sent),
  )
  for (const brokerId of [1, 2]) {
    await until(
      () => !existsSync(join(cluster.broker(brokerId).dir, 'orders-0')),
      `${brokerId} has deleted it`,
    )
  }
  await kafka.close()
})

t.test('a move that cannot be done is cancelled, and leaves nothing', async t => {
  await using cluster = await startCluster({
    brokers: 4,
    configs: { 'default.replication.factor': '2', 'min.insync.replicas': '1' },
  })
  const { kafka, admin } = adminOf(cluster, 1)
  await admin.createTopics({
    topics: [{ topic: 'orders', assignments: [{ partition: 0, replicas: [1, 2] }] }],
  })
  await cluster.waitForLeader('orders')
  await cluster.produce('orders', values(0, 10))
  await cluster.kill(4)
  const where = { topic: 'orders', partition: 0 }
  await admin.alterPartitionReassignments({ partitions: [{ ...where, replicas: [1, 4] }] })
  t.match(await admin.listPartitionReassignments(), [{ ...where, adding: [4], removing: [2] }])
  await cluster.produce('orders', values(10, 20))
  await admin.alterPartitionReassignments({ partitions: [{ ...where, replicas: null }] })
  t.same(await admin.listPartitionReassignments(), [])
  await t.rejects(admin.alterPartitionReassignments({ partitions: [{ ...where, replicas: null }] }), {
    code: 'NO_REASSIGNMENT_IN_PROGRESS',
  })
  await cluster.restart(4)
  await cluster.waitForSync('orders')
  const [partition] = await partitionsOf(admin, 'orders')
  t.match(partition, { replicas: [1, 2], isr: [1, 2] })
  t.same(
    (await cluster.records('orders')).map(({ value }) => value),
    values(0, 20),
  )
  t.notOk(copies(cluster, 'orders').has(4))
  await kafka.close()
})

t.test('the preferred replica leads again when it is asked to', async t => {
  await using cluster = await startCluster({ topics: { orders: 3 } })
  const { kafka, admin } = adminOf(cluster, 1)
  const preferred = (await partitionsOf(admin, 'orders')).map(({ replicas }) => replicas[0]!)
  await cluster.kill(2)
  const moved = preferred.indexOf(2)
  await cluster.waitForLeader('orders', moved, { not: 2 })
  await t.rejects(admin.electLeaders({ partitions: [{ topic: 'orders', partition: moved }] }), {
    code: 'PREFERRED_LEADER_NOT_AVAILABLE',
  })
  await cluster.restart(2)
  await cluster.waitForSync('orders')
  t.not(cluster.leaderOf('orders', moved), 2)
  const elected = await admin.electLeaders()
  t.ok(elected.some(({ topic, partition, elected }) => topic === 'orders' && partition === moved && elected))
  await cluster.waitForLeader('orders', moved)
  t.same(
    (await partitionsOf(admin, 'orders')).map(({ leader }) => leader),
    preferred,
  )
  await kafka.close()
})

t.test('the ISR shrinks with deaths and grows again; below its least size nothing is written', async t => {
  await using cluster = await startCluster({
    topics: { orders: 1 },
    configs: { 'replica.lag.time.max.ms': '1000' },
  })
  const leader = cluster.leaderOf('orders')!
  const [second, third] = [1, 2, 3].filter(brokerId => brokerId !== leader) as [number, number]
  const { kafka, admin } = adminOf(cluster, leader)
  const send = (acks: 'all' | 1, value: string) =>
    kafka
      .producer({ acks, idempotent: acks === 'all', deliveryTimeoutMs: 700 })
      .send({ topic: 'orders', messages: [{ value }] })
  await send('all', 'with three')
  await cluster.kill(second)
  await until(() => cluster.inSync('orders').length === 2, 'two are in sync')
  await send('all', 'with two')
  await cluster.kill(third)
  await until(() => cluster.inSync('orders').length === 1, 'one is in sync')
  await t.rejects(send('all', 'with one'), { code: /NOT_ENOUGH_REPLICAS|DELIVERY_TIMEOUT/ })
  // Whoever does not ask for more is served, but nobody reads what a minority has.
  await send(1, 'with one')
  const latest = async () => {
    const partitions = [{ topic: 'orders', partition: 0, spec: 'latest' as const }]
    return (await admin.listOffsets({ partitions }))[0]!.offset
  }
  t.equal(await latest(), 2)
  const [partition] = await partitionsOf(admin, 'orders')
  t.same(partition!.isr, [leader])
  t.same(partition!.elr, [third], 'who left last would have everything too')
  await cluster.restart(third)
  await until(() => cluster.inSync('orders').length === 2, 'two are in sync')
  await until(async () => (await latest()) === 3, 'what was written alone is committed')
  await cluster.restart(second)
  await cluster.waitForSync('orders')
  t.same([...copies(cluster, 'orders').values()], [3, 3, 3])
  await kafka.close()
})

t.test('a consumer reads from the replica in its own rack (KIP-392)', async t => {
  const selector = 'org.apache.kafka.common.replica.RackAwareReplicaSelector'
  await using cluster = await startCluster({
    topics: { orders: 1 },
    racks: ['a', 'b', 'c'],
    configs: { 'replica.selector.class': selector },
  })
  const leader = cluster.leaderOf('orders')!
  const near = cluster.broker((leader % 3) + 1)
  const rack = ['a', 'b', 'c'][near.brokerId - 1]!
  await cluster.produce('orders', ['one', 'two'])
  await using kafka = new Kafka({ brokers: cluster.bootstrap })
  const consumer = kafka.consumer({ rack, fetchMaxWaitMs: 100 })
  await consumer.subscribe({ topics: ['orders'], from: 'earliest' })
  const seen: string[] = []
  const reading = consumer.run({ eachMessage: ({ value }) => void seen.push(String(value)) })
  await until(() => seen.length === 2, 'what was there is read')
  const atLeader = cluster.broker(leader).intercept('Fetch', ({ replicaState, replicaId }) => {
    const isConsumer = (replicaState?.replicaId ?? -1) === -1 && (replicaId ?? -1) === -1
    if (isConsumer) t.fail('the leader is asked by a consumer')
    return { kind: 'pass' }
  })
  // Before there is anything new: a Fetch that waits there already would bring it, uncounted.
  const atNear = near.intercept('Fetch', () => ({ kind: 'pass' }))
  await until(() => atNear.count > 0, 'the replica in its rack is asked')
  await cluster.produce('orders', ['three'])
  await until(() => seen.length === 3, 'and what comes')
  atLeader.stop()
  // It dies, and the leader is there for everybody.
  await near.kill()
  await cluster.produce('orders', ['four'])
  await until(() => seen.length === 4, 'and what comes after its death')
  t.same(seen, ['one', 'two', 'three', 'four'])
  await consumer.close()
  await reading
})
