/**
 * The APIs of groups on a whole broker in memory: what a client is told, version by version, and that it is told
 * nothing that a crash can take back. What becomes of a group is told in test/broker/group.
 */
import t from 'tap'
import { API } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'
import {
  ASSIGNMENT,
  commit,
  commitRequest,
  committed,
  findCoordinator,
  GROUP,
  heartbeat,
  joinAlone,
  joinRequest,
  SETTINGS,
} from './group-client.ts'
import { TestBroker, unfold } from './test-broker.ts'

const OFFSETS = '__consumer_offsets'
const { NONE } = ErrorCode

t.test('the topic of groups is made when a coordinator is first asked for', async t => {
  await using test = await TestBroker.start()
  t.same(test.broker.topicNames, [])
  const { coordinators } = await test.client.request(API.FindCoordinator, 6, {
    keyType: 0,
    coordinatorKeys: ['a', 'b'],
  })
  t.match(coordinators, [
    { key: 'a', nodeId: 1, host: '127.0.0.1', port: test.broker.address.port, errorCode: NONE },
    { key: 'b', errorCode: NONE },
  ])
  const { topics } = await test.client.request(API.Metadata, 9, { topics: [{ name: OFFSETS }] })
  t.match(topics, [{ name: OFFSETS, isInternal: true, errorCode: NONE }])
  t.equal(topics[0]?.partitions.length, 50)
  const { results } = await test.client.request(API.DescribeConfigs, 4, {
    resources: [{ resourceType: 2, resourceName: OFFSETS, configurationKeys: ['cleanup.policy'] }],
  })
  t.match(results, [{ configs: [{ name: 'cleanup.policy', value: 'compact' }] }])
})

t.test('many ask for a coordinator at once, and one topic is made', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  const asked = Array.from({ length: 5 }, async (_, index) => {
    const client = await test.connect()
    return client.send(API.FindCoordinator, 1, { key: `group-${index}`, keyType: 0 })
  })
  const answers = await unfold(test.env, Promise.all(asked))
  t.same(
    answers.map(({ errorCode, nodeId }) => [errorCode, nodeId]),
    answers.map(() => [NONE, 1]),
  )
  t.same(test.broker.topicNames, [OFFSETS])
})

t.test('coordinators of transactions are refused for good, and with a reason', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  const answer = await test.client.request(API.FindCoordinator, 3, { key: 'payments', keyType: 1 })
  t.match(answer, { errorCode: ErrorCode.INVALID_REQUEST, errorMessage: /not served/, nodeId: -1 })
  t.same(test.broker.topicNames, [])
})

t.test('nobody but the broker writes to the topic of groups, or moves what is in it', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  await findCoordinator(test)
  t.equal(await test.produce(OFFSETS, 0, ['x']), -ErrorCode.INVALID_TOPIC_EXCEPTION)
  const deleted = await test.client.request(API.DeleteRecords, 2, {
    topics: [{ name: OFFSETS, partitions: [{ partitionIndex: 0, offset: 0 }] }],
    timeoutMs: 1000,
  })
  t.equal(deleted.topics[0]?.partitions[0]?.errorCode, ErrorCode.INVALID_TOPIC_EXCEPTION)
  const enlarged = await test.client.request(API.CreatePartitions, 3, {
    topics: [{ name: OFFSETS, count: 10, assignments: null }],
    timeoutMs: 1000,
    validateOnly: false,
  })
  t.match(enlarged.results, [{ errorCode: ErrorCode.INVALID_REQUEST, errorMessage: /not be found/ }])
})

t.test('whoever deletes the topic of groups deletes all groups, and it is made anew', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  await test.createTopic('orders')
  t.same(await commit(test.client, 'orders', { 0: 5 }), [NONE])
  const member = await joinAlone(test.client, { groupId: 'others' })
  await test.client.request(API.DeleteTopics, 6, {
    topics: [{ name: OFFSETS, topicId: ZERO_TOPIC_ID }],
    timeoutMs: 1000,
  })
  t.equal(await heartbeat(test.client, member, 'others'), ErrorCode.UNKNOWN_MEMBER_ID)
  t.same(await committed(test.client, 'orders', [0]), [-1])
  t.same(await commit(test.client, 'orders', { 0: 7 }), [NONE])
  t.same(await committed(test.client, 'orders', [0]), [7])
  t.equal(test.fatal, null)
})

