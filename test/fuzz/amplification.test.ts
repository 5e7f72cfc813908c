/**
 * Big but well-formed requests, against a broker in a process of its own: as many things in one request as it takes,
 * all different or all the same. Whatever is asked for, the event loop stays free for others, the answer is not out of
 * proportion to the request, and the memory is given back.
 */
import t from 'tap'
import { API, type Api } from '../../client/protocol/apis.ts'
import { encodeBatch } from '../../client/protocol/record.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import { network, type RawClient, WatchedBroker } from './watched-broker.ts'
import { HostilePeer } from './world.ts'

/** A request has 32,768 elements at most; some are spent on what is around these. */
const MANY = 16_000
const FEW = 2000
const PARTITIONS = 1000
/** A busy machine takes two or three times as long as a quiet one; what grows with the square takes seconds. */
const LONGEST_MS = 200
/** Until then code is compiled, and the machine may be busy with others. */
const TRIES = 25
const MOST_MB = 300
const UNKNOWN_ID = 'ffffffffffff4fffbfffffffffffffff' as TopicId
const TOPIC = 2

t.setTimeout(100_000)

const same = <T>(value: T, count = MANY): T[] => new Array<T>(count).fill(value)
const different = <T>(make: (index: number) => T, count = MANY): T[] =>
  Array.from({ length: count }, (_, index) => make(index))

interface Attack {
  readonly what: string
  readonly api: Api
  readonly version: number
  readonly body: object
  /** Bytes of the answer for a byte of the request, at most. */
  readonly ratio?: number
}

function attack(what: string, api: unknown, version: number, body: object, ratio = 10): Attack {
  return { what, api: api as Api, version, body, ratio }
}

function reading(wideId: TopicId): Attack[] {
  const position = { fetchOffset: 0, partitionMaxBytes: 1 << 20 }
  const wait = { maxWaitMs: 0, minBytes: 0, maxBytes: 0x7fff_ffff }
  const fetch = (partitions: object[]) => ({
    ...wait,
    topics: [{ topic: 'wide', topicId: wideId, partitions }],
  })
  const at = (timestamp: number) => (partitionIndex: number) => ({ partitionIndex, timestamp })
  const list = (name: string, partitions: object[]) => ({ replicaId: -1, topics: [{ name, partitions }] })
  const epoch = { currentLeaderEpoch: -1, leaderEpoch: 0 }
  return [
    // What is read is bounded by fetch.max.bytes, whatever the request is.
    attack('one partition again and again', API.Fetch, 12, fetch(same({ partition: 0, ...position })), 100),
    attack('by id', API.Fetch, 17, fetch(same({ partition: 0, ...position })), 100),
    attack(
      'partitions that are not there',
      API.Fetch,
      12,
      fetch(different(partition => ({ partition, ...position }))),
    ),
    attack('topics that are not there', API.Fetch, 12, {
      ...wait,
      topics: different(index => ({ topic: `t-${index}`, partitions: [{ partition: 0, ...position }] })),
    }),
    attack('ids that are not there', API.Fetch, 17, {
      ...wait,
      topics: same({ topicId: UNKNOWN_ID, partitions: [{ partition: 0, ...position }] }),
    }),
    attack('a session of them', API.Fetch, 12, {
      ...fetch(different(partition => ({ partition, ...position }))),
      sessionId: 0,
      sessionEpoch: 0,
      forgottenTopicsData: [{ topic: 'wide', partitions: different(index => index) }],
    }),
    attack('the end', API.ListOffsets, 7, list('wide', same(at(-1)(0)))),
    attack('a time', API.ListOffsets, 7, list('wide', same(at(1000)(0)))),
    attack(
      'times of all',
      API.ListOffsets,
      7,
      list(
        'wide',
        different(i => at(i)(i % PARTITIONS)),
      ),
    ),
    attack('the largest timestamp', API.ListOffsets, 7, list('wide', same(at(-3)(0)))),
    attack('of topics that are not there', API.ListOffsets, 7, {
      replicaId: -1,
      topics: different(index => ({ name: `t-${index}`, partitions: [at(-1)(0)] })),
    }),
    attack('one topic again and again', API.ListOffsets, 7, {
      replicaId: -1,
      topics: same({ name: 'wide', partitions: [at(-1)(0)] }),
    }),
    attack('the same epoch', API.OffsetForLeaderEpoch, 4, {
      replicaId: -1,
      topics: [{ topic: 'wide', partitions: same({ partition: 0, ...epoch }) }],
    }),
    attack('producers', API.DescribeProducers, 0, {
      topics: [{ name: 'wide', partitionIndexes: same(0) }],
    }),
    attack(
      'producers nowhere',
      API.DescribeProducers,
      0,
      {
        topics: [{ name: 'wide', partitionIndexes: different(index => PARTITIONS + index) }],
      },
      40,
    ),
  ]
}

