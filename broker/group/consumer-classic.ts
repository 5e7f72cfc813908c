/**
 * Members that speak the classic protocol in a consumer group (KIP-848). To them the member epoch is the generation,
 * and a rebalance is theirs alone: a heartbeat sends them to join again when there is something to give up or to get,
 * and what they have now comes with the answer to their sync.
 */
import { ErrorCode, MalformedError } from '../../client/protocol/errors.ts'
import { decodeSubscription } from '../../client/protocol/messages/consumer-protocol.ts'
import { CONSUMER_PROTOCOL_TYPE, NO_BYTES } from './classic-group.ts'
import { decideJoin, keptProtocols, rebalanceTimeoutOf } from './classic-join.ts'
import { prepareRebalance, refuseJoin } from './classic-rebalance.ts'
import { type ConsumerGroup, type ConsumerMember, MemberState, newMember } from './consumer-group.ts'
import {
  type ConsumerWork,
  cancelTimers,
  describeMember,
  forgetPattern,
  refreshTarget,
  removeMembers,
  replaceStaticMember,
  startMemberSession,
  stepMember,
  workOn,
} from './consumer-work.ts'
import { type ShardWork } from './offset-commands.ts'
import { hasPartition, NO_PARTITIONS } from './partition-sets.ts'
import {
  canDowngrade,
  commitDowngrade,
  commonProtocols,
  downgrade,
  encoded,
  idsOf,
} from './protocol-change.ts'
import { timerKey } from './timer-keys.ts'
import {
  type HeartbeatCommand,
  type JoinGroupCommand,
  type LeaveGroupCommand,
  type SyncGroupCommand,
} from './types.ts'

/** The first version in which a new dynamic member must come back with its id. */
const VERSION_OF_REQUIRED_IDS = 4

// ------------------------------------------------------------------------------------------------ joining

