/**
 * The phases of a rebalance of a classic group: when one begins, when all have joined, who is left behind, and what the
 * members are told. Every function changes the draft and adds to the decision.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type ClassicDraft, type ClassicMember, metadataOf, NO_BYTES, type Waiting } from './classic-group.ts'
import { type GroupCoordinatorConfig } from './config.ts'
import { type DecisionBuilder } from './decision.ts'
import { timerKey } from './timer-keys.ts'

/** What every step of a decision about one classic group works with. */
export interface ClassicWork {
  readonly draft: ClassicDraft
  readonly out: DecisionBuilder
  readonly config: GroupCoordinatorConfig
}

/** To be called after a member has joined, or has gone for good. */
export function rebalanceOrCompleteJoin(work: ClassicWork): void {
  if (work.draft.facts.state === 'PreparingRebalance') completeJoinIfAllJoined(work)
  else prepareRebalance(work)
}

/** Begins a join phase: all members must join again. Of an empty group it lasts a while, so that more can come. */
export function prepareRebalance(work: ClassicWork): void {
  const { draft, out, config } = work
  const { state } = draft.facts
  if (state === 'CompletingRebalance') {
    for (const member of draft.members.values()) {
      answerSync(work, member, ErrorCode.REBALANCE_IN_PROGRESS, NO_BYTES)
      draft.replace({ ...draft.member(member.memberId), assignment: NO_BYTES })
    }
  }
  draft.pendingSyncs.clear()
  out.cancelTimer(timerKey('sync', draft.groupId))
  draft.enter('PreparingRebalance', out.nowMs)
  if (state === 'Empty') {
    const delayMs = config.initialRebalanceDelayMs
    const remainingMs = Math.max(draft.rebalanceTimeoutMs() - delayMs, 0)
    draft.update({ initialDelay: { delayMs, remainingMs, grown: false } })
    out.setTimer(timerKey('join', draft.groupId), delayMs)
  } else if (draft.hasAllJoined()) {
    completeJoin(work)
  } else {
    out.setTimer(timerKey('join', draft.groupId), draft.rebalanceTimeoutMs())
  }
}

/** Ends the join phase when nobody is missing; the first one of a group ends by its timer alone. */
export function completeJoinIfAllJoined(work: ClassicWork): void {
  const { facts } = work.draft
  if (facts.state !== 'PreparingRebalance' || facts.initialDelay !== null) return
  if (work.draft.hasAllJoined()) completeJoin(work)
}

/** The time of the join phase is over, or that of the delay before the first one. */
export function joinTimedOut(work: ClassicWork): void {
  const { draft, out, config } = work
  const { state, initialDelay } = draft.facts
  if (state !== 'PreparingRebalance') return
  if (initialDelay?.grown && initialDelay.remainingMs > 0) {
    // Somebody came meanwhile: more may be on their way.
    const delayMs = Math.min(config.initialRebalanceDelayMs, initialDelay.remainingMs)
    const remainingMs = Math.max(initialDelay.remainingMs - initialDelay.delayMs, 0)
    draft.update({ initialDelay: { delayMs, remainingMs, grown: false } })
    out.setTimer(timerKey('join', draft.groupId), delayMs)
    return
  }
  completeJoin(work)
}

/**
 * The next generation: those who have joined are in it. Dynamic members that have not are out; static ones stay, as
 * they may be restarting, until their session ends.
 */
function completeJoin(work: ClassicWork): void {
  const { draft, out } = work
  out.cancelTimer(timerKey('join', draft.groupId))
  for (const member of [...draft.members.values()]) {
    if (member.join !== null || member.instanceId !== null) continue
    draft.remove(member.memberId)
    out.cancelTimer(timerKey('session', draft.groupId, member.memberId))
  }
  if (draft.members.size > 0 && !draft.electJoinedLeader()) {
    // Only static members are left and none of them has come: wait for one, or for the end of their sessions.
    draft.update({ initialDelay: null })
    out.setTimer(timerKey('join', draft.groupId), draft.rebalanceTimeoutMs())
    return
  }
  const protocolName = draft.members.size === 0 ? null : draft.electedProtocol()
  draft.update({
    generation: draft.facts.generation + 1,
    protocolName,
    initialDelay: null,
    subscribedTopics: draft.topics(protocolName),
  })
  draft.pendingSyncs.clear()
  if (draft.members.size === 0) {
    draft.enter('Empty', out.nowMs)
    out.record({ type: 'group-metadata', key: { groupId: draft.groupId }, value: draft.toRecordValue() })
    return
  }
  draft.enter('CompletingRebalance', out.nowMs)
  for (const member of [...draft.members.values()]) {
    if (member.join !== null) out.reply('join-group', member.join.token, joined(draft, member, member.join))
    draft.replace({ ...member, join: null, isNew: false })
    draft.pendingSyncs.set(member.memberId, true)
    startSession(work, member.memberId)
  }
  out.setTimer(timerKey('sync', draft.groupId), draft.rebalanceTimeoutMs())
}

