import t, { type Test } from 'tap'
import { API } from '../../../client/protocol/apis.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { type ProducerEpoch, type ProducerId, type TopicId } from '../../../client/protocol/types.ts'
import { batch, TestBroker, unfold } from './test-broker.ts'

async function start(t: Test, settings = {}): Promise<TestBroker> {
  const test = await TestBroker.start({ settings })
  t.teardown(() => test.stop())
  return test
}

t.test('offsets go on where the last batch ended, each partition by itself', async t => {
  const test = await start(t)
  await test.createTopic('a', 2)
  t.equal(await test.produce('a', 0, ['1', '2', '3']), 0)
  t.equal(await test.produce('a', 0, ['4']), 3)
  t.equal(await test.produce('a', 1, ['1']), 0)
})

t.test('every partition of a request is answered for itself, in the order of the request', async t => {
  const test = await start(t)
  await test.createTopic('a', 2)
  const { responses } = await test.client.request(API.Produce, 9, {
    acks: 1,
    timeoutMs: 1000,
    topicData: [
      { name: 'a', partitionData: [1, 7, 0].map(index => ({ index, records: batch(test.env, ['x']) })) },
      { name: 'none', partitionData: [{ index: 0, records: batch(test.env, ['x']) }] },
    ],
  })
  const outcomes = responses.map(topic =>
    topic.partitionResponses.map(partition => [
      partition.index,
      errorName(partition.errorCode),
      partition.baseOffset,
    ]),
  )
  t.same(outcomes, [
    [
      [1, 'NONE', 0],
      [7, 'UNKNOWN_TOPIC_OR_PARTITION', -1],
      [0, 'NONE', 0],
    ],
    [[0, 'UNKNOWN_TOPIC_OR_PARTITION', -1]],
  ])
})

t.test('since version 13 topics are named by id', async t => {
  const test = await start(t)
  const topicId = await test.createTopic('a')
  const produce = async (id: TopicId) => {
    const { responses } = await test.client.request(API.Produce, 13, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ topicId: id, partitionData: [{ index: 0, records: batch(test.env, ['x']) }] }],
    })
    return [responses[0]?.topicId, errorName(responses[0]!.partitionResponses[0]!.errorCode)]
  }
  t.same(await produce(topicId), [topicId, 'NONE'])
  const unknown = 'cd'.repeat(16) as TopicId
  t.same(await produce(unknown), [unknown, 'UNKNOWN_TOPIC_ID'])
})

t.test('what the request as a whole gets wrong is told for each partition', async t => {
  const test = await start(t)
  await test.createTopic('a')
  const produce = async (version: number, more: object) => {
    const { responses } = await test.client.request(API.Produce, version, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: 'a', partitionData: [{ index: 0, records: batch(test.env, ['x']) }] }],
      ...more,
    })
    return errorName(responses[0]!.partitionResponses[0]!.errorCode)
  }
  t.equal(await produce(9, { acks: 2 }), 'INVALID_REQUIRED_ACKS')
  t.equal(await produce(9, { transactionalId: 'tx' }), 'INVALID_REQUEST')
  t.equal(await produce(0, {}), 'UNSUPPORTED_VERSION')
  t.equal(await produce(2, {}), 'UNSUPPORTED_VERSION')
  t.equal(await test.produce('a', 0, ['x']), 0, 'none of it was stored')
})

t.test('batches that cannot be stored are refused', async t => {
  const test = await start(t, { 'message.max.bytes': 500 })
  await test.createTopic('a')
  const produce = async (version: number, records: Uint8Array | null) => {
    const { responses } = await test.client.request(API.Produce, version, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: 'a', partitionData: [{ index: 0, records }] }],
    })
    return errorName(responses[0]!.partitionResponses[0]!.errorCode)
  }
  const good = batch(test.env, ['x'])
  const damaged = Buffer.from(good)
  damaged[good.length - 1]! ^= 1
  t.equal(await produce(9, damaged), 'CORRUPT_MESSAGE')
  t.equal(await produce(9, null), 'INVALID_RECORD')
  t.equal(await produce(9, Buffer.alloc(0)), 'INVALID_RECORD')
  t.equal(await produce(9, Buffer.concat([good, good])), 'INVALID_RECORD')
  t.equal(await produce(9, batch(test.env, ['x'.repeat(600)])), 'MESSAGE_TOO_LARGE')
  t.equal(
    await produce(9, batch(test.env, ['x'], { isTransactional: true, producerId: 1n as ProducerId })),
    'INVALID_REQUEST',
  )
  const zstd = Buffer.from(good)
  zstd[22] = 4
  t.equal(await produce(6, zstd), 'UNSUPPORTED_COMPRESSION_TYPE')
  t.equal(await produce(9, good), 'NONE')
})

