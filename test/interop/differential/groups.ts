/**
 * FindCoordinator, JoinGroup to LeaveGroup, OffsetCommit, OffsetFetch, OffsetDelete, lists and deletions of
 * groups, KIP-848.
 */
import { API } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type Scenario, type Script } from './script.ts'

const NOWHERE = 'f'.repeat(32)

/** Of topic 't'; Kafka never answers a member whose subscription it cannot read. */
const SUBSCRIPTION = Buffer.from([0, 1, 0, 0, 0, 1, 0, 1, 0x74, 255, 255, 255, 255, 0, 0, 0, 0])

/** Until the coordinator is there; Kafka takes a moment. */
async function ready(script: Script): Promise<void> {
  let errorCode: number
  do {
    await script.quietly(API.FindCoordinator, 2, { keyType: 0, key: 'missing' })
    const nobody = { groupId: 'missing', generationId: 1, memberId: 'nobody' }
    ;({ errorCode } = await script.quietly(API.Heartbeat, 4, nobody))
  } while (errorCode !== ErrorCode.UNKNOWN_MEMBER_ID)
}

interface Join {
  readonly groupId: string
  readonly memberId?: string
  readonly groupInstanceId?: string | null
  readonly sessionTimeoutMs?: number
  readonly rebalanceTimeoutMs?: number
  readonly protocolType?: string
  readonly protocols?: readonly { name: string; metadata: Uint8Array }[]
}

const joinRequest = (join: Join) => ({
  sessionTimeoutMs: 10_000,
  rebalanceTimeoutMs: 10_000,
  memberId: '',
  groupInstanceId: null,
  protocolType: 'consumer',
  protocols: [{ name: 'range', metadata: SUBSCRIPTION }],
  ...join,
})

/** Since version 5 a SyncGroup has to say it. */
const NAMED = { protocolType: 'consumer', protocolName: 'range' }

interface Member {
  readonly groupId: string
  readonly memberId: string
  readonly generationId: number
}

/** The only member of a group, with its assignment; not part of the transcript. */
async function joinAlone(script: Script, join: Join): Promise<Member> {
  const { groupId } = join
  let joined = await script.quietly(API.JoinGroup, 9, joinRequest(join))
  if (joined.errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
    joined = await script.quietly(API.JoinGroup, 9, joinRequest({ ...join, memberId: joined.memberId }))
  }
  const { memberId, generationId } = joined
  await script.quietly(API.SyncGroup, 5, {
    groupId,
    generationId,
    memberId,
    ...NAMED,
    assignments: [{ memberId, assignment: Buffer.from('mine') }],
  })
  return { groupId, memberId, generationId }
}

const commits = (topic: string, partitions: readonly number[], offset = 5) => ({
  name: topic,
  partitions: partitions.map(partitionIndex => ({
    partitionIndex,
    committedOffset: offset,
    committedMetadata: null,
  })),
})

const find: Scenario = {
  name: 'groups: coordinators',
  async run(script) {
    await ready(script)
    for (const version of script.versions(API.FindCoordinator)) {
      const ask = (what: string, keyType: number, keys: string[]) => {
        const body = version < 4 ? { key: keys[0] ?? '' } : { coordinatorKeys: keys }
        return script.ask(what, API.FindCoordinator, version, { ...body, keyType: version < 1 ? 0 : keyType })
      }
      await ask('a group', 0, ['some group'])
      await ask('the empty group', 0, [''])
      if (version >= 4) await ask('several', 0, ['a', 'b', 'a'])
      if (version >= 4) await ask('none', 0, [])
    }
  },
}

