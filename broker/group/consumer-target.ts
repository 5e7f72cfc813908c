/**
 * What every member of a consumer group is to have in the end: the target that an assignor computes from the
 * subscriptions, the topics, and the target before.
 */
import { assignRange } from './assignor-range.ts'
import { assignUniform } from './assignor-uniform.ts'
import { type Assignor, type AssignorMember } from './assignors.ts'
import { type AssignorName, type GroupCoordinatorConfig, type TopicInfo, type TopicsView } from './config.ts'
import { type ConsumerMember } from './consumer-group.ts'
import { type Subscribers } from './consumer-subscriptions.ts'
import { NO_PARTITIONS, type PartitionSet } from './partition-sets.ts'

const ASSIGNORS: Readonly<Record<AssignorName, Assignor>> = { uniform: assignUniform, range: assignRange }

/** The one that most members ask for; where none asks, the broker's first. */
export function preferredAssignor(
  members: Iterable<ConsumerMember>,
  config: GroupCoordinatorConfig,
): AssignorName {
  const votes = new Map<string, number>()
  for (const { serverAssignor } of members) {
    if (serverAssignor !== null) votes.set(serverAssignor, (votes.get(serverAssignor) ?? 0) + 1)
  }
  let preferred = config.consumerAssignors[0] ?? 'uniform'
  let most = 0
  for (const name of config.consumerAssignors) {
    const count = votes.get(name) ?? 0
    if (count > most) [preferred, most] = [name, count]
  }
  return preferred
}

export function computeTarget(
  group: Subscribers & { readonly target: { get(memberId: string): PartitionSet | undefined } },
  topics: TopicsView,
  config: GroupCoordinatorConfig,
): Map<string, PartitionSet> {
  const read = new Map<string, readonly TopicInfo[]>()
  const members: AssignorMember[] = []
  for (const member of group.members.values()) {
    const { memberId, instanceId, rackId, subscribedTopicNames, subscribedTopicRegex } = member
    // Most members of a group subscribe to the same: their topics are looked up once.
    const key = JSON.stringify([subscribedTopicNames, subscribedTopicRegex])
    let known = read.get(key)
    if (known === undefined) read.set(key, (known = topicsOf(member, group, topics)))
    const previous = group.target.get(memberId) ?? NO_PARTITIONS
    members.push({ memberId, instanceId, rackId, topics: known, previous })
  }
  members.sort((left, right) => (left.memberId < right.memberId ? -1 : 1))
  const assign = ASSIGNORS[preferredAssignor(group.members.values(), config)]
  return assign({ members, isUniform: read.size <= 1 })
}

function topicsOf(member: ConsumerMember, group: Subscribers, topics: TopicsView): TopicInfo[] {
  const names = new Set(member.subscribedTopicNames)
  if (member.subscribedTopicRegex !== null) {
    for (const name of group.patterns.get(member.subscribedTopicRegex)?.topics ?? []) names.add(name)
  }
  return Array.from(names)
    .sort()
    .map(name => topics.byName(name))
    .filter(topic => topic !== undefined)
}
