/**
 * Our client against our broker, both real, in one process.
 */
import t, { type Test } from 'tap'
import { loseResponse, startBroker } from '../../broker/testing.ts'
import { type CompressionName, type ConsumedMessage, Kafka } from '../../client/index.ts'

async function setUp(t: Test, topics: Record<string, number>) {
  const broker = await startBroker({ topics })
  const kafka = new Kafka({ brokers: broker.bootstrap, retry: { initialBackoffMs: 5 } })
  t.teardown(async () => {
    await kafka.close()
    await broker[Symbol.asyncDispose]()
  })
  return { broker, kafka, admin: kafka.admin() }
}

async function collect(messages: AsyncIterable<ConsumedMessage>, count: number): Promise<ConsumedMessage[]> {
  const collected: ConsumedMessage[] = []
  for await (const message of messages) if (collected.push(message) === count) break
  return collected
}

const CODECS: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

t.test('all that is sent comes back, byte for byte, with every codec', async t => {
  const { kafka } = await setUp(t, { bytes: 1 })
  const sent: Buffer[] = []
  for (const compression of CODECS) {
    await using producer = kafka.producer({ compression, batchBytes: 10_000 })
    for (let index = 0; index < 200; index++) {
      const value = Buffer.from(`${compression} ${index} `.repeat((index % 37) + 1))
      sent.push(value)
      await producer.enqueue('bytes', {
        key: index % 2 === 0 ? null : `key ${index}`,
        value,
        headers: { index: String(index) },
      })
    }
    await producer.flush()
  }
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'bytes', partition: 0, offset: 'earliest' }])
  const read = await collect(consumer.messages(), sent.length)
  t.same(Buffer.concat(read.map(({ value }) => value!)), Buffer.concat(sent))
  t.same(
    read.map(({ offset }) => offset),
    sent.map((_, offset) => offset),
  )
  t.equal(String(read[3]!.header('index')), '3')
  t.equal(read[4]!.key, null)
})

t.test('a tail is followed while it grows, over many partitions', async t => {
  const { kafka } = await setUp(t, { tail: 8 })
  await using consumer = kafka.consumer()
  await consumer.subscribe({ topics: ['tail'] })
  const reading = collect(consumer.messages(), 4000)
  await using producer = kafka.producer({ lingerMs: 1, batchBytes: 2000 })
  for (let index = 0; index < 4000; index++) {
    await producer.enqueue('tail', { key: String(index % 50), value: String(index) })
  }
  await producer.flush()
  const byKey = new Map<string, number[]>()
  for (const { key, value } of await reading) {
    const values = byKey.get(String(key)) ?? []
    values.push(Number(String(value)))
    byKey.set(String(key), values)
  }
  t.equal(byKey.size, 50)
  for (const [key, values] of byKey) {
    t.same(
      values,
      Array.from({ length: 80 }, (_, index) => index * 50 + Number(key)),
      'the records of a key keep their order',
    )
  }
})

t.test('answers that are lost make no duplicates', async t => {
  const { broker, kafka } = await setUp(t, { once: 2 })
  let turn = 0
  using _interception = broker.intercept('Produce', () => (turn++ % 3 === 1 ? loseResponse() : undefined))
  await using producer = kafka.producer({ lingerMs: 0, batchBytes: 500 })
  for (let index = 0; index < 1000; index++) {
    await producer.enqueue('once', { value: String(index), partition: index % 2 })
  }
  await producer.flush()
  t.ok(producer.metrics().retries > 0)
  await using consumer = kafka.consumer()
  await consumer.subscribe({ topics: ['once'], from: 'earliest' })
  const values: number[][] = [[], []]
  for (const { partition, value } of await collect(consumer.messages(), 1000)) {
    values[partition]!.push(Number(String(value)))
  }
  const expected = (partition: number) => Array.from({ length: 500 }, (_, index) => index * 2 + partition)
  t.same(values, [expected(0), expected(1)])
  t.same(
    (await consumer.lag()).map(({ lag }) => lag),
    [0, 0],
  )
})

t.test('reading by time', async t => {
  const { kafka } = await setUp(t, { times: 1 })
  await using producer = kafka.producer()
  for (const timestamp of [1000, 2000, 3000]) {
    await producer.send({ topic: 'times', messages: [{ value: String(timestamp), timestamp }] })
  }
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic: 'times', partition: 0, offset: { timestamp: 1500 } }])
  const [first] = await collect(consumer.messages(), 1)
  t.equal(first!.timestamp, 2000)
})

