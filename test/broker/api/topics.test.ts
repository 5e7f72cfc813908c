import t, { type Test } from 'tap'
import { API } from '../../../client/protocol/apis.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'
import { TestBroker } from './test-broker.ts'

const UNKNOWN_ID = 'ab'.repeat(16) as TopicId

async function start(t: Test, settings = {}): Promise<TestBroker> {
  const test = await TestBroker.start({ settings })
  t.teardown(() => test.stop())
  return test
}

t.test('a topic is made with its id, its defaults are told, and metadata shows it', async t => {
  const test = await start(t)
  const { topics } = await test.client.request(API.CreateTopics, 7, {
    topics: [
      {
        name: 'orders',
        numPartitions: 2,
        replicationFactor: 1,
        assignments: [],
        configs: [{ name: 'retention.ms', value: '1000' }],
      },
    ],
  })
  t.match(topics[0], {
    name: 'orders',
    errorCode: 0,
    errorMessage: null,
    numPartitions: 2,
    replicationFactor: 1,
  })
  t.match(topics[0]?.topicId, /^[0-9a-f]{32}$/)
  const retention = topics[0]?.configs?.find(config => config.name === 'retention.ms')
  t.match(retention, { value: '1000', configSource: 1, readOnly: false, isSensitive: false })
  t.match(
    topics[0]?.configs?.find(config => config.name === 'segment.bytes'),
    { value: '1073741824', configSource: 5 },
  )

  const metadata = await test.client.request(API.Metadata, 13, {
    topics: null,
    allowAutoTopicCreation: false,
  })
  t.match(metadata.brokers, [{ nodeId: 1, host: '127.0.0.1', port: test.broker.address.port, rack: null }])
  t.match(metadata, { clusterId: test.broker.clusterId, controllerId: 1, errorCode: 0 })
  t.match(metadata.topics, [{ errorCode: 0, name: 'orders', topicId: topics[0]?.topicId, isInternal: false }])
  t.match(metadata.topics[0]?.partitions[1], {
    errorCode: 0,
    partitionIndex: 1,
    leaderId: 1,
    leaderEpoch: 0,
    replicaNodes: [1],
    isrNodes: [1],
    offlineReplicas: [],
  })
})

