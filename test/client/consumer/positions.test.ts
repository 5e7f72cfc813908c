/**
 * What is made of the answers when logs are compared after a change of leader.
 */
import t, { type Test } from 'tap'
import { Cluster } from '../../../client/cluster.ts'
import { resolveConfig } from '../../../client/config.ts'
import { ConsumerPartition } from '../../../client/consumer/partition.ts'
import { compareWithLeaders } from '../../../client/consumer/positions.ts'
import { nodeEnv } from '../../../client/env-node.ts'
import { type OffsetForLeaderEpochRequest } from '../../../client/protocol/messages/offset-for-leader-epoch.ts'
import { until } from '../../helpers/until.ts'
import { FakeCluster } from '../fake-cluster.ts'

/** A partition of 20 records whose leader has begun epoch 1, and a client that knows. */
async function moved(t: Test): Promise<{ fake: FakeCluster; cluster: Cluster }> {
  const fake = await FakeCluster.start({ topics: { orders: 1 } })
  const cluster = new Cluster(resolveConfig({ brokers: fake.bootstrap }), nodeEnv)
  t.teardown(async () => {
    cluster.close()
    await fake.close()
  })
  fake.partition('orders').endOffset = 20
  fake.moveLeader('orders', 0, 0)
  await cluster.topic('orders')
  return { fake, cluster }
}

/** What a consumer has read of it, in epoch 0. */
function atTheEnd(): ConsumerPartition {
  const partition = new ConsumerPartition('orders', 0, 1000)
  partition.moveTo(20)
  partition.fetchedEpoch = 0
  return partition
}

t.test('an answer says nothing of what was fetched after the question', async t => {
  const { fake, cluster } = await moved(t)
  let answer = (): void => {}
  const answering = new Promise<undefined>(resolve => {
    answer = () => resolve(undefined)
  })
  fake.intercept = ({ api }) => (api === 'OffsetForLeaderEpoch' ? answering : undefined)
  const partition = atTheEnd()
  const comparing = compareWithLeaders([partition], { cluster, isolation: 'read_uncommitted' })
  await until(() => fake.count('OffsetForLeaderEpoch') === 1, 'the leader is asked')
  // A fetch that was under way brings records of the new epoch: epoch 0 still ends at 20.
  partition.position = 28
  partition.fetchOffset = 28
  partition.fetchedEpoch = 1
  answer()
  t.same(await comparing, [], 'nothing was cut back')
  t.equal(partition.agreedEpoch, -1, 'and the question is to be asked again')
})

t.test('a leader that moves while it is asked is asked again under the epoch that it has then', async t => {
  const { fake, cluster } = await moved(t)
  const asked: number[] = []
  fake.intercept = ({ api, body }) => {
    if (api !== 'OffsetForLeaderEpoch') return undefined
    const { currentLeaderEpoch } = (body as OffsetForLeaderEpochRequest).topics[0]!.partitions[0]!
    asked.push(currentLeaderEpoch)
    // The first question meets a leader that has just begun a new epoch.
    if (asked.length === 1) fake.moveLeader('orders', 0, 0)
    return undefined
  }
  const partition = atTheEnd()
  t.same(await compareWithLeaders([partition], { cluster, isolation: 'read_uncommitted' }), [])
  t.equal(asked[0], 1)
  t.equal(asked.at(-1), 2)
  t.equal(partition.agreedEpoch, 2)
})
