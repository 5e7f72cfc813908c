/**
 * Brings sealed batches to the brokers that lead their partitions: gathers the partitions of a broker into one
 * Produce request, keeps a bounded number of requests under way, and carries answers back to the partition queues.
 * Order and sequence numbers are the queues' business; which record is in which batch the producer's.
 */
import { type Cluster, type Lane } from '../cluster.ts'
import { type Connection } from '../connection.ts'
import { type ClientEnv } from '../env.ts'
import { KafkaError, protocolError, toKafkaError } from '../errors.ts'
import { API } from '../protocol/apis.ts'
import { type CodecName } from '../protocol/compression.ts'
import { ErrorCode } from '../protocol/errors.ts'
import { type ProduceRequest, type ProduceResponse } from '../protocol/messages/produce.ts'
import { type Input } from '../protocol/schema.ts'
import { type TopicId, ZERO_TOPIC_ID } from '../protocol/types.ts'
import { backoffMs } from '../retry.ts'
import { type BatchOutcome, type ProducerBatch, type WireAcks } from './batch.ts'
import { inDoubt } from './failures.ts'
import { type IdentitySource } from './identity.ts'
import { type PartitionQueue } from './partition-queue.ts'

export interface SenderOptions {
  readonly cluster: Cluster
  readonly env: ClientEnv
  readonly lane: Lane
  /** Null where the producer is not idempotent. */
  readonly identities: IdentitySource | null
  readonly codec: CodecName
  readonly maxRequestBytes: number
  readonly maxInFlight: number
  readonly requestTimeoutMs: number
  readonly onSettled: (batch: ProducerBatch, outcome: BatchOutcome) => void
}

/** What is known of one broker that leads partitions of ours. */
interface BrokerLine {
  readonly brokerId: number
  connection: Connection | null
  connecting: boolean
  inFlight: number
  readonly ready: Set<PartitionQueue>
}

interface Cargo {
  readonly queue: PartitionQueue
  readonly batch: ProducerBatch
}

const NO_ANSWER: BatchOutcome = { error: null, baseOffset: -1, logAppendTimeMs: null }
/** First version of Produce that names topics by id; the one before carries names. */
const TOPIC_ID_VERSION = 13
/** A broker answers a little later than the time it was given. */
const TIMEOUT_GRACE = 1.1

export class Sender {
  readonly #options: SenderOptions
  readonly #lines = new Map<number, BrokerLine>()
  #dirty = new Set<PartitionQueue>()
  #drainPlanned = false
  /** Queues that wait for a producer id. */
  readonly #anonymous = new Set<PartitionQueue>()
  readonly #sleeping = new Set<PartitionQueue>()
  #closed = false
  requests = 0
  retries = 0

  constructor(options: SenderOptions) {
    this.#options = options
  }

  get inFlightRequests(): number {
    let sum = 0
    for (const line of this.#lines.values()) sum += line.inFlight
    return sum
  }

  /** The queue may have something to send. Acted on at the end of the turn, with all others. */
  wake(queue: PartitionQueue): void {
    this.#dirty.add(queue)
    if (this.#drainPlanned) return
    this.#drainPlanned = true
    this.#options.env.timers.endOfTurn(() => {
      this.#drainPlanned = false
      this.#drain()
    })
  }

  close(): void {
    this.#closed = true
    this.#dirty.clear()
    this.#lines.clear()
  }

  #drain(): void {
    if (this.#closed) return
    const dirty = this.#dirty
    this.#dirty = new Set()
    const touched = new Set<BrokerLine>()
    const nowMs = this.#options.env.clock.monotonicMs()
    for (const queue of dirty) {
      if (!queue.hasUnsent) continue
      if (queue.notBeforeMs > nowMs) {
        this.#wakeAfter(queue, queue.notBeforeMs - nowMs)
        continue
      }
      const leader = this.#options.cluster.metadata.leaderOf(queue.topic, queue.partition)
      if (leader === null) {
        this.#waitForLeader(queue)
        continue
      }
      const line = this.#line(leader)
      line.ready.add(queue)
      touched.add(line)
    }
    for (const line of touched) this.#pump(line)
  }