function describing(): Attack[] {
  const resource = (resourceName: string) => ({
    resourceType: TOPIC,
    resourceName,
    configurationKeys: null,
  })
  return [
    attack('a wide topic', API.Metadata, 12, { topics: same({ name: 'wide' }) }),
    attack('topics that are not there', API.Metadata, 12, {
      topics: different(index => ({ name: `t-${index}` })),
      allowAutoTopicCreation: false,
    }),
    attack('a wide topic', API.DescribeTopicPartitions, 0, {
      topics: same({ name: 'wide' }),
      responsePartitionLimit: 0x7fff_ffff,
    }),
    attack('configs of one', API.DescribeConfigs, 4, { resources: same(resource('wide')) }),
    attack(
      'configs that are not there',
      API.DescribeConfigs,
      4,
      { resources: different(index => resource(`t-${index}`)) },
      20,
    ),
    attack('keys that are not there', API.DescribeConfigs, 4, {
      resources: [{ ...resource('wide'), configurationKeys: different(index => `key-${index}`) }],
    }),
    attack('folders of one', API.DescribeLogDirs, 4, { topics: [{ topic: 'wide', partitions: same(0) }] }),
    attack('folders of all', API.DescribeLogDirs, 4, {
      topics: same({ topic: 'wide', partitions: [0, 1, 2] }, 8000),
    }),
  ]
}

function changing(): Attack[] {
  const change = { timeoutMs: 1000, validateOnly: false }
  const set = (name: string) => ({ name, configOperation: 0, value: '1' })
  const resource = (resourceName: string, configs: object[]) => ({
    resourceType: TOPIC,
    resourceName,
    configs,
  })
  const records = encodeBatch([{ value: 'x', timestamp: 1 }])
  const produce = (topicData: object[]) => ({ transactionalId: null, acks: 1, timeoutMs: 1000, topicData })
  const topic = { numPartitions: 1, replicationFactor: -1, assignments: [], configs: [] }
  return [
    attack(
      'to one partition',
      API.Produce,
      9,
      produce([{ name: 'wide', partitionData: same({ index: 0, records }, FEW) }]),
    ),
    attack(
      'to topics that are not there',
      API.Produce,
      9,
      produce(different(index => ({ name: `t-${index}`, partitionData: [{ index: 0, records: null }] }))),
      30,
    ),
    attack(
      'one topic, again and again',
      API.CreateTopics,
      7,
      {
        ...change,
        topics: same({ name: 'again', ...topic }),
      },
      20,
    ),
    attack(
      'invalid names',
      API.CreateTopics,
      7,
      {
        ...change,
        topics: different(index => ({ name: `/${index}`, ...topic })),
      },
      20,
    ),
    attack('a topic of many assignments', API.CreateTopics, 7, {
      ...change,
      topics: [
        {
          ...topic,
          name: 'assigned',
          numPartitions: -1,
          assignments: different(partitionIndex => ({ partitionIndex, brokerIds: [7] }), MANY / 2),
        },
      ],
    }),
    attack('a topic of many configs', API.CreateTopics, 7, {
      ...change,
      topics: [
        { ...topic, name: 'configured', configs: different(i => ({ name: `config-${i}`, value: '1' })) },
      ],
    }),
    attack(
      'partitions of one',
      API.CreatePartitions,
      3,
      {
        ...change,
        topics: same({ name: 'wide', count: PARTITIONS, assignments: null }),
      },
      20,
    ),
    attack(
      'topics that are not there',
      API.DeleteTopics,
      6,
      {
        timeoutMs: 1000,
        topics: different(index => ({ name: `t-${index}`, topicId: '0'.repeat(32) })),
      },
      20,
    ),
    attack('records of one', API.DeleteRecords, 2, {
      timeoutMs: 1000,
      topics: [{ name: 'wide', partitions: same({ partitionIndex: 0, offset: 1 }) }],
    }),
    attack('records of all', API.DeleteRecords, 2, {
      timeoutMs: 1000,
      topics: [
        { name: 'wide', partitions: different(i => ({ partitionIndex: i % PARTITIONS, offset: -1 })) },
      ],
    }),
    attack(
      'configs of topics that are not there',
      API.IncrementalAlterConfigs,
      1,
      {
        resources: different(index => resource(`t-${index}`, [set('retention.ms')])),
        validateOnly: false,
      },
      20,
    ),
    attack('one config', API.IncrementalAlterConfigs, 1, {
      resources: [resource('wide', same(set('retention.ms')))],
      validateOnly: false,
    }),
    attack(
      'one resource',
      API.IncrementalAlterConfigs,
      1,
      {
        resources: same(resource('wide', [set('segment.ms')])),
        validateOnly: false,
      },
      20,
    ),
    attack('configs that are not there', API.AlterConfigs, 2, {
      resources: [
        resource(
          'wide',
          different(index => ({ name: `config-${index}`, value: '1' })),
        ),
      ],
      validateOnly: true,
    }),
  ]
}

