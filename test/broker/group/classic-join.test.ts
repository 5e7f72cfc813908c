/**
 * How members come into a classic group.
 */
import t from 'tap'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { heartbeat, join, joinTwice, leave, stableGroup, sync } from './members.ts'
import { TestShell } from './shell.ts'

function stateOf(shell: TestShell): string {
  return shell.ask<'describe-groups'>({ kind: 'describe-groups', version: 6, groupIds: ['g'] })[0]!.groupState
}

t.test('a new dynamic member is given an id, and comes back with it', async t => {
  const shell = new TestShell()
  const first = join(shell)
  t.equal(first.answer?.errorCode, ErrorCode.MEMBER_ID_REQUIRED)
  t.equal(first.answer?.protocolName, null)
  const memberId = first.answer?.memberId ?? ''
  t.not(memberId, '')
  const second = join(shell, { memberId })
  t.equal(second.answer, undefined, 'it waits')
  shell.advance(0)
  t.match(second.answer, { errorCode: 0, generationId: 1, leader: memberId, memberId, protocolName: 'range' })
  t.equal(second.answer?.members.length, 1)
})

t.test('before version 4 a member is let in at once, and a null name is empty', async t => {
  const shell = new TestShell()
  const box = join(shell, { version: 3 })
  shell.advance(0)
  t.match(box.answer, { errorCode: 0, generationId: 1 })
  t.equal(join(shell, { version: 3, sessionTimeoutMs: 1 }).answer?.protocolName, '')
})

t.test('requests that make no sense are refused', async t => {
  const shell = new TestShell({ minSessionTimeoutMs: 6000, maxSessionTimeoutMs: 60_000 })
  t.equal(join(shell, { groupId: '' }).answer?.errorCode, ErrorCode.INVALID_GROUP_ID)
  t.equal(join(shell, { sessionTimeoutMs: 5999 }).answer?.errorCode, ErrorCode.INVALID_SESSION_TIMEOUT)
  t.equal(join(shell, { sessionTimeoutMs: 60_001 }).answer?.errorCode, ErrorCode.INVALID_SESSION_TIMEOUT)
  t.equal(join(shell, { memberId: 'nobody' }).answer?.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(join(shell, { protocols: [] }).answer?.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
  t.same(shell.log, [], 'and leave nothing behind')
})

t.test('the first rebalance waits for more members, and longer when some come', async t => {
  const shell = new TestShell({ initialRebalanceDelayMs: 3000 })
  const first = joinTwice(shell)
  shell.advance(2000)
  const second = joinTwice(shell)
  shell.advance(1000)
  t.equal(first.answer, undefined, 'somebody came: it is put off')
  shell.advance(2999)
  t.equal(first.answer, undefined)
  shell.advance(1)
  t.equal(first.answer?.generationId, 1)
  t.equal(second.answer?.generationId, 1)
})

t.test('it is not put off beyond the rebalance timeout', async t => {
  const shell = new TestShell({ initialRebalanceDelayMs: 3000 })
  const first = joinTwice(shell, { rebalanceTimeoutMs: 7000 })
  for (let at = 0; at < 7; at++) {
    joinTwice(shell, { rebalanceTimeoutMs: 7000 })
    t.equal(first.answer, undefined, `after ${at} s`)
    shell.advance(1000)
  }
  t.equal(first.answer?.generationId, 1)
  t.equal(first.answer?.members.length, 8)
})

t.test('a join makes a stable group rebalance, and who does not come back is out', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 2)
  const [one, other] = memberIds as [string, string]
  const third = joinTwice(shell)
  t.equal(heartbeat(shell, { memberId: one, generationId }), ErrorCode.REBALANCE_IN_PROGRESS)
  const again = join(shell, { memberId: one })
  for (let at = 0; at < 29; at++) {
    shell.advance(1000)
    heartbeat(shell, { memberId: other, generationId })
  }
  t.equal(again.answer, undefined, 'it waits for the other one')
  shell.advance(1000)
  t.equal(again.answer?.generationId, generationId + 1)
  t.equal(third.answer?.generationId, generationId + 1)
  t.equal(heartbeat(shell, { memberId: other, generationId }), ErrorCode.UNKNOWN_MEMBER_ID)
})