  #line(brokerId: number): BrokerLine {
    let line = this.#lines.get(brokerId)
    if (line === undefined) {
      line = { brokerId, connection: null, connecting: false, inFlight: 0, ready: new Set() }
      this.#lines.set(brokerId, line)
    }
    return line
  }

  #waitForLeader(queue: PartitionQueue): void {
    const { cluster, env } = this.#options
    cluster.refreshSoon(queue.topic)
    queue.blockedBy ??= new KafkaError({
      code: 'LEADER_NOT_AVAILABLE',
      message: `${queue.topic}-${queue.partition} has no leader now; waiting for one to be elected.`,
      retriable: true,
      topic: queue.topic,
      partition: queue.partition,
    })
    this.#wakeAfter(queue, backoffMs(3, cluster.config.retry, env.random.float))
  }

  /** Timers may be a little early: who is woken looks at the clock again. */
  #wakeAfter(queue: PartitionQueue, delayMs: number): void {
    if (this.#sleeping.has(queue)) return
    this.#sleeping.add(queue)
    this.#options.env.timers.set(Math.ceil(delayMs), () => {
      this.#sleeping.delete(queue)
      if (!this.#closed) this.wake(queue)
    })
  }

  /** Sends what may be sent to one broker. */
  #pump(line: BrokerLine): void {
    if (this.#closed || line.ready.size === 0) return
    const { connection } = line
    if (connection === null || !connection.isOpen) {
      void this.#connect(line)
      return
    }
    let sent = false
    while (line.inFlight < this.#options.maxInFlight) {
      const cargo = this.#load(line)
      if (cargo.length === 0) break
      this.#ship(line, connection, cargo)
      sent = true
    }
    if (sent) connection.flush()
  }

  async #connect(line: BrokerLine): Promise<void> {
    if (line.connecting) return
    line.connecting = true
    const { cluster, env, lane } = this.#options
    try {
      line.connection = await cluster.connection(line.brokerId, lane)
    } catch (error) {
      const failure = toKafkaError(error, 'CONNECTION_FAILED', 'the connection could not be opened')
      const pauseMs = backoffMs(2, cluster.config.retry, env.random.float)
      for (const queue of line.ready) {
        queue.blockedBy = failure
        cluster.refreshSoon(queue.topic)
        this.#wakeAfter(queue, pauseMs)
      }
      line.ready.clear()
      return
    } finally {
      line.connecting = false
    }
    this.#pump(line)
  }

  /** One batch of each partition that is ready, of one kind of acks, up to the size of a request. */
  #load(line: BrokerLine): Cargo[] {
    const { cluster, env, identities, codec, maxRequestBytes } = this.#options
    const nowMs = env.clock.monotonicMs()
    const cargo: Cargo[] = []
    let bytes = 0
    for (const queue of [...line.ready]) {
      if (cluster.metadata.leaderOf(queue.topic, queue.partition) !== line.brokerId) {
        line.ready.delete(queue)
        this.wake(queue)
        continue
      }
      const identity = identities?.current ?? null
      if (queue.needsIdentity(identity)) {
        line.ready.delete(queue)
        this.#waitForIdentity(queue)
        continue
      }
      const batch = queue.next(nowMs, line.brokerId, identity)
      if (batch === null) {
        line.ready.delete(queue)
        continue
      }
      const first = cargo[0]
      if (
        first !== undefined &&
        (first.batch.acks !== batch.acks || bytes + batch.byteLength > maxRequestBytes)
      ) {
        break
      }
      queue.sent(batch, line.brokerId)
      bytes += batch.encode(codec).length
      cargo.push({ queue, batch })
      // To the end of the line: the next request begins with others.
      line.ready.delete(queue)
      if (queue.hasUnsent) line.ready.add(queue)
    }
    return cargo
  }

  #waitForIdentity(queue: PartitionQueue): void {
    this.#anonymous.add(queue)
    if (this.#anonymous.size > 1) return
    this.#options.identities?.renew().then(
      () => {
        for (const each of this.#anonymous) this.wake(each)
        this.#anonymous.clear()
      },
      (error: unknown) => {
        const failure = toKafkaError(error, 'CONNECTION_FAILED', 'no producer id could be had')
        for (const each of this.#anonymous) {
          each.blockedBy = failure
          // What may pass is tried again until the records run out of time; what will not fails them now.
          if (failure.retriable) this.#wakeAfter(each, this.#options.cluster.config.retry.maxBackoffMs)
          else this.#failAll(each, failure)
        }
        this.#anonymous.clear()
      },
    )
  }

  #failAll(queue: PartitionQueue, error: KafkaError): void {
    for (const batch of queue.clear()) this.#settle(batch, { error, baseOffset: -1, logAppendTimeMs: null })
  }

  #ship(line: BrokerLine, connection: Connection, cargo: readonly Cargo[]): void {
    const { cluster, codec, requestTimeoutMs } = this.#options
    const acks = cargo[0]!.batch.acks
    let byName = false
    const topics = new Map<
      string,
      { name: string; topicId: TopicId; partitionData: { index: number; records: Buffer }[] }
    >()
    for (const { queue, batch } of cargo) {
      let topic = topics.get(queue.topic)
      if (topic === undefined) {
        const topicId = cluster.metadata.topic(queue.topic)?.id ?? null
        if (topicId === null) byName = true
        topic = { name: queue.topic, topicId: topicId ?? ZERO_TOPIC_ID, partitionData: [] }
        topics.set(queue.topic, topic)
      }
      topic.partitionData.push({ index: queue.partition, records: batch.encode(codec) })
    }
    const request: Input<typeof ProduceRequest> = {
      acks,
      timeoutMs: requestTimeoutMs,
      topicData: [...topics.values()],
    }
    line.inFlight++
    this.requests++
    connection.send(
      API.Produce,
      request,
      {
        ...(byName ? { maxVersion: TOPIC_ID_VERSION - 1 } : {}),
        timeoutMs: requestTimeoutMs * TIMEOUT_GRACE,
        expectsAnswer: acks !== 0,
      },
      (error, response) => {
        line.inFlight--
        this.#answered(line, connection, cargo, acks, error, response)
        this.#pump(line)
      },
    )
  }

  #answered(
    line: BrokerLine,
    connection: Connection,
    cargo: readonly Cargo[],
    acks: WireAcks,
    error: KafkaError | null,
    response: ProduceResponse | null,
  ): void {
    if (error !== null) {
      if (!connection.isOpen && line.connection === connection) line.connection = null
      for (const each of cargo) this.#conclude(each, null, error, NO_ANSWER)
      return
    }
    if (acks === 0 || response === null) {
      for (const each of cargo) this.#conclude(each, ErrorCode.NONE, null, NO_ANSWER)
      return
    }
    const { metadata } = this.#options.cluster
    for (const { nodeId, host, port, rack } of response.nodeEndpoints) {
      metadata.learnBroker({ id: nodeId, host, port, rack })
    }
    const answers = new Map<string, ProduceResponse['responses'][number]['partitionResponses'][number]>()
    for (const topic of response.responses) {
      const name = topic.name !== '' ? topic.name : metadata.nameOf(topic.topicId)
      for (const partition of topic.partitionResponses) answers.set(`${partition.index}/${name}`, partition)
    }
    for (const each of cargo) {
      const { queue } = each
      const answer = answers.get(`${queue.partition}/${queue.topic}`)
      if (answer === undefined) {
        this.#conclude(each, null, missingAnswer(queue, connection.label), NO_ANSWER)
        continue
      }
      const { errorCode, currentLeader } = answer
      if (errorCode !== ErrorCode.NONE) {
        metadata.learnLeader(queue.topic, queue.partition, currentLeader.leaderId, currentLeader.leaderEpoch)
      }
      this.#conclude(
        each,
        errorCode,
        errorCode === ErrorCode.NONE ? null : answerError(queue, connection, answer),
        {
          error: null,
          baseOffset: answer.baseOffset,
          logAppendTimeMs: answer.logAppendTimeMs < 0 ? null : answer.logAppendTimeMs,
        },
      )
    }
  }

  /** `code` is null where there was no answer. */
  #conclude(cargo: Cargo, code: number | null, error: KafkaError | null, success: BatchOutcome): void {
    const { queue, batch } = cargo
    if (error !== null) {
      batch.lastError = error
      queue.blockedBy = error
    }
    const verdict = queue.answered(batch, code)
    switch (verdict) {
      case 'delivered':
        queue.blockedBy = null
        this.#settle(batch, success)
        break
      case 'failed':
        this.#settle(batch, { error, baseOffset: -1, logAppendTimeMs: null })
        break
      case 'doubtful':
        this.#settle(batch, { error: inDoubt(batch, error), baseOffset: -1, logAppendTimeMs: null })
        break
      case 'retry':
        this.retries++
        this.#pauseAfter(queue, code)
        break
      case 'ignored':
        break
      default:
        verdict satisfies never
    }
    if (queue.hasUnsent) this.wake(queue)
  }

  #pauseAfter(queue: PartitionQueue, code: number | null): void {
    const { cluster, env } = this.#options
    // Out of order is the echo of another failure, or closed by a new epoch: nothing to wait for.
    if (code === ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER) return
    if (code === null || STALE_METADATA_CODES.has(code)) cluster.refreshSoon(queue.topic)
    const pauseMs = backoffMs(queue.failures, cluster.config.retry, env.random.float)
    queue.notBeforeMs = Math.max(queue.notBeforeMs, env.clock.monotonicMs() + pauseMs)
  }

  #settle(batch: ProducerBatch, outcome: BatchOutcome): void {
    this.#options.onSettled(batch, outcome)
  }
}

