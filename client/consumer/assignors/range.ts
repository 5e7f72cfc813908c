/**
 * `range`: for each topic by itself, the members that want it get consecutive partitions, the first members one more
 * where it does not come out even. Partitions of one number in topics of the same size meet in one member.
 */
import { type TopicPartition } from '../types.ts'
import { type Assignor, inOrder, wantedTopics } from './assignor.ts'

export const rangeAssignor: Assignor = {
  name: 'range',
  cooperative: false,
  assign(input) {
    const assignment = new Map<string, TopicPartition[]>(input.members.map(({ memberId }) => [memberId, []]))
    const members = inOrder(input.members)
    for (const topic of wantedTopics(input)) {
      const takers = members.filter(({ topics }) => topics.includes(topic))
      const count = input.partitionCounts.get(topic)!
      const share = Math.floor(count / takers.length)
      const larger = count % takers.length
      let next = 0
      takers.forEach(({ memberId }, index) => {
        const end = next + share + (index < larger ? 1 : 0)
        for (; next < end; next++) assignment.get(memberId)!.push({ topic, partition: next })
      })
    }
    return assignment
  },
}
