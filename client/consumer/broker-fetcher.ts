/**
 * Fetches from one broker, one request at a time, over a session of its own.
 */
import { type Connection } from '../connection.ts'
import { fetchDone } from '../diagnostics.ts'
import { KafkaError, protocolError, toKafkaError } from '../errors.ts'
import { ISOLATION_LEVEL, leaderEpochOf } from '../offsets.ts'
import { API } from '../protocol/apis.ts'
import { describeBatchProblem } from '../protocol/batch.ts'
import { ErrorCode, isRetriable } from '../protocol/errors.ts'
import { type FetchResponse } from '../protocol/messages/fetch.ts'
import { backoffMs } from '../retry.ts'
import { FetchSession } from './fetch-session.ts'
import { type Fetcher } from './fetcher.ts'
import { type ConsumerPartition } from './partition.ts'

type FetchedPartition = FetchResponse['responses'][number]['partitions'][number]

interface Asked {
  readonly partition: ConsumerPartition
  readonly generation: number
  readonly offset: number
}

/** First version of Fetch that names topics by id. */
const TOPIC_ID_VERSION = 13
/**
 * How long a broker may hold a fetch while other partitions of it wait for room: they may have it any moment, and
 * join with the next request only.
 */
const CROWDED_WAIT_MS = 20
/** How long a preferred replica is read from before the leader is asked again. */
const PREFERRED_REPLICA_MS = 300_000
const LARGEST_PARTITION_BYTES = 1 << 30

export class BrokerFetcher {
  readonly #fetcher: Fetcher
  readonly #brokerId: number
  readonly #session = new FetchSession()
  #connection: Connection | null = null
  #busy = false
  /** Woken while busy: what was looked at may have been too early. */
  #again = false
  #isAsking = false
  #interrupted = false
  #turn = 0
  #failures = 0
  #notBeforeMs = 0

  constructor(fetcher: Fetcher, brokerId: number) {
    this.#fetcher = fetcher
    this.#brokerId = brokerId
  }

  wake(): void {
    if (!this.#fetcher.isRunning) return
    if (this.#busy) {
      this.#again = true
      return
    }
    this.#busy = true
    void this.#loop().finally(() => {
      this.#busy = false
      if (!this.#again) return
      this.#again = false
      this.wake()
    })
  }

  /**
   * Gives up the fetch under way, which may be waiting at the broker for records that nobody wants any more, so that
   * the next can go at once. The connection goes with it: answers come in order, and this one would come first.
   */
  interrupt(): void {
    if (!this.#isAsking) return
    this.#interrupted = true
    this.#connection?.close()
  }

  /** Fetches as long as there is something to fetch and room for it. */
  async #loop(): Promise<void> {
    const { env } = this.#fetcher.options.cluster
    let fetched: readonly Asked[] = []
    while (this.#fetcher.isRunning) {
      const nowMs = env.clock.monotonicMs()
      // Sent to a closer replica, or back to the leader: whoever is to fetch them now does not know of it.
      const haveMoved = fetched.some(
        ({ partition }) => this.#fetcher.targetOf(partition, nowMs) !== this.#brokerId,
      )
      fetched = []
      if (haveMoved) this.#fetcher.wake()
      if (nowMs < this.#notBeforeMs) {
        this.#fetcher.wakeAfter(this.#notBeforeMs - nowMs)
        return
      }
      const { wanted, crowded } = this.#select(nowMs)
      const room = this.#room()
      if (wanted.length === 0) return
      if (room === 0) {
        this.#fetcher.isShortOfRoom = true
        return
      }
      for (const { partition } of wanted) partition.fetchingAt = this.#brokerId
      this.#fetcher.reservedBytes += room
      try {
        await this.#fetch(wanted, room, crowded)
      } catch (error) {
        this.#failed(wanted, error)
      } finally {
        for (const { partition } of wanted) partition.fetchingAt = null
        this.#fetcher.giveBack(room)
      }
      fetched = wanted
    }
  }

