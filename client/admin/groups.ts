/**
 * Groups: which there are, who is in them, what they have committed, and how far they are behind.
 */
import { type Cluster, CONTROL_LANE } from '../cluster.ts'
import { type Connection } from '../connection.ts'
import { Coordinator } from '../coordinator.ts'
import { combineErrors, KafkaError, protocolError } from '../errors.ts'
import { type OffsetToCommit, requestCommit, requestCommitted } from '../group-offsets.ts'
import { byTopic, listOffsets, NAMED_OFFSET, type OffsetQuery } from '../offsets.ts'
import { API } from '../protocol/apis.ts'
import { ErrorCode } from '../protocol/errors.ts'
import { type ConsumerGroupDescribeResponse } from '../protocol/messages/consumer-group-describe.ts'
import {
  decodeAssignment,
  decodeSubscription,
  subscribedTopics,
} from '../protocol/messages/consumer-protocol.ts'
import { type DescribeGroupsResponse } from '../protocol/messages/describe-groups.ts'
import {
  type FetchOffsetsOptions,
  type GroupDescription,
  type GroupLag,
  type GroupLagOptions,
  type GroupListing,
  type GroupMember,
  type GroupOffset,
  type ListGroupsOptions,
  type OperationOptions,
  type PartitionOfTopic,
  type SetOffset,
  type SetOffsetsOptions,
} from './types.ts'

const STATES_VERSION = 4
const TYPES_VERSION = 5
const CONSUMER = 'consumer'

export async function listGroups(cluster: Cluster, options: ListGroupsOptions): Promise<GroupListing[]> {
  const { states = [], types = [], signal } = options
  const minVersion = types.length > 0 ? TYPES_VERSION : states.length > 0 ? STATES_VERSION : 0
  await cluster.retrying('listGroups', options, () => cluster.refresh([]))
  const lists = await Promise.all(
    [...cluster.metadata.brokers.keys()].map(broker =>
      cluster.retrying('listGroups', options, async () => {
        const connection = await cluster.route({ broker }, CONTROL_LANE)
        const version = connection.version(API.ListGroups, { minVersion })
        const response = await connection.request(
          API.ListGroups,
          {
            ...(states.length > 0 ? { statesFilter: [...states] } : {}),
            ...(types.length > 0 ? { typesFilter: [...types] } : {}),
          },
          { timeoutMs: cluster.config.requestTimeoutMs, signal, minVersion },
        )
        orThrow(response.errorCode, 'ListGroups', connection)
        return response.groups.map<GroupListing>(({ groupId, protocolType, groupState, groupType }) => ({
          groupId,
          protocolType,
          state: version >= STATES_VERSION ? groupState : null,
          // Kafka capitalizes it.
          type: version >= TYPES_VERSION ? groupType.toLowerCase() : null,
          coordinator: broker,
        }))
      }),
    ),
  )
  return lists.flat().sort((a, b) => (a.groupId < b.groupId ? -1 : 1))
}

/** Each group at its coordinator; one error for all that failed. */
async function eachGroup<Result>(
  cluster: Cluster,
  what: string,
  groups: readonly string[],
  options: OperationOptions,
  ask: (groupId: string, connection: Connection, coordinator: Coordinator) => Promise<Result>,
): Promise<Result[]> {
  const results = await Promise.allSettled(
    groups.map(groupId => {
      const coordinator = new Coordinator(cluster, groupId)
      return coordinator.retrying(what, CONTROL_LANE, options, connection =>
        ask(groupId, connection, coordinator),
      )
    }),
  )
  const failures: KafkaError[] = []
  const found: Result[] = []
  for (const result of results) {
    if (result.status === 'fulfilled') found.push(result.value)
    else if (result.reason instanceof KafkaError) failures.push(result.reason)
    else throw result.reason
  }
  if (failures.length > 0) throw combineErrors(what, failures, groups.length)
  return found
}

