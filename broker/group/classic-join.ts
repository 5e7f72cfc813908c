/**
 * JoinGroup of a classic group: who is let in, under which id, and whether the group must rebalance for it.
 * KIP-345 (static members), KIP-394 (a new member comes back with the id that it was given), KIP-814 (a static leader
 * may be told not to assign).
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type ClassicMember, type ClassicProtocol, NO_BYTES, type Waiting } from './classic-group.ts'
import {
  afterRemoval,
  answerSync,
  type ClassicWork,
  completeJoinIfAllJoined,
  dropMember,
  joined,
  prepareRebalance,
  rebalanceOrCompleteJoin,
  refuseJoin,
  roster,
  startSession,
} from './classic-rebalance.ts'
import { timerKey } from './timer-keys.ts'
import { type JoinGroupCommand } from './types.ts'

/** The first version in which a new dynamic member must come back with its id. */
const VERSION_OF_REQUIRED_IDS = 4
/** The first version that can tell a leader to skip the assignment. */
const VERSION_OF_SKIPPING = 9

/** Why a JoinGroup is refused before any group is looked at, or NONE. */
export function joinProblem(
  command: JoinGroupCommand,
  limits: { readonly minSessionTimeoutMs: number; readonly maxSessionTimeoutMs: number },
): ErrorCode {
  const { groupId, sessionTimeoutMs } = command.request
  if (groupId === '') return ErrorCode.INVALID_GROUP_ID
  const fits =
    sessionTimeoutMs >= limits.minSessionTimeoutMs && sessionTimeoutMs <= limits.maxSessionTimeoutMs
  return fits ? ErrorCode.NONE : ErrorCode.INVALID_SESSION_TIMEOUT
}

