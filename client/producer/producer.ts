/**
 * The producer that an application holds: puts records into batches, bounds the memory they take, and tells what
 * became of them. The way of a batch to its broker is the sender's business, order and single copies the partition
 * queues'.
 */
import { type Cluster } from '../cluster.ts'
import { batchSettled } from '../diagnostics.ts'
import { type ClientEnv, type ClientTimer } from '../env.ts'
import { KafkaError, toKafkaError } from '../errors.ts'
import { defaultPartitioner } from '../partitioner.ts'
import { orAborted, throwIfAborted } from '../retry.ts'
import { type Bytes } from '../serde.ts'
import { type BatchOutcome, ProducerBatch, type WireAcks } from './batch.ts'
import { BufferPool } from './buffer-pool.ts'
import { type EncodedRecord, MessageEncoder } from './encoding.ts'
import { bufferFull, checkPartition, closedError, deliveryTimeout, flushError } from './failures.ts'
import { IdentitySource } from './identity.ts'
import { type ProducerConfig, resolveProducerOptions, wireAcks } from './options.ts'
import { PartitionQueue } from './partition-queue.ts'
import { Sender } from './sender.ts'
import { type PendingRecord, TopicState } from './topic-state.ts'
import {
  type DeliveryReport,
  type FlushOptions,
  type Message,
  type Partitioner,
  type ProducerMetrics,
  type ProducerOptions,
  type SendOptions,
  type SentRange,
} from './types.ts'

/** A run of consecutive records of one `send` in one batch. */
interface Run {
  readonly batch: ProducerBatch
  readonly firstIndex: number
  count: number
}

/** `enqueue` lets the event loop turn after this many bytes, so that what is full leaves while the caller goes on. */
const YIELD_BYTES = 256 * 1024
/** Who enqueues without awaiting is stopped at this multiple of `bufferBytes`. */
const HARD_LIMIT = 2
/** Waiting callers go on when the buffer has emptied to this share. */
const LOW_WATER = 0.75
const MIN_BATCH_BYTES = 1024
/** Memory of batches that is kept for the next ones. */
const POOLED_BYTES = 8 * 1024 * 1024

export class Producer<K = Bytes, V = Bytes> implements AsyncDisposable {
  readonly #cluster: Cluster
  readonly #env: ClientEnv
  readonly #config: ProducerConfig
  readonly #lane: string
  readonly #onClose: () => void
  readonly #encoder: MessageEncoder<K, V>
  readonly #partitioner: Partitioner
  readonly #onDelivery: ((report: DeliveryReport) => void) | undefined
  readonly #sender: Sender
  readonly #pool: BufferPool
  readonly #topics = new Map<string, TopicState>()
  /** Every batch whose fate is open. */
  readonly #batches = new Set<ProducerBatch>()
  readonly #closing = new AbortController()
  readonly #unsubscribe: () => void
  #state: 'open' | 'closing' | 'closed' = 'open'
  #heldBytes = 0
  #heldRecords = 0
  /** Records that wait for the metadata of their topic. */
  #placeless = 0
  #roomWaiters: (() => void)[] = []
  #placedWaiters: (() => void)[] = []
  #sinceYieldBytes = 0
  readonly #lingering = new Map<PartitionQueue, number>()
  #lingerTimer: ClientTimer | null = null
  #expiryTimer: ClientTimer | null = null
  /** Of records that nobody waits for; the next `flush` throws it. */
  #unreported: { error: KafkaError; records: number } | null = null
  #recordsDelivered = 0
  #recordsFailed = 0
  #batchesDelivered = 0
  #bytesDelivered = 0

