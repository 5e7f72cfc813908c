/**
 * Short words for what members of groups send all the time.
 */
import { API } from '../../../client/protocol/apis.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type TestBroker, type TestClient } from './test-broker.ts'

export const GROUP = 'readers'
export const SETTINGS = { 'offsets.topic.num.partitions': 3, 'group.initial.rebalance.delay.ms': 0 }
export const ASSIGNMENT = Buffer.from('everything')

export interface JoinOptions {
  readonly groupId?: string
  readonly memberId?: string
  readonly groupInstanceId?: string | null
  readonly version?: number
}

export function joinRequest({ groupId = GROUP, memberId = '', groupInstanceId = null }: JoinOptions = {}) {
  return {
    groupId,
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 20_000,
    memberId,
    groupInstanceId,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('') }],
  }
}

export interface Member {
  readonly memberId: string
  readonly generationId: number
}

/** Joins as the only member of a group, by way of the handshake, and assigns itself everything. */
export async function joinAlone(client: TestClient, options: JoinOptions = {}): Promise<Member> {
  const { version = 9, groupId = GROUP } = options
  const first = await client.request(API.JoinGroup, version, joinRequest(options))
  const joined =
    first.errorCode === ErrorCode.MEMBER_ID_REQUIRED
      ? await client.request(API.JoinGroup, version, joinRequest({ ...options, memberId: first.memberId }))
      : first
  if (joined.errorCode !== 0) throw new Error(`JoinGroup was answered with ${joined.errorCode}`)
  const { memberId, generationId } = joined
  const synced = await client.request(API.SyncGroup, 5, {
    groupId,
    generationId,
    memberId,
    protocolType: 'consumer',
    protocolName: 'range',
    assignments: [{ memberId, assignment: ASSIGNMENT }],
  })
  if (synced.errorCode !== 0) throw new Error(`SyncGroup was answered with ${synced.errorCode}`)
  return { memberId, generationId }
}

export async function heartbeat(
  client: TestClient,
  { memberId, generationId }: Member,
  groupId = GROUP,
): Promise<number> {
  const answer = await client.request(API.Heartbeat, 4, { groupId, generationId, memberId })
  return answer.errorCode
}

/** A commit from outside of a group, or of a member. Resolves to the error code of each partition. */
export async function commit(
  client: TestClient,
  topic: string,
  offsets: Readonly<Record<number, number>>,
  { groupId = GROUP, member = null }: { groupId?: string; member?: Member | null } = {},
): Promise<number[]> {
  const { topics } = await client.request(API.OffsetCommit, 9, commitRequest(topic, offsets, groupId, member))
  return topics.flatMap(({ partitions }) => partitions.map(({ errorCode }) => errorCode))
}

export function commitRequest(
  topic: string,
  offsets: Readonly<Record<number, number>>,
  groupId = GROUP,
  member: Member | null = null,
) {
  return {
    groupId,
    generationIdOrMemberEpoch: member?.generationId ?? -1,
    memberId: member?.memberId ?? '',
    topics: [
      {
        name: topic,
        partitions: Object.entries(offsets).map(([partition, offset]) => ({
          partitionIndex: Number(partition),
          committedOffset: offset,
          committedMetadata: null,
        })),
      },
    ],
  }
}

/** The committed offsets of a topic by partition; an error of the group as a negative number. */
export async function committed(
  client: TestClient,
  topic: string,
  partitions: readonly number[],
  groupId = GROUP,
): Promise<number[]> {
  const topics = [{ name: topic, partitionIndexes: partitions }]
  const { groups } = await client.request(API.OffsetFetch, 8, { groups: [{ groupId, topics }] })
  const [group] = groups
  if (group!.errorCode !== 0) return [-group!.errorCode]
  return group!.topics.flatMap(topic => topic.partitions.map(({ committedOffset }) => committedOffset))
}

/** Asks for the coordinator, so that the topic is there. */
export async function findCoordinator(test: TestBroker, groupId = GROUP): Promise<number> {
  const { coordinators } = await test.client.request(API.FindCoordinator, 4, {
    keyType: 0,
    coordinatorKeys: [groupId],
  })
  return coordinators[0]!.errorCode
}
