import t from 'tap'
import { ClusterWorld } from './cluster-world.ts'

t.test('a broker is registered under an epoch of its own, and let in', async t => {
  const world = new ClusterWorld()
  const [first, second] = await world.startAll(1, 2)
  const { brokers } = first!.metadata.image
  t.equal(brokers.epochOf(1), first!.membership.brokerEpoch)
  t.equal(brokers.epochOf(2), second!.membership.brokerEpoch)
  t.not(brokers.epochOf(1), brokers.epochOf(2))
  t.match(brokers.get(2), { folder: 'folder-2', cleanEpoch: -1, lease: second!.membership.lease })
})

t.test(
  'a registration stays as long as it is renewed, and no longer is served than it surely stays',
  async t => {
    const world = new ClusterWorld()
    const [node] = await world.startAll(1)
    const { membership, process, metadata } = node!
    const epoch = membership.brokerEpoch
    for (let second = 0; second < 20; second++) {
      await world.pass(1000)
      t.ok(membership.servingUntilMs() > process.monotonicMs() + 1000)
      t.ok(membership.servingUntilMs() < process.monotonicMs() + 2000)
    }
    t.equal(membership.brokerEpoch, epoch)
    const lost: number[] = []
    membership.onLost(() => lost.push(world.nowMs))
    const heal = world.meta.network.cut(process.host, world.meta.server.host)
    const watching = await world.start(2)
    await world.until(() => watching.metadata.image.brokers.get(1) === undefined)
    t.ok(
      membership.servingUntilMs() < process.monotonicMs(),
      'it did not serve any more when others saw it go',
    )
    heal()
    await world.until(() => membership.brokerEpoch > epoch)
    t.equal(lost.length, 1)
    const known = metadata.image.brokers.state(1)
    t.equal(
      metadata.image.brokers.get(1)?.cleanEpoch,
      epoch,
      'it has lost nothing that the cluster counts on',
    )
    await world.until(() => metadata.image.brokers.isActive(1))
    t.equal(known?.brokerEpoch === epoch || known?.brokerEpoch === membership.brokerEpoch, true)
    t.same(world.fatal, [])
  },
)

t.test('a registration that somebody has ended is made anew at once', async t => {
  const world = new ClusterWorld()
  const [one, two] = await world.startAll(1, 2)
  const epoch = two!.membership.brokerEpoch
  let told = -1
  two!.membership.onRegistered(brokerEpoch => (told = brokerEpoch))
  await world.endLease(2, one!)
  const tookMs = await world.until(() => one!.metadata.image.brokers.epochOf(2) > epoch)
  t.ok(tookMs < 200, `${tookMs} ms`)
  t.equal(told, two!.membership.brokerEpoch)
})

t.test('a broker that was killed takes over from its former self at once', async t => {
  const world = new ClusterWorld()
  const [one, two] = await world.startAll(1, 2)
  const epoch = two!.membership.brokerEpoch
  world.kill(2)
  await world.start(2)
  const tookMs = await world.until(() => one!.metadata.image.brokers.epochOf(2) > epoch)
  t.ok(tookMs < 200, `${tookMs} ms`)
  t.equal(one!.metadata.image.brokers.get(2)?.cleanEpoch, -1)
})

t.test('another data folder has to wait until the registration has run out, and says so', async t => {
  const world = new ClusterWorld()
  const [one] = await world.startAll(1, 2)
  const other = await world.start(2, { folder: 'elsewhere' })
  await world.pass(10_000)
  t.equal(one!.metadata.image.brokers.get(2)?.folder, 'folder-2')
  t.equal(other.membership.brokerEpoch, -1)
  t.ok(other.log.lines.some(({ message }) => message.includes('needs another node.id')))
  t.same(world.fatal, [])
})

t.test('a clean epoch is announced where it is the one that the cluster counts on', async t => {
  const world = new ClusterWorld()
  const [one, two] = await world.startAll(1, 2)
  const epoch = two!.membership.brokerEpoch
  t.equal(two!.membership.epochForMarker, epoch)
  await world.settled(two!.membership.close(true))
  world.kill(2)
  await world.until(() => one!.metadata.image.brokers.state(2)!.fenced)
  await world.start(2, { cleanEpoch: epoch })
  await world.until(() => one!.metadata.image.brokers.isActive(2))
  t.equal(one!.metadata.image.brokers.get(2)?.cleanEpoch, epoch)
  world.kill(2)
  await world.start(2, { cleanEpoch: epoch })
  await world.until(
    () => one!.metadata.image.brokers.isActive(2) && one!.metadata.image.brokers.get(2)!.cleanEpoch === -1,
  )
})

t.test('whether it is registered or not a broker finds out where no answer came', async t => {
  for (const direction of ['there', 'back']) {
    const world = new ClusterWorld(direction === 'there' ? 5 : 6)
    const [one] = await world.startAll(1)
    const two = await world.start(2)
    await world.until(() => two.process.isAlive && world.meta.server.state.range({ prefix: '' }).count > 0)
    const [from, to] =
      direction === 'there'
        ? [two.process.host, world.meta.server.host]
        : [world.meta.server.host, two.process.host]
    const heal = world.meta.network.cut(from, to)
    await world.pass(7000)
    heal()
    await world.until(() => one!.metadata.image.brokers.isActive(2), 60_000)
    await world.pass(5000)
    t.equal(one!.metadata.image.brokers.epochOf(2), two.membership.brokerEpoch)
    t.equal(one!.metadata.image.brokers.get(2)?.lease, two.membership.lease)
    t.same(world.fatal, [])
  }
})

t.test('a broker that stops in order hands over what it leads before it goes', async t => {
  const world = new ClusterWorld()
  const [one, two] = await world.startAll(1, 2, 3)
  await world.createTopic(
    one!,
    Array.from({ length: 300 }, () => ({ replicas: [2, 1, 3] })),
  )
  t.equal(await world.settled(two!.membership.shutDown(10_000)), true)
  t.ok(world.partitions(one!).every(({ leader, isr }) => leader === 1 && !isr.includes(2)))
  t.equal(one!.metadata.image.brokers.isUnfenced(2), true, 'it may still be copied from')
  await world.settled(two!.membership.close(true))
  const goneMs = await world.until(() => one!.metadata.image.brokers.get(2) === undefined)
  t.ok(goneMs < 100)
})

t.test(
  'what only the broker itself has is not led by anybody when it stops, and that is no reason to wait',
  async t => {
    const world = new ClusterWorld()
    const [one, two] = await world.startAll(1, 2)
    await world.createTopic(one!, [{ replicas: [2] }])
    t.equal(await world.settled(two!.membership.shutDown(10_000)), true)
    t.match(world.partitions(one!)[0], { leader: -1, isr: [], elr: [2], lastKnownElr: [2] })
  },
)

t.test('without a controller a broker stops after the time that is given', async t => {
  const world = new ClusterWorld()
  const nodes = await world.startAll(1, 2)
  const [other] = world.controllers()
  const stopping = nodes.find(node => node !== other)!
  await world.createTopic(stopping, [{ replicas: [stopping.id, other!.id] }])
  other!.process.pause()
  const startMs = world.nowMs
  t.equal(await world.settled(stopping.membership.shutDown(500)), false)
  t.ok(world.nowMs - startMs < 800)
})