function grouping(wideId: TopicId): Attack[] {
  const commit = (topics: object[]) => ({
    groupId: 'g',
    generationIdOrMemberEpoch: -1,
    memberId: '',
    topics,
  })
  const at = (partitionIndex: number) => ({
    partitionIndex,
    committedOffset: 1,
    committedMetadata: partitionIndex === 1 ? 'long'.repeat(1000) : '',
  })
  const ids = different(index => `group-${index}`)
  const join = {
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 10_000,
    memberId: '',
    protocolType: 'consumer',
  }
  return [
    attack('offsets of all', API.OffsetCommit, 8, commit([{ name: 'wide', partitions: different(at) }])),
    attack('one offset', API.OffsetCommit, 8, commit([{ name: 'wide', partitions: same(at(0)) }])),
    attack('one offset', API.OffsetFetch, 8, {
      groups: [{ groupId: 'g', topics: [{ name: 'wide', partitionIndexes: same(1) }] }],
    }),
    attack('one topic again and again', API.OffsetFetch, 10, {
      groups: [
        {
          groupId: 'g',
          topics: [
            ...same({ topicId: wideId, partitionIndexes: [] as number[] }, MANY / 2),
            { topicId: wideId, partitionIndexes: different(index => index, MANY / 2) },
          ],
        },
      ],
    }),
    attack('all of one group', API.OffsetFetch, 8, { groups: same({ groupId: 'g', topics: null }) }),
    attack('groups', API.OffsetFetch, 8, { groups: ids.map(groupId => ({ groupId, topics: null })) }),
    attack('offsets', API.OffsetDelete, 0, {
      groupId: 'g',
      topics: [{ name: 'wide', partitions: different(partitionIndex => ({ partitionIndex })) }],
    }),
    attack('groups', API.DeleteGroups, 2, { groupsNames: ids }),
    attack('groups', API.DescribeGroups, 6, { groups: ids }, 20),
    attack('one group', API.DescribeGroups, 6, { groups: same('g') }, 40),
    attack('groups', API.ConsumerGroupDescribe, 0, { groupIds: ids, includeAuthorizedOperations: true }, 20),
    attack('coordinators', API.FindCoordinator, 4, { keyType: 0, coordinatorKeys: ids }, 20),
    attack('states', API.ListGroups, 5, { statesFilter: ids, typesFilter: [] }),
    attack('protocols', API.JoinGroup, 9, {
      ...join,
      groupId: 'j',
      protocols: different(index => ({ name: `protocol-${index}`, metadata: Buffer.alloc(4) })),
    }),
    attack('assignments', API.SyncGroup, 5, {
      groupId: 's',
      generationId: 1,
      memberId: 'm',
      assignments: different(index => ({ memberId: `m-${index}`, assignment: Buffer.alloc(4) })),
    }),
    attack(
      'members',
      API.LeaveGroup,
      5,
      {
        groupId: 'g',
        members: different(index => ({ memberId: `m-${index}` })),
      },
      20,
    ),
    attack('subscriptions', API.ConsumerGroupHeartbeat, 1, {
      groupId: 'h',
      memberId: 'm',
      memberEpoch: 0,
      rebalanceTimeoutMs: 10_000,
      subscribedTopicNames: different(index => `t-${index}`),
      topicPartitions: [],
    }),
  ]
}