t.test('validate only makes nothing', async t => {
  const test = await start(t)
  const { topics } = await test.client.request(API.CreateTopics, 4, {
    topics: [{ name: 'x', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
    validateOnly: true,
  })
  t.equal(topics[0]?.errorCode, 0)
  t.same(test.broker.topicNames, [])
})

t.test('an unknown config is refused by name, and the topic is not made', async t => {
  const test = await start(t)
  const { topics } = await test.client.request(API.CreateTopics, 7, {
    topics: [
      {
        name: 'x',
        numPartitions: 1,
        replicationFactor: 1,
        assignments: [],
        configs: [{ name: 'retention.msec', value: '1' }],
      },
    ],
  })
  t.equal(errorName(topics[0]!.errorCode), 'INVALID_CONFIG')
  t.match(topics[0]?.errorMessage, 'retention.msec (did you mean retention.ms?)')
  t.same(test.broker.topicNames, [])
})

t.test('metadata of no topics, of all in version 0, by id, and of unknown ones', async t => {
  const test = await start(t, { 'auto.create.topics.enable': false })
  const topicId = await test.createTopic('a')
  const ask = async (version: number, topics: { name: string | null; topicId?: TopicId }[] | null) =>
    (await test.client.request(API.Metadata, version, { topics })).topics.map(topic => ({
      error: errorName(topic.errorCode),
      name: topic.name,
      topicId: topic.topicId,
    }))
  t.same(await ask(13, []), [])
  t.same(await ask(1, null), [{ error: 'NONE', name: 'a', topicId: ZERO_TOPIC_ID }])
  t.match(await ask(0, []), [{ error: 'NONE', name: 'a' }])
  t.same(await ask(12, [{ name: null, topicId }]), [{ error: 'NONE', name: 'a', topicId }])
  t.same(await ask(12, [{ name: null, topicId: UNKNOWN_ID }]), [
    { error: 'UNKNOWN_TOPIC_ID', name: null, topicId: UNKNOWN_ID },
  ])
  t.match(await ask(9, [{ name: 'b' }, { name: 'bad name' }]), [
    { error: 'UNKNOWN_TOPIC_OR_PARTITION', name: 'b' },
    { error: 'INVALID_TOPIC_EXCEPTION', name: 'bad name' },
  ])
})

t.test('a topic that is asked for comes to be, where both sides want it', async t => {
  const test = await start(t, { 'num.partitions': 3 })
  const ask = (allowAutoTopicCreation: boolean) =>
    test.client.request(API.Metadata, 9, { topics: [{ name: 'auto' }], allowAutoTopicCreation })
  t.equal((await ask(false)).topics[0]?.errorCode, 3)
  const { topics } = await ask(true)
  t.match(topics, [{ errorCode: 0, name: 'auto' }])
  t.equal(topics[0]?.partitions.length, 3)
  t.equal(await test.produce('auto', 2, ['x']), 0)
})

t.test('two clients that ask for the same new topic both get it', async t => {
  const test = await start(t)
  const other = await test.connect()
  const ask = { topics: [{ name: 'auto' }], allowAutoTopicCreation: true }
  const [a, b] = await Promise.all([
    test.client.request(API.Metadata, 12, ask),
    other.request(API.Metadata, 12, ask),
  ])
  t.equal(a.topics[0]?.errorCode, 0)
  t.same(a.topics, b.topics)
})

t.test('topics are deleted by name and by id, and their ids are gone for good', async t => {
  const test = await start(t)
  const first = await test.createTopic('a')
  const second = await test.createTopic('b')
  const { responses } = await test.client.request(API.DeleteTopics, 6, {
    timeoutMs: 1000,
    topics: [
      { name: 'a' },
      { name: null, topicId: second },
      { name: 'c' },
      { name: null, topicId: UNKNOWN_ID },
    ].map(topic => ({ topicId: ZERO_TOPIC_ID, ...topic })),
  })
  t.match(responses, [
    { name: 'a', topicId: first, errorCode: 0 },
    { name: 'b', topicId: second, errorCode: 0 },
    { name: 'c', errorCode: 3 },
    { name: null, topicId: UNKNOWN_ID, errorCode: 100 },
  ])
  const again = await test.createTopic('a')
  t.not(again, first)
  const { topics } = await test.client.request(API.Metadata, 12, {
    topics: [{ name: null, topicId: first }],
    allowAutoTopicCreation: false,
  })
  t.equal(errorName(topics[0]!.errorCode), 'UNKNOWN_TOPIC_ID')
  t.equal(await test.produce('a', 0, ['new life']), 0)
})

t.test('deletion can be switched off, and twice in one request is refused', async t => {
  const disabled = await start(t, { 'delete.topic.enable': false })
  await disabled.createTopic('a')
  const ask = async (test: TestBroker, version: number, topicNames: string[]) =>
    (await test.client.request(API.DeleteTopics, version, { topicNames, timeoutMs: 1 })).responses.map(
      topic => errorName(topic.errorCode),
    )
  t.same(await ask(disabled, 2, ['a']), ['INVALID_REQUEST'])
  t.same(await ask(disabled, 5, ['a']), ['TOPIC_DELETION_DISABLED'])
  const test = await start(t)
  await test.createTopic('a')
  t.same(await ask(test, 5, ['a', 'a']), ['INVALID_REQUEST'])
  t.same(test.broker.topicNames, ['a'])
})

t.test('partitions are added, and can be written to when the answer is there', async t => {
  const test = await start(t)
  await test.createTopic('a')
  const grow = async (count: number, validateOnly = false) => {
    const topics = [{ name: 'a', count, assignments: null }]
    const { results } = await test.client.request(API.CreatePartitions, 3, {
      topics,
      timeoutMs: 1000,
      validateOnly,
    })
    return errorName(results[0]!.errorCode)
  }
  t.equal(await grow(4, true), 'NONE')
  t.equal(await test.produce('a', 3, ['x']), -3)
  t.equal(await grow(4), 'NONE')
  t.equal(await test.produce('a', 3, ['x']), 0)
  t.equal(await grow(4), 'INVALID_PARTITIONS')
  const { results } = await test.client.request(API.CreatePartitions, 2, {
    topics: ['b', 'b', 'c'].map(name => ({ name, count: 2, assignments: null })),
    timeoutMs: 1000,
    validateOnly: false,
  })
  t.same(
    results.map(result => errorName(result.errorCode)),
    ['INVALID_REQUEST', 'UNKNOWN_TOPIC_OR_PARTITION'],
  )
})

t.test('topics are described in pages, which may cut a topic', async t => {
  const test = await start(t)
  await test.createTopic('a', 3)
  await test.createTopic('b', 2)
  const page = async (names: string[], responsePartitionLimit: number, cursor: [string, number] | null) => {
    const response = await test.client.request(API.DescribeTopicPartitions, 0, {
      topics: names.map(name => ({ name })),
      responsePartitionLimit,
      cursor: cursor && { topicName: cursor[0], partitionIndex: cursor[1] },
    })
    const topics = response.topics.map(
      topic =>
        `${topic.name}:${topic.partitions.map(partition => partition.partitionIndex)}:${topic.errorCode}`,
    )
    return [
      topics,
      response.nextCursor && [response.nextCursor.topicName, response.nextCursor.partitionIndex],
    ]
  }
  t.same(await page([], 100, null), [['a:0,1,2:0', 'b:0,1:0'], null])
  t.same(await page([], 2, null), [['a:0,1:0'], ['a', 2]])
  t.same(await page([], 2, ['a', 2]), [
    ['a:2:0', 'b:0:0'],
    ['b', 1],
  ])
  t.same(await page([], 2, ['b', 1]), [['b:1:0'], null])
  t.same(await page([], 3, null), [['a:0,1,2:0'], ['b', 0]])
  t.same(await page(['b', 'none', 'a'], 100, null), [['a:0,1,2:0', 'b:0,1:0', 'none::3'], null])
  t.same(await page(['a', 'b'], 9, ['c', 0]), [['a::42', 'b::42'], null], 'a cursor into another question')
  t.same(await page(['a'], 9, ['a', -1]), [['a::42'], null])
  t.same(await page([], 9, ['a', -1]), [[], null])
})

t.test('what is named twice is told of once, by its id where it has one', async t => {
  const test = await start(t)
  const a = await test.createTopic('a')
  const b = await test.createTopic('b')
  const found = async (...asked: { topicId?: TopicId; name: string | null }[]) => {
    const { topics } = await test.client.request(API.Metadata, 12, { topics: asked })
    return topics.map(topic => `${topic.name} ${topic.errorCode}`)
  }
  t.same(await found({ name: 'a' }, { name: 'a' }), ['a 0'])
  t.same(await found({ topicId: b, name: 'a' }), ['b 0'])
  t.same(await found({ topicId: a, name: null }, { topicId: a, name: null }), ['a 0'])
  const deletion = await test.client.request(API.DeleteTopics, 6, {
    topics: [
      { name: 'a', topicId: ZERO_TOPIC_ID },
      { name: null, topicId: a },
    ],
    timeoutMs: 1000,
  })
  t.same(
    deletion.responses.map(({ errorCode }) => errorName(errorCode)),
    ['INVALID_REQUEST'],
  )
  t.same(test.broker.topicNames, ['a', 'b'])
})
