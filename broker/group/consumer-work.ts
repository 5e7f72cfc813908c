/**
 * What is common to everything that happens to a consumer group: its topics are looked at, its epoch grows, members
 * step towards the target, members are taken out. Every function changes the draft and adds to the decision.
 */
import { assert } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type GroupSurroundings } from './config.ts'
import { ConsumerDraft } from './consumer-draft.ts'
import {
  type ConsumerGroup,
  type ConsumerMember,
  MemberState,
  type ResolvedPattern,
  type WaitingHeartbeat,
} from './consumer-group.ts'
import { reconcile } from './consumer-reconcile.ts'
import { hashOfTopics, subscribedNames } from './consumer-subscriptions.ts'
import { computeTarget, pauseBetweenTargetsMs } from './consumer-target.ts'
import { type DecisionBuilder } from './decision.ts'
import { NO_PARTITIONS, type PartitionSet, samePartitions, toTopicPartitions } from './partition-sets.ts'
import { timerKey } from './timer-keys.ts'

/** Patterns are matched with all topics again when these have changed, but not more often than this. */
const PATTERN_INTERVAL_MS = 1000

/** More at once would hold up the event loop for longer than is noticed. */
const ANSWERS_AT_ONCE = 200

export interface ConsumerWork {
  readonly draft: ConsumerDraft
  readonly out: DecisionBuilder
  readonly surroundings: GroupSurroundings
}

export function workOn(
  shard: Pick<ConsumerWork, 'out' | 'surroundings'>,
  group: ConsumerGroup,
): ConsumerWork {
  return { draft: new ConsumerDraft(group, shard.out), out: shard.out, surroundings: shard.surroundings }
}

/**
 * A new group epoch if the group reads other topics than before, or `isChanged`: somebody came, went, or subscribed to
 * something else. Then, or if the last target is of an older epoch, a new target.
 */
export function refreshTarget(work: ConsumerWork, isChanged: boolean): void {
  refreshEpoch(work, isChanged)
  if (work.draft.epoch > work.draft.assignmentEpoch) setTarget(work)
}

/** The same, but false, without a new target, where it is too soon after the last one: then a timer sees to it. */
export function refreshTargetInTime(work: ConsumerWork, isChanged: boolean): boolean {
  refreshEpoch(work, isChanged)
  const { draft, out } = work
  if (draft.epoch === draft.assignmentEpoch) return true
  const pauseMs = pauseLeftMs(work)
  if (pauseMs === 0) setTarget(work)
  else out.setTimer(timerKey('target', draft.groupId), pauseMs)
  return pauseMs === 0
}

/** The wall clock may have been set back. */
function pauseLeftMs({ draft, out, surroundings }: ConsumerWork): number {
  const pauseMs = pauseBetweenTargetsMs(draft, surroundings.topics, surroundings.config)
  return Math.max(0, pauseMs - Math.abs(out.nowMs - draft.assignmentTimestamp))
}

function setTarget(work: ConsumerWork): void {
  const { draft, surroundings } = work
  draft.setTarget(computeTarget(draft, surroundings.topics, surroundings.config))
  answerWaiting(work)
}

/** Those for whom the target has come, some at a time, and the others when it is their turn. */
function answerWaiting(work: ConsumerWork): void {
  const { draft, out } = work
  const key = timerKey('target', draft.groupId)
  let left = ANSWERS_AT_ONCE
  out.cancelTimer(key)
  for (const [memberId, waiting] of draft.waiting.entries()) {
    const isDue = waiting.groupEpoch <= draft.assignmentEpoch
    if (left === 0 || !isDue) {
      out.setTimer(key, isDue ? 0 : pauseLeftMs(work))
      return
    }
    left--
    draft.waiting.delete(memberId)
    const member = draft.members.get(memberId)
    assert(member !== undefined, `${memberId}, who waits for a target, is in ${draft.groupId}`)
    answerHeartbeat(work, waiting, stepMember(work, member, waiting.owned))
  }
}

/** Who has waited since the last target gets theirs. */
export function targetDue(shard: Pick<ConsumerWork, 'out' | 'surroundings'>, group: ConsumerGroup): void {
  const work = workOn(shard, group)
  const { draft } = work
  refreshTargetInTime(work, false)
  const isNew = draft.assignmentEpoch !== group.assignmentEpoch
  if (!isNew && draft.waiting.size > 0) answerWaiting(work)
  draft.finish()
}

/** Tells a member its epoch, and what it is to have where that is news to it. */
export function answerHeartbeat(
  { draft, out, surroundings }: ConsumerWork,
  { token, known }: WaitingHeartbeat,
  { memberId, memberEpoch, assigned }: ConsumerMember,
): void {
  const isNews = known === null || !samePartitions(known, assigned)
  out.reply('consumer-group-heartbeat', token, {
    errorCode: ErrorCode.NONE,
    memberId,
    memberEpoch,
    heartbeatIntervalMs:
      surroundings.overridesOf(draft.groupId).consumerHeartbeatIntervalMs ??
      surroundings.config.consumerHeartbeatIntervalMs,
    assignment: isNews ? { topicPartitions: toTopicPartitions(assigned) } : null,
  })
}

/** The same without a target: it is computed when the next member asks. */
export function refreshEpoch(work: ConsumerWork, isChanged: boolean): void {
  const { draft, out, surroundings } = work
  const { topics } = surroundings
  const isUpToDate = draft.checks.topicsVersion === topics.version
  if (!isChanged && isUpToDate) return
  let { patternsMatchedMs } = draft.checks
  let areMatched = true
  if (!isUpToDate && draft.patterns.size > 0) {
    areMatched = patternsMatchedMs === null || Math.abs(out.nowMs - patternsMatchedMs) >= PATTERN_INTERVAL_MS
    if (areMatched) {
      matchPatterns(work)
      patternsMatchedMs = out.nowMs
    }
  }
  const hash = hashOfTopics(subscribedNames(draft), topics)
  if (isChanged || hash !== draft.metadataHash) draft.setEpoch(draft.epoch + 1, hash)
  if (areMatched) draft.checks = { topicsVersion: topics.version, patternsMatchedMs }
}

