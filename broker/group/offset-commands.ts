/**
 * Committing, reading, deleting and expiring offsets. A commit counts only if it comes from a member of the present
 * generation or epoch, or from somebody outside of an empty group.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { ZERO_TOPIC_ID } from '../../client/protocol/types.ts'
import { type ClassicGroup, CONSUMER_PROTOCOL_TYPE } from './classic-group.ts'
import { type GroupSurroundings } from './config.ts'
import { type ConsumerGroup, type ConsumerMember } from './consumer-group.ts'
import { isSubscribedTo } from './consumer-subscriptions.ts'
import { type DecisionBuilder } from './decision.ts'
import { type CommittedOffset } from './offset-store.ts'
import { type OffsetCommitRecord } from './records.ts'
import { type ShardState } from './shard-state.ts'
import { timerKey } from './timer-keys.ts'
import { type OffsetCommitCommand, type OffsetDeleteCommand, type OffsetFetchCommand } from './types.ts'

/** What a decision works with that may concern any kind of group. */
export interface ShardWork {
  readonly state: ShardState
  readonly out: DecisionBuilder
  readonly surroundings: GroupSurroundings
}

/** Since this version the epoch of a consumer group's member is told. */
const VERSION_OF_MEMBER_EPOCHS = 9

// ------------------------------------------------------------------------------------------- committing

export function decideOffsetCommit(work: ShardWork, command: OffsetCommitCommand): void {
  const { out, surroundings } = work
  const { request } = command
  const problem = commitProblem(work, command)
  const topics = request.topics.map(({ name, topicId, partitions }) => ({
    name,
    topicId,
    partitions: partitions.map(partition => {
      let errorCode = problem
      const metadata = partition.committedMetadata ?? ''
      if (problem === ErrorCode.NONE && metadata.length > surroundings.config.offsetMetadataMaxBytes) {
        errorCode = ErrorCode.OFFSET_METADATA_TOO_LARGE
      }
      if (errorCode === ErrorCode.NONE) {
        out.record({
          type: 'offset-commit',
          key: { group: request.groupId, topic: name, partition: partition.partitionIndex },
          value: {
            offset: partition.committedOffset,
            leaderEpoch: partition.committedLeaderEpoch,
            metadata,
            commitTimestamp: out.nowMs,
            expireTimestamp: request.retentionTimeMs === -1 ? -1 : out.nowMs + request.retentionTimeMs,
            topicId,
          },
        })
      }
      return { partitionIndex: partition.partitionIndex, errorCode }
    }),
  }))
  out.reply('offset-commit', command.token, { topics })
}

function commitProblem(work: ShardWork, command: OffsetCommitCommand): ErrorCode {
  const { groupId, generationIdOrMemberEpoch } = command.request
  const consumerGroup = work.state.consumerGroup(groupId)
  if (consumerGroup !== undefined) return consumerCommitProblem(consumerGroup, command)
  const group = work.state.classicGroup(groupId)
  if (group !== undefined) return classicCommitProblem(work, group, command)
  // Anybody may begin a group by committing from outside.
  if (generationIdOrMemberEpoch < 0) return ErrorCode.NONE
  return command.version >= VERSION_OF_MEMBER_EPOCHS
    ? ErrorCode.GROUP_ID_NOT_FOUND
    : ErrorCode.ILLEGAL_GENERATION
}