t.test('acks=0 gets no answer, and loses its connection when it fails', async t => {
  const test = await start(t)
  await test.createTopic('a')
  const produce = (name: string): void =>
    test.client.post(API.Produce, 9, {
      acks: 0,
      timeoutMs: 1000,
      topicData: [{ name, partitionData: [{ index: 0, records: batch(test.env, ['x']) }] }],
    })
  produce('a')
  // The next answer is that of the next request: nothing came for the one before.
  t.equal(await test.produce('a', 0, ['y']), 1)
  produce('none')
  await test.env.clock.advance(100)
  t.equal(test.client.isClosed, true)
})

t.test('an idempotent producer gets the first offset again for a batch that it repeats', async t => {
  const test = await start(t)
  await test.createTopic('a')
  const { producerId, producerEpoch } = await test.client.request(API.InitProducerId, 4, {
    transactionalId: null,
    transactionTimeoutMs: 1000,
  })
  t.equal(producerEpoch, 0)
  const identity = (baseSequence: number) => ({ producerId, producerEpoch: 0 as ProducerEpoch, baseSequence })
  t.equal(await test.produce('a', 0, ['1', '2'], identity(0)), 0)
  t.equal(await test.produce('a', 0, ['3'], identity(2)), 2)
  t.equal(await test.produce('a', 0, ['1', '2'], identity(0)), 0)
  t.equal(await test.produce('a', 0, ['5'], identity(9)), -45, 'OUT_OF_ORDER_SEQUENCE_NUMBER')

  const described = await test.client.request(API.DescribeProducers, 0, {
    topics: [
      { name: 'a', partitionIndexes: [0, 5] },
      { name: 'none', partitionIndexes: [0] },
    ],
  })
  t.match(described.topics[0]?.partitions[0], {
    errorCode: 0,
    activeProducers: [{ producerId, producerEpoch: 0, lastSequence: 2, currentTxnStartOffset: -1 }],
  })
  t.equal(described.topics[0]?.partitions[1]?.errorCode, 3)
  t.equal(described.topics[1]?.partitions[0]?.errorCode, 3)
})

t.test('producer ids differ, and transactions are refused', async t => {
  const test = await start(t)
  const init = (version: number, more: object = {}) =>
    test.client.request(API.InitProducerId, version, {
      transactionalId: null,
      transactionTimeoutMs: 1000,
      ...more,
    })
  const ids = new Set<bigint>()
  for (let i = 0; i < 2100; i++) ids.add((await init(4)).producerId)
  t.equal(ids.size, 2100)
  t.equal(errorName((await init(1, { transactionalId: 'tx' })).errorCode), 'INVALID_REQUEST')
  t.equal(errorName((await init(4, { producerId: 5n })).errorCode), 'INVALID_REQUEST')
  t.equal(errorName((await init(4, { producerId: 5n, producerEpoch: 3 })).errorCode), 'NONE')
})

t.test('a request that waits for its sync does not hold up the stop', async t => {
  const test = await start(t)
  await test.createTopic('a')
  const pending = test.client.send(API.Produce, 9, {
    acks: -1,
    timeoutMs: 1000,
    topicData: [{ name: 'a', partitionData: [{ index: 0, records: batch(test.env, ['x']) }] }],
  })
  pending.catch(() => {})
  await unfold(test.env, test.broker.stop())
  t.equal(test.broker.state, 'stopped')
})
