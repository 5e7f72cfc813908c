import t from 'tap'
import {
  controllerId,
  leadershipOf,
  nodeEndpoints,
  servingNode,
  servingNodes,
} from '../../../broker/api/brokers.ts'
import { type BrokerContext } from '../../../broker/api/context.ts'
import { describeClusterHandler } from '../../../broker/api/describe-cluster.ts'
import { describeTopicPartitionsHandler } from '../../../broker/api/describe-topic-partitions.ts'
import { metadataHandler } from '../../../broker/api/metadata.ts'
import { BrokerConfig } from '../../../broker/config/broker-config.ts'
import { ClusterImage } from '../../../broker/controller/image.ts'
import { type ControllerRecord, type PartitionRecord } from '../../../broker/controller/records.ts'
import { type ConnectionInfo, type RequestContext } from '../../../broker/server/handler.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'

const TOPIC = '00000000000040008000000000000001' as TopicId

/** Three brokers, of which `fenced` are kept out; broker 3 has no listener for clients outside. */
class World {
  readonly image = new ClusterImage()
  #revision = 0

  constructor() {
    for (const broker of [1, 2, 3]) this.register(broker, broker !== 3)
    this.apply({ type: 'controller', broker: 2, term: 5, lease: '1' })
    this.apply({ type: 'topic', topicId: TOPIC, name: 'orders', partitionCount: 1, configs: {} })
    this.apply({ type: 'topic-name', name: 'orders', topicId: TOPIC })
    this.partition({})
  }