t.test('members choose the protocol by votes, among those that all know', async t => {
  const shell = new TestShell({ initialRebalanceDelayMs: 100 })
  const boxes = [
    joinTwice(shell, { protocols: ['a', 'b', 'c'] }),
    joinTwice(shell, { protocols: ['b', 'c'] }),
    joinTwice(shell, { protocols: ['c', 'b', 'x'] }),
  ]
  t.equal(join(shell, { protocols: ['a', 'x'] }).answer?.errorCode, ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
  t.equal(
    join(shell, { protocolType: 'connect', protocols: ['b'] }).answer?.errorCode,
    ErrorCode.INCONSISTENT_GROUP_PROTOCOL,
  )
  shell.advance(200)
  t.equal(boxes[0]!.answer?.protocolName, 'b')
})

t.test('a follower that joins again unchanged is told what is, a leader begins a rebalance', async t => {
  const shell = new TestShell()
  const { memberIds, generationId, leader } = stableGroup(shell, 2)
  const follower = memberIds.find(memberId => memberId !== leader)!
  const unchanged = join(shell, { memberId: follower })
  t.match(unchanged.answer, { errorCode: 0, generationId, leader, memberId: follower })
  t.equal(unchanged.answer?.members.length, 0)
  t.equal(stateOf(shell), 'Stable')
  const changed = join(shell, { memberId: follower, topics: ['t', 'u'] })
  t.equal(changed.answer, undefined)
  t.equal(stateOf(shell), 'PreparingRebalance')
  const lead = join(shell, { memberId: leader })
  t.equal(lead.answer?.generationId, generationId + 1)
  sync(shell, { memberId: leader, generationId: generationId + 1 })
  t.equal(stateOf(shell), 'Stable')
  t.equal(join(shell, { memberId: leader }).answer, undefined)
  t.equal(stateOf(shell), 'PreparingRebalance')
})

t.test('a full group takes nobody else', async t => {
  const shell = new TestShell({ maxSize: 2 })
  const { memberIds, generationId } = stableGroup(shell, 2)
  t.equal(join(shell).answer?.errorCode, ErrorCode.GROUP_MAX_SIZE_REACHED)
  t.equal(heartbeat(shell, { memberId: memberIds[0]!, generationId }), ErrorCode.NONE)
  leave(shell, [{ memberId: memberIds[1]! }])
  t.equal(join(shell).answer?.errorCode, ErrorCode.MEMBER_ID_REQUIRED)
})

t.test('an id that nobody comes back with is forgotten, and holds up no rebalance for longer', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 1)
  const pending = join(shell, { sessionTimeoutMs: 6000 }).answer!.memberId
  const again = join(shell, { memberId: memberIds[0]! })
  t.equal(again.answer, undefined)
  shell.advance(6000)
  t.equal(again.answer?.generationId, generationId + 1)
  t.equal(join(shell, { memberId: pending }).answer?.errorCode, ErrorCode.UNKNOWN_MEMBER_ID)
})

t.test('a storm of joins that nobody waits for leaves no phantoms', async t => {
  const shell = new TestShell({ initialRebalanceDelayMs: 3000 })
  const tokens = Array.from({ length: 5000 }, () => join(shell, { version: 2 }).token)
  for (const joinToken of tokens) shell.run({ kind: 'abandon-join', groupId: 'g', joinToken })
  const alone = joinTwice(shell)
  shell.advance(60_000)
  t.equal(alone.answer?.members.length, 1)
  for (let count = 0; count < 5000; count++) join(shell)
  shell.advance(10_000)
  t.equal(shell.hasTimer('session'), false, 'ids that were given out are gone with their time')
})

t.test('of a member that knows its id, a lost connection is not the end', async t => {
  const shell = new TestShell({ initialRebalanceDelayMs: 3000 })
  const box = joinTwice(shell)
  shell.run({ kind: 'abandon-join', groupId: 'g', joinToken: box.token })
  shell.advance(3000)
  t.equal(box.answer?.errorCode, ErrorCode.NONE)
})
