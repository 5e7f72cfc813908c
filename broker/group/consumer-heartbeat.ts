/**
 * ConsumerGroupHeartbeat (KIP-848): a member joins (epoch 0), tells that it lives and what it owns, changes what it
 * reads, learns what it is to have, leaves (-1), or goes for a while as a static member (-2).
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type GroupSurroundings } from './config.ts'
import { takeOut } from './consumer-classic.ts'
import { type ConsumerDraft } from './consumer-draft.ts'
import {
  AWAY_EPOCH,
  ConsumerGroup,
  type ConsumerMember,
  LEAVE_EPOCH,
  MemberState,
  newMember,
} from './consumer-group.ts'
import {
  answerHeartbeat,
  type ConsumerWork,
  cancelTimers,
  describeMember,
  forgetPattern,
  refreshTargetInTime,
  replaceStaticMember,
  resolvePattern,
  startMemberSession,
  stepMember,
  workOn,
} from './consumer-work.ts'
import { type ShardWork } from './offset-commands.ts'
import { isSubset, NO_PARTITIONS, partitionSet } from './partition-sets.ts'
import { upgrade, upgradeProblem } from './protocol-change.ts'
import { timerKey } from './timer-keys.ts'
import { type ConsumerGroupHeartbeatCommand } from './types.ts'

/** Since this version the client chooses its member id. */
const VERSION_OF_OWN_IDS = 1

interface Refusal {
  readonly errorCode: ErrorCode
  readonly message: string
}

export function decideConsumerHeartbeat(shard: ShardWork, command: ConsumerGroupHeartbeatCommand): void {
  const { memberEpoch, groupId } = command.request
  const refusal = requestProblem(shard, command)
  if (refusal !== null) {
    refuse(shard, command, refusal)
    return
  }
  const group = shard.state.consumerGroup(groupId)
  if (memberEpoch < 0) {
    if (group === undefined) refuse(shard, command, groupNotFound(shard, groupId))
    else decideLeave(workOn(shard, group), shard, command)
    return
  }
  if (group !== undefined) {
    decideOnGroup(workOn(shard, group), shard, command)
    return
  }
  if (memberEpoch > 0) {
    refuse(shard, command, groupNotFound(shard, groupId))
    return
  }
  const classic = shard.state.classicGroup(groupId)
  if (classic === undefined || classic.facts.state === 'Empty') {
    // An empty classic group makes room; its offsets stay.
    if (shard.state.classicRecord(groupId) !== undefined) {
      shard.out.record({ type: 'group-metadata', key: { groupId }, value: null })
    }
    decideOnGroup(workOn(shard, new ConsumerGroup(groupId)), shard, command)
    return
  }
  const problem = upgradeProblem(shard, classic) ?? earlyProblem(shard, command)
  if (typeof problem === 'string') {
    refuse(shard, command, { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, message: problem })
  } else if (problem !== null) refuse(shard, command, problem)
  else decideOnGroup(upgrade(shard, classic), shard, command)
}

function decideOnGroup(work: ConsumerWork, shard: ShardWork, command: ConsumerGroupHeartbeatCommand): void {
  const { draft, surroundings } = work
  const { request } = command
  const found = findMember(work, command)
  if ('errorCode' in found) {
    refuse(shard, command, found)
    return
  }
  const pattern = request.subscribedTopicRegex
  const refusal = draft.patterns.has(pattern ?? '') ? null : patternProblem(surroundings, pattern)
  if (refusal !== null) {
    refuse(shard, command, refusal)
    return
  }
  const before = admit(work, found)
  const updated = updatedMember(before, command)
  const isChanged = describeMember(work, before, updated, found.kind === 'new')
  const isPatternNew = updatePattern(work, before.subscribedTopicRegex, updated.subscribedTopicRegex)
  const isNew = isChanged || isPatternNew
  const isUpToDate = refreshTargetInTime(work, isNew)
  const owned = request.topicPartitions === null ? null : partitionSet(request.topicPartitions)
  const known = tellsAll(command) ? null : before.assigned
  const waiting = { token: command.token, groupEpoch: draft.epoch, owned, known }
  startMemberSession(work, updated)
  if (isUpToDate || (!isNew && updated.memberEpoch > 0)) {
    answerHeartbeat(work, waiting, stepMember(work, updated, owned))
  } else {
    // What it has to do with the last target is nothing to it. Of two requests the older one was given up.
    draft.refuseWaiting(updated.memberId)
    draft.waiting.set(updated.memberId, waiting)
  }
  draft.finish()
}

