/**
 * A member of a group of the consumer protocol (KIP-848), told event by event: no sockets, no clock.
 */
import t from 'tap'
import { type MembershipEffect, type MembershipEvent } from '../../../../client/consumer/group/membership.ts'
import { ConsumerMembership } from '../../../../client/consumer/group/membership-consumer.ts'
import { KafkaError } from '../../../../client/errors.ts'
import { ErrorCode } from '../../../../client/protocol/errors.ts'
import { type TopicId } from '../../../../client/protocol/types.ts'

const T = '1'.repeat(32) as TopicId
const NEW = '2'.repeat(32) as TopicId
const INTERVAL_MS = 1600

class Scene {
  readonly names = new Map<TopicId, string>([[T, 't']])
  readonly member: ConsumerMembership
  nowMs = 1000
  last: MembershipEffect[] = []
  #id = 0

  constructor(options: { mayFallBack?: boolean; pattern?: string } = {}) {
    this.member = new ConsumerMembership(
      {
        groupId: 'g',
        groupInstanceId: null,
        rack: 'r1',
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 30_000,
        requestTimeoutMs: 5000,
        backoffMs: () => 100,
        memberId: 'm',
        serverAssignor: null,
        mayFallBack: options.mayFallBack ?? false,
        topicName: id => this.names.get(id),
        topicId: name => [...this.names].find(each => each[1] === name)?.[0] ?? null,
      },
      { topics: ['t'], pattern: options.pattern ?? null },
    )
  }

  step(event: MembershipEvent): string[] {
    this.last = this.member.step(event, this.nowMs)
    for (const each of this.last) if (each.kind === 'send') this.#id = each.id
    return this.last.map(each =>
      'partitions' in each
        ? `${each.kind} ${each.partitions.map(({ topic, partition }) => topic + partition).join(' ')}`
        : each.kind,
    )
  }

  get sent(): object {
    const sent = this.last.find(each => each.kind === 'send')
    return sent?.kind === 'send' ? sent.request : {}
  }

