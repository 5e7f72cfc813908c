/**
 * Kafka for tests, inside the test's own process: `await using broker = await startBroker()`, and any client connects to
 * `broker.bootstrap`. It is the real broker, over memory by default, with the means to look into its logs, to break
 * things on purpose, and to begin anew between two tests. Works the same in tap, node:test, vitest and jest.
 */
import { tmpdir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { type Kafka } from '../client/index.ts'
import { API, type ApiName } from '../client/protocol/apis.ts'
import { type Broker, createBroker } from './broker.ts'
import { loadConfig } from './config.ts'
import { isInternalTopic } from './controller/topic-names.ts'
import { type Env, type Log } from './env.ts'
import { MemoryDisk } from './env-memory/disk.ts'
import { createNodeLog, type LogLevel } from './env-node/log.ts'
import { createNodeEnv } from './env-node.ts'
import { type PartitionHost } from './runtime/partition-host.ts'
import { type Decide, type Interception, Interceptions } from './testing/interceptions.ts'
import { type StoredRecord, storedRecords } from './testing/stored-records.ts'

export { ApiKey, type ApiName } from '../client/protocol/apis.ts'
export { ErrorCode } from '../client/protocol/errors.ts'
export { createMemoryEnv, type MemoryEnv, type MemoryEnvOptions } from './env-memory.ts'
export {
  type Action,
  delay,
  drop,
  error,
  hang,
  type InterceptedRequest,
  type Interception,
  loseResponse,
  pass,
  respond,
} from './testing/interceptions.ts'
export type { StoredRecord } from './testing/stored-records.ts'

export interface TestTopic {
  /** Default 1. */
  readonly partitions?: number
  /** With Kafka's names, as `cleanup.policy`. */
  readonly configs?: Readonly<Record<string, string>>
}

export interface StartBrokerOptions {
  /**
   * `memory` (the default) keeps nothing beyond the broker, `temp` makes a folder that is removed at the end, `dir` keeps
   * its data: a broker that is started there again finds it.
   */
  readonly storage?: 'memory' | 'temp' | { readonly dir: string }
  /** Topics that are there from the start and again after each `reset`: partitions, or partitions and configs. */
  readonly topics?: Readonly<Record<string, number | TestTopic>>
  /** Whether a topic is made when a client first asks for it. Default true. */
  readonly autoCreate?: boolean
  /** Default 0: a free one. */
  readonly port?: number
  /** Any broker config, with Kafka's names. */
  readonly configs?: Readonly<Record<string, string>>
  /** What the broker logs to standard error, or a log of your own. Default `error`. */
  readonly log?: LogLevel | 'silent' | Log
}

export interface TestMessage {
  readonly key?: string | Uint8Array | null
  readonly value: string | Uint8Array | null
  readonly headers?: Readonly<Record<string, string | Uint8Array | null>>
  readonly partition?: number
  readonly timestamp?: number
}

export interface WaitOptions {
  /** Default 5,000. */
  readonly timeoutMs?: number
}

/** The type of a request of an API, by the API's name. */
export type RequestOf<Name extends ApiName> = ReturnType<
  ReturnType<(typeof API)[Name]['request']['at']>['decode']
>

/** What the helpers here call themselves; interceptions leave them alone. */
const HELPER_CLIENT_ID = 'sluice-testing'
const HOST = '127.0.0.1'
const POLL_MS = 5
/** A consumer of a test has nobody else to wait for. */
const IMPATIENT = { 'group.initial.rebalance.delay.ms': '0' }
/** What is thrown away at the end need not outlive a power cut, and what is deleted need not wait. */
const TRANSIENT = { 'log.flush.before.ack': 'false', 'log.segment.delete.delay.ms': '0' }

/** Starts a broker on a free port of this machine; resolves when it answers. */
export async function startBroker(options: StartBrokerOptions = {}): Promise<TestBroker> {
  const broker = new TestBroker(options)
  await broker.restart()
  await broker.createTopics(options.topics ?? {})
  return broker
}

export class TestBroker implements AsyncDisposable {
  readonly #options: StartBrokerOptions
  readonly #env: Env
  readonly #folder: string
  readonly #interceptions: Interceptions
  #port: number
  #broker: Broker | null = null
  #kafka: Kafka | null = null
  #failure: Error | null = null

  /** Made by `startBroker`. */
  constructor(options: StartBrokerOptions) {
    const { storage = 'memory', log = 'error' } = options
    const env = createNodeEnv({ log: typeof log === 'string' ? createNodeLog({ level: log }) : log })
    this.#options = options
    this.#env = storage === 'memory' ? { ...env, disk: new MemoryDisk() } : env
    this.#folder = folderOf(storage, env)
    this.#interceptions = new Interceptions(env.timers, HELPER_CLIENT_ID)
    this.#port = options.port ?? 0
  }

  /** `host:port`, for the `brokers` or `bootstrap.servers` of any client. The same after `reset` and `restart`. */
  get bootstrap(): string {
    return `${HOST}:${this.#port}`
  }

  get host(): string {
    return HOST
  }

  get port(): number {
    return this.#port
  }

  /** Where the data is; a made-up path with storage `memory`. */
  get dir(): string {
    return this.#folder
  }

  get isRunning(): boolean {
    return this.#broker !== null
  }

  /** Why the broker gave up, or null: a failed disk, or a bug. */
  get failure(): Error | null {
    return this.#failure
  }

  /** The broker itself, for what is not here. Throws when it is not running. */
  get broker(): Broker {
    if (this.#broker === null) throw new Error('The broker is not running: start it again with restart()')
    return this.#broker
  }

  // --------------------------------------------------------------------------------------------- topics

  /** Makes a topic; rejects where there is one of that name. */
  async createTopic(name: string, topic: number | TestTopic = 1): Promise<void> {
    await this.createTopics({ [name]: topic })
  }

  async createTopics(topics: Readonly<Record<string, number | TestTopic>>): Promise<void> {
    const specs = Object.entries(topics).map(([name, topic]) => {
      const { partitions = 1, configs = {} } = typeof topic === 'number' ? { partitions: topic } : topic
      return { name, partitions, configs }
    })
    if (specs.length > 0) await this.broker.createTopics(specs)
  }

  /** Names of the topics that are there, sorted, without those that the broker makes for itself. */
  get topics(): readonly string[] {
    return this.broker.topicNames.filter(name => !isInternalTopic(name))
  }

  /**
   * Back to the beginning, for the next test: all topics and their data are removed, those of `startBroker` made anew,
   * interceptions ended. The port and the connections of clients stay.
   */
  async reset(): Promise<void> {
    this.#interceptions.clear()
    await this.broker.deleteAllTopics()
    await this.createTopics(this.#options.topics ?? {})
  }

  // -------------------------------------------------------------------------------------------- records

  /** Writes messages, as an idempotent producer with acks=all; a string is a message with just a value. */
  async produce(topic: string, messages: readonly (string | TestMessage)[]): Promise<void> {
    const kafka = await this.#client()
    const producer = kafka.producer()
    try {
      await producer.send({
        topic,
        messages: messages.map(message => (typeof message === 'string' ? { value: message } : message)),
      })
    } finally {
      await producer.close()
    }
  }

  /**
   * The records that are in the log of a topic now, by partition and offset; empty where there is no such topic. Read
   * inside the process: no client takes part.
   */
  async records(topic: string): Promise<StoredRecord[]> {
    const all = await Promise.all(this.#partitions(topic).map((host, index) => storedRecords(index, host)))
    return all.flat()
  }

  /**
   * Waits until a topic holds so many records, or such that `wanted` is content with them, and returns all that it
   * holds. Rejects after `timeoutMs`, and says what was there instead.
   */
  async waitForRecords(
    topic: string,
    wanted: number | ((records: readonly StoredRecord[]) => boolean),
    { timeoutMs = 5000 }: WaitOptions = {},
  ): Promise<StoredRecord[]> {
    const { clock } = this.#env
    const isEnough =
      typeof wanted === 'number' ? (records: readonly StoredRecord[]) => records.length >= wanted : wanted
    const deadlineMs = clock.monotonicMs() + timeoutMs
    for (let seen = ''; ; ) {
      const ends = this.#partitions(topic)
        .map(host => host.describe().highWatermark)
        .join()
      const isLate = clock.monotonicMs() >= deadlineMs
      if (ends !== seen || isLate) {
        seen = ends
        const records = await this.records(topic)
        if (isEnough(records)) return records
        if (isLate) throw new Error(missing(topic, wanted, records, timeoutMs))
      }
      await new Promise<void>(wake => void this.#env.timers.set(POLL_MS, wake))
    }
  }

  // ----------------------------------------------------------------------------------------- misfortune

  /**
   * Decides what becomes of every request of one API, until the returned interception is stopped:
   *
   *     broker.intercept('Fetch', () => delay(500))
   *     broker.intercept('Produce', (request, { count }) => (count < 2 ? error('NOT_LEADER_OR_FOLLOWER') : pass()))
   */
  intercept<Name extends ApiName>(api: Name, decide: Decide<RequestOf<Name>>): Interception
  intercept(api: number, decide: Decide<Readonly<Record<string, unknown>>>): Interception
  intercept(api: ApiName | number, decide: Decide<never>): Interception {
    return this.#interceptions.add(api, decide)
  }

  /** Breaks all connections; clients may come back at once. */
  dropConnections(): void {
    this.broker.dropConnections()
  }

  /**
   * Ends the broker as a crash does: connections break, nothing is finished or written down. What was written to the
   * operating system survives, as it survives the end of a process. `restart` recovers.
   */
  async kill(): Promise<void> {
    const { broker } = this
    this.#broker = null
    this.#interceptions.clear()
    await broker.kill()
  }

  /** Starts the broker again on its data and its port, after `kill`; one that is running is stopped first. */
  async restart(): Promise<void> {
    await this.#stopBroker()
    const { config } = loadConfig({ flags: this.#configs() })
    const broker = createBroker({
      env: this.#env,
      config,
      onFatal: failure => {
        this.#failure = failure
      },
      interceptor: this.#interceptions.interceptor,
    })
    await broker.start()
    this.#broker = broker
    this.#port = broker.address.port
  }

  /** Stops the broker and removes what it leaves behind; with storage `dir` the data stays. */
  async stop(): Promise<void> {
    this.#interceptions.clear()
    const kafka = this.#kafka
    this.#kafka = null
    await kafka?.close()
    await this.#stopBroker()
    if (this.#options.storage === 'temp') await this.#env.disk.removeTree(this.#folder)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #stopBroker(): Promise<void> {
    const broker = this.#broker
    this.#broker = null
    await broker?.stop()
  }

  #configs(): Record<string, string> {
    const { storage = 'memory', autoCreate = true, configs = {} } = this.#options
    return {
      'log.dirs': this.#folder,
      listeners: `PLAINTEXT://${HOST}:${this.#port}`,
      'auto.create.topics.enable': String(autoCreate),
      ...IMPATIENT,
      ...(typeof storage === 'object' ? {} : TRANSIENT),
      ...configs,
    }
  }

  #partitions(topic: string): PartitionHost[] {
    const { metadata, partitions } = this.broker.context
    const image = metadata.image.topic(topic)
    if (image === undefined) return []
    const hosts = image.partitions.map((_, index) => partitions.get(image.topicId, index))
    return hosts.filter(host => host !== undefined)
  }

  /** Loaded when it is first needed: most tests bring a client of their own. */
  async #client(): Promise<Kafka> {
    const { Kafka } = await import('../client/index.ts')
    this.#kafka ??= new Kafka({ brokers: this.bootstrap, clientId: HELPER_CLIENT_ID })
    return this.#kafka
  }
}

function folderOf(storage: StartBrokerOptions['storage'], env: Env): string {
  if (typeof storage === 'object') return isAbsolute(storage.dir) ? storage.dir : resolve(storage.dir)
  if (storage !== 'temp') return '/memory'
  return join(tmpdir(), `sluice-${Buffer.from(env.random.bytes(8)).toString('hex')}`)
}

function missing(
  topic: string,
  wanted: number | ((records: readonly StoredRecord[]) => boolean),
  records: readonly StoredRecord[],
  timeoutMs: number,
): string {
  const want = typeof wanted === 'number' ? `${wanted} records` : 'the records waited for'
  const shown = records.slice(-5).map(({ partition, offset, key, value }) => {
    const text = value === null || value.length <= 60 ? value : `${value.slice(0, 60)}...`
    return `\n  ${topic}-${partition}@${offset} ${JSON.stringify({ key, value: text })}`
  })
  const last = records.length > 5 ? ', the last of them' : ''
  const there = records.length === 0 ? 'it holds none' : `it holds ${records.length}${last}:${shown.join('')}`
  return `After ${timeoutMs} ms topic ${topic} does not hold ${want}: ${there}`
}
