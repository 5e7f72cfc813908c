/**
 * How members of a classic group get their assignment, stay, restart and go.
 */
import t from 'tap'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { commit, heartbeat, join, joinTwice, leave, stableGroup, sync } from './members.ts'
import { TestShell } from './shell.ts'

function describe(shell: TestShell) {
  return shell.ask<'describe-groups'>({ kind: 'describe-groups', version: 6, groupIds: ['g'] })[0]!
}

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString()

/** Static members that form a stable group, each assigned the name of its instance. */
function staticGroup(shell: TestShell, instances: readonly string[], version = 9) {
  const joins = instances.map(instanceId => join(shell, { instanceId, version }))
  shell.advance(0)
  let answers = joins.map(box => box.answer)
  if (answers.some(answer => answer === undefined)) {
    const again = join(shell, { instanceId: instances[0]!, memberId: answers[0]!.memberId, version })
    answers = [again.answer, ...joins.slice(1).map(box => box.answer)]
  }
  const generationId = answers[0]!.generationId ?? -1
  const members = new Map(instances.map((instanceId, index) => [instanceId, answers[index]!.memberId]))
  const leader = answers[0]!.leader
  const assignments = Object.fromEntries(
    Array.from(members, ([instanceId, memberId]) => [memberId, instanceId]),
  )
  for (const memberId of members.values()) {
    if (memberId !== leader) sync(shell, { memberId, generationId })
  }
  sync(shell, { memberId: leader, generationId, assignments })
  return { members, generationId, leader }
}

t.test('everybody is told the assignment when the leader has made it', async t => {
  const shell = new TestShell({ initialRebalanceDelayMs: 10 })
  const [one, two] = [joinTwice(shell), joinTwice(shell)]
  shell.advance(20)
  const leader = one.answer!.memberId
  const follower = two.answer!.memberId
  const early = sync(shell, { memberId: follower, generationId: 1 })
  t.equal(early.answer, undefined)
  t.equal(describe(shell).groupState, 'CompletingRebalance')
  const lead = sync(shell, {
    memberId: leader,
    generationId: 1,
    assignments: { [leader]: 'L', [follower]: 'F' },
  })
  t.match(early.answer, { errorCode: 0, protocolType: 'consumer', protocolName: 'range' })
  t.equal(text(early.answer?.assignment), 'F')
  t.equal(text(lead.answer?.assignment), 'L')
  const again = sync(shell, { memberId: follower, generationId: 1 })
  t.equal(text(again.answer?.assignment), 'F', 'and again, if it asks again')
  t.match(describe(shell), { groupState: 'Stable', protocolData: 'range', members: [{}, {}] })
})

t.test('a sync of somebody else, of another generation, or for another protocol is refused', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 2)
  const memberId = memberIds[0]!
  t.equal(sync(shell, { memberId: 'nobody', generationId }).answer?.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(
    sync(shell, { memberId, generationId: generationId - 1 }).answer?.errorCode,
    ErrorCode.ILLEGAL_GENERATION,
  )
  t.equal(
    sync(shell, { groupId: 'other', memberId, generationId }).answer?.errorCode,
    ErrorCode.UNKNOWN_MEMBER_ID,
  )
  t.equal(sync(shell, { groupId: '', memberId, generationId }).answer?.errorCode, ErrorCode.INVALID_GROUP_ID)
  for (const other of [{ protocolType: 'connect' }, { protocolName: 'sticky' }]) {
    t.equal(
      sync(shell, { memberId, generationId, ...other }).answer?.errorCode,
      ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
    )
  }
  joinTwice(shell)
  t.equal(sync(shell, { memberId, generationId }).answer?.errorCode, ErrorCode.REBALANCE_IN_PROGRESS)
})

t.test('a leader that dies before it assigns holds the others up for one rebalance timeout', async t => {
  const shell = new TestShell({ initialRebalanceDelayMs: 10 })
  const [one, two] = [
    joinTwice(shell, { sessionTimeoutMs: 60_000 }),
    joinTwice(shell, { sessionTimeoutMs: 60_000 }),
  ]
  shell.advance(20)
  const follower = two.answer!.memberId
  const waiting = sync(shell, { memberId: follower, generationId: 1 })
  shell.advance(29_999)
  t.equal(waiting.answer, undefined)
  shell.advance(1)
  t.equal(waiting.answer?.errorCode, ErrorCode.REBALANCE_IN_PROGRESS)
  const again = join(shell, { memberId: follower })
  t.match(again.answer, { generationId: 2, leader: follower })
  t.equal(heartbeat(shell, { memberId: one.answer!.memberId, generationId: 1 }), ErrorCode.UNKNOWN_MEMBER_ID)
})

