import t, { type Test } from 'tap'
import { type BrokerId } from '../../../client/protocol/types.ts'
import { TOPIC_ID } from './replication-models.ts'
import { World, type WorldOptions } from './replication-world.ts'

/** A test in a world of its own, in which nothing must have been asked wrongly of any partition. */
function test(name: string, options: WorldOptions, body: (t: Test, world: World) => Promise<void>): void {
  t.test(name, async t => {
    const world = await World.start(options)
    t.teardown(() => world.stop())
    await body(t, world)
    t.equal(world.fatal, null)
    for (const { violations } of world.followers) t.same(violations, [])
  })
}

function ends(world: World): number[] {
  return world.followers.map(({ log }) => log.end)
}

test('a follower copies what there is, and then what comes, as soon as it comes', {}, async (t, world) => {
  world.led(0).produce(3, 'a')
  world.follow(0)
  await world.advance(10)
  t.same(ends(world), [3])
  await world.advance(200)
  world.led(0).produce(2, 'b')
  await world.advance(2)
  t.same(ends(world), [5])
  t.same(world.followers[0]!.log.describe(0), world.led(0).log.describe(0))
  t.equal(world.led(0).highWatermark, 5, 'the next fetch tells that it has them')
})

test(
  'while there is nothing to copy it asks twice a second, and no more',
  { partitions: 10 },
  async (t, world) => {
    world.followAll()
    await world.advance(100)
    const before = world.fetchers.counters.fetches
    await world.advance(10_000)
    const asked = world.fetchers.counters.fetches - before
    t.ok(asked >= 18 && asked <= 22, `${asked} fetches in ten seconds`)
  },
)

test(
  'a fetch looks at the partitions in which something has happened, and at no others',
  { partitions: 50 },
  async (t, world) => {
    world.followAll()
    await world.advance(100)
    const notes = (): number[] => world.followers.map((_, partition) => world.led(partition).notes)
    const before = notes()
    for (let round = 0; round < 10; round++) {
      world.led(7).produce(1, 'a')
      await world.advance(20)
    }
    const more = notes().map((count, partition) => count - before[partition]!)
    t.equal(world.followers[7]!.log.end, 10)
    t.ok(more[7]! >= 10, `${more[7]} looks at the one that is written to`)
    more[7] = 0
    t.same(new Set(more), new Set([0]))
  },
)

test(
  'the same holds after a new term in which nothing was written',
  { leaders: [2, 3] },
  async (t, world) => {
    world.led(0).produce(3, 'a')
    world.follow(0)
    await world.advance(10)
    world.move(0, 3, 3)
    world.follow(0)
    await world.advance(100)
    const before = world.fetchers.counters.fetches
    await world.advance(10_000)
    t.ok(world.fetchers.counters.fetches - before <= 22)
    t.same(ends(world), [3])
  },
)

test('the high watermark reaches the follower', {}, async (t, world) => {
  world.led(0).produce(3, 'a')
  world.follow(0)
  await world.advance(1200)
  t.equal(world.followers[0]!.highWatermark, 3)
})

test(
  'a partition that joins does not sit out the wait of the fetch under way',
  { partitions: 2 },
  async (t, world) => {
    world.led(1).produce(4, 'b')
    world.follow(0)
    await world.advance(300)
    world.follow(1)
    await world.advance(5)
    t.same(ends(world), [0, 4])
  },
)

{
  const fate = (_: World, partition: number) => ({ ms: partition === 0 ? 1500 : 1, outcome: 'ok' as const })
  test(
    'one slow partition holds up the others for a moment only',
    { partitions: 3, fate },
    async (t, world) => {
      for (const partition of [0, 1, 2]) world.led(partition).produce(1, 'x')
      world.followAll()
      await world.advance(100)
      for (let round = 0; round < 5; round++) {
        for (const partition of [1, 2]) world.led(partition).produce(1, 'y')
        await world.advance(10)
      }
      t.same(ends(world), [0, 6, 6])
      await world.advance(1500)
      t.same(ends(world), [1, 6, 6])
      world.led(0).produce(1, 'z')
      await world.advance(1510)
      t.same(ends(world), [2, 6, 6])
    },
  )
}