export function joinConsumerGroup(shard: ShardWork, group: ConsumerGroup, command: JoinGroupCommand): void {
  const { request } = command
  const work = workOn(shard, group)
  const problem = joinProblem(work, command)
  if (problem !== ErrorCode.NONE) {
    refuseJoin(work, command, request.memberId, problem)
    return
  }
  const { memberId, groupInstanceId: instanceId } = request
  if (memberId === '' && instanceId === null && command.version >= VERSION_OF_REQUIRED_IDS) {
    refuseJoin(work, command, command.newMemberId, ErrorCode.MEMBER_ID_REQUIRED)
    return
  }
  const subscription = subscriptionOf(command)
  if (subscription === null) {
    refuseJoin(work, command, memberId, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    return
  }
  const existing = instanceId === null ? work.draft.members.get(memberId) : staticMember(work, instanceId)
  // A static member comes back, and as a classic one: nobody may be left now who speaks the new protocol.
  if (memberId === '' && existing?.classic === null && canDowngrade(work, existing)) {
    work.draft.removeMember(existing)
    cancelTimers(work, existing.memberId)
    const downgraded = downgrade(work)
    decideJoin(downgraded.classic, command)
    if (downgraded.classic.draft.facts.state === 'Stable') prepareRebalance(downgraded.classic)
    commitDowngrade(downgraded)
    return
  }
  admitClassic(work, command, subscription, existing)
}

type Subscription = ReturnType<typeof decodeSubscription>

function admitClassic(
  work: ConsumerWork,
  command: JoinGroupCommand,
  subscription: Subscription,
  existing: ConsumerMember | undefined,
): void {
  const { request } = command
  const { draft, out, surroundings } = work
  const before = memberBefore(work, command, existing)
  const updated: ConsumerMember = {
    ...before,
    instanceId: request.groupInstanceId,
    rackId: subscription.rackId,
    clientId: command.clientId,
    clientHost: command.clientHost,
    rebalanceTimeoutMs: rebalanceTimeoutOf(command),
    serverAssignor: null,
    subscribedTopicNames: [...new Set(subscription.topics)].sort(),
    subscribedTopicRegex: null,
    classic: {
      sessionTimeoutMs: request.sessionTimeoutMs,
      supportedProtocols: keptProtocols(request.protocols),
    },
  }
  const isChanged = describeMember(work, before, updated, existing === undefined)
  forgetPattern(work, before.subscribedTopicRegex)
  refreshTarget(work, isChanged || before.subscribedTopicRegex !== null)
  const after = stepMember(work, updated, idsOf(subscription.ownedPartitions, surroundings.topics))
  startMemberSession(work, after)
  draft.expectJoin(after.memberId, false)
  out.cancelTimer(timerKey('member-join', draft.groupId, after.memberId))
  out.setTimer(timerKey('member-sync', draft.groupId, after.memberId), after.rebalanceTimeoutMs)
  draft.finish()
  out.reply('join-group', command.token, {
    errorCode: ErrorCode.NONE,
    generationId: after.memberEpoch,
    protocolType: CONSUMER_PROTOCOL_TYPE,
    protocolName: request.protocols[0]?.name ?? '',
    // Nobody leads: the broker assigns.
    leader: '',
    skipAssignment: false,
    memberId: after.memberId,
    members: [],
  })
}

function memberBefore(
  work: ConsumerWork,
  { request, newMemberId }: JoinGroupCommand,
  existing: ConsumerMember | undefined,
): ConsumerMember {
  const { memberId, groupInstanceId: instanceId } = request
  if (existing === undefined) return { ...newMember(memberId === '' ? newMemberId : memberId), instanceId }
  return memberId === '' ? replaceStaticMember(work, existing, newMemberId) : existing
}

function joinProblem({ draft, surroundings }: ConsumerWork, { request }: JoinGroupCommand): ErrorCode {
  const { memberId, groupInstanceId: instanceId, protocols } = request
  const current = instanceId === null ? undefined : draft.instances.get(instanceId)
  const isKnown = draft.members.has(memberId) || current !== undefined
  if (!isKnown && draft.members.size >= surroundings.config.consumerMaxSize)
    return ErrorCode.GROUP_MAX_SIZE_REACHED
  const common = commonProtocols(draft.members.values())
  const fits = common === null ? protocols.length > 0 : protocols.some(({ name }) => common.has(name))
  if (request.protocolType !== CONSUMER_PROTOCOL_TYPE || !fits) return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
  if (instanceId === null || memberId === '') return ErrorCode.NONE
  if (current === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
  return current === memberId ? ErrorCode.NONE : ErrorCode.FENCED_INSTANCE_ID
}

function subscriptionOf({ request }: JoinGroupCommand): Subscription | null {
  try {
    return decodeSubscription(request.protocols[0]?.metadata ?? NO_BYTES)
  } catch (error) {
    if (error instanceof MalformedError) return null
    throw error
  }
}

function staticMember({ draft }: ConsumerWork, instanceId: string): ConsumerMember | undefined {
  const memberId = draft.instances.get(instanceId)
  return memberId === undefined ? undefined : draft.members.get(memberId)
}

// ------------------------------------------------------------------------------------ syncing, heartbeats

export function syncConsumerGroup(shard: ShardWork, group: ConsumerGroup, command: SyncGroupCommand): void {
  const { request } = command
  const work = workOn(shard, group)
  const found = findClassic(work, request.memberId, request.groupInstanceId)
  const refuse = (errorCode: ErrorCode) =>
    work.out.reply('sync-group', command.token, { errorCode, assignment: NO_BYTES })
  if (typeof found === 'number') {
    refuse(found)
    return
  }
  const { member, protocol } = found
  const { draft, out, surroundings } = work
  if (request.generationId !== member.memberEpoch) refuse(ErrorCode.ILLEGAL_GENERATION)
  else if (
    (request.protocolType ?? CONSUMER_PROTOCOL_TYPE) !== CONSUMER_PROTOCOL_TYPE ||
    (request.protocolName ?? protocol.name) !== protocol.name
  ) {
    refuse(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
  } else if (draft.epoch > member.memberEpoch && member.state !== MemberState.UNREVOKED_PARTITIONS) {
    expectJoin(work, member)
    refuse(ErrorCode.REBALANCE_IN_PROGRESS)
  } else {
    out.cancelTimer(timerKey('member-sync', draft.groupId, member.memberId))
    startMemberSession(work, member)
    out.reply('sync-group', command.token, {
      errorCode: ErrorCode.NONE,
      protocolType: request.protocolType,
      protocolName: request.protocolName,
      assignment: encoded(member.assigned, protocol.metadata, surroundings.topics),
    })
  }
}

export function heartbeatConsumerGroup(
  shard: ShardWork,
  group: ConsumerGroup,
  command: HeartbeatCommand,
): void {
  const { request, token } = command
  const work = workOn(shard, group)
  const found = findClassic(work, request.memberId, request.groupInstanceId)
  let errorCode: ErrorCode = ErrorCode.NONE
  if (typeof found === 'number') errorCode = found
  else if (request.generationId !== found.member.memberEpoch) errorCode = ErrorCode.ILLEGAL_GENERATION
  else {
    startMemberSession(work, found.member)
    // Also tells those to join again whose topics have changed.
    refreshTarget(work, false)
    if (mustJoinAgain(work, found.member)) {
      expectJoin(work, found.member)
      errorCode = ErrorCode.REBALANCE_IN_PROGRESS
    }
    work.draft.finish()
  }
  work.out.reply('heartbeat', token, { errorCode })
}

function mustJoinAgain({ draft }: ConsumerWork, member: ConsumerMember): boolean {
  if (member.memberEpoch < draft.epoch || member.state === MemberState.UNREVOKED_PARTITIONS) return true
  if (member.state !== MemberState.UNRELEASED_PARTITIONS) return false
  // It waits for what others have: as long as any of it is not free, joining again would bring nothing new.
  for (const [topicId, partitions] of draft.target.get(member.memberId) ?? NO_PARTITIONS) {
    for (const partition of partitions) {
      if (hasPartition(member.assigned, topicId, partition)) continue
      if (!draft.isFreeFor(member.memberId, topicId, partition)) return false
    }
  }
  return true
}

/** It has been told; if it does not come, it is out. The time runs from the first time that it was told. */
function expectJoin({ draft, out }: ConsumerWork, member: ConsumerMember): void {
  if (!draft.expectJoin(member.memberId, true)) return
  out.setTimer(timerKey('member-join', draft.groupId, member.memberId), member.rebalanceTimeoutMs)
}

type ClassicProtocolOf = NonNullable<ConsumerMember['classic']>['supportedProtocols'][number]

function findClassic(
  work: ConsumerWork,
  memberId: string,
  instanceId: string | null,
): { readonly member: ConsumerMember; readonly protocol: ClassicProtocolOf } | ErrorCode {
  const member = instanceId === null ? work.draft.members.get(memberId) : staticMember(work, instanceId)
  if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
  if (member.memberId !== memberId) return ErrorCode.FENCED_INSTANCE_ID
  const protocol = member.classic?.supportedProtocols[0]
  return protocol === undefined ? ErrorCode.UNKNOWN_MEMBER_ID : { member, protocol }
}

// ------------------------------------------------------------------------------------------------ leaving

export function leaveConsumerGroup(
  shard: ShardWork,
  group: ConsumerGroup,
  { token, request }: LeaveGroupCommand,
): void {
  const work = workOn(shard, group)
  const gone: ConsumerMember[] = []
  const members = request.members.map(({ memberId, groupInstanceId }) => {
    const current = groupInstanceId === null ? undefined : staticMember(work, groupInstanceId)
    // An administrator takes a static member out by its instance alone.
    const named = memberId === '' ? (current?.memberId ?? '') : memberId
    const found = findClassic(work, named, groupInstanceId)
    if (typeof found === 'number') return { memberId, groupInstanceId, errorCode: found }
    if (!gone.includes(found.member)) gone.push(found.member)
    return { memberId, groupInstanceId, errorCode: ErrorCode.NONE }
  })
  if (gone.length > 0) takeOut(work, gone)
  work.out.reply('leave-group', token, { errorCode: ErrorCode.NONE, members })
}

/** Members are out, by their own will or not; the group may become a classic one by that. */
export function takeOut(work: ConsumerWork, members: readonly ConsumerMember[]): void {
  removeMembers(work, members)
  if (!canDowngrade(work, null)) {
    work.draft.finish()
    return
  }
  const downgraded = downgrade(work)
  prepareRebalance(downgraded.classic)
  commitDowngrade(downgraded)
}
