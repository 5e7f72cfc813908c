/**
 * What the broker's own assignors promise, whatever they are given.
 */
import t from 'tap'
import { assignRange } from '../../../broker/group/assignor-range.ts'
import { assignUniform } from '../../../broker/group/assignor-uniform.ts'
import { type Assignor, type AssignorMember } from '../../../broker/group/assignors.ts'
import { type TopicInfo } from '../../../broker/group/config.ts'
import { countPartitions, NO_PARTITIONS, type PartitionSet } from '../../../broker/group/partition-sets.ts'
import { type Chance, check, runSchedules } from './schedules.ts'
import { topicId } from './shell.ts'

function topic(name: string, partitionCount: number, racks: string[][] | null = null): TopicInfo {
  return { name, topicId: topicId(name), partitionCount, racks }
}

function member(
  memberId: string,
  topics: readonly TopicInfo[],
  more: Partial<AssignorMember> = {},
): AssignorMember {
  return { memberId, instanceId: null, rackId: null, topics, previous: NO_PARTITIONS, ...more }
}

function assign(assignor: Assignor, members: readonly AssignorMember[]): Map<string, PartitionSet> {
  const isUniform = new Set(members.map(({ topics }) => topics)).size <= 1
  return assignor({ members, isUniform })
}

/** Everybody's partitions as 'topic/partition'. */
function owners(result: ReadonlyMap<string, PartitionSet>): Map<string, string> {
  const all = new Map<string, string>()
  for (const [memberId, set] of result) {
    for (const [id, partitions] of set) {
      for (const partition of partitions) {
        check(!all.has(`${id}/${partition}`), `${partition} is given twice`)
        all.set(`${id}/${partition}`, memberId)
      }
    }
  }
  return all
}

function moved(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): number {
  return [...after].filter(([partition, owner]) => (before.get(partition) ?? owner) !== owner).length
}

t.test('range: neighbouring partitions, and the same ones of topics that are alike', async t => {
  const topics = [topic('a', 5), topic('b', 5)]
  const result = assign(assignRange, [member('m2', topics), member('m1', topics)])
  t.same(result.get('m1')?.get(topicId('a')), [0, 1, 2])
  t.same(result.get('m1')?.get(topicId('b')), [0, 1, 2])
  t.same(result.get('m2')?.get(topicId('a')), [3, 4])
})

t.test('range: static members keep their place under another member id', async t => {
  const topics = [topic('a', 4)]
  const before = assign(assignRange, [
    member('m1', topics, { instanceId: 'i2' }),
    member('m2', topics, { instanceId: 'i1' }),
  ])
  const after = assign(assignRange, [
    member('m9', topics, { instanceId: 'i2' }),
    member('m2', topics, { instanceId: 'i1' }),
  ])
  t.same(before.get('m1'), after.get('m9'))
})

t.test('uniform: only what must move does', async t => {
  const topics = [topic('a', 7), topic('b', 3)]
  const first = assign(assignUniform, [member('m1', topics), member('m2', topics)])
  const previous = (memberId: string) => ({ previous: first.get(memberId)! })
  const second = assign(assignUniform, [
    member('m1', topics, previous('m1')),
    member('m2', topics, previous('m2')),
    member('m3', topics),
  ])
  t.equal(moved(owners(first), owners(second)), 3)
  t.same([...second.values()].map(countPartitions), [4, 3, 3])
  const third = assign(assignUniform, [
    member('m1', topics, { previous: second.get('m1')! }),
    member('m3', topics, { previous: second.get('m3')! }),
  ])
  t.equal(moved(owners(second), owners(third)), 3)
})