{
  const fate = (_: World, partition: number) => ({ ms: partition === 0 ? 5 : 10, outcome: 'ok' as const })
  test(
    'what an answer says while the one before is worked on is said again',
    { partitions: 2, fate },
    async (t, world) => {
      const [busy, other] = [world.led(0), world.led(1)]
      busy.replicaFetched = () => 0
      busy.produce(3, 'a')
      other.produce(3, 'b')
      const { replicaFetched } = other
      other.replicaFetched = fetch => {
        busy.highWatermark = 2
        busy.moved()
        return replicaFetched.call(other, fetch)
      }
      world.follow(0)
      await world.advance(50)
      busy.highWatermark = 1
      busy.moved()
      // Ends the wait of the fetch that is under way: two answers come, and both of them tell of the busy one.
      world.follow(1)
      await world.advance(1000)
      t.same(ends(world), [3, 3])
      t.equal(world.followers[0]!.highWatermark, 2)
    },
  )
}

test(
  'what was said in an answer to a question that is out of date is said again',
  { partitions: 2 },
  async (t, world) => {
    const slow = world.led(0)
    slow.produce(3, 'a')
    world.follow(0)
    await world.advance(50)
    const readForReplica = slow.readForReplica.bind(slow)
    let reads = 0
    slow.readForReplica = request => {
      if (++reads !== 2) return readForReplica(request)
      const read = new Promise<void>(resolve => world.env.timers.set(20, resolve))
      return read.then(() => readForReplica(request)) as unknown as ReturnType<typeof readForReplica>
    }
    // Answers the fetch under way. The next one, which is about the other partition, finds the same records again, and
    // while they come from the disk the follower goes on from behind them.
    slow.produce(2, 'c')
    world.follow(1)
    await world.advance(1000)
    t.same(ends(world), [5, 0])
    t.equal(slow.highWatermark, 5)
    t.equal(world.followers[0]!.highWatermark, 5)
  },
)

test(
  'a log that parted from the leader is cut where both agree, and goes on from there',
  { leaders: [2, 3] },
  async (t, world) => {
    for (const payload of ['a', 'b', 'c']) world.led(0).produce(2, payload)
    world.follow(0)
    await world.advance(10)
    world.move(0, 3, 4)
    world.led(0).produce(3, 'd')
    world.follow(0)
    await world.advance(20)
    t.equal(world.followers[0]!.truncations, 1)
    t.same(world.followers[0]!.log.describe(0), world.led(0).log.describe(0))
    t.equal(world.fetchers.counters.divergences, 1)
  },
)

test('a follower that the leader has left behind starts over where its log starts', {}, async (t, world) => {
  for (const payload of ['a', 'b', 'c']) world.led(0).produce(2, payload)
  world.led(0).log.moveStart(4)
  world.follow(0)
  await world.advance(20)
  const { log } = world.followers[0]!
  t.same([log.start, log.end], [4, 6])
  t.equal(world.fetchers.counters.startsOver, 1)
})

test(
  'a leader that has not heard of its term yet is asked again soon',
  { leaders: [2, 3] },
  async (t, world) => {
    world.led(0).produce(2, 'a')
    const led = world.led(0)
    world.terms[0]!.epoch = 1
    world.follow(0)
    await world.advance(60)
    led.leaderEpoch = 1
    await world.advance(150)
    t.same(ends(world), [2])
  },
)

{
  let damaged = 2
  const fate = () => ({ ms: 1, outcome: damaged-- > 0 ? ('corrupt' as const) : ('ok' as const) })
  test('damaged records are not taken, and are asked for again', { fate }, async (t, world) => {
    world.led(0).produce(2, 'a')
    world.follow(0)
    await world.advance(200)
    t.same(ends(world), [2])
    t.equal(world.fetchers.counters.corruptBatches, 2)
  })
}

test('a host without a position is asked again when it has one', {}, async (t, world) => {
  world.led(0).produce(2, 'a')
  world.followers[0]!.isAway = true
  world.follow(0)
  await world.advance(5000)
  t.same(ends(world), [0])
  world.followers[0]!.back()
  await world.advance(5)
  t.same(ends(world), [2])
})

test('a leader whose connection breaks is found again within moments', {}, async (t, world) => {
  world.follow(0)
  await world.advance(100)
  world.leaders.get(2)!.peer.dropConnections()
  world.led(0).produce(2, 'a')
  await world.advance(60)
  t.same(ends(world), [2])
  t.equal(world.leaders.get(2)!.sessions.size, 1, 'the session before is closed by the next one')
})

