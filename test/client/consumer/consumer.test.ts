/**
 * What a consumer promises, held against brokers that fail on purpose.
 */
import t, { type Test } from 'tap'
import {
  type ConsumedMessage,
  jsonSerde,
  Kafka,
  type KafkaOptions,
  type StalledEvent,
  stringSerde,
} from '../../../client/index.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import { until } from '../../helpers/until.ts'
import { FakeCluster, type FakeClusterOptions, type FakePartition } from '../fake-cluster.ts'

const FAST: Partial<KafkaOptions> = {
  retry: { initialBackoffMs: 1, maxBackoffMs: 5 },
  requestTimeoutMs: 2000,
}

async function setUp(t: Test, options: FakeClusterOptions, more: Partial<KafkaOptions> = {}) {
  const cluster = await FakeCluster.start(options)
  const kafka = new Kafka({ brokers: cluster.bootstrap, ...FAST, ...more })
  t.teardown(async () => {
    await kafka.close()
    await cluster.close()
  })
  return { cluster, kafka }
}

function range(count: number, first = 0): string[] {
  return Array.from({ length: count }, (_, index) => String(first + index))
}

/** Batches of ten records, with their offset as value and timestamp. */
function fill(partition: FakePartition, batches: number): void {
  for (let count = 0; count < batches; count++) {
    const first = partition.endOffset
    partition.append(encodeBatch(range(10, first).map(value => ({ value, timestamp: Number(value) }))))
  }
}

async function take(messages: AsyncIterable<ConsumedMessage>, count: number): Promise<string[]> {
  const values: string[] = []
  for await (const { value } of messages) {
    values.push(String(value))
    if (values.length === count) break
  }
  return values
}

t.test('messages come in order from the offset that was assigned, even within a batch', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  fill(cluster.partition('orders'), 5)
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 13 }])
  t.same(await take(consumer.messages(), 30), range(30, 13))
  t.same(consumer.assignment, [{ topic: 'orders', partition: 0, position: 43, paused: false }])
})

t.test('a later iterator goes on where the one before was left', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  fill(cluster.partition('orders'), 3)
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 'earliest' }])
  t.same(await take(consumer.messages(), 3), range(3))
  t.same(await take(consumer.messages(), 10), range(10, 3))
  for await (const batch of consumer.batches()) {
    t.equal(batch.firstOffset, 13)
    t.equal(batch.lastOffset, 19)
    t.same(
      batch.messages().map(({ offset }) => offset),
      range(7, 13).map(Number),
    )
    break
  }
})

t.test('leaving an iterator stops fetching', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  fill(cluster.partition('orders'), 1)
  await using consumer = kafka.consumer({ fetchMaxWaitMs: 10 })
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 0 }])
  await take(consumer.messages(), 10)
  // One may be under way, and is answered; then nothing more is asked, whatever comes in.
  const asked = cluster.count('Fetch')
  for (let count = 0; count < 3; count++) {
    fill(cluster.partition('orders'), 1)
    cluster.wake()
    await kafka.admin().listTopics()
  }
  t.ok(cluster.count('Fetch') <= asked + 1)
  t.throws(() => kafka.consumer().messages(), { code: 'INVALID_OPTION' }, 'nothing is assigned')
})

t.test('one reading at a time', async t => {
  const { kafka } = await setUp(t, { topics: { orders: 1 } })
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 0 }])
  const first = consumer.messages()
  t.throws(() => consumer.messages(), { code: 'INVALID_OPTION', message: /read already/ })
  await first.return?.()
  await consumer.messages().return?.()
})

t.test('latest and timestamps are looked up when they are assigned', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 2 } })
  fill(cluster.partition('orders', 0), 2)
  fill(cluster.partition('orders', 1), 2)
  await using consumer = kafka.consumer()
  await consumer.assign([
    { topic: 'orders', partition: 0, offset: 'latest' },
    { topic: 'orders', partition: 1, offset: { timestamp: 7 } },
  ])
  t.same(
    consumer.assignment.map(({ position }) => position),
    [20, 7],
  )
  await consumer.seek({ topic: 'orders', partition: 1, offset: { timestamp: 999 } })
  t.equal(consumer.assignment[1]?.position, 20, 'the end where no record is as young')
})

