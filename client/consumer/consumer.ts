/**
 * The consumer that an application holds: which partitions it reads, from where, and one reading of them at a time.
 * Fetching ahead is the fetcher's business, handing out the reading's. Without a group: nothing is committed.
 */
import { EventEmitter } from 'node:events'
import { type Cluster } from '../cluster.ts'
import { invalidOption } from '../config.ts'
import { KafkaError } from '../errors.ts'
import { type TopicMetadata } from '../metadata.ts'
import { listOffsets, NAMED_OFFSET } from '../offsets.ts'
import { Presenter } from './batch.ts'
import { Fetcher } from './fetcher.ts'
import { type ConsumerConfig, checkOffsetSpec, resolveConsumerOptions } from './options.ts'
import { ConsumerPartition } from './partition.ts'
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
  type PartitionLag,
  type PartitionPosition,
  type RunOptions,
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
  #partitions: readonly ConsumerPartition[] = []
  #byKey = new Map<string, ConsumerPartition>()
  /** Topics of which partitions that are added later are read too. */
  #subscribed = new Set<string>()
  #reading: Reading<K, V, O> | null = null
  #closed = false
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
    this.#presenter = new Presenter(options.serde, this.#config.offsets, this.#config.checkCrc)
    this.#onClose = onClose
    this.#fetcher = new Fetcher({
      cluster,
      lane,
      config: this.#config,
      partitions: () => this.#partitions,
      onData: () => this.#reading?.wake(),
      onFatal: error => this.#crash(error),
      onRetry: error => {
        cluster.config.logger.warn('fetching is tried again', { error })
        this.emit('retry', error)
      },
    })
    this.#watchdog = new Watchdog(
      cluster.env,
      this.#config.stalledAfterMs,
      () => ({
        taken: this.#recordsTaken + (this.#reading?.recordsTaken ?? 0),
        hasData:
          this.#reading !== null && this.#partitions.some(each => !each.paused && each.peek() !== null),
        lastAnswerMs: this.#fetcher.lastAnswerMs,
        isFetching: this.#partitions.some(each => !each.paused),
      }),
      (reason, forMs) => this.#stalled(reason, forMs),
    )
    this.#unsubscribe = cluster.onUpdate(() => this.#addNewPartitions())
  }

  /**
   * Reads exactly these partitions from now on; those not named are dropped, those named before start where it is
   * said here. Resolves when their positions are known: 'latest' is the end as of now.
   */
  async assign(partitions: readonly Assignment[], options: IterateOptions = {}): Promise<void> {
    this.#checkUsable()
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
   * Without a group: all partitions of the topics, also those that are added later (which are read from their begin).
   * Calls add up.
   */
  async subscribe(subscription: SubscribeOptions, options: IterateOptions = {}): Promise<void> {
    this.#checkUsable()
    const { topics: names, from = 'latest' } = subscription
    const topics = await this.#topics(names, options.signal)
    const fresh = [...topics.values()].flatMap(topic =>
      topic.partitions.map(({ partition }) => this.#make(topic.name, partition, from)),
    )
    const kept = this.#partitions.filter(partition => !topics.has(partition.topic))
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
    const staying = new Set(fresh)
    // Whoever holds a batch of a dropped partition must not go on with it.
    for (const partition of this.#partitions) if (!staying.has(partition)) partition.drop()
    this.#byKey = new Map(fresh.map(partition => [keyOf(partition), partition]))
    this.#partitions = [...this.#byKey.values()]
    this.#fetcher.interrupt(this.#partitions)
  }

  #addNewPartitions(): void {
    const added: ConsumerPartition[] = []
    for (const name of this.#subscribed) {
      for (const { partition } of this.#cluster.metadata.topic(name)?.partitions ?? []) {
        if (this.#byKey.has(keyOf({ topic: name, partition }))) continue
        const fresh = this.#make(name, partition, 'earliest')
        this.#byKey.set(keyOf(fresh), fresh)
        added.push(fresh)
      }
    }
    if (added.length === 0) return
    this.#partitions = [...this.#partitions, ...added]
    this.#fetcher.wake()
  }

  /** Goes on at another place; what was fetched of the partition is dropped. Resolves when the position is known. */
  async seek(
    place: TopicPartition & { readonly offset: OffsetSpec },
    options: IterateOptions = {},
  ): Promise<void> {
    this.#checkUsable()
    const spec = checkOffsetSpec(place.offset)
    const partition = this.#find(place)
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
  pause(partitions: readonly TopicPartition[] = this.#partitions): void {
    for (const place of partitions) this.#find(place).paused = true
  }

  resume(partitions: readonly TopicPartition[] = this.#partitions): void {
    const resumed = partitions.map(place => this.#find(place)).filter(({ paused }) => paused)
    for (const partition of resumed) partition.paused = false
    this.#fetcher.interrupt(resumed)
    this.#reading?.wake()
  }

  get assignment(): PartitionPosition<O>[] {
    return this.#partitions.map(({ topic, partition, lookUp, position, paused }) => ({
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
    return new MessageIterator(this.#read(options.signal))
  }

  /** As `messages`, but whole batches: the fastest way. */
  batches(options: IterateOptions = {}): AsyncIterableIterator<ConsumedBatch<K, V, O>> {
    return new BatchIterator(this.#read(options.signal))
  }

  /** Resolves when stopped by `signal` or `close`; rejects when a handler throws or the consumer crashes. */
  async run(options: RunOptions<K, V, O>): Promise<void> {
    if ((options.eachMessage === undefined) === (options.eachBatch === undefined)) {
      throw invalidOption('run wants one handler: eachMessage or eachBatch')
    }
    const { concurrency = 1 } = options
    if (!Number.isInteger(concurrency) || concurrency < 1)
      throw invalidOption('concurrency must be an integer from 1 on')
    await runHandlers(this.#read(options.signal), options)
  }

  /** Asks the brokers for the ends of all assigned partitions. */
  async lag(options: IterateOptions = {}): Promise<PartitionLag<O>[]> {
    this.#checkUsable()
    const known = this.#partitions.filter(({ lookUp }) => lookUp === null)
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
    for (const { highWatermark, position } of this.#partitions) {
      if (highWatermark >= 0) maxLag = Math.max(maxLag ?? 0, highWatermark - position)
    }
    return {
      recordsTaken: this.#recordsTaken + (this.#reading?.recordsTaken ?? 0),
      batchesTaken: this.#batchesTaken,
      bytesFetched: this.#fetcher.bytesFetched,
      fetches: this.#fetcher.fetches,
      fetchErrors: this.#fetcher.errors,
      bufferedBytes: this.#fetcher.bufferedBytes,
      assignedPartitions: this.#partitions.length,
      maxLag,
    }
  }

  /** Ends the iterator or run under way (without an error) and closes the connections of this consumer. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#reading?.end(null)
    this.#unsubscribe()
    this.#fetcher.close()
    this.#cluster.closeLane(this.#lane)
    this.#onClose()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #read(signal: AbortSignal | undefined): Reading<K, V, O> {
    this.#checkUsable()
    if (this.#partitions.length === 0)
      throw invalidOption('nothing is assigned: call assign or subscribe first')
    if (this.#reading !== null) {
      throw invalidOption(
        'this consumer is being read already: end that iterator or run first, or make another consumer',
      )
    }
    const reading = new Reading<K, V, O>({
      presenter: this.#presenter,
      partitions: () => this.#partitions,
      signal,
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
      },
    })
    if (!reading.isOver) {
      this.#reading = reading
      this.#fetcher.start()
      this.#watchdog.start()
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

  #stalled(reason: 'handler' | 'broker', forMs: number): void {
    const partitions = this.#partitions
      .filter(each => !each.paused && (each.peek() !== null) === (reason === 'handler'))
      .map(({ topic, partition }) => ({ topic, partition }))
    const error =
      this.#partitions.find(each => each.lastError !== null && each.failures > 0)?.lastError ?? null
    this.#cluster.config.logger.warn('the consumer has stalled', { reason, forMs, partitions, error })
    this.emit('stalled', { reason, forMs, partitions, error })
  }

  #find({ topic, partition }: TopicPartition): ConsumerPartition {
    const found = this.#byKey.get(keyOf({ topic, partition }))
    if (found === undefined) throw invalidOption(`${topic}-${partition} is not assigned to this consumer`)
    return found
  }

  #checkUsable(): void {
    if (!this.#closed && !this.#cluster.isClosed) return
    throw new KafkaError({
      code: 'CLOSED',
      message: 'The consumer is closed; make a new one with kafka.consumer().',
    })
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${partition}/${topic}`
}

function noPartition(topic: string, partition: number, count: number): KafkaError {
  return new KafkaError({
    code: 'UNKNOWN_TOPIC_OR_PARTITION',
    message: `Partition ${partition} of topic ${topic} does not exist: it has ${count} (0 to ${count - 1}).`,
    topic,
    partition,
  })
}