t.test('uniform: a partition goes to where one of its replicas is, if there is room', async t => {
  const racks = [['r1'], ['r2'], ['r1'], ['r2'], ['r3'], ['r3']]
  const topics = [topic('a', 6, racks)]
  const result = assign(assignUniform, [
    member('m1', topics, { rackId: 'r1' }),
    member('m2', topics, { rackId: 'r2' }),
    member('m3', topics, { rackId: 'r3' }),
  ])
  t.same(result.get('m1')?.get(topicId('a')), [0, 2])
  t.same(result.get('m2')?.get(topicId('a')), [1, 3])
  t.same(result.get('m3')?.get(topicId('a')), [4, 5])
  const without = assign(assignUniform, [member('m1', topics, { rackId: 'r9' }), member('m2', topics)])
  t.same([...without.values()].map(countPartitions), [3, 3])
})

t.test('nothing to share, nobody to share among, more members than partitions', async t => {
  for (const assignor of [assignUniform, assignRange]) {
    t.equal(assign(assignor, []).size, 0)
    t.same([...assign(assignor, [member('m', [])]).values()].map(countPartitions), [0])
    const topics = [topic('a', 1)]
    const result = assign(assignor, [member('m1', topics), member('m2', topics)])
    t.same([...result.values()].map(countPartitions).sort(), [0, 1])
  }
})

function randomMembers(chance: Chance, topics: readonly TopicInfo[]): AssignorMember[] {
  const isAlike = chance.oneIn(2)
  return Array.from({ length: 1 + chance.below(8) }, (_, index) =>
    member(`m${index}`, isAlike ? topics : topics.filter(() => chance.oneIn(2)), {
      rackId: chance.oneIn(2) ? `r${chance.below(3)}` : null,
    }),
  )
}

function randomTopics(chance: Chance): TopicInfo[] {
  return Array.from({ length: 1 + chance.below(4) }, (_, index) => {
    const count = chance.below(12)
    const racks = chance.oneIn(3) ? Array.from({ length: count }, () => [`r${chance.below(3)}`]) : null
    return topic(`t${index}`, count, racks)
  })
}

function checkComplete(members: readonly AssignorMember[], result: ReadonlyMap<string, PartitionSet>): void {
  const all = owners(result)
  const byId = new Map(members.map(one => [one.memberId, one]))
  for (const [partition, owner] of all) {
    const reads = byId.get(owner)!.topics.some(({ topicId: id }) => partition.startsWith(id))
    check(reads, `${owner} is given ${partition} and does not read it`)
  }
  const read = new Map(
    members.flatMap(({ topics }) => topics.map(one => [one.topicId, one.partitionCount] as const)),
  )
  const total = [...read.values()].reduce((sum, count) => sum + count, 0)
  check(all.size === total, `${all.size} of ${total} partitions are given out`)
}

/** No partition could move to somebody who has two less. */
function checkBalance(members: readonly AssignorMember[], result: ReadonlyMap<string, PartitionSet>): void {
  const load = (memberId: string) => countPartitions(result.get(memberId)!)
  for (const [partition, owner] of owners(result)) {
    for (const other of members) {
      const reads = other.topics.some(({ topicId: id }) => partition.startsWith(id))
      check(!reads || load(owner) - load(other.memberId) < 2, `${owner} has more than ${other.memberId}`)
    }
  }
}

t.test('whatever the members read: all of it is given out, once, to readers, evenly, and stays', async t => {
  runSchedules(2000, 1, chance => {
    const topics = randomTopics(chance)
    const members = randomMembers(chance, topics)
    const first = assign(assignUniform, members)
    checkComplete(members, first)
    checkBalance(members, first)
    const again = members.map(one => ({ ...one, previous: first.get(one.memberId)! }))
    check(
      moved(owners(first), owners(assign(assignUniform, again))) === 0,
      'nothing has changed and something moves',
    )
    const fewer = again.slice(1)
    const second = assign(assignUniform, fewer)
    checkComplete(fewer, second)
    checkBalance(fewer, second)
    const ranges = assign(assignRange, members)
    checkComplete(members, ranges)
  })
  t.pass('no case breaks a promise')
})