t.test('topics: made, described, grown, trimmed, deleted', async t => {
  const { admin, kafka } = await setUp(t, {})
  const made = await admin.createTopics({
    topics: ['a', { topic: 'b', partitions: 3, configs: { 'retention.ms': '5000' } }],
  })
  t.match(made, [
    { topic: 'a', created: true },
    { topic: 'b', created: true, partitions: 3, replicationFactor: 1 },
  ])
  await t.rejects(admin.createTopics({ topics: ['a', 'c'] }), { code: 'TOPIC_ALREADY_EXISTS', topic: 'a' })
  t.match(await admin.createTopics({ topics: ['a'], ifNotExists: true }), [{ topic: 'a', created: false }])
  t.match(await admin.listTopics(), [{ topic: 'a' }, { topic: 'b', partitions: 3 }, { topic: 'c' }])
  await admin.createPartitions({ topics: [{ topic: 'b', count: 4 }] })
  const [b] = await admin.describeTopics({ topics: ['b'] })
  t.equal(b!.partitions.length, 4)
  t.match(b!.partitions[3], { partition: 3, isr: [b!.partitions[3]!.leader], error: null })

  await using producer = kafka.producer()
  await producer.send({ topic: 'b', messages: [1, 2, 3].map(n => ({ value: String(n), partition: 2 })) })
  t.same(await admin.deleteRecords({ topic: 'b', partitions: [{ partition: 2, offset: 2 }] }), [
    { partition: 2, lowWatermark: 2 },
  ])
  t.match(await admin.fetchTopicOffsets('b'), { 2: { partition: 2, earliest: 2, latest: 3 } })
  t.match(await admin.describeProducers({ partitions: [{ topic: 'b', partition: 2 }] }), [
    { producers: [{ producerEpoch: 0, lastSequence: 2, currentTransactionStartOffset: -1 }] },
  ])

  t.same(await admin.deleteTopics({ topics: ['a', 'c'] }), ['a', 'c'])
  await t.rejects(admin.deleteTopics({ topics: ['a', 'c'] }), {
    code: 'PARTIAL_FAILURE',
    errors: [
      { code: 'UNKNOWN_TOPIC_OR_PARTITION', topic: 'a' },
      { code: 'UNKNOWN_TOPIC_OR_PARTITION', topic: 'c' },
    ],
  })
  t.same(await admin.deleteTopics({ topics: ['a'], ifExists: true }), [])
})

t.test('configs: shown, changed, put back', async t => {
  const { admin } = await setUp(t, { c: 1 })
  const resource = { type: 'topic', name: 'c' } as const
  const entry = async (name: string) => {
    const [described] = await admin.describeConfigs({ resources: [{ ...resource, names: [name] }] })
    return described!.entries[0]
  }
  t.match(await entry('retention.ms'), { value: '604800000', isDefault: true })
  await admin.incrementalAlterConfigs({
    resources: [{ ...resource, changes: [{ name: 'retention.ms', op: 'set', value: '1000' }] }],
  })
  t.match(await entry('retention.ms'), { value: '1000', isDefault: false, source: 'topic' })
  await admin.alterConfigs({ resources: [{ ...resource, configs: { 'max.message.bytes': '2000' } }] })
  t.match(
    await entry('retention.ms'),
    { value: '604800000', isDefault: true },
    'what is not named is put back',
  )
  t.match(await entry('max.message.bytes'), { value: '2000' })
  await t.rejects(
    admin.incrementalAlterConfigs({
      resources: [{ ...resource, changes: [{ name: 'no.such.config', op: 'set', value: '1' }] }],
    }),
    { code: 'INVALID_CONFIG', topic: 'c', message: /no\.such\.config/ },
  )
})

t.test('the cluster: brokers, versions, disks, epochs', async t => {
  const { admin, broker } = await setUp(t, { c: 2 })
  const { brokers, clusterId, controllerId } = await admin.describeCluster()
  t.equal(`${brokers[0]!.host}:${brokers[0]!.port}`, broker.bootstrap)
  t.equal(controllerId, brokers[0]!.id)
  t.type(clusterId, 'string')
  const [versions] = await admin.apiVersions()
  t.match(
    versions!.apis.find(({ name }) => name === 'Produce'),
    { apiKey: 0, usedVersion: 13 },
  )
  const [folder] = await admin.describeLogDirs({ topics: ['c'] })
  t.equal(folder!.replicas.length, 2)
  t.match(await admin.offsetForLeaderEpoch({ partitions: [{ topic: 'c', partition: 1, leaderEpoch: 0 }] }), [
    { topic: 'c', partition: 1, endOffset: 0 },
  ])
  await t.rejects(admin.apiVersions({ broker: 99 }), { code: 'BROKER_NOT_AVAILABLE' })
})

t.test('a batch that the topic does not take is refused by name', async t => {
  const { admin, kafka } = await setUp(t, {})
  await admin.createTopics({ topics: [{ topic: 'small', configs: { 'max.message.bytes': '1000' } }] })
  await using producer = kafka.producer()
  await t.rejects(producer.send({ topic: 'small', messages: [{ value: 'x'.repeat(2000) }] }), {
    code: 'MESSAGE_TOO_LARGE',
    topic: 'small',
  })
  await producer.send({ topic: 'small', messages: [{ value: 'x' }] })
})

t.test('several questions about the offsets of one partition are answered in the order asked', async t => {
  const { kafka, admin } = await setUp(t, { asked: 2 })
  await using producer = kafka.producer()
  await producer.send({ topic: 'asked', messages: [{ value: 'a', partition: 1, timestamp: 5000 }] })
  const place = { topic: 'asked', partition: 1 }
  const offsets = await admin.listOffsets({
    partitions: [
      { ...place, spec: 'latest' },
      { ...place, spec: 'earliest' },
      { topic: 'asked', partition: 0, spec: 'latest' },
      { ...place, spec: { timestamp: 9000 } },
      { ...place, spec: { timestamp: 1 } },
    ],
  })
  t.same(
    offsets.map(({ partition, offset }) => [partition, offset]),
    [
      [1, 1],
      [1, 0],
      [0, 0],
      [1, -1],
      [1, 0],
    ],
  )
})
