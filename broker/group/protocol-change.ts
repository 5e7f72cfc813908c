/**
 * How a group changes its protocol while it has members (KIP-848). The first member that speaks the new protocol makes
 * a classic group a consumer group, in which the others go on speaking the classic one; when the last that speaks the
 * new one is gone, what is left is a classic group again.
 */
import { ErrorCode, MalformedError } from '../../client/protocol/errors.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
} from '../../client/protocol/messages/consumer-protocol.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import {
  ClassicDraft,
  ClassicGroup,
  type ClassicMember,
  CONSUMER_PROTOCOL_TYPE,
  metadataOf,
  NO_BYTES,
} from './classic-group.ts'
import { answerSync, type ClassicWork, refuseJoin, startSession } from './classic-rebalance.ts'
import { type TopicsView } from './config.ts'
import { ConsumerDraft } from './consumer-draft.ts'
import { ConsumerGroup, type ConsumerMember, newMember } from './consumer-group.ts'
import { type ConsumerWork, cancelTimers, startMemberSession } from './consumer-work.ts'
import { type ShardWork } from './offset-commands.ts'
import { type PartitionSet, partitionSet, type TopicPartitions } from './partition-sets.ts'
import { timerKey } from './timer-keys.ts'

// --------------------------------------------------------------------------------- classic to consumer

/** Why a classic group with members cannot become a consumer group, or null. */
export function upgradeProblem({ surroundings }: ShardWork, group: ClassicGroup): string | null {
  const { config, topics } = surroundings
  const why = (reason: string) =>
    `Cannot upgrade classic group ${group.groupId} to consumer group because ${reason}.`
  const policy = config.consumerMigrationPolicy
  if (policy !== 'upgrade' && policy !== 'bidirectional') return why('online upgrade is disabled')
  if (group.facts.protocolType !== CONSUMER_PROTOCOL_TYPE) {
    return why('the group does not use the consumer embedded protocol')
  }
  if (group.members.size >= config.consumerMaxSize) {
    return why('the group size exceeds the consumer group maximum size')
  }
  for (const member of group.members.values()) {
    const upgraded = upgradedMember(member, group, topics)
    if (upgraded === 'malformed') return why('the embedded consumer protocol is malformed')
    if (upgraded === 'custom') return why('an unsupported custom assignor is in use')
  }
  return null
}

/**
 * The members keep what the last leader gave them, in an epoch that is the generation. Those that wait for a join or a
 * sync are sent to join again. `group` has no upgrade problem.
 */
export function upgrade(shard: ShardWork, group: ClassicGroup): ConsumerWork {
  const { out, surroundings } = shard
  const { groupId } = group
  const old: ClassicWork = { draft: new ClassicDraft(group), out, config: surroundings.config }
  for (const member of group.members.values()) {
    if (member.join !== null) refuseJoin(old, member.join, member.memberId, ErrorCode.REBALANCE_IN_PROGRESS)
    answerSync(old, member, ErrorCode.REBALANCE_IN_PROGRESS, NO_BYTES)
    out.cancelTimer(timerKey('session', groupId, member.memberId))
  }
  for (const memberId of group.pendingJoins.keys()) out.cancelTimer(timerKey('session', groupId, memberId))
  out.cancelTimer(timerKey('join', groupId))
  out.cancelTimer(timerKey('sync', groupId))
  out.record({ type: 'group-metadata', key: { groupId }, value: null })

  const draft = new ConsumerDraft(new ConsumerGroup(groupId), out)
  const work = { draft, out, surroundings }
  draft.setEpoch(group.facts.generation, 0n)
  draft.setAssignmentEpoch(group.facts.generation)
  const taken = new Set<string>()
  for (const one of group.members.values()) {
    const member = upgradedMember(one, group, surroundings.topics)
    if (typeof member === 'string') continue
    const assigned = notTaken(member.assigned, taken)
    draft.describe({ ...member, assigned })
    draft.setTargetOf(member.memberId, assigned)
    draft.place({ ...member, assigned })
    startMemberSession(work, member)
  }
  return work
}

function upgradedMember(
  member: ClassicMember,
  group: ClassicGroup,
  topics: TopicsView,
): ConsumerMember | 'malformed' | 'custom' {
  try {
    const subscription = decodeSubscription(
      metadataOf(member, group.facts.protocolName ?? member.protocols[0]!.name),
    )
    const assignment = decodeAssignment(member.assignment)
    if ((assignment.userData?.length ?? 0) > 0) return 'custom'
    const { generation } = group.facts
    return {
      ...newMember(member.memberId),
      instanceId: member.instanceId,
      rackId: subscription.rackId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      subscribedTopicNames: [...new Set(subscription.topics)].sort(),
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      classic: { sessionTimeoutMs: member.sessionTimeoutMs, supportedProtocols: member.protocols },
      memberEpoch: generation,
      previousMemberEpoch: generation,
      assigned: idsOf(assignment.assignedPartitions, topics),
    }
  } catch (error) {
    if (error instanceof MalformedError) return 'malformed'
    throw error
  }
}