t.test('a subscription reads all partitions, also those that are added', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 2 } }, { metadataMaxAgeMs: 20 })
  await using consumer = kafka.consumer({ fetchMaxWaitMs: 10 })
  await consumer.subscribe({ topics: ['orders'], from: 'earliest' })
  fill(cluster.partition('orders', 0), 1)
  fill(cluster.partition('orders', 1), 1)
  t.same((await take(consumer.messages(), 20)).sort(), [...range(10), ...range(10)].sort())
  fill(cluster.addPartition('orders'), 1)
  t.same(await take(consumer.messages(), 10), range(10), 'found when the metadata is asked again')
})

t.test('a paused partition is not handed out, and keeps what was fetched', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 2 } })
  fill(cluster.partition('orders', 0), 1)
  fill(cluster.partition('orders', 1), 1)
  await using consumer = kafka.consumer()
  await consumer.subscribe({ topics: ['orders'], from: 'earliest' })
  consumer.pause([{ topic: 'orders', partition: 0 }])
  const seen: number[] = []
  for await (const { partition } of consumer.messages()) {
    seen.push(partition)
    if (seen.length === 10) consumer.resume()
    if (seen.length === 20) break
  }
  t.same(seen, [...Array(10).fill(1), ...Array(10).fill(0)])
})

t.test('a seek while reading takes effect with the next message', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  fill(cluster.partition('orders'), 3)
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 0 }])
  const seen: number[] = []
  for await (const { offset } of consumer.messages()) {
    seen.push(offset)
    if (seen.length === 3) await consumer.seek({ topic: 'orders', partition: 0, offset: 25 })
    if (seen.length === 6) break
  }
  t.same(seen, [0, 1, 2, 25, 26, 27])
})

t.test('the leader may move, connections may break: no record is lost or doubled', async t => {
  const { cluster, kafka } = await setUp(t, { brokers: 2, topics: { orders: 2 } })
  for (const index of [0, 1]) fill(cluster.partition('orders', index), 100)
  let turn = 0
  cluster.intercept = ({ api }) => {
    if (api !== 'Fetch') return undefined
    turn++
    if (turn % 7 === 0) cluster.moveLeader('orders', 0, cluster.partition('orders').leader === 0 ? 1 : 0)
    if (turn % 5 === 0) return 'cut'
    if (turn % 6 === 0) return { error: ErrorCode.LEADER_NOT_AVAILABLE }
    return undefined
  }
  await using consumer = kafka.consumer({ fetchPartitionMaxBytes: 300, fetchMaxWaitMs: 10 })
  await consumer.subscribe({ topics: ['orders'], from: 'earliest' })
  const seen: string[][] = [[], []]
  let count = 0
  for await (const { partition, value } of consumer.messages()) {
    seen[partition]!.push(String(value))
    if (++count === 2000) break
  }
  t.same(seen, [range(1000), range(1000)])
  t.ok(consumer.metrics().fetchErrors > 0)
})

t.test('an offset out of range is an error, or leads where the policy says', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  fill(cluster.partition('orders'), 2)
  const strict = kafka.consumer()
  const crashes: string[] = []
  strict.on('crash', ({ code }) => crashes.push(code))
  await strict.assign([{ topic: 'orders', partition: 0, offset: 500 }])
  await t.rejects(strict.messages().next(), {
    code: 'OFFSET_OUT_OF_RANGE',
    message: /Offset 500 of orders-0/,
  })
  t.same(crashes, ['OFFSET_OUT_OF_RANGE'])

  await using lenient = kafka.consumer({ onOffsetOutOfRange: 'earliest' })
  await lenient.assign([{ topic: 'orders', partition: 0, offset: 500 }])
  t.same(await take(lenient.messages(), 2), range(2))
})

t.test('records that were read and are lost by the cluster are reported', async t => {
  const { cluster, kafka } = await setUp(t, { brokers: 2, topics: { orders: 1 } })
  const partition = cluster.partition('orders')
  fill(partition, 3)
  await using consumer = kafka.consumer({ fetchMaxWaitMs: 5 })
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 0 }])
  const messages = consumer.messages()
  for (let count = 0; count < 30; count++) await messages.next()
  partition.truncate(10)
  cluster.moveLeader('orders', 0, 1)
  fill(partition, 5)
  await t.rejects(messages.next(), {
    code: 'LOG_TRUNCATION',
    message: /cut back to offset 10, .* up to 30 were read/,
  })
  await consumer.seek({ topic: 'orders', partition: 0, offset: 10 })
  t.same(await take(consumer.messages(), 50), range(50, 10))
})

