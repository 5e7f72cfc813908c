/**
 * Whose commits count, what is read back, and when offsets go.
 */
import t from 'tap'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { commit, committed, join, joinTwice, leave, stableGroup, sync } from './members.ts'
import { TestShell, topicId } from './shell.ts'

const DAY_MS = 24 * 3_600_000

t.test('anybody may commit to a group that has no members', async t => {
  const shell = new TestShell()
  t.equal(committed(shell), -1)
  t.equal(commit(shell, { offset: 42, metadata: 'here' }), ErrorCode.NONE)
  t.equal(committed(shell), 42)
  t.equal(committed(shell, 't', 1), -1)
  shell.crash()
  t.equal(committed(shell), 42)
  t.match(shell.ask<'list-groups'>({ kind: 'list-groups', states: [], types: [] }), [
    { groupId: 'g', protocolType: '', groupState: 'Empty', groupType: 'Classic' },
  ])
})

t.test('a commit that names a generation needs the group', async t => {
  const shell = new TestShell()
  const options = { generationId: 1, memberId: 'm' }
  t.equal(commit(shell, { ...options, version: 8 }), ErrorCode.ILLEGAL_GENERATION)
  t.equal(commit(shell, { ...options, version: 9 }), ErrorCode.GROUP_ID_NOT_FOUND)
})

t.test('commits of an old generation, of strangers and of outsiders are refused', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 2)
  const [memberId] = memberIds as [string, string]
  t.equal(commit(shell, { memberId, generationId, offset: 5 }), ErrorCode.NONE)
  t.equal(commit(shell, { memberId, generationId: generationId - 1 }), ErrorCode.ILLEGAL_GENERATION)
  t.equal(commit(shell, { memberId: 'nobody', generationId }), ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(commit(shell, { memberId, generationId: -1 }), ErrorCode.ILLEGAL_GENERATION)
  t.equal(commit(shell), ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(commit(shell, { memberId, generationId, instanceId: 'i' }), ErrorCode.UNKNOWN_MEMBER_ID)
  t.equal(committed(shell), 5)
})

t.test(
  'while members gather, the old generation may still commit; while the leader assigns, nobody',
  async t => {
    const shell = new TestShell()
    const { memberIds, generationId } = stableGroup(shell, 1)
    const memberId = memberIds[0]!
    joinTwice(shell)
    t.equal(commit(shell, { memberId, generationId, offset: 7 }), ErrorCode.NONE)
    join(shell, { memberId })
    t.equal(commit(shell, { memberId, generationId }), ErrorCode.ILLEGAL_GENERATION)
    t.equal(commit(shell, { memberId, generationId: generationId + 1 }), ErrorCode.REBALANCE_IN_PROGRESS)
  },
)

t.test('too much metadata is refused for that partition alone', async t => {
  const shell = new TestShell({ offsetMetadataMaxBytes: 3 })
  t.equal(commit(shell, { metadata: 'four' }), ErrorCode.OFFSET_METADATA_TOO_LARGE)
  t.equal(commit(shell, { metadata: 'tri' }), ErrorCode.NONE)
})

t.test('all offsets of a group are read at once', async t => {
  const shell = new TestShell()
  commit(shell, { topic: 'a', partition: 1, offset: 11, metadata: 'x' })
  commit(shell, { topic: 'b', partition: 0, offset: 12 })
  const ask = (groupId: string) =>
    shell.ask<'offset-fetch'>({
      kind: 'offset-fetch',
      groupId,
      memberId: null,
      memberEpoch: -1,
      topics: null,
      requireStable: false,
    })
  t.match(ask('g'), {
    errorCode: 0,
    topics: [
      {
        name: 'a',
        topicId: topicId('a'),
        partitions: [{ partitionIndex: 1, committedOffset: 11, committedLeaderEpoch: -1, metadata: 'x' }],
      },
      { name: 'b', partitions: [{ partitionIndex: 0, committedOffset: 12, metadata: '' }] },
    ],
  })
  t.same(ask('other').topics, [])
})

t.test('an offset of a topic that is gone is not one of its successor', async t => {
  const shell = new TestShell()
  commit(shell, { offset: 9 })
  const answer = shell.ask<'offset-fetch'>({
    kind: 'offset-fetch',
    groupId: 'g',
    memberId: null,
    memberEpoch: -1,
    topics: [{ name: 't', topicId: topicId('another'), partitionIndexes: [0] }],
    requireStable: false,
  })
  t.equal(answer.topics[0]?.partitions[0]?.committedOffset, -1)
  shell.run({ kind: 'topics-deleted', names: ['t'] })
  t.equal(committed(shell), -1)
  shell.crash()
  t.equal(committed(shell), -1)
})

