import t, { type Test } from 'tap'
import { API } from '../../../client/protocol/apis.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { TestBroker } from './test-broker.ts'

async function start(t: Test, settings = {}): Promise<TestBroker> {
  const test = await TestBroker.start({ settings })
  t.teardown(() => test.stop())
  return test
}

async function list(test: TestBroker, version: number, timestamp: number, partitionIndex = 0, name = 'a') {
  const { topics } = await test.client.request(API.ListOffsets, version, {
    replicaId: -1,
    topics: [{ name, partitions: [{ partitionIndex, timestamp }] }],
  })
  const { errorCode, offset } = topics[0]!.partitions[0]!
  return errorCode === 0 ? offset : errorName(errorCode)
}

t.test('the special timestamps, each since its version', async t => {
  const test = await start(t)
  await test.createTopic('a')
  await test.produce('a', 0, ['1', '2', '3'])
  t.equal(await list(test, 1, -1), 3)
  t.equal(await list(test, 1, -2), 0)
  t.equal(await list(test, 6, -3), 'UNSUPPORTED_VERSION')
  t.equal(await list(test, 7, -4), 'UNSUPPORTED_VERSION')
  t.equal(await list(test, 8, -4), 0)
  t.equal(await list(test, 9, -5), -1)
  t.equal(await list(test, 11, -6), -1)
  t.equal(await list(test, 11, -7), 'UNSUPPORTED_VERSION')
  t.equal(await list(test, 5, -1, 3), 'UNKNOWN_TOPIC_OR_PARTITION')
  t.equal(await list(test, 5, -1, 0, 'none'), 'UNKNOWN_TOPIC_OR_PARTITION')
})

t.test('offsets by time, and that of the largest timestamp', async t => {
  const test = await start(t)
  await test.createTopic('a')
  const startMs = test.env.clock.wallMs()
  await test.produce('a', 0, ['1'])
  await test.env.clock.advance(1000)
  await test.produce('a', 0, ['2'])
  t.equal(await list(test, 3, startMs - 5), 0)
  t.equal(await list(test, 3, startMs + 500), 1)
  t.equal(await list(test, 3, startMs + 5000), -1)
  t.equal(await list(test, 7, -3), 1)
})

t.test('a partition that is asked for twice is refused', async t => {
  const test = await start(t)
  await test.createTopic('a')
  const asked = { partitionIndex: 0, timestamp: -1 }
  const { topics } = await test.client.request(API.ListOffsets, 5, {
    replicaId: -1,
    topics: [{ name: 'a', partitions: [asked, asked] }],
  })
  t.same(
    topics[0]?.partitions.map(partition => errorName(partition.errorCode)),
    ['INVALID_REQUEST'],
    'in one place: clients keep answers by partition',
  )
})

t.test('who says that it is a replica is told the end, in every version', async t => {
  const test = await start(t)
  await test.createTopic('a')
  await test.produce('a', 0, ['1', '2', '3'])
  for (const version of [1, 3, 4, 7]) {
    for (const replicaId of [1, 7]) {
      const { topics } = await test.client.request(API.ListOffsets, version, {
        replicaId,
        topics: [{ name: 'a', partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
      })
      t.equal(topics[0]!.partitions[0]!.offset, 3, `broker ${replicaId} in version ${version}`)
    }
  }
})

t.test('deleted records are gone at once, and the end stays where it was', async t => {
  const test = await start(t)
  await test.createTopic('a')
  await test.produce('a', 0, ['1', '2', '3'])
  const trim = async (offset: number) => {
    const { topics } = await test.client.request(API.DeleteRecords, 2, {
      topics: [{ name: 'a', partitions: [{ partitionIndex: 0, offset }] }],
      timeoutMs: 1000,
    })
    const { errorCode, lowWatermark } = topics[0]!.partitions[0]!
    return errorCode === 0 ? lowWatermark : errorName(errorCode)
  }
  t.equal(await trim(2), 2)
  t.equal(await list(test, 1, -2), 2)
  t.equal(await trim(4), 'OFFSET_OUT_OF_RANGE')
  t.equal(await trim(-1), 3)
  t.equal(await list(test, 1, -1), 3)
})

t.test('the end of an epoch is where the next begins, or the end of the log', async t => {
  const test = await start(t)
  await test.createTopic('a')
  await test.produce('a', 0, ['1', '2'])
  const ask = async (currentLeaderEpoch: number, leaderEpoch: number) => {
    const { topics } = await test.client.request(API.OffsetForLeaderEpoch, 4, {
      topics: [{ topic: 'a', partitions: [{ partition: 0, currentLeaderEpoch, leaderEpoch }] }],
    })
    const found = topics[0]!.partitions[0]!
    return found.errorCode === 0 ? [found.leaderEpoch, found.endOffset] : errorName(found.errorCode)
  }
  t.same(await ask(0, 0), [0, 2])
  t.same(await ask(-1, 0), [0, 2])
  t.same(await ask(4, 0), 'UNKNOWN_LEADER_EPOCH')
  t.same(await ask(-1, 7), [-1, -1])
})
