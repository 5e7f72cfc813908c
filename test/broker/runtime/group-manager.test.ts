/**
 * The shell of the group coordinator: answers wait for the disk, what cannot be written is taken back, shards load
 * without standing in anybody's way.
 */
import t from 'tap'
import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { API } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import {
  ASSIGNMENT,
  commit,
  commitRequest,
  committed,
  GROUP,
  heartbeat,
  joinAlone,
  joinRequest,
  type Member,
} from '../api/group-client.ts'
import { TestBroker, unfold } from '../api/test-broker.ts'

const { NONE } = ErrorCode
/** One shard for all groups, so that a test need not look for it. */
const SETTINGS = { 'offsets.topic.num.partitions': 1, 'group.initial.rebalance.delay.ms': 0 }
const LOG = /__consumer_offsets-0\/.*\.log$/

async function start(disk = new MemoryDisk({ trackCrashes: true }), settings = {}): Promise<TestBroker> {
  return TestBroker.start({ disk, settings: { ...SETTINGS, ...settings } })
}

/** Whether `work` is done by now; time does not pass. */
async function isDone(test: TestBroker, work: Promise<unknown>): Promise<boolean> {
  let done = false
  work.then(
    () => (done = true),
    () => (done = true),
  )
  await test.env.clock.settle()
  return done
}

/** Waits until the shards have been loaded. */
async function loaded(test: TestBroker): Promise<void> {
  const { groups } = test.broker.context
  const ask = () => groups.askAll(token => ({ kind: 'list-groups', token, states: [], types: [] }))
  while ((await unfold(test.env, ask())).some(({ error }) => error !== NONE)) await test.env.clock.advance(1)
}

t.test('a commit is answered when it is durable, and nobody sees it before', async t => {
  await using test = await start()
  await test.createTopic('orders')
  await commit(test.client, 'orders', { 0: 1 })
  const { memberId, generationId } = await joinAlone(test.client, { groupId: 'others' })
  const release = test.env.disk.hold('sync', LOG)
  const writer = await test.connect()
  const reader = await test.connect()
  const beating = await test.connect()
  const committing = writer.send(API.OffsetCommit, 8, commitRequest('orders', { 0: 2 }))
  t.notOk(await isDone(test, committing))
  const reading = reader.send(API.OffsetFetch, 7, { groupId: GROUP, topics: null })
  const heart = beating.send(API.Heartbeat, 4, { groupId: 'others', memberId, generationId })
  t.notOk(await isDone(test, Promise.race([committing, reading, heart])), 'and later requests wait behind it')
  release()
  t.match(await committing, { topics: [{ partitions: [{ errorCode: NONE }] }] })
  t.match(await reading, { topics: [{ partitions: [{ committedOffset: 2 }] }] })
  t.equal((await heart).errorCode, NONE)
})

t.test('a power cut takes back what was not answered, and nothing else', async t => {
  const disk = new MemoryDisk({ trackCrashes: true })
  const first = await start(disk.view())
  await first.createTopic('orders', 2)
  const member = await joinAlone(first.client)
  t.same(await commit(first.client, 'orders', { 0: 10, 1: 20 }, { member }), [NONE, NONE])
  const release = disk.hold('sync', LOG)
  const lost = first.client.send(API.OffsetCommit, 8, commitRequest('orders', { 0: 11 }, GROUP, member))
  t.notOk(await isDone(first, lost))
  lost.catch(() => {})
  disk.crash({ keep: 'none' })
  release()

  await using second = await start(disk.view())
  await loaded(second)
  t.same(await committed(second.client, 'orders', [0, 1]), [10, 20])
  t.equal(await heartbeat(second.client, member), NONE, 'the member is still one')
  const { groups } = await second.client.request(API.DescribeGroups, 5, { groups: [GROUP] })
  t.match(groups, [
    { groupState: 'Stable', members: [{ memberId: member.memberId, memberAssignment: ASSIGNMENT }] },
  ])
  await second.env.clock.advance(11_000)
  t.equal(await heartbeat(second.client, member), ErrorCode.UNKNOWN_MEMBER_ID, 'until it falls silent')
  t.same(await committed(second.client, 'orders', [0, 1]), [10, 20])
})