for (const version of [0, 3, 4, 5, 9]) {
  t.test(`a member joins, works and leaves: JoinGroup version ${version}`, async t => {
    await using test = await TestBroker.start({ settings: SETTINGS })
    await test.createTopic('orders', 2)
    const first = await test.client.request(API.JoinGroup, version, joinRequest())
    t.match(first.memberId, /^test-[0-9a-f-]{36}$/)
    t.equal(first.errorCode, version < 4 ? NONE : ErrorCode.MEMBER_ID_REQUIRED)
    const joined =
      version < 4
        ? first
        : await test.client.request(API.JoinGroup, version, joinRequest({ memberId: first.memberId }))
    const { memberId, generationId } = joined
    t.match(joined, { errorCode: NONE, generationId: 1, leader: memberId, protocolName: 'range' })
    t.match(joined.members, [{ memberId }])
    const synced = await test.client.request(API.SyncGroup, Math.min(version, 5), {
      groupId: GROUP,
      generationId,
      memberId,
      protocolType: version < 5 ? null : 'consumer',
      protocolName: version < 5 ? null : 'range',
      assignments: [{ memberId, assignment: ASSIGNMENT }],
    })
    t.match(synced, { errorCode: NONE, assignment: ASSIGNMENT })
    t.equal(await heartbeat(test.client, joined), NONE)
    t.same(await commit(test.client, 'orders', { 0: 3, 1: 4 }, { member: joined }), [NONE, NONE])
    t.same(await committed(test.client, 'orders', [1, 0]), [4, 3])
    const stranger = { memberId: 'stranger', generationId }
    t.same(await commit(test.client, 'orders', { 0: 9 }, { member: stranger }), [ErrorCode.UNKNOWN_MEMBER_ID])
    const late = { memberId, generationId: generationId - 1 }
    t.same(await commit(test.client, 'orders', { 0: 9 }, { member: late }), [ErrorCode.ILLEGAL_GENERATION])
    const leaving = await test.client.request(API.LeaveGroup, Math.min(version, 5), {
      groupId: GROUP,
      memberId: version < 3 ? memberId : '',
      members: version < 3 ? [] : [{ memberId }],
    })
    t.equal(leaving.errorCode, NONE)
    t.equal(await heartbeat(test.client, joined), ErrorCode.UNKNOWN_MEMBER_ID)
    t.same(await committed(test.client, 'orders', [0, 1]), [3, 4])
  })
}

t.test('up to version 2 of LeaveGroup the error of the member is that of the request', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  await joinAlone(test.client)
  const one = await test.client.request(API.LeaveGroup, 2, { groupId: GROUP, memberId: 'stranger' })
  t.equal(one.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  const batch = await test.client.request(API.LeaveGroup, 3, {
    groupId: GROUP,
    memberId: '',
    members: [{ memberId: 'stranger' }],
  })
  t.match(batch, { errorCode: NONE, members: [{ errorCode: ErrorCode.UNKNOWN_MEMBER_ID }] })
})