/** Codes that mean: somebody else leads, or the topic is another one. */
const STALE_METADATA_CODES: ReadonlySet<number> = new Set([
  ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
  ErrorCode.LEADER_NOT_AVAILABLE,
  ErrorCode.NOT_LEADER_OR_FOLLOWER,
  ErrorCode.REPLICA_NOT_AVAILABLE,
  ErrorCode.KAFKA_STORAGE_ERROR,
  ErrorCode.FENCED_LEADER_EPOCH,
  ErrorCode.UNKNOWN_LEADER_EPOCH,
  ErrorCode.UNKNOWN_TOPIC_ID,
  ErrorCode.INCONSISTENT_TOPIC_ID,
])

function answerError(
  queue: PartitionQueue,
  connection: Connection,
  answer: { readonly errorCode: number; readonly errorMessage: string | null },
): KafkaError {
  return protocolError(answer.errorCode, {
    api: 'Produce',
    broker: connection.label,
    topic: queue.topic,
    partition: queue.partition,
    detail: answer.errorMessage,
  })
}

function missingAnswer(queue: PartitionQueue, broker: string): KafkaError {
  return new KafkaError({
    code: 'MALFORMED_RESPONSE',
    message: `Broker ${broker} left ${queue.topic}-${queue.partition} out of its answer to Produce; sending it again.`,
    retriable: true,
    api: 'Produce',
    broker,
    topic: queue.topic,
    partition: queue.partition,
  })
}
