/**
 * One partition of `__consumer_offsets`: the groups whose hash lands there, their members and their offsets. Decides
 * what becomes of a command, and changes only by what was decided. It knows no sockets, no log and no clock.
 *
 * To load a shard: `apply` every record of the log in order, then decide and carry out `resume` for each of
 * `groupIds()`, then `loaded`.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { ClassicDraft, ClassicGroup } from './classic-group.ts'
import { decideAbandonedJoin, decideJoin, joinProblem } from './classic-join.ts'
import { decideHeartbeat, decideLeave, decideSync, refuseSync } from './classic-members.ts'
import {
  type ClassicWork,
  joinTimedOut,
  prepareRebalance,
  refuseJoin,
  sessionTimedOut,
  startSession,
  syncTimedOut,
} from './classic-rebalance.ts'
import { type GroupSurroundings } from './config.ts'
import {
  heartbeatConsumerGroup,
  joinConsumerGroup,
  leaveConsumerGroup,
  syncConsumerGroup,
} from './consumer-classic.ts'
import { ConsumerDraft } from './consumer-draft.ts'
import { decideConsumerHeartbeat, memberTimedOut, resumeConsumerGroup } from './consumer-heartbeat.ts'
import { targetDue } from './consumer-work.ts'
import { DecisionBuilder } from './decision.ts'
import { decideDescribeConsumerGroups, decideDescribeGroups, decideListGroups } from './describe.ts'
import {
  decideOffsetCommit,
  decideOffsetDelete,
  decideOffsetFetch,
  decideTopicsDeleted,
  deleteAllOffsets,
  expireOffsets,
  type ShardWork,
} from './offset-commands.ts'
import { type GroupRecord } from './records.ts'
import { ShardState } from './shard-state.ts'
import { parseTimerKey, timerKey } from './timer-keys.ts'
import {
  type Decision,
  type DeleteGroupsCommand,
  type GroupCommand,
  type HeartbeatCommand,
  type JoinGroupCommand,
  type LeaveGroupCommand,
  type SyncGroupCommand,
  type VolatileChange,
} from './types.ts'

export class GroupShard {
  readonly #surroundings: GroupSurroundings
  readonly #state = new ShardState()

  constructor(surroundings: GroupSurroundings) {
    this.#surroundings = surroundings
  }

  /** Every group of which there is anything, in no order. */
  groupIds(): string[] {
    return this.#state.groupIds()
  }

  /** How many offsets are kept in all. */
  get offsetCount(): number {
    return this.#state.offsets.count
  }

  /** Reads only. `nowMs` is the wall clock. */
  decide(command: GroupCommand, nowMs: number): Decision {
    const work = { state: this.#state, out: new DecisionBuilder(nowMs), surroundings: this.#surroundings }
    decideCommand(work, command)
    return work.out.build()
  }

  /** The only mutator of what is durable: for replay at load, and for each record of a decision. */
  apply(record: GroupRecord, _offset: Offset): void {
    this.#state.apply(record)
  }

  /** The only mutator of what dies with the coordinator. */
  applyVolatile(change: VolatileChange): void {
    this.#state.applyVolatile(change)
  }
}

function decideCommand(work: ShardWork, command: GroupCommand): void {
  switch (command.kind) {
    case 'join-group':
      routeJoin(work, command)
      break
    case 'sync-group':
      routeSync(work, command)
      break
    case 'heartbeat':
      routeHeartbeat(work, command)
      break
    case 'leave-group':
      routeLeave(work, command)
      break
    case 'offset-commit':
      decideOffsetCommit(work, command)
      break
    case 'offset-fetch':
      decideOffsetFetch(work, command)
      break
    case 'offset-delete':
      decideOffsetDelete(work, command)
      break
    case 'describe-groups':
      decideDescribeGroups(work, command)
      break
    case 'list-groups':
      decideListGroups(work, command)
      break
    case 'delete-groups':
      decideDeleteGroups(work, command)
      break
    case 'consumer-group-heartbeat':
      decideConsumerHeartbeat(work, command)
      break
    case 'consumer-group-describe':
      decideDescribeConsumerGroups(work, command)
      break
    case 'abandon-join':
      onClassic(work, command.groupId, classic => decideAbandonedJoin(classic, command.joinToken))
      break
    case 'timer':
      routeTimer(work, command.key)
      break
    case 'resume':
      resume(work, command.groupId)
      break
    case 'loaded':
      work.out.setTimer(timerKey('expiry'), work.surroundings.config.offsetsRetentionCheckIntervalMs)
      break
    case 'topics-deleted':
      decideTopicsDeleted(work, command.names)
      break
    default:
      command satisfies never
  }
}

