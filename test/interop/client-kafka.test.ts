/** Our client against Apache Kafka 4.1 itself: what it says to this broker it says to Kafka, unchanged. */
import t from 'tap'
import { type ConsumedMessage, type Consumer, Kafka } from '../../client/index.ts'
import { CODEC_NAMES } from '../../client/protocol/compression.ts'
import { spawnKafka, withoutKafkaTools } from './kafka-tools.ts'

async function take(consumer: Consumer, count: number): Promise<ConsumedMessage[]> {
  const messages: ConsumedMessage[] = []
  for await (const message of consumer.messages()) {
    messages.push(message)
    if (messages.length === count) break
  }
  return messages
}

t.setTimeout(110_000)

t.test('our client and Apache Kafka', { skip: withoutKafkaTools }, async t => {
  await using broker = await spawnKafka({ properties: { 'log.segment.bytes': 1_048_576 } })
  await using kafka = new Kafka({ brokers: broker.bootstrap })
  await using admin = kafka.admin()

  for (const compression of CODEC_NAMES) {
    await t.test(`produces and consumes with ${compression}`, async t => {
      const topic = `client-${compression}`
      await using producer = kafka.producer({ compression })
      const sent = Array.from({ length: 500 }, (_, index) => ({
        key: index % 3 === 0 ? null : `key ${index}`,
        value: index % 7 === 0 ? null : `value ${index} ${'ä'.repeat(index)}`,
        headers: { index: String(index) },
      }))
      for (let first = 0; first < sent.length; first += 100) {
        const [range] = await producer.send({ topic, messages: sent.slice(first, first + 100) })
        t.match(range, { partition: 0, baseOffset: first, count: 100 })
      }
      await using consumer = kafka.consumer()
      await consumer.assign([{ topic, partition: 0, offset: 'earliest' }])
      const received = await take(consumer, sent.length)
      t.same(
        received.map(({ key, value }) => ({
          key: key?.toString() ?? null,
          value: value?.toString() ?? null,
        })),
        sent.map(({ key, value }) => ({ key, value })),
      )
    })
  }

  await t.test('five requests in flight stay in order', async t => {
    await admin.createTopics({ topics: [{ topic: 'ordered', partitions: 1 }] })
    await using producer = kafka.producer({ batchBytes: 2000, lingerMs: 0, maxInFlightRequests: 5 })
    for (let index = 0; index < 3000; index++) {
      await producer.enqueue('ordered', { value: `${index} ${'x'.repeat(200)}` })
    }
    await producer.flush()
    await using consumer = kafka.consumer({ fetchPartitionMaxBytes: 20_000 })
    await consumer.assign([{ topic: 'ordered', partition: 0, offset: 'earliest' }])
    const received = await take(consumer, 3000)
    t.ok(received.every(({ value }, index) => value?.toString().startsWith(`${index} `)))
    const [described] = await admin.describeProducers({ partitions: [{ topic: 'ordered', partition: 0 }] })
    t.equal(described?.producers.length, 1, 'idempotent')
    t.equal(described?.producers[0]?.lastSequence, 2999)
  })

  await t.test('seeks by time and by offset, and sees the leader epoch', async t => {
    await using producer = kafka.producer()
    const messages = Array.from({ length: 10 }, (_, index) => ({
      value: `${index}`,
      timestamp: 1_000_000 + index * 1000,
    }))
    for (const message of messages) await producer.send({ topic: 'times', messages: [message] })
    await using consumer = kafka.consumer()
    const at = { topic: 'times', partition: 0 }
    await consumer.assign([{ ...at, offset: { timestamp: 1_004_500 } }])
    const [found] = await take(consumer, 1)
    t.match(found, { offset: 5, timestamp: 1_005_000, leaderEpoch: 0 })
    await consumer.seek({ ...at, offset: 8 })
    t.match(await take(consumer, 2), [{ offset: 8 }, { offset: 9 }])
    const offsets = await admin.listOffsets({
      partitions: [
        { ...at, spec: 'earliest' },
        { ...at, spec: 'latest' },
      ],
    })
    t.same(
      offsets.map(({ offset }) => offset),
      [0, 10],
    )
    const [end] = await admin.offsetForLeaderEpoch({ partitions: [{ ...at, leaderEpoch: 0 }] })
    t.match(end, { endOffset: 10, leaderEpoch: 0 })
  })

  await t.test('reads many partitions in a fetch session', async t => {
    await admin.createTopics({ topics: [{ topic: 'many', partitions: 12 }] })
    await using consumer = kafka.consumer({ fetchMaxWaitMs: 50 })
    await consumer.subscribe({ topics: ['many'], from: 'earliest' })
    await using producer = kafka.producer()
    const reading = take(consumer, 360)
    for (let round = 0; round < 30; round++) {
      const messages = Array.from({ length: 12 }, (_, partition) => ({
        value: `${partition}:${round}`,
        partition,
      }))
      await producer.send({ topic: 'many', messages })
    }
    const received = await reading
    for (let partition = 0; partition < 12; partition++) {
      const values = received
        .filter(message => message.partition === partition)
        .map(({ value }) => String(value))
      t.same(
        values,
        Array.from({ length: 30 }, (_, round) => `${partition}:${round}`),
      )
    }
  })

  await t.test('administers', async t => {
    const [created] = await admin.createTopics({
      topics: [{ topic: 'administered', partitions: 2, configs: { 'retention.ms': '5000' } }],
    })
    t.match(created, { topic: 'administered', partitions: 2 })
    await t.rejects(admin.createTopics({ topics: [{ topic: 'administered' }] }), {
      message: /TOPIC_ALREADY_EXISTS/,
    })
    await admin.createPartitions({ topics: [{ topic: 'administered', count: 3 }] })
    t.ok((await admin.listTopics()).some(({ topic }) => topic === 'administered'))
    t.equal((await admin.describeTopics({ topics: ['administered'] }))[0]?.partitions.length, 3)
    t.equal((await admin.describeCluster()).brokers.length, 1)
    t.ok((await admin.apiVersions())[0]!.apis.length > 40)
    t.equal((await admin.describeLogDirs())[0]?.error, null)
    await admin.deleteRecords({ topic: 'ordered', partitions: [{ partition: 0, offset: 100 }] })
    t.equal((await admin.fetchTopicOffsets('ordered'))[0]?.earliest, 100)
    await admin.deleteTopics({ topics: ['administered'] })
  })
})
