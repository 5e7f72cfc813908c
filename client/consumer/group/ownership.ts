/**
 * The partitions of a member as they come and go. What is taken away is fenced at once, so that nothing more of it is
 * handed out; the record in hand is waited for, what is done is committed, and only then the partition is let go.
 */
import { type Cluster, type Lane } from '../../cluster.ts'
import { type Coordinator } from '../../coordinator.ts'
import { type ClientTimer } from '../../env.ts'
import { KafkaError, protocolError } from '../../errors.ts'
import { requestCommitted } from '../../group-offsets.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { type ConsumerConfig, type GroupConfig } from '../options.ts'
import { ConsumerPartition } from '../partition.ts'
import { type PartitionTable } from '../partition-table.ts'
import { type StartFrom, type TopicPartition } from '../types.ts'
import { type CommitEntry, type Committer, type Identity } from './committer.ts'
import { keyOf } from './membership.ts'

export interface OwnershipOptions {
  readonly cluster: Cluster
  readonly coordinator: Coordinator
  readonly lane: Lane
  readonly config: ConsumerConfig
  readonly group: GroupConfig
  readonly table: PartitionTable
  readonly committer: Committer
  readonly from: (topic: string) => StartFrom
  /** As whom offsets are asked for; null from outside of the group, which the classic protocol allows. */
  readonly fetchIdentity: () => Identity | null
  readonly onRefused: (code: number, generation: number) => void
  /** What there is to fetch has changed. */
  readonly onChange: () => void
  /** Something failed that is not fatal. */
  readonly onProblem: (error: KafkaError) => void
}

export class Ownership {
  readonly #options: OwnershipOptions
  /** Paused partitions that were revoked for a rebalance: they may come straight back. */
  #paused = new Set<string>()

  /** Those who wait for work to end. */
  readonly #draining = new Set<() => void>()
  readonly #look = (): void => {
    for (const look of this.#draining) look()
  }

  constructor(options: OwnershipOptions) {
    this.#options = options
  }

  /** They are read from where the group has committed, once that is known. */
  assign(places: readonly TopicPartition[]): void {
    const { table, config } = this.#options
    table.add(
      places.map(place => {
        const partition = new ConsumerPartition(place.topic, place.partition, config.fetchPartitionMaxBytes)
        partition.moveToLookUp('committed')
        partition.paused = this.#paused.has(keyOf(place))
        return partition
      }),
    )
    this.#options.onChange()
  }

  /** A generation has begun: what did not come back has gone elsewhere. */
  settled(): void {
    this.#paused.clear()
  }

  /**
   * Waits for what is in hand, for `patienceMs` at most, commits what is done, and lets go. Resolves to what was let go:
   * some may have been lost meanwhile. Rejects never.
   */
  async revoke(
    partitions: readonly ConsumerPartition[],
    patienceMs: number,
  ): Promise<readonly ConsumerPartition[]> {
    const { cluster, table, group, committer } = this.#options
    const untilMs = cluster.env.clock.monotonicMs() + patienceMs
    for (const partition of partitions) {
      partition.fenced = true
      if (partition.paused) this.#paused.add(keyOf(partition))
    }
    await this.#drained(partitions, patienceMs)
    const late = partitions.filter(partition => table.has(partition) && partition.isWorkedOn)
    if (late.length > 0) this.#options.onProblem(stillWorking(late, patienceMs))
    if (group.autoCommit) {
      const entries = processedEntries(partitions.filter(partition => table.has(partition)))
      const leftMs = Math.max(1000, untilMs - cluster.env.clock.monotonicMs())
      await committer.commit(entries, leftMs).catch((error: KafkaError) => this.#options.onProblem(error))
    }
    const gone = partitions.filter(partition => table.has(partition))
    this.#remove(gone)
    return gone
  }

  /** They are somebody else's already. */
  lose(partitions: readonly ConsumerPartition[]): void {
    for (const partition of partitions) partition.fenced = true
    this.#remove(partitions)
    this.#look()
  }

  #remove(partitions: readonly ConsumerPartition[]): void {
    this.#options.table.remove(partitions)
    this.#options.onChange()
  }

