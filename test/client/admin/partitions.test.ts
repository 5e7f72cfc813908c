import t from 'tap'
import { error, startCluster, type TestCluster } from '../../../broker/testing.ts'
import { type Admin, Kafka } from '../../../client/index.ts'
import { until } from '../../helpers/until.ts'

interface World extends AsyncDisposable {
  readonly cluster: TestCluster
  readonly admin: Admin
}

/** Four brokers, so that a partition of three replicas has somewhere to go. */
async function world(): Promise<World> {
  const cluster = await startCluster({ brokers: 4, topics: { orders: 2 } })
  const kafka = new Kafka({ brokers: cluster.bootstrap })
  return {
    cluster,
    admin: kafka.admin(),
    [Symbol.asyncDispose]: async () => {
      await kafka.close()
      await cluster.stop()
    },
  }
}

async function replicasOf(admin: Admin, partition = 0): Promise<readonly number[]> {
  const [topic] = await admin.describeTopics({ topics: ['orders'] })
  return topic!.partitions[partition]!.replicas
}

t.test('leadership goes back to the preferred replica where that is asked for', async t => {
  await using w = await world()
  const { cluster, admin } = w
  const [preferred] = await replicasOf(admin)
  await cluster.kill(preferred!)
  const other = await cluster.waitForLeader('orders', 0, { not: preferred! })
  const partitions = [{ topic: 'orders', partition: 0 }]
  await t.rejects(admin.electLeaders({ partitions }), {
    code: 'PREFERRED_LEADER_NOT_AVAILABLE',
    retriable: false,
  })
  await cluster.restart(preferred!)
  await cluster.waitForSync('orders')
  t.equal(cluster.leaderOf('orders'), other)
  t.same(await admin.electLeaders({ partitions }), [{ topic: 'orders', partition: 0, elected: true }])
  t.equal(await cluster.waitForLeader('orders', 0, { not: other }), preferred)
  t.same(await admin.electLeaders({ partitions }), [{ topic: 'orders', partition: 0, elected: false }])
  t.same(await admin.electLeaders(), [], 'of all partitions none needs it')
  await t.rejects(admin.electLeaders({ partitions: [{ topic: 'orders', partition: 7 }] }), {
    code: 'UNKNOWN_TOPIC_OR_PARTITION',
  })
})

t.test('a partition is moved to other brokers, with what it holds', async t => {
  await using w = await world()
  const { cluster, admin } = w
  await cluster.produce('orders', [{ partition: 0, value: 'moves' }])
  const before = await replicasOf(admin)
  const absent = [1, 2, 3, 4].find(broker => !before.includes(broker))!
  const wanted = [absent, before[0]!, before[1]!]
  await admin.alterPartitionReassignments({
    partitions: [{ topic: 'orders', partition: 0, replicas: wanted }],
  })
  await until(async () => (await admin.listPartitionReassignments()).length === 0, 'the move is done')
  t.same(await replicasOf(admin), wanted)
  await cluster.waitForSync('orders')
  t.match(await cluster.waitForRecords('orders', 1), [{ partition: 0, value: 'moves' }])
})

t.test('a move that cannot end is listed, and can be cancelled', async t => {
  await using w = await world()
  const { cluster, admin } = w
  const before = await replicasOf(admin)
  const absent = [1, 2, 3, 4].find(broker => !before.includes(broker))!
  await cluster.kill(absent)
  const partitions = [{ topic: 'orders', partition: 0, replicas: [absent, before[1]!, before[2]!] }]
  await admin.alterPartitionReassignments({ partitions })
  const moving = await admin.listPartitionReassignments()
  t.match(moving, [{ topic: 'orders', partition: 0, adding: [absent], removing: [before[0]] }])
  t.same(await admin.listPartitionReassignments({ partitions: [{ topic: 'orders', partition: 1 }] }), [])
  const cancel = [{ topic: 'orders', partition: 0, replicas: null }]
  await admin.alterPartitionReassignments({ partitions: cancel })
  t.same(await admin.listPartitionReassignments(), [])
  t.same((await replicasOf(admin)).toSorted(), before.toSorted())
  await t.rejects(admin.alterPartitionReassignments({ partitions: cancel }), {
    code: 'NO_REASSIGNMENT_IN_PROGRESS',
  })
})

t.test('the number of replicas can be kept from changing', async t => {
  await using w = await world()
  const partitions = [{ topic: 'orders', partition: 0, replicas: [1] }]
  await t.rejects(w.admin.alterPartitionReassignments({ partitions, mayChangeReplicationFactor: false }), {
    code: 'INVALID_REPLICATION_FACTOR',
  })
})

t.test('eligible leaders and fenced brokers are told where they are asked for', async t => {
  await using w = await world()
  const { cluster, admin } = w
  const leader = cluster.leaderOf('orders')!
  const [first, second] = (await replicasOf(admin)).filter(broker => broker !== leader)
  await cluster.kill(first!)
  await cluster.kill(second!)
  await until(() => cluster.inSync('orders').length === 1, 'the leader is alone')
  const [topic] = await admin.describeTopics({ topics: ['orders'], includeElr: true })
  t.ok(topic!.partitions[0]!.elr!.length > 0)
  t.same(topic!.partitions[0]!.lastKnownElr, [])
  const [plain] = await admin.describeTopics({ topics: ['orders'] })
  t.equal(plain!.partitions[0]!.elr, null)

  t.equal((await admin.describeCluster()).brokers.length, 2)
  const { brokers } = await admin.describeCluster({ includeFenced: true })
  t.same(
    brokers.filter(({ fenced }) => fenced).map(({ id, port }) => [id, port]),
    [first!, second!].toSorted().map(id => [id, -1]),
  )
})

t.test('what may pass is tried again', async t => {
  await using w = await world()
  const { cluster, admin } = w
  for (const broker of cluster.brokers) {
    broker.intercept('ListPartitionReassignments', (_request, { count }) =>
      count < 1 ? error('REQUEST_TIMED_OUT') : { kind: 'pass' },
    )
  }
  t.same(await admin.listPartitionReassignments(), [])
})
