/**
 * A whole broker in memory, and a client that speaks the bare protocol to it: each request names its version.
 */
import assert from 'node:assert/strict'
import { type Broker, createBroker } from '../../../broker/broker.ts'
import { BrokerConfig } from '../../../broker/config/broker-config.ts'
import { type NetworkError, type Receiver, type Socket } from '../../../broker/env.ts'
import { createMemoryEnv, type MemoryEnv, type MemoryEnvOptions } from '../../../broker/env-memory.ts'
import { API, type Api } from '../../../client/protocol/apis.ts'
import { decodeResponseHeader, encodeRequest } from '../../../client/protocol/frame.ts'
import { Reader } from '../../../client/protocol/reader.ts'
import { type BatchOptions, encodeBatch, type RecordInput } from '../../../client/protocol/record.ts'
import { type TopicId } from '../../../client/protocol/types.ts'

export interface TestBrokerOptions extends MemoryEnvOptions {
  readonly settings?: Readonly<Record<string, string | number | boolean>>
}

export class TestBroker implements AsyncDisposable {
  readonly env: MemoryEnv
  readonly broker: Broker
  readonly client: TestClient
  fatal: Error | null = null

  private constructor(env: MemoryEnv, broker: Broker, client: TestClient) {
    this.env = env
    this.broker = broker
    this.client = client
  }

  static async start(options: TestBrokerOptions = {}): Promise<TestBroker> {
    const env = createMemoryEnv(options)
    const config = BrokerConfig.of({
      listeners: 'PLAINTEXT://127.0.0.1:0',
      'log.dirs': '/data',
      ...options.settings,
    })
    const fatals: Error[] = []
    const broker = createBroker({ env, config, onFatal: error => fatals.push(error) })
    await unfold(env, broker.start())
    const test = new TestBroker(env, broker, await connect(env, broker))
    Object.defineProperty(test, 'fatal', { get: () => fatals[0] ?? null })
    return test
  }

  connect(): Promise<TestClient> {
    return connect(this.env, this.broker)
  }

  async stop(): Promise<void> {
    await unfold(this.env, this.broker.stop())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** Creates a topic by request and returns its id. */
  async createTopic(name: string, numPartitions = 1, configs: Record<string, string> = {}): Promise<TopicId> {
    const { topics } = await this.client.request(API.CreateTopics, 7, {
      topics: [
        {
          name,
          numPartitions,
          replicationFactor: -1,
          assignments: [],
          configs: Object.entries(configs).map(([config, value]) => ({ name: config, value })),
        },
      ],
    })
    assert.equal(topics[0]?.errorCode, 0, topics[0]?.errorMessage ?? '')
    return topics[0].topicId
  }

  /** Produces one batch by name (version 12) with acks=all; the base offset, or the error code as a negative number. */
  async produce(
    topic: string,
    partition: number,
    values: readonly string[],
    options: BatchOptions = {},
  ): Promise<number> {
    const { responses } = await this.client.request(API.Produce, 12, {
      acks: -1,
      timeoutMs: 1000,
      topicData: [
        { name: topic, partitionData: [{ index: partition, records: batch(this.env, values, options) }] },
      ],
    })
    const [result] = responses[0]!.partitionResponses
    return result!.errorCode === 0 ? result!.baseOffset : -result!.errorCode
  }
}

export function batch(env: MemoryEnv, values: readonly string[], options: BatchOptions = {}): Buffer {
  const timestamp = env.clock.wallMs()
  return encodeBatch(
    values.map((value): RecordInput => ({ value, timestamp })),
    options,
  )
}

/** Waits for `work` while time goes on in small steps, as it does outside. */
export async function unfold<T>(env: MemoryEnv, work: Promise<T>): Promise<T> {
  let settled = false
  const watched = work.finally(() => {
    settled = true
  })
  watched.catch(() => {})
  for (let step = 0; step < 10_000; step++) {
    await env.clock.settle()
    if (settled) return watched
    await env.clock.advance(1)
  }
  throw new Error('it did not come to an end within ten seconds of simulated time')
}

async function connect(env: MemoryEnv, broker: Broker): Promise<TestClient> {
  return new TestClient(env, await env.network.connect(broker.address, 1000))
}

interface Waiting {
  readonly correlationId: number
  readonly api: Api
  readonly version: number
  resolve(response: unknown): void
  reject(error: Error): void
}

export class TestClient implements Receiver {
  readonly #env: MemoryEnv
  readonly #socket: Socket
  readonly #waiting: Waiting[] = []
  #room = Buffer.alloc(64 * 1024)
  #received = Buffer.alloc(0)
  #correlationId = 0
  /** The connection is gone. */
  isClosed = false

  constructor(env: MemoryEnv, socket: Socket) {
    this.#env = env
    this.#socket = socket
    socket.start(this)
  }

  /** Sends and lets time pass until the answer is there. */
  async request<Response, RequestInput>(
    api: Api<unknown, Response, RequestInput, unknown>,
    version: number,
    body: RequestInput,
  ): Promise<Response> {
    return unfold(this.#env, this.send(api, version, body))
  }

  /** Sends; the answer comes when the test lets it. Rejects when the connection is closed. */
  send<Response, RequestInput>(
    api: Api<unknown, Response, RequestInput, unknown>,
    version: number,
    body: RequestInput,
  ): Promise<Response> {
    return new Promise((resolve, reject) => {
      const correlationId = this.#write(api, version, body)
      const settle = resolve as (response: unknown) => void
      this.#waiting.push({ api: api as Api, version, correlationId, resolve: settle, reject })
    })
  }

  /** For requests that get no answer. */
  post<RequestInput>(
    api: Api<unknown, unknown, RequestInput, unknown>,
    version: number,
    body: RequestInput,
  ): void {
    this.#write(api, version, body)
  }

  destroy(): void {
    this.#socket.destroy()
  }

  #write<RequestInput>(
    api: Api<unknown, unknown, RequestInput, unknown>,
    version: number,
    body: RequestInput,
  ): number {
    const correlationId = this.#correlationId++
    const { chunks } = encodeRequest(api, version, correlationId, 'test', body)
    this.#socket.write(chunks, () => {})
    return correlationId
  }

  room(): Uint8Array {
    return this.#room
  }

  received(length: number): void {
    this.#received = Buffer.concat([this.#received, this.#room.subarray(0, length)])
    while (this.#received.length >= 4) {
      const size = this.#received.readInt32BE(0)
      if (this.#received.length < 4 + size) return
      const frame = this.#received.subarray(4, 4 + size)
      this.#received = this.#received.subarray(4 + size)
      const { api, version, correlationId, resolve } = this.#waiting.shift()!
      const reader = new Reader(frame)
      assert.equal(decodeResponseHeader(reader, api, version), correlationId)
      resolve(api.response.at(version).decode(reader))
    }
  }

  ended(): void {
    this.#socket.end()
  }

  closed(error: NetworkError | null): void {
    this.isClosed = true
    for (const waiting of this.#waiting.splice(0)) {
      waiting.reject(error ?? new Error('the broker closed the connection'))
    }
  }
}
