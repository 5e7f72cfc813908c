/**
 * Elections that are asked for: by an administrator (ElectLeaders, KIP-460), or by the controller itself, so that
 * leadership goes back to where it was meant to be. Who may lead is decided in `partition-change.ts`.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { circumstancesOf, type PolicyOf, standingOf } from './brokers.ts'
import { type ClusterImage, type TopicImage } from './image.ts'
import { changePartition, NO_LEADER } from './partition-change.ts'
import { type PartitionChange, unchanged } from './reconcile.ts'
import { type Change, type Refusal, refuse } from './records.ts'

export type ElectionType = 'preferred' | 'unclean'

/** `topic` undefined: there is none of that name. */
export function decideElection(
  image: ClusterImage,
  topic: TopicImage | undefined,
  partition: number,
  type: ElectionType,
  policyOf: PolicyOf,
): { readonly refusal: Refusal } | { readonly refusal: null; readonly change: Change } {
  const current = topic?.partitions[partition]
  if (topic === undefined || current === undefined) {
    const message = 'This server does not host this topic-partition.'
    return { refusal: refuse(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, message) }
  }
  const isSettled =
    type === 'preferred' ? current.leader === current.replicas[0] : current.leader !== NO_LEADER
  if (isSettled) {
    return {
      refusal: refuse(ErrorCode.ELECTION_NOT_NEEDED, 'Leader election not needed for topic partition.'),
    }
  }
  const next = changePartition(
    current,
    { election: type },
    circumstancesOf(standingOf(image), policyOf(topic)),
  )
  if (type === 'preferred' && next?.leader !== current.replicas[0]) {
    const message = 'The preferred leader was not available.'
    return { refusal: refuse(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE, message) }
  }
  if (next === null || next.leader === NO_LEADER) {
    const message = 'Eligible topic partition leaders are not available.'
    return { refusal: refuse(ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE, message) }
  }
  const change = {
    steps: [{ conditions: [unchanged(current)], records: [{ type: 'partition' as const, ...next }] }],
  }
  return { refusal: null, change }
}

/**
 * Partitions that go back to their preferred leaders: those of brokers that lack more than `percentage` of what they
 * should lead. Moves of partitions are left to end first.
 */
export function balanceLeaders(
  image: ClusterImage,
  percentage: number,
  policyOf: PolicyOf,
): PartitionChange[] {
  const standing = standingOf(image)
  const shares = new Map<number, { preferred: number; astray: number }>()
  for (const { partitions } of image.topics()) {
    for (const { leader, replicas } of partitions) {
      const broker = replicas[0]!
      let share = shares.get(broker)
      if (share === undefined) shares.set(broker, (share = { preferred: 0, astray: 0 }))
      share.preferred++
      if (leader !== broker) share.astray++
    }
  }
  const isDue = (broker: number): boolean => {
    const { preferred, astray } = shares.get(broker)!
    return standing.isActive(broker) && astray * 100 > preferred * percentage
  }
  const changes: PartitionChange[] = []
  for (const topic of image.topics()) {
    const circumstances = circumstancesOf(standing, policyOf(topic))
    for (const from of topic.partitions) {
      const preferred = from.replicas[0]!
      if (from.leader === preferred || !from.isr.includes(preferred) || !isDue(preferred)) continue
      if (from.adding.length + from.removing.length > 0) continue
      const to = changePartition(from, { election: 'preferred' }, circumstances)
      if (to !== null) changes.push({ from, to })
    }
  }
  return changes
}
