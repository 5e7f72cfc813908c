import t from 'tap'
import { type IsrProposal } from '../../../broker/runtime/partition-types.ts'
import { ClusterWorld, type Node } from './cluster-world.ts'

async function started(partitions: number, seed = 1): Promise<{ world: ClusterWorld; leader: Node }> {
  const world = new ClusterWorld(seed)
  const nodes = await world.startAll(1, 2, 3)
  const leader = nodes.find(({ controller }) => !controller.isController)!
  const others = [1, 2, 3].filter(id => id !== leader.id)
  await world.createTopic(
    leader,
    Array.from({ length: partitions }, () => ({ replicas: [leader.id, ...others], isr: [leader.id] })),
  )
  await world.pass(500)
  return { world, leader }
}

function proposal(world: ClusterWorld, node: Node, partition: number, add: readonly number[]): IsrProposal {
  const { topicId, leaderEpoch, revision, isr } = world.partitions(node)[partition]!
  const members = [...isr, ...add].map(broker => ({
    broker,
    brokerEpoch: node.metadata.image.brokers.epochOf(broker),
  }))
  return { topicId, partition, leaderEpoch, revision, isr: members } as unknown as IsrProposal
}

t.test('what leaders propose in one turn is written together, and each is answered', async t => {
  const { world, leader } = await started(1000)
  const [other] = [1, 2, 3].filter(id => id !== leader.id)
  const { revision } = leader.metadata
  for (let partition = 0; partition < 1000; partition++) {
    leader.isr.propose(proposal(world, leader, partition, [other!]))
  }
  await world.until(() => leader.decided.length === 1000, 1000)
  t.ok(world.partitions(leader).every(({ isr }) => isr.length === 2))
  t.ok(leader.metadata.revision - revision <= 10, `${leader.metadata.revision - revision} transactions`)
  t.ok(
    leader.decided.every(
      decision => decision.revision === world.partitions(leader)[decision.proposal.partition]!.revision,
    ),
  )
})

t.test('one that is refused is told so, and does not hold up the others', async t => {
  const { world, leader } = await started(3)
  const [a, b] = [1, 2, 3].filter(id => id !== leader.id)
  const good = [proposal(world, leader, 0, [a!]), proposal(world, leader, 2, [a!])]
  const stale = proposal(world, leader, 1, [b!])
  const former = stale.isr.map(member => (member.broker === b ? { ...member, brokerEpoch: 1 } : member))
  leader.isr.propose(good[0]!)
  leader.isr.propose({ ...stale, isr: former })
  leader.isr.propose(good[1]!)
  await world.until(() => leader.decided.length === 3)
  t.equal(leader.decided.find(decision => decision.proposal.partition === 1)?.revision, null)
  t.same(
    world.partitions(leader).map(({ isr }) => isr.length),
    [2, 1, 2],
  )
})

t.test(
  'a proposal that the partition has outrun is not answered: its leader hears of what came instead',
  async t => {
    const { world, leader } = await started(2)
    const [a, b] = [1, 2, 3].filter(id => id !== leader.id)
    const late = proposal(world, leader, 0, [b!])
    leader.isr.propose(proposal(world, leader, 0, [a!]))
    await world.until(() => leader.decided.length === 1)
    leader.isr.propose(late)
    leader.isr.propose(proposal(world, leader, 1, [a!]))
    await world.until(() => leader.decided.length === 2)
    await world.pass(1000)
    t.equal(leader.decided.length, 2)
  },
)

t.test('nobody is told anything while it is not certain what became of a change', async t => {
  for (const [seed, isCutThere] of [
    [11, true],
    [12, false],
  ] as const) {
    const { world, leader } = await started(200, seed)
    const [other] = [1, 2, 3].filter(id => id !== leader.id)
    const { network, server } = world.meta
    // Within the life of the lease, so that the broker stays what it is.
    const heal = isCutThere
      ? network.cut(leader.process.host, server.host)
      : network.cut(server.host, leader.process.host)
    for (let partition = 0; partition < 200; partition++) {
      leader.isr.propose(proposal(world, leader, partition, [other!]))
    }
    await world.pass(1000)
    t.equal(leader.decided.length, 0)
    heal()
    await world.pass(20_000)
    const now = world.partitions(leader)
    const refused = leader.decided.filter(({ revision }) => revision === null)
    t.ok(
      refused.every(decision => now[decision.proposal.partition]!.revision === decision.proposal.revision),
      'what is called refused has not happened',
    )
    t.ok(now.every(({ isr, leader: id }) => isr.length === 2 || id !== leader.id))
    t.same(world.fatal, [])
  }
})