test(
  'a leader that is away is tried about once a second, and not at all when it is gone',
  {},
  async (t, world) => {
    world.follow(0)
    await world.leaders.get(2)!.peer.die()
    await world.advance(20_000)
    const { linkFailures } = world.fetchers.counters
    t.ok(linkFailures > 15 && linkFailures < 50, `${linkFailures} attempts`)
    world.fetchers.brokerChanged(2 as BrokerId, null)
    await world.advance(20_000)
    t.equal(world.fetchers.counters.linkFailures, linkFailures)
    world.led(0).produce(1, 'a')
    await world.leaders.get(2)!.peer.restart()
    world.fetchers.brokerChanged(2 as BrokerId, world.leaders.get(2)!.peer.address)
    await world.advance(10)
    t.same(ends(world), [1])
  },
)

test('without room for a session every fetch names all partitions', { partitions: 2 }, async (t, world) => {
  world.slots = 0
  world.followAll()
  await world.advance(100)
  const before = world.fetchers.counters.fetches
  await world.advance(5000)
  t.ok(world.fetchers.counters.fetches - before <= 12, 'and is held all the same')
  world.led(1).produce(2, 'a')
  await world.advance(5)
  t.same(ends(world), [0, 2])
})

test('a forgotten session is begun anew', {}, async (t, world) => {
  world.follow(0)
  await world.advance(100)
  const { sessions } = world.leaders.get(2)!
  world.slots = 0
  t.equal(sessions.create([], true), null)
  world.slots = 1000
  // The session goes with the memory of a leader that comes up at the same address.
  const { peer } = world.leaders.get(2)!
  await peer.die()
  await peer.restart()
  world.led(0).produce(2, 'a')
  await world.advance(200)
  t.same(ends(world), [2])
})

test(
  'a partition that is removed is copied no more, and the link goes with the last one',
  { partitions: 2 },
  async (t, world) => {
    world.followAll()
    await world.advance(10)
    world.fetchers.remove(TOPIC_ID, 0)
    world.led(0).produce(1, 'a')
    world.led(1).produce(1, 'b')
    await world.advance(10)
    t.same(ends(world), [0, 1])
    world.fetchers.remove(TOPIC_ID, 1)
    world.fetchers.remove(TOPIC_ID, 1)
    t.equal(world.fetchers.size, 0)
    await world.advance(1000)
    const { fetches } = world.fetchers.counters
    await world.advance(5000)
    t.equal(world.fetchers.counters.fetches, fetches)
  },
)

test('replicated batches lie in the memory that they were received in', {}, async (t, world) => {
  for (let batch = 0; batch < 20; batch++) world.led(0).produce(1, 'x'.repeat(50_000))
  world.follow(0)
  await world.advance(50)
  const [follower] = world.followers
  t.equal(follower!.log.end, 20)
  t.ok(world.side.pool.slabsInUse > 0)
  for (const owner of follower!.kept) owner.release()
  await world.advance(1000)
  t.equal(world.side.pool.slabsInUse, 0, 'and what is kept for more is given back when nothing comes')
})

test('a leader whose log starts inside of a batch sends all of it', {}, async (t, world) => {
  for (const payload of ['a', 'b', 'c']) world.led(0).produce(3, payload)
  world.led(0).log.moveStart(4)
  world.follow(0)
  await world.advance(20)
  const { log } = world.followers[0]!
  t.same([log.start, log.end], [4, 9])
  t.same(log.describe(0), world.led(0).log.describe(0))
})

test(
  'a throttled partition waits while the quota is used up, and holds up no other',
  { partitions: 2, config: { maxBytes: 1000 } },
  async (t, world) => {
    world.throttledRate = 1000
    world.throttled.add(0)
    for (let batch = 0; batch < 8; batch++) world.led(0).produce(1, 'x'.repeat(900))
    // Others have it all: this follower is behind.
    world.led(0).highWatermark = 8
    world.followAll()
    await world.advance(100)
    const early = world.followers[0]!.log.end
    t.ok(early >= 1 && early <= 2, `${early} at once`)
    const before = world.fetchers.counters.fetches
    world.led(1).produce(3, 'b')
    await world.advance(100)
    t.equal(world.followers[1]!.log.end, 3)
    await world.advance(3800)
    const later = world.followers[0]!.log.end
    t.ok(later >= 3 && later <= 6, `${later} after four seconds`)
    t.ok(world.fetchers.counters.fetches - before < 40, 'it does not ask in vain')
    await world.advance(6000)
    t.same(ends(world), [8, 3])
  },
)