  /** Made by `Kafka.producer`. */
  constructor(cluster: Cluster, lane: string, options: ProducerOptions<K, V>, onClose: () => void) {
    const config = resolveProducerOptions(options, cluster.config)
    this.#cluster = cluster
    this.#env = cluster.env
    this.#config = config
    this.#lane = lane
    this.#onClose = onClose
    this.#encoder = new MessageEncoder(options.serde)
    this.#partitioner = options.partitioner ?? defaultPartitioner(cluster.env.random)
    this.#onDelivery = options.onDelivery
    this.#pool = new BufferPool(config.batchBytes, Math.ceil(POOLED_BYTES / config.batchBytes))
    this.#sender = new Sender({
      cluster,
      env: cluster.env,
      lane,
      identities: config.idempotent ? new IdentitySource(cluster, this.#closing.signal) : null,
      codec: config.compression,
      maxRequestBytes: config.maxRequestBytes,
      maxInFlight: config.maxInFlightRequests,
      requestTimeoutMs: config.requestTimeoutMs,
      onSettled: (batch, outcome) => this.#settled(batch, outcome),
    })
    this.#unsubscribe = cluster.onUpdate(() => this.#metadataChanged())
  }

  /** Optional: connects and checks that the cluster can be reached; everything else connects when first needed. */
  async connect(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    this.#checkOpen()
    await this.#cluster.connect(options)
  }

  /**
   * Resolves when every message is acknowledged, with the places where runs of them were stored, in the order of the
   * messages. Rejects with the first failure when the fate of all of them is decided: others may have been stored.
   */
  async send(options: SendOptions<K, V>): Promise<SentRange[]> {
    const { topic, messages, signal } = options
    this.#checkOpen()
    throwIfAborted('send', signal)
    const acks = this.#acksOf(options)
    // All are encoded before the first is placed: one that cannot be keeps none of the others.
    const encoded = messages.map(message => this.#encoder.encode(topic, message))
    while (this.#heldBytes >= this.#config.bufferBytes) await orAborted(this.#room(), 'send', signal)
    const state = this.#topic(topic)
    const place = (ready: TopicState): Run[] => this.#placeAll(ready, messages, encoded, acks)
    const runs = state.isReady ? place(state) : await this.#placedInTurn(state, place, signal)
    const batches = new Set(runs.map(run => run.batch))
    const outcomes = orAborted(Promise.all([...batches].map(batch => batch.settled())), 'send', signal)
    for (const { error } of await outcomes) if (error !== null) throw error
    return runs.map(({ batch, firstIndex, count }) => {
      const { baseOffset, logAppendTimeMs } = batch.outcome!
      return {
        topic,
        partition: batch.partition,
        baseOffset: baseOffset < 0 ? -1 : baseOffset + firstIndex,
        count,
        logAppendTimeMs,
      }
    })
  }

  /** All of them or none. */
  #placeAll(
    state: TopicState,
    messages: readonly Message<K, V>[],
    encoded: readonly EncodedRecord[],
    acks: WireAcks,
  ): Run[] {
    this.#refreshIfOld(state)
    for (const { partition } of messages) if (partition !== undefined) checkPartition(state, partition)
    const runs: Run[] = []
    messages.forEach((message, index) => {
      const batch = this.#place(state, message, encoded[index]!, acks, false)
      const last = runs.at(-1)
      if (last?.batch === batch && last.firstIndex + last.count === batch.recordCount - 1) last.count++
      else runs.push({ batch, firstIndex: batch.recordCount - 1, count: 1 })
    })
    for (const { batch } of runs) this.#makeDue(state.queues[batch.partition]!)
    return runs
  }

  /**
   * Places what came before the topic's metadata when that is there, behind all that came earlier: who sends without
   * waiting relies on the order.
   */
  #placedInTurn<T>(
    state: TopicState,
    place: (ready: TopicState) => T,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    const placed = new Promise<T>((resolve, reject) => {
      this.#placeless++
      state.pending.push({
        place: ready => {
          if (signal?.aborted) return
          try {
            resolve(place(ready))
          } catch (error) {
            reject(error)
          }
        },
        fail: reject,
      })
    })
    void this.#load(state)
    return orAborted(placed, 'send', signal)
  }

  /**
   * Adds a record to the current batch. Undefined means: taken, go on. A promise means: taken, and awaiting it is
   * back-pressure, for the buffer is full or the event loop needs its turn. Who does not await is stopped by a
   * rejection with BUFFER_FULL (the record is not taken then) at twice `bufferBytes`. A failed delivery is reported
   * to
   * `onDelivery` and thrown by the next `flush`. Bytes of the message may be changed once the record is delivered.
   * Throws KafkaError CLOSED, SERDE_FAILED, INVALID_OPTION.
   */
  enqueue(topic: string, message: Message<K, V>): Promise<void> | undefined {
    this.#checkOpen()
    const { bufferBytes, acks } = this.#config
    if (this.#heldBytes >= bufferBytes * HARD_LIMIT) return Promise.reject(bufferFull(topic, bufferBytes))
    const encoded = this.#encoder.encode(topic, message)
    const state = this.#topic(topic)
    if (state.isReady) {
      this.#place(state, message, encoded, acks, true)
    } else {
      this.#hold(encoded)
      this.#placeless++
      state.pending.push({
        place: ready => {
          this.#release(encoded)
          this.#place(ready, message, encoded, acks, true)
        },
        fail: error => {
          this.#release(encoded)
          this.#recordsFailed++
          this.#remember(error, 1)
        },
      })
      void this.#load(state)
    }
    if (this.#heldBytes >= bufferBytes) return this.#room()
    this.#sinceYieldBytes += encoded.sizeBound
    if (this.#sinceYieldBytes < YIELD_BYTES) return undefined
    this.#sinceYieldBytes = 0
    return new Promise(resolve => {
      this.#env.timers.endOfTurn(resolve)
    })
  }

  /**
   * Sends what is buffered and waits for it. Rejects with the first failure of a record that was enqueued since the
   * last `flush`; the failures of a `send` are its own.
   */
  async flush(options: FlushOptions = {}): Promise<void> {
    const { signal } = options
    throwIfAborted('flush', signal)
    if (this.#placeless > 0) {
      await orAborted(new Promise<void>(resolve => this.#placedWaiters.push(resolve)), 'flush', signal)
    }
    for (const state of this.#topics.values()) {
      for (const queue of state.queues) if (queue?.open != null) this.#makeDue(queue)
    }
    await orAborted(Promise.all([...this.#batches].map(batch => batch.settled())), 'flush', signal)
    const failed = this.#unreported
    this.#unreported = null
    if (failed !== null) throw flushError(failed)
  }

  /** A Web stream into `topic` with back-pressure; closing it flushes. */
  writable(topic: string): WritableStream<Message<K, V>> {
    this.#checkOpen()
    return new WritableStream<Message<K, V>>({
      write: message => this.enqueue(topic, message),
      close: () => this.flush(),
    })
  }

  metrics(): ProducerMetrics {
    let epochBumps = 0
    for (const state of this.#topics.values())
      for (const queue of state.queues) epochBumps += queue?.epochBumps ?? 0
    return {
      recordsDelivered: this.#recordsDelivered,
      recordsFailed: this.#recordsFailed,
      batchesDelivered: this.#batchesDelivered,
      bytesDelivered: this.#bytesDelivered,
      requests: this.#sender.requests,
      retries: this.#sender.retries,
      bufferedBytes: this.#heldBytes,
      bufferedRecords: this.#heldRecords,
      inFlightRequests: this.#sender.inFlightRequests,
      epochBumps,
    }
  }

  /**
   * Flushes, then closes; what `flush` throws is thrown when all is closed. With an aborted `signal` it does not
   * wait: records that are not acknowledged by then fail with CLOSED.
   */
  async close(options: FlushOptions = {}): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    try {
      await this.flush(options)
    } finally {
      this.#state = 'closed'
      this.#shutDown()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #shutDown(): void {
    const error = closedError()
    this.#closing.abort()
    this.#unsubscribe()
    for (const timer of [this.#lingerTimer, this.#expiryTimer])
      if (timer !== null) this.#env.timers.clear(timer)
    this.#sender.close()
    this.#pool.clear()
    for (const state of this.#topics.values()) {
      for (const record of state.pending.splice(0)) record.fail(error)
    }
    for (const batch of [...this.#batches])
      this.#settled(batch, { error, baseOffset: -1, logAppendTimeMs: null })
    for (const wake of this.#roomWaiters.splice(0)) wake()
    this.#cluster.closeLane(this.#lane)
    this.#onClose()
  }

  #checkOpen(): void {
    if (this.#state !== 'open' || this.#cluster.isClosed) throw closedError()
  }

  #acksOf(options: SendOptions<K, V>): WireAcks {
    if (options.acks === undefined) return this.#config.acks
    return wireAcks(options.acks, this.#config.idempotent)
  }

  // ------------------------------------------------------------------------------------ topics

  #topic(name: string): TopicState {
    let state = this.#topics.get(name)
    if (state === undefined) {
      state = new TopicState(name)
      const known = this.#cluster.metadata.topic(name)
      if (known !== undefined && known.partitions.length > 0) state.adopt(known)
      this.#topics.set(name, state)
    }
    return state
  }

  #refreshIfOld({ name, metadata }: TopicState): void {
    const ageMs = this.#env.clock.monotonicMs() - (metadata?.asOfMs ?? 0)
    if (ageMs > this.#cluster.config.metadataMaxAgeMs) this.#cluster.refreshSoon(name)
  }

  /**
   * Brings the metadata for the records that wait for it. Never rejects. There is one state of a topic at any time, for
   * two would number the batches of one partition alike, and the broker take one for a repetition of the other.
   */
  async #load(state: TopicState): Promise<void> {
    if (state.isLoading) return
    state.isLoading = true
    const { allowAutoTopicCreation } = this.#config
    while (state.pending.length > 0) {
      const asking = state.pending.length
      let failure: KafkaError | null = null
      try {
        const options = { signal: this.#closing.signal, allowAutoTopicCreation }
        state.adopt(await this.#cluster.topic(state.name, options))
      } catch (error) {
        failure = toKafkaError(error, 'CLOSED', `The metadata of topic ${state.name} could not be had`)
      }
      // It may have come another way. Where it has not, who came meanwhile has some time left.
      if (state.metadata !== null) failure = null
      const asked = state.pending.splice(0, failure === null ? Number.POSITIVE_INFINITY : asking)
      this.#placeless -= asked.length
      for (const record of asked) this.#decide(state, record, failure)
    }
    state.isLoading = false
    if (state.metadata === null) this.#topics.delete(state.name)
    if (this.#placeless === 0) for (const wake of this.#placedWaiters.splice(0)) wake()
  }

  #decide(state: TopicState, record: PendingRecord, failure: KafkaError | null): void {
    try {
      if (failure === null) record.place(state)
      else record.fail(failure)
    } catch (error) {
      // The partitioner refused it; nobody waits for this record but `flush`.
      this.#recordsFailed++
      this.#remember(toKafkaError(error, 'INVALID_OPTION', `No partition was found: ${String(error)}`), 1)
    }
  }

  #metadataChanged(): void {
    for (const state of this.#topics.values()) {
      const fresh = this.#cluster.metadata.topic(state.name)
      if (fresh !== undefined && fresh.partitions.length > 0) state.adopt(fresh)
      for (const queue of state.queues) if (queue?.hasUnsent) this.#sender.wake(queue)
    }
  }

  // ------------------------------------------------------------------------------------ batches

  /** Puts a record into the batch it belongs to, which is returned; the record is its last. */
  #place(
    state: TopicState,
    message: Message<K, V>,
    record: EncodedRecord,
    acks: WireAcks,
    enqueued: boolean,
  ): ProducerBatch {
    const queue = this.#queue(state, this.#choosePartition(state, message, record))
    let batch = queue.open
    if (batch !== null) {
      const full = batch.builder.byteLength + record.sizeBound > this.#config.batchBytes
      if (full || batch.acks !== acks) {
        queue.seal()
        this.#sender.wake(queue)
        batch = null
      }
    }
    batch ??= this.#openBatch(queue, record, acks, enqueued)
    batch.builder.append(
      message.timestamp ?? this.#env.clock.wallMs(),
      record.key,
      record.value,
      record.headers,
    )
    batch.recordCount++
    batch.heldBytes += record.sizeBound
    if (enqueued) batch.enqueuedCount++
    this.#hold(record)
    return batch
  }

  #choosePartition(state: TopicState, message: Message<K, V>, record: EncodedRecord): number {
    const partitionCount = state.metadata!.partitions.length
    let partition = message.partition
    if (partition === undefined) {
      const { key } = record
      partition = this.#partitioner.partition({
        topic: state.name,
        key: typeof key === 'string' ? Buffer.from(key) : key,
        message,
        partitionCount,
        availablePartitions: state.available,
      })
    }
    checkPartition(state, partition)
    return partition
  }

  #queue(state: TopicState, partition: number): PartitionQueue {
    let queue = state.queues[partition]
    if (queue === undefined) {
      queue = new PartitionQueue(state.name, partition, {
        idempotent: this.#config.idempotent,
        maxInFlight: this.#config.maxInFlightRequests,
        onSeal: sealed => {
          this.#lingering.delete(sealed)
          this.#partitioner.onNewBatch?.(sealed.topic, sealed.partition)
        },
      })
      state.queues[partition] = queue
    }
    return queue
  }

  #openBatch(queue: PartitionQueue, record: EncodedRecord, acks: WireAcks, enqueued: boolean): ProducerBatch {
    const { batchBytes, deliveryTimeoutMs, lingerMs } = this.#config
    const nowMs = this.#env.clock.monotonicMs()
    // As large as the last one: full batches are not copied while they grow, and quiet partitions cost little.
    const guess = Math.min(batchBytes, Math.max(MIN_BATCH_BYTES, queue.lastBatchBytes))
    const isBusy = queue.lastBatchBytes > batchBytes / 2
    const batch = new ProducerBatch({
      topic: queue.topic,
      partition: queue.partition,
      acks,
      createdMs: nowMs,
      deadlineMs: nowMs + deliveryTimeoutMs,
      initialBytes: Math.max(guess, record.sizeBound + MIN_BATCH_BYTES),
      buffer: isBusy ? this.#pool.take() : null,
    })
    queue.open = batch
    this.#batches.add(batch)
    if (this.#expiryTimer === null) this.#watchExpiry(deliveryTimeoutMs)
    if (!enqueued) return batch
    if (lingerMs === 0) {
      this.#makeDue(queue)
    } else {
      this.#lingering.set(queue, nowMs + lingerMs)
      if (this.#lingerTimer === null) this.#watchLinger(lingerMs)
    }
    return batch
  }

  #makeDue(queue: PartitionQueue): void {
    if (queue.open !== null) queue.openIsDue = true
    this.#lingering.delete(queue)
    this.#sender.wake(queue)
  }

  #watchLinger(delayMs: number): void {
    this.#lingerTimer = this.#env.timers.set(delayMs, () => {
      this.#lingerTimer = null
      const nowMs = this.#env.clock.monotonicMs()
      // In the order in which they were opened, which is the order in which they are due.
      for (const [queue, dueMs] of this.#lingering) {
        if (dueMs > nowMs) {
          this.#watchLinger(Math.ceil(dueMs - nowMs))
          return
        }
        this.#makeDue(queue)
      }
    })
  }

  // ------------------------------------------------------------------------------------ outcomes

  #watchExpiry(delayMs: number): void {
    this.#expiryTimer = this.#env.timers.setBackground(delayMs, () => {
      this.#expiryTimer = null
      const nowMs = this.#env.clock.monotonicMs()
      for (const state of this.#topics.values()) {
        for (const queue of state.queues) {
          for (const batch of queue?.expire(nowMs) ?? []) {
            const error = deliveryTimeout(batch, queue!.blockedBy, nowMs)
            this.#settled(batch, { error, baseOffset: -1, logAppendTimeMs: null })
          }
        }
      }
      let earliestMs = Number.POSITIVE_INFINITY
      for (const batch of this.#batches) earliestMs = Math.min(earliestMs, batch.deadlineMs)
      if (earliestMs < Number.POSITIVE_INFINITY) this.#watchExpiry(Math.max(1, Math.ceil(earliestMs - nowMs)))
    })
  }

  #settled(batch: ProducerBatch, outcome: BatchOutcome): void {
    const { topic, partition, recordCount, attempts } = batch
    const { error, baseOffset } = outcome
    const byteLength = batch.state === 'open' ? 0 : batch.byteLength
    this.#batches.delete(batch)
    this.#heldBytes -= batch.heldBytes
    this.#heldRecords -= recordCount
    const reusable = error === null ? batch.reusableBytes() : null
    batch.settle(outcome)
    if (reusable !== null && this.#state === 'open') this.#pool.give(reusable)
    if (error === null) {
      this.#recordsDelivered += recordCount
      this.#batchesDelivered++
      this.#bytesDelivered += byteLength
    } else {
      this.#recordsFailed += recordCount
      this.#cluster.config.logger.error('records were not delivered', {
        topic,
        partition,
        records: recordCount,
        error,
      })
      if (batch.enqueuedCount > 0) this.#remember(error, batch.enqueuedCount)
    }
    if (batchSettled.hasSubscribers) {
      batchSettled.publish({
        topic,
        partition,
        count: recordCount,
        bytes: byteLength,
        attempts,
        baseOffset,
        error,
      })
    }
    this.#report({ topic, partition, count: recordCount, baseOffset, error })
    if (this.#heldBytes <= this.#config.bufferBytes * LOW_WATER) {
      for (const wake of this.#roomWaiters.splice(0)) wake()
    }
  }

  #report(report: DeliveryReport): void {
    try {
      this.#onDelivery?.(report)
    } catch (error) {
      this.#cluster.config.logger.error('onDelivery threw', { error })
    }
  }

  #remember(error: KafkaError, records: number): void {
    if (this.#unreported === null) this.#unreported = { error, records }
    else this.#unreported.records += records
  }

  #hold(record: EncodedRecord): void {
    this.#heldBytes += record.sizeBound
    this.#heldRecords++
  }

  #release(record: EncodedRecord): void {
    this.#heldBytes -= record.sizeBound
    this.#heldRecords--
  }

  /**
   * Resolves when the buffer has room again. What it holds leaves at once: waiting for more would be waiting in vain.
   */
  #room(): Promise<void> {
    for (const queue of [...this.#lingering.keys()]) this.#makeDue(queue)
    return new Promise(resolve => this.#roomWaiters.push(resolve))
  }
}
