/**
 * A whole broker in memory, as a case of the fuzzer sees it: hostile connections beside a healthy one, and the question
 * whether the healthy one is still served as it should be.
 */
import { type Broker, createBroker } from '../../broker/broker.ts'
import { BrokerConfig } from '../../broker/config/broker-config.ts'
import { type NetworkError, type Receiver, type Socket } from '../../broker/env.ts'
import { type MemoryDisk } from '../../broker/env-memory/disk.ts'
import { createMemoryEnv, type MemoryEnv } from '../../broker/env-memory.ts'
import { API, type Api } from '../../client/protocol/apis.ts'
import { forEachBatch, validateBatch } from '../../client/protocol/batch.ts'
import { ProtocolError } from '../../client/protocol/errors.ts'
import { decodeResponseHeader } from '../../client/protocol/frame.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { decodeRecords } from '../../client/protocol/record.ts'
import { batch, TestClient, unfold } from '../broker/api/test-broker.ts'
import { type Chance } from './chance.ts'
import { type Expectation } from './requests.ts'
import { demand, Violation } from './target.ts'
import { type Vocabulary } from './values.ts'

export const HEALTHY = 'healthy'
/** Of its own, so that nothing that is changed for the whole broker changes it. */
const HEALTHY_CONFIGS: Readonly<Record<string, string>> = {
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'retention.bytes': '-1',
  'max.message.bytes': '1048588',
  'min.insync.replicas': '1',
  'segment.bytes': '1048576',
  'segment.ms': '604800000',
  'message.timestamp.type': 'CreateTime',
  'message.timestamp.after.max.ms': '9223372036854775807',
  'message.timestamp.before.max.ms': '9223372036854775807',
  'compression.type': 'producer',
}
const SETTINGS = {
  listeners: 'PLAINTEXT://127.0.0.1:0',
  'log.dirs': '/data',
  'node.id': 1,
  'log.tail.cache.bytes': 64 * 1024,
}

export interface WorldOptions {
  readonly seed: number
  readonly disk?: MemoryDisk
  readonly split?: (length: number) => number
  readonly settings?: Readonly<Record<string, string | number | boolean>>
}

export class World {
  readonly env: MemoryEnv
  readonly broker: Broker
  readonly fatals: Error[]
  healthy!: TestClient
  /** Values that a healthy producer was promised, in order. */
  readonly promised: string[] = []

  private constructor(env: MemoryEnv, broker: Broker, fatals: Error[]) {
    this.env = env
    this.broker = broker
    this.fatals = fatals
  }

  /** Rejects with what the broker's start rejects with. */
  static async start(options: WorldOptions): Promise<World> {
    const { seed, disk, split } = options
    const env = createMemoryEnv({
      seed,
      ...(disk === undefined ? {} : { disk }),
      ...(split === undefined ? {} : { networkOptions: { split } }),
    })
    const fatals: Error[] = []
    const config = BrokerConfig.of({ ...SETTINGS, ...options.settings })
    const broker = createBroker({ env, config, onFatal: error => fatals.push(error) })
    await unfold(env, broker.start())
    const world = new World(env, broker, fatals)
    world.healthy = await world.#connect()
    return world
  }