export function describeGroups(
  cluster: Cluster,
  options: OperationOptions & { readonly groups: readonly string[] },
): Promise<GroupDescription[]> {
  const { groups, signal } = options
  const request = { timeoutMs: cluster.config.requestTimeoutMs, signal }
  return eachGroup(cluster, 'describeGroups', groups, options, async (groupId, connection, coordinator) => {
    const broker = coordinator.brokerId ?? -1
    if (connection.serves(API.ConsumerGroupDescribe)) {
      const { groups: answers } = await connection.request(
        API.ConsumerGroupDescribe,
        { groupIds: [groupId], includeAuthorizedOperations: false },
        request,
      )
      const [answer] = answers
      if (answer?.errorCode === ErrorCode.NONE) return describeNew(answer, broker)
      // A classic group is none of this kind.
      if (answer !== undefined && answer.errorCode !== ErrorCode.GROUP_ID_NOT_FOUND) {
        orThrow(answer.errorCode, 'ConsumerGroupDescribe', connection, groupId, answer.errorMessage)
      }
    }
    const { groups: answers } = await connection.request(API.DescribeGroups, { groups: [groupId] }, request)
    const [answer] = answers
    const code = answer?.errorCode ?? ErrorCode.GROUP_ID_NOT_FOUND
    orThrow(code, 'DescribeGroups', connection, groupId, answer?.errorMessage)
    // How brokers before Kafka 3.9 say that there is none.
    if (answer!.groupState === 'Dead')
      orThrow(ErrorCode.GROUP_ID_NOT_FOUND, 'DescribeGroups', connection, groupId)
    return describeClassic(answer!, broker)
  })
}

function describeNew(
  group: ConsumerGroupDescribeResponse['groups'][number],
  coordinator: number,
): GroupDescription {
  const places = ({ topicPartitions }: (typeof group.members)[number]['assignment']): PartitionOfTopic[] =>
    topicPartitions.flatMap(({ topicName: topic, partitions }) =>
      partitions.map(partition => ({ topic, partition })),
    )
  return {
    groupId: group.groupId,
    type: 'consumer',
    state: group.groupState,
    protocolType: CONSUMER,
    assignor: group.assignorName,
    coordinator,
    groupEpoch: group.groupEpoch,
    members: group.members.map<GroupMember>(member => ({
      memberId: member.memberId,
      groupInstanceId: member.instanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      rack: member.rackId,
      topics: member.subscribedTopicNames,
      pattern: member.subscribedTopicRegex === '' ? null : member.subscribedTopicRegex,
      assignment: places(member.assignment),
      targetAssignment: places(member.targetAssignment),
      memberEpoch: member.memberEpoch,
    })),
  }
}

function describeClassic(
  group: DescribeGroupsResponse['groups'][number],
  coordinator: number,
): GroupDescription {
  return {
    groupId: group.groupId,
    type: 'classic',
    state: group.groupState,
    protocolType: group.protocolType,
    assignor: group.protocolData,
    coordinator,
    groupEpoch: null,
    members: group.members.map(member => describeMember(member, group.protocolType)),
  }
}

function describeMember(
  member: DescribeGroupsResponse['groups'][number]['members'][number],
  protocolType: string,
): GroupMember {
  const { memberId, groupInstanceId, clientId, clientHost, memberMetadata, memberAssignment } = member
  // Groups of other kinds (Connect) and members in the middle of joining have bytes of no, or another, meaning.
  const known = protocolType === CONSUMER && subscribedTopics(memberMetadata) !== null
  const subscription = known ? decodeSubscription(memberMetadata) : null
  const assigned = known ? decodeAssignment(memberAssignment).assignedPartitions : []
  return {
    memberId,
    groupInstanceId,
    clientId,
    clientHost,
    rack: subscription?.rackId ?? null,
    topics: subscription?.topics ?? [],
    pattern: null,
    assignment: assigned.flatMap(({ topic, partitions }) =>
      partitions.map(partition => ({ topic, partition })),
    ),
    targetAssignment: null,
    memberEpoch: null,
  }
}