t.test('offsets are deleted on request, but not of topics that the group reads', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 1, { topics: ['t'] })
  const memberId = memberIds[0]!
  commit(shell, { memberId, generationId, topic: 't', offset: 1 })
  commit(shell, { memberId, generationId, topic: 'u', offset: 2 })
  const remove = (groupId: string) =>
    shell.ask<'offset-delete'>({
      kind: 'offset-delete',
      request: {
        groupId,
        topics: [
          { name: 't', partitions: [{ partitionIndex: 0 }] },
          { name: 'u', partitions: [{ partitionIndex: 0 }, { partitionIndex: 1 }] },
        ],
      },
    })
  t.match(remove('g'), {
    errorCode: 0,
    topics: [
      { partitions: [{ errorCode: ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC }] },
      { partitions: [{ errorCode: 0 }, { errorCode: 0 }] },
    ],
  })
  t.equal(committed(shell, 't'), 1)
  t.equal(committed(shell, 'u'), -1)
  t.equal(remove('other').errorCode, ErrorCode.GROUP_ID_NOT_FOUND)
})

t.test('groups are deleted with their offsets when they are empty', async t => {
  const shell = new TestShell()
  const { memberIds, generationId } = stableGroup(shell, 1)
  commit(shell, { memberId: memberIds[0]!, generationId })
  commit(shell, { groupId: 'simple' })
  const remove = (...groupIds: string[]) =>
    shell.ask<'delete-groups'>({ kind: 'delete-groups', groupIds }).map(result => result.errorCode)
  t.same(remove('g', 'simple', 'other'), [
    ErrorCode.NON_EMPTY_GROUP,
    ErrorCode.NONE,
    ErrorCode.GROUP_ID_NOT_FOUND,
  ])
  t.equal(committed(shell, 't', 0, 'simple'), -1)
  leave(shell, [{ memberId: memberIds[0]! }])
  t.same(remove('g'), [ErrorCode.NONE])
  t.same(shell.shard.groupIds(), [])
  t.same(shell.replayed().groupIds(), [])
})

t.test('offsets of a group without members ever expire some time after their commit', async t => {
  const shell = new TestShell({ offsetsRetentionMs: DAY_MS })
  shell.run({ kind: 'loaded' })
  commit(shell, { topic: 'a' })
  shell.advance(DAY_MS / 2)
  commit(shell, { topic: 'b' })
  shell.advance(DAY_MS / 2 + 1_200_000)
  t.equal(committed(shell, 'a'), -1)
  t.equal(committed(shell, 'b'), 1)
  shell.advance(DAY_MS)
  t.same(shell.shard.groupIds(), [], 'and the group with the last of them')
})

t.test('offsets of a group that has lost its members expire some time after that', async t => {
  const shell = new TestShell({ offsetsRetentionMs: DAY_MS, maxSessionTimeoutMs: 10 * DAY_MS })
  shell.run({ kind: 'loaded' })
  const { memberIds, generationId } = stableGroup(shell, 1, { sessionTimeoutMs: 3 * DAY_MS })
  const memberId = memberIds[0]!
  commit(shell, { memberId, generationId, topic: 't' })
  commit(shell, { memberId, generationId, topic: 'u' })
  shell.advance(2 * DAY_MS)
  t.equal(committed(shell, 't'), 1, 'it reads the topic')
  t.equal(committed(shell, 'u'), -1, 'this one it has not read for long')
  leave(shell, [{ memberId }])
  shell.crash()
  shell.advance(DAY_MS - 1)
  t.equal(committed(shell, 't'), 1)
  shell.advance(1_200_001)
  t.equal(committed(shell, 't'), -1)
  t.same(shell.shard.groupIds(), [])
})

t.test('an old client may say how long its offset is kept', async t => {
  const shell = new TestShell()
  shell.run({ kind: 'loaded' })
  commit(shell, { version: 4, retentionTimeMs: 1000 })
  shell.crash()
  shell.advance(1_200_000)
  t.equal(committed(shell), -1)
})

t.test('a group whose topics are not known keeps its offsets while it has members', async t => {
  const shell = new TestShell({ offsetsRetentionMs: 1000 })
  shell.run({ kind: 'loaded' })
  const box = joinTwice(shell, { protocolType: 'connect', sessionTimeoutMs: 1_800_000 })
  shell.advance(0)
  const memberId = box.answer!.memberId
  sync(shell, { memberId, generationId: 1 })
  commit(shell, { memberId, generationId: 1 })
  shell.advance(1_500_000)
  t.equal(committed(shell), 1)
})
