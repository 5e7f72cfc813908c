/**
 * The heart of both sticky assignors: every member keeps what it had as far as that is fair, and only the rest is
 * dealt out anew. Fair means that no partition could move to a member with at least two fewer.
 */
import { type TopicPartition } from '../types.ts'
import { type AssignorInput, compare, wantedTopics } from './assignor.ts'

export interface StickyMember {
  readonly memberId: string
  readonly topics: readonly string[]
  /** What it had; members may contradict each other. */
  readonly previous: readonly TopicPartition[]
  readonly generation: number
}

interface Share {
  readonly memberId: string
  readonly wants: ReadonlySet<string>
  held: TopicPartition[]
}

/** Owned lists by member id, every one in the order of topic and partition. */
export function balance(
  members: readonly StickyMember[],
  { partitionCounts }: Pick<AssignorInput, 'partitionCounts'>,
): Map<string, TopicPartition[]> {
  const sorted = [...members].sort((a, b) => compare(a.memberId, b.memberId))
  const believed = believedOwners(sorted, partitionCounts)
  const shares = sorted.map<Share>(({ memberId, topics }) => ({
    memberId,
    wants: new Set(topics.filter(topic => partitionCounts.has(topic))),
    held: believed.get(memberId)!,
  }))
  const all = wantedTopics({ members: sorted as never, partitionCounts }).flatMap(topic =>
    Array.from({ length: partitionCounts.get(topic)! }, (_, partition) => ({ topic, partition })),
  )
  if (haveEqualWants(shares)) balanceEqual(shares, all)
  else balanceAny(shares, all)
  return new Map(shares.map(({ memberId, held }) => [memberId, held.sort(byPlace)]))
}

export function keyOf({ topic, partition }: TopicPartition): string {
  return `${partition}/${topic}`
}

/**
 * Who had what. A claim of a later generation beats an older one; two members that claim a partition for the same
 * generation cannot both be right, and neither is believed.
 */
function believedOwners(
  members: readonly StickyMember[],
  partitionCounts: ReadonlyMap<string, number>,
): Map<string, TopicPartition[]> {
  const claims = new Map<string, { place: TopicPartition; memberId: string | null; generation: number }>()
  for (const { memberId, topics, previous, generation } of members) {
    const wants = new Set(topics)
    for (const place of previous) {
      const { topic, partition } = place
      if (!wants.has(topic) || partition < 0 || partition >= (partitionCounts.get(topic) ?? 0)) continue
      const key = keyOf(place)
      const claim = claims.get(key)
      if (claim === undefined || claim.generation < generation)
        claims.set(key, { place, memberId, generation })
      else if (claim.generation === generation && claim.memberId !== memberId) claim.memberId = null
    }
  }
  const believed = new Map<string, TopicPartition[]>(members.map(({ memberId }) => [memberId, []]))
  for (const { place, memberId } of claims.values()) {
    if (memberId !== null) believed.get(memberId)!.push(place)
  }
  return believed
}

function haveEqualWants(shares: readonly Share[]): boolean {
  const [first] = shares
  return shares.every(
    ({ wants }) => wants.size === first!.wants.size && [...wants].every(topic => first!.wants.has(topic)),
  )
}

/** Everybody wants the same, which is how nearly all groups are: shares differ by one at most. */
function balanceEqual(shares: readonly Share[], all: readonly TopicPartition[]): void {
  if (shares.length === 0) return
  const share = Math.floor(all.length / shares.length)
  let larger = all.length % shares.length
  const kept = new Set<string>()
  const byHeld = [...shares].sort((a, b) => b.held.length - a.held.length)
  for (const each of byHeld) {
    const mayBeLarger = larger > 0 && each.held.length > share
    if (mayBeLarger) larger--
    each.held = each.held.sort(byPlace).slice(0, mayBeLarger ? share + 1 : share)
    for (const place of each.held) kept.add(keyOf(place))
  }
  const open = all.filter(place => !kept.has(keyOf(place)))
  let at = 0
  let takers = shares.filter(({ held }) => held.length < share)
  // In turn, so that the partitions of a topic are spread.
  while (takers.length > 0) {
    for (const taker of takers) taker.held.push(open[at++]!)
    takers = takers.filter(({ held }) => held.length < share)
  }
  for (const taker of shares) {
    if (at === open.length) break
    if (taker.held.length === share) taker.held.push(open[at++]!)
  }
}

/** Members want different topics: deal out what is free, then move while that makes it fairer. */
function balanceAny(shares: readonly Share[], all: readonly TopicPartition[]): void {
  const takersOf = new Map<string, Share[]>()
  for (const { topic } of all) {
    if (!takersOf.has(topic))
      takersOf.set(
        topic,
        shares.filter(({ wants }) => wants.has(topic)),
      )
  }
  const kept = new Set(shares.flatMap(({ held }) => held.map(keyOf)))
  const open = all.filter(place => !kept.has(keyOf(place)))
  // Those with the fewest takers first: the others can still go elsewhere.
  open.sort((a, b) => takersOf.get(a.topic)!.length - takersOf.get(b.topic)!.length || byPlace(a, b))
  for (const place of open) leastLoaded(takersOf.get(place.topic)!).held.push(place)
  // Every move lowers the sum of the squares of the loads, so this ends.
  for (let moved = true; moved; ) {
    moved = false
    for (const giver of [...shares].sort((a, b) => b.held.length - a.held.length)) {
      for (const place of [...giver.held]) {
        const taker = leastLoaded(takersOf.get(place.topic)!)
        if (taker.held.length + 1 >= giver.held.length) continue
        giver.held = giver.held.filter(each => each !== place)
        taker.held.push(place)
        moved = true
      }
    }
  }
}

function leastLoaded(shares: readonly Share[]): Share {
  let least = shares[0]!
  for (const share of shares) if (share.held.length < least.held.length) least = share
  return least
}

function byPlace(a: TopicPartition, b: TopicPartition): number {
  return compare(a.topic, b.topic) || a.partition - b.partition
}
