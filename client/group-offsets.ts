/**
 * OffsetFetch and OffsetCommit in all their versions: by name or by topic id, of one group or batched. What an answer
 * says of each partition is a value here; what to do about it is the caller's.
 */
import { type Cluster } from './cluster.ts'
import { type Connection } from './connection.ts'
import { protocolError } from './errors.ts'
import { byTopic, type PlaceInTopic } from './offsets.ts'
import { API } from './protocol/apis.ts'
import { ErrorCode } from './protocol/errors.ts'
import { type TopicId } from './protocol/types.ts'

export interface CommittedOffset extends PlaceInTopic {
  /** -1 where nothing is committed. */
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
}

export interface OffsetToCommit extends PlaceInTopic {
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
}

/** As who a member asks; -1 and '' from outside of the group. */
export interface CommitIdentity {
  readonly groupId: string
  readonly generation: number
  readonly memberId: string
  readonly groupInstanceId: string | null
}

export interface PartitionOutcome extends PlaceInTopic {
  readonly errorCode: number
}

/** The first versions of both that name topics by id alone. */
const TOPIC_ID_VERSION = 10
const BATCHED_FETCH_VERSION = 8
const STABLE_FETCH_VERSION = 7
const STATIC_COMMIT_VERSION = 7

/** Topic ids where all are known, else null: then an older version has to do. */
function topicIds(cluster: Cluster, places: readonly PlaceInTopic[]): Map<string, TopicId> | null {
  const ids = new Map<string, TopicId>()
  for (const { topic } of places) {
    const id = cluster.metadata.topic(topic)?.id ?? null
    if (id === null) return null
    ids.set(topic, id)
  }
  return ids
}

/**
 * What is committed for these partitions, or for all (null). Throws KafkaError for an answer that failed as
 * a whole.
 */
export async function requestCommitted(
  cluster: Cluster,
  connection: Connection,
  identity: CommitIdentity,
  places: readonly PlaceInTopic[] | null,
  options: { readonly requireStable: boolean; readonly signal?: AbortSignal | undefined },
): Promise<(CommittedOffset & PartitionOutcome)[]> {
  // All offsets of a group may be of topics that are not known here: ask for names.
  const ids = places === null ? null : topicIds(cluster, places)
  const limit = ids === null ? { maxVersion: TOPIC_ID_VERSION - 1 } : {}
  const version = connection.version(API.OffsetFetch, limit)
  // Names and ids stand side by side: a version carries the one that it has a field for.
  const topics =
    places &&
    byTopic(places).map(([name, list]) => ({
      name,
      ...(ids === null ? {} : { topicId: ids.get(name)! }),
      partitionIndexes: list.map(({ partition }) => partition),
    }))
  const { requireStable, signal } = options
  const { groupId, memberId, generation: memberEpoch } = identity
  const member = memberEpoch < 0 ? {} : { memberId, memberEpoch }
  const request =
    version >= BATCHED_FETCH_VERSION
      ? { groups: [{ groupId, ...member, topics }], requireStable }
      : { groupId, topics, ...(version >= STABLE_FETCH_VERSION ? { requireStable } : {}) }
  const response = await connection.request(API.OffsetFetch, request, {
    ...limit,
    timeoutMs: cluster.config.requestTimeoutMs,
    signal,
  })
  const answer = response.groups[0] ?? response
  if (answer.errorCode !== ErrorCode.NONE)
    throw protocolError(answer.errorCode, { api: 'OffsetFetch', broker: connection.label })
  return answer.topics.flatMap(topic => {
    const name = nameOf(topic, ids)
    return topic.partitions.map(each => ({
      topic: name,
      partition: each.partitionIndex,
      offset: each.committedOffset,
      leaderEpoch: each.committedLeaderEpoch,
      metadata: each.metadata ?? '',
      errorCode: each.errorCode,
    }))
  })
}

/** Commits; the outcome of each partition. */
export async function requestCommit(
  cluster: Cluster,
  connection: Connection,
  identity: CommitIdentity,
  offsets: readonly OffsetToCommit[],
  options: { readonly signal?: AbortSignal | undefined } = {},
): Promise<PartitionOutcome[]> {
  const ids = topicIds(cluster, offsets)
  const limit = ids === null ? { maxVersion: TOPIC_ID_VERSION - 1 } : {}
  const version = connection.version(API.OffsetCommit, limit)
  const response = await connection.request(
    API.OffsetCommit,
    {
      groupId: identity.groupId,
      generationIdOrMemberEpoch: identity.generation,
      memberId: identity.memberId,
      ...(version >= STATIC_COMMIT_VERSION ? { groupInstanceId: identity.groupInstanceId } : {}),
      topics: byTopic(offsets).map(([name, list]) => ({
        name,
        ...(ids === null ? {} : { topicId: ids.get(name)! }),
        partitions: list.map(({ partition, offset, leaderEpoch, metadata }) => ({
          partitionIndex: partition,
          committedOffset: offset,
          committedLeaderEpoch: leaderEpoch,
          committedMetadata: metadata,
        })),
      })),
    },
    { ...limit, timeoutMs: cluster.config.requestTimeoutMs, signal: options.signal },
  )
  return response.topics.flatMap(topic => {
    const name = nameOf(topic, ids)
    return topic.partitions.map(({ partitionIndex, errorCode }) => ({
      topic: name,
      partition: partitionIndex,
      errorCode,
    }))
  })
}

function nameOf(
  topic: { readonly name: string; readonly topicId?: string },
  ids: ReadonlyMap<string, TopicId> | null,
): string {
  if (topic.name !== '') return topic.name
  for (const [name, id] of ids ?? []) if (id === topic.topicId) return name
  return ''
}
