/** The part of groups in a random conversation: of one member each in the classic protocol, of more in KIP-848. */
import { API } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type TopicId } from '../../../client/protocol/types.ts'
import { Talk } from './talk.ts'

const SESSION_MS = 60_000
const SUBSCRIPTION = Buffer.from([0, 1, 0, 0, 0, 1, 0, 1, 0x74, 255, 255, 255, 255, 0, 0, 0, 0])

interface Member {
  readonly groupId: string
  memberId: string
  generationId: number
}

interface ConsumerMember {
  readonly groupId: string
  readonly memberId: string
  epoch: number
}

interface TalkTopic {
  readonly name: string
  readonly id: TopicId
  readonly partitions: number
}

export class GroupTalk extends Talk {
  readonly #members: Member[] = []
  readonly #consumers: ConsumerMember[] = []
  #serial = 0

  /** Resolves when there is a coordinator. */
  async ready(): Promise<void> {
    let errorCode: number
    do {
      await this.script.quietly(API.FindCoordinator, 2, { keyType: 0, key: 'missing' })
      const nobody = { groupId: 'missing', generationId: 1, memberId: 'nobody' }
      ;({ errorCode } = await this.script.quietly(API.Heartbeat, 4, nobody))
    } while (errorCode !== ErrorCode.UNKNOWN_MEMBER_ID)
  }

  async next(topic: TalkTopic): Promise<void> {
    const kinds = [
      () => this.#join(),
      () => this.#heartbeat(),
      () => this.#heartbeat(),
      () => this.#commit(topic),
      () => this.#commit(topic),
      () => this.#commit(topic),
      () => this.#fetch(topic),
      () => this.#fetch(topic),
      () => this.#leave(),
      () => this.#describe(),
      () => this.#delete(topic),
      () => this.#beat(topic),
      () => this.#beat(topic),
      () => this.#beat(topic),
      () => this.#find(),
    ]
    await this.chance.pick(kinds)()
  }

  #anyMember(): Member {
    const stranger = { groupId: this.#anyGroup(), memberId: 'stranger', generationId: 1 }
    return this.#members.length === 0 || this.chance.once(6) ? stranger : this.chance.pick(this.#members)
  }

  #anyGroup(): string {
    const known = [...this.#members, ...this.#consumers].map(({ groupId }) => groupId)
    return this.chance.pick([...known, 'simple', 'missing'])
  }

