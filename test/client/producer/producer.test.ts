/**
 * What a producer promises, held against brokers that fail on purpose.
 */
import t, { type Test } from 'tap'
import { Kafka, KafkaError, type KafkaOptions } from '../../../client/index.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { until } from '../../helpers/until.ts'
import { FakeCluster, type FakeClusterOptions } from '../fake-cluster.ts'

const FAST: Partial<KafkaOptions> = {
  retry: { initialBackoffMs: 1, maxBackoffMs: 5 },
  requestTimeoutMs: 2000,
}

async function setUp(t: Test, options: FakeClusterOptions, more: Partial<KafkaOptions> = {}) {
  const cluster = await FakeCluster.start(options)
  const kafka = new Kafka({ brokers: cluster.bootstrap, ...FAST, ...more })
  t.teardown(async () => {
    await kafka.close().catch(() => {})
    await cluster.close()
  })
  return { cluster, kafka }
}

function range(count: number): string[] {
  return Array.from({ length: count }, (_, index) => String(index))
}

t.test('send tells where each run of records was stored', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 2 } })
  await using producer = kafka.producer()
  await producer.send({ topic: 'orders', messages: [{ value: 'a', partition: 1 }] })
  const sent = await producer.send({
    topic: 'orders',
    messages: [
      { value: 'b', partition: 1 },
      { value: 'c', partition: 1 },
      { value: 'd', partition: 0 },
    ],
  })
  t.same(sent, [
    { topic: 'orders', partition: 1, baseOffset: 1, count: 2, logAppendTimeMs: null },
    { topic: 'orders', partition: 0, baseOffset: 0, count: 1, logAppendTimeMs: null },
  ])
  t.same(cluster.partition('orders', 1).values(), ['a', 'b', 'c'])
  t.equal(cluster.count('Produce'), 2, 'the partitions of a broker share a request')
})

t.test('records of one key go where the Java client puts them', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { users: 12 } })
  await using producer = kafka.producer()
  await producer.send({ topic: 'users', messages: range(100).map(key => ({ key, value: key })) })
  for (const key of range(100)) {
    const places = range(12).filter(index => cluster.partition('users', Number(index)).values().includes(key))
    t.equal(places.length, 1)
  }
})

t.test('a connection that is cut after the broker has stored the batch makes no duplicate', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  let cuts = 2
  cluster.intercept = ({ api }) => (api === 'Produce' && cuts-- > 0 ? 'cut-after' : undefined)
  await using producer = kafka.producer()
  const sent = await producer.send({ topic: 'orders', messages: [{ value: 'once' }] })
  t.same(cluster.partition('orders').values(), ['once'])
  t.equal(sent[0]?.baseOffset, 0, 'the broker names the offset of the first time')
})

t.test('without idempotence the same cut does make one, which is why it is on by default', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  let cuts = 1
  cluster.intercept = ({ api }) => (api === 'Produce' && cuts-- > 0 ? 'cut-after' : undefined)
  await using producer = kafka.producer({ idempotent: false })
  await producer.send({ topic: 'orders', messages: [{ value: 'twice' }] })
  t.same(cluster.partition('orders').values(), ['twice', 'twice'])
})

t.test(
  'what is sent while the topic is looked up is stored in order, and each once, though some give up',
  async t => {
    const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
    let release = (): void => {}
    const released = new Promise<undefined>(resolve => {
      release = () => resolve(undefined)
    })
    let asked = false
    cluster.intercept = ({ api }) => {
      if (api !== 'Metadata') return undefined
      asked = true
      return released
    }
    await using producer = kafka.producer()
    const send = (value: string, signal?: AbortSignal) =>
      producer.send({ topic: 'orders', messages: [{ value }], ...(signal === undefined ? {} : { signal }) })
    const impatient = new AbortController()
    const given = send('given up', impatient.signal)
    const first = send('a')
    await until(() => asked, 'the topic is looked up')
    impatient.abort()
    await t.rejects(given, { name: 'AbortError' })
    const rest = ['b', 'c', 'd'].map(value => send(value))
    release()
    const places = await Promise.all([first, ...rest])
    t.same(cluster.partition('orders').values(), ['a', 'b', 'c', 'd'])
    t.same(
      places.map(([range]) => range?.baseOffset),
      [0, 1, 2, 3],
      'none is taken for a repetition of another',
    )
  },
)