  /** Bytes to ask for, 0 where there is no room. No broker takes the room that the others need. */
  #room(): number {
    const { maxBytes, fetchMaxBytes } = this.#fetcher.options.config
    const most = Math.max(1, Math.min(fetchMaxBytes, Math.floor(maxBytes / this.#fetcher.brokersInUse)))
    const buffered = this.#fetcher.bufferedBytes
    const free = maxBytes - buffered - this.#fetcher.reservedBytes
    if (buffered === 0 && this.#fetcher.reservedBytes === 0) return most
    // Small gaps would make small fetches.
    return free < most / 4 ? 0 : Math.min(free, most)
  }

  #select(nowMs: number): { wanted: Asked[]; crowded: boolean } {
    const { config, partitions } = this.#fetcher.options
    const all = partitions()
    const share = Math.max(1, Math.floor(config.maxBytes / all.length / 2))
    const wanted: Asked[] = []
    let crowded = false
    const begin = this.#turn++
    for (let index = 0; index < all.length; index++) {
      const partition = all[(begin + index) % all.length]!
      if (partition.isHeldBack || partition.lookUp !== null || partition.fetchingAt !== null) continue
      if (this.#fetcher.targetOf(partition, nowMs) !== this.#brokerId) continue
      if (this.#fetcher.isComparable(partition)) continue
      if (partition.notBeforeMs > nowMs) {
        this.#fetcher.wakeAfter(partition.notBeforeMs - nowMs)
        continue
      }
      const isFull = partition.bufferedBytes >= share || (partition.drainFirst && partition.bufferedBytes > 0)
      if (isFull) crowded = true
      else wanted.push({ partition, generation: partition.generation, offset: partition.fetchOffset })
    }
    return { wanted, crowded }
  }

  async #fetch(wanted: readonly Asked[], room: number, crowded: boolean): Promise<void> {
    const { cluster, config, lane } = this.#fetcher.options
    const startMs = cluster.env.clock.monotonicMs()
    const connection = await cluster.connection(this.#brokerId, lane)
    // Sessions outlive connections, but what the broker took in of the last request is not known.
    if (connection !== this.#connection) this.#session.failed(null)
    this.#connection = connection
    let named = false
    const request = this.#session.request(
      wanted.map(({ partition, offset }) => {
        const { topic, partition: index, maxBytes } = partition
        partition.topicId = cluster.metadata.topic(topic)?.id ?? null
        if (partition.topicId === null) named = true
        const currentLeaderEpoch = leaderEpochOf(cluster, partition)
        if (partition.fetchedEpoch < 0) partition.agreedEpoch = currentLeaderEpoch
        const { topicId } = partition
        return {
          topic,
          topicId,
          partition: index,
          fetchOffset: offset,
          currentLeaderEpoch,
          partitionMaxBytes: maxBytes,
        }
      }),
    )
    const maxWaitMs = crowded ? Math.min(CROWDED_WAIT_MS, config.fetchMaxWaitMs) : config.fetchMaxWaitMs
    this.#isAsking = true
    const response = await connection
      .request(
        API.Fetch,
        {
          maxWaitMs,
          minBytes: crowded ? Math.min(1, config.fetchMinBytes) : config.fetchMinBytes,
          maxBytes: room,
          isolationLevel: ISOLATION_LEVEL[config.isolation],
          ...request,
          rackId: config.rack,
        },
        {
          timeoutMs: cluster.config.requestTimeoutMs + maxWaitMs,
          ...(named ? { maxVersion: TOPIC_ID_VERSION - 1 } : {}),
        },
      )
      .finally(() => {
        this.#isAsking = false
      })
    this.#fetcher.fetches++
    this.#fetcher.lastAnswerMs = cluster.env.clock.monotonicMs()
    if (response.errorCode !== ErrorCode.NONE) {
      this.#session.failed(response.errorCode)
      throw protocolError(response.errorCode, { api: 'Fetch', broker: connection.label })
    }
    this.#interrupted = false
    this.#session.accepted(response.sessionId)
    this.#failures = 0
    this.#take(connection, wanted, response, startMs)
  }

  #take(connection: Connection, wanted: readonly Asked[], response: FetchResponse, startMs: number): void {
    const { cluster, onData } = this.#fetcher.options
    for (const { nodeId, host, port, rack } of response.nodeEndpoints) {
      cluster.metadata.learnBroker({ id: nodeId, host, port, rack })
    }
    const asked = new Map(wanted.map(each => [`${each.partition.partition}/${each.partition.topic}`, each]))
    let bytes = 0
    for (const topic of response.responses) {
      const name = topic.topic !== '' ? topic.topic : cluster.metadata.nameOf(topic.topicId)
      for (const fetched of topic.partitions) {
        const each = asked.get(`${fetched.partitionIndex}/${name}`)
        // Sought elsewhere, or unassigned, since it was asked for.
        if (each === undefined || each.generation !== each.partition.generation) continue
        bytes += fetched.records?.length ?? 0
        this.#takePartition(connection, each, fetched)
      }
    }
    this.#fetcher.bytesFetched += bytes
    if (bytes > 0) onData()
    if (fetchDone.hasSubscribers) {
      const durationMs = cluster.env.clock.monotonicMs() - startMs
      fetchDone.publish({ broker: connection.label, partitions: wanted.length, bytes, durationMs })
    }
  }

  #takePartition(connection: Connection, { partition, offset }: Asked, fetched: FetchedPartition): void {
    const { cluster, config } = this.#fetcher.options
    if (fetched.errorCode !== ErrorCode.NONE) {
      this.#partitionFailed(connection, partition, offset, fetched)
      return
    }
    partition.highWatermark = fetched.highWatermark
    partition.lastStableOffset = fetched.lastStableOffset
    partition.logStartOffset = fetched.logStartOffset
    partition.failures = 0
    partition.drainFirst = false
    if (fetched.preferredReadReplica >= 0) {
      const untilMs = cluster.env.clock.monotonicMs() + PREFERRED_REPLICA_MS
      partition.preferredReplica = { broker: fetched.preferredReadReplica, untilMs }
    }
    const { records } = fetched
    if (records === null || records.length === 0) return
    const aborted = config.isolation === 'read_committed' ? (fetched.abortedTransactions ?? []) : null
    const problem = partition.add(records, aborted)
    if (partition.fetchOffset !== offset || problem === null) return
    if (problem === 'INCOMPLETE' && partition.maxBytes < LARGEST_PARTITION_BYTES) {
      // Not one whole batch (brokers before KIP-74): ask for more.
      partition.maxBytes *= 2
      return
    }
    this.#fetcher.fail(
      new KafkaError({
        code: 'CORRUPT_BATCH',
        message:
          `What broker ${connection.label} sent for ${partition.topic}-${partition.partition} at offset ${offset} cannot be ` +
          `read: ${describeBatchProblem(problem)}. Seek past it to go on.`,
        topic: partition.topic,
        partition: partition.partition,
      }),
    )
  }

  #partitionFailed(
    connection: Connection,
    partition: ConsumerPartition,
    offset: number,
    fetched: FetchedPartition,
  ): void {
    const { cluster, onRetry, onFatal } = this.#fetcher.options
    const { errorCode, currentLeader } = fetched
    const { topic, partition: index } = partition
    const error = protocolError(errorCode, {
      api: 'Fetch',
      broker: connection.label,
      topic,
      partition: index,
    })
    this.#fetcher.errors++
    partition.lastError = error
    if (errorCode === ErrorCode.OFFSET_OUT_OF_RANGE) {
      this.#outOfRange(partition, offset, error)
      return
    }
    if (!isRetriable(errorCode)) {
      onFatal(error)
      return
    }
    partition.preferredReplica = null
    partition.failures++
    const learned = cluster.metadata.learnLeader(
      topic,
      index,
      currentLeader.leaderId,
      currentLeader.leaderEpoch,
    )
    if (learned) {
      this.#fetcher.wake()
      return
    }
    cluster.refreshSoon(topic)
    const pauseMs = backoffMs(partition.failures, cluster.config.retry, cluster.env.random.float)
    partition.notBeforeMs = cluster.env.clock.monotonicMs() + pauseMs
    this.#fetcher.wakeAfter(pauseMs)
    onRetry(error)
  }

