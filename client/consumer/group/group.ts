/**
 * A consumer's part in its group: a member while somebody reads, the partitions that the group gives it, and the
 * offsets that it commits. A reading's end is the member's end: what is in hand is waited for, what is done committed,
 * and the group left.
 */
import { type Cluster } from '../../cluster.ts'
import { Coordinator } from '../../coordinator.ts'
import { type ClientTimer } from '../../env.ts'
import { type KafkaError } from '../../errors.ts'
import { requestCommitted } from '../../group-offsets.ts'
import { sleep } from '../../retry.ts'
import { type ConsumerConfig, type GroupConfig } from '../options.ts'
import { type ConsumerPartition } from '../partition.ts'
import { type PartitionTable } from '../partition-table.ts'
import { type JoinedEvent, type SubscribeOptions, type TopicPartition } from '../types.ts'
import { type CommitEntry, Committer } from './committer.ts'
import { Member } from './member.ts'
import { Ownership, processedEntries } from './ownership.ts'
import { Subscription } from './subscription.ts'

const PARTING_COMMIT_MS = 2000

export interface GroupHost {
  readonly table: PartitionTable
  readonly onJoined: (event: JoinedEvent) => void
  readonly onAssigned: (places: readonly TopicPartition[]) => void
  readonly onRevoked: (places: readonly TopicPartition[]) => void
  readonly onLost: (places: readonly TopicPartition[], error: KafkaError) => void
  /** What there is to fetch has changed. */
  readonly onChange: () => void
  readonly onRetry: (error: KafkaError) => void
  readonly onCrash: (error: KafkaError) => void
}

export class ConsumerGroup {
  readonly #cluster: Cluster
  readonly #lane: string
  readonly #config: ConsumerConfig
  readonly #group: GroupConfig
  readonly #host: GroupHost
  readonly #coordinator: Coordinator
  readonly #committer: Committer
  readonly #ownership: Ownership
  readonly #subscription: Subscription
  #member: Member | null = null
  /** Somebody reads: changes with every start. */
  #wanted: object | null = null
  /** The end of the last membership: the next begins after it. */
  #leaving: Promise<void> = Promise.resolve()
  #commitTimer: ClientTimer | null = null

