/**
 * The consumer that an application holds: which partitions it reads, from where, and one reading of them at a time.
 * Fetching ahead is the fetcher's business, handing out the reading's, sharing and committing the group's.
 */
import { EventEmitter } from 'node:events'
import { type Cluster } from '../cluster.ts'
import { invalidOption } from '../config.ts'
import { KafkaError } from '../errors.ts'
import { type TopicMetadata } from '../metadata.ts'
import { listOffsets, NAMED_OFFSET } from '../offsets.ts'
import { orAborted } from '../retry.ts'
import { Presenter } from './batch.ts'
import { Fetcher } from './fetcher.ts'
import { ConsumerGroup } from './group/group.ts'
import { type ConsumerConfig, checkOffsetSpec, type GroupConfig, resolveConsumerOptions } from './options.ts'
import { ConsumerPartition } from './partition.ts'
import { PartitionTable } from './partition-table.ts'
import { DeadLetters, type PoisonPolicy, type ResolvedErrorPolicy, resolveErrorPolicy } from './poison.ts'
import { lookUpPositions } from './positions.ts'
import { BatchIterator, MessageIterator, Reading } from './reading.ts'
import { runHandlers } from './run.ts'
import {
  type Assignment,
  type ConsumedBatch,
  type ConsumedMessage,
  type ConsumerEvents,
  type ConsumerMetrics,
  type ConsumerOptions,
  type IterateOptions,
  type OffsetKind,
  type OffsetSpec,
  type OffsetToStore,
  type PartitionLag,
  type PartitionPosition,
  type RunOptions,
  type StalledEvent,
  type StoredOffset,
  type SubscribeOptions,
  type TopicPartition,
} from './types.ts'
import { Watchdog } from './watchdog.ts'