const life: Scenario = {
  name: 'groups: the life of a member',
  async run(script) {
    await ready(script)
    await script.createTopic('groups-life', 2)
    for (const version of script.versions(API.JoinGroup)) {
      const groupId = `life-${version}`
      const join = (what: string, rest: Partial<Join> = {}) =>
        script.ask(what, API.JoinGroup, version, {
          ...joinRequest({ groupId, ...rest }),
          ...(version < 1 ? { rebalanceTimeoutMs: -1 } : {}),
        })
      await join('an unknown member', { memberId: 'unknown' })
      await join('no group', { groupId: '' })
      await join('too short a session', { sessionTimeoutMs: 10 })
      await join('too long a session', { sessionTimeoutMs: 10_000_000 })
      await join('no protocols', { protocols: [] })
      await join('no protocol type', { protocolType: '' })
      const first = await join('a new member')
      const { memberId, generationId } =
        first.errorCode === ErrorCode.MEMBER_ID_REQUIRED
          ? await join('with the id that it was given', { memberId: first.memberId })
          : first
      const member = { groupId, memberId, generationId }
      await heartbeats(script, 'before it is assigned', member)
      await commitsOf(script, 'before it is assigned', member, 'groups-life')
      const sync = (what: string, rest: object = {}) =>
        script.ask(what, API.SyncGroup, Math.min(version, 5), {
          groupId,
          generationId,
          memberId,
          ...(version < 5 ? {} : NAMED),
          assignments: [{ memberId, assignment: Buffer.from('mine') }],
          ...rest,
        })
      await sync('of an unknown member', { memberId: 'unknown' })
      await sync('of another generation', { generationId: generationId + 1 })
      await sync('of an unknown group', { groupId: 'missing' })
      await sync('of no group', { groupId: '' })
      if (version >= 5) await sync('of another protocol', { protocolType: 'consumer', protocolName: 'other' })
      if (version >= 5) await sync('of no protocol', { protocolType: null, protocolName: null })
      if (version >= 5) await sync('of another type', { protocolType: 'connect', protocolName: 'range' })
      await sync('the leader')
      await sync('once more', { assignments: [] })
      await heartbeats(script, 'in a stable group', member)
      await commitsOf(script, 'in a stable group', member, 'groups-life')
      await join('with other protocols', { memberId: '', protocolType: 'connect' })
      await join('with none in common', {
        memberId: '',
        protocols: [{ name: 'other', metadata: SUBSCRIPTION }],
      })
      await join('again', { memberId })
      const leave = (what: string, id: string, group = groupId) =>
        script.ask(what, API.LeaveGroup, Math.min(version, 5), {
          groupId: group,
          memberId: version < 3 ? id : '',
          members: version < 3 ? [] : [{ memberId: id }],
        })
      await leave('an unknown member', 'unknown')
      await leave('of an unknown group', memberId, 'missing')
      await leave('of no group', memberId, '')
      await leave('the member', memberId)
      await leave('once more', memberId)
      await heartbeats(script, 'after it has left', member)
    }
  },
}

async function heartbeats(script: Script, what: string, member: Member): Promise<void> {
  for (const version of script.ends(API.Heartbeat, 3)) {
    const ask = (which: string, rest: object = {}) =>
      script.ask(`${what}: ${which}`, API.Heartbeat, version, { ...member, ...rest })
    await ask('a heartbeat')
    await ask('of an older generation', { generationId: member.generationId - 1 })
    await ask('of a later generation', { generationId: member.generationId + 1 })
    await ask('of an unknown member', { memberId: 'unknown' })
    await ask('of an unknown group', { groupId: 'missing' })
    await ask('of no group', { groupId: '' })
    if (version >= 3) await ask('of an unknown instance', { groupInstanceId: 'unknown' })
  }
}

async function commitsOf(script: Script, what: string, member: Member, topic: string): Promise<void> {
  const { groupId, memberId, generationId } = member
  for (const version of script.ends(API.OffsetCommit, 5, 7, 9)) {
    if (version >= 10) continue
    const ask = (which: string, rest: object = {}) =>
      script.ask(`${what}: ${which}`, API.OffsetCommit, version, {
        groupId,
        memberId,
        generationIdOrMemberEpoch: generationId,
        topics: [commits(topic, [0])],
        ...rest,
      })
    await ask('a commit')
    await ask('of an older generation', { generationIdOrMemberEpoch: generationId - 1 })
    await ask('of a later generation', { generationIdOrMemberEpoch: generationId + 1 })
    await ask('of an unknown member', { memberId: 'unknown' })
    await ask('from outside', { memberId: '', generationIdOrMemberEpoch: -1 })
    await ask('of the member without a generation', { generationIdOrMemberEpoch: -1 })
    if (version >= 7) await ask('of an unknown instance', { groupInstanceId: 'unknown' })
  }
}