t.test('a batch damaged on the way is fetched again; damaged at the broker it is reported', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  const partition = cluster.partition('orders')
  fill(partition, 2)
  const damaged = partition.batches[1]!.bytes
  damaged[damaged.length - 2]! ^= 1
  await using consumer = kafka.consumer()
  consumer.on('retry', () => {
    damaged[damaged.length - 2]! ^= 1
  })
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 0 }])
  t.same(await take(consumer.messages(), 20), range(20))
  consumer.removeAllListeners()
  damaged[damaged.length - 2]! ^= 1
  await consumer.seek({ topic: 'orders', partition: 0, offset: 0 })
  await t.rejects(take(consumer.messages(), 20), { code: 'CORRUPT_BATCH', topic: 'orders', partition: 0 })
})

t.test('memory is bounded while nobody takes', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 2 } })
  for (const index of [0, 1]) fill(cluster.partition('orders', index), 500)
  await using consumer = kafka.consumer({ maxBytes: 10_000, fetchPartitionMaxBytes: 2000, fetchMaxWaitMs: 5 })
  await consumer.subscribe({ topics: ['orders'], from: 'earliest' })
  const messages = consumer.messages()
  await messages.next()
  let most = 0
  for (let count = 1; count < 10_000; count++) {
    await messages.next()
    most = Math.max(most, consumer.metrics().bufferedBytes)
  }
  t.ok(most <= 14_000, `${most} bytes`)
  await messages.return?.()
})

t.test('a broker where nothing happens does not keep the room that the others need', async t => {
  const { cluster, kafka } = await setUp(t, { brokers: 3, topics: { orders: 3 } })
  await using consumer = kafka.consumer({ maxBytes: 30_000, fetchMaxWaitMs: 50 })
  await consumer.subscribe({ topics: ['orders'], from: 'earliest' })
  const messages = consumer.messages()
  const first = messages.next()
  await until(() => cluster.count('Fetch') >= 3, 'all brokers are asked')
  for (const index of [0, 1, 2]) fill(cluster.partition('orders', index), 1)
  await first
  t.equal((await take(messages, 29)).length, 29)
})

t.test('run calls one handler per partition at a time, and several partitions side by side', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 4 } })
  for (const index of [0, 1, 2, 3]) fill(cluster.partition('orders', index), 2)
  await using consumer = kafka.consumer()
  await consumer.subscribe({ topics: ['orders'], from: 'earliest' })
  const active = new Set<number>()
  const controller = new AbortController()
  let most = 0
  let handled = 0
  await consumer.run({
    concurrency: 3,
    signal: controller.signal,
    eachMessage: async ({ partition }) => {
      t.notOk(active.has(partition), 'one at a time within a partition')
      active.add(partition)
      most = Math.max(most, active.size)
      await new Promise(setImmediate)
      active.delete(partition)
      if (++handled === 80) controller.abort()
    },
  })
  t.equal(most, 3)
  t.equal(handled, 80)
})

t.test('a handler that throws ends the run with its error, and its record is read again', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  fill(cluster.partition('orders'), 1)
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 0 }])
  const failing = consumer.run({
    eachMessage: ({ offset }) => {
      if (offset === 4) throw new Error('not today')
    },
  })
  await t.rejects(failing, { message: 'not today' })
  t.equal(consumer.assignment[0]?.position, 4)
  t.same(await take(consumer.messages(), 1), ['4'])
})