/** Decides about a classic group that is there; false where it is not. */
function onClassic(work: ShardWork, groupId: string, decide: (classic: ClassicWork) => void): boolean {
  const group = work.state.classicGroup(groupId)
  if (group === undefined) return false
  changeClassic(work, group, decide)
  return true
}

function changeClassic(work: ShardWork, group: ClassicGroup, decide: (classic: ClassicWork) => void): void {
  const draft = new ClassicDraft(group)
  decide({ draft, out: work.out, config: work.surroundings.config })
  if (draft.isChanged()) work.out.change({ kind: 'classic-group', group, patch: draft.patch() })
}

function routeJoin(work: ShardWork, command: JoinGroupCommand): void {
  const { state, out, surroundings } = work
  const { groupId, memberId } = command.request
  const problem = joinProblem(command, surroundings.config)
  if (problem !== ErrorCode.NONE) {
    refuseJoin(work, command, memberId, problem)
    return
  }
  const consumerGroup = state.consumerGroup(groupId)
  if (consumerGroup !== undefined && consumerGroup.members.size > 0) {
    joinConsumerGroup(work, consumerGroup, command)
    return
  }
  const group = state.classicGroup(groupId)
  if (group === undefined && memberId !== '') {
    refuseJoin(work, command, memberId, ErrorCode.UNKNOWN_MEMBER_ID)
    return
  }
  // An empty consumer group makes room; its offsets stay.
  if (consumerGroup !== undefined) new ConsumerDraft(consumerGroup, out).remove()
  changeClassic(work, group ?? new ClassicGroup(groupId), classic => {
    const isNew = state.classicRecord(groupId) === undefined
    const value = isNew ? { ...classic.draft.toRecordValue(), currentStateTimestamp: out.nowMs } : null
    decideJoin(classic, command)
    // A new group is in the log before anybody hears of it.
    if (classic.draft.isChanged() && value !== null) {
      out.record({ type: 'group-metadata', key: { groupId }, value })
    }
  })
}

function routeSync(work: ShardWork, command: SyncGroupCommand): void {
  const { groupId } = command.request
  const consumerGroup = work.state.consumerGroup(groupId)
  if (groupId === '') refuseSync(work, command.token, ErrorCode.INVALID_GROUP_ID)
  else if (consumerGroup !== undefined) syncConsumerGroup(work, consumerGroup, command)
  else if (!onClassic(work, groupId, classic => decideSync(classic, command))) {
    refuseSync(work, command.token, ErrorCode.UNKNOWN_MEMBER_ID)
  }
}

function routeHeartbeat(work: ShardWork, command: HeartbeatCommand): void {
  const { groupId } = command.request
  const consumerGroup = work.state.consumerGroup(groupId)
  const refuse = (errorCode: ErrorCode) => work.out.reply('heartbeat', command.token, { errorCode })
  if (groupId === '') refuse(ErrorCode.INVALID_GROUP_ID)
  else if (consumerGroup !== undefined) heartbeatConsumerGroup(work, consumerGroup, command)
  else if (!onClassic(work, groupId, classic => decideHeartbeat(classic, command))) {
    refuse(ErrorCode.UNKNOWN_MEMBER_ID)
  }
}

function routeLeave(work: ShardWork, command: LeaveGroupCommand): void {
  const { groupId, members } = command.request
  const { token } = command
  const consumerGroup = work.state.consumerGroup(groupId)
  if (groupId === '') {
    work.out.reply('leave-group', token, { errorCode: ErrorCode.INVALID_GROUP_ID, members: [] })
  } else if (consumerGroup !== undefined) leaveConsumerGroup(work, consumerGroup, command)
  else if (!onClassic(work, groupId, classic => decideLeave(classic, command))) {
    // Where there is no group, nobody is a member; it is said of each.
    const errorCode = ErrorCode.UNKNOWN_MEMBER_ID
    const unknown = members.map(({ memberId, groupInstanceId }) => ({ memberId, groupInstanceId, errorCode }))
    work.out.reply('leave-group', token, { errorCode: ErrorCode.NONE, members: unknown })
  }
}

