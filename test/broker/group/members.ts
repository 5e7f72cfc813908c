/**
 * Requests as clients send them, with what a test does not care about filled in.
 */

import { type GroupAnswers } from '../../../broker/group/types.ts'
import { encodeSubscription } from '../../../client/protocol/messages/consumer-protocol.ts'
import { type TestShell, topicId } from './shell.ts'

const FROM = { clientId: 'app', clientHost: '/127.0.0.1' }
let drawn = 0

/** A fresh id, as the shell draws it. */
export function freshId(prefix = 'app'): string {
  return `${prefix}-${++drawn}`
}

export interface JoinOptions {
  readonly groupId?: string
  readonly memberId?: string
  readonly instanceId?: string | null
  readonly topics?: readonly string[]
  readonly protocols?: readonly string[]
  readonly protocolType?: string
  readonly version?: number
  readonly sessionTimeoutMs?: number
  readonly rebalanceTimeoutMs?: number
  readonly newMemberId?: string
}

export function joinCommand(options: JoinOptions = {}) {
  const metadata = encodeSubscription({ topics: options.topics ?? ['t'] })
  return {
    kind: 'join-group' as const,
    ...FROM,
    version: options.version ?? 9,
    newMemberId: options.newMemberId ?? freshId(options.instanceId ?? 'app'),
    request: {
      groupId: options.groupId ?? 'g',
      sessionTimeoutMs: options.sessionTimeoutMs ?? 10_000,
      rebalanceTimeoutMs: options.rebalanceTimeoutMs ?? 30_000,
      memberId: options.memberId ?? '',
      groupInstanceId: options.instanceId ?? null,
      protocolType: options.protocolType ?? 'consumer',
      protocols: (options.protocols ?? ['range']).map(name => ({ name, metadata })),
      reason: null,
    },
  }
}

export interface Box<T> {
  answer: T | undefined
  token: number
}

/** Joins; the answer lands in the box when it comes. */
export function join(shell: TestShell, options: JoinOptions = {}): Box<GroupAnswers['join-group']> {
  const box: Box<GroupAnswers['join-group']> = { answer: undefined, token: 0 }
  box.token = shell.send(joinCommand(options), reply => {
    box.answer = reply.answer as GroupAnswers['join-group']
  })
  return box
}

/** Joins as a new dynamic member does: it is given an id and comes back with it. */
export function joinTwice(shell: TestShell, options: JoinOptions = {}): Box<GroupAnswers['join-group']> {
  const memberId = join(shell, options).answer?.memberId ?? ''
  return join(shell, { ...options, memberId })
}

export interface MemberOptions {
  readonly groupId?: string
  readonly memberId: string
  readonly generationId: number
  readonly instanceId?: string | null
}

export interface SyncOptions extends MemberOptions {
  readonly assignments?: Readonly<Record<string, string | Uint8Array>>
  readonly protocolType?: string
  readonly protocolName?: string
}

export function syncCommand(options: SyncOptions) {
  const assignments = Object.entries(options.assignments ?? {})
  return {
    kind: 'sync-group' as const,
    ...FROM,
    version: 5,
    request: {
      groupId: options.groupId ?? 'g',
      generationId: options.generationId,
      memberId: options.memberId,
      groupInstanceId: options.instanceId ?? null,
      protocolType: options.protocolType ?? null,
      protocolName: options.protocolName ?? null,
      assignments: assignments.map(([memberId, given]) => ({
        memberId,
        assignment: typeof given === 'string' ? Buffer.from(given) : given,
      })),
    },
  }
}

export function sync(shell: TestShell, options: SyncOptions): Box<GroupAnswers['sync-group']> {
  const box: Box<GroupAnswers['sync-group']> = { answer: undefined, token: 0 }
  box.token = shell.send(syncCommand(options), reply => {
    box.answer = reply.answer as GroupAnswers['sync-group']
  })
  return box
}

/** A heartbeat. */
export function memberCommand(options: MemberOptions) {
  return {
    kind: 'heartbeat' as const,
    ...FROM,
    version: 4,
    request: {
      groupId: options.groupId ?? 'g',
      generationId: options.generationId,
      memberId: options.memberId,
      groupInstanceId: options.instanceId ?? null,
    },
  }
}

