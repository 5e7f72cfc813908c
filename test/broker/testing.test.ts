import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka as KafkaJs, logLevel, Partitioners } from 'kafkajs'
import t from 'tap'
import {
  ApiKey,
  delay,
  drop,
  error,
  hang,
  loseResponse,
  pass,
  respond,
  startBroker,
} from '../../broker/testing.ts'
import { Kafka } from '../../client/index.ts'

t.test('a broker is ready at once, holds what is produced, and leaves nothing behind', async t => {
  const handlesBefore = process.getActiveResourcesInfo().filter(name => name.startsWith('TCP')).length
  const broker = await startBroker({
    topics: { orders: 3, events: { configs: { 'retention.ms': '1000' } } },
  })
  t.match(broker.bootstrap, /^127\.0\.0\.1:\d+$/)
  t.same(broker.topics, ['events', 'orders'])
  await broker.produce('orders', [
    'plain',
    { key: 'k', value: 'v', headers: { trace: '1' }, partition: 2, timestamp: 1_700_000_000_000 },
    { value: null, partition: 2 },
  ])
  const records = await broker.records('orders')
  t.match(records.at(-2), {
    partition: 2,
    offset: records.at(-2)!.offset,
    timestamp: 1_700_000_000_000,
    key: 'k',
    value: 'v',
    headers: { trace: '1' },
  })
  t.equal(records.at(-1)!.value, null)
  t.same(await broker.records('no such topic'), [])
  await broker.stop()
  t.notOk(broker.isRunning)
  await broker.stop()
  const handlesAfter = process.getActiveResourcesInfo().filter(name => name.startsWith('TCP')).length
  t.equal(handlesAfter, handlesBefore, 'no handle is left')
})

t.test('any client can use it', async t => {
  const broker = await startBroker()
  const kafka = new KafkaJs({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING })
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  await producer.send({ topic: 'made-on-use', messages: [{ key: 'a', value: 'b' }] })
  t.match(await broker.records('made-on-use'), [{ key: 'a', value: 'b', offset: 0 }])
  await producer.disconnect()
  await broker.stop()
})

t.test('without autoCreate a topic has to be made', async t => {
  const broker = await startBroker({ autoCreate: false })
  const kafka = new Kafka({ brokers: broker.bootstrap, operationTimeoutMs: 300 })
  await t.rejects(
    kafka.producer({ deliveryTimeoutMs: 300 }).send({ topic: 'orders', messages: [{ value: 'x' }] }),
  )
  t.same(broker.topics, [])
  await broker.createTopic('orders', 2)
  await t.rejects(broker.createTopic('orders'), { code: 'TOPIC_ALREADY_EXISTS' })
  await kafka.close()
  await broker.stop()
})

t.test('reset begins anew: same port, same topics, no data, no interceptions', async t => {
  const broker = await startBroker({ topics: { orders: 2 } })
  const { port } = broker
  const kafka = new Kafka({ brokers: broker.bootstrap })
  const producer = kafka.producer()
  await producer.send({ topic: 'orders', messages: [{ value: 'old' }] })
  await broker.createTopic('other')
  const interception = broker.intercept('Produce', () => error('UNKNOWN_SERVER_ERROR'))
  await broker.reset()
  t.same(broker.topics, ['orders'])
  t.same(await broker.records('orders'), [])
  t.equal(broker.port, port)
  await producer.send({ topic: 'orders', messages: [{ value: 'new' }] })
  t.equal(interception.count, 0)
  t.match(await broker.records('orders'), [{ value: 'new', offset: 0 }])
  await kafka.close()
  await broker.stop()
})

t.test('waitForRecords returns when they are there, and says what was there instead', async t => {
  const broker = await startBroker({ topics: { orders: 1 } })
  const waiting = broker.waitForRecords('orders', 2)
  await broker.produce('orders', ['one'])
  await broker.produce('orders', ['two'])
  t.match(await waiting, [{ value: 'one' }, { value: 'two' }])
  const found = await broker.waitForRecords('orders', records => records.some(({ value }) => value === 'two'))
  t.equal(found.length, 2)
  await t.rejects(broker.waitForRecords('orders', 3, { timeoutMs: 20 }), {
    message: /After 20 ms topic orders does not hold 3 records: it holds 2:\n {2}orders-0@0 .*"one"/,
  })
  await t.rejects(broker.waitForRecords('nothing', 1, { timeoutMs: 1 }), { message: /it holds none/ })
  await broker.stop()
})

t.test('storage temp is removed at the end, storage dir is found again', async t => {
  const temp = await startBroker({ storage: 'temp' })
  await temp.produce('orders', ['x'])
  t.ok(existsSync(join(temp.dir, 'orders-0')))
  await temp.stop()
  t.notOk(existsSync(temp.dir))

  const dir = await mkdtemp(join(tmpdir(), 'sluice-test-'))
  t.teardown(() => rm(dir, { recursive: true }))
  const first = await startBroker({ storage: { dir } })
  await first.produce('orders', ['kept'])
  await first.stop()
  const second = await startBroker({ storage: { dir } })
  t.match(await second.records('orders'), [{ value: 'kept' }])
  await second.stop()
})

