/** Groups over the death of their coordinator: nothing is skipped, nothing is forgotten, nobody old is believed. */
import t, { type Test } from 'tap'
import { startCluster, type TestCluster } from '../../broker/testing.ts'
import { type Consumer, Kafka } from '../../client/index.ts'
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { until } from '../helpers/until.ts'
import { Peer } from '../interop/peer.ts'

const OFFSETS = '__consumer_offsets'
const configs = { 'offsets.topic.num.partitions': '1' }

t.setTimeout(60_000)

/** Reads on until it is closed; counts what it has seen. */
async function reader(kafka: Kafka, protocol: 'classic' | 'consumer', seen: Map<string, number>) {
  const consumer = kafka.consumer({ groupId: 'readers', protocol, autoCommitIntervalMs: 50 })
  await consumer.subscribe({ topics: ['orders'], from: 'earliest' })
  const reading = consumer.run({
    eachMessage: ({ value }) => void seen.set(String(value), (seen.get(String(value)) ?? 0) + 1),
  })
  return { consumer, reading }
}

/** The one that leads the groups dies, and comes back when another has taken over. */
async function failOver(cluster: TestCluster): Promise<void> {
  const old = cluster.leaderOf(OFFSETS)!
  await cluster.kill(old)
  await cluster.waitForLeader(OFFSETS, 0, { not: old, timeoutMs: 10_000 })
  await cluster.restart(old)
  await cluster.waitForSync(OFFSETS, { timeoutMs: 10_000 })
}

async function survives(t: Test, protocol: 'classic' | 'consumer'): Promise<void> {
  await using cluster = await startCluster({ topics: { orders: 4 }, configs })
  await using kafka = new Kafka({ brokers: cluster.bootstrap })
  const admin = kafka.admin()
  const producer = kafka.producer()
  const seen = new Map<string, number>()
  const readers = [await reader(kafka, protocol, seen), await reader(kafka, protocol, seen)]
  let sent = 0
  const send = async (): Promise<void> => {
    const messages = Array.from({ length: 8 }, (_, index) => ({
      partition: index % 4,
      value: String(sent + index),
    }))
    await producer.send({ topic: 'orders', messages })
    sent += messages.length
  }
  for (let round = 0; round < 3; round++) {
    for (let times = 0; times < 5; times++) await send()
    await failOver(cluster)
    await send()
    await until(() => seen.size === sent, `all ${sent} are read, not only ${seen.size}`, 15_000)
  }
  const committed = async (): Promise<number> => {
    const offsets = await admin.fetchOffsets({ groupId: 'readers' })
    return offsets.reduce((sum, { offset }) => sum + offset, 0)
  }
  await until(async () => (await committed()) === sent, `everything is committed`, 15_000)
  await Promise.all(readers.map(({ consumer }: { consumer: Consumer }) => consumer.close()))
  await Promise.all(readers.map(({ reading }) => reading))
  await failOver(cluster)
  t.equal(await committed(), sent, 'and stays so')
  const again = [...seen.values()].filter(times => times > 1).length
  t.ok(again < sent, `${again} of ${sent} were read again`)

  const last = await reader(kafka, protocol, seen)
  await send()
  await until(() => seen.size === sent, 'a later member goes on where the group was', 15_000)
  t.equal([...seen.values()].filter(times => times > 1).length, again)
  await last.consumer.close()
  await last.reading
}

t.test('a classic group outlives its coordinator', t => survives(t, 'classic'))
t.test('a group of the new protocol outlives its coordinator', t => survives(t, 'consumer'))

