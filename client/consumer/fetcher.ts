/**
 * Keeps the buffers of the assigned partitions filled: one fetch under way per broker, within the bound of memory. It
 * runs while somebody reads and stands still otherwise. What comes in lies in the partitions; who takes it calls
 * `taken`.
 */
import { type Cluster, type Lane } from '../cluster.ts'
import { type ClientTimer } from '../env.ts'
import { KafkaError, toKafkaError } from '../errors.ts'
import { leaderEpochOf } from '../offsets.ts'
import { BrokerFetcher } from './broker-fetcher.ts'
import { type ConsumerConfig } from './options.ts'
import { type ConsumerPartition } from './partition.ts'
import { compareWithLeaders, lookUpPositions, needsComparison, type PositionOptions } from './positions.ts'

export interface FetcherOptions {
  readonly cluster: Cluster
  readonly lane: Lane
  readonly config: ConsumerConfig
  /** The partitions assigned at the moment, in a stable order. */
  readonly partitions: () => readonly ConsumerPartition[]
  /** There is something to take that was not there before. */
  readonly onData: () => void
  /** Reading cannot go on. */
  readonly onFatal: (error: KafkaError) => void
  /** Something failed and is tried again. */
  readonly onRetry: (error: KafkaError) => void
  /** Places partitions where their group has committed; null without a group. */
  readonly committed: PositionOptions['committed'] | null
}

const RETRY_PAUSE_MS = 100

export class Fetcher {
  readonly options: FetcherOptions
  readonly #brokers = new Map<number, BrokerFetcher>()
  readonly #unsubscribe: () => void
  #running: AbortController | null = null
  #preparing = false
  #timer: ClientTimer | null = null
  #timerAtMs = 0
  /** Bytes that may yet come in by fetches under way. */
  reservedBytes = 0
  /** Brokers that partitions are fetched from. */
  brokersInUse = 1
  /** Somebody found no room: he is to be woken when there is some. */
  isShortOfRoom = false
  bytesFetched = 0
  fetches = 0
  errors = 0
  /** On the monotonic clock. */
  lastAnswerMs = 0

  constructor(options: FetcherOptions) {
    this.options = options
    this.#unsubscribe = options.cluster.onUpdate(() => this.wake())
  }

  get isRunning(): boolean {
    return this.#running !== null
  }

  get bufferedBytes(): number {
    let sum = 0
    for (const partition of this.options.partitions()) sum += partition.bufferedBytes
    return sum
  }