for (const storage of ['memory', 'temp'] as const) {
  t.test(`after a crash a broker with storage ${storage} has what was acknowledged`, async t => {
    const broker = await startBroker({ storage, topics: { orders: 1 } })
    const { port } = broker
    for (let life = 0; life < 3; life++) {
      await broker.produce('orders', [`life ${life}`])
      await broker.kill()
      t.notOk(broker.isRunning)
      t.throws(() => broker.broker, /restart/)
      await broker.restart()
      t.equal(broker.port, port)
    }
    t.match(await broker.records('orders'), [{ value: 'life 0' }, { value: 'life 1' }, { value: 'life 2' }])
    await broker.stop()
  })
}

t.test('interceptions', async t => {
  const broker = await startBroker({ topics: { orders: 2 } })
  const kafka = new Kafka({ brokers: broker.bootstrap, requestTimeoutMs: 2000 })
  const producer = kafka.producer()
  const send = (value: string) => producer.send({ topic: 'orders', messages: [{ value, partition: 0 }] })
  const values = async () => (await broker.records('orders')).map(({ value }) => value)
  await send('zero')
  await broker.reset()
  t.afterEach(() => broker.reset())
  t.teardown(async () => {
    await kafka.close()
    await broker.stop()
  })

  t.test("an error looks like the broker's own, and the client retries", async t => {
    const interception = broker.intercept('Produce', (request, { count }) => {
      t.equal(request.topicData.length, 1)
      return count < 2 ? error('NOT_LEADER_OR_FOLLOWER') : pass()
    })
    await send('one')
    t.equal(interception.count, 3)
    t.same(await values(), ['one'])
  })

  t.test('an error that is not retriable reaches the application', async t => {
    broker.intercept(ApiKey.Produce, () => error('TOPIC_AUTHORIZATION_FAILED'))
    await t.rejects(send('one'), { code: 'TOPIC_AUTHORIZATION_FAILED' })
    t.same(await values(), [])
  })

  t.test('a dropped request is sent again, a lost answer does not double it', async t => {
    const dropped = broker.intercept('Produce', (_request, { count }) => (count < 1 ? drop() : pass()))
    await send('one')
    t.equal(dropped.count, 2)
    dropped.stop()
    const lost = broker.intercept('Produce', (_request, { count }) => (count < 1 ? loseResponse() : pass()))
    await send('two')
    t.equal(lost.count, 2)
    t.same(await values(), ['one', 'two'])
  })

  t.test('a delay holds up what follows on the same connection, in order', async t => {
    broker.intercept('Produce', (_request, { count }) => (count === 0 ? delay(50) : pass()))
    await Promise.all(['one', 'two', 'three'].map(send))
    t.same(await values(), ['one', 'two', 'three'])
  })

  t.test('a delay may end otherwise, and the helpers are spared', async t => {
    broker.intercept('Produce', () => delay(1, error('TOPIC_AUTHORIZATION_FAILED')))
    await t.rejects(send('one'), { code: 'TOPIC_AUTHORIZATION_FAILED' })
    await broker.produce('orders', [{ value: 'helper', partition: 0 }])
    t.same(await values(), ['helper'])
  })

  t.test('a request that hangs does not hold up the end', async t => {
    let wasSeen = (): void => {}
    const seen = new Promise<void>(resolve => {
      wasSeen = resolve
    })
    broker.intercept('Metadata', () => {
      wasSeen()
      return hang()
    })
    const other = new Kafka({ brokers: broker.bootstrap, operationTimeoutMs: 60_000 })
    const listing = other.admin().listTopics()
    listing.catch(() => {})
    await seen
    await broker.reset()
    t.ok(
      (await listing).some(({ topic }) => topic === 'orders'),
      'after the reset it is asked again',
    )
    await other.close()
  })

  t.test('any response may be given, and the latest interception decides', async t => {
    broker.intercept('Produce', () => error('TOPIC_AUTHORIZATION_FAILED'))
    const latest = broker.intercept('DescribeCluster', () =>
      respond({ clusterId: 'mine', controllerId: 7, brokers: [] }),
    )
    t.match(await kafka.admin().describeCluster(), { clusterId: 'mine', controllerId: 7 })
    latest.stop()
    t.not((await kafka.admin().describeCluster()).clusterId, 'mine')
    broker.intercept('Produce', () => pass())
    await t.rejects(send('one'), { code: 'TOPIC_AUTHORIZATION_FAILED' })
    broker.intercept('Produce', () => error('INVALID_TOPIC_EXCEPTION'))
    await t.rejects(send('one'), { code: 'INVALID_TOPIC_EXCEPTION' })
  })

  t.test('a slip in a name is told at once', async t => {
    t.throws(() => broker.intercept('Prodice' as never, () => pass()), /no API Prodice/)
    t.throws(() => broker.intercept(9999, () => pass()), /no API 9999/)
    t.throws(() => error('NOT_A_LEADER' as never), /no protocol error named NOT_A_LEADER/)
  })
})

t.test('connections can be dropped, and clients come back', async t => {
  const broker = await startBroker({ topics: { orders: 1 } })
  const kafka = new Kafka({ brokers: broker.bootstrap })
  const producer = kafka.producer()
  await producer.send({ topic: 'orders', messages: [{ value: 'one' }] })
  broker.dropConnections()
  await producer.send({ topic: 'orders', messages: [{ value: 'two' }] })
  t.equal((await broker.records('orders')).length, 2)
  await kafka.close()
  await broker.stop()
})
