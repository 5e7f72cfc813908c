/**
 * Fetchers among leaders that change, cut their logs, forget sessions and lose connections, with followers that are
 * slow and fail: whatever happens, no follower is asked for anything wrong, and when it is over all logs are the same.
 */
import t, { type Test } from 'tap'
import { type SeededRandom } from '../../../broker/env-memory/random.ts'
import { TOPIC_ID } from './replication-models.ts'
import { World } from './replication-world.ts'

const SEEDS = 20
const STEPS = 120
const PARTITIONS = 5
const LEADERS = [2, 3]

t.test('followers end up with the logs of their leaders', async t => {
  for (let seed = 1; seed <= SEEDS; seed++) await run(t, seed)
})

async function run(t: Test, seed: number): Promise<void> {
  let isCalm = false
  const world = await World.start({
    seed,
    partitions: PARTITIONS,
    leaders: LEADERS,
    splitReads: true,
    config: { maxBytes: 2000, responseMaxBytes: 5000, backoffMs: 200 },
    fate: ({ env: { random } }) => {
      if (isCalm || random.int(10) > 0) return { ms: random.int(5), outcome: 'ok' }
      const outcome = (['ok', 'corrupt', 'failed'] as const)[random.int(3)]!
      return { ms: random.int(200), outcome }
    },
  })
  const random = world.env.random.fork()
  world.followAll()
  for (let step = 0; step < STEPS; step++) {
    await act(world, random, step)
    for (let ms = random.int(30); ms > 0; ms--) await world.env.clock.advance(1)
  }
  isCalm = true
  for (const follower of world.followers) follower.back()
  world.slots = 1000
  world.followAll()
  await world.advance(3000)
  for (const follower of world.followers) {
    const led = world.led(follower.partition)
    t.same(follower.violations, [], `seed ${seed}`)
    const from = Math.max(follower.log.start, led.log.start)
    t.same(
      follower.log.describe(from),
      led.log.describe(from),
      `seed ${seed}, partition ${follower.partition}`,
    )
    t.equal(follower.log.end, led.log.end, `seed ${seed}`)
    t.equal(follower.highWatermark, led.highWatermark, `seed ${seed}: the high watermark gets through`)
  }
  t.equal(world.fatal, null)
  const { fetches } = world.fetchers.counters
  await world.advance(5000)
  t.ok(world.fetchers.counters.fetches - fetches <= 12 * LEADERS.length, `seed ${seed}: it comes to rest`)
  await world.stop()
  for (const { kept } of world.followers) for (const owner of kept) owner.release()
  world.side.memory.rest()
  t.equal(world.side.pool.slabsInUse, 0, `seed ${seed}: all memory has come back`)
}

async function act(world: World, random: SeededRandom, step: number): Promise<void> {
  const partition = random.int(PARTITIONS)
  const led = world.led(partition)
  switch (random.int(12)) {
    case 0: {
      // The new leader may lack the end of the log: then the follower has to cut it too.
      const lost = random.int(3) === 0 ? random.int(8) : 0
      const end = Math.max(led.log.start, led.log.end - lost)
      world.move(partition, LEADERS[random.int(LEADERS.length)]!, end)
      // The follower may hear of it before the leader's next records, after them, or only with the next change.
      if (random.int(3) > 0) world.follow(partition)
      return
    }
    case 1:
      world.follow(partition)
      return
    case 2:
      if (random.int(4) === 0) led.log.moveStart(led.log.end - random.int(6))
      return
    case 3:
      if (random.int(3) === 0) world.leaders.get(LEADERS[random.int(LEADERS.length)]!)!.peer.dropConnections()
      return
    case 4:
      world.slots = random.int(3) === 0 ? 0 : 1000
      return
    case 5:
      if (random.int(3) === 0) world.fetchers.remove(TOPIC_ID, partition)
      return
    case 6:
      world.followers[partition]!.isAway = random.int(2) === 0
      if (!world.followers[partition]!.isAway) world.followers[partition]!.back()
      return
    default: {
      const size = random.int(20) === 0 ? 30_000 : random.int(300)
      led.produce(1 + random.int(3), `${step}:${'x'.repeat(size)}`)
    }
  }
}
