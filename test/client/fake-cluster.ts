/**
 * A small cluster of make-believe brokers on the loopback, for tests of what the client does when things go wrong. It
 * speaks the real protocol, keeps records in memory, checks idempotent producers as strictly as Kafka does, and lets a
 * test decide what happens to each request.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { API, type Api, apiByKey } from '../../client/protocol/apis.ts'
import {
  batchBaseSequence,
  batchByteLength,
  batchHasProducerId,
  batchLastOffset,
  batchProducerEpoch,
  batchProducerId,
  batchRecordCount,
  stampBatch,
  validateBatch,
} from '../../client/protocol/batch.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  decodeRequestHeader,
  encodeResponse,
  FRAME_SIZE_BYTES,
  frameLength,
} from '../../client/protocol/frame.ts'
import { type FetchRequest } from '../../client/protocol/messages/fetch.ts'
import { type ListOffsetsRequest } from '../../client/protocol/messages/list-offsets.ts'
import { type MetadataRequest } from '../../client/protocol/messages/metadata.ts'
import { type OffsetForLeaderEpochRequest } from '../../client/protocol/messages/offset-for-leader-epoch.ts'
import { type ProduceRequest } from '../../client/protocol/messages/produce.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { decodeRecords } from '../../client/protocol/record.ts'
import { type LeaderEpoch, type Offset, type ProducerId, type TopicId } from '../../client/protocol/types.ts'

export interface FakeRequest {
  readonly broker: number
  readonly api: string
  readonly version: number
  /** Whatever the API's request is: tests know which they look at. */
  readonly body: unknown
}

/**
 * - undefined: handled as usual
 * - `silence`: no answer, the connection stays open
 * - `cut`: the connection is closed before the request is handled
 * - `cut-after`: the request is handled, then the connection is closed instead of the answer
 * - an error code: of every partition (Produce, Fetch, ListOffsets) or of the whole answer; nothing is done
 * - a promise: decides later
 */
export type Verdict = undefined | 'silence' | 'cut' | 'cut-after' | { readonly error: number }
export type Interceptor = (request: FakeRequest) => Verdict | Promise<Verdict>

interface StoredBatch {
  readonly bytes: Buffer
  readonly baseOffset: number
  readonly lastOffset: number
}

interface ProducerEntry {
  epoch: number
  last: { base: number; end: number; offset: number }[]
}

export class FakePartition {
  leader: number
  epoch = 0
  startOffset = 0
  endOffset = 0
  batches: StoredBatch[] = []
  /** Where each leader epoch begins. */
  readonly epochStarts = [0]
  readonly producers = new Map<ProducerId, ProducerEntry>()

  constructor(leader: number) {
    this.leader = leader
  }

  append(records: Buffer): { error: number; baseOffset: number } {
    const problem = validateBatch(records, 0, records.length, 'producer')
    if (problem !== null) return { error: ErrorCode.CORRUPT_MESSAGE, baseOffset: -1 }
    const count = batchRecordCount(records, 0)
    const judged = this.#checkSequence(records, count)
    if (judged !== null) return judged
    const baseOffset = this.endOffset
    const bytes = Buffer.from(records)
    stampBatch(bytes, 0, baseOffset as Offset, this.epoch as LeaderEpoch)
    this.batches.push({ bytes, baseOffset, lastOffset: batchLastOffset(bytes, 0) })
    this.endOffset += count
    return { error: ErrorCode.NONE, baseOffset }
  }

  #checkSequence(records: Buffer, count: number): { error: number; baseOffset: number } | null {
    if (!batchHasProducerId(records, 0)) return null
    const id = batchProducerId(records, 0)
    const epoch = batchProducerEpoch(records, 0)
    const base = batchBaseSequence(records, 0)
    const known = this.producers.get(id)
    if (known !== undefined) {
      if (epoch < known.epoch) return { error: ErrorCode.INVALID_PRODUCER_EPOCH, baseOffset: -1 }
      const same = epoch === known.epoch
      const duplicate = same
        ? known.last.find(each => each.base === base && each.end === base + count)
        : undefined
      if (duplicate !== undefined) return { error: ErrorCode.NONE, baseOffset: duplicate.offset }
      const expected = same ? known.last.at(-1)!.end : 0
      if (base !== expected) return { error: ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER, baseOffset: -1 }
    }
    const last = known?.epoch === epoch ? known.last : []
    last.push({ base, end: base + count, offset: this.endOffset })
    this.producers.set(id, { epoch, last: last.slice(-5) })
    return null
  }

  /** What an unclean election does: the new leader never had these records. */
  truncate(endOffset: number): void {
    this.batches = this.batches.filter(({ lastOffset }) => lastOffset < endOffset)
    this.endOffset = endOffset
  }

  values(): string[] {
    return this.batches.flatMap(({ bytes }) => decodeRecords(bytes).map(({ value }) => String(value)))
  }
}