export class Consumer<K = Buffer, V = Buffer, O extends OffsetKind = 'number'>
  extends EventEmitter<ConsumerEvents>
  implements AsyncDisposable
{
  readonly #cluster: Cluster
  readonly #lane: string
  readonly #config: ConsumerConfig
  readonly #presenter: Presenter<K, V, O>
  readonly #fetcher: Fetcher
  readonly #watchdog: Watchdog
  readonly #onClose: () => void
  readonly #unsubscribe: () => void
  readonly #table = new PartitionTable()
  readonly #group: ConsumerGroup | null
  /** Topics of which partitions that are added later are read too. */
  #subscribed = new Set<string>()
  #reading: Reading<K, V, O> | null = null
  #closed = false
  #deadLetters: DeadLetters | null = null
  #recordsTaken = 0
  #batchesTaken = 0
  /** Offsets whose batch could not be read, by partition: a second time it is not fetched again. */
  readonly #unreadable = new Map<ConsumerPartition, number>()

  /** Made by `Kafka.consumer`. */
  constructor(cluster: Cluster, lane: string, options: ConsumerOptions<K, V, O>, onClose: () => void) {
    super()
    this.#cluster = cluster
    this.#lane = lane
    this.#config = resolveConsumerOptions(options)
    this.#presenter = new Presenter(options.serde, this.#config.offsets, this.#config.checkCrc, (...at) =>
      this.#commitAt(...at),
    )
    this.#onClose = onClose
    this.#fetcher = new Fetcher({
      cluster,
      lane,
      config: this.#config,
      partitions: () => this.#table.list,
      onData: () => this.#reading?.wake(),
      onFatal: error => this.#crash(error),
      onRetry: error => {
        cluster.config.logger.warn('fetching is tried again', { error })
        this.emit('retry', error)
      },
      committed: (partitions, signal) => this.#memberOf().place(partitions, signal),
    })
    this.#group = this.#config.group === null ? null : this.#makeGroup(this.#config.group)
    this.#watchdog = new Watchdog(
      cluster.env,
      this.#config.stalledAfterMs,
      () => ({
        taken: this.#recordsTaken + (this.#reading?.recordsTaken ?? 0),
        hasData:
          this.#reading !== null && this.#table.list.some(each => !each.isHeldBack && each.peek() !== null),
        lastAnswerMs: this.#fetcher.lastAnswerMs,
        isFetching: this.#table.list.some(each => !each.isHeldBack),
        working: this.#table.list
          .filter(each => each.busy || each.inHand)
          .map(each => ({ key: each, position: each.position })),
        memberlessSinceMs: this.#group?.memberlessSinceMs ?? null,
      }),
      (reason, forMs) => this.#stalled(reason, forMs),
    )
    this.#unsubscribe = cluster.onUpdate(() => this.#addNewPartitions())
  }

  #makeGroup(group: GroupConfig): ConsumerGroup {
    const { logger } = this.#cluster.config
    return new ConsumerGroup(this.#cluster, this.#lane, this.#config, group, {
      table: this.#table,
      onJoined: event => {
        logger.info('joined a generation of the group', { ...event })
        this.#tell('joined', event)
      },
      onAssigned: places => this.#tell('assigned', places),
      onRevoked: places => this.#tell('revoked', places),
      onLost: (places, error) => {
        logger.warn('partitions were lost to the group', { places, error })
        this.#tell('lost', places, error)
      },
      onChange: () => this.#fetcher.interrupt(this.#table.list),
      onRetry: error => {
        logger.warn('a request of the group is tried again, or was given up', { error })
        this.#tell('retry', error)
      },
      onCrash: error => this.#crash(error),
    })
  }

  /** What a listener throws is nothing that the group's work may stumble over; Node treats it as uncaught. */
  #tell<Name extends keyof ConsumerEvents>(name: Name, ...args: ConsumerEvents[Name]): void {
    try {
      this.emit(name, ...(args as never))
    } catch (error) {
      void Promise.reject(error as Error)
    }
  }

  /**
   * Reads exactly these partitions from now on; those not named are dropped, those named before start where it is
   * said here. Resolves when their positions are known: 'latest' is the end as of now.
   */
  async assign(partitions: readonly Assignment[], options: IterateOptions = {}): Promise<void> {
    this.#checkUsable()
    if (this.#group !== null) {
      throw invalidOption(
        'a consumer with a groupId gets its partitions from the group: use subscribe, or leave groupId out to assign',
      )
    }
    const { signal } = options
    const topics = await this.#topics(
      partitions.map(({ topic }) => topic),
      signal,
    )
    const fresh = partitions.map(({ topic, partition, offset }) => {
      const count = topics.get(topic)!.partitions.length
      if (!Number.isInteger(partition) || partition < 0 || partition >= count)
        throw noPartition(topic, partition, count)
      return this.#make(topic, partition, offset ?? 'latest')
    })
    await this.#replace(fresh, signal)
    this.#subscribed = new Set()
  }

  /**
   * In a group: shares the topics with the other members; it joins when reading begins. Without a group: all partitions
   * of the topics, also those that are added later (which are read from their begin). Calls add up. Rejects with
   * UNKNOWN_TOPIC_OR_PARTITION where a topic does not exist.
   */
  async subscribe(subscription: SubscribeOptions, options: IterateOptions = {}): Promise<void> {
    this.#checkUsable()
    const { topics: wanted, from = 'latest' } = subscription
    const names = wanted.filter(topic => typeof topic === 'string')
    if (this.#group !== null) {
      if (typeof from === 'object') checkOffsetSpec(from)
      await this.#topics(names, options.signal)
      this.#group.subscribe(subscription)
      return
    }
    if (names.length < wanted.length || from === 'committed')
      throw invalidOption("patterns and from: 'committed' need a groupId")
    const topics = await this.#topics(names, options.signal)
    const fresh = [...topics.values()].flatMap(topic =>
      topic.partitions.map(({ partition }) => this.#make(topic.name, partition, from)),
    )
    const kept = this.#table.list.filter(partition => !topics.has(partition.topic))
    await this.#replace([...kept, ...fresh], options.signal)
    for (const name of topics.keys()) this.#subscribed.add(name)
  }

  #make(topic: string, index: number, offset: OffsetSpec): ConsumerPartition {
    const partition = new ConsumerPartition(topic, index, this.#config.fetchPartitionMaxBytes)
    const spec = checkOffsetSpec(offset)
    if (typeof spec === 'number') partition.moveTo(spec)
    else partition.moveToLookUp(spec)
    return partition
  }

  async #topics(
    names: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<Map<string, TopicMetadata>> {
    const { allowAutoTopicCreation } = this.#config
    const unique = [...new Set(names)]
    const topics = await Promise.all(
      unique.map(name => this.#cluster.topic(name, { signal, allowAutoTopicCreation })),
    )
    return new Map(topics.map(topic => [topic.name, topic]))
  }

  async #replace(fresh: readonly ConsumerPartition[], signal: AbortSignal | undefined): Promise<void> {
    await lookUpPositions(fresh, { cluster: this.#cluster, isolation: this.#config.isolation, signal })
    this.#checkUsable()
    this.#table.replace(fresh)
    this.#fetcher.interrupt(this.#table.list)
  }

  #addNewPartitions(): void {
    const added: ConsumerPartition[] = []
    for (const name of this.#subscribed) {
      for (const { partition } of this.#cluster.metadata.topic(name)?.partitions ?? []) {
        if (this.#table.get({ topic: name, partition }) !== undefined) continue
        added.push(this.#make(name, partition, 'earliest'))
      }
    }
    if (added.length === 0) return
    this.#table.add(added)
    this.#fetcher.wake()
  }

  /** Goes on at another place; what was fetched of the partition is dropped. Resolves when the position is known. */
  async seek(
    place: TopicPartition & { readonly offset: OffsetSpec },
    options: IterateOptions = {},
  ): Promise<void> {
    this.#checkUsable()
    const spec = checkOffsetSpec(place.offset)
    const partition = this.#table.find(place)
    this.#unreadable.delete(partition)
    if (typeof spec === 'number') {
      partition.moveTo(spec)
    } else {
      partition.moveToLookUp(spec)
      const { isolation } = this.#config
      await lookUpPositions([partition], { cluster: this.#cluster, isolation, signal: options.signal })
    }
    this.#fetcher.interrupt([partition])
    this.#reading?.wake()
  }

  /** Nothing of these is handed out or fetched until `resume`; what is buffered is kept. Default: all partitions. */
  pause(partitions: readonly TopicPartition[] = this.#table.list): void {
    for (const place of partitions) this.#table.find(place).paused = true
  }

  resume(partitions: readonly TopicPartition[] = this.#table.list): void {
    const resumed = partitions.map(place => this.#table.find(place)).filter(({ paused }) => paused)
    for (const partition of resumed) partition.paused = false
    this.#fetcher.interrupt(resumed)
    this.#reading?.wake()
  }

  get assignment(): PartitionPosition<O>[] {
    return this.#table.list.map(({ topic, partition, lookUp, position, paused }) => ({
      topic,
      partition,
      position: lookUp === null ? this.#presenter.offset(position) : null,
      paused,
    }))
  }

  /**
   * One message after another. Leaving the loop stops fetching; a later iterator goes on behind the last message
   * that was handed out. One iterator or run at a time. Throws (from `next`) AbortError when the signal fires,
   * KafkaError when reading cannot go on.
   */
  messages(options: IterateOptions = {}): AsyncIterableIterator<ConsumedMessage<K, V, O>> {
    return new MessageIterator(this.#read(options.signal, this.#group !== null))
  }

  /** As `messages`, but whole batches: the fastest way. */
  batches(options: IterateOptions = {}): AsyncIterableIterator<ConsumedBatch<K, V, O>> {
    return new BatchIterator(this.#read(options.signal, this.#group !== null))
  }

  /** Resolves when stopped by `signal` or `close`; rejects when a handler throws or the consumer crashes. */
  async run(options: RunOptions<K, V, O>): Promise<void> {
    if ((options.eachMessage === undefined) === (options.eachBatch === undefined)) {
      throw invalidOption('run wants one handler: eachMessage or eachBatch')
    }
    const { concurrency = 1 } = options
    if (!Number.isInteger(concurrency) || concurrency < 1)
      throw invalidOption('concurrency must be an integer from 1 on')
    const retry = resolveErrorPolicy(options.onError ?? 'stop')
    const reading = this.#read(options.signal, false)
    await runHandlers(reading, options, this.#poisonPolicy(retry)).finally(() => reading.closing())
  }

  /** Asks the brokers for the ends of all assigned partitions. */
  async lag(options: IterateOptions = {}): Promise<PartitionLag<O>[]> {
    this.#checkUsable()
    const known = this.#table.list.filter(({ lookUp }) => lookUp === null)
    const queries = known.map(({ topic, partition }) => ({ topic, partition, ...NAMED_OFFSET.latest }))
    const ends = await listOffsets(this.#cluster, queries, this.#config.isolation, options)
    return known.map(({ topic, partition, position }, index) => {
      const end = ends[index]!.offset
      const offset = (value: number) => this.#presenter.offset(value)
      return {
        topic,
        partition,
        position: offset(position),
        end: offset(end),
        lag: offset(Math.max(0, end - position)),
      }
    })
  }

  metrics(): ConsumerMetrics {
    let maxLag: number | null = null
    for (const { highWatermark, position } of this.#table.list) {
      if (highWatermark >= 0) maxLag = Math.max(maxLag ?? 0, highWatermark - position)
    }
    return {
      recordsTaken: this.#recordsTaken + (this.#reading?.recordsTaken ?? 0),
      batchesTaken: this.#batchesTaken,
      bytesFetched: this.#fetcher.bytesFetched,
      fetches: this.#fetcher.fetches,
      fetchErrors: this.#fetcher.errors,
      bufferedBytes: this.#fetcher.bufferedBytes,
      assignedPartitions: this.#table.list.length,
      maxLag,
    }
  }

  /**
   * Commits what was processed (`run`) or acknowledged (iterators), or these offsets, of partitions that are assigned.
   * Resolves when the coordinator has them. Rejects with KafkaError COMMIT_FAILED where partitions have passed to
   * others, and with INVALID_OPTION without a group.
   */
  async commit(offsets?: readonly OffsetToStore[], options: IterateOptions = {}): Promise<void> {
    this.#checkUsable()
    const entries =
      offsets?.map(({ topic, partition, offset, metadata = '' }) => ({
        partition: this.#table.find({ topic, partition }),
        offset: checkOffsetSpec(offset) as number,
        leaderEpoch: -1,
        metadata,
      })) ?? null
    await orAborted(this.#memberOf().commit(entries), 'commit', options.signal)
  }

  async #commitAt(partition: ConsumerPartition, offset: number): Promise<void> {
    const { positionEpoch: leaderEpoch } = partition
    await this.#memberOf().commit([{ partition, offset, leaderEpoch, metadata: '' }])
  }

  /** What the group has committed, whoever did; by default for the assigned partitions. */
  async committed(
    partitions: readonly TopicPartition[] = this.#table.list,
    options: IterateOptions = {},
  ): Promise<StoredOffset<O>[]> {
    this.#checkUsable()
    const found = await this.#memberOf().committed(partitions, options.signal)
    return found.map(({ topic, partition, offset, metadata }) => ({
      topic,
      partition,
      offset: offset < 0 ? null : this.#presenter.offset(offset),
      metadata,
    }))
  }

  /**
   * Ends the iterator or run under way (without an error), commits, leaves the group, and closes the
   * connections of this consumer. In a group it waits for records in hand, for `closeTimeoutMs` at most.
   */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#reading?.end(null)
    await this.#group?.ended
    await this.#deadLetters?.close()
    this.#unsubscribe()
    this.#fetcher.close()
    this.#cluster.closeLane(this.#lane)
    this.#onClose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #read(signal: AbortSignal | undefined, tracksAcks: boolean): Reading<K, V, O> {
    this.#checkUsable()
    if (this.#group === null ? this.#table.list.length === 0 : !this.#group.isSubscribed)
      throw invalidOption('nothing is assigned: call assign or subscribe first')
    if (this.#reading !== null) {
      throw invalidOption(
        'this consumer is being read already: end that iterator or run first, or make another consumer',
      )
    }
    const reading = new Reading<K, V, O>({
      presenter: this.#presenter,
      partitions: () => this.#table.list,
      signal,
      tracksAcks,
      onTaken: () => {
        this.#batchesTaken++
        this.#fetcher.wake()
      },
      onUnreadable: (partition, error) => this.#fetchAgain(partition, error),
      onEnd: () => {
        this.#recordsTaken += reading.recordsTaken
        this.#reading = null
        this.#fetcher.stop()
        this.#watchdog.stop()
        // A run has workers that finish; what an iterator's application does with its record nobody knows.
        void this.#group?.stop(!tracksAcks && !this.#closed)
      },
      closing: () => this.#group?.ended ?? Promise.resolve(),
    })
    if (!reading.isOver) {
      this.#reading = reading
      this.#fetcher.start()
      this.#watchdog.start()
      this.#group?.start()
    }
    return reading
  }

  /** Bytes may have been damaged on the way: the same batch is fetched once more before it is given up. */
  #fetchAgain(partition: ConsumerPartition, error: unknown): boolean {
    if (!(error instanceof KafkaError) || error.code !== 'CORRUPT_BATCH') return false
    if (this.#unreadable.get(partition) === partition.position) return false
    this.#unreadable.set(partition, partition.position)
    this.emit('retry', error)
    partition.drop()
    this.#fetcher.interrupt([partition])
    return true
  }

  #crash(error: KafkaError): void {
    this.#cluster.config.logger.error('the consumer has crashed', { error })
    this.#reading?.end(error)
    this.emit('crash', error)
  }

  #stalled(reason: StalledEvent['reason'], forMs: number): void {
    const partitions = this.#table.list
      .filter(each => !each.isHeldBack)
      .filter(each => (each.busy || each.inHand || each.peek() !== null) === (reason === 'handler'))
      .map(({ topic, partition }) => ({ topic, partition }))
    const error =
      this.#table.list.find(each => each.lastError !== null && each.failures > 0)?.lastError ?? null
    this.#cluster.config.logger.warn('the consumer has stalled', { reason, forMs, partitions, error })
    this.emit('stalled', { reason, forMs, partitions, error })
  }

  #memberOf(): ConsumerGroup {
    if (this.#group !== null) return this.#group
    throw invalidOption('offsets are committed for a group: give the consumer a groupId')
  }

  #poisonPolicy(retry: ResolvedErrorPolicy): PoisonPolicy {
    const { env, config } = this.#cluster
    return {
      ...retry,
      env,
      giveUp: async (message, error, attempts) => {
        const { topic, partition } = message
        const offset = Number('firstOffset' in message ? message.firstOffset : message.offset)
        const { deadLetter } = retry
        if (deadLetter !== null) {
          this.#deadLetters ??= new DeadLetters(this.#cluster, `${this.#lane}/dead-letters`)
          await this.#deadLetters.send(deadLetter, message, error)
        }
        const event = { topic, partition, offset, error, attempts, deadLetter }
        config.logger.warn('a record was skipped because its handler failed', event)
        this.#tell('skipped', event)
      },
    }
  }

  #checkUsable(): void {
    if (!this.#closed && !this.#cluster.isClosed) return
    throw new KafkaError({
      code: 'CLOSED',
      message: 'The consumer is closed; make a new one with kafka.consumer().',
    })
  }
}

function noPartition(topic: string, partition: number, count: number): KafkaError {
  return new KafkaError({
    code: 'UNKNOWN_TOPIC_OR_PARTITION',
    message: `Partition ${partition} of topic ${topic} does not exist: it has ${count} (0 to ${count - 1}).`,
    topic,
    partition,
  })
}