export async function deleteGroups(
  cluster: Cluster,
  options: OperationOptions & { readonly groups: readonly string[] },
): Promise<void> {
  const request = { timeoutMs: cluster.config.requestTimeoutMs, signal: options.signal }
  await eachGroup(cluster, 'deleteGroups', options.groups, options, async (groupId, connection) => {
    const { results } = await connection.request(API.DeleteGroups, { groupsNames: [groupId] }, request)
    const [result] = results
    const code = result?.errorCode ?? ErrorCode.UNKNOWN_SERVER_ERROR
    orThrow(code, 'DeleteGroups', connection, groupId, result?.errorMessage)
  })
}

export async function fetchOffsets(cluster: Cluster, options: FetchOffsetsOptions): Promise<GroupOffset[]> {
  const { groupId, partitions = null, requireStable = false, signal } = options
  // By id, where ids are known: those of a topic that was deleted and made anew are not mixed up.
  if (partitions !== null) {
    const topics = [...new Set(partitions.map(({ topic }) => topic))]
    await cluster.retrying('fetchOffsets', options, () => cluster.refresh(topics))
  }
  const [found] = await eachGroup(cluster, 'fetchOffsets', [groupId], options, (_, connection) =>
    requestCommitted(cluster, connection, outsider(groupId), partitions, { requireStable, signal }),
  )
  const failures = found!
    .filter(({ errorCode }) => errorCode !== ErrorCode.NONE)
    .map(({ topic, partition, errorCode }) =>
      protocolError(errorCode, { api: 'OffsetFetch', topic, partition }),
    )
  if (failures.length > 0) throw combineErrors('fetchOffsets', failures, found!.length)
  return found!
    .map(({ topic, partition, offset, leaderEpoch, metadata }) => ({
      topic,
      partition,
      offset,
      leaderEpoch,
      metadata,
    }))
    .sort(byPlace)
}

export async function setOffsets(cluster: Cluster, options: SetOffsetsOptions): Promise<SetOffset[]> {
  const { groupId, validateOnly = false } = options
  const resolved = await resolveOffsets(cluster, options)
  if (!validateOnly) {
    await eachGroup(cluster, 'setOffsets', [groupId], options, async (_, connection) => {
      const outcomes = await requestCommit(cluster, connection, outsider(groupId), resolved, options)
      const failures = outcomes
        .filter(({ errorCode }) => errorCode !== ErrorCode.NONE)
        .map(({ topic, partition, errorCode }) => refusedOffset(groupId, topic, partition, errorCode))
      if (failures.length > 0) throw combineErrors('setOffsets', failures, outcomes.length)
    })
  }
  return resolved.map(({ topic, partition, offset }) => ({ topic, partition, offset }))
}

/** A commit from outside is refused as one of an unknown member while the group has members. */
function refusedOffset(groupId: string, topic: string, partition: number, code: number): KafkaError {
  const cause = protocolError(code, { api: 'OffsetCommit', topic, partition })
  if (code !== ErrorCode.UNKNOWN_MEMBER_ID) return cause
  return new KafkaError({
    code: 'NON_EMPTY_GROUP',
    message:
      `The offset of ${topic}-${partition} was not set: group ${groupId} has members, who would not notice. ` +
      'Stop its consumers first.',
    api: 'OffsetCommit',
    topic,
    partition,
    cause,
  })
}