t.test('partitions that do not exist are refused each for itself', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  const topicId = await test.createTopic('orders', 2)
  const byName = await test.client.request(API.OffsetCommit, 8, {
    ...commitRequest('missing', { 0: 1 }),
    topics: [
      ...commitRequest('missing', { 0: 1 }).topics,
      ...commitRequest('orders', { 0: 5, 1: 7, 7: 6 }).topics,
    ],
  })
  const unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  t.match(byName.topics, [
    { name: 'missing', partitions: [{ partitionIndex: 0, errorCode: unknown }] },
    {
      name: 'orders',
      partitions: [
        { partitionIndex: 0, errorCode: NONE },
        { partitionIndex: 1, errorCode: NONE },
        { partitionIndex: 7, errorCode: unknown },
      ],
    },
  ])
  const byId = await test.client.request(API.OffsetCommit, 10, {
    groupId: GROUP,
    memberId: '',
    topics: ['f'.repeat(32), topicId].map(id => ({
      topicId: id,
      partitions: [{ partitionIndex: 1, committedOffset: 8, committedMetadata: '' }],
    })),
  })
  t.match(byId.topics, [
    { partitions: [{ errorCode: ErrorCode.UNKNOWN_TOPIC_ID }] },
    { topicId, partitions: [{ errorCode: NONE }] },
  ])
  t.same(await committed(test.client, 'orders', [0, 1]), [5, 8])
})

t.test('offsets are fetched by name, by id, for all topics and for many groups', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  const topicId = await test.createTopic('orders', 2)
  await commit(test.client, 'orders', { 1: 5 })
  await commit(test.client, 'orders', { 0: 6 }, { groupId: 'others' })
  const all = await test.client.request(API.OffsetFetch, 7, { groupId: GROUP, topics: null })
  t.match(all, {
    errorCode: NONE,
    topics: [{ name: 'orders', partitions: [{ partitionIndex: 1, committedOffset: 5 }] }],
  })
  const old = await test.client.request(API.OffsetFetch, 1, {
    groupId: GROUP,
    topics: [
      { name: 'orders', partitionIndexes: [0, 1] },
      { name: 'missing', partitionIndexes: [0] },
    ],
  })
  t.same(
    old.topics.map(({ partitions }) => partitions.map(({ committedOffset }) => committedOffset)),
    [[-1, 5], [-1]],
  )
  const many = await test.client.request(API.OffsetFetch, 10, {
    groups: [
      { groupId: GROUP, topics: [{ topicId, partitionIndexes: [1] }] },
      { groupId: 'others', topics: null },
      { groupId: 'nobody', topics: [{ topicId: 'f'.repeat(32), partitionIndexes: [0] }] },
    ],
  })
  t.match(many.groups, [
    { groupId: GROUP, topics: [{ topicId, partitions: [{ committedOffset: 5, errorCode: NONE }] }] },
    { groupId: 'others', topics: [{ topicId, partitions: [{ partitionIndex: 0, committedOffset: 6 }] }] },
    {
      groupId: 'nobody',
      topics: [{ partitions: [{ committedOffset: -1, errorCode: ErrorCode.UNKNOWN_TOPIC_ID }] }],
    },
  ])
})

t.test('groups are listed, described, and deleted when nobody is in them', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  await test.createTopic('orders')
  await commit(test.client, 'orders', { 0: 5 }, { groupId: 'offsets-only' })
  const { memberId } = await joinAlone(test.client)
  const list = async (states: string[] = []) => {
    const { groups } = await test.client.request(API.ListGroups, 5, { statesFilter: states })
    return groups.map(({ groupId, groupState, groupType }) => `${groupId} ${groupState} ${groupType}`).sort()
  }
  t.same(await list(), ['offsets-only Empty Classic', 'readers Stable Classic'])
  t.same(await list(['stable']), ['readers Stable Classic'])
  const described = await test.client.request(API.DescribeGroups, 6, {
    groups: ['missing', GROUP, 'offsets-only'],
    includeAuthorizedOperations: true,
  })
  t.match(described.groups, [
    { groupId: 'missing', errorCode: ErrorCode.GROUP_ID_NOT_FOUND, groupState: 'Dead' },
    { groupId: GROUP, errorCode: NONE, groupState: 'Stable', members: [{ memberId, clientId: 'test' }] },
    { groupId: 'offsets-only', errorCode: NONE, groupState: 'Empty', members: [] },
  ])
  t.ok(described.groups[1]!.authorizedOperations > 0)
  const old = await test.client.request(API.DescribeGroups, 5, { groups: ['missing'] })
  t.match(old.groups, [{ errorCode: NONE, groupState: 'Dead' }])
  const { results } = await test.client.request(API.DeleteGroups, 2, {
    groupsNames: [GROUP, 'offsets-only', 'missing'],
  })
  t.same(Object.fromEntries(results.map(({ groupId, errorCode }) => [groupId, errorCode])), {
    [GROUP]: ErrorCode.NON_EMPTY_GROUP,
    'offsets-only': NONE,
    missing: ErrorCode.GROUP_ID_NOT_FOUND,
  })
  t.same(await committed(test.client, 'orders', [0], 'offsets-only'), [-1])
})