  answer(memberEpoch: number, assignment: Record<string, number[]> | null, errorCode = 0): string[] {
    const response = {
      errorCode,
      errorMessage: null,
      memberId: null,
      memberEpoch,
      heartbeatIntervalMs: INTERVAL_MS,
      throttleTimeMs: 0,
      assignment: assignment && {
        topicPartitions: Object.entries(assignment).map(([id, partitions]) => ({
          topicId: id as TopicId,
          partitions,
        })),
      },
    }
    return this.step({ kind: 'answered', id: this.#id, api: 'ConsumerGroupHeartbeat', response })
  }

  beat(): string[] {
    this.nowMs = this.member.timerAtMs!
    return this.step({ kind: 'timer' })
  }

  stable(...partitions: number[]): void {
    this.step({ kind: 'start' })
    this.answer(1, { [T]: partitions })
    this.answer(1, null)
  }
}

t.test('it joins with all that it wants, and takes what it is given, which it tells at once', async t => {
  const scene = new Scene()
  t.same(scene.step({ kind: 'start' }), ['send'])
  t.match(scene.sent, {
    memberId: 'm',
    memberEpoch: 0,
    rackId: 'r1',
    rebalanceTimeoutMs: 30_000,
    subscribedTopicNames: ['t'],
    topicPartitions: [],
  })
  t.same(scene.answer(1, { [T]: [0, 1] }), ['joined', 'assign t0 t1', 'send'])
  t.match(scene.sent, {
    memberEpoch: 1,
    subscribedTopicNames: null,
    rebalanceTimeoutMs: -1,
    topicPartitions: [{ topicId: T, partitions: [0, 1] }],
  })
  t.same(scene.answer(1, null), [])
  t.same(scene.beat(), ['send'])
  t.match(scene.sent, { topicPartitions: null, subscribedTopicNames: null }, 'nothing has changed')
})

t.test('what is taken away is let go first and told when it is done; the rest goes on', async t => {
  const scene = new Scene()
  scene.stable(0, 1, 2)
  scene.beat()
  t.same(scene.answer(1, { [T]: [0] }), ['revoke t1 t2'])
  t.same(scene.beat(), ['send'], 'heartbeats go on meanwhile')
  t.match(scene.sent, { topicPartitions: null })
  scene.answer(1, null)
  t.same(scene.step({ kind: 'revoked' }), ['send'])
  t.match(scene.sent, { topicPartitions: [{ partitions: [0] }] })
  t.same(scene.answer(2, null), ['joined'])
})

t.test('what is given back while it is being let go is taken when that is done', async t => {
  const scene = new Scene()
  scene.stable(0, 1)
  scene.beat()
  t.same(scene.answer(1, { [T]: [0] }), ['revoke t1'])
  scene.beat()
  t.same(scene.answer(2, { [T]: [0, 1] }), ['joined'])
  t.same(scene.step({ kind: 'revoked' }), ['assign t1', 'send'])
})

t.test('topics that are met for the first time are learnt by their ids', async t => {
  const scene = new Scene()
  scene.step({ kind: 'start' })
  t.same(scene.answer(1, { [T]: [0], [NEW]: [5] }), ['joined', 'learn-topics', 'assign t0', 'send'])
  scene.answer(1, null)
  scene.names.set(NEW, 'n')
  t.same(scene.step({ kind: 'metadata' }), ['assign n5', 'send'])
})

t.test('a fenced member loses all and joins again under the same id', async t => {
  for (const code of [ErrorCode.FENCED_MEMBER_EPOCH, ErrorCode.UNKNOWN_MEMBER_ID]) {
    const scene = new Scene()
    scene.stable(0)
    scene.beat()
    t.same(scene.answer(0, null, code), ['lose t0', 'send'])
    t.match(scene.sent, { memberId: 'm', memberEpoch: 0, subscribedTopicNames: ['t'], topicPartitions: [] })
    t.equal(scene.member.generation, -1)
  }
})

t.test('after a failure everything is told again: who knows what was heard of it', async t => {
  const scene = new Scene()
  scene.stable(0)
  scene.beat()
  const error = new KafkaError({ code: 'TIMEOUT', message: 'no answer', retriable: true })
  const sent = scene.last.find(each => each.kind === 'send')!
  t.same(scene.step({ kind: 'failed', id: (sent as { id: number }).id, error }), [
    'find-coordinator',
    'retry',
  ])
  t.same(scene.beat(), ['send'])
  t.match(scene.sent, {
    memberEpoch: 1,
    subscribedTopicNames: ['t'],
    topicPartitions: [{ topicId: T, partitions: [0] }],
  })
})

t.test('without an answer for the session timeout the partitions are given up', async t => {
  const scene = new Scene()
  scene.stable(0)
  const error = new KafkaError({ code: 'TIMEOUT', message: 'no answer', retriable: true })
  const startMs = scene.nowMs
  for (;;) {
    const effects = scene.beat()
    if (effects.includes('lose t0')) break
    const sent = scene.last.find(each => each.kind === 'send') as { id: number }
    scene.step({ kind: 'failed', id: sent.id, error })
    t.ok(scene.nowMs - startMs < 11_000)
  }
  t.ok(scene.nowMs - startMs >= 10_000)
})

t.test('where the protocol or the pattern is refused, the shell is told how to go on', async t => {
  const classic = new Scene({ mayFallBack: true })
  classic.step({ kind: 'start' })
  t.same(classic.answer(0, null, ErrorCode.UNSUPPORTED_VERSION), ['fall-back'])
  t.match(classic.last, [{ to: 'classic' }])
  const stubborn = new Scene()
  stubborn.step({ kind: 'start' })
  t.same(stubborn.answer(0, null, ErrorCode.UNSUPPORTED_VERSION), ['crash'], 'this protocol was asked for')
  const pattern = new Scene({ pattern: '(?=t).*' })
  pattern.step({ kind: 'start' })
  t.match(pattern.sent, { subscribedTopicRegex: '(?=t).*' })
  t.same(pattern.answer(0, null, ErrorCode.INVALID_REGULAR_EXPRESSION), ['fall-back'])
  t.match(pattern.last, [{ to: 'own-patterns' }])
})

t.test('a pattern that is not wanted any more is taken back; who never had one is silent', async t => {
  const scene = new Scene({ pattern: 't.*' })
  scene.step({ kind: 'start' })
  scene.answer(1, {})
  scene.step({ kind: 'wants', wants: { topics: ['t'], pattern: null } })
  t.match(scene.sent, { subscribedTopicNames: ['t'], subscribedTopicRegex: '' })
  const other = new Scene()
  other.step({ kind: 'start' })
  t.match(other.sent, { subscribedTopicNames: ['t'], subscribedTopicRegex: null })
})

t.test('an instance id that is in use ends it', async t => {
  const scene = new Scene()
  scene.step({ kind: 'start' })
  t.same(scene.answer(0, null, ErrorCode.UNRELEASED_INSTANCE_ID), ['crash'])
})