  #drained(partitions: readonly ConsumerPartition[], patienceMs: number): Promise<void> {
    const { timers } = this.#options.cluster.env
    const isDone = (): boolean =>
      partitions.every(partition => !partition.isWorkedOn || !this.#options.table.has(partition))
    if (isDone()) return Promise.resolve()
    return new Promise(resolve => {
      let timer: ClientTimer | null = null
      const finish = (): void => {
        if (timer !== null) timers.clear(timer)
        this.#draining.delete(look)
        resolve()
      }
      const look = (): void => {
        if (isDone()) finish()
      }
      timer = timers.set(Math.max(1, Math.min(patienceMs, 0x7fff_ffff)), finish)
      this.#draining.add(look)
      for (const partition of partitions) partition.onProgress = this.#look
    })
  }

  /**
   * Puts partitions where the group has committed, or says what to look up instead. One attempt. Rejects with
   * KafkaError.
   */
  async place(partitions: readonly ConsumerPartition[], signal: AbortSignal | undefined): Promise<void> {
    const { cluster, coordinator, lane, config, onRefused, fetchIdentity } = this.#options
    const open = partitions.map(partition => ({ partition, generation: partition.generation }))
    const identity = fetchIdentity()
    const generation = identity?.generation ?? -1
    const found = await coordinator.once(lane, connection =>
      requestCommitted(
        cluster,
        connection,
        {
          groupId: coordinator.groupId,
          generation,
          memberId: identity?.memberId ?? '',
          groupInstanceId: null,
        },
        partitions,
        { requireStable: config.isolation === 'read_committed', signal },
      ).catch((error: unknown) => {
        if (!(error instanceof KafkaError) || !MEMBERSHIP_ERRORS.has(error.code)) throw error
        onRefused(ErrorCode[error.code as keyof typeof ErrorCode], generation)
        throw passing(error)
      }),
    )
    const byKey = new Map(found.map(each => [keyOf(each), each]))
    for (const { partition, generation: before } of open) {
      // Sought elsewhere, or gone, in the meantime.
      if (partition.generation !== before) continue
      const { topic, partition: index } = partition
      const committed = byKey.get(keyOf(partition))
      const code = committed?.errorCode ?? ErrorCode.NONE
      if (code !== ErrorCode.NONE) {
        throw protocolError(code, { api: 'OffsetFetch', topic, partition: index })
      }
      if (committed === undefined || committed.offset < 0) this.#startAnew(partition)
      else {
        partition.moveTo(committed.offset)
        partition.committedOffset = committed.offset
        partition.positionEpoch = committed.leaderEpoch
        // Lets a log that was cut back since be noticed (KIP-320).
        partition.fetchedEpoch = committed.leaderEpoch
      }
    }
  }

  #startAnew(partition: ConsumerPartition): void {
    const from = this.#options.from(partition.topic)
    if (from !== 'committed') {
      partition.moveToLookUp(from)
      return
    }
    const { topic, partition: index } = partition
    throw new KafkaError({
      code: 'NO_COMMITTED_OFFSET',
      message:
        `Group ${this.#options.group.groupId} has committed nothing for ${topic}-${index}, or what it had has expired, and ` +
        "the subscription allows no other start. Subscribe with from: 'earliest' or 'latest', or set offsets first.",
      topic,
      partition: index,
    })
  }
}

/** Of the partitions whose processing has moved on since the last commit. */
export function processedEntries(partitions: readonly ConsumerPartition[]): CommitEntry[] {
  return partitions
    .filter(partition => partition.lookUp === null && partition.processed !== partition.committedOffset)
    .map(partition => ({
      partition,
      offset: partition.processed,
      leaderEpoch: partition.positionEpoch,
      metadata: '',
    }))
}

const MEMBERSHIP_ERRORS: ReadonlySet<string> = new Set([
  'UNKNOWN_MEMBER_ID',
  'STALE_MEMBER_EPOCH',
  'ILLEGAL_GENERATION',
])

/** The membership moves on, and with the next one this may work. */
function passing(error: KafkaError): KafkaError {
  const { code, message, api, broker } = error
  return new KafkaError({ code, message, retriable: true, api, broker, cause: error })
}

function stillWorking(partitions: readonly ConsumerPartition[], afterMs: number): KafkaError {
  const names = partitions.map(({ topic, partition }) => `${topic}-${partition}`).join(', ')
  return new KafkaError({
    code: 'TIMEOUT',
    message:
      `The group takes ${names} away, but a record is still being worked on after ${Math.round(afterMs)} ms. It is let go ` +
      'without that record, which its new owner will read again. Make handlers faster, or raise rebalanceTimeoutMs.',
  })
}