t.test(
  'offsets are deleted, but not of a topic that the group reads, nor of one that is not there',
  async t => {
    await using test = await TestBroker.start({ settings: SETTINGS })
    await test.createTopic('orders')
    await commit(test.client, 'orders', { 0: 5 })
    const erase = (groupId: string) =>
      test.client.request(API.OffsetDelete, 0, {
        groupId,
        topics: ['missing', 'orders'].map(name => ({ name, partitions: [{ partitionIndex: 0 }] })),
      })
    const unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    t.match(await erase(GROUP), {
      errorCode: NONE,
      topics: [{ partitions: [{ errorCode: unknown }] }, { partitions: [{ errorCode: NONE }] }],
    })
    t.same(await committed(test.client, 'orders', [0]), [-1])
    t.match(await erase('nobody'), { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, topics: [] })
  },
)

t.test('a deleted topic takes its offsets with it', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  await test.createTopic('orders')
  await commit(test.client, 'orders', { 0: 5 })
  await test.client.request(API.DeleteTopics, 6, {
    topics: [{ name: 'orders', topicId: ZERO_TOPIC_ID }],
    timeoutMs: 1000,
  })
  const { topics } = await test.client.request(API.OffsetFetch, 7, { groupId: GROUP, topics: null })
  t.same(topics, [])
  await test.createTopic('orders')
  t.same(await committed(test.client, 'orders', [0]), [-1])
})

t.test('a consumer group: the member is assigned what it subscribes to, by name or by pattern', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  const topicId = await test.createTopic('orders-eu', 2)
  const beat = (more: object) =>
    test.client.request(API.ConsumerGroupHeartbeat, 1, {
      groupId: GROUP,
      memberId: 'member-1',
      memberEpoch: 0,
      rebalanceTimeoutMs: 10_000,
      topicPartitions: [],
      ...more,
    })
  const invalid = await beat({ subscribedTopicRegex: '(?=x)' })
  t.match(invalid, { errorCode: ErrorCode.INVALID_REGULAR_EXPRESSION, errorMessage: /not a valid/ })
  const joined = await beat({ subscribedTopicRegex: 'orders-(eu|us)' })
  t.match(joined, { errorCode: NONE, memberEpoch: 1, heartbeatIntervalMs: 5000 })
  t.same(joined.assignment?.topicPartitions, [{ topicId, partitions: [0, 1] }])

  const other = await test.createTopic('orders-us')
  await test.env.clock.advance(2000)
  const next = await beat({ memberEpoch: 1, rebalanceTimeoutMs: -1, topicPartitions: null })
  t.match(next, { errorCode: NONE, memberEpoch: 2 })
  t.same(
    new Set(next.assignment?.topicPartitions.map(topic => topic.topicId)),
    new Set([topicId, other]),
    'a topic that comes later',
  )

  const { groups } = await test.client.request(API.ConsumerGroupDescribe, 1, {
    groupIds: [GROUP, 'missing'],
    includeAuthorizedOperations: false,
  })
  t.match(groups, [
    {
      errorCode: NONE,
      groupState: 'Stable',
      groupEpoch: 2,
      members: [{ memberId: 'member-1', subscribedTopicRegex: 'orders-(eu|us)', memberType: 1 }],
    },
    { errorCode: ErrorCode.GROUP_ID_NOT_FOUND },
  ])
  const left = await beat({ memberEpoch: -1 })
  t.match(left, { errorCode: NONE, memberEpoch: -1 })
})

