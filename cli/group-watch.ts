/**
 * Looks at groups again and again, and says what has changed between two looks: how fast offsets are committed, and
 * whether lag, members and state have moved. A group that does not exist, and a topic that was deleted, are no failure
 * here: both may come back while somebody watches.
 */
import type { Admin, GroupDescription, GroupOffset, PartitionOfTopic } from '../client/index.ts'
import { groupOrNull } from './group-offsets.ts'
import type { Column } from './output/present.ts'

/** Groups that are asked about at the same time. */
const AT_ONCE = 16

export interface PlaceLook extends PartitionOfTopic {
  /** Member that reads it now. */
  readonly member: string | null
  /** Null where nothing is committed. */
  readonly committed: number | null
  /** Null where the topic is gone. */
  readonly end: number | null
  /** Null where one of the two above is. */
  readonly lag: number | null
  /** Records a second that were committed since the last look; null in the first one. */
  readonly rate: number | null
  /** Of the lag, since the last look. */
  readonly lagChange: number | null
}

export interface GroupLook {
  readonly group: string
  /** Null where there is no such group (yet). */
  readonly state: string | null
  readonly type: string | null
  readonly members: number
  /** Partitions that are assigned or committed. */
  readonly partitions: number
  readonly lag: number
  /** Records a second that were committed since the last look; null in the first one. */
  readonly rate: number | null
  /** Since the last look; null in the first one. `state` is the one before, where it was another. */
  readonly change: { readonly lag: number; readonly members: number; readonly state: string | null } | null
  readonly places: readonly PlaceLook[]
}

/** What is known of a group at one moment. */
export interface GroupFacts {
  readonly group: string
  readonly description: Pick<GroupDescription, 'state' | 'type' | 'members'> | null
  readonly offsets: readonly Pick<GroupOffset, 'topic' | 'partition' | 'offset'>[]
}

const keyOf = ({ topic, partition }: PartitionOfTopic): string => `${topic}/${partition}`

/** `ends` by `topic/partition`. `before` is the look before this one, `elapsedMs` ago. Pure. */
export function lookAt(
  facts: GroupFacts,
  ends: ReadonlyMap<string, number>,
  before: GroupLook | undefined,
  elapsedMs: number,
): GroupLook {
  const { group, description, offsets } = facts
  const members = description?.members ?? []
  const owners = new Map<string, string>()
  for (const { assignment, groupInstanceId, memberId } of members)
    for (const place of assignment) owners.set(keyOf(place), groupInstanceId ?? memberId)
  const committed = new Map(offsets.map(each => [keyOf(each), each.offset < 0 ? null : each.offset]))
  const last = new Map(before?.places.map(place => [keyOf(place), place]))
  const places = allPlaces(members, offsets).map<PlaceLook>(({ topic, partition }) => {
    const key = keyOf({ topic, partition })
    const at = committed.get(key) ?? null
    const end = ends.get(key) ?? null
    const lag = at === null || end === null ? null : Math.max(0, end - at)
    const was = last.get(key)
    // What was committed first, or moved back, was not read in this time.
    const read = at === null || was?.committed == null ? 0 : Math.max(0, at - was.committed)
    return {
      topic,
      partition,
      member: owners.get(key) ?? null,
      committed: at,
      end,
      lag,
      rate: before === undefined ? null : (read / elapsedMs) * 1000,
      lagChange: was?.lag == null || lag === null ? null : lag - was.lag,
    }
  })
  const lag = places.reduce((sum, place) => sum + (place.lag ?? 0), 0)
  const state = description?.state ?? null
  return {
    group,
    state,
    type: description?.type ?? null,
    members: members.length,
    partitions: places.length,
    lag,
    rate: before === undefined ? null : places.reduce((sum, place) => sum + (place.rate ?? 0), 0),
    change:
      before === undefined
        ? null
        : {
            lag: lag - before.lag,
            members: members.length - before.members,
            state: before.state === state ? null : (before.state ?? 'none'),
          },
    places,
  }
}

function allPlaces(
  members: GroupDescription['members'],
  offsets: readonly PartitionOfTopic[],
): PartitionOfTopic[] {
  const places = new Map<string, PartitionOfTopic>()
  for (const place of [...offsets, ...members.flatMap(member => member.assignment)])
    places.set(keyOf(place), place)
  return [...places.values()].sort((a, b) =>
    a.topic === b.topic ? a.partition - b.partition : a.topic < b.topic ? -1 : 1,
  )
}

export class GroupWatcher {
  private readonly admin: Admin
  private readonly groups: readonly string[] | null
  private readonly last = new Map<string, GroupLook>()
  private lastAtMs = 0

  /** Null watches all groups that there are at each look. */
  constructor(admin: Admin, groups: readonly string[] | null) {
    this.admin = admin
    this.groups = groups
  }

