/**
 * `roundrobin`: all partitions of all topics are dealt out in turn, each to the next member that wants its topic.
 */
import { type TopicPartition } from '../types.ts'
import { type Assignor, type AssignorInput, type GroupAssignment, inOrder, wantedTopics } from './assignor.ts'

export const roundRobinAssignor: Assignor = { name: 'roundrobin', cooperative: false, assign: deal }

/** The same under the name by which members of KafkaJS vote for theirs, so that both can share a group. */
export const kafkaJsRoundRobinAssignor: Assignor = {
  name: 'RoundRobinAssigner',
  cooperative: false,
  assign: deal,
}

function deal(input: AssignorInput): GroupAssignment {
  const members = inOrder(input.members)
  const wants = members.map(({ topics }) => new Set(topics))
  const assignment = new Map<string, TopicPartition[]>(members.map(({ memberId }) => [memberId, []]))
  let turn = 0
  for (const topic of wantedTopics(input)) {
    const count = input.partitionCounts.get(topic)!
    for (let partition = 0; partition < count; partition++) {
      // Somebody wants it, or it would not be among the wanted topics.
      while (!wants[turn % members.length]!.has(topic)) turn++
      assignment.get(members[turn++ % members.length]!.memberId)!.push({ topic, partition })
    }
  }
  return assignment
}