t.test('a client that chose no id is given one', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  await test.createTopic('orders')
  const { memberId } = await test.client.request(API.ConsumerGroupHeartbeat, 0, {
    groupId: GROUP,
    memberId: '',
    memberEpoch: 0,
    rebalanceTimeoutMs: 10_000,
    subscribedTopicNames: ['orders'],
    topicPartitions: [],
  })
  t.match(memberId, /^[\w-]{22}$/)
})

t.test('metadata that asks for the topic of groups makes it as the coordinator wants it', async t => {
  await using test = await TestBroker.start({ settings: SETTINGS })
  const { topics } = await test.client.request(API.Metadata, 9, {
    topics: [{ name: OFFSETS }],
    allowAutoTopicCreation: true,
  })
  t.equal(topics[0]?.partitions.length, 3)
  t.same(test.broker.context.metadata.image.topic(OFFSETS)?.configs.get('cleanup.policy'), 'compact')
  t.not(test.broker.context.metadata.image.topic(OFFSETS)?.topicId, ZERO_TOPIC_ID)
})

t.test('a group has configs of its own, within what the broker allows', async t => {
  await using test = await TestBroker.start({
    settings: { ...SETTINGS, 'group.consumer.min.heartbeat.interval.ms': 1000 },
  })
  await test.createTopic('orders')
  const groupId = 'a/b ü%'
  const set = async (configs: Readonly<Record<string, string | null>>) => {
    const { responses } = await test.client.request(API.IncrementalAlterConfigs, 1, {
      resources: [
        {
          resourceType: 32,
          resourceName: groupId,
          configs: Object.entries(configs).map(([name, value]) => ({
            name,
            configOperation: value === null ? 1 : 0,
            value,
          })),
        },
      ],
      validateOnly: false,
    })
    return responses[0]
  }
  const described = async () => {
    const { results } = await test.client.request(API.DescribeConfigs, 4, {
      resources: [{ resourceType: 32, resourceName: groupId, configurationKeys: null }],
      includeSynonyms: true,
    })
    return results[0]?.configs.map(({ name, value, configSource }) => [name, value, configSource])
  }
  const beat = async (memberId: string) => {
    const { heartbeatIntervalMs } = await test.client.request(API.ConsumerGroupHeartbeat, 1, {
      groupId,
      memberId,
      memberEpoch: 0,
      rebalanceTimeoutMs: 10_000,
      subscribedTopicNames: ['orders'],
      topicPartitions: [],
    })
    return heartbeatIntervalMs
  }
  const defaults = [
    ['consumer.heartbeat.interval.ms', '5000', 5],
    ['consumer.session.timeout.ms', '45000', 5],
  ]
  t.same(await described(), defaults)
  t.match(await set({ 'consumer.heartbeat.interval.ms': '2000' }), { errorCode: NONE })
  t.same((await described())?.[0], ['consumer.heartbeat.interval.ms', '2000', 8])
  t.equal(await beat('one'), 2000)
  for (const [name, value, message] of [
    ['consumer.heartbeat.interval.ms', '999', /greater than or equal to group.consumer.min/],
    ['consumer.session.timeout.ms', '60001', /less than or equal to group.consumer.max/],
    ['consumer.session.timeout.ms', 'soon', /Not a number/],
    ['consumer.sesion.timeout.ms', '45000', /consumer.session.timeout.ms/],
  ] as const) {
    t.match(await set({ [name]: value }), { errorCode: ErrorCode.INVALID_CONFIG, errorMessage: message })
  }
  await unfold(test.env, test.broker.stop())
  await using again = await TestBroker.start({ disk: test.env.disk, settings: SETTINGS })
  t.equal(again.broker.context.metadata.image.groupConfigs(groupId).configs.size, 1)
})
