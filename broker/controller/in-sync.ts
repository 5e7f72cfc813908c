/**
 * Decides on the ISR that a leader proposes. There is no controller in between: the leader writes what comes out of
 * here itself, and the conditions see to it that it still leads, and that those it adds still are who they were.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import { circumstancesOf, type PolicyOf, standingOf } from './brokers.ts'
import { type ClusterImage } from './image.ts'
import { changePartition } from './partition-change.ts'
import { unchanged } from './reconcile.ts'
import { type Condition, type Refusal, refuse, type Step } from './records.ts'

/** What the leader of a partition wants its ISR to be, and what it knows of the partition. */
export interface IsrProposal {
  readonly topicId: TopicId
  readonly partition: number
  readonly leaderEpoch: number
  /** Of the partition's record that the leader leads by. */
  readonly revision: number
  /** All that are to be in sync, the leader too, each with the epoch that it fetches under. */
  readonly isr: readonly { readonly broker: number; readonly brokerEpoch: number }[]
}

/** `step` null: the partition is that way already. */
export type IsrDecision =
  | { readonly refusal: Refusal }
  | { readonly refusal: null; readonly step: Step | null }

/** `leader` is the broker that proposes, `brokerEpoch` that of its registration. */
export function decideIsr(
  image: ClusterImage,
  proposal: IsrProposal,
  leader: { readonly broker: number; readonly brokerEpoch: number },
  policyOf: PolicyOf,
): IsrDecision {
  const topic = image.topicById(proposal.topicId)
  const current = topic?.partitions[proposal.partition]
  if (topic === undefined || current === undefined) {
    return refused(ErrorCode.UNKNOWN_TOPIC_ID, 'The partition is gone.')
  }
  if (current.leader !== leader.broker) {
    return refused(ErrorCode.NOT_LEADER_OR_FOLLOWER, `Broker ${current.leader} leads the partition.`)
  }
  if (current.leaderEpoch !== proposal.leaderEpoch) {
    return refused(ErrorCode.FENCED_LEADER_EPOCH, `The leader epoch is ${current.leaderEpoch}.`)
  }
  if (current.revision !== proposal.revision) {
    return refused(ErrorCode.INVALID_UPDATE_VERSION, `The partition was changed at ${current.revision}.`)
  }
  if (!proposal.isr.some(({ broker }) => broker === leader.broker)) {
    return refused(ErrorCode.INVALID_REQUEST, 'The leader must be in sync with itself.')
  }
  const standing = standingOf(image)
  if (!isHere(image, leader)) return refused(ErrorCode.STALE_BROKER_EPOCH, 'The leader is registered anew.')
  const conditions: Condition[] = [unchanged(current), { type: 'broker-epoch', ...leader }]
  for (const { broker, brokerEpoch } of proposal.isr) {
    if (!current.replicas.includes(broker)) {
      return refused(ErrorCode.INVALID_REQUEST, `Broker ${broker} is no replica.`)
    }
    if (current.isr.includes(broker)) continue
    if (!standing.isActive(broker) || !isHere(image, { broker, brokerEpoch })) {
      return refused(ErrorCode.INELIGIBLE_REPLICA, `Broker ${broker} is fenced, leaving, or registered anew.`)
    }
    conditions.push({ type: 'broker-epoch', broker, brokerEpoch })
  }
  const isr = proposal.isr.map(({ broker }) => broker)
  const next = changePartition(current, { isr }, circumstancesOf(standing, policyOf(topic)))
  if (next === null) return { refusal: null, step: null }
  return { refusal: null, step: { conditions, records: [{ type: 'partition', ...next }] } }
}

function isHere(
  image: ClusterImage,
  { broker, brokerEpoch }: { readonly broker: number; readonly brokerEpoch: number },
): boolean {
  return image.brokers.get(broker)?.brokerEpoch === brokerEpoch
}

function refused(error: ErrorCode, message: string): IsrDecision {
  return { refusal: refuse(error, message) }
}
