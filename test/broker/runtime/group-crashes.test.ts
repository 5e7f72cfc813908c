/**
 * Commits, and power cuts at any moment: whatever the disk keeps of what was not synced, an answered commit is there
 * after the restart, nothing is there that was never sent, and offsets do not go back.
 */
import t from 'tap'
import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { API } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { commitRequest, committed } from '../api/group-client.ts'
import { TestBroker, type TestClient, unfold } from '../api/test-broker.ts'

const SETTINGS = { 'offsets.topic.num.partitions': 2, 'group.initial.rebalance.delay.ms': 0 }
const GROUPS = ['a', 'b', 'c', 'd']
const PARTITIONS = [0, 1, 2]
const SEEDS = 15
const LIVES = 4

/** What one group has sent, and what of it was answered. */
interface Progress {
  sent: number
  answered: number
}

async function commitOn(client: TestClient, groupId: string, progress: Progress): Promise<void> {
  for (;;) {
    const offset = ++progress.sent
    // All partitions with one request: they are kept together, or not at all.
    const offsets = Object.fromEntries(PARTITIONS.map(partition => [partition, offset]))
    const { topics } = await client.send(API.OffsetCommit, 8, commitRequest('orders', offsets, groupId))
    const [topic] = topics
    if (topic!.partitions.every(({ errorCode }) => errorCode === ErrorCode.NONE)) progress.answered = offset
  }
}

async function offsetsOf(test: TestBroker, groupId: string): Promise<number[]> {
  for (;;) {
    const offsets = await committed(test.client, 'orders', PARTITIONS, groupId)
    if (offsets[0] !== -ErrorCode.COORDINATOR_LOAD_IN_PROGRESS) return offsets
    await test.env.clock.advance(1)
  }
}

async function run(t: { ok(value: unknown, message: string): boolean }, seed: number): Promise<void> {
  const random = new SeededRandom(seed)
  const disk = new MemoryDisk({ trackCrashes: true })
  const groups = new Map(GROUPS.map(groupId => [groupId, { sent: 0, answered: 0 }]))
  let topicMade = false
  for (let life = 0; life < LIVES; life++) {
    const test = await TestBroker.start({
      disk: disk.view(),
      seed: random.int(1_000_000),
      settings: SETTINGS,
    })
    if (!topicMade) await test.createTopic('orders', PARTITIONS.length)
    topicMade = true
    for (const [groupId, progress] of groups) {
      const offsets = await offsetsOf(test, groupId)
      const [offset] = offsets
      t.ok(
        offsets.every(other => other === offset) &&
          Math.max(offset!, 0) >= progress.answered &&
          offset! <= progress.sent,
        `seed ${seed}, life ${life}, group ${groupId}: ${offsets} of ${progress.answered} to ${progress.sent}`,
      )
      const client = await test.connect()
      commitOn(client, groupId, progress).catch(() => {})
    }
    // Somewhere between two promises, or while a sync is under way.
    const release = random.int(2) === 0 ? disk.hold('sync', /__consumer_offsets/) : () => {}
    for (let hops = random.int(400); hops > 0; hops--) await Promise.resolve()
    disk.crash({ keep: random.int(3) === 0 ? 'none' : 'random', random })
    release()
    await unfold(test.env, test.broker.kill())
  }
}

t.test('no answered commit is lost', async t => {
  for (let seed = 1; seed <= SEEDS; seed++) await run(t, seed)
})