  async #join(): Promise<void> {
    const known = this.#members.length > 3 || this.chance.once(3) ? this.#members[0] : undefined
    const member: Member = known ?? { groupId: `group-${this.#serial++}`, memberId: '', generationId: -1 }
    const { groupId } = member
    const join = (memberId: string) =>
      this.ask(memberId === '' ? 'anew' : 'again', API.JoinGroup, {
        groupId,
        memberId,
        sessionTimeoutMs: SESSION_MS,
        rebalanceTimeoutMs: SESSION_MS,
        protocolType: 'consumer',
        protocols: [{ name: 'range', metadata: SUBSCRIPTION }],
      })
    let joined = await join(member.memberId)
    if (joined.errorCode === ErrorCode.MEMBER_ID_REQUIRED) joined = await join(joined.memberId)
    member.memberId = joined.memberId
    member.generationId = joined.generationId
    if (known === undefined) this.#members.push(member)
    const { memberId, generationId } = member
    await this.ask(
      'the leader',
      API.SyncGroup,
      {
        groupId,
        generationId,
        memberId,
        protocolType: 'consumer',
        protocolName: 'range',
        assignments: [{ memberId, assignment: Buffer.from(groupId) }],
      },
      5,
    )
  }

  async #heartbeat(): Promise<void> {
    const { groupId, memberId, generationId } = this.#anyMember()
    const shift = this.chance.pick([0, 0, 0, 1, -1])
    await this.ask(`of generation ${shift}`, API.Heartbeat, {
      groupId,
      memberId,
      generationId: generationId + shift,
    })
  }

  async #commit({ name, id, partitions }: TalkTopic): Promise<void> {
    const isOutside = this.chance.once(4)
    const { groupId, memberId, generationId } = isOutside
      ? { groupId: 'simple', memberId: '', generationId: -1 }
      : this.#anyMember()
    const shift = isOutside ? 0 : this.chance.pick([0, 0, 0, 1, -1])
    const offsets = [this.chance.int(partitions + 1)].map(partitionIndex => ({
      partitionIndex,
      committedOffset: this.chance.int(100),
      committedMetadata: this.chance.pick([null, '', 'mine']),
    }))
    await this.ask(`of generation ${shift}`, API.OffsetCommit, {
      groupId,
      memberId,
      generationIdOrMemberEpoch: generationId + shift,
      topics: [{ name, topicId: id, partitions: offsets }],
    })
  }

  async #fetch({ name, id, partitions }: TalkTopic): Promise<void> {
    const groupId = this.#anyGroup()
    const partitionIndexes = Array.from({ length: partitions }, (_, partition) => partition)
    const isAll = this.chance.once(3)
    const version = this.chance.pick(this.script.versions(API.OffsetFetch, isAll ? 2 : 0))
    const topics = isAll ? null : [{ name, topicId: id, partitionIndexes }]
    const body = version < 8 ? { groupId, topics } : { groups: [{ groupId, topics }] }
    await this.script.ask(isAll ? 'all' : 'of a topic', API.OffsetFetch, version, body as never)
  }

  async #leave(): Promise<void> {
    if (!this.chance.once(3)) return
    const { groupId, memberId } = this.#anyMember()
    await this.ask('a member', API.LeaveGroup, { groupId, members: [{ memberId }] }, 3)
    const index = this.#members.findIndex(
      member => member.groupId === groupId && member.memberId === memberId,
    )
    if (index !== -1) this.#members.splice(index, 1)
  }

  async #describe(): Promise<void> {
    const groupId = this.#anyGroup()
    if (this.chance.once(3)) await this.ask('all', API.ListGroups, {})
    else if (this.chance.once(2)) await this.ask(groupId, API.DescribeGroups, { groups: [groupId] })
    else
      await this.ask(groupId, API.ConsumerGroupDescribe, {
        groupIds: [groupId],
        includeAuthorizedOperations: false,
      })
  }

  async #delete({ name }: TalkTopic): Promise<void> {
    const groupId = this.#anyGroup()
    if (this.chance.once(4)) await this.ask(groupId, API.DeleteGroups, { groupsNames: [groupId] })
    else {
      const topics = [{ name, partitions: [{ partitionIndex: 0 }] }]
      await this.ask(groupId, API.OffsetDelete, { groupId, topics })
    }
  }

  async #beat({ name }: TalkTopic): Promise<void> {
    const isNew = this.#consumers.length < 2 || (this.#consumers.length < 6 && this.chance.once(4))
    if (isNew) {
      const serial = this.#serial++
      this.#consumers.push({ groupId: `kip-848-${serial % 2}`, memberId: `member-${serial}`, epoch: 0 })
    }
    const member = isNew ? this.#consumers.at(-1)! : this.chance.pick(this.#consumers)
    const { groupId, memberId } = member
    const leaves = !isNew && this.chance.once(8)
    const memberEpoch = leaves ? -1 : member.epoch + this.chance.pick([0, 0, 0, 0, isNew ? 0 : 5])
    const answer = await this.ask(`epoch ${memberEpoch}`, API.ConsumerGroupHeartbeat, {
      groupId,
      memberId,
      memberEpoch,
      rebalanceTimeoutMs: SESSION_MS,
      subscribedTopicNames: [name],
      topicPartitions: [],
    })
    if (leaves) this.#consumers.splice(this.#consumers.indexOf(member), 1)
    else if (answer.errorCode === ErrorCode.NONE) member.epoch = answer.memberEpoch
  }

  async #find(): Promise<void> {
    await this.ask('a group', API.FindCoordinator, { key: 'any', keyType: 0 }, 0, 3)
  }
}
