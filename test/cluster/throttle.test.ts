/** Moves that are throttled (KIP-73): they take their time, they end, and nobody in sync is held back. */
import t from 'tap'
import { startCluster, type TestCluster } from '../../broker/testing.ts'
import { type Admin, Kafka } from '../../client/index.ts'
import { sluiceAt } from '../helpers/sluice.ts'
import { until } from '../helpers/until.ts'

t.setTimeout(90_000)

const RECORD = 'x'.repeat(50_000)
const RECORDS = 60
const BYTES = RECORD.length * RECORDS
const RATES = ['leader.replication.throttled.rate', 'follower.replication.throttled.rate']

async function start(): Promise<{ cluster: TestCluster; kafka: Kafka; admin: Admin }> {
  const cluster = await startCluster({
    configs: {
      'default.replication.factor': '2',
      'min.insync.replicas': '1',
      'replica.fetch.max.bytes': '100000',
    },
  })
  const kafka = new Kafka({ brokers: cluster.bootstrap })
  const admin = kafka.admin()
  await admin.createTopics({
    topics: [{ topic: 'orders', assignments: [{ partition: 0, replicas: [1, 2] }] }],
  })
  await cluster.waitForLeader('orders')
  // One by one, so that no batch is larger than what is fetched at a time.
  for (let index = 0; index < RECORDS; index++) await cluster.produce('orders', [RECORD])
  return { cluster, kafka, admin }
}

async function move(admin: Admin): Promise<number> {
  const fromMs = performance.now()
  await admin.alterPartitionReassignments({
    partitions: [{ topic: 'orders', partition: 0, replicas: [1, 3] }],
  })
  await until(async () => (await admin.listPartitionReassignments()).length === 0, 'the move is over')
  return performance.now() - fromMs
}

/** `side` alone is throttled. */
async function throttle(admin: Admin, side: 'leader' | 'follower', rate: number, replicas: string) {
  const brokers = ['1', '2', '3'].map(name => ({
    type: 'broker' as const,
    name,
    changes: [{ name: `${side}.replication.throttled.rate`, op: 'set' as const, value: String(rate) }],
  }))
  const changes = [{ name: `${side}.replication.throttled.replicas`, op: 'set' as const, value: replicas }]
  await admin.incrementalAlterConfigs({ resources: [...brokers, { type: 'topic', name: 'orders', changes }] })
}

const RATE = 1_000_000
/** A second's worth goes at once. */
const LEAST_MS = (BYTES / RATE - 1) * 1000 * 0.8

for (const [side, replicas] of [
  ['leader', '0:1'],
  ['follower', '*'],
] as const) {
  t.test(`the ${side}'s throttle makes a move take its time, and it ends`, async t => {
    const { cluster, kafka, admin } = await start()
    t.teardown(() => cluster.stop())
    t.teardown(() => kafka.close())
    await throttle(admin, side, RATE, replicas)
    const tookMs = await move(admin)
    t.ok(tookMs >= LEAST_MS, `${Math.round(tookMs)} ms, at least ${LEAST_MS}`)
    t.ok(tookMs < 30_000, 'and not for ever')
    t.equal((await cluster.records('orders')).length, RECORDS)
  })
}

t.test('without a throttle, or with one for others, a move is done at once', async t => {
  const { cluster, kafka, admin } = await start()
  t.teardown(() => cluster.stop())
  t.teardown(() => kafka.close())
  await throttle(admin, 'leader', 1, '0:3,1:1')
  const tookMs = await move(admin)
  t.ok(tookMs < LEAST_MS, `${Math.round(tookMs)} ms`)
})

t.test('replicas in sync are not held back', async t => {
  const { cluster, kafka, admin } = await start()
  t.teardown(() => cluster.stop())
  t.teardown(() => kafka.close())
  await throttle(admin, 'leader', 1, '*')
  await throttle(admin, 'follower', 1, '*')
  const fromMs = performance.now()
  const producer = kafka.producer()
  for (let index = 0; index < 20; index++) {
    await producer.send({ topic: 'orders', messages: [{ value: RECORD }] })
  }
  t.ok(performance.now() - fromMs < 10_000, 'a megabyte at one byte per second')
})

t.test('the command line throttles its move, takes that back, and tells what is left', async t => {
  const { cluster, kafka, admin } = await start()
  t.teardown(() => cluster.stop())
  t.teardown(() => kafka.close())
  const { sluice: run } = sluiceAt(cluster.bootstrap)
  const moved = await run(['partition', 'reassign', 'orders', '--to', '1,3', '--throttle', '1m'])
  t.match(moved, { code: 0 }, moved.stderr)
  t.notMatch(moved.stderr, /still throttled/)
  const slowed = async (): Promise<number> => {
    const described = await admin.describeConfigs({
      resources: ['1', '2', '3'].map(name => ({ type: 'broker' as const, name, names: RATES })),
    })
    return described.flatMap(({ entries }) => entries.filter(({ isDefault }) => !isDefault)).length
  }
  t.equal(await slowed(), 0)
  t.notMatch((await run(['partition', 'status'])).stderr, /throttled/)
  const left = await run([
    'partition',
    'reassign',
    'orders',
    '--to',
    '1,2',
    '--throttle',
    '100m',
    '--no-wait',
  ])
  t.match(left.stderr, /still throttled at brokers 1, 2, 3 and topic orders/)
  t.equal(await slowed(), 6)
  await until(async () => (await admin.listPartitionReassignments()).length === 0, 'the move is over')
  t.match((await run(['partition', 'status'])).stderr, /still throttled/)
  t.match((await run(['partition', 'status', '--remove-throttle'])).stderr, /throttled no more/)
  t.equal(await slowed(), 0)
})