function matchPatterns(work: ConsumerWork): void {
  for (const pattern of [...work.draft.patterns.keys()]) {
    const known = work.draft.patterns.get(pattern)!
    const resolved = resolvePattern(work, pattern)
    if (resolved === null || sameTopics(known.topics, resolved.topics)) continue
    work.draft.setPattern(pattern, resolved)
  }
}

/** Null where the pattern is not valid. */
export function resolvePattern(
  { out, surroundings }: Pick<ConsumerWork, 'out' | 'surroundings'>,
  pattern: string,
): ResolvedPattern | null {
  const matches = surroundings.compilePattern(pattern)
  if (matches === null) return null
  const topics = new Set<string>()
  for (const name of surroundings.topics.names()) if (matches(name)) topics.add(name)
  return { topics, version: surroundings.topics.version, timestamp: out.nowMs }
}

function sameTopics(left: ReadonlySet<string>, right: ReadonlySet<string>): boolean {
  if (left.size !== right.size) return false
  for (const name of left) if (!right.has(name)) return false
  return true
}

/** A pattern is forgotten with the last member that subscribes by it. */
export function forgetPattern({ draft }: ConsumerWork, pattern: string | null): void {
  if (pattern === null || !draft.patterns.has(pattern)) return
  for (const member of draft.members.values()) if (member.subscribedTopicRegex === pattern) return
  draft.setPattern(pattern, null)
}

/** The member does its next step, and has the time of its rebalance timeout where it has to give something up. */
export function stepMember(
  work: ConsumerWork,
  member: ConsumerMember,
  owned: PartitionSet | null,
): ConsumerMember {
  const { draft, out } = work
  const after = reconcile(
    member,
    {
      epoch: draft.assignmentEpoch,
      partitions: draft.target.get(member.memberId) ?? NO_PARTITIONS,
      isFree: (topicId, partition) => draft.isFreeFor(member.memberId, topicId, partition),
    },
    owned,
  )
  if (after === member) return member
  draft.place(after)
  const key = timerKey('member-revoke', draft.groupId, member.memberId)
  if (after.state === MemberState.UNREVOKED_PARTITIONS) out.setTimer(key, after.rebalanceTimeoutMs)
  else out.cancelTimer(key)
  return after
}

/** Members are out, by their own will or not: what they had is free at once. */
export function removeMembers(work: ConsumerWork, members: readonly ConsumerMember[]): void {
  for (const member of members) {
    work.draft.removeMember(member)
    cancelTimers(work, member.memberId)
  }
  for (const member of members) forgetPattern(work, member.subscribedTopicRegex)
  refreshEpoch(work, true)
}

export function cancelTimers({ draft, out }: ConsumerWork, memberId: string): void {
  out.cancelTimer(timerKey('member-session', draft.groupId, memberId))
  out.cancelTimer(timerKey('member-revoke', draft.groupId, memberId))
  out.cancelTimer(timerKey('member-join', draft.groupId, memberId))
  out.cancelTimer(timerKey('member-sync', draft.groupId, memberId))
}

/** From now on the member has the time of its session for its next word. */
export function startMemberSession({ draft, out, surroundings }: ConsumerWork, member: ConsumerMember): void {
  const sessionTimeoutMs =
    member.classic?.sessionTimeoutMs ??
    surroundings.overridesOf(draft.groupId).consumerSessionTimeoutMs ??
    surroundings.config.consumerSessionTimeoutMs
  out.setTimer(timerKey('member-session', draft.groupId, member.memberId), sessionTimeoutMs)
}

/** Writes what has changed of what a member says of itself; true where it reads other topics than before. */
export function describeMember(
  { draft }: ConsumerWork,
  before: ConsumerMember,
  after: ConsumerMember,
  isNew: boolean,
): boolean {
  if (isNew || !isDescribedAlike(before, after)) draft.describe(after)
  return isNew || !sameNames(before, after)
}

function isDescribedAlike(before: ConsumerMember, after: ConsumerMember): boolean {
  return (
    before.instanceId === after.instanceId &&
    before.rackId === after.rackId &&
    before.clientId === after.clientId &&
    before.clientHost === after.clientHost &&
    before.rebalanceTimeoutMs === after.rebalanceTimeoutMs &&
    before.serverAssignor === after.serverAssignor &&
    before.subscribedTopicRegex === after.subscribedTopicRegex &&
    before.classic === after.classic &&
    sameNames(before, after)
  )
}

function sameNames(before: ConsumerMember, after: ConsumerMember): boolean {
  const left = before.subscribedTopicNames
  const right = after.subscribedTopicNames
  return left.length === right.length && left.every((name, index) => name === right[index])
}

/** A static member is back under another id: what the old one had is its own, and so is its target. */
export function replaceStaticMember(
  work: ConsumerWork,
  old: ConsumerMember,
  memberId: string,
): ConsumerMember {
  const { draft } = work
  const target = draft.target.get(old.memberId)
  draft.removeMember(old)
  cancelTimers(work, old.memberId)
  const member: ConsumerMember = {
    ...old,
    memberId,
    memberEpoch: 0,
    previousMemberEpoch: 0,
    state: MemberState.STABLE,
    pendingRevocation: NO_PARTITIONS,
  }
  draft.describe(member)
  draft.setTargetOf(memberId, target ?? NO_PARTITIONS)
  return member
}