/** A commit of a member counts as a sign of life. */
function classicCommitProblem(
  { out }: ShardWork,
  group: ClassicGroup,
  { request }: OffsetCommitCommand,
): ErrorCode {
  const { memberId, groupInstanceId, generationIdOrMemberEpoch } = request
  const { state, generation } = group.facts
  if (generationIdOrMemberEpoch < 0 && state === 'Empty') return ErrorCode.NONE
  if (generationIdOrMemberEpoch < 0 && memberId === '' && groupInstanceId === null) {
    return ErrorCode.UNKNOWN_MEMBER_ID
  }
  if (groupInstanceId !== null) {
    const current = group.instances.get(groupInstanceId)
    if (current === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
    if (current !== memberId) return ErrorCode.FENCED_INSTANCE_ID
  }
  const member = group.members.get(memberId)
  if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
  if (generationIdOrMemberEpoch !== generation) return ErrorCode.ILLEGAL_GENERATION
  // It knows the generation and nobody has assigned yet: it has to wait until it knows what is its own.
  if (state === 'CompletingRebalance') return ErrorCode.REBALANCE_IN_PROGRESS
  if (member.join === null)
    out.setTimer(timerKey('session', group.groupId, memberId), member.sessionTimeoutMs)
  return ErrorCode.NONE
}

function consumerCommitProblem(group: ConsumerGroup, { request, version }: OffsetCommitCommand): ErrorCode {
  if (request.generationIdOrMemberEpoch < 0 && group.members.size === 0) return ErrorCode.NONE
  const member = group.members.get(request.memberId)
  if (member === undefined) return ErrorCode.UNKNOWN_MEMBER_ID
  if (member.classic === null && version < VERSION_OF_MEMBER_EPOCHS) return ErrorCode.UNSUPPORTED_VERSION
  return epochProblem(member, request.generationIdOrMemberEpoch)
}

function epochProblem(member: ConsumerMember, epoch: number): ErrorCode {
  if (epoch === member.memberEpoch) return ErrorCode.NONE
  return member.classic === null ? ErrorCode.STALE_MEMBER_EPOCH : ErrorCode.ILLEGAL_GENERATION
}

// ---------------------------------------------------------------------------------------------- reading

/** Without a commit, or with one of a topic of the same name that is gone: -1, and no error. */
export function decideOffsetFetch({ state, out }: ShardWork, command: OffsetFetchCommand): void {
  const { groupId, token } = command
  const errorCode = fetchProblem(state.consumerGroup(groupId), command)
  if (errorCode !== ErrorCode.NONE) {
    out.reply('offset-fetch', token, { groupId, topics: [], errorCode })
    return
  }
  const offsets = state.offsets.of(groupId)
  if (command.topics === null) {
    const topics = Array.from(offsets ?? [], ([name, partitions]) => ({
      name,
      topicId: partitions.values().next().value?.topicId ?? ZERO_TOPIC_ID,
      partitions: Array.from(partitions, ([partition, committed]) => fetched(partition, committed)),
    }))
    out.reply('offset-fetch', token, { groupId, topics, errorCode })
    return
  }
  const topics = command.topics.map(({ name, topicId, partitionIndexes }) => {
    const partitions = offsets?.get(name)
    return {
      name,
      topicId,
      partitions: partitionIndexes.map(partition => {
        const committed = partitions?.get(partition)
        const isOfOther =
          committed !== undefined &&
          topicId !== ZERO_TOPIC_ID &&
          committed.topicId !== ZERO_TOPIC_ID &&
          committed.topicId !== topicId
        return fetched(partition, isOfOther ? undefined : committed)
      }),
    }
  })
  out.reply('offset-fetch', token, { groupId, topics, errorCode })
}

function fetchProblem(group: ConsumerGroup | undefined, command: OffsetFetchCommand): ErrorCode {
  if (group === undefined || (command.memberId === null && command.memberEpoch < 0)) return ErrorCode.NONE
  const member = group.members.get(command.memberId ?? '')
  return member === undefined ? ErrorCode.UNKNOWN_MEMBER_ID : epochProblem(member, command.memberEpoch)
}

function fetched(partitionIndex: number, committed: CommittedOffset | undefined) {
  return {
    partitionIndex,
    committedOffset: committed?.offset ?? -1,
    committedLeaderEpoch: committed?.leaderEpoch ?? -1,
    metadata: committed?.metadata ?? '',
    errorCode: ErrorCode.NONE,
  }
}

// --------------------------------------------------------------------------------------------- deleting

export function decideOffsetDelete({ state, out }: ShardWork, { token, request }: OffsetDeleteCommand): void {
  const { groupId } = request
  const consumerGroup = state.consumerGroup(groupId)
  const group = state.classicGroup(groupId)
  let errorCode: ErrorCode = ErrorCode.NONE
  if (consumerGroup === undefined && group === undefined) errorCode = ErrorCode.GROUP_ID_NOT_FOUND
  else if (
    group !== undefined &&
    group.facts.state !== 'Empty' &&
    group.facts.protocolType !== CONSUMER_PROTOCOL_TYPE
  ) {
    errorCode = ErrorCode.NON_EMPTY_GROUP
  }
  if (errorCode !== ErrorCode.NONE) {
    out.reply('offset-delete', token, { errorCode, topics: [] })
    return
  }
  const reads = readsTopic(consumerGroup, group)
  const topics = request.topics.map(({ name, partitions }) => {
    const isRead = reads(name)
    return {
      name,
      partitions: partitions.map(({ partitionIndex }) => {
        if (!isRead && state.offsets.get(groupId, name, partitionIndex) !== undefined) {
          out.record(offsetTombstone(groupId, name, partitionIndex))
        }
        return { partitionIndex, errorCode: isRead ? ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC : ErrorCode.NONE }
      }),
    }
  })
  out.reply('offset-delete', token, { errorCode, topics })
}

function readsTopic(
  consumerGroup: ConsumerGroup | undefined,
  group: ClassicGroup | undefined,
): (topic: string) => boolean {
  if (consumerGroup !== undefined) return isSubscribedTo(consumerGroup)
  return topic => group?.isSubscribedTo(topic) ?? false
}

export function offsetTombstone(group: string, topic: string, partition: number): OffsetCommitRecord {
  return { type: 'offset-commit', key: { group, topic, partition }, value: null }
}

export function deleteAllOffsets({ state, out }: ShardWork, groupId: string): void {
  for (const [topic, partitions] of state.offsets.of(groupId) ?? []) {
    for (const partition of partitions.keys()) out.record(offsetTombstone(groupId, topic, partition))
  }
}

/** A topic of that name that comes later must not be read from where this one was left. */
export function decideTopicsDeleted({ state, out }: ShardWork, names: readonly string[]): void {
  for (const groupId of state.offsets.groupIds()) {
    const offsets = state.offsets.of(groupId)
    for (const name of names) {
      for (const partition of offsets?.get(name)?.keys() ?? []) {
        out.record(offsetTombstone(groupId, name, partition))
      }
    }
  }
}

// --------------------------------------------------------------------------------------------- expiring

/**
 * Offsets that nobody needs any more (KIP-211): of topics that the group does not read, when the retention has passed
 * since the group has lost its last member, or else since the commit. True where none is left.
 */
export function expireOffsets({ state, out, surroundings }: ShardWork, groupId: string): boolean {
  const offsets = state.offsets.of(groupId)
  if (offsets === undefined) return true
  const consumerGroup = state.consumerGroup(groupId)
  const group = state.classicGroup(groupId)
  const since = consumerGroup === undefined ? countedSince(group) : commitTime
  if (since === null) return false
  const reads = readsTopic(consumerGroup, group)
  let isAllGone = true
  for (const [topic, partitions] of offsets) {
    const isRead = reads(topic)
    for (const [partition, committed] of partitions) {
      const { expireTimestamp } = committed
      const expiresAt =
        expireTimestamp === -1 ? since(committed) + surroundings.config.offsetsRetentionMs : expireTimestamp
      if (!isRead && out.nowMs >= expiresAt) out.record(offsetTombstone(groupId, topic, partition))
      else isAllGone = false
    }
  }
  return isAllGone
}

const commitTime = ({ commitTimestamp }: CommittedOffset): number => commitTimestamp

/** From when on the retention counts; null: offsets stay for now. */
function countedSince(group: ClassicGroup | undefined): ((committed: CommittedOffset) => number) | null {
  if (group === undefined || group.facts.protocolType === null) return commitTime
  const { state, stateTimestamp, protocolType, subscribedTopics } = group.facts
  if (state === 'Empty') return stateTimestamp === null ? commitTime : () => stateTimestamp
  const isKnown = protocolType === CONSUMER_PROTOCOL_TYPE && subscribedTopics !== null && state === 'Stable'
  return isKnown ? commitTime : null
}
