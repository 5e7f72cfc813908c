/**
 * A member of a classic group, told event by event: no sockets, no clock.
 */
import t from 'tap'
import { cooperativeStickyAssignor } from '../../../../client/consumer/assignors/cooperative-sticky.ts'
import { rangeAssignor } from '../../../../client/consumer/assignors/range.ts'
import {
  type GroupApi,
  type MembershipEffect,
  type MembershipEvent,
} from '../../../../client/consumer/group/membership.ts'
import { ClassicMembership } from '../../../../client/consumer/group/membership-classic.ts'
import { KafkaError } from '../../../../client/errors.ts'
import { ErrorCode } from '../../../../client/protocol/errors.ts'
import {
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../../../../client/protocol/messages/consumer-protocol.ts'

const HEARTBEAT_MS = 1600
const SESSION_MS = 10_000

class Scene {
  readonly member: ClassicMembership
  nowMs = 1000
  last: MembershipEffect[] = []
  #id = 0

  constructor(options: { cooperative?: boolean; both?: boolean; instance?: string } = {}) {
    const cooperative = options.cooperative === true
    const assignors =
      options.both === true
        ? [cooperativeStickyAssignor, rangeAssignor]
        : [cooperative ? cooperativeStickyAssignor : rangeAssignor]
    this.member = new ClassicMembership(
      {
        groupId: 'g',
        groupInstanceId: options.instance ?? null,
        rack: null,
        sessionTimeoutMs: SESSION_MS,
        rebalanceTimeoutMs: 30_000,
        requestTimeoutMs: 5000,
        heartbeatIntervalMs: HEARTBEAT_MS,
        backoffMs: () => 100,
        assignors,
      },
      { topics: ['t'], pattern: null },
    )
  }

  step(event: MembershipEvent): string[] {
    this.last = this.member.step(event, this.nowMs)
    for (const each of this.last) if (each.kind === 'send') this.#id = each.id
    return this.last.map(each =>
      each.kind === 'send'
        ? each.api
        : 'partitions' in each
          ? `${each.kind} ${each.partitions.map(({ topic, partition }) => topic + partition).join(' ')}`
          : each.kind,
    )
  }

  get sent(): Extract<MembershipEffect, { kind: 'send' }> {
    return this.last.find(each => each.kind === 'send')!
  }

  answer(api: GroupApi, response: object): string[] {
    return this.step({ kind: 'answered', id: this.#id, api, response: response as never })
  }

  joined(generationId: number, more: object = {}): string[] {
    const answer = {
      errorCode: 0,
      generationId,
      memberId: 'm',
      leader: 'l',
      protocolName: 'range',
      members: [],
    }
    return this.answer('JoinGroup', { ...answer, ...more })
  }

  synced(...partitions: number[]): string[] {
    const assignment = encodeAssignment({ assignedPartitions: [{ topic: 't', partitions }] })
    return this.answer('SyncGroup', { errorCode: 0, assignment })
  }

  /** The next heartbeat, and what it is answered with. */
  beat(errorCode: number = ErrorCode.NONE): string[] {
    this.nowMs = this.member.timerAtMs!
    const effects = this.step({ kind: 'timer' })
    return effects.includes('Heartbeat') ? this.answer('Heartbeat', { errorCode }) : effects
  }

  stable(protocolName: string, ...partitions: number[]): void {
    this.step({ kind: 'start' })
    this.joined(1, { protocolName })
    this.synced(...partitions)
  }
}

t.test('a new member comes back with the id that it is given, joins, syncs and is assigned', async t => {
  const scene = new Scene()
  t.same(scene.step({ kind: 'start' }), ['JoinGroup'])
  t.match(scene.sent.request, { memberId: '', protocols: [{ name: 'range' }], rebalanceTimeoutMs: 30_000 })
  t.same(scene.answer('JoinGroup', { errorCode: ErrorCode.MEMBER_ID_REQUIRED, memberId: 'm' }), ['JoinGroup'])
  t.match(scene.sent.request, { memberId: 'm' })
  t.same(scene.joined(1), ['SyncGroup'])
  t.match(scene.sent.request, { generationId: 1, memberId: 'm', assignments: [] })
  t.same(scene.synced(0, 1), ['joined', 'assign t0 t1'])
  t.ok(scene.member.isStable)
})

t.test('the leader deals out to all', async t => {
  const scene = new Scene()
  scene.step({ kind: 'start' })
  const metadata = encodeSubscription({ topics: ['t'] })
  const members = [
    { memberId: 'm', groupInstanceId: null, metadata },
    { memberId: 'n', groupInstanceId: null, metadata },
    { memberId: 'o', groupInstanceId: null, metadata: Buffer.from('nonsense') },
  ]
  t.same(scene.joined(1, { leader: 'm', members }), ['balance'])
  const balance = scene.last[0] as Extract<MembershipEffect, { kind: 'balance' }>
  t.same(
    balance.members.map(({ topics }) => topics),
    [['t'], ['t'], []],
    'a member whose words make no sense gets nothing, and harms nobody',
  )
  const assignment = new Map([['m', [{ topic: 't', partition: 0 }]]])
  t.same(scene.step({ kind: 'balanced', id: balance.id, assignment }), ['SyncGroup'])
  t.same(
    (scene.sent.request as { assignments: { memberId: string }[] }).assignments.map(
      ({ memberId }) => memberId,
    ),
    ['m', 'n', 'o'],
  )
  scene.synced(0)
  t.same(scene.step({ kind: 'outdated' }), ['revoke t0'], 'when partitions are added it deals out again')
})

t.test('eager: everything is given up before joining again, with heartbeats meanwhile', async t => {
  const scene = new Scene()
  scene.stable('range', 0, 1)
  t.same(scene.beat(), [])
  t.same(scene.beat(ErrorCode.REBALANCE_IN_PROGRESS), ['revoke t0 t1'])
  t.same(scene.beat(ErrorCode.REBALANCE_IN_PROGRESS), [], 'still a member')
  t.same(scene.step({ kind: 'revoked' }), ['JoinGroup'])
  t.match(scene.sent.request, { memberId: 'm' })
  scene.joined(2)
  t.same(scene.synced(1), ['joined', 'assign t1'])
})

t.test('cooperative: what stays is kept, what moves is revoked, and then all join once more', async t => {
  const scene = new Scene({ cooperative: true })
  scene.stable('cooperative-sticky', 0, 1)
  t.same(scene.beat(ErrorCode.REBALANCE_IN_PROGRESS), ['commit'], 'what was done belongs to this generation')
  t.same(scene.step({ kind: 'committed' }), ['JoinGroup'])
  const { metadata } = (scene.sent.request as { protocols: { metadata: Buffer }[] }).protocols[0]!
  t.match(decodeSubscription(metadata), {
    generationId: 1,
    ownedPartitions: [{ topic: 't', partitions: [0, 1] }],
  })
  scene.joined(2, { protocolName: 'cooperative-sticky' })
  t.same(scene.synced(0, 2), ['joined', 'revoke t1', 'assign t2'])
  t.same(scene.beat(), [], 'a member while it lets go')
  t.same(scene.step({ kind: 'revoked' }), ['commit'])
  t.same(scene.step({ kind: 'committed' }), ['JoinGroup'])
})

t.test('when the group turns eager what was kept is lost, not committed over its new owner', async t => {
  const scene = new Scene({ both: true })
  scene.stable('cooperative-sticky', 0, 1)
  scene.beat(ErrorCode.REBALANCE_IN_PROGRESS)
  scene.step({ kind: 'committed' })
  scene.joined(2, { protocolName: 'range' })
  t.same(scene.synced(1, 2), ['joined', 'lose t0', 'assign t2'])
  t.same(scene.beat(ErrorCode.REBALANCE_IN_PROGRESS), ['revoke t1 t2'], 'and from now on it is eager')
})

t.test('heartbeats come faster after a rebalance, and then at their interval', async t => {
  const scene = new Scene()
  scene.stable('range', 0)
  const pauses: number[] = []
  for (let count = 0; count < 6; count++) {
    pauses.push(scene.member.timerAtMs! - scene.nowMs)
    scene.beat()
  }
  t.same(pauses, [100, 200, 400, 800, 1600, 1600])
})

t.test('expelled members lose everything at once and join anew', async t => {
  for (const code of [ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION]) {
    const scene = new Scene()
    scene.stable('range', 0, 1)
    t.same(scene.beat(code), ['lose t0 t1', 'JoinGroup'])
    t.match(scene.sent.request, { memberId: code === ErrorCode.UNKNOWN_MEMBER_ID ? '' : 'm' })
    t.equal(scene.member.generation, -1)
  }
})

t.test('a coordinator that keeps refusing is asked with pauses', async t => {
  const scene = new Scene()
  scene.stable('range', 0)
  t.same(scene.beat(ErrorCode.UNKNOWN_MEMBER_ID), ['lose t0', 'JoinGroup'])
  t.same(scene.answer('JoinGroup', { errorCode: ErrorCode.UNKNOWN_MEMBER_ID }), [])
  t.equal(scene.member.timerAtMs! - scene.nowMs, 100)
  scene.nowMs += 100
  t.same(scene.step({ kind: 'timer' }), ['JoinGroup'])
})

t.test('a refused commit tells of the loss before the next heartbeat does', async t => {
  const scene = new Scene()
  scene.stable('range', 0)
  const refused = (generation: number): string[] =>
    scene.step({ kind: 'refused', code: ErrorCode.ILLEGAL_GENERATION, generation })
  t.same(refused(0), [], 'of an older generation: nothing new')
  t.same(refused(1), ['lose t0', 'JoinGroup'])
  const joining = new Scene({ cooperative: true })
  joining.stable('cooperative-sticky', 0)
  joining.beat(ErrorCode.REBALANCE_IN_PROGRESS)
  joining.step({ kind: 'committed' })
  t.same(
    joining.step({ kind: 'refused', code: ErrorCode.ILLEGAL_GENERATION, generation: 1 }),
    [],
    'while joining the coordinator may be a generation ahead',
  )
})

t.test('a coordinator that is not heard for the session timeout has given our partitions away', async t => {
  const scene = new Scene()
  scene.stable('range', 0)
  const failure = new KafkaError({ code: 'CONNECTION_CLOSED', message: 'gone', retriable: true })
  const startMs = scene.nowMs
  let effects: string[] = []
  while (!effects.includes('lose t0')) {
    t.ok(scene.nowMs - startMs <= SESSION_MS, 'in time')
    scene.nowMs = scene.member.timerAtMs!
    effects = scene.step({ kind: 'timer' })
    const { last } = scene
    const sent = last.find(each => each.kind === 'send')
    if (sent !== undefined && !effects.includes('lose t0'))
      t.same(scene.step({ kind: 'failed', id: sent.id, error: failure }), ['find-coordinator', 'retry'])
  }
  t.equal(scene.nowMs - startMs, SESSION_MS)
  t.same(scene.beat(), ['JoinGroup'], 'after a pause, for it failed before')
})

t.test('a coordinator that moves is looked for, and the membership goes on', async t => {
  const scene = new Scene()
  scene.stable('range', 0)
  t.same(scene.beat(ErrorCode.NOT_COORDINATOR), ['find-coordinator', 'retry'])
  t.same(scene.beat(), [])
  t.ok(scene.member.isStable)
})

t.test('answers that come too late are ignored', async t => {
  const scene = new Scene()
  scene.stable('range', 0)
  scene.nowMs = scene.member.timerAtMs!
  scene.step({ kind: 'timer' })
  const { id } = scene.sent
  scene.step({ kind: 'refused', code: ErrorCode.UNKNOWN_MEMBER_ID, generation: 1 })
  t.same(
    scene.step({ kind: 'answered', id, api: 'Heartbeat', response: { errorCode: 25, throttleTimeMs: 0 } }),
    [],
  )
})

t.test('what cannot get better ends it, with words that help', async t => {
  const cases: [number, RegExp, { instance?: string }?][] = [
    [ErrorCode.FENCED_INSTANCE_ID, /same groupInstanceId i1/, { instance: 'i1' }],
    [ErrorCode.INVALID_SESSION_TIMEOUT, /group\.min\.session\.timeout\.ms/],
    [ErrorCode.INCONSISTENT_GROUP_PROTOCOL, /no assignor in common/],
    [ErrorCode.GROUP_MAX_SIZE_REACHED, /GROUP_MAX_SIZE_REACHED/],
    [ErrorCode.GROUP_AUTHORIZATION_FAILED, /GROUP_AUTHORIZATION_FAILED/],
  ]
  for (const [code, words, options] of cases) {
    const scene = new Scene(options)
    scene.step({ kind: 'start' })
    t.same(scene.answer('JoinGroup', { errorCode: code }), ['crash'])
    t.match((scene.last[0] as { error: KafkaError }).error.message, words)
    t.equal(scene.member.timerAtMs, null)
    t.same(scene.step({ kind: 'start' }), [], 'nothing more comes of it')
  }
})

t.test('a rebalance that is wanted while one runs follows it', async t => {
  const scene = new Scene()
  scene.step({ kind: 'start' })
  scene.joined(1)
  t.same(scene.step({ kind: 'wants', wants: { topics: ['t', 'u'], pattern: null } }), [])
  t.same(scene.synced(0), ['joined', 'assign t0', 'revoke t0'])
  t.same(scene.step({ kind: 'revoked' }), ['JoinGroup'])
  const { metadata } = (scene.sent.request as { protocols: { metadata: Buffer }[] }).protocols[0]!
  t.same(decodeSubscription(metadata).topics, ['t', 'u'])
})
