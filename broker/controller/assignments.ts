/**
 * Which brokers hold a partition: as the client says, checked, or spread over those that live.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type Refusal, refuse } from './records.ts'

const invalid = (message: string): Refusal => refuse(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message)

/** What is wrong with the replicas of one partition that a client named, or null. */
export function assignmentProblem(
  replicas: readonly number[],
  brokers: readonly number[],
  replicationFactor: number,
): Refusal | null {
  if (replicas.length === 0) return invalid('The manual partition assignment includes an empty replica list.')
  const seen = new Set<number>()
  for (const broker of replicas) {
    if (!brokers.includes(broker)) {
      return invalid(
        `The manual partition assignment includes broker ${broker}, but no such broker is registered.`,
      )
    }
    if (seen.has(broker)) {
      return invalid(`The manual partition assignment includes the broker ${broker} more than once.`)
    }
    seen.add(broker)
  }
  if (replicas.length !== replicationFactor) {
    return invalid(
      `The manual partition assignment includes a partition with ${replicas.length} replica(s), but this is not ` +
        `consistent with previous partitions, which have ${replicationFactor} replica(s).`,
    )
  }
  return null
}

export function replicationProblem(replicationFactor: number, brokers: readonly number[]): Refusal | null {
  if (replicationFactor <= 0) {
    return refuse(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      'Replication factor must be larger than 0, or -1 to use the default value.',
    )
  }
  if (replicationFactor > brokers.length) {
    return refuse(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      `Unable to replicate the partition ${replicationFactor} time(s): The target replication factor of ` +
        `${replicationFactor} cannot be reached because only ${brokers.length} broker(s) are registered.`,
    )
  }
  return null
}

/** Round robin from `first` on: the leaders of a topic's partitions end up on different brokers. */
export function spread(
  brokers: readonly number[],
  replicationFactor: number,
  partition: number,
  first: number,
): number[] {
  return Array.from(
    { length: replicationFactor },
    (_, replica) => brokers[(first + partition + replica) % brokers.length]!,
  )
}