/** Topics that are not there any more are left out. */
export function idsOf(
  named: readonly { readonly topic: string; readonly partitions: readonly number[] }[],
  topics: TopicsView,
): PartitionSet {
  const known: TopicPartitions[] = []
  for (const { topic, partitions } of named) {
    const info = topics.byName(topic)
    if (info !== undefined) known.push({ topicId: info.topicId, partitions })
  }
  return partitionSet(known)
}

/** A leader may have given a partition to two members; here it has one owner. */
function notTaken(set: PartitionSet, taken: Set<string>): PartitionSet {
  const own = new Map<TopicId, readonly number[]>()
  for (const [topicId, partitions] of set) {
    const free = partitions.filter(partition => !taken.has(`${topicId}/${partition}`))
    for (const partition of free) taken.add(`${topicId}/${partition}`)
    if (free.length > 0) own.set(topicId, free)
  }
  return own
}

// --------------------------------------------------------------------------------- consumer to classic

/**
 * Whether nobody speaks the new protocol any more, and the others may be a classic group. `replaced` is about to be
 * replaced by a classic member and does not count.
 */
export function canDowngrade(
  { draft, surroundings }: ConsumerWork,
  replaced: ConsumerMember | null,
): boolean {
  const { consumerMigrationPolicy: policy, maxSize } = surroundings.config
  if (policy !== 'downgrade' && policy !== 'bidirectional') return false
  const left: ConsumerMember[] = []
  for (const member of draft.members.values()) {
    if (member.memberId === replaced?.memberId) continue
    // Mostly the first one: thousands may go at the same time, and this is asked for each of them.
    if (member.classic === null) return false
    left.push(member)
  }
  if (left.length > maxSize) return false
  return left.length === 0 ? replaced !== null : (commonProtocols(left)?.size ?? 0) > 0
}

/** The protocols that all classic members know; null where there is no such member. */
export function commonProtocols(members: Iterable<ConsumerMember>): Set<string> | null {
  let common: Set<string> | null = null
  for (const { classic } of members) {
    if (classic === null) continue
    const names: Set<string> = new Set(classic.supportedProtocols.map(({ name }) => name))
    for (const name of common ?? []) if (!names.has(name)) common?.delete(name)
    common ??= names
  }
  return common
}

/**
 * The members keep what they have, in a stable generation that is the epoch. The caller must make it rebalance, so that
 * what nobody has is given out, and then hand the change over (`commitDowngrade`).
 */
export function downgrade(work: ConsumerWork): {
  readonly group: ClassicGroup
  readonly classic: ClassicWork
} {
  const { draft: old, out, surroundings } = work
  const { topics, config } = surroundings
  const group = new ClassicGroup(old.groupId)
  const draft = new ClassicDraft(group)
  const members = [...old.members.values()]
  const generation = old.epoch
  for (const member of members) cancelTimers(work, member.memberId)
  old.remove()
  for (const member of members) draft.add(downgradedMember(member), CONSUMER_PROTOCOL_TYPE)
  const protocolName = members.length === 0 ? null : draft.electedProtocol()
  draft.update({
    generation,
    protocolType: CONSUMER_PROTOCOL_TYPE,
    protocolName,
    subscribedTopics: draft.topics(protocolName),
  })
  draft.enter(members.length === 0 ? 'Empty' : 'Stable', out.nowMs)
  for (const { memberId, assigned } of members) {
    const member = draft.member(memberId)
    draft.replace({ ...member, assignment: encoded(assigned, metadataOf(member, protocolName), topics) })
  }
  // A group with members and no leader: whoever loads it knows that nobody has assigned in this generation yet.
  const value = { ...draft.toRecordValue(), leader: null }
  out.record({ type: 'group-metadata', key: { groupId: draft.groupId }, value })
  const classic = { draft, out, config }
  for (const { memberId } of members) startSession(classic, memberId)
  return { group, classic }
}

export function commitDowngrade({ group, classic }: ReturnType<typeof downgrade>): void {
  classic.out.change({ kind: 'classic-group', group, patch: classic.draft.patch() })
}

function downgradedMember(member: ConsumerMember): ClassicMember {
  return {
    memberId: member.memberId,
    instanceId: member.instanceId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    sessionTimeoutMs: member.classic?.sessionTimeoutMs ?? 0,
    protocols: member.classic?.supportedProtocols ?? [],
    assignment: NO_BYTES,
    isNew: false,
    join: null,
    sync: null,
  }
}

/** In the version that the member speaks itself. */
export function encoded(set: PartitionSet, subscription: Uint8Array, topics: TopicsView): Buffer {
  const assignedPartitions = []
  for (const [topicId, partitions] of set) {
    const topic = topics.byId(topicId)
    if (topic !== undefined) assignedPartitions.push({ topic: topic.name, partitions: [...partitions] })
  }
  return encodeAssignment({ assignedPartitions, userData: null }, versionOf(subscription))
}

function versionOf(subscription: Uint8Array): number {
  try {
    return decodeSubscription(subscription).version
  } catch (error) {
    if (error instanceof MalformedError) return 0
    throw error
  }
}
