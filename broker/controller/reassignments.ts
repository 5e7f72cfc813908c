/**
 * Decides on moves of partitions to other brokers (KIP-455): begun, changed, cancelled. How a move goes on once it has
 * begun is decided in `partition-change.ts`: it ends when all that are to come are in sync.
 *
 *   1 2 3 -> 4 5 1     replicas 4 5 1 2 3    adding 4 5    removing 2 3
 *   4 and 5 in sync    replicas 4 5 1                                     and 4 leads when leaders are balanced
 *   cancelled before   replicas 1 2 3
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { assignmentProblem } from './assignments.ts'
import { circumstancesOf, type PolicyOf, standingOf } from './brokers.ts'
import { type ClusterImage, type PartitionImage, type TopicImage } from './image.ts'
import { changePartition, NO_LEADER, type WantedChange, without } from './partition-change.ts'
import { unchanged } from './reconcile.ts'
import { type Change, type Refusal, refuse } from './records.ts'

export interface ReassignmentCommand {
  readonly partition: number
  /** Where the partition is to be, the preferred leader first; null cancels the move that is under way. */
  readonly replicas: readonly number[] | null
  readonly mayChangeReplicationFactor: boolean
}

export type ReassignmentDecision =
  | { readonly refusal: Refusal }
  | { readonly refusal: null; readonly change: Change }

/** `brokers` are those that replicas can be put on. `topic` undefined: there is none of that `name`. */
export function decideReassignment(
  image: ClusterImage,
  topic: TopicImage | undefined,
  name: string,
  command: ReassignmentCommand,
  brokers: readonly number[],
  policyOf: PolicyOf,
): ReassignmentDecision {
  if (topic === undefined) {
    return refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, `Unable to find a topic named ${name}.`)
  }
  const current = topic.partitions[command.partition]
  if (current === undefined) {
    const message = `Unable to find partition ${name}:${command.partition}.`
    return refused(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, message)
  }
  const policy = policyOf(topic)
  const wanted =
    command.replicas === null
      ? cancelled(current, name, policy.uncleanElection)
      : begun(current, command.replicas, command.mayChangeReplicationFactor, brokers)
  if ('error' in wanted) return { refusal: wanted }
  const next = changePartition(current, wanted, circumstancesOf(standingOf(image), policy))
  if (next === null) return { refusal: null, change: { steps: [] } }
  if (next.leader === NO_LEADER && next.elr.length === 0 && current.isr.length + current.elr.length > 0) {
    const message = `None of the replicas that would be left of ${name}:${command.partition} has all of its records.`
    return refused(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message)
  }
  return {
    refusal: null,
    change: { steps: [{ conditions: [unchanged(current)], records: [{ type: 'partition', ...next }] }] },
  }
}

/**
 * The replicas that the partition had before the move under way are those to come from: what that move was adding, and
 * this one does not want, goes at once.
 */
function begun(
  current: PartitionImage,
  target: readonly number[],
  mayChangeReplicationFactor: boolean,
  brokers: readonly number[],
): WantedChange | Refusal {
  const problem = assignmentProblem(target, brokers, target.length)
  if (problem !== null) return problem
  const before = without(current.replicas, current.adding)
  const factor = current.replicas.length - current.removing.length
  if (!mayChangeReplicationFactor && target.length !== factor) {
    return refuse(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      `The replication factor is changed from ${factor} to ${target.length}`,
    )
  }
  const removing = without(before, target)
  return { replicas: [...target, ...removing], adding: without(target, before), removing }
}

function cancelled(current: PartitionImage, name: string, mayBeUnclean: boolean): WantedChange | Refusal {
  const { adding, removing, isr, elr } = current
  if (adding.length + removing.length === 0) {
    return refuse(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS, 'No partition reassignment is in progress.')
  }
  const replicas = without(current.replicas, adding)
  const hasHeir = [...isr, ...elr].some(broker => replicas.includes(broker))
  if (!hasHeir && isr.length + elr.length > 0 && !mayBeUnclean) {
    return refuse(
      ErrorCode.INVALID_REPLICA_ASSIGNMENT,
      `Unable to revert partition assignment for ${name}:${current.partition} because it would require an unclean ` +
        'leader election.',
    )
  }
  return { replicas, adding: [], removing: [] }
}

/** Moves under way of one topic, as ListPartitionReassignments tells them. */
export function movesOf({ partitions }: TopicImage): PartitionImage[] {
  return partitions.filter(({ adding, removing }) => adding.length + removing.length > 0)
}

function refused(error: ErrorCode, message: string): ReassignmentDecision {
  return { refusal: refuse(error, message) }
}