const statics: Scenario = {
  name: 'groups: static members',
  async run(script) {
    await ready(script)
    for (const version of script.versions(API.JoinGroup, 5)) {
      const groupId = `static-${version}`
      const groupInstanceId = 'instance'
      const join = (what: string, rest: Partial<Join> = {}) =>
        script.ask(what, API.JoinGroup, version, joinRequest({ groupId, groupInstanceId, ...rest }))
      await join('an unknown member', { memberId: 'unknown' })
      const { memberId, generationId } = await join('a new member')
      const sync = (what: string, rest: object = {}) =>
        script.ask(what, API.SyncGroup, Math.min(version, 5), {
          groupId,
          generationId,
          memberId,
          groupInstanceId,
          ...NAMED,
          assignments: [{ memberId, assignment: Buffer.from('mine') }],
          ...rest,
        })
      await sync('the leader')
      const back = await join('it is back without its id')
      await sync('under the id that it had')
      await sync('under its new id', { memberId: back.memberId, assignments: [] })
      await join('under the id that it had', { memberId })
      await join('under its new id', { memberId: back.memberId })
      await script.ask('under the id that it had', API.Heartbeat, 4, {
        groupId,
        generationId: back.generationId,
        memberId,
        groupInstanceId,
      })
      for (const leaving of [
        { memberId: 'unknown', groupInstanceId },
        { memberId: '', groupInstanceId: 'unknown' },
        { memberId: back.memberId, groupInstanceId: 'unknown' },
        { memberId: '', groupInstanceId },
        { memberId: '', groupInstanceId },
      ]) {
        await script.ask(JSON.stringify(leaving).replace(back.memberId, 'id'), API.LeaveGroup, 5, {
          groupId,
          members: [leaving],
        })
      }
    }
  },
}

const offsets: Scenario = {
  name: 'groups: offsets',
  async run(script) {
    await ready(script)
    const topicId = await script.createTopic('groups-offsets', 3)
    for (const version of script.versions(API.OffsetCommit)) {
      const commit = (what: string, topics: readonly object[], rest: object = {}) =>
        script.ask(what, API.OffsetCommit, version, {
          groupId: 'offsets',
          memberId: '',
          topics,
          ...rest,
        } as never)
      const topic = (partitions: readonly number[], offset = version) =>
        version < 10
          ? commits('groups-offsets', partitions, offset)
          : { ...commits('', partitions, offset), topicId }
      const missing =
        version < 10 ? commits('groups-missing', [0]) : { ...commits('', [0]), topicId: NOWHERE }
      await commit('two partitions', [topic([0, 1])])
      await commit('what is there and what is not', [missing, topic([2, 3])])
      await commit('only what is not there', [missing])
      await commit('nothing', [])
      await commit('no partitions', [topic([])])
      await commit('a partition twice', [topic([0, 0])])
      await commit('a negative offset', [topic([0], -7)])
      await commit('of the empty group', [topic([0])], { groupId: '' })
      const long = {
        ...topic([]),
        partitions: [{ partitionIndex: 0, committedOffset: 1, committedMetadata: 'x'.repeat(4097) }],
      }
      await commit('long metadata', [long, topic([1])])
      await commit('a generation where there is no group', [topic([0])], {
        groupId: `none-${version}`,
        memberId: 'm',
        generationIdOrMemberEpoch: 3,
      })
    }
    await fetches(script, topicId)
  },
}

