import t, { type Test } from 'tap'
import { API } from '../../../client/protocol/apis.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { type FetchResponse } from '../../../client/protocol/messages/fetch.ts'
import { decodeRecords } from '../../../client/protocol/record.ts'
import { type TopicId } from '../../../client/protocol/types.ts'
import { batch, TestBroker, type TestClient, unfold } from './test-broker.ts'

async function start(t: Test, settings = {}): Promise<TestBroker> {
  const test = await TestBroker.start({ settings })
  t.teardown(() => test.stop())
  return test
}

interface Ask {
  readonly maxWaitMs?: number
  readonly minBytes?: number
  readonly maxBytes?: number
  readonly partitionMaxBytes?: number
  readonly sessionId?: number
  readonly sessionEpoch?: number
  readonly forget?: readonly number[]
  readonly topicId?: TopicId
  readonly isolationLevel?: number
}

/** A fetch of partitions of topic `a`, each from an offset. */
function bodyOf(partitions: Record<number, number>, ask: Ask = {}) {
  const { partitionMaxBytes = 1 << 20, forget = [], topicId = '0'.repeat(32), ...more } = ask
  const asked = Object.entries(partitions).map(([partition, fetchOffset]) => ({
    partition: Number(partition),
    fetchOffset,
    partitionMaxBytes,
  }))
  return {
    maxWaitMs: 0,
    minBytes: 1,
    ...more,
    topics: asked.length === 0 ? [] : [{ topic: 'a', topicId, partitions: asked }],
    forgottenTopicsData: forget.length === 0 ? [] : [{ topic: 'a', topicId, partitions: [...forget] }],
  }
}

const fetch = (client: TestClient, version: number, partitions: Record<number, number>, ask: Ask = {}) =>
  client.request(API.Fetch, version, bodyOf(partitions, ask))

/** What came, as `partition: values`, or the error. */
function seen(response: FetchResponse): string[] {
  if (response.errorCode !== 0) return [errorName(response.errorCode)]
  return response.responses.flatMap(topic =>
    topic.partitions.map(partition => {
      if (partition.errorCode !== 0) return `${partition.partitionIndex}: ${errorName(partition.errorCode)}`
      return `${partition.partitionIndex}: ${valuesOf(partition.records)}`
    }),
  )
}

function valuesOf(records: Uint8Array | null): string {
  const values: string[] = []
  for (let at = 0; records !== null && at < records.length; ) {
    const length = 12 + Buffer.from(records).readInt32BE(at + 8)
    const bytes = records.subarray(at, at + length)
    for (const record of decodeRecords(bytes)) values.push(`${record.offset}=${record.value}`)
    at += length
  }
  return values.join(' ')
}

t.test(
  'what was produced is fetched, from any offset on, and offsets beyond the end are refused',
  async t => {
    const test = await start(t)
    await test.createTopic('a')
    await test.produce('a', 0, ['x', 'y'])
    await test.produce('a', 0, ['z'])
    t.same(seen(await fetch(test.client, 4, { 0: 0 })), ['0: 0=x 1=y 2=z'])
    t.same(seen(await fetch(test.client, 11, { 0: 2 })), ['0: 2=z'])
    const atEnd = await fetch(test.client, 12, { 0: 3 })
    t.same(seen(atEnd), ['0: '])
    t.match(atEnd.responses[0]?.partitions[0], { highWatermark: 3, lastStableOffset: 3, logStartOffset: 0 })
    t.equal(atEnd.responses[0]?.partitions[0]?.records?.length, 0, 'empty, and not null')
    const beyond = await fetch(test.client, 12, { 0: 4 })
    t.same(seen(beyond), ['0: OFFSET_OUT_OF_RANGE'])
    t.equal(beyond.responses[0]?.partitions[0]?.records?.length, 0, 'empty, and not null')
    t.same(seen(await fetch(test.client, 4, { 9: 0 })), ['9: UNKNOWN_TOPIC_OR_PARTITION'])
  },
)

t.test('a topic that was made anew is not read under its old id', async t => {
  const test = await start(t)
  const old = await test.createTopic('a')
  await test.produce('a', 0, ['old'])
  t.same(seen(await fetch(test.client, 13, { 0: 0 }, { topicId: old })), ['0: 0=old'])
  await test.client.request(API.DeleteTopics, 5, { topicNames: ['a'], timeoutMs: 1000 })
  const fresh = await test.createTopic('a')
  await test.produce('a', 0, ['new'])
  t.same(seen(await fetch(test.client, 17, { 0: 0 }, { topicId: old })), ['0: UNKNOWN_TOPIC_ID'])
  t.same(seen(await fetch(test.client, 17, { 0: 0 }, { topicId: fresh })), ['0: 0=new'])
})