  apply(record: ControllerRecord): void {
    this.image.apply(record, ++this.#revision)
  }

  register(broker: number, hasOutside: boolean): void {
    const inside = { listener: 'PLAINTEXT', host: '10.0.0.1', port: 9000 + broker }
    const outside = { listener: 'OUTSIDE', host: 'example.com', port: 19_000 + broker }
    const brokerEpoch = 100 + broker
    this.apply({
      type: 'broker-registered',
      broker,
      brokerEpoch,
      lease: '1',
      incarnation: 'a',
      folder: `folder-${broker}`,
      endpoints: hasOutside ? [inside, outside] : [inside],
      rack: `rack-${broker}`,
      cleanEpoch: -1,
    })
    this.state(broker, {})
  }

  state(broker: number, said: { fenced?: boolean; shuttingDown?: boolean }): void {
    const brokerEpoch = this.image.brokers.epochOf(broker)
    const { fenced = false, shuttingDown = false } = said
    this.apply({ type: 'broker-state', broker, brokerEpoch, incarnation: 'a', fenced, shuttingDown })
  }

  partition(change: Partial<PartitionRecord>): void {
    const usual = { topicId: TOPIC, partition: 0, leader: 1, leaderEpoch: 4, partitionEpoch: 7 }
    const replicas = {
      replicas: [1, 2, 3],
      isr: [1, 2],
      elr: [3],
      lastKnownElr: [],
      adding: [],
      removing: [],
    }
    this.apply({ type: 'partition', ...usual, ...replicas, ...change })
  }

  /** As broker `brokerId` knows it. */
  context(brokerId: number, offline: readonly string[] = []): BrokerContext {
    const has = (topicId: string, partition: number): boolean => offline.includes(`${topicId}/${partition}`)
    const context = {
      brokerId,
      clusterId: 'cluster',
      config: BrokerConfig.of(),
      metadata: { isAlone: false, image: this.image },
      partitions: {
        offline: { has, hasTopic: (topicId: string) => offline.some(key => key.startsWith(topicId)) },
      },
    }
    return context as unknown as BrokerContext
  }
}

function client(listenerName: string): ConnectionInfo {
  return { listenerName } as ConnectionInfo
}

function request(apiVersion: number, listenerName = 'PLAINTEXT'): RequestContext {
  return { apiVersion, connection: client(listenerName) } as RequestContext
}

const INSIDE = client('PLAINTEXT')
const OUTSIDE = client('OUTSIDE')

t.test('clients are told of the brokers by the listener that they came by', async t => {
  const context = new World().context(1)
  t.same(servingNode(context, INSIDE, 2), { brokerId: 2, host: '10.0.0.1', port: 9002, rack: 'rack-2' })
  t.same(servingNode(context, OUTSIDE, 2), { brokerId: 2, host: 'example.com', port: 19_002, rack: 'rack-2' })
  t.same(
    servingNodes(context, INSIDE).map(({ brokerId }) => brokerId),
    [1, 2, 3],
  )
  t.same(
    servingNodes(context, OUTSIDE).map(({ brokerId }) => brokerId),
    [1, 2],
    'broker 3 has no such listener',
  )
})

t.test('a broker that is fenced or gone is not named; one that is about to leave still is', async t => {
  const world = new World()
  const context = world.context(1)
  world.state(2, { fenced: true })
  t.equal(servingNode(context, INSIDE, 2), null)
  world.state(2, { shuttingDown: true })
  t.not(servingNode(context, INSIDE, 2), null, 'it leads until somebody else does')
  world.apply({ type: 'broker-gone', broker: 2 })
  t.equal(servingNode(context, INSIDE, 2), null)
  world.register(2, true)
  t.not(servingNode(context, INSIDE, 2), null)
})

t.test('the controller is the elected one; while there is none, the first broker that serves', async t => {
  const world = new World()
  t.equal(controllerId(world.context(1)), 2)
  t.equal(controllerId(world.context(3)), 2, 'every broker gives the same answer')
  world.apply({ type: 'controller-gone' })
  world.state(1, { fenced: true })
  t.equal(controllerId(world.context(1)), 2)
  for (const broker of [2, 3]) world.state(broker, { fenced: true })
  t.equal(controllerId(world.context(1)), -1)
})

t.test('who leads a partition depends on who serves', async t => {
  const world = new World()
  const lead = (listener: ConnectionInfo, context = world.context(1)) =>
    leadershipOf(
      context,
      listener,
      context.metadata.image.topic('orders')!,
      world.image.topic('orders')!.partitions[0]!,
    )
  t.same(lead(INSIDE), { errorCode: ErrorCode.NONE, leaderId: 1, offlineReplicas: [] })
  t.same(lead(OUTSIDE), { errorCode: ErrorCode.NONE, leaderId: 1, offlineReplicas: [3] })
  world.partition({ leader: 3 })
  t.same(lead(OUTSIDE), { errorCode: ErrorCode.LISTENER_NOT_FOUND, leaderId: -1, offlineReplicas: [3] })
  world.state(3, { fenced: true })
  t.same(lead(INSIDE), { errorCode: ErrorCode.LEADER_NOT_AVAILABLE, leaderId: -1, offlineReplicas: [3] })
  world.partition({ leader: -1 })
  t.same(lead(INSIDE), { errorCode: ErrorCode.LEADER_NOT_AVAILABLE, leaderId: -1, offlineReplicas: [3] })
  world.partition({ leader: 2 })
  const damaged = world.context(2, [`${TOPIC}/0`])
  t.same(lead(INSIDE, damaged), {
    errorCode: ErrorCode.LEADER_NOT_AVAILABLE,
    leaderId: -1,
    offlineReplicas: [2, 3],
  })
})

t.test('endpoints of leaders are told once each, and only where they can be reached', async t => {
  const context = new World().context(1)
  t.same(nodeEndpoints(context, OUTSIDE, [2, 3, 2, -1]), [
    { nodeId: 2, host: 'example.com', port: 19_002, rack: 'rack-2' },
  ])
})

t.test('Metadata and DescribeTopicPartitions follow the brokers, not only the topic', async t => {
  const world = new World()
  const context = world.context(1)
  const topics = [{ topicId: ZERO_TOPIC_ID, name: 'orders' }]
  const asked = {
    topics,
    allowAutoTopicCreation: false,
    includeClusterAuthorizedOperations: false,
    includeTopicAuthorizedOperations: false,
  }
  const metadata = () => metadataHandler(context).handle(asked, request(12))
  t.match(metadata(), { controllerId: 2, brokers: [{ nodeId: 1 }, { nodeId: 2 }, { nodeId: 3 }] })
  t.match(metadata(), { topics: [{ partitions: [{ leaderId: 1, isrNodes: [1, 2], offlineReplicas: [] }] }] })
  world.apply({ type: 'broker-gone', broker: 1 })
  const leaderless = { errorCode: ErrorCode.LEADER_NOT_AVAILABLE, leaderId: -1, offlineReplicas: [1] }
  t.match(metadata(), { brokers: [{ nodeId: 2 }, { nodeId: 3 }], topics: [{ partitions: [leaderless] }] })
  const described = describeTopicPartitionsHandler(context).handle(
    { topics: [{ name: 'orders' }], responsePartitionLimit: 10, cursor: null },
    request(0),
  )
  t.match(described, {
    topics: [{ partitions: [{ ...leaderless, eligibleLeaderReplicas: [3], lastKnownElr: [] }] }],
  })
})

t.test('DescribeCluster tells of fenced brokers where it is asked to (KIP-1073)', async t => {
  const world = new World()
  world.state(2, { fenced: true })
  world.apply({ type: 'broker-gone', broker: 3 })
  const ask = (includeFencedBrokers: boolean) =>
    describeClusterHandler(world.context(1)).handle(
      { includeClusterAuthorizedOperations: false, endpointType: 1, includeFencedBrokers },
      request(2),
    )
  const first = { brokerId: 1, host: '10.0.0.1', port: 9001, rack: 'rack-1', isFenced: false }
  t.match(ask(false), { controllerId: 1, brokers: [first] })
  t.same((ask(true) as { brokers: unknown }).brokers, [
    first,
    { brokerId: 2, host: '10.0.0.1', port: 9002, rack: 'rack-2', isFenced: true },
    { brokerId: 3, host: '', port: -1, rack: null, isFenced: true },
  ])
})