  #outOfRange(partition: ConsumerPartition, offset: number, cause: KafkaError): void {
    const { config, onFatal, onRetry } = this.#fetcher.options
    if (partition.preferredReplica !== null) {
      // The replica may only be behind: the leader knows.
      partition.preferredReplica = null
      this.#fetcher.wake()
      return
    }
    if (partition.bufferedBytes > 0) {
      partition.drainFirst = true
      return
    }
    const { topic, partition: index } = partition
    const error = new KafkaError({
      code: 'OFFSET_OUT_OF_RANGE',
      message:
        `Offset ${offset} of ${topic}-${index} is not in the log: retention or deleteRecords removed it, or the log ends ` +
        'before it. Seek to an offset that exists, or set onOffsetOutOfRange to earliest or latest.',
      api: 'Fetch',
      broker: cause.broker,
      topic,
      partition: index,
      cause,
    })
    if (config.onOffsetOutOfRange === 'error') {
      onFatal(error)
      return
    }
    onRetry(error)
    partition.moveToLookUp(config.onOffsetOutOfRange)
    this.#fetcher.wake()
  }

  #failed(wanted: readonly Asked[], error: unknown): void {
    const { cluster, onRetry } = this.#fetcher.options
    this.#session.failed(null)
    const interrupted = this.#interrupted
    this.#interrupted = false
    if (interrupted || !this.#fetcher.isRunning) return
    const failure = toKafkaError(error, 'CONNECTION_FAILED', `fetching failed: ${String(error)}`)
    this.#fetcher.errors++
    if (!failure.retriable) {
      this.#fetcher.fail(failure)
      return
    }
    this.#failures++
    cluster.refreshSoon()
    onRetry(failure)
    // A session that was forgotten is simply made anew.
    if (this.#failures === 1 && SESSION_ERRORS.has(failure.code)) return
    // A replica that was only closer need not be waited for: the leader is asked, and may name another.
    for (const { partition } of wanted) partition.preferredReplica = null
    this.#notBeforeMs =
      cluster.env.clock.monotonicMs() +
      backoffMs(this.#failures, cluster.config.retry, cluster.env.random.float)
  }

  /** Frees the session at the broker, as far as that can be done at once. */
  sayGoodbye(): void {
    const farewell = this.#session.farewell()
    if (farewell === null || this.#connection?.isOpen !== true) return
    const request = { maxWaitMs: 0, minBytes: 0, ...farewell }
    this.#connection.send(API.Fetch, request, { timeoutMs: 1000 }, () => {})
    this.#connection.flush()
  }
}

const SESSION_ERRORS: ReadonlySet<string> = new Set([
  'FETCH_SESSION_ID_NOT_FOUND',
  'INVALID_FETCH_SESSION_EPOCH',
  'FETCH_SESSION_TOPIC_ID_ERROR',
])
