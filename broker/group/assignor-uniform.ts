/**
 * The uniform assignor: every member gets as many partitions as any other, give or take one, and keeps what it has as
 * far as that allows. Where brokers and members have racks, a partition that has to move goes to a member in a rack of
 * one of its replicas, if one has room.
 *
 * Where members read different topics, balance is sought among the readers of each topic: partitions move from one that
 * has more to one that has less until no move makes any two of them more alike.
 */
import { type Assignor, type AssignorMember, PartitionSetBuilder } from './assignors.ts'
import { type TopicInfo } from './config.ts'
import { type PartitionSet } from './partition-sets.ts'

export const assignUniform: Assignor = input =>
  input.isUniform ? assignAlike(input.members) : assignMixed(input.members)

interface Partition {
  readonly topic: TopicInfo
  readonly partition: number
}

/** A member, and what it gets. */
class Share {
  readonly member: AssignorMember
  readonly set = new PartitionSetBuilder()
  quota = 0

  constructor(member: AssignorMember) {
    this.member = member
  }

  take({ topic, partition }: Partition): void {
    this.set.add(topic.topicId, partition)
  }

  hasRoom(): boolean {
    return this.set.size < this.quota
  }
}

// ------------------------------------------------------------------------------------- the same topics for all

function assignAlike(members: readonly AssignorMember[]): Map<string, PartitionSet> {
  const topics = members[0]?.topics ?? []
  const total = topics.reduce((sum, topic) => sum + topic.partitionCount, 0)
  const shares = members.map(member => new Share(member))
  const least = Math.floor(total / Math.max(1, members.length))
  let larger = total % Math.max(1, members.length)
  for (const share of shares) share.quota = least
  // Who has more than the least keeps one more, as long as there are larger shares to have.
  for (const share of shares) {
    if (larger > 0 && countOf(share.member.previous, topics) > least) {
      share.quota++
      larger--
    }
  }
  for (const share of shares) {
    if (larger === 0) break
    if (share.quota > least) continue
    share.quota++
    larger--
  }
  let free = keep(shares, topics)
  if (topics.some(topic => topic.racks !== null)) free = placeByRack(shares, free)
  place(shares, free)
  return result(shares)
}

function countOf(set: PartitionSet, topics: readonly TopicInfo[]): number {
  let count = 0
  for (const { topicId, partitionCount } of topics) {
    for (const partition of set.get(topicId) ?? []) if (partition < partitionCount) count++
  }
  return count
}

/** Every member keeps what it has, up to its quota. Returns what nobody has then. */
function keep(shares: readonly Share[], topics: readonly TopicInfo[]): Partition[] {
  const free: Partition[] = []
  const takers = topics.map(topic => new Array<boolean>(topic.partitionCount).fill(false))
  for (const share of shares) {
    for (const [index, topic] of topics.entries()) {
      const taken = takers[index]!
      for (const partition of share.member.previous.get(topic.topicId) ?? []) {
        if (!share.hasRoom()) break
        if (partition >= topic.partitionCount || taken[partition]) continue
        taken[partition] = true
        share.take({ topic, partition })
      }
    }
  }
  for (const [index, topic] of topics.entries()) {
    for (let partition = 0; partition < topic.partitionCount; partition++) {
      if (!takers[index]![partition]) free.push({ topic, partition })
    }
  }
  return free
}

/** Returns what no member in a fitting rack had room for. */
function placeByRack(shares: readonly Share[], free: readonly Partition[]): Partition[] {
  const byRack = new Map<string, Share[]>()
  for (const share of shares) {
    const { rackId } = share.member
    if (rackId === null || !share.hasRoom()) continue
    const those = byRack.get(rackId)
    if (those === undefined) byRack.set(rackId, [share])
    else those.push(share)
  }
  return free.filter(partition => {
    for (const rack of partition.topic.racks?.[partition.partition] ?? []) {
      const those = byRack.get(rack)
      while (those !== undefined && those.length > 0 && !those.at(-1)!.hasRoom()) those.pop()
      const share = those?.at(-1)
      if (share === undefined) continue
      share.take(partition)
      return false
    }
    return true
  })
}

