/**
 * The controller's work: what is to be written so that the cluster is as it should be, given who is there. It looks at
 * the image alone, so it does not matter what happened, in which order, or whether a former controller was cut short:
 * run again on its own result it finds nothing to do.
 *
 * The order that safety asks for comes out of rounds. A broker that died and came back is not active until its new
 * registration is let in, so the first round takes it out of everything as if it were gone; only a round that finds it
 * nowhere any more lets it in; and the round after that gives it what it may lead.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { circumstancesOf, type PolicyOf, pendingStates, type Standing, standingOf } from './brokers.ts'
import { type ClusterImage, type PartitionImage, type TopicImage } from './image.ts'
import { changePartition, NO_LEADER } from './partition-change.ts'
import { type Condition, MAX_STEP_SIZE, type PartitionRecord, type Step } from './records.ts'

/** Where something has changed: all of the cluster (a broker came or went), or some topics. */
export type Touched = 'everything' | ReadonlySet<TopicId>

/** A partition as it is, and as it is to be. */
export interface PartitionChange {
  readonly from: PartitionImage
  readonly to: PartitionRecord
}

/** One step holds so many partitions, each with its own condition, and one condition for all. */
export const MAX_PARTITIONS_OF_STEP = MAX_STEP_SIZE - 1

/**
 * The steps of one round, which may be carried out side by side; none: there is nothing to do. Each is bound to `term`.
 * A step that fails has met something new: the next round decides on that. `partitionsOfStep` makes steps smaller, so
 * that fewer fail with it where much is going on.
 */
export function reconcile(
  image: ClusterImage,
  touched: Touched,
  policyOf: PolicyOf,
  term: number,
  partitionsOfStep = MAX_PARTITIONS_OF_STEP,
): Step[] {
  const states = pendingStates(image)
  // Whether a broker may be let in depends on every partition.
  const changes = dueChanges(image, states.length > 0 ? 'everything' : touched, policyOf)
  const steps = stepsOf(changes, term, partitionsOfStep)
  const busy = new Set(changes.flatMap(({ from }) => [from.leader, ...from.isr, ...from.elr]))
  for (const { broker, step } of states) {
    if (busy.has(broker)) continue
    steps.push({ ...step, conditions: [{ type: 'controller-term', term }, ...step.conditions] })
  }
  return steps
}

/** Guarded by the term and by the partitions' own revisions. */
export function stepsOf(
  changes: readonly PartitionChange[],
  term: number,
  partitionsOfStep = MAX_PARTITIONS_OF_STEP,
): Step[] {
  const steps: Step[] = []
  for (let start = 0; start < changes.length; start += partitionsOfStep) {
    const slice = changes.slice(start, start + partitionsOfStep)
    const conditions: Condition[] = [{ type: 'controller-term', term }]
    for (const { from } of slice) conditions.push(unchanged(from))
    steps.push({ conditions, records: slice.map(({ to }) => ({ type: 'partition', ...to })) })
  }
  return steps
}

export function unchanged({ topicId, partition, revision }: PartitionImage): Condition {
  return { type: 'partition-unchanged', topicId, partition, revision }
}

/** Partitions that are not as they should be; those that nobody can write to come first. */
function dueChanges(image: ClusterImage, touched: Touched, policyOf: PolicyOf): PartitionChange[] {
  const standing = standingOf(image)
  const changes: PartitionChange[] = []
  for (const topic of touchedTopics(image, touched)) {
    const circumstances = circumstancesOf(standing, policyOf(topic))
    for (const from of topic.partitions) {
      if (isAtRest(from, standing)) continue
      const to = changePartition(from, {}, circumstances)
      if (to !== null) changes.push({ from, to })
    }
  }
  const bringsLeader = ({ from, to }: PartitionChange): boolean =>
    to.leader !== from.leader && to.leader !== NO_LEADER
  return [...changes.filter(bringsLeader), ...changes.filter(change => !bringsLeader(change))]
}

/** True for nearly all partitions at nearly all times: the rules need not be asked. */
function isAtRest(partition: PartitionImage, { isActive }: Standing): boolean {
  const { leader, isr, elr, lastKnownElr, adding, removing } = partition
  return (
    elr.length + lastKnownElr.length + adding.length + removing.length === 0 &&
    isr.includes(leader) &&
    isr.every(isActive)
  )
}

function* touchedTopics(image: ClusterImage, touched: Touched): Iterable<TopicImage> {
  if (touched === 'everything') {
    yield* image.topics()
    return
  }
  for (const topicId of touched) {
    const topic = image.topicById(topicId)
    if (topic !== undefined) yield topic
  }
}
