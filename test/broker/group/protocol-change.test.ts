/**
 * A group that changes its protocol while its members go on reading.
 */
import t from 'tap'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { ClassicClient } from './classic-client.ts'
import { Consumer } from './consumers.ts'
import { commit, committed, heartbeat, join, stableGroup, sync } from './members.ts'
import { TestShell } from './shell.ts'

const PARTITIONS = 6

function shellWith(config = {}): TestShell {
  const shell = new TestShell(config)
  shell.topics.set('t', PARTITIONS)
  return shell
}

function typeOf(shell: TestShell): string {
  return shell.ask<'list-groups'>({ kind: 'list-groups', states: [], types: [] })[0]?.groupType ?? ''
}

/** Lets everybody do what clients do, a second at a time, until nothing changes for a while. */
function run(shell: TestShell, classic: readonly ClassicClient[], consumers: readonly Consumer[]): void {
  for (let second = 0; second < 60; second++) {
    for (const client of classic) client.act()
    for (const consumer of consumers) consumer.beat()
    shell.advance(1000)
  }
}

function owned(classic: readonly ClassicClient[], consumers: readonly Consumer[]): number[] {
  const all = [
    ...classic.flatMap(client => client.owned),
    ...consumers.flatMap(consumer => consumer.partitionsOf('t')),
  ]
  return all.sort((left, right) => left - right)
}

const ALL = Array.from({ length: PARTITIONS }, (_, partition) => partition)

t.test('a consumer joins classic members: they share, and each speaks its own protocol', async t => {
  const shell = shellWith()
  const classic = [0, 1].map(() => new ClassicClient(shell, null, () => PARTITIONS))
  run(shell, classic, [])
  t.equal(typeOf(shell), 'Classic')
  const epoch = classic[0]!.generationId
  const consumer = new Consumer(shell)
  t.match(consumer.beat(), { errorCode: 0, memberEpoch: epoch + 1, assignment: { topicPartitions: [] } })
  t.equal(typeOf(shell), 'Consumer')
  t.same(owned(classic, [consumer]), ALL, 'nobody has lost anything yet')
  run(shell, classic, [consumer])
  t.same(owned(classic, [consumer]), ALL)
  t.equal(consumer.owned.size, 2)
  t.same(
    classic.map(client => client.owned.length),
    [2, 2],
  )
  const described = shell.ask<'consumer-group-describe'>({
    kind: 'consumer-group-describe',
    groupIds: ['g'],
  })[0]!
  t.same(described.members.map(({ memberType }) => memberType).sort(), [0, 0, 1])
  shell.crash()
  for (const client of classic) client.disconnect()
  run(shell, classic, [consumer])
  t.same(owned(classic, [consumer]), ALL, 'a crash changes nothing')
})

t.test('when the last consumer leaves, the group is a classic one again', async t => {
  const shell = shellWith()
  const classic = [0, 1].map(() => new ClassicClient(shell, null, () => PARTITIONS))
  run(shell, classic, [])
  const consumer = new Consumer(shell)
  run(shell, classic, [consumer])
  commit(shell, { memberId: consumer.memberId, generationId: consumer.epoch, offset: 8 })
  consumer.leave()
  t.equal(typeOf(shell), 'Classic')
  run(shell, classic, [])
  t.same(owned(classic, []), ALL)
  t.equal(committed(shell), 8)
  t.equal(classic[0]!.generationId, classic[1]!.generationId, 'with one generation for all')
})

t.test('also when it only falls silent, and after a crash', async t => {
  const shell = shellWith()
  const classic = [0, 1].map(() => new ClassicClient(shell, null, () => PARTITIONS))
  run(shell, classic, [])
  const consumer = new Consumer(shell)
  run(shell, classic, [consumer])
  run(shell, classic, [])
  t.equal(typeOf(shell), 'Classic')
  shell.crash()
  for (const client of classic) client.disconnect()
  run(shell, classic, [])
  t.same(owned(classic, []), ALL)
})

t.test('a coordinator that dies right after the change lets the classic members share anew', async t => {
  const shell = shellWith()
  const client = new ClassicClient(shell, 'a', () => PARTITIONS)
  const consumer = new Consumer(shell)
  run(shell, [client], [consumer])
  consumer.leave()
  shell.crash()
  const restarted = new ClassicClient(shell, 'a', () => PARTITIONS)
  run(shell, [restarted], [])
  t.same(owned([restarted], []), ALL)
})

