import t from 'tap'
import { GroupObserver } from '../../../../perf/workload/group/observer.ts'

/** Two members, each with two of four partitions, all of which have been read up to offset 10. */
function twoMembers(): GroupObserver {
  const group = new GroupObserver([0, 0, 0, 0])
  for (const member of [0, 1]) {
    group.started(member, 0)
    group.joined(member, 5)
    group.assigned(member, [member * 2, member * 2 + 1], 10)
    for (const partition of [member * 2, member * 2 + 1]) group.read(member, partition, 0, 10, 100)
  }
  group.begin()
  return group
}

t.test('a group is stable when each partition has an owner and the load is even', async t => {
  const group = new GroupObserver([0, 0, 0, 0])
  group.started(0, 0)
  group.started(1, 0)
  group.joined(0, 1)
  group.assigned(0, [0, 1, 2, 3], 1)
  t.notOk(group.isStable, 'somebody has not joined')
  group.joined(1, 2)
  t.notOk(group.isStable, 'one has all')
  const stable = group.stable()
  group.revoked(0, [3], 3)
  t.notOk(group.isStable, 'a partition has nobody')
  group.assigned(1, [3], 4)
  t.notOk(group.isStable, 'three and one')
  group.revoked(0, [2], 5)
  group.assigned(1, [2], 6)
  t.ok(group.isStable)
  await stable
})

t.test('who leaves does not count, and its partitions are free when it is gone', t => {
  const group = twoMembers()
  t.ok(group.isStable)
  group.leaving(1, 1000)
  t.match(group, { liveMembers: 1, ownedPartitions: 2 })
  t.notOk(group.isStable)
  group.left(1, 1100)
  group.assigned(0, [2, 3], 1250)
  t.ok(group.isStable)
  const figures = group.figures(null)
  t.match(figures, { changes: 1, unsettled: 0, moved: 2, leastMoved: 2, overlaps: 0 })
  t.ok(Math.abs(figures.settling!.max - 250) < 1)
  t.end()
})

t.test('a newcomer deserves its share, and a change that is overtaken is settled with the next', t => {
  const group = twoMembers()
  group.started(2, 1000)
  group.came(1000)
  group.started(3, 1500)
  group.came(1500)
  group.joined(2, 1600)
  group.joined(3, 1600)
  group.revoked(0, [1], 1700)
  group.revoked(1, [3], 1700)
  group.assigned(2, [1], 1800)
  group.assigned(3, [3], 2000)
  const figures = group.figures(null)
  t.match(figures, { changes: 2, unsettled: 0, moved: 2, revoked: 2, leastMoved: 2 })
  t.ok(Math.abs(figures.settling!.max - 1000) < 2)
  t.ok(Math.abs(figures.settling!.min - 500) < 2)
  t.end()
})

t.test('what was taken from somebody who still had it had two owners', t => {
  const group = twoMembers()
  group.assigned(1, [0], 200)
  group.revoked(0, [0], 210)
  t.equal(group.ownedPartitions, 4)
  t.match(group.figures(null), { overlaps: 1, moved: 1 })
  t.end()
})

t.test('records that come twice, and those that never come, are counted', t => {
  const group = twoMembers()
  group.read(0, 0, 5, 12, 200)
  group.read(0, 1, 13, 20, 200)
  group.read(1, 2, 10, 11, 200)
  t.match(group.figures(null), { reread: 5, skipped: 3 })
  t.equal(group.readRecords, 40 + 2 + 7 + 1)
  t.end()
})

t.test('pauses are told apart: of what moved, of what stayed, of members, of newcomers', t => {
  const group = twoMembers()
  group.read(0, 0, 10, 11, 150)
  group.started(2, 160)
  group.came(160)
  group.joined(2, 170)
  group.revoked(1, [3], 180)
  group.assigned(2, [3], 190)
  group.read(0, 0, 11, 12, 180)
  group.read(2, 3, 10, 11, 400)
  group.read(2, 3, 11, 12, 450)
  const { pauses } = group.figures(null)
  t.equal(pauses.moved?.count, 1)
  t.ok(Math.abs(pauses.moved!.max - 300) < 1)
  t.equal(pauses.stayed?.count, 2, 'partition 0, before and after the change')
  t.ok(Math.abs(pauses.stayed!.max - 50) < 1, 'what the new owner waits for later is no part of it')
  t.equal(pauses.newcomers?.count, 1)
  t.ok(Math.abs(pauses.newcomers!.max - 240) < 1)
  t.equal(pauses.members?.count, 3)
  t.end()
})
