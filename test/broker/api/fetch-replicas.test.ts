/**
 * Fetch among several brokers: who counts as a replica, where the wrong broker sends a client, and consumers that read
 * in their own rack (KIP-392).
 */
import t, { type Test } from 'tap'
import { RACK_AWARE_SELECTOR } from '../../../broker/config/replication-configs.ts'
import { createNodeLog } from '../../../broker/env-node/log.ts'
import { createNodeEnv } from '../../../broker/env-node.ts'
import { linkMemory } from '../../../broker/link-memory.ts'
import { BrokerLink } from '../../../broker/runtime/broker-link.ts'
import { createSlabPool } from '../../../broker/server/server.ts'
import { startCluster, type TestCluster } from '../../../broker/testing.ts'
import { API } from '../../../client/protocol/apis.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { type FetchResponse } from '../../../client/protocol/messages/fetch.ts'
import { decodeRecords } from '../../../client/protocol/record.ts'

const env = createNodeEnv({ log: createNodeLog({ level: 'error' }) })
const RACKS = ['north', 'south', 'west']

interface Ask {
  readonly offset?: number
  readonly rackId?: string
  readonly replica?: { readonly replicaId: number; readonly replicaEpoch: number }
  readonly maxWaitMs?: number
  readonly topic?: string
}

async function start(t: Test, configs: Record<string, string> = {}): Promise<TestCluster> {
  const topics = {
    everywhere: { partitions: 1, replicationFactor: 3 },
    'in-one-place': { partitions: 1, replicationFactor: 1 },
  }
  const cluster = await startCluster({ brokers: 3, racks: RACKS, topics, configs })
  t.teardown(() => cluster.stop())
  return cluster
}

function open(t: Test, cluster: TestCluster, brokerId: number): Promise<BrokerLink> {
  return new Promise((resolve, reject) => {
    const link = BrokerLink.open({
      env,
      memory: linkMemory(createSlabPool()),
      address: cluster.broker(brokerId).broker.address,
      clientId: 'test',
      connectTimeoutMs: 5000,
      maxFrameBytes: 1 << 24,
      onReady: () => resolve(link),
      onEnded: reject,
    })
    t.teardown(() => link.close())
  })
}

type Answer = FetchResponse['responses'][number]['partitions'][number]

/** One fetch of partition 0, in the newest version. */
async function fetch(t: Test, cluster: TestCluster, brokerId: number, ask: Ask = {}) {
  const link = await open(t, cluster, brokerId)
  const { topic: name = 'everywhere', offset = 0, rackId = '', replica, maxWaitMs = 0 } = ask
  const topic = cluster.broker(brokerId).broker.context.metadata.image.topic(name)!
  const currentLeaderEpoch = topic.partitions[0]!.leaderEpoch
  const partition = { partition: 0, fetchOffset: offset, partitionMaxBytes: 1 << 20, currentLeaderEpoch }
  const request = {
    maxWaitMs,
    minBytes: 1,
    rackId,
    topics: [{ topicId: topic.topicId, partitions: [partition] }],
    ...(replica === undefined ? {} : { replicaState: replica }),
  }
  const response = await new Promise<FetchResponse>((resolve, reject) => {
    link.send(API.Fetch, request, { timeoutMs: 10_000 }, { answered: resolve, failed: reject })
  })
  return { response, answer: response.responses[0]!.partitions[0]! }
}

function values({ records }: Answer): string[] {
  return records!.length === 0 ? [] : decodeRecords(records!).map(({ value }) => String(value))
}

t.test('among several brokers', async t => {
  const cluster = await start(t)
  await cluster.produce('everywhere', ['a'])
  const leader = cluster.leaderOf('everywhere')!
  const [follower = -1] = [1, 2, 3].filter(broker => broker !== leader)
  const brokerEpoch = (broker: number): number =>
    cluster.broker(leader).broker.context.metadata.image.brokers.epochOf(broker)

  await t.test('who is no replica, or another process of one, reads nothing', async t => {
    const pretend = async (replicaId: number, replicaEpoch: number): Promise<string> => {
      const { answer } = await fetch(t, cluster, leader, { replica: { replicaId, replicaEpoch } })
      t.same(values(answer), [])
      return errorName(answer.errorCode)
    }
    t.equal(await pretend(9, 1), 'UNKNOWN_LEADER_EPOCH')
    t.equal(await pretend(follower, brokerEpoch(follower) - 1), 'STALE_BROKER_EPOCH')
  })

  await t.test('a replica is not served by another follower', async t => {
    const replica = { replicaId: leader, replicaEpoch: brokerEpoch(leader) }
    const { answer } = await fetch(t, cluster, follower, { replica })
    t.equal(errorName(answer.errorCode), 'NOT_LEADER_OR_FOLLOWER')
  })

  await t.test('a broker without the partition names the leader and where it is', async t => {
    const owner = cluster.leaderOf('in-one-place')!
    const [other = -1] = [1, 2, 3].filter(broker => broker !== owner)
    const { answer, response } = await fetch(t, cluster, other, { topic: 'in-one-place' })
    t.equal(errorName(answer.errorCode), 'NOT_LEADER_OR_FOLLOWER')
    t.equal(answer.currentLeader.leaderId, owner)
    const { port } = cluster.broker(owner).broker.address
    t.match(response.nodeEndpoints, [{ nodeId: owner, port, rack: RACKS[owner - 1] }])
  })

  await t.test('without a selector nobody is sent elsewhere', async t => {
    const { answer } = await fetch(t, cluster, leader, { rackId: RACKS[follower - 1]! })
    t.equal(answer.preferredReadReplica, -1)
    t.same(values(answer), ['a'])
  })
})

t.test('with a rack-aware selector', async t => {
  const cluster = await start(t, { 'replica.selector.class': RACK_AWARE_SELECTOR })
  await cluster.produce('everywhere', ['a'])
  const leader = cluster.leaderOf('everywhere')!
  const [follower = -1] = [1, 2, 3].filter(broker => broker !== leader)
  const rackId = RACKS[follower - 1]!

  await t.test('a consumer is sent to the replica in its rack, without records and at once', async t => {
    const { answer } = await fetch(t, cluster, leader, { rackId, maxWaitMs: 5000 })
    t.equal(answer.preferredReadReplica, follower)
    t.same([answer.errorCode, values(answer), answer.highWatermark], [0, [], 1])
  })

  await t.test('which serves it what is committed, and wakes it for more', async t => {
    const first = await fetch(t, cluster, follower, { rackId, maxWaitMs: 5000 })
    t.same(values(first.answer), ['a'])
    const waiting = fetch(t, cluster, follower, { rackId, offset: 1, maxWaitMs: 5000 })
    const startMs = performance.now()
    await cluster.produce('everywhere', ['b'])
    t.same(values((await waiting).answer), ['b'])
    t.ok(performance.now() - startMs < 400, 'the leader does not hold back what is committed')
  })

  await t.test(
    'who is in the rack of the leader, in none, or in one without a replica, reads from it',
    async t => {
      for (const rack of [RACKS[leader - 1]!, '', 'east']) {
        const { answer } = await fetch(t, cluster, leader, { rackId: rack })
        t.same([answer.preferredReadReplica, values(answer)], [-1, ['a']])
      }
    },
  )
})