/** A member that says everything of itself wants to hear everything. */
function tellsAll({ request }: ConsumerGroupHeartbeatCommand): boolean {
  const subscribes = request.subscribedTopicNames !== null || request.subscribedTopicRegex !== null
  return (
    request.memberEpoch === 0 ||
    (request.rebalanceTimeoutMs !== -1 && subscribes && request.topicPartitions !== null)
  )
}

// ----------------------------------------------------------------------------------------------- who it is

type Found =
  | { readonly kind: 'known'; readonly member: ConsumerMember }
  | { readonly kind: 'new'; readonly member: ConsumerMember }
  /** Joins anew under the id that it had: it owns nothing any more. */
  | { readonly kind: 'again'; readonly member: ConsumerMember }
  /** A static member is back under another id. */
  | { readonly kind: 'back'; readonly member: ConsumerMember; readonly memberId: string }

/** Reads only. */
function findMember(
  { draft, surroundings }: ConsumerWork,
  command: ConsumerGroupHeartbeatCommand,
): Found | Refusal {
  const { request } = command
  const { memberEpoch, instanceId } = request
  const memberId = request.memberId === '' ? command.newMemberId : request.memberId
  const staticId = instanceId === null ? undefined : draft.instances.get(instanceId)
  const member = draft.members.get(instanceId === null ? memberId : (staticId ?? ''))
  if (memberEpoch > 0) {
    if (member === undefined) return unknownMember(draft, memberId, instanceId)
    if (member.memberId !== memberId) return fencedInstance(draft, memberId, instanceId)
    return epochProblem(member, command) ?? { kind: 'known', member }
  }
  if (member === undefined) {
    if (draft.members.size < surroundings.config.consumerMaxSize) {
      return { kind: 'new', member: { ...newMember(memberId), instanceId } }
    }
    const message = `The consumer group has reached its maximum capacity of ${surroundings.config.consumerMaxSize} members.`
    return { errorCode: ErrorCode.GROUP_MAX_SIZE_REACHED, message }
  }
  if (instanceId === null || member.memberId === memberId) return { kind: 'again', member }
  // Another process has the instance and has not said that it goes: which of the two is it to be?
  if (member.memberEpoch !== AWAY_EPOCH && member.classic === null) {
    const message = `Static member ${memberId} with instance id ${instanceId} cannot join the group ${draft.groupId} because the instance id is owned by member ${member.memberId}.`
    return { errorCode: ErrorCode.UNRELEASED_INSTANCE_ID, message }
  }
  return { kind: 'back', member, memberId }
}

function epochProblem(member: ConsumerMember, { request }: ConsumerGroupHeartbeatCommand): Refusal | null {
  const { memberEpoch, topicPartitions } = request
  if (memberEpoch === member.memberEpoch) return null
  const known = `than the one known by the group coordinator (${member.memberEpoch}). The member must abandon all its partitions and rejoin.`
  if (memberEpoch > member.memberEpoch) {
    const message = `The consumer group member has a greater member epoch (${memberEpoch}) ${known}`
    return { errorCode: ErrorCode.FENCED_MEMBER_EPOCH, message }
  }
  // The answer that brought the new epoch may have been lost.
  const isRepeated =
    memberEpoch === member.previousMemberEpoch &&
    topicPartitions !== null &&
    isSubset(partitionSet(topicPartitions), member.assigned)
  if (isRepeated) return null
  const message = `The consumer group member has a smaller member epoch (${memberEpoch}) ${known}`
  return { errorCode: ErrorCode.FENCED_MEMBER_EPOCH, message }
}

/**
 * The member as it is before it says anything of itself. Its epoch is 0 but for a known one, so it steps, and is
 * written.
 */
