import t from 'tap'
import { FetchPosition } from '../../../broker/runtime/fetch-sessions.ts'
import { type Waiter, type Wakeable } from '../../../broker/runtime/purgatory.ts'
import { SessionAttention } from '../../../broker/runtime/session-attention.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../../../client/protocol/types.ts'

class Waiters implements Wakeable {
  readonly waiters = new Set<Waiter>()
  addWaiter(waiter: Waiter): void {
    this.waiters.add(waiter)
  }
  removeWaiter(waiter: Waiter): void {
    this.waiters.delete(waiter)
  }
  wake(): void {
    for (const waiter of this.waiters) waiter.wake()
  }
}

class Host extends Waiters {
  readonly replicaWaiters = new Waiters()
  get watchers(): number {
    return this.waiters.size + this.replicaWaiters.waiters.size
  }
}

/** Three partitions at rest, with their hosts, and how often the fetch that waits was woken. */
function atRest() {
  const attention = new SessionAttention()
  const positions = [0, 1, 2].map(partition => {
    const asked = {
      partition,
      fetchOffset: 0,
      partitionMaxBytes: 1,
      currentLeaderEpoch: 0,
      lastFetchedEpoch: -1,
    }
    return new FetchPosition('a', ZERO_TOPIC_ID as TopicId, asked)
  })
  const hosts = positions.map(() => new Host())
  for (const [index, position] of positions.entries()) {
    attention.notice(position)
    attention.watch(position, hosts[index]!)
    attention.rest(position)
  }
  const woken = { count: 0 }
  attention.addWaiter({ wake: () => void woken.count++ })
  const due = (): number[] => attention.due.map(({ partition }) => partition)
  return { attention, positions, hosts, woken, due }
}

t.test('what rests is not due until something happens', t => {
  const { attention, positions, hosts, woken, due } = atRest()
  t.same(due(), [])
  hosts[1]!.replicaWaiters.wake()
  t.same(due(), [1])
  t.equal(woken.count, 1, 'records end the wait of a fetch')
  hosts[0]!.wake()
  t.same(due(), [1, 0])
  t.equal(woken.count, 1, 'moved bounds do not, as a rule')
  attention.tellsBounds = true
  hosts[2]!.wake()
  t.equal(woken.count, 2)
  attention.rotate(positions[1]!)
  t.same(due(), [0, 2, 1])
  attention.rest(positions[2]!)
  t.same(due(), [0, 1])
  t.end()
})

t.test('a partition that was made anew is watched in place of the old one', t => {
  const { attention, positions, hosts, due } = atRest()
  const host = new Host()
  attention.watch(positions[0]!, host)
  attention.watch(positions[0]!, host)
  t.equal(hosts[0]!.watchers, 0)
  t.equal(host.watchers, 2)
  host.wake()
  t.same(due(), [0])
  t.end()
})

t.test('what leaves the session, and a session that ends, watches nothing any more', t => {
  const { attention, positions, hosts, due } = atRest()
  attention.notice(positions[0]!)
  attention.forget(positions[0]!)
  t.equal(hosts[0]!.watchers, 0)
  t.same(due(), [])
  attention.close()
  t.same(
    hosts.map(({ watchers }) => watchers),
    [0, 0, 0],
  )
  t.end()
})