  start(): void {
    if (this.#running !== null) return
    this.#running = new AbortController()
    this.lastAnswerMs = this.options.cluster.env.clock.monotonicMs()
    this.wake()
  }

  /** Sends no more fetches. The answers of those under way are kept for the next reader. */
  stop(): void {
    this.#running?.abort()
    this.#running = null
    if (this.#timer !== null) this.options.cluster.env.timers.clear(this.#timer)
    this.#timer = null
  }

  close(): void {
    this.stop()
    this.#unsubscribe()
    for (const broker of this.#brokers.values()) broker.sayGoodbye()
    this.#brokers.clear()
  }

  /** Something changed: buffers were emptied, partitions added or resumed, leaders moved. */
  wake(): void {
    if (this.#running === null) return
    void this.#prepare(this.#running.signal)
    const nowMs = this.options.cluster.env.clock.monotonicMs()
    const targets = new Set<number>()
    for (const partition of this.options.partitions()) {
      const broker = this.targetOf(partition, nowMs)
      if (broker !== null) targets.add(broker)
      else if (!partition.isHeldBack && partition.lookUp === null) this.#findLeader(partition)
    }
    this.brokersInUse = Math.max(1, targets.size)
    for (const id of targets) {
      let broker = this.#brokers.get(id)
      if (broker === undefined) {
        broker = new BrokerFetcher(this, id)
        this.#brokers.set(id, broker)
      }
      broker.wake()
    }
  }

  /** A fetch is over: the room that it had reserved is free, or taken by what it brought. */
  giveBack(bytes: number): void {
    this.reservedBytes -= bytes
    if (!this.isShortOfRoom) return
    this.isShortOfRoom = false
    this.wake()
  }

  /** What these partitions want has changed: fetches that wait without them, or for the wrong place, are given up. */
  interrupt(partitions: readonly ConsumerPartition[]): void {
    const nowMs = this.options.cluster.env.clock.monotonicMs()
    const targets = partitions
      .filter(partition => partition.lookUp === null && partition.bufferedBytes === 0)
      .map(partition => partition.fetchingAt ?? this.targetOf(partition, nowMs))
    for (const id of new Set(targets)) if (id !== null) this.#brokers.get(id)?.interrupt()
    this.wake()
  }

  /** Wakes up again after a pause; the soonest of several counts, the others are found again by whoever is woken. */
  wakeAfter(delayMs: number): void {
    if (this.#running === null) return
    const { clock, timers } = this.options.cluster.env
    const atMs = clock.monotonicMs() + delayMs
    if (this.#timer !== null && this.#timerAtMs <= atMs) return
    if (this.#timer !== null) timers.clear(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = timers.set(Math.max(1, Math.ceil(delayMs)), () => {
      this.#timer = null
      this.wake()
    })
  }

  #findLeader(partition: ConsumerPartition): void {
    this.options.cluster.refreshSoon(partition.topic)
    this.wakeAfter(RETRY_PAUSE_MS)
  }

  /** The broker to fetch a partition from, or null where none is known. */
  targetOf(partition: ConsumerPartition, nowMs: number): number | null {
    const { metadata } = this.options.cluster
    const { preferredReplica } = partition
    if (preferredReplica !== null) {
      if (nowMs < preferredReplica.untilMs && metadata.brokers.has(preferredReplica.broker)) {
        return preferredReplica.broker
      }
      partition.preferredReplica = null
    }
    return metadata.leaderOf(partition.topic, partition.partition)
  }

  isComparable(partition: ConsumerPartition): boolean {
    return needsComparison(partition, leaderEpochOf(this.options.cluster, partition))
  }

  /** Positions that have to be looked up, and logs that have to be compared with what was read. */
  async #prepare(signal: AbortSignal): Promise<void> {
    if (this.#preparing) return
    const partitions = this.options.partitions()
    const unplaced = partitions.filter(partition => partition.lookUp !== null)
    const unsure = partitions.filter(partition => partition.lookUp === null && this.isComparable(partition))
    if (unplaced.length === 0 && unsure.length === 0) return
    this.#preparing = true
    const { cluster, config, onFatal, onRetry } = this.options
    try {
      const committed = this.options.committed ?? undefined
      const options = { cluster, isolation: config.isolation, signal, committed }
      await lookUpPositions(unplaced, options)
      for (const { partition, endOffset } of await compareWithLeaders(unsure, options)) {
        this.#truncated(partition, endOffset)
      }
    } catch (error) {
      if (signal.aborted) return
      const failure = toKafkaError(error, 'CONNECTION_FAILED', 'positions could not be looked up')
      if (!failure.retriable) {
        onFatal(failure)
        return
      }
      onRetry(failure)
      this.wakeAfter(RETRY_PAUSE_MS)
      return
    } finally {
      this.#preparing = false
    }
    this.wake()
  }

  /**
   * The cluster lost records that were handed out (unclean election): what follows in the log is not what followed.
   */
  #truncated(partition: ConsumerPartition, endOffset: number): void {
    const { onOffsetOutOfRange } = this.options.config
    const { topic, partition: index, position } = partition
    const error = new KafkaError({
      code: 'LOG_TRUNCATION',
      message:
        `The log of ${topic}-${index} was cut back to offset ${endOffset}, but records up to ${position} were read: the ` +
        `cluster lost them. Undo what came of them and seek to ${endOffset}, or set onOffsetOutOfRange to go on by itself.`,
      topic,
      partition: index,
    })
    if (onOffsetOutOfRange === 'error') {
      this.options.onFatal(error)
      return
    }
    this.options.onRetry(error)
    partition.agreedEpoch = leaderEpochOf(this.options.cluster, partition)
    partition.moveTo(endOffset)
  }

  fail(error: unknown): void {
    this.options.onFatal(toKafkaError(error, 'MALFORMED_RESPONSE', `fetching failed: ${String(error)}`))
  }
}