t.test('a member that falls silent is out after its session', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 2, { sessionTimeoutMs: 6000 })
  const [one, other] = memberIds as [string, string]
  shell.advance(5999)
  t.equal(heartbeat(shell, { memberId: one, generationId }), ErrorCode.NONE)
  shell.advance(1)
  t.equal(heartbeat(shell, { memberId: one, generationId }), ErrorCode.REBALANCE_IN_PROGRESS)
  t.equal(heartbeat(shell, { memberId: other, generationId }), ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(join(shell, { memberId: one }).answer?.generationId, generationId + 1)
})

t.test('a commit is a sign of life too', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 1, { sessionTimeoutMs: 6000 })
  const memberId = memberIds[0]!
  shell.advance(5999)
  t.equal(commit(shell, { memberId, generationId }), ErrorCode.NONE)
  shell.advance(5999)
  t.equal(heartbeat(shell, { memberId, generationId }), ErrorCode.NONE)
})

t.test('heartbeats are fenced by generation', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 1)
  const memberId = memberIds[0]!
  t.equal(heartbeat(shell, { memberId, generationId: generationId + 1 }), ErrorCode.ILLEGAL_GENERATION)
  t.equal(heartbeat(shell, { groupId: 'other', memberId, generationId }), ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(heartbeat(shell, { groupId: '', memberId, generationId }), ErrorCode.INVALID_GROUP_ID)
})

t.test('when the last member goes the group is empty, and keeps its generation in the log', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 1)
  t.match(leave(shell, [{ memberId: memberIds[0]! }]), { errorCode: 0, members: [{ errorCode: 0 }] })
  t.equal(describe(shell).groupState, 'Empty')
  shell.crash()
  const box = joinTwice(shell)
  shell.advance(0)
  t.equal(box.answer?.generationId, generationId + 2)
})

t.test('several members leave with one request, each with its own result', async t => {
  const shell = new TestShell()
  const { members } = staticGroup(shell, ['a', 'b', 'c'])
  const pending = join(shell).answer!.memberId
  const answer = leave(shell, [
    { memberId: members.get('a')!, instanceId: 'a' },
    { memberId: '', instanceId: 'b' },
    { memberId: 'wrong', instanceId: 'c' },
    { memberId: '', instanceId: 'nobody' },
    { memberId: 'nobody' },
    { memberId: pending },
  ])
  t.same(
    answer.members?.map(member => member.errorCode),
    [
      ErrorCode.NONE,
      ErrorCode.NONE,
      ErrorCode.FENCED_INSTANCE_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
      ErrorCode.UNKNOWN_MEMBER_ID,
      ErrorCode.NONE,
    ],
  )
  t.equal(describe(shell).members.length, 1)
  t.match(leave(shell, [{ memberId: 'x' }], 'other'), {
    errorCode: ErrorCode.NONE,
    members: [{ memberId: 'x', errorCode: ErrorCode.UNKNOWN_MEMBER_ID }],
  })
})

t.test('a static follower that restarts keeps its assignment, and nobody rebalances', async t => {
  const shell = new TestShell()
  const { members, generationId, leader } = staticGroup(shell, ['a', 'b'])
  const follower = members.get('a') === leader ? 'b' : 'a'
  const box = join(shell, { instanceId: follower })
  t.match(box.answer, { errorCode: 0, generationId, leader, skipAssignment: false })
  t.not(box.answer?.memberId, members.get(follower))
  const synced = sync(shell, { memberId: box.answer!.memberId, instanceId: follower, generationId })
  t.equal(text(synced.answer?.assignment), follower)
  t.equal(describe(shell).groupState, 'Stable')
  const old = { memberId: members.get(follower)!, instanceId: follower, generationId }
  t.equal(heartbeat(shell, old), ErrorCode.FENCED_INSTANCE_ID)
  t.equal(sync(shell, old).answer?.errorCode, ErrorCode.FENCED_INSTANCE_ID)
  t.equal(join(shell, old).answer?.errorCode, ErrorCode.FENCED_INSTANCE_ID)
  t.equal(commit(shell, old), ErrorCode.FENCED_INSTANCE_ID)
  shell.crash()
  t.equal(heartbeat(shell, { ...old, memberId: box.answer!.memberId }), ErrorCode.NONE)
})

t.test('a static leader that restarts is told not to assign', async t => {
  const shell = new TestShell()
  const { members, generationId, leader } = staticGroup(shell, ['a', 'b'])
  const instanceId = members.get('a') === leader ? 'a' : 'b'
  const box = join(shell, { instanceId })
  t.match(box.answer, { errorCode: 0, generationId, leader: box.answer!.memberId, skipAssignment: true })
  t.equal(box.answer?.members.length, 2)
  t.equal(describe(shell).groupState, 'Stable')
})