  constructor(cluster: Cluster, lane: string, config: ConsumerConfig, group: GroupConfig, host: GroupHost) {
    this.#cluster = cluster
    this.#lane = lane
    this.#config = config
    this.#group = group
    this.#host = host
    const { table, onChange, onRetry } = host
    this.#coordinator = new Coordinator(cluster, group.groupId)
    this.#subscription = new Subscription(cluster)
    const onRefused = (code: number, generation: number): void => this.#member?.refused(code, generation)
    this.#committer = new Committer({
      cluster,
      coordinator: this.#coordinator,
      lane: this.#commitLane,
      groupInstanceId: group.groupInstanceId,
      identity: () => this.#member?.identity ?? null,
      isMoving: generation =>
        this.#member?.identity?.generation !== generation || this.#member.memberlessSinceMs !== null,
      isOwned: partition => table.has(partition),
      onRefused,
    })
    this.#ownership = new Ownership({
      cluster,
      coordinator: this.#coordinator,
      lane: this.#commitLane,
      config,
      group,
      table,
      committer: this.#committer,
      from: topic => this.#subscription.from(topic),
      // The classic protocol asks from outside of the group, as its members always did.
      fetchIdentity: () => (this.#member?.protocol === 'consumer' ? this.#member.identity : null),
      onRefused,
      onChange,
      onProblem: onRetry,
    })
  }

  /** Not the member's lane, where answers may wait for a whole rebalance. */
  get #commitLane(): string {
    return `${this.#lane}/commit`
  }

  get isSubscribed(): boolean {
    return !this.#subscription.isEmpty
  }

  get memberlessSinceMs(): number | null {
    return this.#member?.memberlessSinceMs ?? null
  }

  subscribe(subscription: SubscribeOptions): void {
    this.#subscription.add(subscription)
    this.#member?.wantsChanged()
  }

  /** Joins, once the membership before has ended. */
  start(): void {
    const wanted = {}
    this.#wanted = wanted
    void this.#leaving.then(() => {
      if (this.#wanted !== wanted) return
      this.#member = this.#makeMember()
      this.#member.start()
      this.#armCommits()
    })
  }

  #makeMember(): Member {
    const { table, onJoined, onAssigned, onLost, onRetry, onCrash } = this.#host
    const { groupId } = this.#group
    const find = (places: readonly TopicPartition[]): ConsumerPartition[] =>
      places.map(place => table.get(place)).filter(partition => partition !== undefined)
    return new Member({
      cluster: this.#cluster,
      coordinator: this.#coordinator,
      group: this.#group,
      rack: this.#config.rack,
      subscription: this.#subscription,
      lane: `${this.#lane}/group`,
      commitLane: this.#commitLane,
      onJoined: ({ protocol, memberId, generation }, isLeader) => {
        onJoined({ groupId, protocol, memberId, generation, isLeader })
        // What comes back comes in this turn.
        void Promise.resolve().then(() => this.#ownership.settled())
      },
      onAssign: places => {
        this.#ownership.assign(places)
        onAssigned(places)
      },
      onRevoke: places => this.#revoke(find(places), this.#patienceMs),
      onLose: (places, error) => {
        this.#ownership.lose(find(places))
        onLost(places, error)
      },
      onCommit: () => this.#commitBeforeRebalance(),
      onRetry,
      onCrash,
    })
  }

  /** The coordinator expels who has not come back in time: some of it is kept for the way. */
  get #patienceMs(): number {
    const { rebalanceTimeoutMs, heartbeatIntervalMs } = this.#group
    return Math.max(rebalanceTimeoutMs / 2, rebalanceTimeoutMs - 2 * heartbeatIntervalMs - 1000)
  }

  async #revoke(partitions: readonly ConsumerPartition[], patienceMs: number): Promise<void> {
    if (partitions.length === 0) return
    const gone = await this.#ownership.revoke(partitions, patienceMs)
    if (gone.length > 0) this.#host.onRevoked(gone.map(({ topic, partition }) => ({ topic, partition })))
  }

  /**
   * Finishes, commits and leaves. `hasTime`: a record in hand is waited for as long as in a rebalance, else for
   * `closeTimeoutMs`. Resolves when that is done; rejects never.
   */
  stop(hasTime: boolean): Promise<void> {
    if (this.#wanted === null) return this.#leaving
    this.#wanted = null
    this.#leaving = this.#leaving.then(async () => {
      const member = this.#member
      if (member === null) return
      if (this.#commitTimer !== null) this.#cluster.env.timers.clear(this.#commitTimer)
      this.#commitTimer = null
      await this.#revoke(this.#host.table.list, hasTime ? this.#patienceMs : this.#group.closeTimeoutMs)
      this.#member = null
      await member.leave()
      // What was assigned while the rest was let go.
      this.#host.table.replace([])
    })
    return this.#leaving
  }

  /** Resolves when the last membership has ended. */
  get ended(): Promise<void> {
    return this.#leaving
  }

  place(partitions: readonly ConsumerPartition[], signal: AbortSignal | undefined): Promise<void> {
    return this.#ownership.place(partitions, signal)
  }

  // ------------------------------------------------------------------------------------ commits

  #armCommits(): void {
    if (!this.#group.autoCommit) return
    this.#commitTimer = this.#cluster.env.timers.setBackground(this.#group.autoCommitIntervalMs, () => {
      void this.#commitProcessed()
      this.#armCommits()
    })
  }

  async #commitProcessed(): Promise<void> {
    if (!this.#group.autoCommit) return
    const entries = processedEntries(this.#host.table.list)
    const timeoutMs = Math.max(this.#group.autoCommitIntervalMs, 1000)
    await this.#committer.commit(entries, timeoutMs).catch((error: KafkaError) => this.#host.onRetry(error))
  }

  /** A coordinator that does not answer must not keep the member from joining. */
  async #commitBeforeRebalance(): Promise<void> {
    const { env } = this.#cluster
    const done = new AbortController()
    const pause = sleep(env, PARTING_COMMIT_MS, 'the commit before a rebalance', done.signal).catch(() => {})
    await Promise.race([this.#commitProcessed(), pause])
    done.abort()
  }

  /** All that is processed; or these. Rejects with KafkaError. */
  commit(entries: readonly CommitEntry[] | null): Promise<void> {
    return this.#committer.commit(
      entries ?? processedEntries(this.#host.table.list),
      this.#cluster.config.operationTimeoutMs,
    )
  }

  /** What the group has committed; with -1 for nothing. Rejects with KafkaError. */
  async committed(
    places: readonly TopicPartition[],
    signal: AbortSignal | undefined,
  ): Promise<(TopicPartition & { readonly offset: number; readonly metadata: string })[]> {
    if (places.length === 0) return []
    const { groupId } = this.#group
    const outside = { groupId, generation: -1, memberId: '', groupInstanceId: null }
    const member = this.#member?.protocol === 'consumer' ? this.#member.identity : null
    const requireStable = this.#config.isolation === 'read_committed'
    const found = await this.#coordinator.retrying('OffsetFetch', this.#commitLane, { signal }, connection =>
      requestCommitted(this.#cluster, connection, { ...outside, ...member }, places, {
        requireStable,
        signal,
      }),
    )
    return places.map(({ topic, partition }) => {
      const each = found.find(place => place.topic === topic && place.partition === partition)
      return { topic, partition, offset: each?.offset ?? -1, metadata: each?.metadata ?? '' }
    })
  }
}
