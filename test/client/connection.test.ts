/**
 * Connections and the cluster: reaching it, losing it, and saying why.
 */
import { createServer, type Server } from 'node:net'
import t, { type Test } from 'tap'
import { parseBrokerList } from '../../client/config.ts'
import { Kafka, KafkaError, type KafkaOptions } from '../../client/index.ts'
import { FakeCluster } from './fake-cluster.ts'

const IMPATIENT: Partial<KafkaOptions> = {
  retry: { initialBackoffMs: 1, maxBackoffMs: 5 },
  connectionTimeoutMs: 100,
  requestTimeoutMs: 100,
  operationTimeoutMs: 300,
}

function makeKafka(t: Test, brokers: KafkaOptions['brokers'], more: Partial<KafkaOptions> = {}): Kafka {
  const kafka = new Kafka({ brokers, ...IMPATIENT, ...more })
  t.teardown(() => kafka.close())
  return kafka
}

/** A server that is no Kafka broker. */
async function listen(t: Test, onData: (server: Server) => Buffer | null): Promise<string> {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.on('data', () => {
      const bytes = onData(server)
      if (bytes !== null) socket.write(bytes)
    })
    t.teardown(() => socket.destroy())
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return `127.0.0.1:${(server.address() as { port: number }).port}`
}

t.test('lists of brokers', async t => {
  t.same(parseBrokerList('a, b:1,[::1]:2'), [
    { host: 'a', port: 9092 },
    { host: 'b', port: 1 },
    { host: '::1', port: 2 },
  ])
  t.same(parseBrokerList(['a:1', 'PLAINTEXT://b:2']), [
    { host: 'a', port: 1 },
    { host: 'b', port: 2 },
  ])
  for (const bad of ['', [], 'a:b', 'a:99999', 'a b', 'a/b:1']) {
    t.throws(() => new Kafka({ brokers: bad }), { code: 'INVALID_OPTION' }, JSON.stringify(bad))
  }
  t.throws(() => new Kafka({ brokers: 'a', retry: { jitter: 2 } }), {
    code: 'INVALID_OPTION',
    message: /retry\.jitter/,
  })
  t.throws(
    () => new Kafka({ brokers: 'a', sasl: { mechanism: 'plain', username: 'u', password: 'secret' } }),
    {
      code: 'UNSUPPORTED',
    },
  )
})

t.test('brokers may come from a function, and dead ones are passed over', async t => {
  await using cluster = await FakeCluster.start({ topics: { orders: 1 } })
  const kafka = makeKafka(t, async () => ['127.0.0.1:1', cluster.bootstrap])
  t.match(await kafka.admin().listTopics(), [{ topic: 'orders', partitions: 1 }])
})

t.test('a cluster that is not there is reported with every reason', async t => {
  const kafka = makeKafka(t, '127.0.0.1:1')
  await t.rejects(kafka.admin().listTopics(), {
    name: 'KafkaError',
    code: 'CONNECTION_FAILED',
    retriable: true,
    message: /No broker could be reached: .*127\.0\.0\.1:1.*ECONNREFUSED/,
  })
})

