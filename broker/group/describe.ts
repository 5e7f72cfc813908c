/**
 * What is told about groups: lists and descriptions. Changes nothing.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type ClassicGroup, metadataOf, NO_BYTES } from './classic-group.ts'
import { type TopicsView } from './config.ts'
import { type ConsumerGroup, type ConsumerMember, stateOf } from './consumer-group.ts'
import { preferredAssignor } from './consumer-target.ts'
import { type ShardWork } from './offset-commands.ts'
import { NO_PARTITIONS, type PartitionSet } from './partition-sets.ts'
import {
  type ConsumerGroupDescribeCommand,
  type DescribeGroupsCommand,
  type ListGroupsCommand,
} from './types.ts'

/** Since this version a group that is not there is an error; before, it was a dead one. */
const VERSION_OF_NOT_FOUND = 6
const MEMBER_TYPE_CLASSIC = 0
const MEMBER_TYPE_CONSUMER = 1

export function decideDescribeGroups({ state, out }: ShardWork, command: DescribeGroupsCommand): void {
  const groups = command.groupIds.map(groupId => {
    const group = state.classicGroup(groupId)
    if (group !== undefined) return describedClassic(group)
    const isConsumer = state.consumerGroup(groupId) !== undefined
    const message = isConsumer ? `Group ${groupId} is not a classic group.` : `Group ${groupId} not found.`
    const asError = command.version >= VERSION_OF_NOT_FOUND
    return {
      errorCode: asError ? ErrorCode.GROUP_ID_NOT_FOUND : ErrorCode.NONE,
      errorMessage: asError ? message : null,
      groupId,
      groupState: 'Dead',
      protocolType: '',
      protocolData: '',
      members: [],
    }
  })
  out.reply('describe-groups', command.token, groups)
}

/** Only in a stable group do members have metadata and assignments that belong together. */
function describedClassic(group: ClassicGroup) {
  const { state, protocolType, protocolName } = group.facts
  const isStable = state === 'Stable'
  return {
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    groupId: group.groupId,
    groupState: state,
    protocolType: protocolType ?? '',
    protocolData: isStable ? (protocolName ?? '') : '',
    members: Array.from(group.members.values(), member => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: isStable ? metadataOf(member, protocolName) : NO_BYTES,
      memberAssignment: isStable ? member.assignment : NO_BYTES,
    })),
  }
}

export function decideListGroups({ state, out }: ShardWork, command: ListGroupsCommand): void {
  const states = new Set(command.states.map(name => name.toLowerCase()))
  const types = new Set(command.types.map(name => name.toLowerCase()))
  const groups = state
    .groupIds()
    .map(groupId => {
      const consumerGroup = state.consumerGroup(groupId)
      if (consumerGroup !== undefined) {
        return {
          groupId,
          protocolType: 'consumer',
          groupState: stateOf(consumerGroup),
          groupType: 'Consumer',
        }
      }
      const facts = state.classicGroup(groupId)?.facts
      return {
        groupId,
        protocolType: facts?.protocolType ?? '',
        groupState: facts?.state ?? 'Empty',
        groupType: 'Classic',
      }
    })
    .filter(({ groupState, groupType }) => {
      const isWantedState = states.size === 0 || states.has(groupState.toLowerCase())
      return isWantedState && (types.size === 0 || types.has(groupType.toLowerCase()))
    })
  out.reply('list-groups', command.token, groups)
}

export function decideDescribeConsumerGroups(work: ShardWork, command: ConsumerGroupDescribeCommand): void {
  const groups = command.groupIds.map(groupId => {
    const group = work.state.consumerGroup(groupId)
    if (group !== undefined) return describedConsumer(work, group)
    const isClassic = work.state.classicGroup(groupId) !== undefined
    return {
      errorCode: ErrorCode.GROUP_ID_NOT_FOUND,
      errorMessage: isClassic ? `Group ${groupId} is not a consumer group.` : `Group ${groupId} not found.`,
      groupId,
      groupState: '',
      groupEpoch: 0,
      assignmentEpoch: 0,
      assignorName: '',
      members: [],
    }
  })
  work.out.reply('consumer-group-describe', command.token, groups)
}

function describedConsumer({ surroundings }: ShardWork, group: ConsumerGroup) {
  const { topics } = surroundings
  return {
    errorCode: ErrorCode.NONE,
    errorMessage: null,
    groupId: group.groupId,
    groupState: stateOf(group),
    groupEpoch: group.epoch,
    assignmentEpoch: group.assignmentEpoch,
    assignorName: preferredAssignor(group.members.values(), surroundings.config),
    members: Array.from(group.members.values(), member => describedMember(member, group, topics)),
  }
}

function describedMember(member: ConsumerMember, group: ConsumerGroup, topics: TopicsView) {
  return {
    memberId: member.memberId,
    instanceId: member.instanceId,
    rackId: member.rackId,
    memberEpoch: member.memberEpoch,
    clientId: member.clientId,
    clientHost: member.clientHost,
    subscribedTopicNames: member.subscribedTopicNames,
    subscribedTopicRegex: member.subscribedTopicRegex ?? '',
    assignment: described(member.assigned, topics),
    targetAssignment: described(group.target.get(member.memberId) ?? NO_PARTITIONS, topics),
    memberType: member.classic === null ? MEMBER_TYPE_CONSUMER : MEMBER_TYPE_CLASSIC,
  }
}

/** Topics that are gone have no name, and are left out. */
function described(set: PartitionSet, topics: TopicsView) {
  const topicPartitions = []
  for (const [topicId, partitions] of set) {
    const topic = topics.byId(topicId)
    if (topic !== undefined) topicPartitions.push({ topicId, topicName: topic.name, partitions })
  }
  return { topicPartitions }
}