async function resolveOffsets(cluster: Cluster, options: SetOffsetsOptions): Promise<OffsetToCommit[]> {
  const { offsets } = options
  const queries: OffsetQuery[] = []
  for (const { topic, partition, offset } of offsets) {
    // Also makes sure that the partition exists.
    const spec = typeof offset === 'number' || typeof offset === 'bigint' ? 'latest' : offset
    if (typeof spec === 'string') queries.push({ topic, partition, ...NAMED_OFFSET[spec] })
    else queries.push({ topic, partition, timestamp: spec.timestamp, minVersion: 1 })
  }
  const found = await listOffsets(cluster, queries, 'read_uncommitted', options)
  const beyond = queries.filter((_, index) => found[index]!.offset < 0)
  const ends = await listOffsets(
    cluster,
    beyond.map(query => ({ ...query, ...NAMED_OFFSET.latest })),
    'read_uncommitted',
    options,
  )
  return offsets.map(({ topic, partition, offset, metadata = '' }, index) => {
    const isGiven = typeof offset === 'number' || typeof offset === 'bigint'
    const at = found[index]!.offset
    const end = ends.find(each => each.topic === topic && each.partition === partition)?.offset ?? 0
    return {
      topic,
      partition,
      offset: isGiven ? Number(offset) : at < 0 ? end : at,
      leaderEpoch: -1,
      metadata,
    }
  })
}

export async function deleteOffsets(
  cluster: Cluster,
  options: OperationOptions & { readonly groupId: string; readonly partitions: readonly PartitionOfTopic[] },
): Promise<void> {
  const { groupId, partitions, signal } = options
  const request = { timeoutMs: cluster.config.requestTimeoutMs, signal }
  await eachGroup(cluster, 'deleteOffsets', [groupId], options, async (_, connection) => {
    const response = await connection.request(
      API.OffsetDelete,
      {
        groupId,
        topics: byTopic(partitions).map(([name, list]) => ({
          name,
          partitions: list.map(({ partition: partitionIndex }) => ({ partitionIndex })),
        })),
      },
      request,
    )
    orThrow(response.errorCode, 'OffsetDelete', connection, groupId)
    const failures = response.topics.flatMap(({ name: topic, partitions: each }) =>
      each
        .filter(({ errorCode }) => errorCode !== ErrorCode.NONE)
        .map(({ partitionIndex: partition, errorCode }) =>
          protocolError(errorCode, { api: 'OffsetDelete', topic, partition }),
        ),
    )
    if (failures.length > 0) throw combineErrors('deleteOffsets', failures, partitions.length)
  })
}

export async function groupLag(cluster: Cluster, options: GroupLagOptions): Promise<GroupLag[]> {
  const { groupId, topics, isolation = 'read_uncommitted' } = options
  const { signal, timeoutMs } = options
  const rest = {
    ...(signal === undefined ? {} : { signal }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  }
  let partitions: PartitionOfTopic[] | undefined
  if (topics !== undefined) {
    const known = await Promise.all(topics.map(topic => cluster.topic(topic, rest)))
    partitions = known.flatMap(({ name: topic, partitions: list }) =>
      list.map(({ partition }) => ({ topic, partition })),
    )
  }
  const committed = await fetchOffsets(cluster, {
    ...rest,
    groupId,
    ...(partitions === undefined ? {} : { partitions }),
  })
  const ask = (spec: 'earliest' | 'latest') =>
    listOffsets(
      cluster,
      committed.map(({ topic, partition }) => ({ topic, partition, ...NAMED_OFFSET[spec] })),
      isolation,
      rest,
    )
  const [starts, ends] = await Promise.all([ask('earliest'), ask('latest')])
  return committed.map(({ topic, partition, offset }, index) => {
    const earliest = starts[index]!.offset
    const end = ends[index]!.offset
    return {
      topic,
      partition,
      committed: offset,
      earliest,
      end,
      lag: Math.max(0, end - Math.max(offset, earliest)),
    }
  })
}

function outsider(groupId: string) {
  return { groupId, generation: -1, memberId: '', groupInstanceId: null }
}

function byPlace(a: PartitionOfTopic, b: PartitionOfTopic): number {
  return a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : a.partition - b.partition
}

function orThrow(
  code: number,
  api: string,
  connection: Connection,
  groupId?: string,
  detail?: string | null,
): void {
  if (code === ErrorCode.NONE) return
  const words = detail ?? (groupId === undefined ? null : `group ${groupId}`)
  throw protocolError(code, { api, broker: connection.label, detail: words })
}
