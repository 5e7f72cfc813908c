/** What the commands about groups share: groups that may be missing, and partitions in few words. */
import type { Admin, GroupDescription, GroupLag, PartitionOfTopic } from '../client/index.ts'

/** Null where there is no such group (yet). */
export async function groupOrNull(
  admin: Admin,
  group: string,
  signal: AbortSignal,
): Promise<GroupDescription | null> {
  try {
    return (await admin.describeGroups({ groups: [group], signal }))[0] ?? null
  } catch (error) {
    if ((error as { code?: unknown }).code === 'GROUP_ID_NOT_FOUND') return null
    throw error
  }
}

export interface CommittedLag {
  /** Of topics that there are. */
  readonly lags: readonly GroupLag[]
  /** Topics that were deleted, of which the group still has offsets. */
  readonly gone: readonly string[]
}

/**
 * How far a group is behind in all that it has committed. Brokers forget the offsets of a topic with the topic, but
 * not all of them do, and not at once: such offsets have no end to be compared with, and may not hide the others.
 */
export async function committedLag(
  admin: Admin,
  groupId: string,
  signal: AbortSignal,
): Promise<CommittedLag> {
  const committed = await admin.fetchOffsets({ groupId, signal })
  if (committed.length === 0) return { lags: [], gone: [] }
  const there = new Set((await admin.listTopics({ internal: true, signal })).map(({ topic }) => topic))
  const topics = [...new Set(committed.map(({ topic }) => topic))]
  const gone = topics.filter(topic => !there.has(topic))
  if (gone.length === 0) return { lags: await admin.groupLag({ groupId, signal }), gone }
  const left = topics.filter(topic => there.has(topic))
  const lags = left.length === 0 ? [] : await admin.groupLag({ groupId, topics: left, signal })
  // Asked by topic, partitions come along of which nothing is committed.
  return { lags: lags.filter(each => each.committed >= 0), gone }
}

/** A note, not a failure: nothing has to be done about it. */
export function offsetsOfGone(group: string, gone: readonly string[]): string {
  return (
    `Group ${group} also has offsets of ${gone.join(', ')}, which ${gone.length === 1 ? 'is' : 'are'} gone; they are ` +
    'left out. They serve nobody, and the broker forgets them in time.'
  )
}

/** `orders:0,1 payments:3`, or `-`. */
export function partitionList(places: readonly PartitionOfTopic[]): string {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of places) {
    const list = byTopic.get(topic)
    if (list === undefined) byTopic.set(topic, [partition])
    else list.push(partition)
  }
  const parts = [...byTopic].map(([topic, list]) => `${topic}:${list.sort((a, b) => a - b).join(',')}`)
  return parts.join(' ') || '-'
}