function admit(work: ConsumerWork, found: Found): ConsumerMember {
  const { draft } = work
  switch (found.kind) {
    case 'known':
    case 'new':
      return found.member
    case 'again': {
      cancelTimers(work, found.member.memberId)
      const fresh = withoutPartitions(found.member)
      draft.members.set(fresh.memberId, fresh)
      return fresh
    }
    case 'back':
      return replaceStaticMember(work, found.member, found.memberId)
  }
}

function withoutPartitions(member: ConsumerMember): ConsumerMember {
  return {
    ...member,
    memberEpoch: 0,
    previousMemberEpoch: 0,
    state: MemberState.STABLE,
    assigned: NO_PARTITIONS,
    pendingRevocation: NO_PARTITIONS,
    classic: null,
  }
}

// ----------------------------------------------------------------------------------------- what it wants

/** What the request leaves out stays as it is. */
function updatedMember(before: ConsumerMember, command: ConsumerGroupHeartbeatCommand): ConsumerMember {
  const { request } = command
  const { subscribedTopicNames, subscribedTopicRegex } = request
  return {
    ...before,
    // Whoever speaks this protocol does not speak the classic one any more.
    classic: null,
    instanceId: request.instanceId ?? before.instanceId,
    rackId: request.rackId ?? before.rackId,
    clientId: command.clientId,
    clientHost: command.clientHost,
    rebalanceTimeoutMs:
      request.rebalanceTimeoutMs === -1 ? before.rebalanceTimeoutMs : request.rebalanceTimeoutMs,
    serverAssignor: request.serverAssignor ?? before.serverAssignor,
    subscribedTopicNames:
      subscribedTopicNames === null ? before.subscribedTopicNames : [...new Set(subscribedTopicNames)].sort(),
    subscribedTopicRegex:
      subscribedTopicRegex === null ? before.subscribedTopicRegex : subscribedTopicRegex || null,
  }
}

/** Of what is found out before the group is changed at all. */
function earlyProblem(
  { surroundings }: ShardWork,
  { request }: ConsumerGroupHeartbeatCommand,
): Refusal | null {
  return patternProblem(surroundings, request.subscribedTopicRegex)
}

function patternProblem({ compilePattern }: GroupSurroundings, pattern: string | null): Refusal | null {
  if (pattern === null || pattern === '' || compilePattern(pattern) !== null) return null
  const message = `SubscribedTopicRegex \`${pattern}\` is not a valid regular expression.`
  return { errorCode: ErrorCode.INVALID_REGULAR_EXPRESSION, message }
}

/** True where the member subscribes by another pattern than before. */
function updatePattern(work: ConsumerWork, before: string | null, after: string | null): boolean {
  if (after !== null && !work.draft.patterns.has(after)) {
    const resolved = resolvePattern(work, after)
    if (resolved !== null) work.draft.setPattern(after, resolved)
  }
  if (before === after) return false
  forgetPattern(work, before)
  return true
}

// ------------------------------------------------------------------------------------------------ leaving

function decideLeave(work: ConsumerWork, shard: ShardWork, command: ConsumerGroupHeartbeatCommand): void {
  const { draft, out } = work
  const { memberId, memberEpoch, instanceId } = command.request
  const member =
    instanceId === null
      ? draft.members.get(memberId)
      : draft.members.get(draft.instances.get(instanceId) ?? '')
  if (member === undefined) {
    refuse(shard, command, unknownMember(draft, memberId, instanceId))
    return
  }
  if (member.memberId !== memberId) {
    refuse(shard, command, fencedInstance(draft, memberId, instanceId))
    return
  }
  if (memberEpoch === LEAVE_EPOCH) {
    takeOut(work, [member])
  } else {
    // It comes back before its session ends, or is taken out then. Meanwhile nobody else gets what it has.
    draft.place({
      ...member,
      memberEpoch: AWAY_EPOCH,
      previousMemberEpoch: member.memberEpoch,
      state: MemberState.STABLE,
      pendingRevocation: NO_PARTITIONS,
    })
    out.cancelTimer(timerKey('member-revoke', draft.groupId, memberId))
    draft.finish()
  }
  out.reply('consumer-group-heartbeat', command.token, {
    errorCode: ErrorCode.NONE,
    memberId,
    memberEpoch,
    heartbeatIntervalMs: 0,
  })
}