t.test('five batches under way keep their order over random failures', async t => {
  const { cluster, kafka } = await setUp(t, { brokers: 2, topics: { orders: 2 } })
  let seed = 1
  const chance = (): number => (seed = (seed * 48_271) % 0x7fff_ffff) / 0x7fff_ffff
  cluster.intercept = ({ api }) => {
    if (api !== 'Produce') return undefined
    const roll = chance()
    if (roll < 0.05) return 'cut'
    if (roll < 0.1) return 'cut-after'
    if (roll < 0.2) return { error: ErrorCode.NOT_LEADER_OR_FOLLOWER }
    if (roll < 0.25) return { error: ErrorCode.NOT_ENOUGH_REPLICAS }
    if (roll < 0.3) cluster.moveLeader('orders', 0, cluster.partition('orders').leader === 0 ? 1 : 0)
    return undefined
  }
  await using producer = kafka.producer({ batchBytes: 400, lingerMs: 0 })
  for (const value of range(2000)) {
    for (const partition of [0, 1]) await producer.enqueue('orders', { value, partition })
  }
  await producer.flush()
  t.same(cluster.partition('orders', 0).values(), range(2000))
  t.same(cluster.partition('orders', 1).values(), range(2000))
  t.ok(producer.metrics().retries > 20, 'there were failures')
})

t.test('a refused batch leaves no gap that would stop those behind it', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  await using producer = kafka.producer({ batchBytes: 1 })
  await producer.send({ topic: 'orders', messages: [{ value: 'first' }] })
  let refusals = 1
  cluster.intercept = ({ api }) =>
    api === 'Produce' && refusals-- > 0 ? { error: ErrorCode.MESSAGE_TOO_LARGE } : undefined
  const refused = producer.send({ topic: 'orders', messages: [{ value: 'refused' }] })
  const others = ['a', 'b', 'c'].map(value => producer.send({ topic: 'orders', messages: [{ value }] }))
  await t.rejects(refused, { code: 'MESSAGE_TOO_LARGE', retriable: false, topic: 'orders', partition: 0 })
  await Promise.all(others)
  t.same(cluster.partition('orders').values(), ['first', 'a', 'b', 'c'])
  t.equal(producer.metrics().epochBumps, 1)
})

t.test('a broker that has forgotten the producer is met with a new epoch', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  await using producer = kafka.producer()
  await producer.send({ topic: 'orders', messages: [{ value: 'a' }] })
  for (const entry of cluster.partition('orders').producers.values())
    entry.last = [{ base: 70, end: 71, offset: 0 }]
  await producer.send({ topic: 'orders', messages: [{ value: 'b' }] })
  await producer.send({ topic: 'orders', messages: [{ value: 'c' }] })
  t.same(cluster.partition('orders').values(), ['a', 'b', 'c'])
})

t.test('a leader that moves is followed', async t => {
  const { cluster, kafka } = await setUp(t, { brokers: 2, topics: { orders: 1 } })
  await using producer = kafka.producer()
  await producer.send({ topic: 'orders', messages: [{ value: 'a' }] })
  cluster.moveLeader('orders', 0, 1)
  await producer.send({ topic: 'orders', messages: [{ value: 'b' }] })
  const brokers = cluster.requests.filter(({ api }) => api === 'Produce').map(({ broker }) => broker)
  t.equal(brokers.at(-1), 1)
  t.same(cluster.partition('orders').values(), ['a', 'b'])
})

t.test('what cannot be delivered in time says why, and whether it may have been stored', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  cluster.intercept = ({ api }) => (api === 'Produce' ? { error: ErrorCode.NOT_ENOUGH_REPLICAS } : undefined)
  const producer = kafka.producer({ deliveryTimeoutMs: 80 })
  await t.rejects(producer.send({ topic: 'orders', messages: [{ value: 'a' }] }), {
    code: 'DELIVERY_TIMEOUT',
    message: /1 record for orders-0 .*may have been stored.*NOT_ENOUGH_REPLICAS/,
    cause: { code: 'NOT_ENOUGH_REPLICAS' },
  })
})

t.test('a record that timed out under way holds up nobody, and is not counted twice', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } }, { requestTimeoutMs: 150 })
  const reports: (string | null)[] = []
  await using producer = kafka.producer({
    deliveryTimeoutMs: 50,
    onDelivery: ({ error }) => reports.push(error?.code ?? null),
  })
  await producer.send({ topic: 'orders', messages: [{ value: 'a' }] })
  let silences = 1
  cluster.intercept = ({ api }) => (api === 'Produce' && silences-- > 0 ? 'silence' : undefined)
  await t.rejects(producer.send({ topic: 'orders', messages: [{ value: 'lost' }] }), {
    code: 'DELIVERY_TIMEOUT',
  })
  // The connection is given up when the request times out; until then nothing more is sent to the partition.
  for (let delivered = false; !delivered; ) {
    delivered = await producer.send({ topic: 'orders', messages: [{ value: 'b' }] }).then(
      () => true,
      () => false,
    )
  }
  t.same(cluster.partition('orders').values(), ['a', 'b'])
  t.same([reports[0], reports[1]], [null, 'DELIVERY_TIMEOUT'])
})