t.test('the next coordinator knows members and generations, and fences the old', async t => {
  await using cluster = await startCluster({ topics: { orders: 1 }, configs })
  await using kafka = new Kafka({ brokers: cluster.bootstrap })
  await kafka
    .admin()
    .setOffsets({ groupId: 'other', offsets: [{ topic: 'orders', partition: 0, offset: 0 }] })
  const first = cluster.leaderOf(OFFSETS)!
  const ask = async <R, I>(
    brokerId: number,
    api: Parameters<typeof Peer.prototype.ask<R, I>>[0],
    v: number,
    body: I,
  ) => {
    await using peer = await Peer.connect(cluster.broker(brokerId).bootstrap)
    const answer = await peer.ask(api, v, body)
    if (answer === 'closed' || answer === 'silent') throw new Error(`${api.name}: ${answer}`)
    return answer
  }
  const joining = {
    groupId: 'group',
    sessionTimeoutMs: 30_000,
    rebalanceTimeoutMs: 30_000,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('topics') }],
  }
  const { memberId } = await ask(first, API.JoinGroup, 9, { ...joining, memberId: '' })
  const { generationId } = await ask(first, API.JoinGroup, 9, { ...joining, memberId })
  const member = { groupId: 'group', memberId, generationId }
  const named = { protocolType: 'consumer', protocolName: 'range' }
  const assignments = [{ memberId, assignment: Buffer.from('mine') }]
  await ask(first, API.SyncGroup, 5, { ...member, ...named, assignments })
  const commit = (brokerId: number, committedOffset: number, shift = 0) =>
    ask(brokerId, API.OffsetCommit, 9, {
      groupId: 'group',
      memberId,
      generationIdOrMemberEpoch: generationId + shift,
      topics: [
        { name: 'orders', partitions: [{ partitionIndex: 0, committedOffset, committedMetadata: 'm' }] },
      ],
    })
  const answered = (errorCode: number) => ({ topics: [{ partitions: [{ errorCode }] }] })
  t.match(await commit(first, 5), answered(ErrorCode.NONE))
  const other = (first % 3) + 1
  t.match(await commit(other, 6), answered(ErrorCode.NOT_COORDINATOR))
  t.match(await ask(other, API.Heartbeat, 4, member), { errorCode: ErrorCode.NOT_COORDINATOR })
  t.match(await ask(other, API.JoinGroup, 9, { ...joining, memberId }), {
    errorCode: ErrorCode.NOT_COORDINATOR,
  })
  t.match(
    await ask(other, API.ConsumerGroupHeartbeat, 1, {
      groupId: 'new',
      memberId: 'm',
      memberEpoch: 0,
      rebalanceTimeoutMs: 1000,
      subscribedTopicNames: ['orders'],
      topicPartitions: [],
    }),
    { errorCode: ErrorCode.NOT_COORDINATOR },
  )
  t.match(await ask(other, API.DescribeGroups, 5, { groups: ['group'] }), {
    groups: [{ errorCode: ErrorCode.NOT_COORDINATOR }],
  })

  await cluster.kill(first)
  const second = await cluster.waitForLeader(OFFSETS, 0, { not: first, timeoutMs: 10_000 })
  await until(async () => {
    const { errorCode } = await ask(second, API.Heartbeat, 4, member)
    return errorCode !== ErrorCode.COORDINATOR_LOAD_IN_PROGRESS && errorCode !== ErrorCode.NOT_COORDINATOR
  }, 'the next coordinator is ready')
  t.match(await ask(second, API.Heartbeat, 4, member), { errorCode: ErrorCode.NONE })
  t.match(await commit(second, 7, -1), answered(ErrorCode.ILLEGAL_GENERATION))
  t.match(await commit(second, 8), answered(ErrorCode.NONE))
  t.match(await ask(second, API.DescribeGroups, 5, { groups: ['group'] }), {
    groups: [{ groupState: 'Stable', members: [{ memberId, memberAssignment: Buffer.from('mine') }] }],
  })
  // Whoever was the coordinator does not answer from memory.
  await cluster.restart(first)
  await cluster.waitForSync(OFFSETS)
  t.match(await commit(first, 9), answered(ErrorCode.NOT_COORDINATOR))
  const groups = [{ groupId: 'group', topics: null }]
  t.match(await ask(second, API.OffsetFetch, 9, { groups }), {
    groups: [{ topics: [{ partitions: [{ committedOffset: 8, metadata: 'm' }] }] }],
  })
})
