import t from 'tap'
import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { API } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { TestBroker } from './test-broker.ts'

t.test('clients are told which partitions are offline, and are served the others', async t => {
  const disk = new MemoryDisk()
  const first = await TestBroker.start({ disk })
  await first.createTopic('orders', 2)
  await first.produce('orders', 0, ['a'])
  await first.produce('orders', 1, ['b'])
  await first.stop()

  disk.inject({ operation: 'open', path: /orders-0\/.*\.log$/, code: 'IO_ERROR' })
  await using broker = await TestBroker.start({ disk })
  t.equal(await broker.produce('orders', 1, ['c']), 1)
  t.equal(await broker.produce('orders', 0, ['d']), -ErrorCode.KAFKA_STORAGE_ERROR)
  const offline = {
    errorCode: ErrorCode.LEADER_NOT_AVAILABLE,
    partitionIndex: 0,
    leaderId: -1,
    replicaNodes: [1],
    offlineReplicas: [1],
  }
  const online = { errorCode: 0, partitionIndex: 1, leaderId: 1, offlineReplicas: [] }
  const { topics } = await broker.client.request(API.Metadata, 12, { topics: [{ name: 'orders' }] })
  t.match(topics, [{ errorCode: 0, partitions: [offline, online] }])
  const described = await broker.client.request(API.DescribeTopicPartitions, 0, {
    topics: [{ name: 'orders' }],
  })
  t.match(described.topics, [{ errorCode: 0, partitions: [offline, online] }])
  const listed = await broker.client.request(API.ListOffsets, 5, {
    replicaId: -1,
    topics: [{ name: 'orders', partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
  })
  t.match(listed.topics, [{ partitions: [{ errorCode: ErrorCode.KAFKA_STORAGE_ERROR }] }])
})