t.test('serdes, headers and offsets as bigint', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  await using producer = kafka.producer({ serde: { key: stringSerde, value: jsonSerde<{ n: number }>() } })
  await producer.send({
    topic: 'orders',
    messages: [
      { key: 'a', value: { n: 1 }, headers: { trace: 'x', list: ['1', null] }, timestamp: 5 },
      { key: null, value: null },
    ],
  })
  cluster.partition('orders').append(encodeBatch([{ value: 'no json', timestamp: 1 }]))
  await using consumer = kafka.consumer({
    serde: { key: stringSerde, value: jsonSerde<{ n: number }>() },
    offsets: 'bigint',
  })
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 0n }])
  const messages = consumer.messages()
  const { value: first } = await messages.next()
  t.same([first.offset, first.key, first.value, first.timestamp], [0n, 'a', { n: 1 }, 5])
  t.same(
    (first as ConsumedMessage).headers.map(({ key, value }) => [key, value === null ? null : String(value)]),
    [
      ['trace', 'x'],
      ['list', '1'],
      ['list', null],
    ],
  )
  t.equal(String(first.header('trace')), 'x')
  const { value: second } = await messages.next()
  t.same([second.offset, second.key, second.value], [1n, null, null])
  const { value: third } = await messages.next()
  t.throws(() => third.value, { code: 'SERDE_FAILED', message: /orders-0 offset 2/ })
  t.equal(String(third.valueBytes), 'no json')
  await messages.return?.()
})

t.test('an iterator is cancelled by its signal, and ended without an error by close', async t => {
  const { kafka } = await setUp(t, { topics: { orders: 1 } })
  const consumer = kafka.consumer()
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 0 }])
  const controller = new AbortController()
  const waiting = consumer.messages({ signal: controller.signal }).next()
  controller.abort()
  await t.rejects(waiting, { name: 'AbortError' })
  const again = consumer.messages().next()
  await consumer.close()
  t.same(await again, { value: undefined, done: true })
  t.throws(() => consumer.messages(), { code: 'CLOSED' })
})

t.test('lag is the distance to the end', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  fill(cluster.partition('orders'), 2)
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 5 }])
  t.same(await consumer.lag(), [{ topic: 'orders', partition: 0, position: 5, end: 20, lag: 15 }])
})

t.test('a consumer that stands still says so', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  fill(cluster.partition('orders'), 1)
  await using consumer = kafka.consumer({ stalledAfterMs: 20, fetchMaxWaitMs: 5 })
  // On a busy machine the broker may seem to stand still before it does: each reason is waited for by name.
  const stalled = new Map<string, StalledEvent>()
  consumer.on('stalled', event => void stalled.set(event.reason, event))
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 0 }])
  const messages = consumer.messages()
  await messages.next()
  await until(() => stalled.has('handler'), 'nobody takes the records')
  t.match(stalled.get('handler'), { partitions: [{ topic: 'orders', partition: 0 }] })
  for (let count = 1; count < 10; count++) await messages.next()
  // The last one is used up when another is asked for.
  void messages.next()
  cluster.intercept = ({ api }) => (api === 'Fetch' ? 'silence' : undefined)
  await until(() => stalled.has('broker'), 'the broker does not answer')
  await messages.return?.()
})

t.test('what needs a group is refused without one, and the other way round', async t => {
  const { kafka } = await setUp(t, { topics: { orders: 1 } })
  const invalid = { code: 'INVALID_OPTION' }
  await using alone = kafka.consumer()
  await t.rejects(alone.subscribe({ topics: [/orders/] }), invalid)
  await t.rejects(alone.subscribe({ topics: ['orders'], from: 'committed' }), invalid)
  await t.rejects(alone.commit(), invalid)
  await t.rejects(alone.committed(), invalid)
  await using grouped = kafka.consumer({ groupId: 'g' })
  await t.rejects(grouped.assign([{ topic: 'orders', partition: 0 }]), invalid)
  t.throws(() => grouped.messages(), invalid, 'nothing is subscribed')
  t.throws(() => kafka.consumer({ groupId: '' }), invalid)
  t.throws(() => kafka.consumer({ groupId: 'g', assignors: [] }), invalid)
  t.throws(() => kafka.consumer({ groupId: 'g', assignors: ['nearest' as never] }), invalid)
  t.throws(() => kafka.consumer({ groupId: 'g', protocol: 'consumer', assignors: ['range'] }), invalid)
})

t.test('brokers before fetch sessions and topic ids are read too', async t => {
  const { cluster, kafka } = await setUp(t, {
    topics: { orders: 1 },
    maxVersions: { Fetch: 4, Metadata: 4, ListOffsets: 1, OffsetForLeaderEpoch: -1 },
  })
  fill(cluster.partition('orders'), 2)
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'orders', partition: 0, offset: 'earliest' }])
  t.same(await take(consumer.messages(), 20), range(20))
})