t.test('enqueue bounds the buffer: awaiting it waits, not awaiting it is stopped', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  let release = (): void => {}
  const held = new Promise<undefined>(resolve => {
    release = () => resolve(undefined)
  })
  await using producer = kafka.producer({ bufferBytes: 10_000, batchBytes: 1000 })
  await producer.send({ topic: 'orders', messages: [{ value: 'warm' }] })
  cluster.intercept = ({ api }) => (api === 'Produce' ? held : undefined)
  const message = { value: Buffer.alloc(480) }
  let full: Promise<void> | undefined
  for (let count = 0; full === undefined; count++) {
    full = producer.enqueue('orders', message)
    t.ok(count < 30, 'the bound is met')
  }
  t.ok(producer.metrics().bufferedBytes <= 11_000)
  let stopped: Promise<void> | undefined
  for (let count = 0; count < 30; count++) {
    stopped = producer.enqueue('orders', message)
    stopped?.catch(() => {})
  }
  await t.rejects(stopped!, { code: 'BUFFER_FULL' })
  t.ok(producer.metrics().bufferedBytes <= 21_000)
  release()
  await full
  await producer.flush()
  t.equal(producer.metrics().bufferedBytes, 0)
})

t.test('flush throws what became of enqueued records, once', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  await using producer = kafka.producer()
  cluster.intercept = ({ api }) => (api === 'Produce' ? { error: ErrorCode.INVALID_RECORD } : undefined)
  for (const value of range(3)) await producer.enqueue('orders', { value })
  await t.rejects(producer.flush(), {
    code: 'INVALID_RECORD',
    message: /3 enqueued records could not be delivered/,
  })
  await producer.flush()
})

t.test('records enqueued before the topic is known keep their order', async t => {
  const { cluster, kafka } = await setUp(t, { autoCreate: true })
  await using producer = kafka.producer()
  for (const value of range(10)) void producer.enqueue('new', { value })
  await producer.flush()
  t.same(cluster.partition('new').values(), range(10))
})

t.test('a topic that does not exist fails the records soon', async t => {
  const { kafka } = await setUp(t, {})
  await using producer = kafka.producer()
  await t.rejects(producer.send({ topic: 'missing', messages: [{ value: 'a' }] }), {
    code: 'UNKNOWN_TOPIC_OR_PARTITION',
    message: /Topic missing does not exist/,
  })
  void producer.enqueue('missing', { value: 'a' })
  await t.rejects(producer.flush(), { code: 'UNKNOWN_TOPIC_OR_PARTITION' })
})

t.test('acks 0 and 1', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  await using producer = kafka.producer({ acks: 0 })
  t.same(await producer.send({ topic: 'orders', messages: [{ value: 'a' }] }), [
    { topic: 'orders', partition: 0, baseOffset: -1, count: 1, logAppendTimeMs: null },
  ])
  await producer.send({ topic: 'orders', messages: [{ value: 'b' }], acks: 1 })
  t.same(cluster.partition('orders').values(), ['a', 'b'])
  t.throws(() => kafka.producer({ acks: 1, idempotent: true }), { code: 'INVALID_OPTION' })
})

t.test('a send is cancelled by its signal', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  cluster.intercept = ({ api }) => (api === 'Produce' ? 'silence' : undefined)
  const producer = kafka.producer({ deliveryTimeoutMs: 100 })
  const controller = new AbortController()
  const sending = producer.send({ topic: 'orders', messages: [{ value: 'a' }], signal: controller.signal })
  controller.abort(new Error('enough'))
  await t.rejects(sending, { name: 'AbortError', cause: { message: 'enough' } })
})

t.test('a stream into a topic', async t => {
  const { cluster, kafka } = await setUp(t, { topics: { orders: 1 } })
  await using producer = kafka.producer()
  const writer = producer.writable('orders').getWriter()
  for (const value of range(5)) await writer.write({ value })
  await writer.close()
  t.same(cluster.partition('orders').values(), range(5))
})

t.test('a closed producer says so', async t => {
  const { kafka } = await setUp(t, { topics: { orders: 1 } })
  const producer = kafka.producer()
  await producer.close()
  await t.rejects(producer.send({ topic: 'orders', messages: [] }), { code: 'CLOSED' })
  t.throws(() => producer.enqueue('orders', { value: '' }), KafkaError)
})

t.test('brokers before topic ids are spoken to by name', async t => {
  const { cluster, kafka } = await setUp(t, {
    topics: { orders: 1 },
    maxVersions: { Metadata: 4, Produce: 3, ApiVersions: 0, InitProducerId: 0 },
  })
  await using producer = kafka.producer()
  await producer.send({ topic: 'orders', messages: [{ value: 'a' }] })
  t.same(cluster.partition('orders').values(), ['a'])
})
