/** What clients see of leaders that change: records once each and in order, offsets and epochs that go on. */
import t from 'tap'
import { startCluster, type TestCluster } from '../../broker/testing.ts'
import { type Admin, Kafka } from '../../client/index.ts'
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { encodeBatch } from '../../client/protocol/record.ts'
import { Peer } from '../interop/peer.ts'

t.setTimeout(60_000)

/** Another replica leads, without anybody's death. Resolves to the new one. */
async function moveLeader(cluster: TestCluster, admin: Admin, topic: string): Promise<number> {
  const [description] = await admin.describeTopics({ topics: [topic] })
  const { replicas } = description!.partitions[0]!
  const old = cluster.leaderOf(topic)!
  const next = replicas.find(replica => replica !== old)!
  const order = [next, ...replicas.filter(replica => replica !== next)]
  await admin.alterPartitionReassignments({ partitions: [{ topic, partition: 0, replicas: order }] })
  await admin.electLeaders({ partitions: [{ topic, partition: 0 }] })
  return cluster.waitForLeader(topic, 0, { not: old })
}

t.test('an idempotent producer writes every record once, in order, through 20 leaders', async t => {
  await using cluster = await startCluster({ topics: { orders: 1 } })
  await using kafka = new Kafka({ brokers: cluster.bootstrap })
  const admin = kafka.admin()
  const producer = kafka.producer()
  const failures: unknown[] = []
  let sent = 0
  let isOver = false
  const acknowledged = new Map<number, string>()
  const send = async (): Promise<void> => {
    const value = String(sent++)
    try {
      const [range] = await producer.send({ topic: 'orders', messages: [{ value }] })
      acknowledged.set(Number(range!.baseOffset), value)
    } catch (error) {
      failures.push(error)
    }
  }
  const writing = (async () => {
    while (!isOver) await Promise.all(Array.from({ length: 5 }, send))
  })()
  for (let change = 0; change < 20; change++) {
    const before = sent
    if (change % 4 === 3) {
      const old = cluster.leaderOf('orders')!
      await cluster.kill(old)
      await cluster.waitForLeader('orders', 0, { not: old, timeoutMs: 10_000 })
      await cluster.restart(old)
      await cluster.waitForSync('orders', { timeoutMs: 10_000 })
    } else {
      await moveLeader(cluster, admin, 'orders')
    }
    await cluster.waitForRecords('orders', records => records.length >= before, { timeoutMs: 10_000 })
  }
  isOver = true
  await writing
  t.same(failures, [])
  const records = await cluster.waitForRecords('orders', sent, { timeoutMs: 10_000 })
  t.same(
    records.map(({ value }) => value),
    Array.from({ length: sent }, (_, index) => String(index)),
  )
  for (const [offset, value] of acknowledged) {
    if (records[offset]?.value !== value) t.fail(`${value} was acknowledged at ${offset}`)
  }
  const [end] = await admin.listOffsets({ partitions: [{ topic: 'orders', partition: 0, spec: 'latest' }] })
  t.equal(end!.offset, sent)
})

t.test('offsets, deleted records and epochs are the same under the next leader', async t => {
  await using cluster = await startCluster({ topics: { orders: 1 } })
  await using kafka = new Kafka({ brokers: cluster.bootstrap })
  const admin = kafka.admin()
  const timestamps = [1000, 2000, 3000, 4000].map(shift => Date.now() - 60_000 + shift)
  await cluster.produce(
    'orders',
    timestamps.map(timestamp => ({ value: 'x', timestamp })),
  )
  const [deleted] = await admin.deleteRecords({ topic: 'orders', partitions: [{ partition: 0, offset: 2 }] })
  t.equal(deleted!.lowWatermark, 2)
  const specs = ['earliest', 'latest', 'max-timestamp', { timestamp: timestamps[2]! }] as const
  const offsets = async (): Promise<number[]> => {
    const listed = await Promise.all(
      specs.map(spec => admin.listOffsets({ partitions: [{ topic: 'orders', partition: 0, spec }] })),
    )
    return listed.map(([entry]) => entry!.offset)
  }
  t.same(await offsets(), [2, 4, 3, 2])

  const first = cluster.leaderOf('orders')!
  await cluster.kill(first)
  await cluster.waitForLeader('orders', 0, { not: first })
  t.same(await offsets(), [2, 4, 3, 2])
  await cluster.produce('orders', ['y'])
  const epochs = await Promise.all(
    [0, 1].map(leaderEpoch =>
      admin.offsetForLeaderEpoch({ partitions: [{ topic: 'orders', partition: 0, leaderEpoch }] }),
    ),
  )
  const [[before], [after]] = epochs as [(typeof epochs)[0], (typeof epochs)[0]]
  t.match([before, after], [{ leaderEpoch: 0, endOffset: 4 }, { endOffset: 5 }])
  t.ok(after!.leaderEpoch > 0)

  await cluster.restart(first)
  await cluster.waitForSync('orders')
  await moveLeader(cluster, admin, 'orders')
  t.same(await offsets(), [2, 5, 4, 2])
  await t.rejects(admin.deleteRecords({ topic: 'orders', partitions: [{ partition: 0, offset: 6 }] }), {
    code: 'OFFSET_OUT_OF_RANGE',
  })
})

