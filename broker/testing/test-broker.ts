/**
 * A broker for tests, in the test's own process: the real one, over memory by default, with the means to look into its
 * logs, to break things on purpose, and to begin anew between two tests. It may be one of a cluster: then whoever made
 * the cluster gives it its place in it.
 */
import { tmpdir } from 'node:os'
import { isAbsolute, join, resolve } from 'node:path'
import { API, type ApiName } from '../../client/protocol/apis.ts'
import { type Broker, createBroker } from '../broker.ts'
import { loadConfig } from '../config.ts'
import { isInternalTopic } from '../controller/topic-names.ts'
import { type Env, type Log } from '../env.ts'
import { MemoryDisk } from '../env-memory/disk.ts'
import { createNodeLog, type LogLevel } from '../env-node/log.ts'
import { createNodeEnv } from '../env-node.ts'
import { type LeaseId, type MetaStore, MetaStoreError } from '../metastore/metastore.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type Decide, type Interception, Interceptions } from './interceptions.ts'
import { type StoredRecord } from './stored-records.ts'
import { HELPER_CLIENT_ID, TestClient, type TestMessage } from './test-client.ts'
import { makeTopics, type TestTopic, type TestTopics } from './test-topics.ts'
import { recordsOf, type WaitOptions, type WantedRecords, waitForRecords } from './waiting.ts'

export interface StartBrokerOptions {
  /**
   * `memory` (the default) keeps nothing beyond the broker, `temp` makes a folder that is removed at the end, `dir` keeps
   * its data: a broker that is started there again finds it.
   */
  readonly storage?: 'memory' | 'temp' | { readonly dir: string }
  /** Topics that are there from the start and again after each `reset`: partitions, or partitions and configs. */
  readonly topics?: TestTopics
  /** Whether a topic is made when a client first asks for it. Default true. */
  readonly autoCreate?: boolean
  /** Default 0: a free one. */
  readonly port?: number
  /** Any broker config, with Kafka's names. */
  readonly configs?: Readonly<Record<string, string>>
  /** What the broker logs to standard error, or a log of your own. Default `error`. */
  readonly log?: LogLevel | 'silent' | Log
}

/** The type of a request of an API, by the API's name. */
export type RequestOf<Name extends ApiName> = ReturnType<
  ReturnType<(typeof API)[Name]['request']['at']>['decode']
>

const HOST = '127.0.0.1'
/** A consumer of a test has nobody else to wait for. */
const IMPATIENT = { 'group.initial.rebalance.delay.ms': '0' }
/** What is thrown away at the end need not outlive a power cut, and what is deleted need not wait. */
const TRANSIENT = { 'log.flush.before.ack': 'false', 'log.segment.delete.delay.ms': '0' }

/** The place of a broker in a cluster, given by who made the cluster. */
export interface Seat {
  readonly brokerId: number
  readonly rack: string | null
  /** Shared by all; stays open when the broker stops. */
  readonly store: MetaStore
  /** The broker's own folder; its owner removes it. */
  readonly folder: string
  /** Configs that hold for a cluster; those of the options are stronger. */
  readonly configs: Readonly<Record<string, string>>
}

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
  readonly #seat: Seat | null
  #port: number
  #broker: Broker | null = null
  readonly #client = new TestClient()
  #failure: Error | null = null

  /** Made by `startBroker` and `startCluster`. */
  constructor(options: StartBrokerOptions, seat: Seat | null = null) {
    const { storage = 'memory', log = 'error' } = options
    const env = createNodeEnv({ log: typeof log === 'string' ? createNodeLog({ level: log }) : log })
    this.#options = options
    this.#env = storage === 'memory' ? { ...env, disk: new MemoryDisk() } : env
    this.#seat = seat
    this.#folder = seat?.folder ?? folderOf(storage, env)
    this.#interceptions = new Interceptions(env.timers, HELPER_CLIENT_ID)
    this.#port = options.port ?? 0
  }

  /** `host:port`, for the `brokers` or `bootstrap.servers` of any client. The same after `reset` and `restart`. */
  get bootstrap(): string {
    return `${HOST}:${this.#port}`
  }

  /** 1, but in a cluster. */
  get brokerId(): number {
    return this.#seat?.brokerId ?? 1
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

  async createTopics(topics: TestTopics): Promise<void> {
    await makeTopics(this.broker.context, topics)
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
    await this.#client.produce(this.bootstrap, topic, messages)
  }

  /**
   * The records that are in the log of a topic now, by partition and offset; empty where there is no such topic. Read
   * inside the process: no client takes part.
   */
  async records(topic: string): Promise<StoredRecord[]> {
    return recordsOf(this.#partitions(topic))
  }

  /**
   * Waits until a topic holds so many records, or such that `wanted` is content with them, and returns all that it
   * holds. Rejects after `timeoutMs`, and says what was there instead.
   */
  async waitForRecords(
    topic: string,
    wanted: WantedRecords,
    options: WaitOptions = {},
  ): Promise<StoredRecord[]> {
    return waitForRecords(this.#env, topic, () => this.#partitions(topic), wanted, options)
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
   * operating system survives, as it survives the end of a process. `restart` recovers. The other brokers of a cluster
   * find out at once.
   */
  async kill(): Promise<void> {
    const { broker } = this
    const lease = broker.context.metadata.image.brokers.get(this.brokerId)?.lease ?? null
    this.#broker = null
    this.#interceptions.clear()
    await broker.kill()
    // Those that have had time to connect to it see that by themselves; a test may kill a broker sooner than that.
    if (this.#seat !== null && lease !== null) await endLease(this.#seat.store, lease)
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
      ...(this.#seat === null ? {} : { cluster: { store: this.#seat.store, ownsStore: false } }),
    })
    await broker.start()
    this.#broker = broker
    this.#port = broker.address.port
  }

  /** Stops the broker and removes what it leaves behind; with storage `dir` the data stays. */
  async stop(): Promise<void> {
    this.#interceptions.clear()
    await this.#client.close()
    await this.#stopBroker()
    if (this.#options.storage === 'temp' && this.#seat === null) await this.#env.disk.removeTree(this.#folder)
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
    const seat = this.#seat
    return {
      'log.dirs': this.#folder,
      listeners: `PLAINTEXT://${HOST}:${this.#port}`,
      'auto.create.topics.enable': String(autoCreate),
      ...IMPATIENT,
      ...(typeof storage === 'object' ? {} : TRANSIENT),
      ...(seat === null ? {} : { 'node.id': String(seat.brokerId), ...seat.configs }),
      ...(seat === null || seat.rack === null ? {} : { 'broker.rack': seat.rack }),
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
}

async function endLease(store: MetaStore, lease: LeaseId): Promise<void> {
  try {
    await store.revokeLease(lease)
  } catch (error) {
    // Another broker was faster.
    if (!(error instanceof MetaStoreError) || error.code !== 'LEASE_NOT_FOUND') throw error
  }
}

/** Absolute. That of `temp` is not made yet. */
export function folderOf(storage: StartBrokerOptions['storage'], env: Env): string {
  if (typeof storage === 'object') return isAbsolute(storage.dir) ? storage.dir : resolve(storage.dir)
  if (storage !== 'temp') return '/memory'
  return join(tmpdir(), `sluice-${Buffer.from(env.random.bytes(8)).toString('hex')}`)
}
