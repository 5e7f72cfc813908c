import t from 'tap'
import { changeText, type GroupFacts, lookAt, newsOf } from '../../cli/group-watch.ts'

const member = (memberId: string, ...partitions: number[]) => ({
  memberId,
  groupInstanceId: null,
  clientId: 'c',
  clientHost: '/127.0.0.1',
  rack: null,
  topics: ['orders'],
  pattern: null,
  assignment: partitions.map(partition => ({ topic: 'orders', partition })),
  targetAssignment: null,
  memberEpoch: null,
})

function facts(state: string, members: ReturnType<typeof member>[], offsets: readonly number[]): GroupFacts {
  return {
    group: 'billing',
    description: { state: state as 'Stable', type: 'classic', members },
    offsets: offsets.map((offset, partition) => ({ topic: 'orders', partition, offset })),
  }
}

const ends = (...values: number[]): Map<string, number> =>
  new Map(values.map((end, partition) => [`orders/${partition}`, end]))

t.test('the first look knows lag and owners, and nothing of speed', t => {
  const look = lookAt(facts('Stable', [member('m1', 0, 1, 2)], [5, -1]), ends(8, 9, 4), undefined, 1000)
  t.match(look, { state: 'Stable', members: 1, partitions: 3, lag: 3, rate: null, change: null })
  t.match(look.places, [
    { committed: 5, end: 8, lag: 3, member: 'm1' },
    { committed: null, end: 9, lag: null },
    { committed: null, lag: null },
  ])
  t.equal(changeText(look), null)
  t.end()
})

t.test('the next look tells what was committed in between, and what has moved', t => {
  const first = lookAt(facts('Stable', [member('m1', 0, 1)], [5, 5]), ends(10, 10), undefined, 1000)
  const members = [member('m1', 0), member('m2', 1)]
  const next = lookAt(facts('PreparingRebalance', members, [9, 5]), ends(10, 20), first, 2000)
  t.match(next, { rate: 2, lag: 16, change: { lag: 6, members: 1, state: 'Stable' } })
  t.match(next.places, [
    { rate: 2, lagChange: -4 },
    { rate: 0, lagChange: 10, member: 'm2' },
  ])
  t.equal(changeText(next), 'lag +6, members +1, was Stable')
  t.end()
})

t.test('an offset that was moved back or set for the first time was not read', t => {
  const first = lookAt(facts('Empty', [], [50]), ends(100, 100), undefined, 1000)
  t.match(lookAt(facts('Empty', [], [10, 90]), ends(100, 100), first, 1000), { rate: 0 })
  t.end()
})

t.test('a topic that was deleted has no end, and a group that is missing no state', t => {
  t.match(lookAt(facts('Empty', [], [5]), new Map(), undefined, 1000), {
    lag: 0,
    places: [{ committed: 5, end: null, lag: null }],
  })
  const missing = lookAt({ group: 'g', description: null, offsets: [] }, new Map(), undefined, 1000)
  t.match(missing, { state: null, members: 0, partitions: 0 })
  t.end()
})

t.test('news are of groups that come, go, and change', t => {
  const one = lookAt(facts('Stable', [member('m1', 0)], [5]), ends(8), undefined, 1000)
  const same = lookAt(facts('Stable', [member('m1', 0)], [6]), ends(8), one, 1000)
  const empty = lookAt(facts('Empty', [], [6]), ends(8), same, 1000)
  t.equal(newsOf([], [one]), 'group billing: Stable, 1 member, 1 partition, lag 3\n')
  t.equal(newsOf([one], [same]), '')
  t.equal(newsOf([same], [empty]), 'group billing: Empty, 0 members, 1 partition, lag 2\n')
  t.equal(newsOf([empty], []), 'group billing: deleted\n')
  t.end()
})