t.test('who does not lead says so, and who does (KIP-951)', async t => {
  await using cluster = await startCluster({ topics: { orders: { replicationFactor: 1 } } })
  await cluster.produce('orders', ['x'])
  const leader = cluster.leaderOf('orders')!
  const other = (leader % 3) + 1
  await using peer = await Peer.connect(cluster.broker(other).bootstrap)
  const { topicId } = cluster.broker(other).broker.context.metadata.image.topic('orders')!
  const hint = { currentLeader: { leaderId: leader, leaderEpoch: 0 } }
  const nodeEndpoints = [{ nodeId: leader, host: '127.0.0.1', port: cluster.broker(leader).port }]
  const refused = { errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER }

  const records = encodeBatch([{ key: null, value: 'y', timestamp: Date.now() }])
  for (const version of [9, 10, 13]) {
    const topicData = [{ name: 'orders', topicId, partitionData: [{ index: 0, records }] }]
    const answer = await peer.ask(API.Produce, version, { acks: -1, timeoutMs: 5000, topicData })
    const partitionResponses = [version < 10 ? refused : { ...refused, ...hint }]
    t.match(answer, { responses: [{ partitionResponses }], ...(version < 10 ? {} : { nodeEndpoints }) })
  }
  for (const version of [11, 12, 16, 18]) {
    const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }]
    const topics = [{ topic: 'orders', topicId, partitions }]
    const answer = await peer.ask(API.Fetch, version, { maxWaitMs: 0, minBytes: 0, topics })
    const answered = [version < 16 ? refused : { ...refused, ...hint }]
    t.match(answer, { responses: [{ partitions: answered }], ...(version < 16 ? {} : { nodeEndpoints }) })
  }
  const listed = [{ name: 'orders', partitions: [{ partitionIndex: 0, timestamp: -1 }] }]
  t.match(await peer.ask(API.ListOffsets, 9, { replicaId: -1, topics: listed }), {
    topics: [{ partitions: [refused] }],
  })
  const deleted = [{ name: 'orders', partitions: [{ partitionIndex: 0, offset: -1 }] }]
  t.match(await peer.ask(API.DeleteRecords, 2, { topics: deleted, timeoutMs: 5000 }), {
    topics: [{ partitions: [refused] }],
  })
  const ended = [{ topic: 'orders', partitions: [{ partition: 0, leaderEpoch: 0 }] }]
  t.match(await peer.ask(API.OffsetForLeaderEpoch, 4, { topics: ended }), {
    topics: [{ partitions: [refused] }],
  })
  const described = [{ name: 'orders', partitionIndexes: [0] }]
  t.match(await peer.ask(API.DescribeProducers, 0, { topics: described }), {
    topics: [{ partitions: [refused] }],
  })
})

t.test('a follower refuses what only a leader can do, and lets consumers read', async t => {
  await using cluster = await startCluster({ topics: { orders: 1 } })
  await cluster.produce('orders', ['x'])
  const leader = cluster.leaderOf('orders')!
  const follower = cluster.broker((leader % 3) + 1)
  await using peer = await Peer.connect(follower.bootstrap)
  const fetch = (version: number, fetchOffset: number, currentLeaderEpoch = -1) => {
    const partitions = [{ partition: 0, fetchOffset, currentLeaderEpoch, partitionMaxBytes: 1000 }]
    const { topicId } = follower.broker.context.metadata.image.topic('orders')!
    const topics = [{ topic: 'orders', topicId, partitions }]
    return peer.ask(API.Fetch, version, { maxWaitMs: 0, minBytes: 0, topics })
  }
  const answered = (errorCode: number) => ({ responses: [{ partitions: [{ errorCode }] }] })
  // Who knows nothing of KIP-392 wants the leader.
  t.match(await fetch(10, 0), answered(ErrorCode.NOT_LEADER_OR_FOLLOWER))
  t.match(await fetch(12, 0, 0), answered(ErrorCode.NONE))
  t.match(await fetch(12, 0, 7), answered(ErrorCode.UNKNOWN_LEADER_EPOCH))
  // Whether there is such an offset the leader knows.
  t.match(await fetch(12, 100), answered(ErrorCode.NOT_LEADER_OR_FOLLOWER))
  const listed = [{ name: 'orders', partitions: [{ partitionIndex: 0, timestamp: -1 }] }]
  t.match(await peer.ask(API.ListOffsets, 9, { replicaId: -1, topics: listed }), {
    topics: [{ partitions: [{ errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER }] }],
  })
})
