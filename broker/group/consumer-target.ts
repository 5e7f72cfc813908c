/**
 * What every member of a consumer group is to have in the end: the target that an assignor computes from the
 * subscriptions, the topics, and the target before.
 */
import { assignRange } from './assignor-range.ts'
import { assignUniform } from './assignor-uniform.ts'
import { type Assignor, type AssignorMember } from './assignors.ts'
import { type AssignorName, type GroupCoordinatorConfig, type TopicInfo, type TopicsView } from './config.ts'
import { type ConsumerMember } from './consumer-group.ts'
import { type Subscribers, subscribeAlike, subscribedNames } from './consumer-subscriptions.ts'
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

/** A group, or the draft of one. */
export interface Assignable extends Subscribers {
  readonly members: { readonly size: number; values(): Iterable<ConsumerMember> }
  readonly target: { get(memberId: string): PartitionSet | undefined }
}

/** Below so many members and partitions together a target costs less than a millisecond or two. */
const LARGE = 1000
/** Above, there is a millisecond between two targets for each so many: far more than it takes to compute one. */
const PER_MILLISECOND = 25
const LONGEST_PAUSE_MS = 1000

/**
 * How long to wait after one target before the next. To compute one goes through all members and partitions, so when
 * thousands join at once, one for each of them would keep the broker busy for seconds. They are answered together.
 */
export function pauseBetweenTargetsMs(
  group: Assignable,
  topics: TopicsView,
  config: GroupCoordinatorConfig,
): number {
  let size = group.members.size
  for (const name of subscribedNames(group)) size += topics.byName(name)?.partitionCount ?? 0
  const pauseMs = size < LARGE ? 0 : Math.min(Math.floor(size / PER_MILLISECOND), LONGEST_PAUSE_MS)
  return Math.max(pauseMs, config.consumerAssignmentIntervalMs)
}

export function computeTarget(
  group: Assignable,
  topics: TopicsView,
  config: GroupCoordinatorConfig,
): Map<string, PartitionSet> {
  const read = new Map<string, readonly TopicInfo[]>()
  const members: AssignorMember[] = []
  const all = [...group.members.values()]
  let last: ConsumerMember | null = null
  let known: readonly TopicInfo[] = []
  for (const member of all) {
    const { memberId, instanceId, rackId } = member
    // Most members of a group subscribe to the same: their topics are looked up once.
    if (last === null || !subscribeAlike(last, member)) {
      const key = JSON.stringify([member.subscribedTopicNames, member.subscribedTopicRegex])
      known = read.get(key) ?? topicsOf(member, group, topics)
      read.set(key, known)
      last = member
    }
    const previous = group.target.get(memberId) ?? NO_PARTITIONS
    members.push({ memberId, instanceId, rackId, topics: known, previous })
  }
  members.sort((left, right) => (left.memberId < right.memberId ? -1 : 1))
  const assign = ASSIGNORS[preferredAssignor(all, config)]
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