/** The members that have not asked for their assignment in time are out, and the others begin again. */
export function syncTimedOut(work: ClassicWork): void {
  const { draft, out } = work
  const { state } = draft.facts
  if ((state !== 'CompletingRebalance' && state !== 'Stable') || draft.pendingSyncs.size === 0) return
  for (const memberId of [...draft.pendingSyncs.keys()]) {
    draft.remove(memberId)
    out.cancelTimer(timerKey('session', draft.groupId, memberId))
  }
  prepareRebalance(work)
}

/** Not a word from a member, or from one that was given an id, for as long as its session lasts. */
export function sessionTimedOut(work: ClassicWork, memberId: string): void {
  const { draft } = work
  if (draft.pendingJoins.has(memberId)) {
    draft.remove(memberId)
    completeJoinIfAllJoined(work)
    return
  }
  const member = draft.members.get(memberId)
  // Whoever waits for an answer of ours is not expected to speak; but who has never had one may be long gone.
  if (member === undefined || (!member.isNew && (member.join !== null || member.sync !== null))) return
  dropMember(work, member)
  afterRemoval(work)
}

/** Takes the member out, and answers its join, if one waits, so that it comes anew where it is still there. */
export function dropMember(work: ClassicWork, member: ClassicMember): void {
  const { draft, out } = work
  if (member.join !== null) refuseJoin(work, member.join, '', ErrorCode.UNKNOWN_MEMBER_ID)
  if (member.sync !== null) answerSync(work, member, ErrorCode.UNKNOWN_MEMBER_ID, NO_BYTES)
  draft.remove(member.memberId)
  out.cancelTimer(timerKey('session', draft.groupId, member.memberId))
}

/** The group goes on without those who were taken out. */
export function afterRemoval(work: ClassicWork): void {
  const { state } = work.draft.facts
  if (state === 'Stable' || state === 'CompletingRebalance') prepareRebalance(work)
  else completeJoinIfAllJoined(work)
}

/** From now on the member has the time of its session for its next word. */
export function startSession(work: ClassicWork, memberId: string): void {
  const { draft, out } = work
  out.setTimer(timerKey('session', draft.groupId, memberId), draft.member(memberId).sessionTimeoutMs)
}

/** The answer to a join: which generation this is, and to the leader also who is in it. */
export function joined(draft: ClassicDraft, member: ClassicMember, waiting: Waiting) {
  const { facts } = draft
  return {
    errorCode: ErrorCode.NONE,
    generationId: facts.generation,
    protocolType: facts.protocolType,
    protocolName: facts.protocolName ?? absentName(waiting.version),
    leader: facts.leaderId ?? '',
    skipAssignment: false,
    memberId: member.memberId,
    members: facts.leaderId === member.memberId ? roster(draft) : [],
  }
}

/** All members with what they say of themselves, for the leader. */
export function roster(draft: ClassicDraft) {
  return Array.from(draft.members.values(), ({ memberId, instanceId, ...member }) => ({
    memberId,
    groupInstanceId: instanceId,
    metadata: metadataOf({ memberId, instanceId, ...member }, draft.facts.protocolName),
  }))
}

export function refuseJoin(
  work: Pick<ClassicWork, 'out'>,
  waiting: Waiting,
  memberId: string,
  errorCode: ErrorCode,
): void {
  work.out.reply('join-group', waiting.token, {
    errorCode,
    protocolName: absentName(waiting.version),
    leader: '',
    memberId,
    members: [],
  })
}

/** Before version 7 a protocol name cannot be null. */
function absentName(version: number): string | null {
  return version >= 7 ? null : ''
}

/** Answers the member's sync, if one waits. */
export function answerSync(
  work: ClassicWork,
  member: ClassicMember,
  errorCode: ErrorCode,
  assignment: Uint8Array,
): void {
  const { draft, out } = work
  if (member.sync === null) return
  const { protocolType, protocolName } = draft.facts
  const known = errorCode === ErrorCode.NONE
  out.reply('sync-group', member.sync.token, {
    errorCode,
    protocolType: known ? protocolType : null,
    protocolName: known ? protocolName : null,
    assignment,
  })
  draft.replace({ ...member, sync: null })
  startSession(work, member.memberId)
}
