/**
 * What members of a classic group ask for besides joining: their assignment (SyncGroup), to be known alive (Heartbeat),
 * and to leave (LeaveGroup).
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { NO_BYTES } from './classic-group.ts'
import { memberProblem } from './classic-join.ts'
import { afterRemoval, answerSync, type ClassicWork, dropMember, startSession } from './classic-rebalance.ts'
import { timerKey } from './timer-keys.ts'
import { type HeartbeatCommand, type LeaveGroupCommand, type SyncGroupCommand } from './types.ts'

export function decideSync(work: ClassicWork, command: SyncGroupCommand): void {
  const { draft, out } = work
  const { memberId } = command.request
  const problem = syncProblem(work, command)
  if (problem !== ErrorCode.NONE) {
    refuseSync(work, command.token, problem)
    return
  }
  draft.pendingSyncs.delete(memberId)
  if (draft.pendingSyncs.size === 0) out.cancelTimer(timerKey('sync', draft.groupId))
  const { protocolType, protocolName } = draft.facts
  if (draft.facts.state === 'Stable') {
    const { assignment } = draft.member(memberId)
    out.reply('sync-group', command.token, {
      errorCode: ErrorCode.NONE,
      protocolType,
      protocolName,
      assignment,
    })
    return
  }
  const member = draft.member(memberId)
  // A sync of the same member that still waits is a connection that it has given up.
  answerSync(work, member, ErrorCode.REBALANCE_IN_PROGRESS, NO_BYTES)
  draft.replace({ ...draft.member(memberId), sync: { token: command.token, version: command.version } })
  if (draft.facts.leaderId === memberId) assign(work, command)
}

/** The leader has assigned: that is the generation's state from now on, and who has asked for it is told. */
function assign(work: ClassicWork, { request }: SyncGroupCommand): void {
  const { draft, out } = work
  const assignments = new Map(request.assignments.map(({ memberId, assignment }) => [memberId, assignment]))
  for (const { memberId } of [...draft.members.values()]) {
    const given = assignments.get(memberId)
    // The request's bytes are a slice of its frame.
    const assignment = given === undefined ? NO_BYTES : new Uint8Array(given)
    answerSync(work, draft.member(memberId), ErrorCode.NONE, assignment)
    draft.replace({ ...draft.member(memberId), assignment })
  }
  draft.enter('Stable', out.nowMs)
  out.record({ type: 'group-metadata', key: { groupId: draft.groupId }, value: draft.toRecordValue() })
}

function syncProblem(work: ClassicWork, { request }: SyncGroupCommand): ErrorCode {
  const { state, generation, protocolType, protocolName } = work.draft.facts
  const problem = memberProblem(work, request.memberId, request.groupInstanceId)
  if (problem !== ErrorCode.NONE) return problem
  if (request.generationId !== generation) return ErrorCode.ILLEGAL_GENERATION
  if (differs(request.protocolType, protocolType) || differs(request.protocolName, protocolName)) {
    return ErrorCode.INCONSISTENT_GROUP_PROTOCOL
  }
  return state === 'PreparingRebalance' ? ErrorCode.REBALANCE_IN_PROGRESS : ErrorCode.NONE
}

function differs(asked: string | null, actual: string | null): boolean {
  return asked !== null && actual !== null && asked !== actual
}

export function refuseSync(work: Pick<ClassicWork, 'out'>, token: number, errorCode: ErrorCode): void {
  work.out.reply('sync-group', token, { errorCode, assignment: NO_BYTES })
}

export function decideHeartbeat(work: ClassicWork, { token, request }: HeartbeatCommand): void {
  const { draft, out } = work
  const { state, generation } = draft.facts
  let errorCode = memberProblem(work, request.memberId, request.groupInstanceId)
  if (errorCode === ErrorCode.NONE && request.generationId !== generation)
    errorCode = ErrorCode.ILLEGAL_GENERATION
  if (errorCode === ErrorCode.NONE) {
    if (draft.member(request.memberId).join === null) startSession(work, request.memberId)
    if (state === 'PreparingRebalance') errorCode = ErrorCode.REBALANCE_IN_PROGRESS
  }
  out.reply('heartbeat', token, { errorCode })
}

export function decideLeave(work: ClassicWork, { token, request }: LeaveGroupCommand): void {
  const { draft, out } = work
  const members = request.members.map(({ memberId, groupInstanceId }) => ({
    memberId,
    groupInstanceId,
    errorCode: leave(work, memberId, groupInstanceId),
  }))
  if (members.some(member => member.errorCode === ErrorCode.NONE) && draft.facts.state !== 'Empty') {
    afterRemoval(work)
  }
  out.reply('leave-group', token, { errorCode: ErrorCode.NONE, members })
}

function leave(work: ClassicWork, memberId: string, instanceId: string | null): ErrorCode {
  const { draft, out } = work
  if (memberId === '') {
    // An administrator takes a static member out by its instance alone.
    const current = instanceId === null ? undefined : draft.instances.get(instanceId)
    if (current === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
    dropMember(work, draft.member(current))
    return ErrorCode.NONE
  }
  if (draft.pendingJoins.has(memberId)) {
    draft.remove(memberId)
    out.cancelTimer(timerKey('session', draft.groupId, memberId))
    return ErrorCode.NONE
  }
  const problem = memberProblem(work, memberId, instanceId)
  if (problem === ErrorCode.NONE) dropMember(work, draft.member(memberId))
  return problem
}