async function fetches(script: Script, topicId: string): Promise<void> {
  for (const version of script.versions(API.OffsetFetch)) {
    const topics =
      version < 10
        ? [
            { name: 'groups-offsets', partitionIndexes: [2, 0, 7] },
            { name: 'groups-missing', partitionIndexes: [0] },
          ]
        : [
            { topicId, partitionIndexes: [2, 0, 7] },
            { topicId: NOWHERE, partitionIndexes: [0] },
          ]
    const ask = (what: string, groupId: string, asked: readonly object[] | null) =>
      script.ask(what, API.OffsetFetch, version, {
        ...(version < 8 ? { groupId, topics: asked } : { groups: [{ groupId, topics: asked }] }),
        ...(version < 7 ? {} : { requireStable: true }),
      } as never)
    await ask('some partitions', 'offsets', topics)
    await ask('of a group without any', 'missing', topics)
    await ask('of the empty group', '', topics)
    await ask('nothing', 'offsets', [])
    if (version >= 2) await ask('all', 'offsets', null)
    if (version >= 2) await ask('all of a group without any', 'missing', null)
    if (version >= 8) {
      await script.ask('of several groups', API.OffsetFetch, version, {
        groups: [
          { groupId: 'offsets', topics: null },
          { groupId: 'missing', topics },
        ],
      } as never)
    }
  }
}

const administration: Scenario = {
  name: 'groups: administration',
  async run(script) {
    await ready(script)
    await script.createTopic('groups-administration', 2)
    await script.quietly(API.OffsetCommit, 8, {
      groupId: 'simple',
      memberId: '',
      topics: [commits('groups-administration', [0, 1])],
    })
    const live = await joinAlone(script, { groupId: 'live' })
    const groups = ['live', 'simple', 'missing', '']
    for (const version of script.versions(API.DescribeGroups)) {
      const rest = version < 3 ? {} : { includeAuthorizedOperations: true }
      for (const groupId of groups) {
        await script.ask(`of '${groupId}'`, API.DescribeGroups, version, { groups: [groupId], ...rest })
      }
    }
    for (const version of script.versions(API.OffsetDelete)) {
      for (const groupId of groups) {
        await script.ask(`of '${groupId}'`, API.OffsetDelete, version, {
          groupId,
          topics: [
            { name: 'groups-administration', partitions: [{ partitionIndex: 1 }, { partitionIndex: 5 }] },
            { name: 'groups-missing', partitions: [{ partitionIndex: 0 }] },
          ],
        })
      }
      await script.ask('of nothing', API.OffsetDelete, version, { groupId: 'missing', topics: [] })
    }
    for (const version of script.versions(API.DeleteGroups)) {
      for (const groupId of ['live', 'missing', '']) {
        await script.ask(`'${groupId}'`, API.DeleteGroups, version, { groupsNames: [groupId] })
      }
      await script.ask('none', API.DeleteGroups, version, { groupsNames: [] })
    }
    await script.ask('a group of offsets', API.DeleteGroups, 2, { groupsNames: ['simple'] })
    await script.quietly(API.LeaveGroup, 5, { groupId: 'live', members: [{ memberId: live.memberId }] })
    for (const version of script.versions(API.ListGroups, 4)) {
      for (const filter of [{ statesFilter: ['Dead'] }, { statesFilter: ['nonsense'] }]) {
        await script.ask(JSON.stringify(filter), API.ListGroups, version, filter)
      }
    }
    await script.ask('an empty group', API.DeleteGroups, 2, { groupsNames: ['live'] })
    await script.ask('once more', API.DeleteGroups, 2, { groupsNames: ['live'] })
  },
}