t.test('before version 9 it is told that it is a follower', async t => {
  const shell = new TestShell()
  const { members, generationId, leader } = staticGroup(shell, ['a', 'b'], 5)
  const instanceId = members.get('a') === leader ? 'a' : 'b'
  const box = join(shell, { instanceId, version: 5 })
  t.match(box.answer, { errorCode: 0, generationId, leader, skipAssignment: false })
  t.equal(box.answer?.members.length, 0)
})

t.test('of two processes with one instance id, the older is fenced even while it waits', async t => {
  const shell = new TestShell({ initialRebalanceDelayMs: 1000 })
  const older = join(shell, { instanceId: 'a' })
  const younger = join(shell, { instanceId: 'a' })
  t.equal(older.answer?.errorCode, ErrorCode.FENCED_INSTANCE_ID)
  shell.advance(2000)
  t.match(younger.answer, { errorCode: 0, generationId: 1, members: [{}] })
})

t.test('a static member that restarts while the leader assigns makes all begin again', async t => {
  const shell = new TestShell()
  const { members, generationId } = staticGroup(shell, ['a', 'b'])
  join(shell, { instanceId: 'c' })
  for (const [instanceId, memberId] of members) join(shell, { instanceId, memberId })
  t.equal(describe(shell).groupState, 'CompletingRebalance')
  const waiting = sync(shell, {
    memberId: members.get('b')!,
    instanceId: 'b',
    generationId: generationId + 1,
  })
  join(shell, { instanceId: 'c' })
  t.equal(waiting.answer?.errorCode, ErrorCode.REBALANCE_IN_PROGRESS)
  t.equal(describe(shell).groupState, 'PreparingRebalance')
})

t.test('static members that do not come back in time stay until their session ends', async t => {
  const shell = new TestShell()
  const { members, generationId } = staticGroup(shell, ['a', 'b'])
  const third = join(shell, { instanceId: 'c' })
  const first = join(shell, { instanceId: 'a', memberId: members.get('a')! })
  const old = { memberId: members.get('b')!, instanceId: 'b', generationId }
  for (let at = 0; at < 6; at++) {
    shell.advance(5000)
    heartbeat(shell, old)
  }
  t.equal(third.answer?.generationId, generationId + 1)
  t.equal(first.answer?.members.length, first.answer?.leader === first.answer?.memberId ? 3 : 0)
  t.equal(heartbeat(shell, old), ErrorCode.ILLEGAL_GENERATION, 'it is known still')
})

t.test('a coordinator that starts anew knows members and assignments, and gives them a session', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 2, { sessionTimeoutMs: 6000 })
  shell.crash()
  t.equal(describe(shell).groupState, 'Stable')
  const [one, other] = memberIds as [string, string]
  t.equal(text(sync(shell, { memberId: other, generationId }).answer?.assignment), other)
  shell.advance(5000)
  t.equal(heartbeat(shell, { memberId: one, generationId }), ErrorCode.NONE)
  shell.advance(1000)
  t.equal(heartbeat(shell, { memberId: other, generationId }), ErrorCode.UNKNOWN_MEMBER_ID)
})

t.test('a coordinator that dies during a rebalance falls back to the generation before', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 1)
  const memberId = memberIds[0]!
  joinTwice(shell)
  const next = join(shell, { memberId })
  t.equal(next.answer?.generationId, generationId + 1)
  shell.crash()
  t.equal(heartbeat(shell, { memberId, generationId: generationId + 1 }), ErrorCode.ILLEGAL_GENERATION)
  t.equal(commit(shell, { memberId, generationId: generationId + 1 }), ErrorCode.ILLEGAL_GENERATION)
  t.equal(heartbeat(shell, { memberId, generationId }), ErrorCode.NONE)
})

t.test('a group that is larger than a lowered limit rebalances when it is loaded', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 3)
  const smaller = new TestShell({ maxSize: 2 })
  smaller.log.push(...shell.log)
  smaller.durable = smaller.log.length
  smaller.crash()
  const boxes = memberIds.map(memberId => join(smaller, { memberId }))
  t.same(
    boxes.map(box => box.answer?.errorCode),
    [ErrorCode.NONE, ErrorCode.NONE, ErrorCode.GROUP_MAX_SIZE_REACHED],
  )
  t.equal(heartbeat(smaller, { memberId: memberIds[0]!, generationId: generationId + 1 }), ErrorCode.NONE)
})