  async #connect(): Promise<TestClient> {
    return new TestClient(this.env, await this.env.network.connect(this.broker.address, 1000))
  }

  async createTopics(topics: Readonly<Record<string, number>>): Promise<void> {
    const specs = Object.entries(topics).map(([name, partitions]) => ({ name, partitions }))
    await unfold(
      this.env,
      this.broker.createTopics([...specs, { name: HEALTHY, partitions: 1, configs: HEALTHY_CONFIGS }]),
    )
  }

  async words(topics: readonly string[]): Promise<Vocabulary> {
    const answer = await this.healthy.request(API.Metadata, 12, { topics: topics.map(name => ({ name })) })
    return { topics, topicIds: answer.topics.map(({ topicId }) => topicId) }
  }

  async served(): Promise<ReadonlySet<number>> {
    const { apiKeys } = await this.healthy.request(API.ApiVersions, 4, {
      clientSoftwareName: 'fuzz',
      clientSoftwareVersion: '1',
    })
    return new Set(apiKeys.map(({ apiKey }) => apiKey))
  }

  demandAlive(): void {
    const [fatal] = this.fatals
    if (fatal !== undefined) throw fatal
    demand(this.broker.state === 'running', `the broker is ${this.broker.state}`)
  }

  /** Metadata, Produce and Fetch on the healthy connection. */
  async demandHealthy(): Promise<void> {
    this.demandAlive()
    if (this.healthy.isClosed) throw new Violation('the healthy connection was closed')
    const { topics } = await this.healthy.request(API.Metadata, 12, { topics: [{ name: HEALTHY }] })
    demand(topics[0]?.errorCode === 0, `Metadata of the healthy topic ends in error ${topics[0]?.errorCode}`)
    const value = `value ${this.promised.length}`
    const produced = await this.healthy.request(API.Produce, 9, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [{ name: HEALTHY, partitionData: [{ index: 0, records: batch(this.env, [value]) }] }],
    })
    const result = produced.responses[0]?.partitionResponses[0]
    demand(
      result?.errorCode === 0,
      `a healthy producer gets error ${result?.errorCode}: ${result?.errorMessage}`,
    )
    demand(result.baseOffset === this.promised.length, `it gets offset ${result.baseOffset}`)
    this.promised.push(value)
    const from = Math.max(0, this.promised.length - 3)
    const values = await this.valuesOf(HEALTHY, from)
    demand(
      values.join() === this.promised.slice(from).join(),
      `a healthy consumer gets ${values.join()} from offset ${from} on`,
    )
  }

  async valuesOf(topic: string, from: number): Promise<string[]> {
    const { responses } = await this.healthy.request(API.Fetch, 12, {
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 1 << 20,
      topics: [{ topic, partitions: [{ partition: 0, fetchOffset: from, partitionMaxBytes: 1 << 20 }] }],
    })
    const records = responses[0]?.partitions[0]?.records
    if (records === null || records === undefined) return []
    const values: string[] = []
    forEachBatch(records, position => {
      demand(
        validateBatch(records, position, records.length, 'log') === null,
        'a reader gets a damaged batch',
      )
      for (const record of decodeRecords(records, position)) {
        if (record.offset >= from) values.push(String(record.value))
      }
    })
    return values
  }

  async stop(): Promise<void> {
    await unfold(this.env, this.broker.stop())
  }
}

/** A peer that sends what it likes, and judges what comes back. */
export class HostilePeer implements Receiver {
  readonly #socket: Socket
  readonly #room = Buffer.alloc(16 * 1024)
  #received = Buffer.alloc(0)
  readonly #expected: Expectation[] = []
  /** False from the first bytes on that no reader can divide into frames. */
  #judges = true
  #reads = true
  isClosed = false
  violation: string | null = null
  bytesReceived = 0

  constructor(socket: Socket) {
    this.#socket = socket
    socket.start(this)
  }

  send(bytes: Uint8Array, expectation: Expectation | null): void {
    if (expectation === null) this.#judges = false
    else this.#expected.push(expectation)
    this.#socket.write([bytes], () => {})
  }

  /** As a reader that does not read. */
  pause(): void {
    this.#reads = !this.#reads
    if (this.#reads) this.#socket.resume()
    else this.#socket.pause()
  }

  end(): void {
    this.#socket.end()
  }

  destroy(): void {
    this.#socket.destroy()
  }

  room(): Uint8Array {
    return this.#room
  }

  received(length: number): void {
    this.bytesReceived += length
    this.#received = Buffer.concat([this.#received, this.#room.subarray(0, length)])
    while (this.#received.length >= 4) {
      const size = this.#received.readInt32BE(0)
      if (size < 0) this.violation ??= `a response has the size ${size}`
      if (size < 0 || this.#received.length < 4 + size) return
      this.#judge(this.#received.subarray(4, 4 + size))
      this.#received = this.#received.subarray(4 + size)
    }
  }

  #judge(frame: Buffer): void {
    if (!this.#judges) return
    let next = this.#expected.shift()
    while (next !== undefined && next.kind !== 'answer') next = this.#expected.shift()
    if (next === undefined) {
      this.violation ??= 'a response came that nobody had asked for'
      return
    }
    const { api, version, correlationId } = next
    const title = `the response to ${api.name} version ${version}`
    try {
      const reader = new Reader(frame, 0, frame.length, 1 << 24)
      const answered = decodeResponseHeader(reader, api as Api, version)
      if (answered !== correlationId) this.violation ??= `${title} has another correlation id`
      api.response.at(version).decode(reader)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.violation ??= `${title} cannot be decoded: ${error.message}`
    }
  }

  ended(): void {
    this.#socket.end()
  }

  closed(_error: NetworkError | null): void {
    this.isClosed = true
  }
}

/** Cuts what arrives anywhere. */
export function anySplit(chance: Chance): (length: number) => number {
  const mode = chance.int(3)
  if (mode === 0) return length => length
  if (mode === 1) return length => 1 + chance.size(length - 1 || 1)
  return length => (chance.once(8) ? 1 + chance.int(length) : length)
}
