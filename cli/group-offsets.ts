/** What the commands about groups share: groups that may be missing, and partitions in few words. */
import type { Admin, GroupDescription, PartitionOfTopic } from '../client/index.ts'

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