t.test('a classic member comes into a consumer group', async t => {
  const shell = shellWith()
  const consumers = [new Consumer(shell), new Consumer(shell)]
  run(shell, [], consumers)
  t.equal(join(shell).answer?.errorCode, ErrorCode.MEMBER_ID_REQUIRED)
  const client = new ClassicClient(shell, null, () => PARTITIONS)
  run(shell, [client], consumers)
  t.equal(client.phase, 'stable')
  t.equal(client.owned.length, 2)
  t.same(owned([client], consumers), ALL)
  const { memberId, generationId } = client
  t.equal(commit(shell, { memberId, generationId, version: 7, offset: 5 }), ErrorCode.NONE)
  t.equal(
    commit(shell, { memberId, generationId: generationId - 1, version: 7 }),
    ErrorCode.ILLEGAL_GENERATION,
  )
  t.equal(heartbeat(shell, { memberId, generationId: generationId + 1 }), ErrorCode.ILLEGAL_GENERATION)
  t.equal(heartbeat(shell, { memberId: 'nobody', generationId }), ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(
    heartbeat(shell, { memberId: consumers[0]!.memberId, generationId }),
    ErrorCode.UNKNOWN_MEMBER_ID,
    'a consumer does not speak the classic protocol',
  )
  t.equal(sync(shell, { memberId, generationId: 1 }).answer?.errorCode, ErrorCode.ILLEGAL_GENERATION)
  t.equal(
    sync(shell, { memberId, generationId, protocolName: 'other' }).answer?.errorCode,
    ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
  )
  t.equal(join(shell, { protocolType: 'connect' }).answer?.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
  t.equal(join(shell, { protocols: ['other'] }).answer?.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
})

t.test('a classic member that is told to join again and does not is out', async t => {
  const shell = shellWith()
  const client = new ClassicClient(shell, null, () => PARTITIONS)
  const consumer = new Consumer(shell)
  run(shell, [client], [consumer])
  const { memberId, generationId } = client
  const another = new Consumer(shell)
  another.beat()
  for (let second = 0; second < 20; second++) {
    t.equal(heartbeat(shell, { memberId, generationId }), ErrorCode.REBALANCE_IN_PROGRESS)
    shell.advance(1000)
    consumer.beat()
    another.beat()
  }
  t.equal(heartbeat(shell, { memberId, generationId }), ErrorCode.UNKNOWN_MEMBER_ID)
  run(shell, [], [consumer, another])
  t.same(owned([], [consumer, another]), ALL)
})

t.test('static members change the protocol with a restart', async t => {
  const shell = shellWith()
  const classic = ['a', 'b'].map(instanceId => new ClassicClient(shell, instanceId, () => PARTITIONS))
  run(shell, classic, [])
  const consumers = [new Consumer(shell, { instanceId: 'a' })]
  run(shell, [classic[1]!], consumers)
  t.equal(typeOf(shell), 'Consumer')
  t.same(owned([classic[1]!], consumers), ALL)
  consumers.push(new Consumer(shell, { instanceId: 'b' }))
  run(shell, [], consumers)
  t.same(owned([], consumers), ALL)
  classic[1]!.act()
  t.equal(classic[1]!.phase, 'fenced')
  for (const instanceId of ['a', 'b']) consumers[instanceId === 'a' ? 0 : 1]!.leave(-2)
  const back = ['a', 'b'].map(instanceId => new ClassicClient(shell, instanceId, () => PARTITIONS))
  run(shell, back, [])
  t.equal(typeOf(shell), 'Classic')
  t.same(owned(back, []), ALL)
})

t.test('classic members leave a consumer group, named by member or by instance', async t => {
  const shell = shellWith()
  const consumer = new Consumer(shell)
  const classic = ['a', 'b', null].map(instanceId => new ClassicClient(shell, instanceId, () => PARTITIONS))
  run(shell, classic, [consumer])
  const [a, b, dynamic] = classic as [ClassicClient, ClassicClient, ClassicClient]
  const { members } = shell.ask<'leave-group'>({
    kind: 'leave-group',
    version: 5,
    clientId: 'app',
    clientHost: '/127.0.0.1',
    request: {
      groupId: 'g',
      memberId: '',
      members: [
        { memberId: '', groupInstanceId: 'a', reason: null },
        { memberId: a.memberId, groupInstanceId: 'b', reason: null },
        { memberId: dynamic.memberId, groupInstanceId: null, reason: null },
        { memberId: consumer.memberId, groupInstanceId: null, reason: null },
        { memberId: '', groupInstanceId: null, reason: null },
      ],
    },
  })
  t.same(
    members?.map(({ errorCode }) => errorCode),
    [
      ErrorCode.NONE,
      ErrorCode.FENCED_INSTANCE_ID,
      ErrorCode.NONE,
      ErrorCode.UNKNOWN_MEMBER_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
    ],
  )
  run(shell, [b], [consumer])
  t.same(owned([b], [consumer]), ALL)
})

t.test('groups that cannot change stay what they are', async t => {
  const upgradeOf = (shell: TestShell) => new Consumer(shell).beat()
  const disabled = shellWith({ consumerMigrationPolicy: 'downgrade' })
  run(disabled, [new ClassicClient(disabled, null, () => PARTITIONS)], [])
  t.match(upgradeOf(disabled), { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, errorMessage: /disabled/ })
  const connect = shellWith()
  stableGroup(connect, 1, { protocolType: 'connect' })
  t.match(upgradeOf(connect), { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, errorMessage: /consumer embedded/ })
  const malformed = shellWith()
  stableGroup(malformed, 1)
  t.match(upgradeOf(malformed), { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, errorMessage: /malformed/ })
  const small = shellWith({ consumerMaxSize: 1 })
  run(small, [new ClassicClient(small, null, () => PARTITIONS)], [])
  t.match(upgradeOf(small), { errorCode: ErrorCode.GROUP_ID_NOT_FOUND, errorMessage: /size/ })
  const upward = shellWith({ consumerMigrationPolicy: 'upgrade' })
  const client = new ClassicClient(upward, null, () => PARTITIONS)
  run(upward, [client], [])
  const consumer = new Consumer(upward)
  run(upward, [client], [consumer])
  consumer.leave()
  run(upward, [client], [])
  t.equal(typeOf(upward), 'Consumer', 'and goes on with classic members only')
  t.same(owned([client], []), ALL)
})

t.test('members that wait for a join or a sync are sent to join the group that it is now', async t => {
  const shell = shellWith()
  const classic = [0, 1].map(() => new ClassicClient(shell, null, () => PARTITIONS))
  run(shell, classic, [])
  const newcomer = new ClassicClient(shell, null, () => PARTITIONS)
  newcomer.act()
  newcomer.act()
  t.equal(newcomer.phase, 'joining')
  const consumer = new Consumer(shell)
  consumer.beat()
  t.equal(newcomer.phase, 'out')
  run(shell, [...classic, newcomer], [consumer])
  t.same(owned([...classic, newcomer], [consumer]), ALL)
  t.equal(shell.waitingCount, 0)
})
