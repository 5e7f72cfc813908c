/**
 * The range assignor: of every topic, each of its readers gets a stretch of neighbouring partitions. Readers stand in
 * the same order for every topic, so topics with the same number of partitions and the same readers are shared out
 * alike, and a join of two topics by key finds both sides in one member. Static members stand first: a restart moves
 * nothing.
 */
import { type Assignor, type AssignorMember, PartitionSetBuilder } from './assignors.ts'
import { type TopicInfo } from './config.ts'

export const assignRange: Assignor = ({ members }) => {
  const ordered = [...members].sort(byInstanceAndId)
  const readers = new Map<TopicInfo, AssignorMember[]>()
  for (const member of ordered) {
    for (const topic of member.topics) {
      const known = readers.get(topic)
      if (known === undefined) readers.set(topic, [member])
      else known.push(member)
    }
  }
  const sets = new Map(members.map(({ memberId }) => [memberId, new PartitionSetBuilder()]))
  for (const [topic, those] of readers) {
    const share = Math.floor(topic.partitionCount / those.length)
    const larger = topic.partitionCount % those.length
    let partition = 0
    for (const [index, member] of those.entries()) {
      const end = partition + share + (index < larger ? 1 : 0)
      for (; partition < end; partition++) sets.get(member.memberId)!.add(topic.topicId, partition)
    }
  }
  return new Map(Array.from(sets, ([memberId, set]) => [memberId, set.build()]))
}

function byInstanceAndId(left: AssignorMember, right: AssignorMember): number {
  if (left.instanceId !== null && right.instanceId !== null) return compare(left.instanceId, right.instanceId)
  if (left.instanceId !== null) return -1
  if (right.instanceId !== null) return 1
  return compare(left.memberId, right.memberId)
}

function compare(left: string, right: string): number {
  if (left === right) return 0
  return left < right ? -1 : 1
}