interface FakeTopic {
  readonly id: TopicId
  readonly partitions: FakePartition[]
}

export interface FakeClusterOptions {
  readonly brokers?: number
  /** Partitions by topic; leaders are dealt out in turn. */
  readonly topics?: Readonly<Record<string, number>>
  /** Versions above these are not offered, by name of the API; -1: the API is not served. */
  readonly maxVersions?: Readonly<Record<string, number>>
  readonly autoCreate?: boolean
}

const SERVED: readonly Api[] = [
  API.Produce,
  API.Fetch,
  API.ListOffsets,
  API.Metadata,
  API.ApiVersions,
  API.InitProducerId,
  API.OffsetForLeaderEpoch,
] as unknown as Api[]

export class FakeCluster {
  readonly topics = new Map<string, FakeTopic>()
  readonly requests: FakeRequest[] = []
  intercept: Interceptor = () => undefined
  readonly #options: FakeClusterOptions
  /** Brokers that the others no longer count on: Metadata does not name them. */
  readonly fenced = new Set<number>()
  /** Brokers that hear nothing new from the others, and what they tell all the same. */
  readonly #outdated = new Map<number, Map<FakePartition, { leader: number; epoch: number }>>()
  readonly #brokers: { server: Server; port: number; sockets: Set<Socket> }[] = []
  #waiting = new Set<() => void>()
  #nextProducerId = 1000n
  #lastTopicId = 0

  private constructor(options: FakeClusterOptions) {
    this.#options = options
    for (const [name, partitions] of Object.entries(options.topics ?? {})) this.createTopic(name, partitions)
  }

  static async start(options: FakeClusterOptions = {}): Promise<FakeCluster> {
    const cluster = new FakeCluster(options)
    for (let id = 0; id < (options.brokers ?? 1); id++) await cluster.#listen(id)
    return cluster
  }

