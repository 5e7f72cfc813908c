/**
 * The life of members of consumer groups (KIP-848).
 */
import t from 'tap'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { Consumer, consumerHeartbeat, settle } from './consumers.ts'
import { commit, committed, join, stableGroup } from './members.ts'
import { TestShell, topicId } from './shell.ts'

function shellWith(topics: Record<string, number> = { t: 6 }, config = {}): TestShell {
  const shell = new TestShell(config)
  for (const [name, count] of Object.entries(topics)) shell.topics.set(name, count)
  return shell
}

function describe(shell: TestShell) {
  return shell.ask<'consumer-group-describe'>({ kind: 'consumer-group-describe', groupIds: ['g'] })[0]!
}

function everybodyHas(consumers: readonly Consumer[], topic: string): number[] {
  return consumers.flatMap(consumer => consumer.partitionsOf(topic)).sort((left, right) => left - right)
}

t.test('the first member gets everything with its first heartbeat', async t => {
  const shell = shellWith()
  const one = new Consumer(shell)
  t.match(one.beat(), {
    errorCode: 0,
    memberId: one.memberId,
    memberEpoch: 1,
    heartbeatIntervalMs: 5000,
    assignment: { topicPartitions: [{ topicId: topicId('t'), partitions: [0, 1, 2, 3, 4, 5] }] },
  })
  t.equal(one.quietBeat().assignment, null, 'and is not told again what it knows')
  t.match(describe(shell), {
    groupState: 'Stable',
    groupEpoch: 1,
    assignmentEpoch: 1,
    assignorName: 'uniform',
    members: [{ memberEpoch: 1, clientId: 'app', subscribedTopicNames: ['t'], memberType: 1 }],
  })
})

t.test('before version 1 the broker chooses the member id', async t => {
  const shell = shellWith()
  const join = { memberEpoch: 0, topics: ['t'], rebalanceTimeoutMs: 1000, owned: [] }
  t.match(consumerHeartbeat(shell, { ...join, version: 0 }).memberId, /^drawn-/)
  t.equal(consumerHeartbeat(shell, { ...join, version: 1 }).errorCode, ErrorCode.INVALID_REQUEST)
})

t.test('requests that make no sense are refused', async t => {
  const shell = shellWith()
  const good = { memberId: 'm', memberEpoch: 0, topics: ['t'], rebalanceTimeoutMs: 1000, owned: [] }
  const bad = [
    { ...good, groupId: '' },
    { ...good, instanceId: '' },
    { ...good, rackId: '' },
    { ...good, memberEpoch: -3 },
    { ...good, memberEpoch: -2 },
    { ...good, memberId: '', memberEpoch: 1 },
    { ...good, rebalanceTimeoutMs: -1 },
    { ...good, topics: null },
    { ...good, owned: null },
    { ...good, owned: [{ topicId: topicId('t'), partitions: [0] }] },
  ]
  for (const request of bad) {
    t.equal(consumerHeartbeat(shell, request).errorCode, ErrorCode.INVALID_REQUEST)
  }
  t.equal(consumerHeartbeat(shell, { ...good, assignor: 'magic' }).errorCode, ErrorCode.UNSUPPORTED_ASSIGNOR)
  t.equal(consumerHeartbeat(shell, { ...good, pattern: '(' }).errorCode, ErrorCode.INVALID_REGULAR_EXPRESSION)
  t.equal(consumerHeartbeat(shell, { ...good, memberEpoch: 1 }).errorCode, ErrorCode.GROUP_ID_NOT_FOUND)
  t.equal(consumerHeartbeat(shell, { ...good, memberEpoch: -1 }).errorCode, ErrorCode.GROUP_ID_NOT_FOUND)
  t.same(shell.log, [])
})

t.test('a second member waits until the first has given up its half', async t => {
  const shell = shellWith()
  const one = new Consumer(shell)
  one.beat()
  const two = new Consumer(shell)
  t.match(two.beat(), { memberEpoch: 2, assignment: { topicPartitions: [] } })
  t.equal(describe(shell).groupState, 'Reconciling')
  t.equal(one.quietBeat().memberEpoch, 1, 'it stays in its epoch until it has given up')
  t.equal(one.owned.size, 3)
  t.equal(two.quietBeat().assignment, null, 'nobody has said yet that they are free')
  t.equal(one.beat().memberEpoch, 2)
  t.equal(two.quietBeat().assignment?.topicPartitions[0]?.partitions.length, 3)
  t.same(everybodyHas([one, two], 't'), [0, 1, 2, 3, 4, 5])
  t.equal(describe(shell).groupState, 'Stable')
})