export function decideJoin(work: ClassicWork, command: JoinGroupCommand): void {
  const { draft } = work
  const { memberId, protocolType, protocols } = command.request
  if (!isWelcome(work, memberId)) {
    draft.remove(memberId)
    completeJoinIfAllJoined(work)
    refuseJoin(work, command, '', ErrorCode.GROUP_MAX_SIZE_REACHED)
  } else if (!draft.supports(protocolType, protocols)) {
    refuseJoin(work, command, memberId, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
  } else if (memberId === '') {
    decideNewMember(work, command)
  } else {
    decideKnownMember(work, command)
  }
}

/** Whether there is room. Whoever is in stays in, but while members gather, the last ones may find it full. */
function isWelcome({ draft, config }: ClassicWork, memberId: string): boolean {
  const member = draft.members.get(memberId)
  switch (draft.facts.state) {
    case 'Empty':
      return true
    case 'PreparingRebalance':
      return (member !== undefined && member.join !== null) || draft.facts.waitingJoins < config.maxSize
    case 'CompletingRebalance':
    case 'Stable':
      return member !== undefined || draft.members.size < config.maxSize
  }
}

function decideNewMember(work: ClassicWork, command: JoinGroupCommand): void {
  const { draft, out } = work
  const { groupInstanceId, sessionTimeoutMs } = command.request
  if (groupInstanceId !== null) {
    const previous = draft.instances.get(groupInstanceId)
    if (previous === undefined) addMember(work, command, command.newMemberId)
    else replaceStaticMember(work, command, previous)
    return
  }
  if (command.version < VERSION_OF_REQUIRED_IDS) {
    addMember(work, command, command.newMemberId)
    return
  }
  draft.pendingJoins.set(command.newMemberId, true)
  out.setTimer(timerKey('session', draft.groupId, command.newMemberId), sessionTimeoutMs)
  refuseJoin(work, command, command.newMemberId, ErrorCode.MEMBER_ID_REQUIRED)
}

function decideKnownMember(work: ClassicWork, command: JoinGroupCommand): void {
  const { draft, out } = work
  const { memberId, groupInstanceId, protocols } = command.request
  if (draft.pendingJoins.has(memberId) && groupInstanceId === null) {
    addMember(work, command, memberId)
    return
  }
  const problem = memberProblem(work, memberId, groupInstanceId)
  if (problem !== ErrorCode.NONE) {
    refuseJoin(work, command, memberId, problem)
    return
  }
  const member = draft.member(memberId)
  const { state, leaderId } = draft.facts
  const same = sameProtocols(member.protocols, protocols)
  // It may have missed the answer to its join: it is told again. In a stable group a leader that joins again wants to
  // assign anew, as when the topics have changed.
  if (same && (state === 'CompletingRebalance' || (state === 'Stable' && leaderId !== memberId))) {
    out.reply('join-group', command.token, joined(draft, member, command))
    startSession(work, memberId)
    return
  }
  rejoin(work, command, member)
  rebalanceOrCompleteJoin(work)
}

/** UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID where another member has taken the place of a static one, or NONE. */
export function memberProblem(
  { draft }: Pick<ClassicWork, 'draft'>,
  memberId: string,
  instanceId: string | null,
): ErrorCode {
  if (instanceId !== null) {
    const current = draft.instances.get(instanceId)
    if (current === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
    if (current !== memberId) return ErrorCode.FENCED_INSTANCE_ID
  }
  return draft.members.has(memberId) ? ErrorCode.NONE : ErrorCode.UNKNOWN_MEMBER_ID
}

function addMember(work: ClassicWork, command: JoinGroupCommand, memberId: string): void {
  const { draft, out, config } = work
  const { request } = command
  const { initialDelay } = draft.facts
  if (initialDelay !== null) draft.update({ initialDelay: { ...initialDelay, grown: true } })
  const member: ClassicMember = {
    memberId,
    instanceId: request.groupInstanceId,
    clientId: command.clientId,
    clientHost: command.clientHost,
    rebalanceTimeoutMs: rebalanceTimeoutOf(command),
    sessionTimeoutMs: request.sessionTimeoutMs,
    protocols: keptProtocols(request.protocols),
    assignment: NO_BYTES,
    isNew: true,
    join: waiting(command),
    sync: null,
  }
  draft.add(member, request.protocolType)
  // It cannot heartbeat before it has its id. One that gives up waiting and joins anew would leave a phantom behind,
  // which every rebalance waits for: so it does not stay in this join for longer than that.
  out.setTimer(timerKey('session', draft.groupId, memberId), config.newMemberJoinTimeoutMs)
  rebalanceOrCompleteJoin(work)
}

/** The member joins again, as it is now. A join of it that still waits is a connection that it has given up. */
function rejoin(work: ClassicWork, command: JoinGroupCommand, member: ClassicMember): void {
  const { request } = command
  if (member.join !== null) refuseJoin(work, member.join, member.memberId, ErrorCode.REBALANCE_IN_PROGRESS)
  answerSync(work, member, ErrorCode.REBALANCE_IN_PROGRESS, NO_BYTES)
  work.draft.replace({
    ...work.draft.member(member.memberId),
    rebalanceTimeoutMs: rebalanceTimeoutOf(command),
    sessionTimeoutMs: request.sessionTimeoutMs,
    protocols: keptProtocols(request.protocols),
    join: waiting(command),
  })
}

/**
 * A static member is back under a new id (it has restarted). The old id is fenced at once, the assignment stays, and a
 * stable group goes on without a rebalance unless its protocol would change.
 */
function replaceStaticMember(work: ClassicWork, command: JoinGroupCommand, oldMemberId: string): void {
  const { draft, out } = work
  const { request } = command
  const old = draft.member(oldMemberId)
  const wasLeader = draft.facts.leaderId === oldMemberId
  const formerLeader = draft.facts.leaderId ?? ''
  if (old.join !== null) refuseJoin(work, old.join, oldMemberId, ErrorCode.FENCED_INSTANCE_ID)
  answerSync(work, old, ErrorCode.FENCED_INSTANCE_ID, NO_BYTES)
  draft.remove(oldMemberId)
  out.cancelTimer(timerKey('session', draft.groupId, oldMemberId))
  const member: ClassicMember = {
    ...old,
    memberId: command.newMemberId,
    clientId: command.clientId,
    clientHost: command.clientHost,
    rebalanceTimeoutMs: rebalanceTimeoutOf(command),
    sessionTimeoutMs: request.sessionTimeoutMs,
    protocols: keptProtocols(request.protocols),
    join: waiting(command),
    sync: null,
  }
  draft.add(member, request.protocolType)
  if (wasLeader) draft.update({ leaderId: member.memberId })
  startSession(work, member.memberId)
  switch (draft.facts.state) {
    case 'Stable':
      if (draft.electedProtocol() === draft.facts.protocolName) keepStable(work, command, formerLeader)
      else prepareRebalance(work)
      break
    case 'CompletingRebalance':
      // The leader may be assigning to the old id right now.
      prepareRebalance(work)
      break
    default:
      completeJoinIfAllJoined(work)
  }
}

/** The replaced member is answered at once, and the log learns of its new id. */
function keepStable(work: ClassicWork, command: JoinGroupCommand, formerLeader: string): void {
  const { draft, out } = work
  const member = draft.member(command.newMemberId)
  const answer = joined(draft, member, command)
  const isLeader = draft.facts.leaderId === member.memberId
  if (command.version >= VERSION_OF_SKIPPING) {
    out.reply('join-group', command.token, {
      ...answer,
      members: isLeader ? roster(draft) : [],
      skipAssignment: isLeader,
    })
  } else {
    // Told the former leader's id, it takes itself for a follower and asks for the assignment that is there.
    out.reply('join-group', command.token, { ...answer, leader: formerLeader, members: [] })
  }
  draft.replace({ ...member, join: null })
  draft.update({ subscribedTopics: draft.topics(draft.facts.protocolName) })
  out.record({ type: 'group-metadata', key: { groupId: draft.groupId }, value: draft.toRecordValue() })
}

/** The connection of a waiting join is gone: a member that has never learned its id is a phantom from now on. */
export function decideAbandonedJoin(work: ClassicWork, joinToken: number): void {
  for (const member of work.draft.members.values()) {
    if (member.join?.token !== joinToken) continue
    const knowsItsId = member.instanceId !== null || member.join.version >= VERSION_OF_REQUIRED_IDS
    if (member.isNew && !knowsItsId) {
      dropMember(work, member)
      afterRemoval(work)
    }
    return
  }
}

/** Version 0 has no rebalance timeout. */
export function rebalanceTimeoutOf({ version, request }: JoinGroupCommand): number {
  return version === 0 ? request.sessionTimeoutMs : request.rebalanceTimeoutMs
}

function waiting({ token, version }: JoinGroupCommand): Waiting {
  return { token, version }
}

/** The request's bytes are a slice of its frame. A name that stands twice counts once. */
export function keptProtocols(protocols: readonly ClassicProtocol[]): ClassicProtocol[] {
  const names = new Set<string>()
  const result: ClassicProtocol[] = []
  for (const { name, metadata } of protocols) {
    if (names.has(name)) continue
    names.add(name)
    result.push({ name, metadata: new Uint8Array(metadata) })
  }
  return result
}

function sameProtocols(left: readonly ClassicProtocol[], right: readonly ClassicProtocol[]): boolean {
  return (
    left.length === right.length &&
    left.every(({ name, metadata }, index) => {
      const other = right[index]!
      return name === other.name && sameBytes(metadata, other.metadata)
    })
  )
}

export function sameBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index])
}
