/**
 * Every API that is served, in every version that is advertised: a well-formed request gets a well-formed answer.
 */
import t from 'tap'
import { API, type Api, apiByKey } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type TopicId } from '../../../client/protocol/types.ts'
import { batch, TestBroker } from './test-broker.ts'

const SERVED: Readonly<Record<string, [number, number]>> = {
  Produce: [0, 13],
  Fetch: [4, 18],
  ListOffsets: [1, 11],
  Metadata: [0, 13],
  ApiVersions: [0, 5],
  CreateTopics: [2, 7],
  DeleteTopics: [1, 6],
  DeleteRecords: [0, 2],
  InitProducerId: [0, 5],
  OffsetForLeaderEpoch: [2, 4],
  DescribeConfigs: [1, 4],
  AlterConfigs: [0, 2],
  DescribeLogDirs: [1, 5],
  CreatePartitions: [0, 3],
  IncrementalAlterConfigs: [0, 1],
  DescribeCluster: [0, 2],
  DescribeProducers: [0, 0],
  DescribeTopicPartitions: [0, 0],
  FindCoordinator: [0, 6],
  JoinGroup: [0, 9],
  SyncGroup: [0, 5],
  Heartbeat: [0, 4],
  LeaveGroup: [0, 5],
  OffsetCommit: [2, 10],
  OffsetFetch: [1, 10],
  OffsetDelete: [0, 0],
  ListGroups: [0, 5],
  DescribeGroups: [0, 6],
  DeleteGroups: [0, 3],
  ConsumerGroupHeartbeat: [0, 1],
  ConsumerGroupDescribe: [0, 1],
  ElectLeaders: [0, 2],
  AlterPartitionReassignments: [0, 1],
  ListPartitionReassignments: [0, 0],
}

/** What a request about a group or a member that is not there is answered with. */
const NOT_THERE: Readonly<Record<number, ErrorCode>> = {
  [API.SyncGroup.key]: ErrorCode.UNKNOWN_MEMBER_ID,
  [API.Heartbeat.key]: ErrorCode.UNKNOWN_MEMBER_ID,
  [API.LeaveGroup.key]: ErrorCode.UNKNOWN_MEMBER_ID,
  [API.OffsetDelete.key]: ErrorCode.GROUP_ID_NOT_FOUND,
  [API.DeleteGroups.key]: ErrorCode.GROUP_ID_NOT_FOUND,
  [API.ConsumerGroupDescribe.key]: ErrorCode.GROUP_ID_NOT_FOUND,
}