t.test('who does not give up in its rebalance timeout is out', async t => {
  const shell = shellWith()
  const one = new Consumer(shell, { rebalanceTimeoutMs: 10_000 })
  one.beat()
  const two = new Consumer(shell)
  two.beat()
  one.quietBeat()
  for (let at = 0; at < 10; at++) {
    t.equal(one.quietBeat().errorCode, ErrorCode.NONE, 'it lives, but does not let go')
    shell.advance(1000)
  }
  t.equal(one.quietBeat().errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  two.quietBeat()
  t.equal(two.owned.size, 6)
})

t.test('who falls silent is out after its session, and the others take over', async t => {
  const shell = shellWith()
  shell.overrides.set('g', { consumerSessionTimeoutMs: 9000, consumerHeartbeatIntervalMs: 1234 })
  const [one, two] = [new Consumer(shell), new Consumer(shell)]
  settle([one, two])
  shell.advance(8999)
  t.equal(two.quietBeat().heartbeatIntervalMs, 1234)
  shell.advance(1)
  two.beat()
  t.equal(two.owned.size, 6)
  t.equal(one.quietBeat().errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(describe(shell).members.length, 1)
})

t.test('who leaves gives up everything at once', async t => {
  const shell = shellWith()
  const [one, two] = [new Consumer(shell), new Consumer(shell)]
  settle([one, two])
  t.match(one.leave(), { errorCode: 0, memberEpoch: -1 })
  t.equal(describe(shell).groupState, 'Assigning')
  two.quietBeat()
  t.equal(two.owned.size, 6)
  two.leave()
  t.equal(describe(shell).groupState, 'Empty')
  t.equal(two.leave().errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
})

t.test('members are fenced by their epoch, unless an answer was lost', async t => {
  const shell = shellWith()
  const one = new Consumer(shell)
  one.beat()
  const beat = (memberEpoch: number, owned: { topicId: string; partitions: number[] }[] | null) =>
    consumerHeartbeat(shell, { memberId: one.memberId, memberEpoch, owned })
  t.equal(beat(2, null).errorCode, ErrorCode.FENCED_MEMBER_EPOCH)
  shell.topics.set('t', 8)
  t.equal(one.beat().memberEpoch, 2)
  t.equal(beat(1, null).errorCode, ErrorCode.FENCED_MEMBER_EPOCH)
  t.equal(beat(1, [{ topicId: topicId('t'), partitions: [99] }]).errorCode, ErrorCode.FENCED_MEMBER_EPOCH)
  t.match(beat(1, [{ topicId: topicId('t'), partitions: [0] }]), { errorCode: 0, memberEpoch: 2 })
  t.equal(consumerHeartbeat(shell, { memberId: 'x', memberEpoch: 1 }).errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
})

t.test('who joins anew under its old id owns nothing, and starts over', async t => {
  const shell = shellWith()
  const [one, two] = [new Consumer(shell), new Consumer(shell)]
  settle([one, two])
  const again = new Consumer(shell, { memberId: one.memberId })
  t.match(again.beat(), { errorCode: 0 })
  t.equal(again.owned.size, 3)
  t.equal(describe(shell).members.length, 2)
})

t.test('a static member that goes for a while finds what it had under its new id', async t => {
  const shell = shellWith()
  const one = new Consumer(shell, { instanceId: 'a' })
  const two = new Consumer(shell, { instanceId: 'b' })
  settle([one, two])
  const had = one.partitionsOf('t')
  const early = new Consumer(shell, { instanceId: 'a' })
  t.equal(early.beat().errorCode, ErrorCode.UNRELEASED_INSTANCE_ID)
  t.match(one.leave(-2), { errorCode: 0, memberEpoch: -2 })
  two.beat()
  t.equal(two.owned.size, 3, 'nobody else gets them')
  const epoch = describe(shell).groupEpoch
  const back = new Consumer(shell, { instanceId: 'a' })
  back.beat()
  t.same(back.partitionsOf('t'), had)
  t.equal(describe(shell).groupEpoch, epoch, 'nobody is disturbed')
  const old = consumerHeartbeat(shell, { memberId: one.memberId, instanceId: 'a', memberEpoch: 1 })
  t.equal(old.errorCode, ErrorCode.FENCED_INSTANCE_ID)
  back.leave(-2)
  shell.advance(20_000)
  two.quietBeat()
  shell.advance(25_000)
  two.beat()
  t.equal(two.owned.size, 6, 'whoever stays away for longer than a session is out')
})

t.test('topics that come, grow and go are noticed with the next heartbeat', async t => {
  const shell = shellWith({ t: 2 })
  const one = new Consumer(shell, { topics: ['t', 'u'] })
  one.beat()
  t.same([one.partitionsOf('t'), one.partitionsOf('u')], [[0, 1], []])
  shell.topics.set('u', 1)
  one.quietBeat()
  t.same([one.partitionsOf('t'), one.partitionsOf('u')], [[0, 1], [0]])
  shell.topics.set('t', 3)
  one.quietBeat()
  t.same(one.partitionsOf('t'), [0, 1, 2])
  shell.topics.delete('u')
  one.quietBeat()
  one.beat()
  t.same(one.partitionsOf('u'), [])
  const epoch = one.epoch
  shell.topics.set('other', 1)
  one.quietBeat()
  t.equal(one.epoch, epoch, 'of others it does not hear')
})

t.test('a pattern reads every topic that it matches, now and later', async t => {
  const shell = shellWith({ 'log.a': 1, 'log.b': 1, other: 1 })
  const one = new Consumer(shell, { pattern: 'log\\..*' })
  one.beat()
  t.equal(one.owned.size, 2)
  shell.advance(1000)
  shell.topics.set('log.c', 2)
  one.quietBeat()
  t.equal(one.owned.size, 4)
  shell.topics.set('log.d', 2)
  one.quietBeat()
  t.equal(one.owned.size, 4, 'patterns are not matched at every moment')
  shell.advance(1000)
  one.quietBeat()
  t.equal(one.owned.size, 6)
  shell.crash()
  shell.advance(5000)
  t.match(one.quietBeat(), { errorCode: 0, memberEpoch: one.epoch })
  one.beat({ pattern: '', topics: ['other'] })
  one.beat({ pattern: '', topics: ['other'] })
  t.same(one.partitionsOf('other'), [0])
  t.equal(shell.log.filter(record => record.type === 'consumer-group-pattern').at(-1)?.value, null)
})

t.test('most members choose the assignor', async t => {
  const shell = shellWith({ t: 4, u: 4 })
  const consumers = ['range', 'range', null].map(
    assignor => new Consumer(shell, { assignor, topics: ['t', 'u'] }),
  )
  settle(consumers)
  t.equal(describe(shell).assignorName, 'range')
  for (const consumer of consumers) t.same(consumer.partitionsOf('t'), consumer.partitionsOf('u'))
})

t.test('a full group takes nobody else', async t => {
  const shell = shellWith({ t: 6 }, { consumerMaxSize: 1 })
  const [one, two] = [new Consumer(shell), new Consumer(shell)]
  t.equal(one.beat().errorCode, ErrorCode.NONE)
  t.equal(two.beat().errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED)
  t.equal(one.beat().errorCode, ErrorCode.NONE)
})

t.test('commits and reads are fenced by the member epoch', async t => {
  const shell = shellWith()
  const one = new Consumer(shell)
  one.beat()
  const { memberId } = one
  t.equal(commit(shell, { memberId, generationId: 1, offset: 3 }), ErrorCode.NONE)
  t.equal(commit(shell, { memberId, generationId: 1, version: 8 }), ErrorCode.UNSUPPORTED_VERSION)
  t.equal(commit(shell, { memberId, generationId: 0 }), ErrorCode.STALE_MEMBER_EPOCH)
  t.equal(commit(shell, { memberId: 'nobody', generationId: 1 }), ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(commit(shell), ErrorCode.UNKNOWN_MEMBER_ID)
  const fetch = (memberEpoch: number, id: string) =>
    shell.ask<'offset-fetch'>({
      kind: 'offset-fetch',
      groupId: 'g',
      memberId: id,
      memberEpoch,
      topics: null,
      requireStable: true,
    }).errorCode
  t.equal(fetch(1, memberId), ErrorCode.NONE)
  t.equal(fetch(2, memberId), ErrorCode.STALE_MEMBER_EPOCH)
  t.equal(fetch(1, 'nobody'), ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(committed(shell), 3)
  one.leave()
  t.equal(commit(shell, { offset: 4 }), ErrorCode.NONE, 'an empty group may be committed to from outside')
})

t.test('an empty group changes its protocol and keeps its offsets', async t => {
  const shell = shellWith()
  commit(shell, { offset: 5 })
  const one = new Consumer(shell)
  t.equal(one.beat().errorCode, ErrorCode.NONE)
  one.leave()
  shell.crash()
  stableGroup(shell, 1)
  t.equal(describe(shell).errorCode, ErrorCode.GROUP_ID_NOT_FOUND)
  shell.crash()
  t.equal(committed(shell), 5)
  t.match(shell.ask<'list-groups'>({ kind: 'list-groups', states: [], types: ['classic'] }), [
    { groupId: 'g' },
  ])
  t.same(shell.ask<'list-groups'>({ kind: 'list-groups', states: ['empty'], types: [] }), [])
  t.same(shell.ask<'list-groups'>({ kind: 'list-groups', states: ['stable'], types: ['consumer'] }), [])
})

t.test('a coordinator that starts anew carries on where the log ends', async t => {
  const shell = shellWith()
  const consumers = [new Consumer(shell), new Consumer(shell), new Consumer(shell)]
  settle(consumers)
  const before = describe(shell)
  shell.crash()
  t.same(describe(shell), before)
  for (const consumer of consumers) t.equal(consumer.quietBeat().errorCode, ErrorCode.NONE)
  shell.advance(44_999)
  for (const consumer of consumers.slice(1)) consumer.quietBeat()
  shell.advance(1)
  t.equal(describe(shell).members.length, 2)
})

t.test('groups are deleted when nobody is in them', async t => {
  const shell = shellWith()
  const one = new Consumer(shell, { pattern: 't.*' })
  one.beat()
  const remove = () => shell.ask<'delete-groups'>({ kind: 'delete-groups', groupIds: ['g'] })[0]?.errorCode
  t.equal(remove(), ErrorCode.NON_EMPTY_GROUP)
  one.leave()
  t.equal(remove(), ErrorCode.NONE)
  t.same(shell.shard.groupIds(), [])
  t.same(shell.replayed().groupIds(), [])
  t.equal(join(shell).answer?.errorCode, ErrorCode.MEMBER_ID_REQUIRED)
})