  /** Rejects with KafkaError where the cluster does not answer. */
  async look(signal: AbortSignal): Promise<GroupLook[]> {
    const names = this.groups ?? (await this.admin.listGroups({ signal })).map(({ groupId }) => groupId)
    const facts = await inParts(names, AT_ONCE, group => this.factsOf(group, signal))
    const places = new Map(
      facts
        .flatMap(({ description, offsets }) => allPlaces(description?.members ?? [], offsets))
        .map(place => [keyOf(place), place]),
    )
    const ends = await this.endsOf([...places.values()], signal)
    const nowMs = performance.now()
    const elapsedMs = Math.max(1, nowMs - this.lastAtMs)
    const looks = facts
      // Deleted since it was listed.
      .filter(({ description }) => this.groups !== null || description !== null)
      .map(each => lookAt(each, ends, this.last.get(each.group), elapsedMs))
    this.last.clear()
    for (const look of looks) this.last.set(look.group, look)
    this.lastAtMs = nowMs
    return looks
  }

  private async factsOf(group: string, signal: AbortSignal): Promise<GroupFacts> {
    const description = await groupOrNull(this.admin, group, signal)
    const offsets = description === null ? [] : await this.admin.fetchOffsets({ groupId: group, signal })
    return { group, description, offsets }
  }

  private async endsOf(
    places: readonly PartitionOfTopic[],
    signal: AbortSignal,
  ): Promise<Map<string, number>> {
    if (places.length === 0) return new Map()
    const counts = new Map(
      (await this.admin.listTopics({ internal: true, signal })).map(({ topic, partitions }) => [
        topic,
        partitions,
      ]),
    )
    const partitions = places
      .filter(({ topic, partition }) => partition < (counts.get(topic) ?? 0))
      .map(place => ({ ...place, spec: 'latest' as const }))
    try {
      const found = await this.admin.listOffsets({ partitions, signal })
      return new Map(found.map(each => [keyOf(each), each.offset]))
    } catch (error) {
      // A topic that is deleted at this very moment: the next look knows.
      const { code } = error as { code?: unknown }
      if (code === 'UNKNOWN_TOPIC_OR_PARTITION' || code === 'PARTIAL_FAILURE') return new Map()
      throw error
    }
  }
}

async function inParts<T, R>(items: readonly T[], size: number, each: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let at = 0; at < items.length; at += size)
    results.push(...(await Promise.all(items.slice(at, at + size).map(each))))
  return results
}

function signed(value: number): string {
  return value > 0 ? `+${value}` : String(value)
}

/** What has moved, in words: `lag -12, members +1, was PreparingRebalance`. */
export function changeText({ change }: GroupLook): string | null {
  if (change === null) return null
  const parts = [
    ...(change.lag === 0 ? [] : [`lag ${signed(change.lag)}`]),
    ...(change.members === 0 ? [] : [`members ${signed(change.members)}`]),
    ...(change.state === null ? [] : [`was ${change.state}`]),
  ]
  return parts.join(', ') || null
}

function perSecond(rate: number | null): string | null {
  return rate === null ? null : rate.toFixed(rate > 0 && rate < 10 ? 1 : 0)
}

/** Of one look at groups. */
export const GROUP_COLUMNS: readonly Column<GroupLook>[] = [
  { title: 'group', value: row => row.group },
  { title: 'state', value: row => row.state ?? 'no group yet' },
  { title: 'type', wide: true, value: row => row.type },
  { title: 'members', align: 'right', value: row => row.members },
  { title: 'partitions', align: 'right', value: row => row.partitions },
  { title: 'lag', align: 'right', value: row => row.lag },
  { title: 'records/s', align: 'right', value: row => perSecond(row.rate) },
  { title: 'since last', value: changeText },
]

/** Of one look at one group. */
export const PLACE_COLUMNS: readonly Column<PlaceLook>[] = [
  { title: 'topic', value: row => row.topic },
  { title: 'partition', align: 'right', value: row => row.partition },
  { title: 'committed', align: 'right', value: row => row.committed },
  { title: 'end', align: 'right', value: row => row.end },
  { title: 'lag', align: 'right', value: row => row.lag },
  { title: 'change', align: 'right', value: row => (row.lagChange === null ? null : signed(row.lagChange)) },
  { title: 'records/s', align: 'right', value: row => perSecond(row.rate) },
  { title: 'member', value: row => row.member },
]

/** A line for each group that has come, gone, or changed its state or members. Pure. */
export function newsOf(before: readonly GroupLook[], now: readonly GroupLook[]): string {
  const last = new Map(before.map(look => [look.group, look]))
  const there = new Set(now.map(look => look.group))
  const changed = now
    .filter(look => {
      const was = last.get(look.group)
      return was === undefined || was.state !== look.state || was.members !== look.members
    })
    .map(({ group, state, members, partitions, lag }) => {
      const size = `${members} member${members === 1 ? '' : 's'}, ${partitions} partition${partitions === 1 ? '' : 's'}`
      return `group ${group}: ${state ?? 'none'}, ${size}, lag ${lag}\n`
    })
  const gone = before.filter(look => !there.has(look.group)).map(({ group }) => `group ${group}: deleted\n`)
  return [...changed, ...gone].join('')
}