const consumerGroups: Scenario = {
  name: 'groups: KIP-848',
  async run(script) {
    await ready(script)
    const topicId = await script.createTopic('groups-848', 2)
    for (const version of script.versions(API.ConsumerGroupHeartbeat)) {
      const groupId = `kip-848-${version}`
      const beat = (what: string, rest: object = {}) =>
        script.ask(what, API.ConsumerGroupHeartbeat, version, {
          groupId,
          memberId: 'member',
          memberEpoch: 0,
          rebalanceTimeoutMs: 10_000,
          subscribedTopicNames: ['groups-848'],
          topicPartitions: [],
          ...rest,
        })
      await beat('no group', { groupId: '' })
      await beat('no rebalance timeout', { rebalanceTimeoutMs: -1 })
      await beat('no subscription', { subscribedTopicNames: null })
      await beat('partitions at the beginning', { topicPartitions: [{ topicId, partitions: [0] }] })
      await beat('an unknown assignor', { serverAssignor: 'unknown' })
      await beat('an empty instance', { instanceId: '' })
      await beat('an empty rack', { rackId: '' })
      await beat('no member id', { memberId: '', memberEpoch: 3 })
      await beat('an absurd epoch', { memberEpoch: -3 })
      await beat('an unknown group', { memberEpoch: 4 })
      await beat('leaving an unknown group', { memberEpoch: -1 })
      await beat('a new member')
      await beat('once more, and whole', {
        memberEpoch: 1,
        topicPartitions: [{ topicId, partitions: [0, 1] }],
      })
      const brief = { rebalanceTimeoutMs: -1, subscribedTopicNames: null, topicPartitions: null }
      await beat('in brief', { memberEpoch: 1, ...brief })
      await beat('an epoch too high', { memberEpoch: 7, ...brief })
      await beat('an unknown member', { memberId: 'unknown', memberEpoch: 1, ...brief })
      await beat('temporarily leaving without an instance', { memberEpoch: -2 })
      await classicOnConsumer(script, groupId)
      for (const member of [
        { memberId: 'member', generationIdOrMemberEpoch: 1 },
        { memberId: 'member', generationIdOrMemberEpoch: 0 },
        { memberId: 'member', generationIdOrMemberEpoch: 2 },
        { memberId: 'unknown', generationIdOrMemberEpoch: 1 },
        { memberId: '', generationIdOrMemberEpoch: -1 },
      ]) {
        const topics = [commits('groups-848', [0])]
        const what = JSON.stringify(member)
        await script.ask(`commits of ${what}`, API.OffsetCommit, 9, { groupId, ...member, topics })
        await script.ask(`fetches of ${what}`, API.OffsetFetch, 9, {
          groups: [
            {
              groupId,
              memberId: member.memberId === '' ? null : member.memberId,
              memberEpoch: member.generationIdOrMemberEpoch,
              topics: null,
            },
          ],
        })
      }
      for (const described of script.versions(API.ConsumerGroupDescribe)) {
        await script.ask('this and that', API.ConsumerGroupDescribe, described, {
          groupIds: [groupId, 'missing', ''],
          includeAuthorizedOperations: true,
        })
      }
      await beat('an unknown member leaves', { memberId: 'unknown', memberEpoch: -1 })
      await beat('the member leaves', { memberEpoch: -1 })
      await beat('and again', { memberEpoch: -1 })
    }
  },
}

async function classicOnConsumer(script: Script, groupId: string): Promise<void> {
  const member = { groupId, memberId: 'member', generationId: 1 }
  await script.ask('of a consumer group', API.Heartbeat, 4, member)
  await script.ask('of a consumer group', API.SyncGroup, 5, { ...member, ...NAMED, assignments: [] })
  await script.ask('of a consumer group', API.DescribeGroups, 6, { groups: [groupId] })
  await script.ask('of a consumer group', API.DescribeGroups, 5, { groups: [groupId] })
  await script.ask('of a consumer group', API.DeleteGroups, 2, { groupsNames: [groupId] })
  await script.ask('of a consumer group', API.OffsetDelete, 0, {
    groupId,
    topics: [{ name: 'groups-848', partitions: [{ partitionIndex: 0 }] }],
  })
  await script.ask('of a consumer group', API.OffsetCommit, 8, {
    groupId,
    memberId: 'member',
    generationIdOrMemberEpoch: 1,
    topics: [commits('groups-848', [0])],
  })
}

const patterns: Scenario = {
  name: 'groups: KIP-848 patterns',
  async run(script) {
    await ready(script)
    for (const subscribedTopicRegex of ['(', '[', '(?=a)', 'a{2', '\\pX']) {
      await script.ask(subscribedTopicRegex, API.ConsumerGroupHeartbeat, 1, {
        groupId: 'patterns',
        memberId: 'member',
        memberEpoch: 0,
        rebalanceTimeoutMs: 10_000,
        subscribedTopicRegex,
        topicPartitions: [],
      })
    }
  },
}

export const groupScenarios: readonly Scenario[] = [
  find,
  life,
  statics,
  offsets,
  administration,
  consumerGroups,
  patterns,
]
