/**
 * kafkajs against a broker in a process of its own. Its consumer wants groups; what is judged here is what it sends
 * and how it decodes what it fetches, so the fetches go through its own broker class.
 */
import kafkajs, { type Kafka } from 'kafkajs'
import t from 'tap'
import { spawnBroker } from '../helpers/broker-process.ts'

const { CompressionTypes, logLevel } = kafkajs

interface DecodedMessage {
  offset: string
  key: Buffer | null
  value: Buffer | null
  headers: Record<string, Buffer>
}

/** The parts of kafkajs's inner cluster that a fetch without a group needs. */
interface InnerCluster {
  connect(): Promise<void>
  disconnect(): Promise<void>
  addTargetTopic(topic: string): Promise<void>
  findTopicPartitionMetadata(topic: string): { partitionId: number; leader: number }[]
  findBroker(options: { nodeId: number }): Promise<{
    fetch(options: object): Promise<{ responses: { partitions: { messages: DecodedMessage[] }[] }[] }>
  }>
}

async function fetchAll(kafka: Kafka, topic: string, count: number): Promise<DecodedMessage[]> {
  const symbol = Object.getOwnPropertySymbols(kafka).find(symbol =>
    symbol.description?.includes('createCluster'),
  )
  if (symbol === undefined) throw new Error('this version of kafkajs hides its cluster elsewhere')
  const createCluster = Reflect.get(kafka, symbol) as (options: object) => InnerCluster
  const cluster = createCluster({
    metadataMaxAge: 1000,
    allowAutoTopicCreation: false,
    maxInFlightRequests: 1,
  })
  await cluster.connect()
  const messages: DecodedMessage[] = []
  try {
    await cluster.addTargetTopic(topic)
    const [partition] = cluster.findTopicPartitionMetadata(topic)
    const broker = await cluster.findBroker({ nodeId: partition?.leader ?? -1 })
    while (messages.length < count) {
      const { responses } = await broker.fetch({
        maxWaitTime: 5000,
        minBytes: 1,
        maxBytes: 1_048_576,
        topics: [{ topic, partitions: [{ partition: 0, fetchOffset: messages.length, maxBytes: 65_536 }] }],
      })
      const fetched = responses.flatMap(({ partitions }) => partitions.flatMap(({ messages }) => messages))
      // A fetch hands out whole batches: what lies before the offset asked for is the client's to skip.
      messages.push(...fetched.filter(({ offset }) => Number(offset) >= messages.length))
    }
  } finally {
    await cluster.disconnect()
  }
  return messages
}

for (const [name, compression] of [
  ['none', CompressionTypes.None],
  ['gzip', CompressionTypes.GZIP],
] as const) {
  t.test(`kafkajs with ${name}, over a kill -9 and a restart`, async t => {
    await using broker = await spawnBroker()
    const kafka = new kafkajs.Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING })
    const producer = kafka.producer({ idempotent: true })
    await producer.connect()
    const sent = Array.from({ length: 200 }, (_, index) => ({
      key: index % 3 === 0 ? null : `key-${index}`,
      value: index % 7 === 0 ? null : `value ${index} äöü ${'x'.repeat(index)}`,
      headers: { index: String(index) },
    }))
    for (let first = 0; first < sent.length; first += 50) {
      const [result] = await producer.send({
        topic: 'kafkajs',
        compression,
        messages: sent.slice(first, first + 50),
      })
      t.equal(result?.baseOffset, String(first))
    }
    await producer.disconnect()
    await broker.restart()
    const messages = await fetchAll(kafka, 'kafkajs', sent.length)
    const received = messages.map(({ key, value, headers }) => ({
      key: key?.toString() ?? null,
      value: value?.toString() ?? null,
      headers: { index: headers['index']?.toString() },
    }))
    t.same(received, sent)
  })
}

t.test('kafkajs administers topics and configs', async t => {
  await using broker = await spawnBroker()
  const kafka = new kafkajs.Kafka({ brokers: [broker.bootstrap], logLevel: logLevel.NOTHING })
  const admin = kafka.admin()
  await admin.connect()
  t.equal(
    await admin.createTopics({ topics: [{ topic: 'orders', numPartitions: 3 }], waitForLeaders: true }),
    true,
  )
  t.same(await admin.listTopics(), ['orders'])
  await admin.createPartitions({ topicPartitions: [{ topic: 'orders', count: 5 }] })
  const { topics } = await admin.fetchTopicMetadata({ topics: ['orders'] })
  t.equal(topics[0]?.partitions.length, 5)
  t.equal((await admin.fetchTopicOffsets('orders')).length, 5)
  await admin.alterConfigs({
    validateOnly: false,
    resources: [{ type: 2, name: 'orders', configEntries: [{ name: 'retention.ms', value: '60000' }] }],
  })
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: 2, name: 'orders', configNames: ['retention.ms'] }],
  })
  t.equal(resources[0]?.configEntries[0]?.configValue, '60000')
  const cluster = await admin.describeCluster()
  t.equal(cluster.brokers.length, 1)
  await admin.deleteTopics({ topics: ['orders'] })
  t.same(await admin.listTopics(), [])
  await admin.disconnect()
})