t.test('a fetch waits for its minimum of bytes, and for no longer than it says', async t => {
  const test = await start(t)
  await test.createTopic('a')
  let done = false
  const waiting = test.client
    .send(API.Fetch, 11, bodyOf({ 0: 0 }, { maxWaitMs: 500, minBytes: 150 }))
    .finally(() => {
      done = true
    })
  const producer = await test.connect()
  const produce = (value: string) =>
    producer.request(API.Produce, 9, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: 'a', partitionData: [{ index: 0, records: batch(test.env, [value]) }] }],
    })
  await test.env.clock.advance(100)
  t.equal(done, false)
  await produce('1')
  await test.env.clock.advance(100)
  t.equal(done, false, 'one batch is too little')
  await produce('2')
  await produce('3')
  await test.env.clock.settle()
  t.equal(done, true)
  t.match(seen(await waiting), [/^0: 0=1 1=2/])

  const before = test.env.clock.monotonicMs()
  const late = await unfold(test.env, test.client.send(API.Fetch, 11, bodyOf({ 0: 3 }, { maxWaitMs: 300 })))
  t.same(seen(late), ['0: '])
  t.equal(test.env.clock.monotonicMs() - before, 300)
})

t.test('an error is answered at once, whatever else waits', async t => {
  const test = await start(t)
  await test.createTopic('a', 2)
  const before = test.env.clock.monotonicMs()
  const response = await fetch(test.client, 11, { 0: 0, 1: 99 }, { maxWaitMs: 500 })
  t.same(seen(response), ['0: ', '1: OFFSET_OUT_OF_RANGE'])
  t.ok(test.env.clock.monotonicMs() - before < 10)
})

t.test('a deleted topic wakes those who wait for it', async t => {
  const test = await start(t)
  await test.createTopic('a')
  const waiting = test.client.send(API.Fetch, 11, bodyOf({ 0: 0 }, { maxWaitMs: 60_000 }))
  const admin = await test.connect()
  await admin.request(API.DeleteTopics, 5, { topicNames: ['a'], timeoutMs: 1000 })
  t.same(seen(await unfold(test.env, waiting)), ['0: UNKNOWN_TOPIC_OR_PARTITION'])
})

t.test('the first batch may exceed the limits, those behind it may not', async t => {
  const test = await start(t)
  await test.createTopic('a', 3)
  for (const partition of [1, 2])
    for (const value of ['x', 'y']) await test.produce('a', partition, [value.repeat(100)])
  const partitions = { 0: 0, 1: 0, 2: 0 }
  const counts = async (ask: Ask) =>
    seen(await fetch(test.client, 11, partitions, ask)).map(line => line.split('=').length - 1)
  t.same(await counts({ maxBytes: 10 }), [0, 1, 0])
  t.same(await counts({ partitionMaxBytes: 10 }), [0, 1, 0])
  t.same(await counts({ maxBytes: 400 }), [0, 2, 0])
  t.same(await counts({ maxBytes: 600 }), [0, 2, 1])
  t.same(await counts({ partitionMaxBytes: 200 }), [0, 1, 1])
  t.same(await counts({}), [0, 2, 2])
})

t.test('a session answers with what has news, and rotates its partitions', async t => {
  const test = await start(t)
  await test.createTopic('a', 3)
  await test.produce('a', 0, ['x'])
  const first = await fetch(test.client, 11, { 0: 0, 1: 0, 2: 0 }, { sessionEpoch: 0 })
  t.ok(first.sessionId > 0)
  t.same(seen(first), ['0: 0=x', '1: ', '2: '])
  const { sessionId } = first
  const next = (sessionEpoch: number, moved: Record<number, number>, ask: Ask = {}) =>
    fetch(test.client, 11, moved, { sessionId, sessionEpoch, ...ask })
  t.same(seen(await next(1, { 0: 1 })), [])
  await test.produce('a', 2, ['y'])
  await test.produce('a', 1, ['z'])
  t.same(seen(await next(2, {})), ['1: 0=z', '2: 0=y'])
  await test.produce('a', 0, ['w'])
  t.same(seen(await next(3, { 1: 1, 2: 1 })), ['0: 1=w'])
  await test.produce('a', 1, ['v'])
  // Partition 0 gave something the last time: it comes last now, and would be empty under a small limit.
  t.same(seen(await next(4, {}, { maxBytes: 10 })), ['1: 1=v'])
  t.same(seen(await next(5, {}, { forget: [0, 1] })), [])
  t.same(seen(await next(6, { 1: 0 }, { forget: [2] })), ['1: 0=z 1=v'])
})