t.test('what cannot be written is refused, and forgotten', async t => {
  await using test = await start()
  await test.createTopic('orders')
  const member = await joinAlone(test.client)
  t.same(await commit(test.client, 'orders', { 0: 5 }, { member }), [NONE])
  const waiting = await test.connect()
  const joining = waiting.send(API.JoinGroup, 3, joinRequest())
  t.notOk(await isDone(test, joining))
  const heal = test.env.disk.inject({ operation: 'write', path: LOG, code: 'DISK_FULL' })
  t.same(await commit(test.client, 'orders', { 0: 6 }, { member }), [ErrorCode.NOT_COORDINATOR])
  t.equal((await joining).errorCode, ErrorCode.NOT_COORDINATOR, 'whoever waits looks again')
  await loaded(test)
  t.same(await committed(test.client, 'orders', [0]), [5])
  heal()
  t.equal(await heartbeat(test.client, member), NONE)
  t.same(await commit(test.client, 'orders', { 0: 7 }, { member }), [NONE])
  t.same(await committed(test.client, 'orders', [0]), [7])
  t.equal(test.fatal, null)
  t.match(
    test.env.log
      .of('error')
      .map(({ message }) => message)
      .join('\n'),
    /could not be written/,
  )
})

t.test('requests of one turn are one batch', async t => {
  await using test = await start()
  await test.createTopic('orders', 100)
  await commit(test.client, 'orders', { 0: 0 })
  const { metadata, partitions } = test.broker.context
  const host = partitions.get(metadata.image.topic('__consumer_offsets')!.topicId, 0)!
  const before = host.describe().sizeBytes
  const sent = Array.from({ length: 50 }, (_, index) =>
    test.client.send(API.OffsetCommit, 8, commitRequest('orders', { [index]: index })),
  )
  await unfold(test.env, Promise.all(sent))
  const HEADER_BYTES = 61
  const grown = host.describe().sizeBytes - before
  t.ok(grown < 50 * HEADER_BYTES + 50 * 70, `${grown} bytes for 50 offsets`)
})

/** A broker whose only shard has been thrown away and waits for the disk to be loaded anew. */
async function startLoading(): Promise<{ test: TestBroker; member: Member; release: () => void }> {
  const test = await start(undefined, { 'log.tail.cache.bytes': 0 })
  await test.createTopic('orders')
  const member = await joinAlone(test.client)
  await commit(test.client, 'orders', { 0: 5 }, { member })
  const release = test.env.disk.hold('read', LOG)
  test.env.disk.inject({ operation: 'write', path: LOG, code: 'DISK_FULL', times: 1 })
  await commit(test.client, 'orders', { 0: 6 }, { member })
  return { test, member, release }
}

t.test('while a shard loads its groups are told so, and a member goes on', async t => {
  const { test, member, release } = await startLoading()
  t.teardown(() => test.stop())
  const loading = ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
  t.same(await committed(test.client, 'orders', [0]), [-loading])
  t.same(await commit(test.client, 'orders', { 0: 7 }, { member }), [loading])
  t.equal((await test.client.request(API.JoinGroup, 5, joinRequest())).errorCode, loading)
  t.equal(await heartbeat(test.client, member), NONE, 'it is not taken for gone')
  t.equal((await test.client.request(API.ListGroups, 4, {})).errorCode, loading)
  const { groups } = await test.client.request(API.DescribeGroups, 5, { groups: [GROUP] })
  t.match(groups, [{ groupId: GROUP, errorCode: loading }])
  release()
  await loaded(test)
  t.same(await committed(test.client, 'orders', [0]), [5])
})

t.test('a topic that is deleted while a shard loads takes its offsets with it', async t => {
  const { test, release } = await startLoading()
  t.teardown(() => test.stop())
  await test.client.request(API.DeleteTopics, 4, { topicNames: ['orders'], timeoutMs: 1000 })
  release()
  await loaded(test)
  t.same(await committed(test.client, 'orders', [0]), [-1])
})

