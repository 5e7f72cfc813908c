/**
 * Which brokers hold a partition: as the client says, checked, or spread over brokers and racks.
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

export function replicationProblem(replicationFactor: number, placement: Placement): Refusal | null {
  const { brokers, isActive = () => true } = placement
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
  if (!brokers.some(broker => isActive(broker))) {
    return refuse(
      ErrorCode.INVALID_REPLICATION_FACTOR,
      `Unable to replicate the partition ${replicationFactor} time(s): All brokers are currently fenced.`,
    )
  }
  return null
}

/** Who leads and is in sync to begin with: those that are there. */
export function absentProblem(
  replicas: readonly number[],
  partition: number,
  placement: Placement,
): Refusal | null {
  const { isActive = () => true } = placement
  if (replicas.some(broker => isActive(broker))) return null
  return invalid(
    `All brokers specified in the manual partition assignment for partition ${partition} are fenced or in controlled ` +
      'shutdown.',
  )
}

/** The brokers that replicas can be put on. */
export interface Placement {
  /** In order; those that are known and not there too. */
  readonly brokers: readonly number[]
  /** Absent: nobody has one. */
  readonly racks?: ReadonlyMap<number, string | null>
  /** Absent: all of them are there. */
  readonly isActive?: (broker: number) => boolean
}

/**
 * Puts the partitions of one topic on brokers: each leads about as many as any other, replicas of a partition lie in
 * different racks as far as there are enough, and a broker that is not there gets one only where there are too few that
 * are. `first` is where to begin, different for each topic.
 */
export class Spread {
  /** Those that are there, so that neighbours are of different racks. */
  readonly #active: readonly number[]
  readonly #absent: readonly number[]
  readonly #racks: ReadonlyMap<number, string | null>
  readonly #first: number

  constructor({ brokers, racks = new Map(), isActive = () => true }: Placement, first: number) {
    this.#active = alternating(
      brokers.filter(broker => isActive(broker)),
      racks,
    )
    this.#absent = brokers.filter(broker => !isActive(broker))
    this.#racks = racks
    this.#first = first
  }

  /** Brokers of one partition, its leader first. `replicationFactor` is at most the number of brokers. */
  replicas(partition: number, replicationFactor: number): number[] {
    const count = this.#active.length
    const start = this.#first + partition
    const leader = this.#active[start % Math.max(1, count)]
    const replicas = leader === undefined ? [] : [leader]
    // With each time round the followers of a leader are others.
    const shift = count < 2 ? 0 : Math.floor(partition / count) % (count - 1)
    const others = Array.from({ length: Math.max(0, count - 1) }, (_, index) => {
      return this.#active[(start + 1 + ((index + shift) % (count - 1))) % count]!
    })
    for (const candidates of [others, rotated(this.#absent, start)]) {
      const rest = [...candidates]
      while (replicas.length < replicationFactor && rest.length > 0) {
        const next = this.#leastShared(rest, replicas)
        replicas.push(...rest.splice(next, 1))
      }
    }
    return replicas
  }

  /** Index of the first whose rack has the fewest of the replicas. */
  #leastShared(candidates: readonly number[], replicas: readonly number[]): number {
    let best = 0
    let fewest = Number.POSITIVE_INFINITY
    for (const [index, broker] of candidates.entries()) {
      const rack = this.#rackOf(broker)
      const shared = replicas.filter(other => rack !== null && this.#rackOf(other) === rack).length
      if (shared >= fewest) continue
      best = index
      fewest = shared
    }
    return best
  }

  #rackOf(broker: number): string | null {
    return this.#racks.get(broker) ?? null
  }
}

/** One of each rack in turn: a1 b1 c1 a2 b2 a3. Those without a rack are a rack of their own here. */
function alternating(
  brokers: readonly number[],
  racks: ReadonlyMap<number, string | null>,
): readonly number[] {
  const byRack = new Map<string | null, number[]>()
  for (const broker of brokers) {
    const rack = racks.get(broker) ?? null
    const group = byRack.get(rack)
    if (group === undefined) byRack.set(rack, [broker])
    else group.push(broker)
  }
  const groups = [...byRack.values()]
  const longest = Math.max(0, ...groups.map(group => group.length))
  return Array.from({ length: longest }, (_, turn) =>
    groups.flatMap(group => group.slice(turn, turn + 1)),
  ).flat()
}

function rotated(list: readonly number[], by: number): readonly number[] {
  const start = by % Math.max(1, list.length)
  return [...list.slice(start), ...list.slice(0, start)]
}
