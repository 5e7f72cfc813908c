import t from 'tap'
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { ClusterWorld, type Node } from './cluster-world.ts'

const IDS = [1, 2, 3]

t.test('one broker controls; when it is gone another one does, in a later term', async t => {
  const world = new ClusterWorld()
  await world.startAll(...IDS)
  const [first] = world.controllers()
  t.equal(world.controllers().length, 1)
  const before = first!.metadata.image.brokers
  const { term } = before.controller!
  t.equal(before.controllerEpoch.epoch, 1)
  world.kill(first!.id)
  const [next] = world.nodes.values()
  await world.endLease(first!.id, next!)
  const tookMs = await world.until(() => world.controllers().length === 1)
  t.ok(tookMs < 200, `${tookMs} ms`)
  const { controller, controllerEpoch } = next!.metadata.image.brokers
  t.ok(controller!.term > term)
  t.equal(controllerEpoch.epoch, 2)
  await world.until(() => next!.metadata.image.brokers.state(first!.id)!.fenced)
})

t.test('a controller that stops gives the office back at once', async t => {
  const world = new ClusterWorld()
  await world.startAll(...IDS)
  const [first] = world.controllers()
  await world.settled(first!.controller.close())
  const tookMs = await world.until(() => world.controllers().length === 1)
  t.not(world.controllers()[0], first)
  t.ok(tookMs < 200, `${tookMs} ms`)
})

t.test('5,000 partitions of a dead broker are led by others within two seconds', async t => {
  const world = new ClusterWorld()
  await world.startAll(...IDS)
  const [controller] = world.controllers()
  const dead = IDS.find(id => id !== controller!.id)!
  const others = IDS.filter(id => id !== dead)
  const partitions = Array.from({ length: 5000 }, () => ({ replicas: [dead, ...others] }))
  await world.createTopic(controller!, partitions)
  await world.pass(500)
  const { revision } = controller!.metadata
  world.kill(dead)
  const startMs = world.nowMs
  await world.endLease(dead, controller!)
  await world.until(() => world.partitions(controller!).every(({ leader }) => leader === others[0]))
  t.ok(world.nowMs - startMs < 1000, `${world.nowMs - startMs} ms`)
  await world.pass(500)
  const transactions = controller!.metadata.revision - revision
  t.ok(transactions < 60, `${transactions} transactions`)
})

t.test('a controller that was asleep while another one took over changes nothing', async t => {
  const world = new ClusterWorld()
  await world.startAll(1, 2, 3, 4)
  const [zombie] = world.controllers()
  const awake = [...world.nodes.values()].filter(node => node !== zombie)
  const [by, victim] = awake
  await world.createTopic(
    by!,
    Array.from({ length: 200 }, () => ({ replicas: [victim!.id, by!.id] })),
  )
  zombie!.process.pause()
  world.kill(victim!.id)
  await world.endLease(victim!.id, by!)
  await world.until(() => world.partitions(by!).every(({ leader }) => leader === by!.id))
  const { partitionEpoch } = world.partitions(by!)[0]!
  zombie!.process.resume()
  await world.pass(10_000)
  t.equal(world.controllers().length, 1)
  t.not(world.controllers()[0], zombie)
  t.ok(world.partitions(by!).every(partition => partition.partitionEpoch === partitionEpoch))
  await world.until(() => by!.metadata.image.brokers.isActive(zombie!.id))
})

t.test('leadership goes back to preferred brokers from time to time', async t => {
  const world = new ClusterWorld()
  const nodes: Node[] = []
  for (const id of IDS) {
    nodes.push(await world.start(id, { settings: { 'leader.imbalance.check.interval.seconds': 20 } }))
  }
  await world.until(() => IDS.every(id => nodes[0]!.metadata.image.brokers.isActive(id)))
  await world.createTopic(nodes[0]!, [{ leader: 2 }, { leader: 3 }, { leader: 1 }])
  await world.pass(15_000)
  t.same(
    world.partitions(nodes[0]!).map(({ leader }) => leader),
    [2, 3, 1],
  )
  await world.pass(10_000)
  t.same(
    world.partitions(nodes[0]!).map(({ leader }) => leader),
    [1, 1, 1],
  )
})

t.test('what was left behind is swept up after a while, and the history is kept short', async t => {
  const world = new ClusterWorld()
  const [node] = await world.startAll(1)
  await world.createTopic(node!, [{ replicas: [1] }])
  const { partition, ...rest } = world.partitions(node!)[0]!
  const orphan = { type: 'partition' as const, ...rest, partition: partition + 1 }
  await world.settled(node!.metadata.perform({ conditions: [], records: [orphan] }))
  await world.pass(300_000)
  t.equal(node!.metadata.image.orphans().length, 1, 'it might be that somebody is making it')
  await world.pass(500_000)
  t.equal(node!.metadata.image.orphans().length, 0)
  const { revision } = node!.metadata
  await world.pass(4_000_000)
  const watch = node!.store.watch({ prefix: '' }, 2, {
    changed: () => {},
    ended: ({ code }) => (ended = code),
  })
  let ended = ''
  await world.until(() => ended !== '')
  t.equal(ended, 'COMPACTED')
  t.equal(node!.metadata.revision, revision, 'a cluster at rest writes nothing')
  watch.cancel()
  t.same(world.fatal, [])
})

t.test(
  'through lost answers, cuts, pauses, deaths and a store without a leader the cluster comes to rest',
  async t => {
    for (let seed = 1; seed <= 25; seed++) {
      const world = new ClusterWorld(seed)
      const random = new SeededRandom(seed)
      const [node] = await world.startAll(...IDS)
      await world.createTopic(
        node!,
        Array.from({ length: 150 }, (_, index) => ({
          replicas: [0, 1, 2].map(shift => IDS[(index + shift) % 3]!),
        })),
      )
      for (let step = 0; step < 12; step++) {
        await disturb(world, random)
        await world.pass(random.int(3000))
      }
      world.meta.network.heal()
      for (const { process } of world.nodes.values()) process.resume()
      for (const id of IDS) if (!world.nodes.has(id)) await world.start(id)
      const [by] = world.nodes.values()
      const { image } = by!.metadata
      await world.until(() => IDS.every(id => image.brokers.isActive(id)), 60_000)
      await world.until(() => world.controllers().length === 1)
      await world.pass(5000)
      t.ok(
        world.partitions(by!).every(({ leader, isr }) => leader !== -1 && isr.includes(leader)),
        `seed ${seed}: everything is led`,
      )
      const { revision } = by!.metadata
      await world.pass(20_000)
      t.equal(by!.metadata.revision, revision, `seed ${seed}: nothing is written any more`)
      t.same(world.fatal, [])
    }
  },
)

async function disturb(world: ClusterWorld, random: SeededRandom): Promise<void> {
  const ids = [...world.nodes.keys()]
  const id = ids[random.int(ids.length)]
  const node = id === undefined ? undefined : world.nodes.get(id)!
  const { network, server } = world.meta
  switch (random.int(7)) {
    case 0:
      if (id !== undefined) world.kill(id)
      return
    case 1:
      for (const other of IDS) if (!world.nodes.has(other)) await world.start(other)
      return
    case 2:
      if (node !== undefined) network.cut(node.process.host, server.host)
      return
    case 3:
      if (node !== undefined) network.cut(server.host, node.process.host)
      return
    case 4:
      network.heal()
      return
    case 5:
      if (random.int(2) === 0) node?.process.pause()
      else node?.process.resume()
      return
    default:
      server.loseLeader(random.int(2000))
  }
}