/** The time of a session, or of a revocation, is over. */
export function memberTimedOut(
  shard: ShardWork,
  group: ConsumerGroup,
  memberId: string,
  isRevoking: boolean,
): void {
  const member = group.members.get(memberId)
  if (member === undefined || (isRevoking && member.state !== MemberState.UNREVOKED_PARTITIONS)) return
  takeOut(workOn(shard, group), [member])
}

/** After the log was replayed, every member has a fresh session. */
export function resumeConsumerGroup(shard: ShardWork, group: ConsumerGroup): void {
  const work = workOn(shard, group)
  for (const member of group.members.values()) {
    startMemberSession(work, member)
    if (member.state === MemberState.UNREVOKED_PARTITIONS) {
      shard.out.setTimer(timerKey('member-revoke', group.groupId, member.memberId), member.rebalanceTimeoutMs)
    }
  }
}

// ----------------------------------------------------------------------------------------------- refusals

function requestProblem({ surroundings }: ShardWork, command: ConsumerGroupHeartbeatCommand): Refusal | null {
  const { request, version } = command
  const { memberEpoch, memberId } = request
  const invalid = (message: string): Refusal => ({ errorCode: ErrorCode.INVALID_REQUEST, message })
  if (request.groupId === '') return invalid("GroupId can't be empty.")
  if (request.instanceId === '') return invalid("InstanceId can't be empty.")
  if (request.rackId === '') return invalid("RackId can't be empty.")
  if (memberEpoch < AWAY_EPOCH) {
    return invalid(`MemberEpoch is ${memberEpoch}, but must be greater than or equal to -2.`)
  }
  if (memberId === '' && (memberEpoch !== 0 || version >= VERSION_OF_OWN_IDS)) {
    return invalid("MemberId can't be empty.")
  }
  if (memberEpoch === AWAY_EPOCH && request.instanceId === null) return invalid("InstanceId can't be null.")
  if (memberEpoch === 0) {
    if (request.rebalanceTimeoutMs === -1)
      return invalid('RebalanceTimeoutMs must be provided in first request.')
    if (request.topicPartitions === null || request.topicPartitions.length > 0) {
      return invalid('TopicPartitions must be empty when (re-)joining.')
    }
    if (request.subscribedTopicNames === null && request.subscribedTopicRegex === null) {
      return invalid(
        'Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.',
      )
    }
  }
  const { serverAssignor } = request
  const supported: readonly string[] = surroundings.config.consumerAssignors
  if (serverAssignor === null || supported.includes(serverAssignor)) return null
  const message = `ServerAssignor ${serverAssignor} is not supported. Supported assignors: ${supported.join(', ')}.`
  return { errorCode: ErrorCode.UNSUPPORTED_ASSIGNOR, message }
}

function groupNotFound({ state }: ShardWork, groupId: string): Refusal {
  const isClassic = state.classicGroup(groupId) !== undefined
  const message = isClassic ? `Group ${groupId} is not a consumer group.` : `Group ${groupId} not found.`
  return { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, message }
}

function unknownMember(draft: ConsumerDraft, memberId: string, instanceId: string | null): Refusal {
  const who = instanceId === null ? `Member ${memberId}` : `Instance id ${instanceId}`
  return {
    errorCode: ErrorCode.UNKNOWN_MEMBER_ID,
    message: `${who} is not a member of group ${draft.groupId}.`,
  }
}

function fencedInstance(draft: ConsumerDraft, memberId: string, instanceId: string | null): Refusal {
  const message = `Static member ${memberId} with instance id ${instanceId} was fenced by another member of group ${draft.groupId}.`
  return { errorCode: ErrorCode.FENCED_INSTANCE_ID, message }
}

function refuse({ out }: ShardWork, command: ConsumerGroupHeartbeatCommand, refusal: Refusal): void {
  out.reply('consumer-group-heartbeat', command.token, {
    errorCode: refusal.errorCode,
    errorMessage: refusal.message,
    memberEpoch: 0,
    heartbeatIntervalMs: 0,
  })
}