t.test('something that is no broker is told apart', async t => {
  const http = await listen(t, () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'))
  await t.rejects(makeKafka(t, http).admin().listTopics(), {
    code: 'CONNECTION_FAILED',
    message: /make no sense/,
  })
  const mute = await listen(t, () => null)
  await t.rejects(makeKafka(t, mute).admin().listTopics(), {
    code: 'CONNECTION_FAILED',
    message: /did not answer ApiVersions/,
  })
})

t.test('an answer that does not come ends the connection; the next attempt has a new one', async t => {
  await using cluster = await FakeCluster.start({ topics: { orders: 1 } })
  let silences = 1
  cluster.intercept = ({ api }) => (api === 'ListOffsets' && silences-- > 0 ? 'silence' : undefined)
  const kafka = makeKafka(t, cluster.bootstrap)
  const spec = 'latest'
  const offsets = await kafka.admin().listOffsets({ partitions: [{ topic: 'orders', partition: 0, spec }] })
  t.equal(offsets[0]?.offset, 0)
  cluster.intercept = ({ api }) => (api === 'ListOffsets' ? 'silence' : undefined)
  await t.rejects(kafka.admin().listOffsets({ partitions: [{ topic: 'orders', partition: 0, spec }] }), {
    code: 'TIMEOUT',
    api: 'ListOffsets',
  })
})

t.test('an operation is cancelled by its signal while it waits to try again', async t => {
  const kafka = makeKafka(t, '127.0.0.1:1', {
    retry: { initialBackoffMs: 100_000, maxBackoffMs: 100_000 },
    operationTimeoutMs: 1e9,
  })
  const controller = new AbortController()
  const listing = kafka.admin().listTopics({ signal: controller.signal })
  controller.abort('enough')
  await t.rejects(listing, { name: 'AbortError', code: 'ABORT_ERR', cause: 'enough' })
})

t.test('what the broker does not serve is said so', async t => {
  await using cluster = await FakeCluster.start({ topics: { orders: 1 } })
  await t.rejects(
    makeKafka(t, cluster.bootstrap)
      .admin()
      .describeProducers({ partitions: [{ topic: 'orders', partition: 0 }] }),
    {
      code: 'UNSUPPORTED',
      message: /does not serve DescribeProducers/,
    },
  )
  await using old = await FakeCluster.start({ topics: { orders: 1 }, maxVersions: { ListOffsets: 6 } })
  const partitions = [{ topic: 'orders', partition: 0, spec: 'max-timestamp' }] as const
  await t.rejects(makeKafka(t, old.bootstrap).admin().listOffsets({ partitions }), {
    code: 'UNSUPPORTED',
    message: /can use 7 to 11 here, the broker serves 1 to 6/,
  })
})

t.test('an error prints what is known and nothing else', async t => {
  const error = new KafkaError({ code: 'TIMEOUT', message: 'm', retriable: true, api: 'Fetch' })
  t.same(Object.keys(error).sort(), ['api', 'code', 'fatal', 'name', 'retriable'])
  t.same(error.errors, [])
})

t.test('a closed Kafka leaves no connection behind', async t => {
  await using cluster = await FakeCluster.start({ topics: { orders: 1 } })
  const kafka = new Kafka({ brokers: cluster.bootstrap, ...IMPATIENT })
  const producer = kafka.producer()
  await producer.send({ topic: 'orders', messages: [{ value: 'a' }] })
  await kafka.close()
  t.throws(() => kafka.producer(), { code: 'CLOSED' })
  await t.rejects(producer.send({ topic: 'orders', messages: [{ value: 'a' }] }), { code: 'CLOSED' })
  await cluster.closed()
  t.equal(cluster.openConnections(), 0)
})

t.test('a broker that hangs is given up when the others no longer count on it', async t => {
  await using cluster = await FakeCluster.start({ brokers: 2 })
  cluster.createTopic('t', 1)
  const kafka = makeKafka(t, cluster.bootstrap, { requestTimeoutMs: 60_000, operationTimeoutMs: 60_000 })
  const producer = kafka.producer()
  await producer.send({ topic: 't', messages: [{ value: 'before' }] })
  cluster.intercept = ({ broker }) => (broker === 0 ? 'silence' : undefined)
  cluster.fenced.add(0)
  cluster.moveLeader('t', 0, 1)
  const sentMs = performance.now()
  await producer.send({ topic: 't', messages: [{ value: 'after' }] })
  t.ok(performance.now() - sentMs < 10_000, 'long before the request would have timed out')
  t.same(cluster.partition('t').values(), ['before', 'after'])
  await producer.close()
})

t.test('a broker that is cut off from the others, and knows no better, is not asked for ever', async t => {
  await using cluster = await FakeCluster.start({ brokers: 3, topics: { t: 1 } })
  await using kafka = new Kafka({ brokers: cluster.bootstrap })
  const producer = kafka.producer({ deliveryTimeoutMs: 10_000 })
  await producer.send({ topic: 't', messages: [{ value: 'before' }] })
  cluster.isolate(0)
  cluster.moveLeader('t', 0, 1)
  await producer.send({ topic: 't', messages: [{ value: 'after' }] })
  t.same(cluster.partition('t').values(), ['before', 'after'])
  await producer.close()
})