/** A request with all that a version has room for. */
function requestOf(test: TestBroker, api: Api, version: number, topicId: TopicId): unknown {
  const timeoutMs = 1000
  switch (api.key) {
    case API.Produce.key: {
      const partitionData = [{ index: 0, records: batch(test.env, ['x']) }]
      return { acks: -1, timeoutMs, topicData: [{ name: 'a', topicId, partitionData }] }
    }
    case API.Fetch.key: {
      const partitions = [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 1000 }]
      return {
        maxWaitMs: 10,
        minBytes: 1,
        isolationLevel: version % 2,
        topics: [{ topic: 'a', topicId, partitions }],
      }
    }
    case API.ListOffsets.key:
      return {
        replicaId: -1,
        topics: [{ name: 'a', partitions: [{ partitionIndex: 0, timestamp: -1 }] }],
        timeoutMs,
      }
    case API.Metadata.key:
      return { topics: version === 0 ? [] : null }
    case API.ApiVersions.key:
      return { clientSoftwareName: 'test', clientSoftwareVersion: '1.0' }
    case API.CreateTopics.key: {
      const numPartitions = version < 4 ? 1 : -1
      const topic = {
        name: `made-${version}`,
        numPartitions,
        replicationFactor: 1,
        assignments: [],
        configs: [],
      }
      return { topics: [topic] }
    }
    case API.DeleteTopics.key:
      return version < 6
        ? { topicNames: [`made-${version + 1}`], timeoutMs }
        : { topics: [{ name: 'made-7', topicId: '0'.repeat(32) }], timeoutMs }
    case API.DeleteRecords.key:
      return { topics: [{ name: 'a', partitions: [{ partitionIndex: 0, offset: 0 }] }], timeoutMs }
    case API.InitProducerId.key:
      return { transactionalId: null, transactionTimeoutMs: timeoutMs }
    case API.OffsetForLeaderEpoch.key:
      return { topics: [{ topic: 'a', partitions: [{ partition: 0, leaderEpoch: 0 }] }] }
    case API.DescribeConfigs.key:
      return {
        resources: [{ resourceType: 2, resourceName: 'a', configurationKeys: null }],
        includeSynonyms: true,
      }
    case API.AlterConfigs.key:
      return { resources: [{ resourceType: 2, resourceName: 'a', configs: [] }], validateOnly: true }
    case API.DescribeLogDirs.key:
      return { topics: null }
    case API.CreatePartitions.key:
      return {
        topics: [{ name: 'a', count: 2 + version, assignments: null }],
        timeoutMs,
        validateOnly: false,
      }
    case API.IncrementalAlterConfigs.key: {
      const configs = [{ name: 'retention.ms', configOperation: 0, value: '1000' }]
      return { resources: [{ resourceType: 2, resourceName: 'a', configs }], validateOnly: false }
    }
    case API.DescribeCluster.key:
      return { includeClusterAuthorizedOperations: true }
    case API.DescribeProducers.key:
      return { topics: [{ name: 'a', partitionIndexes: [0] }] }
    case API.DescribeTopicPartitions.key:
      return { topics: [] }
    case API.ElectLeaders.key:
      return { electionType: 0, topicPartitions: null, timeoutMs }
    case API.AlterPartitionReassignments.key: {
      const partitions = [{ partitionIndex: 0, replicas: [1] }]
      return { timeoutMs, topics: [{ name: 'a', partitions }] }
    }
    case API.ListPartitionReassignments.key:
      return { timeoutMs, topics: null }
    default:
      return groupRequestOf(api, version, topicId)
  }
}

/** Of a group for each version, so that one does not stand in the way of the next. */
function groupRequestOf(api: Api, version: number, topicId: TopicId): unknown {
  const groupId = `group-${version}`
  const memberId = 'member'
  const generationId = 1
  switch (api.key) {
    case API.FindCoordinator.key:
      return version < 4 ? { key: groupId } : { keyType: 0, coordinatorKeys: [groupId] }
    case API.JoinGroup.key: {
      const protocols = [{ name: 'range', metadata: Buffer.alloc(0) }]
      // A static member need not come back with the id that it is given.
      const groupInstanceId = version < 5 ? null : 'instance'
      const common = { groupId, memberId: '', groupInstanceId, protocolType: 'consumer', protocols }
      return { ...common, sessionTimeoutMs: 10_000, rebalanceTimeoutMs: version < 1 ? -1 : 10_000 }
    }
    case API.SyncGroup.key: {
      const named = version < 5 ? {} : { protocolType: 'consumer', protocolName: 'range' }
      return { groupId: 'none', generationId, memberId, ...named, assignments: [] }
    }
    case API.Heartbeat.key:
      return { groupId: 'none', generationId, memberId }
    case API.LeaveGroup.key:
      return version < 3 ? { groupId: 'none', memberId } : { groupId: 'none', members: [{ memberId }] }
    case API.OffsetCommit.key: {
      const partitions = [{ partitionIndex: 0, committedOffset: 1, committedMetadata: 'x' }]
      return { groupId: 'commits', memberId: '', topics: [{ name: 'a', topicId, partitions }] }
    }
    case API.OffsetFetch.key: {
      const topics = [{ name: 'a', topicId, partitionIndexes: [0] }]
      return version < 8 ? { groupId: 'commits', topics } : { groups: [{ groupId: 'commits', topics }] }
    }
    case API.OffsetDelete.key:
      return { groupId: 'none', topics: [{ name: 'a', partitions: [{ partitionIndex: 0 }] }] }
    case API.ListGroups.key:
      return {}
    case API.DescribeGroups.key:
      return { groups: ['commits'] }
    case API.DeleteGroups.key:
      return { groupsNames: ['none'] }
    case API.ConsumerGroupHeartbeat.key: {
      const joining = { memberEpoch: 0, rebalanceTimeoutMs: 10_000, topicPartitions: [] }
      return { groupId: `consumer-${version}`, memberId, subscribedTopicNames: ['a'], ...joining }
    }
    case API.ConsumerGroupDescribe.key:
      return { groupIds: ['none'], includeAuthorizedOperations: true }
    default:
      throw new Error(`no request for ${api.name}`)
  }
}