async function prepare(client: RawClient): Promise<TopicId> {
  const { topics } = await client.request(API.CreateTopics, 7, {
    timeoutMs: 10_000,
    topics: [
      { name: 'wide', numPartitions: PARTITIONS, replicationFactor: -1, assignments: [], configs: [] },
    ],
  })
  const records = encodeBatch([{ value: Buffer.alloc(100_000, 'x'), timestamp: 1000 }])
  for (let count = 0; count < 20; count++) {
    await client.request(API.Produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 10_000,
      topicData: [{ name: 'wide', partitionData: [{ index: 0, records }] }],
    })
  }
  return topics[0]!.topicId
}

t.test('big requests cost what they are worth', async t => {
  await using broker = await WatchedBroker.start({ 'auto.create.topics.enable': 'false' })
  const client = await broker.connect()
  const wideId = await prepare(client)
  const before = await broker.vitals(true)
  for (const each of [...reading(wideId), ...describing(), ...changing(), ...grouping(wideId)]) {
    const { what, api, version, body, ratio = 10 } = each
    const name = `${api.name}: ${what}`
    let longestMs = Number.POSITIVE_INFINITY
    for (let tried = 0; tried < TRIES && longestMs > LONGEST_MS; tried++) {
      await broker.vitals(true)
      const { frame, requestBytes } = await client.exchange(api, version, body as never)
      const vitals = await broker.vitals(false)
      longestMs = Math.min(longestMs, vitals.longestMs)
      if (tried === 0) {
        t.ok(frame.length < ratio * requestBytes, `${name}: ${requestBytes} bytes bring ${frame.length}`)
      }
    }
    t.ok(longestMs <= LONGEST_MS, `${name} keeps the event loop for ${longestMs.toFixed(0)} ms`)
  }
  const after = await broker.vitals(true)
  t.ok(after.rssMb - before.rssMb < MOST_MB, `${(after.rssMb - before.rssMb).toFixed(0)} MB are kept`)
  t.ok(after.peakRssMb - before.rssMb < 2 * MOST_MB, `${after.peakRssMb.toFixed(0)} MB at most`)
  t.equal((await client.request(API.Metadata, 12, { topics: [{ name: 'wide' }] })).topics[0]?.errorCode, 0)
  client.destroy()
  t.equal(await broker.stop(), 0, 'and it stops in good order')
})

t.test('frames of 100 MB that come in drops cost what has come of them', async t => {
  await using broker = await WatchedBroker.start()
  const client = await broker.connect()
  const before = await broker.vitals(true)
  const peers: HostilePeer[] = []
  const head = Buffer.alloc(64 * 1024)
  head.writeInt32BE(100 * 1024 * 1024)
  for (let count = 0; count < 50; count++) {
    const peer = new HostilePeer(await network.connect(broker.address, 10_000))
    peer.send(head, null)
    peers.push(peer)
  }
  for (let drop = 0; drop < 100; drop++) {
    for (const peer of peers) peer.send(Buffer.from([drop]), null)
    await client.request(API.Metadata, 12, { topics: [] })
  }
  const { rssMb, longestMs } = await broker.vitals(true)
  t.ok(rssMb - before.rssMb < 100, `${(rssMb - before.rssMb).toFixed(0)} MB for 3 MB that came`)
  t.ok(longestMs < LONGEST_MS, `${longestMs.toFixed(0)} ms`)
  for (const peer of peers) peer.destroy()
  client.destroy()
  t.equal(await broker.stop(), 0)
})