t.test('a broker stops while a shard loads', async t => {
  const { test, release } = await startLoading()
  const stopped = test.stop()
  release()
  await stopped
  t.equal(test.fatal, null)
})

t.test('a record that makes no sense stops its groups, and the operator is told', async t => {
  const disk = new MemoryDisk({ trackCrashes: true })
  const first = await start(disk.view())
  await first.createTopic('orders')
  await commit(first.client, 'orders', { 0: 5 })
  const { metadata, partitions } = first.broker.context
  const host = partitions.get(metadata.image.topic('__consumer_offsets')!.topicId, 0)!
  const nonsense = encodeBatch([{ key: Buffer.from([0, 2, 0]), value: 'x', timestamp: 1 }])
  const appended = new Promise<number>(resolve =>
    host.append(nonsense, host.state.logEndOffset, ({ error }) => resolve(error)),
  )
  t.equal(await unfold(first.env, appended), NONE)
  await first.stop()

  await using second = await start(disk.view())
  await second.env.clock.settle()
  t.same(await committed(second.client, 'orders', [0]), [-ErrorCode.COORDINATOR_NOT_AVAILABLE])
  t.match(second.env.log.of('error'), [{ message: /could not be loaded/, fields: { error: Error } }])
  t.equal(second.fatal, null)
})

t.test('an internal batch is appended where it was meant to be, or not at all', async t => {
  await using test = await start()
  await test.createTopic('orders')
  const { metadata, partitions } = test.broker.context
  const host = partitions.get(metadata.image.topic('orders')!.topicId, 0)!
  const append = (baseOffset: number, size = 10): Promise<number> => {
    const batch = encodeBatch([{ value: Buffer.alloc(size), timestamp: 1 }])
    return unfold(
      test.env,
      new Promise(resolve => host.append(batch, baseOffset as never, ({ error }) => resolve(error))),
    )
  }
  t.equal(await append(0), NONE)
  t.equal(await append(0), ErrorCode.KAFKA_STORAGE_ERROR)
  t.equal(await append(2), ErrorCode.KAFKA_STORAGE_ERROR)
  t.equal(await append(1, 3_000_000), NONE, 'of any size')
  t.equal(host.state.logEndOffset, 2)
})

t.test('whoever goes before the answer leaves nobody behind', async t => {
  await using test = await start()
  const owner = await joinAlone(test.client)
  const visitor = await test.connect()
  visitor.send(API.JoinGroup, 3, joinRequest()).catch(() => {})
  await test.env.clock.settle()
  const members = async () => {
    const { groups } = await test.client.request(API.DescribeGroups, 5, { groups: [GROUP] })
    return groups[0]?.members.map(({ memberId }) => memberId)
  }
  t.equal((await members())?.length, 2)
  visitor.destroy()
  await test.env.clock.settle()
  t.same(await members(), [owner.memberId])
})

t.test('a stop answers those who wait for others', async t => {
  const test = await start()
  await joinAlone(test.client)
  const visitor = await test.connect()
  const joining = visitor.send(API.JoinGroup, 3, joinRequest())
  await test.env.clock.settle()
  await test.stop()
  t.equal((await joining).errorCode, ErrorCode.COORDINATOR_NOT_AVAILABLE)
  t.same(test.env.log.of('error'), [])
})

t.test('offsets of a group without members expire', async t => {
  await using test = await start(undefined, {
    'offsets.retention.minutes': 1,
    'offsets.retention.check.interval.ms': 10_000,
  })
  await test.createTopic('orders')
  await commit(test.client, 'orders', { 0: 5 })
  await test.env.clock.advance(45_000)
  t.same(await committed(test.client, 'orders', [0]), [5])
  await test.env.clock.advance(45_000)
  t.same(await committed(test.client, 'orders', [0]), [-1])
  t.same((await test.client.request(API.ListGroups, 4, {})).groups, [])
})