function expectedError(api: Api, version: number): ErrorCode {
  // Old record formats are refused, in a well-formed answer.
  if (api.key === API.Produce.key && version < 3) return ErrorCode.UNSUPPORTED_VERSION
  // A dynamic member is to come back with the id that it is given.
  if (api.key === API.JoinGroup.key && version === 4) return ErrorCode.MEMBER_ID_REQUIRED
  return NOT_THERE[api.key] ?? ErrorCode.NONE
}

/** Every error code in an answer, wherever it stands. */
function errorsIn(value: unknown): number[] {
  if (Array.isArray(value)) return value.flatMap(errorsIn)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, field]) =>
    name === 'errorCode' && typeof field === 'number' ? [field] : errorsIn(field),
  )
}

t.test('what is advertised is what is served, in the versions of Apache Kafka 4', async t => {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  const { apiKeys, finalizedFeatures, supportedFeatures, finalizedFeaturesEpoch } = await test.client.request(
    API.ApiVersions,
    4,
    { clientSoftwareName: 'test', clientSoftwareVersion: '1.0' },
  )
  const advertised = apiKeys.map(({ apiKey, minVersion, maxVersion }) => [
    apiByKey(apiKey)?.name,
    [minVersion, maxVersion],
  ])
  t.same(Object.fromEntries(advertised), SERVED)
  t.same([finalizedFeatures, supportedFeatures, finalizedFeaturesEpoch], [[], [], -1])
})

t.test('every version of every API answers a well-formed request', async t => {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  const topicId = await test.createTopic('a')
  for (const name of Object.keys(SERVED)) {
    const api = API[name as keyof typeof API] as unknown as Api
    for (let version = api.minVersion; version <= api.maxVersion; version++) {
      const answer = await test.client.request(api, version, requestOf(test, api, version, topicId))
      const expected = expectedError(api, version)
      const errors = new Set([...errorsIn(answer), expected])
      // Of several members or groups each has an error of its own, and the whole has none.
      if (expected !== ErrorCode.NONE) errors.delete(ErrorCode.NONE)
      t.same([...errors], [expected], `${name} version ${version}`)
    }
  }
  t.equal(test.client.isClosed, false)
  t.equal(test.fatal, null)
})

t.test('a newer ApiVersions is answered in version 0 with the range that is served', async t => {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  const newer: typeof API.ApiVersions = {
    ...API.ApiVersions,
    request: { ...API.ApiVersions.request, at: () => API.ApiVersions.request.at(5) },
    response: { ...API.ApiVersions.response, at: () => API.ApiVersions.response.at(0) },
  }
  const answer = await test.client.request(newer, 99, { clientSoftwareName: 'x', clientSoftwareVersion: '1' })
  t.match(answer, {
    errorCode: ErrorCode.UNSUPPORTED_VERSION,
    apiKeys: [{ apiKey: 18, minVersion: 0, maxVersion: 5 }],
  })
})

t.test('a client that expects another cluster or broker is sent back to its bootstrap servers', async t => {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  const ask = async (more: object) => {
    const body = { clientSoftwareName: 'x', clientSoftwareVersion: '1', ...more }
    return (await test.client.request(API.ApiVersions, 5, body)).errorCode
  }
  t.equal(await ask({ clusterId: test.broker.clusterId, nodeId: 1 }), ErrorCode.NONE)
  t.equal(await ask({ nodeId: 2 }), ErrorCode.REBOOTSTRAP_REQUIRED)
  t.equal(await ask({ clusterId: 'other' }), ErrorCode.REBOOTSTRAP_REQUIRED)
  t.equal(await ask({ clientSoftwareName: 'x y' }), ErrorCode.INVALID_REQUEST)
})

t.test('transactions are not served: their requests close the connection', async t => {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  const request = { transactionalId: 'payments', producerId: 1n, producerEpoch: 0, committed: true }
  await t.rejects(test.client.request(API.EndTxn, 2, request))
  t.equal(test.client.isClosed, true)
})