export function heartbeat(shell: TestShell, options: MemberOptions): number {
  return shell.ask<'heartbeat'>(memberCommand(options)).errorCode
}

export function leaveCommand(
  members: readonly { readonly memberId: string; readonly instanceId?: string | null }[],
  groupId = 'g',
) {
  return {
    kind: 'leave-group' as const,
    ...FROM,
    version: 5,
    request: {
      groupId,
      memberId: '',
      members: members.map(({ memberId, instanceId }) => ({
        memberId,
        groupInstanceId: instanceId ?? null,
        reason: null,
      })),
    },
  }
}

export function leave(
  shell: TestShell,
  members: readonly { readonly memberId: string; readonly instanceId?: string | null }[],
  groupId = 'g',
): GroupAnswers['leave-group'] {
  return shell.ask<'leave-group'>(leaveCommand(members, groupId))
}

export interface CommitOptions {
  readonly groupId?: string
  readonly memberId?: string
  readonly generationId?: number
  readonly instanceId?: string | null
  readonly topic?: string
  readonly partition?: number
  readonly offset?: number
  readonly metadata?: string | null
  readonly retentionTimeMs?: number
  readonly version?: number
}

/** Commits one offset; the error of that partition. */
export function commit(shell: TestShell, options: CommitOptions = {}): number {
  const { topics } = shell.ask<'offset-commit'>(commitCommand(options))
  return topics[0]!.partitions[0]!.errorCode
}

export function commitCommand(options: CommitOptions) {
  const topic = options.topic ?? 't'
  return {
    kind: 'offset-commit' as const,
    ...FROM,
    version: options.version ?? 9,
    request: {
      groupId: options.groupId ?? 'g',
      generationIdOrMemberEpoch: options.generationId ?? -1,
      memberId: options.memberId ?? '',
      groupInstanceId: options.instanceId ?? null,
      retentionTimeMs: options.retentionTimeMs ?? -1,
      topics: [
        {
          name: topic,
          topicId: topicId(topic),
          partitions: [
            {
              partitionIndex: options.partition ?? 0,
              committedOffset: options.offset ?? 1,
              committedLeaderEpoch: -1,
              committedMetadata: options.metadata ?? null,
            },
          ],
        },
      ],
    },
  }
}

/** The committed offset of one partition; -1 for none. */
export function committed(shell: TestShell, topic = 't', partition = 0, groupId = 'g'): number {
  const answer = shell.ask<'offset-fetch'>({
    kind: 'offset-fetch',
    groupId,
    memberId: null,
    memberEpoch: -1,
    topics: [{ name: topic, topicId: topicId(topic), partitionIndexes: [partition] }],
    requireStable: false,
  })
  return answer.topics[0]!.partitions[0]!.committedOffset
}

/** A group of dynamic members that is stable, everyone assigned its own member id. The first is the leader. */
export function stableGroup(shell: TestShell, size: number, options: JoinOptions = {}) {
  const joins = Array.from({ length: size }, () => joinTwice(shell, options))
  shell.advance(shell.config.initialRebalanceDelayMs)
  // The first join phase may have ended before the others came: they come in with the next.
  let answers = joins.map(box => box.answer)
  for (let round = 0; round < 3 && answers.some(answer => answer === undefined); round++) {
    const known = answers.filter(answer => answer !== undefined)
    const boxes = known.map(answer => join(shell, { ...options, memberId: answer.memberId }))
    answers = [...boxes.map(box => box.answer), ...joins.slice(known.length).map(box => box.answer)]
  }
  const members = answers.map(answer => ({ memberId: answer!.memberId }))
  const generationId = answers[0]!.generationId ?? -1
  const leader = answers[0]!.leader
  const assignments = Object.fromEntries(members.map(({ memberId }) => [memberId, memberId]))
  const groupId = options.groupId ?? 'g'
  const ordered = [...members].sort(
    (left, right) => Number(left.memberId === leader) - Number(right.memberId === leader),
  )
  for (const { memberId } of ordered) {
    sync(shell, { groupId, memberId, generationId, assignments: memberId === leader ? assignments : {} })
  }
  return { memberIds: members.map(({ memberId }) => memberId), generationId, leader }
}