function decideDeleteGroups(work: ShardWork, command: DeleteGroupsCommand): void {
  const results = command.groupIds.map(groupId => ({ groupId, errorCode: deleteGroup(work, groupId) }))
  work.out.reply('delete-groups', command.token, results)
}

function deleteGroup(work: ShardWork, groupId: string): ErrorCode {
  const { state } = work
  const consumerGroup = state.consumerGroup(groupId)
  const group = state.classicGroup(groupId)
  if (consumerGroup === undefined && group === undefined) return ErrorCode.GROUP_ID_NOT_FOUND
  const isEmpty =
    consumerGroup === undefined ? group?.facts.state === 'Empty' : consumerGroup.members.size === 0
  if (!isEmpty) return ErrorCode.NON_EMPTY_GROUP
  deleteAllOffsets(work, groupId)
  removeGroup(work, groupId)
  return ErrorCode.NONE
}

/** The group has no members and no offsets any more. */
function removeGroup({ state, out }: ShardWork, groupId: string): void {
  const consumerGroup = state.consumerGroup(groupId)
  if (consumerGroup !== undefined) new ConsumerDraft(consumerGroup, out).remove()
  else if (state.classicGroup(groupId) !== undefined) {
    out.record({ type: 'group-metadata', key: { groupId }, value: null })
  }
}

function routeTimer(work: ShardWork, key: string): void {
  const { kind, groupId, memberId } = parseTimerKey(key)
  switch (kind) {
    case 'session':
      onClassic(work, groupId, classic => sessionTimedOut(classic, memberId))
      return
    case 'join':
      onClassic(work, groupId, joinTimedOut)
      return
    case 'sync':
      onClassic(work, groupId, syncTimedOut)
      return
    case 'member-session':
    case 'member-revoke':
    case 'member-join':
    case 'member-sync': {
      const group = work.state.consumerGroup(groupId)
      if (group !== undefined) memberTimedOut(work, group, memberId, kind === 'member-revoke')
      return
    }
    case 'target': {
      const group = work.state.consumerGroup(groupId)
      if (group !== undefined) targetDue(work, group)
      return
    }
    case 'expiry':
      if (groupId === '') scheduleExpiry(work)
      else expireGroup(work, groupId)
      return
    default:
      kind satisfies never
  }
}

/** The groups are gone through one after the other, spread over the time until the next round. */
function scheduleExpiry({ state, out, surroundings }: ShardWork): void {
  const intervalMs = surroundings.config.offsetsRetentionCheckIntervalMs
  const groupIds = state.groupIds().filter(groupId => groupId !== '')
  for (const [index, groupId] of groupIds.entries()) {
    out.setTimer(timerKey('expiry', groupId), Math.floor((index * intervalMs) / groupIds.length))
  }
  out.setTimer(timerKey('expiry'), intervalMs)
}

/** A group without members whose last offset has expired goes with it. */
function expireGroup(work: ShardWork, groupId: string): void {
  const isBare = expireOffsets(work, groupId)
  const consumerGroup = work.state.consumerGroup(groupId)
  const group = work.state.classicGroup(groupId)
  const isEmpty =
    consumerGroup === undefined
      ? group?.facts.state === 'Empty' && group.pendingJoins.size === 0
      : consumerGroup.members.size === 0
  if (isBare && isEmpty) removeGroup(work, groupId)
}

/** Members that the log knows of are taken for alive, and have the time of a session to say so. */
function resume(work: ShardWork, groupId: string): void {
  const consumerGroup = work.state.consumerGroup(groupId)
  if (consumerGroup !== undefined) {
    resumeConsumerGroup(work, consumerGroup)
    return
  }
  const group = work.state.classicGroup(groupId)
  const record = work.state.classicRecord(groupId)
  if (group === undefined || record === undefined) return
  const draft = new ClassicDraft(group)
  const classic = { draft, out: work.out, config: work.surroundings.config }
  for (const memberId of draft.members.keys()) startSession(classic, memberId)
  // The limit was lowered meanwhile: a rebalance lets members commit before the last ones find no room. Or the group
  // has just become a classic one, and nobody has shared out what those had who are gone.
  const isTooLarge = draft.members.size > classic.config.maxSize
  if (isTooLarge || (record.leader === null && draft.members.size > 0)) prepareRebalance(classic)
  // From now on it is in memory, changed or not.
  work.out.change({ kind: 'classic-group', group, patch: draft.patch() })
}
