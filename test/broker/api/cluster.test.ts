import t from 'tap'
import { API } from '../../../client/protocol/apis.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { TestBroker } from './test-broker.ts'

t.test('the cluster is one broker, which is its controller', async t => {
  const test = await TestBroker.start({ settings: { 'broker.rack': 'r1', 'node.id': 5 } })
  t.teardown(() => test.stop())
  const ask = (version: number, more: object = {}) =>
    test.client.request(API.DescribeCluster, version, { includeClusterAuthorizedOperations: false, ...more })
  const answer = await ask(2)
  t.match(answer, { errorCode: 0, clusterId: test.broker.clusterId, controllerId: 5, endpointType: 1 })
  t.match(answer.brokers, [
    { brokerId: 5, host: '127.0.0.1', port: test.broker.address.port, rack: 'r1', isFenced: false },
  ])
  t.equal(answer.clusterAuthorizedOperations, -2_147_483_648)
  t.equal((await ask(0, { includeClusterAuthorizedOperations: true })).clusterAuthorizedOperations, 8096)
  t.equal(errorName((await ask(1, { endpointType: 2 })).errorCode), 'MISMATCHED_ENDPOINT_TYPE')
  t.equal(errorName((await ask(1, { endpointType: 9 })).errorCode), 'UNSUPPORTED_ENDPOINT_TYPE')
})

t.test('authorized operations are told where they are asked for', async t => {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  await test.createTopic('a')
  const ask = (version: number, more: object) =>
    test.client.request(API.Metadata, version, { topics: null, ...more })
  const told = await ask(8, {
    includeTopicAuthorizedOperations: true,
    includeClusterAuthorizedOperations: true,
  })
  t.equal(told.clusterAuthorizedOperations, 8096)
  t.equal(told.topics[0]?.topicAuthorizedOperations, 3576)
  const untold = await ask(8, {})
  t.equal(untold.clusterAuthorizedOperations, -2_147_483_648)
  t.equal(untold.topics[0]?.topicAuthorizedOperations, -2_147_483_648)
})

t.test('the data folder tells the size of each partition, and the room on its disk', async t => {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  await test.createTopic('a', 2)
  await test.createTopic('b')
  await test.produce('a', 1, ['x'.repeat(1000)])
  const ask = async (topics: { topic: string; partitions: number[] }[] | null) => {
    const { errorCode, results } = await test.client.request(API.DescribeLogDirs, 4, { topics })
    t.equal(errorCode, 0)
    t.match(results, [{ errorCode: 0, logDir: '/data' }])
    return results[0]!
  }
  const all = await ask(null)
  t.same(
    all.topics.map(({ name, partitions }) => [name, partitions.map(partition => partition.partitionIndex)]),
    [
      ['a', [0, 1]],
      ['b', [0]],
    ],
  )
  t.equal(all.topics[0]?.partitions[0]?.partitionSize, 0)
  t.ok(all.topics[0]!.partitions[1]!.partitionSize > 1000)
  t.match(all.topics[0]?.partitions[1], { offsetLag: 0, isFutureKey: false })
  t.ok(all.totalBytes === -1 || all.totalBytes >= all.usableBytes)
  t.same((await ask([{ topic: 'a', partitions: [1, 9] }])).topics[0]?.partitions.length, 1)
  t.same((await ask([{ topic: 'none', partitions: [0] }])).topics, [])
})