function place(shares: readonly Share[], free: readonly Partition[]): void {
  let index = 0
  for (const partition of free) {
    while (!shares[index]!.hasRoom()) index++
    shares[index]!.take(partition)
  }
}

function result(shares: readonly Share[]): Map<string, PartitionSet> {
  return new Map(shares.map(share => [share.member.memberId, share.set.build()]))
}

// ---------------------------------------------------------------------------------------- different topics

/** Who reads a topic, and who of them has which partition. */
interface Readers {
  readonly topic: TopicInfo
  /** Indexes of members. */
  readonly members: readonly number[]
  /** By partition, the index of its member; -1 for none. */
  readonly owners: number[]
}

function assignMixed(members: readonly AssignorMember[]): Map<string, PartitionSet> {
  const loads = new Array<number>(members.length).fill(0)
  const all = readersOf(members)
  for (const readers of all) keepOwners(readers, members, loads)
  // Topics with few readers leave the least choice, so they come first.
  all.sort((left, right) => left.members.length - right.members.length)
  for (const readers of all) placeFree(readers, loads)
  for (let moved = true; moved; ) {
    moved = false
    for (const readers of all) moved = balance(readers, loads) || moved
  }
  const shares = members.map(member => new Share(member))
  for (const { topic, owners } of all) {
    for (const [partition, owner] of owners.entries()) shares[owner]!.take({ topic, partition })
  }
  return result(shares)
}

function readersOf(members: readonly AssignorMember[]): Readers[] {
  const byTopic = new Map<TopicInfo, number[]>()
  for (const [index, member] of members.entries()) {
    for (const topic of member.topics) {
      const those = byTopic.get(topic)
      if (those === undefined) byTopic.set(topic, [index])
      else those.push(index)
    }
  }
  return Array.from(byTopic, ([topic, those]) => ({
    topic,
    members: those,
    owners: new Array<number>(topic.partitionCount).fill(-1),
  }))
}

function keepOwners(
  { topic, members, owners }: Readers,
  all: readonly AssignorMember[],
  loads: number[],
): void {
  for (const index of members) {
    for (const partition of all[index]!.previous.get(topic.topicId) ?? []) {
      if (partition >= owners.length || owners[partition] !== -1) continue
      owners[partition] = index
      loads[index]!++
    }
  }
}

/** Free partitions go to whoever of the readers has least: filled up like water, so one sort does for all of them. */
function placeFree({ members, owners }: Readers, loads: number[]): void {
  const free = owners.flatMap((owner, partition) => (owner === -1 ? [partition] : []))
  if (free.length === 0) return
  const byLoad = [...members].sort((left, right) => loads[left]! - loads[right]!)
  let level = loads[byLoad[0]!]!
  while (free.length > 0) {
    for (const index of byLoad) {
      if (free.length === 0 || loads[index]! > level) break
      owners[free.pop()!] = index
      loads[index]!++
    }
    level++
  }
}

/** Moves partitions of one topic from the fullest of its owners to the emptiest of its readers. */
function balance({ members, owners }: Readers, loads: number[]): boolean {
  const emptiest = [...members].sort((left, right) => loads[left]! - loads[right]!)
  const held = new Map<number, number[]>()
  for (const [partition, owner] of owners.entries()) {
    const those = held.get(owner)
    if (those === undefined) held.set(owner, [partition])
    else those.push(partition)
  }
  const fullest = [...held.keys()].sort((left, right) => loads[right]! - loads[left]!)
  let moved = false
  let low = 0
  let high = 0
  while (low < emptiest.length && high < fullest.length) {
    const to = emptiest[low]!
    const from = fullest[high]!
    const partition = held.get(from)!.at(-1)
    if (loads[from]! - loads[to]! < 2) {
      // Both lists were sorted at the start, so neighbours may still differ: the next round sorts them anew.
      if (moved) break
      return false
    }
    if (partition === undefined) {
      high++
      continue
    }
    held.get(from)!.pop()
    owners[partition] = to
    loads[from]!--
    loads[to]!++
    moved = true
    low++
    high++
  }
  return moved
}