t.test('sessions are refused when they are not known, not next, or mixed, and end when asked', async t => {
  const test = await start(t)
  const topicId = await test.createTopic('a')
  const { sessionId } = await fetch(test.client, 11, { 0: 0 }, { sessionEpoch: 0 })
  const ask = async (version: number, id: number, epoch: number) =>
    seen(await fetch(test.client, version, {}, { sessionId: id, sessionEpoch: epoch }))
  t.same(await ask(11, sessionId + 1, 1), ['FETCH_SESSION_ID_NOT_FOUND'])
  t.same(await ask(11, sessionId, 2), ['INVALID_FETCH_SESSION_EPOCH'])
  t.same(await ask(13, sessionId, 1), ['FETCH_SESSION_TOPIC_ID_ERROR'])
  t.same(await ask(11, sessionId, 1), [])
  const last = await fetch(test.client, 11, { 0: 0 }, { sessionId, sessionEpoch: -1 })
  t.equal(last.sessionId, 0)
  t.same(await ask(11, sessionId, 2), ['FETCH_SESSION_ID_NOT_FOUND'])

  const byId = await fetch(test.client, 13, { 0: 0 }, { sessionEpoch: 0, topicId })
  t.ok(byId.sessionId > 0)
  t.same(await ask(13, byId.sessionId, 1), [])
})

t.test('without room for sessions every fetch is a full one', async t => {
  const test = await start(t, { 'max.incremental.fetch.session.cache.slots': 0 })
  await test.createTopic('a')
  t.equal((await fetch(test.client, 11, { 0: 0 }, { sessionEpoch: 0 })).sessionId, 0)
})

t.test('a session keeps telling an error, and the partition again when it is over', async t => {
  const test = await start(t)
  await test.createTopic('a', 1)
  const { sessionId } = await fetch(test.client, 11, { 0: 0, 1: 0 }, { sessionEpoch: 0 })
  const next = async (sessionEpoch: number) =>
    seen(await fetch(test.client, 11, {}, { sessionId, sessionEpoch }))
  t.same(await next(1), ['1: UNKNOWN_TOPIC_OR_PARTITION'])
  t.same(await next(2), ['1: UNKNOWN_TOPIC_OR_PARTITION'])
  const topics = [{ name: 'a', count: 2, assignments: null }]
  await test.client.request(API.CreatePartitions, 3, { topics, timeoutMs: 1000, validateOnly: false })
  t.same(await next(3), ['1: '])
  t.same(await next(4), [])
})

t.test('leader epochs are checked: older ones are fenced, newer ones not yet known', async t => {
  const test = await start(t)
  const topicId = await test.createTopic('a')
  await test.produce('a', 0, ['x'])
  const ask = async (currentLeaderEpoch: number, lastFetchedEpoch = -1, fetchOffset = 0) => {
    const partitions = [
      { partition: 0, fetchOffset, partitionMaxBytes: 1000, currentLeaderEpoch, lastFetchedEpoch },
    ]
    const topics = [{ topicId, partitions }]
    return test.client.request(API.Fetch, 16, { maxWaitMs: 500, minBytes: 1000, topics })
  }
  t.same(seen(await ask(5)), ['0: UNKNOWN_LEADER_EPOCH'])
  t.same(seen(await ask(0)), ['0: 0=x'])
  t.same(seen(await ask(0, 3)), ['0: OFFSET_OUT_OF_RANGE'], 'an epoch that never was')
  const diverged = await ask(0, 0, 5)
  t.match(diverged.responses[0]?.partitions[0]?.divergingEpoch, { epoch: 0, endOffset: 1 })
})

t.test('one who pretends to be a replica reads nothing', async t => {
  const test = await start(t)
  await test.createTopic('a')
  await test.produce('a', 0, ['x'])
  const asked = { ...bodyOf({ 0: 0 }), replicaId: 1 }
  t.same(seen(await test.client.request(API.Fetch, 11, asked)), ['0: NOT_LEADER_OR_FOLLOWER'])
})

t.test('a client that goes away while it waits leaves nothing behind', async t => {
  const test = await start(t)
  await test.createTopic('a')
  const client = await test.connect()
  const waiting = client.send(API.Fetch, 11, bodyOf({ 0: 0 }, { maxWaitMs: 60_000 }))
  waiting.catch(() => {})
  await test.env.clock.advance(10)
  client.destroy()
  await test.env.clock.advance(10)
  await test.produce('a', 0, ['x'])
  t.same(seen(await fetch(test.client, 11, { 0: 0 })), ['0: 0=x'])
  t.equal(test.fatal, null)
})