  async #listen(id: number): Promise<void> {
    const sockets = new Set<Socket>()
    const server = createServer(socket => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => {})
      this.#serve(id, socket)
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    this.#brokers[id] = { server, port, sockets }
  }

  get bootstrap(): string {
    return this.#brokers.map(({ port }) => `127.0.0.1:${port}`).join(',')
  }

  createTopic(name: string, partitions: number): FakeTopic {
    const id = (++this.#lastTopicId).toString(16).padStart(32, '0') as TopicId
    const brokers = this.#options.brokers ?? 1
    const topic = {
      id,
      partitions: Array.from({ length: partitions }, (_, index) => new FakePartition(index % brokers)),
    }
    this.topics.set(name, topic)
    return topic
  }

  addPartition(name: string): FakePartition {
    const partition = new FakePartition(0)
    this.topics.get(name)!.partitions.push(partition)
    return partition
  }

  /** Answers fetches that wait for records. */
  wake(): void {
    for (const wake of this.#waiting) wake()
  }

  partition(topic: string, index = 0): FakePartition {
    return this.topics.get(topic)!.partitions[index]!
  }

  /** How often an API was asked. */
  count(api: string): number {
    return this.requests.filter(request => request.api === api).length
  }

  /** From now on the broker is cut off from the others: it answers clients with the metadata of this moment. */
  isolate(id: number): void {
    const partitions = [...this.topics.values()].flatMap(topic => topic.partitions)
    this.#outdated.set(
      id,
      new Map(partitions.map(each => [each, { leader: each.leader, epoch: each.epoch }])),
    )
  }

  moveLeader(topic: string, index: number, leader: number): void {
    const partition = this.partition(topic, index)
    partition.leader = leader
    partition.epoch++
    partition.epochStarts.push(partition.endOffset)
  }

  /** Closes the connections to a broker. */
  disconnect(id: number): void {
    for (const socket of this.#brokers[id]!.sockets) socket.destroy()
  }

  /** Resolves when every connection has ended. */
  async closed(): Promise<void> {
    const all = this.#brokers.flatMap(({ sockets }) => [...sockets])
    await Promise.all(all.map(socket => new Promise(resolve => socket.once('close', resolve))))
  }

  openConnections(): number {
    return this.#brokers.reduce((sum, { sockets }) => sum + sockets.size, 0)
  }

  async close(): Promise<void> {
    this.wake()
    for (const { server, sockets } of this.#brokers) {
      for (const socket of sockets) socket.destroy()
      await new Promise(resolve => server.close(resolve))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  // -------------------------------------------------------------------------------------- wire

  #serve(broker: number, socket: Socket): void {
    let held = Buffer.alloc(0)
    // Answers leave in the order of the requests.
    let tail = Promise.resolve()
    socket.on('data', chunk => {
      held = Buffer.concat([held, chunk])
      for (;;) {
        const length = frameLength(held, 0, held.length, 1 << 30)
        if (length === 0 || length > held.length) return
        const frame = held.subarray(FRAME_SIZE_BYTES, length)
        held = held.subarray(length)
        tail = tail
          .then(() => this.#request(broker, socket, frame))
          .catch(error => {
            socket.destroy()
            throw error
          })
      }
    })
  }

  async #request(broker: number, socket: Socket, frame: Buffer): Promise<void> {
    const reader = new Reader(frame)
    const { apiKey, apiVersion: version, correlationId } = decodeRequestHeader(reader)
    const api = apiByKey(apiKey)!
    const body = api.request.at(version).decode(reader)
    const request = { broker, api: api.name, version, body }
    this.requests.push(request)
    if (api.key === API.ApiVersions.key && version > this.#newest(api)) {
      // In version 0, whatever was asked (KIP-511).
      const apiKeys = this.#versions().filter(({ apiKey }) => apiKey === api.key)
      const refusal = { errorCode: ErrorCode.UNSUPPORTED_VERSION, apiKeys }
      socket.write(Buffer.concat(encodeResponse(api, 0, correlationId, refusal as never).chunks))
      return
    }
    const verdict = await this.intercept(request)
    if (socket.destroyed) return
    if (verdict === 'cut') {
      socket.destroy()
      return
    }
    if (verdict === 'silence') return
    const error = typeof verdict === 'object' ? verdict.error : ErrorCode.NONE
    const answer = await this.#answer(request, error)
    if (verdict === 'cut-after') socket.destroy()
    if (answer === null || socket.destroyed) return
    const { chunks } = encodeResponse(api, version, correlationId, answer as never)
    socket.write(Buffer.concat(chunks))
  }

  #answer(request: FakeRequest, error: number): unknown {
    switch (request.api) {
      case 'ApiVersions':
        return { errorCode: 0, apiKeys: this.#versions() }
      case 'Metadata':
        return this.#metadata(request.broker, request.body as MetadataRequest)
      case 'InitProducerId':
        return { errorCode: error, producerId: this.#nextProducerId++, producerEpoch: 0 }
      case 'Produce':
        return this.#produce(request, error)
      case 'Fetch':
        return this.#fetch(request, error)
      case 'ListOffsets':
        return this.#listOffsets(request, error)
      case 'OffsetForLeaderEpoch':
        return this.#epochEnds(request)
      default:
        throw new Error(`the fake broker does not know ${request.api}`)
    }
  }

  #newest({ name, maxVersion }: Api): number {
    return Math.min(maxVersion, this.#options.maxVersions?.[name] ?? maxVersion)
  }

  #versions() {
    return SERVED.map(api => ({
      apiKey: api.key,
      minVersion: api.minVersion,
      maxVersion: this.#newest(api),
    })).filter(({ minVersion, maxVersion }) => maxVersion >= minVersion)
  }

  #metadata(broker: number, { topics, allowAutoTopicCreation: mayCreate }: MetadataRequest) {
    const outdated = this.#outdated.get(broker)
    const names = topics === null ? [...this.topics.keys()] : topics.map(({ name }) => name!)
    return {
      brokers: this.#brokers
        .map(({ port }, nodeId) => ({ nodeId, host: '127.0.0.1', port }))
        .filter(({ nodeId }) => !this.fenced.has(nodeId)),
      clusterId: 'fake',
      controllerId: 0,
      topics: names.map(name => {
        if (this.#options.autoCreate === true && mayCreate && !this.topics.has(name))
          this.createTopic(name, 1)
        const topic = this.topics.get(name)
        if (topic === undefined)
          return { errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, name, partitions: [] }
        return {
          errorCode: 0,
          name,
          topicId: topic.id,
          partitions: topic.partitions.map((partition, partitionIndex) => {
            const { leader, epoch } = outdated?.get(partition) ?? partition
            return {
              errorCode: leader < 0 ? ErrorCode.LEADER_NOT_AVAILABLE : 0,
              partitionIndex,
              leaderId: leader,
              leaderEpoch: epoch,
              replicaNodes: [0],
              isrNodes: [0],
            }
          }),
        }
      }),
    }
  }

  #named(entry: { name?: string; topic?: string; topicId?: string }): FakeTopic | undefined {
    const name = entry.name ?? entry.topic ?? ''
    if (name !== '') return this.topics.get(name)
    return [...this.topics.values()].find(({ id }) => id === entry.topicId)
  }

  #produce(request: FakeRequest, error: number) {
    const { topicData, acks } = request.body as ProduceRequest
    const responses = topicData.map(topic => ({
      name: topic.name,
      topicId: topic.topicId,
      partitionResponses: topic.partitionData.map(({ index, records }) => {
        const partition = this.#named(topic)?.partitions[index]
        if (error !== ErrorCode.NONE) return { index, errorCode: error, baseOffset: -1 }
        if (partition === undefined)
          return { index, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, baseOffset: -1 }
        if (partition.leader !== request.broker) {
          return { index, errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER, baseOffset: -1 }
        }
        const { error: errorCode, baseOffset } = partition.append(records as Buffer)
        return { index, errorCode, baseOffset, logStartOffset: partition.startOffset }
      }),
    }))
    this.wake()
    return acks === 0 ? null : { responses }
  }

  async #fetch(request: FakeRequest, error: number): Promise<unknown> {
    const { topics, maxWaitMs, minBytes } = request.body as FetchRequest
    const read = () =>
      topics.map(topic => ({
        topic: topic.topic,
        topicId: topic.topicId,
        partitions: topic.partitions.map(each => this.#read(request.broker, topic, each, error)),
      }))
    const isReady = () =>
      read().some(({ partitions }) =>
        partitions.some(each => each.errorCode !== 0 || each.records.length > 0),
      )
    if (!isReady() && minBytes > 0) {
      await new Promise<void>(resolve => {
        const done = (): void => {
          clearTimeout(timer)
          this.#waiting.delete(done)
          resolve()
        }
        const timer = setTimeout(done, maxWaitMs)
        this.#waiting.add(done)
      })
    }
    // Sessions are not offered: every fetch is a full one.
    return { errorCode: 0, sessionId: 0, responses: read() }
  }

  #read(
    broker: number,
    topic: FetchRequest['topics'][number],
    asked: FetchRequest['topics'][number]['partitions'][number],
    error: number,
  ) {
    const partition = this.#named(topic)?.partitions[asked.partition]
    const none = {
      partitionIndex: asked.partition,
      highWatermark: -1,
      abortedTransactions: null,
      records: Buffer.alloc(0),
    }
    if (error !== ErrorCode.NONE) return { ...none, errorCode: error }
    if (partition === undefined) return { ...none, errorCode: ErrorCode.UNKNOWN_TOPIC_OR_PARTITION }
    if (partition.leader !== broker) return { ...none, errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER }
    const { startOffset, endOffset, batches } = partition
    const { fetchOffset, partitionMaxBytes } = asked
    if (fetchOffset < startOffset || fetchOffset > endOffset) {
      return { ...none, errorCode: ErrorCode.OFFSET_OUT_OF_RANGE }
    }
    const chosen: Buffer[] = []
    let bytes = 0
    for (const batch of batches) {
      if (batch.lastOffset < fetchOffset) continue
      if (chosen.length > 0 && bytes + batch.bytes.length > partitionMaxBytes) break
      chosen.push(batch.bytes)
      bytes += batchByteLength(batch.bytes, 0)
    }
    return {
      ...none,
      errorCode: 0,
      highWatermark: endOffset,
      lastStableOffset: endOffset,
      logStartOffset: startOffset,
      records: Buffer.concat(chosen),
    }
  }

  #listOffsets(request: FakeRequest, error: number) {
    return {
      topics: (request.body as ListOffsetsRequest).topics.map(topic => ({
        name: topic.name,
        partitions: topic.partitions.map(({ partitionIndex, timestamp }) => {
          const partition = this.topics.get(topic.name)?.partitions[partitionIndex]
          if (partition?.leader !== request.broker) {
            return { partitionIndex, errorCode: ErrorCode.NOT_LEADER_OR_FOLLOWER }
          }
          if (error !== ErrorCode.NONE) return { partitionIndex, errorCode: error }
          const records = partition.batches.flatMap(({ bytes }) => decodeRecords(bytes))
          const found = records.find(record => record.timestamp >= timestamp)
          const offset =
            timestamp === -1
              ? partition.endOffset
              : timestamp === -2
                ? partition.startOffset
                : (found?.offset ?? -1)
          return {
            partitionIndex,
            errorCode: 0,
            offset,
            timestamp: found?.timestamp ?? -1,
            leaderEpoch: request.version >= 4 ? partition.epoch : -1,
          }
        }),
      })),
    }
  }

  #epochEnds(request: FakeRequest) {
    return {
      topics: (request.body as OffsetForLeaderEpochRequest).topics.map(topic => ({
        topic: topic.topic,
        partitions: topic.partitions.map(({ partition: index, leaderEpoch, currentLeaderEpoch }) => {
          const partition = this.partition(topic.topic, index)
          if (currentLeaderEpoch >= 0 && currentLeaderEpoch < partition.epoch) {
            const errorCode = ErrorCode.FENCED_LEADER_EPOCH
            return { partition: index, errorCode, leaderEpoch: -1, endOffset: -1 }
          }
          const endOffset = partition.epochStarts[leaderEpoch + 1] ?? partition.endOffset
          return { partition: index, errorCode: 0, leaderEpoch, endOffset }
        }),
      })),
    }
  }
}
