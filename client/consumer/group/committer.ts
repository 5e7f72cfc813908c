/**
 * Commits offsets of a group: one request under way at a time, so that none overtakes another, and all that is asked
 * for meanwhile goes with the next. It never commits for a partition that has passed to somebody else, nor under
 * another membership than the one that owns the partition now.
 */
import { type Cluster, type Lane } from '../../cluster.ts'
import { type Coordinator } from '../../coordinator.ts'
import { combineErrors, KafkaError, protocolError } from '../../errors.ts'
import { requestCommit } from '../../group-offsets.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { type ConsumerPartition } from '../partition.ts'
import { keyOf } from './membership.ts'

export interface Identity {
  readonly generation: number
  readonly memberId: string
}

export interface CommitEntry {
  readonly partition: ConsumerPartition
  readonly offset: number
  readonly leaderEpoch: number
  readonly metadata: string
}

export interface CommitterOptions {
  readonly cluster: Cluster
  readonly coordinator: Coordinator
  readonly lane: Lane
  readonly groupInstanceId: string | null
  /** Null while not a member. */
  readonly identity: () => Identity | null
  /** The member has another generation by now, or is about to get one. */
  readonly isMoving: (generation: number) => boolean
  readonly isOwned: (partition: ConsumerPartition) => boolean
  /** The coordinator does not take us for a member of that generation any more. */
  readonly onRefused: (code: number, generation: number) => void
}

interface Round {
  readonly entries: Map<ConsumerPartition, CommitEntry>
  timeoutMs: number
  readonly done: Promise<void>
  resolve(): void
  reject(error: KafkaError): void
}

/** Answers that a member meets while its group moves on: another attempt, as the generation of then, may pass. */
const MOVING: ReadonlySet<number> = new Set([ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.STALE_MEMBER_EPOCH])

const EXPELLED: ReadonlySet<number> = new Set([
  ErrorCode.UNKNOWN_MEMBER_ID,
  ErrorCode.ILLEGAL_GENERATION,
  ErrorCode.FENCED_INSTANCE_ID,
])

export class Committer {
  readonly #options: CommitterOptions
  #next: Round | null = null
  #busy = false

  constructor(options: CommitterOptions) {
    this.#options = options
  }

  /** Resolves when the coordinator has stored them all. Rejects with KafkaError. */
  commit(entries: readonly CommitEntry[], timeoutMs: number): Promise<void> {
    if (entries.length === 0) return Promise.resolve()
    this.#next ??= newRound()
    const round = this.#next
    for (const entry of entries) round.entries.set(entry.partition, entry)
    round.timeoutMs = Math.max(round.timeoutMs, timeoutMs)
    if (!this.#busy) void this.#work()
    return round.done
  }

  async #work(): Promise<void> {
    this.#busy = true
    // All that is asked for in this turn goes together.
    await Promise.resolve()
    for (let round = this.#next; round !== null; round = this.#next) {
      this.#next = null
      try {
        await this.#carryOut(round)
        round.resolve()
      } catch (error) {
        round.reject(error as KafkaError)
      }
    }
    this.#busy = false
  }

  async #carryOut(round: Round): Promise<void> {
    const { coordinator, lane, cluster, isOwned } = this.#options
    const failures: KafkaError[] = []
    let open = [...round.entries.values()]
    await coordinator.retrying('OffsetCommit', lane, { timeoutMs: round.timeoutMs }, async connection => {
      const owned = open.filter(({ partition }) => isOwned(partition))
      for (const { partition } of open) if (!isOwned(partition)) failures.push(notOwned(partition))
      open = owned
      if (open.length === 0) return
      const identity = this.#identity()
      const offsets = open.map(({ partition: { topic, partition }, offset, leaderEpoch, metadata }) => ({
        topic,
        partition,
        offset,
        leaderEpoch,
        metadata,
      }))
      const outcomes = await requestCommit(cluster, connection, identity, offsets)
      const byKey = new Map(outcomes.map(outcome => [keyOf(outcome), outcome.errorCode]))
      const again: CommitEntry[] = []
      let reason: KafkaError | null = null
      for (const entry of open) {
        const code = byKey.get(keyOf(entry.partition)) ?? ErrorCode.UNKNOWN_SERVER_ERROR
        if (code === ErrorCode.NONE) {
          entry.partition.committedOffset = entry.offset
          continue
        }
        const error = this.#refusal(entry, code, identity.generation, connection.label)
        if (error.retriable) again.push(entry)
        else failures.push(error)
        if (error.retriable) reason ??= error
      }
      open = again
      if (reason !== null) throw reason
    })
    if (failures.length > 0) throw combineErrors('commit', failures, round.entries.size)
  }

  #identity(): Identity & { groupId: string; groupInstanceId: string | null } {
    const { identity, coordinator, groupInstanceId } = this.#options
    const now = identity()
    // Between two generations: in a moment there is one again, or the partitions are gone.
    if (now === null)
      throw commitFailed(coordinator.groupId, 'the consumer is not a member at the moment', true)
    return { ...now, groupId: coordinator.groupId, groupInstanceId }
  }

  #refusal({ partition }: CommitEntry, code: number, generation: number, broker: string): KafkaError {
    const { onRefused, coordinator, isMoving } = this.#options
    const { topic, partition: index } = partition
    const cause = protocolError(code, { api: 'OffsetCommit', broker, topic, partition: index })
    if (!MOVING.has(code) && !EXPELLED.has(code)) return cause
    onRefused(code, generation)
    // Sent for a generation that has ended since: with the next one it may pass, where the partition is still ours.
    const isLate = code === ErrorCode.ILLEGAL_GENERATION && isMoving(generation)
    return commitFailed(coordinator.groupId, cause.message, MOVING.has(code) || isLate, cause)
  }
}

function newRound(): Round {
  let resolve!: () => void
  let reject!: (error: KafkaError) => void
  const done = new Promise<void>((yes, no) => {
    resolve = yes
    reject = no
  })
  return { entries: new Map(), timeoutMs: 0, done, resolve, reject }
}

function notOwned({ topic, partition }: ConsumerPartition): KafkaError {
  return new KafkaError({
    code: 'COMMIT_FAILED',
    message:
      `The offset of ${topic}-${partition} was not committed: the partition has passed to another member of the group, ` +
      'which reads on from the last commit. What was done since may be done twice.',
    api: 'OffsetCommit',
    topic,
    partition,
  })
}

function commitFailed(groupId: string, why: string, retriable: boolean, cause?: KafkaError): KafkaError {
  return new KafkaError({
    code: 'COMMIT_FAILED',
    message:
      `Offsets of group ${groupId} were not committed: ${why.replace(/\.$/, '')}. ` +
      'What was done since the last commit may be done twice.',
    retriable,
    api: 'OffsetCommit',
    topic: cause?.topic,
    partition: cause?.partition,
    cause,
  })
}
