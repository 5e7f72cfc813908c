/**
 * A cluster for tests, in the test's own process: several brokers with their own logs and connections, that share one
 * metadata store as brokers in production share etcd. What happens to one of them (a crash, a restart) the others find
 * out as they do there, and the test can wait for what they make of it.
 */
import { assert } from '../../client/protocol/assert.ts'
import { isInternalTopic } from '../controller/topic-names.ts'
import { type Env } from '../env.ts'
import { MemoryDisk } from '../env-memory/disk.ts'
import { createNodeLog } from '../env-node/log.ts'
import { createNodeEnv } from '../env-node.ts'
import { openEmbeddedMetaStore } from '../metastore/embedded.ts'
import { type MetaStore } from '../metastore/metastore.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type StoredRecord } from './stored-records.ts'
import { folderOf, type StartBrokerOptions, TestBroker } from './test-broker.ts'
import { TestClient, type TestMessage } from './test-client.ts'
import { makeTopics, type TestTopic, type TestTopics } from './test-topics.ts'
import { recordsOf, type WaitOptions, type WantedRecords, waitFor, waitForRecords } from './waiting.ts'

export interface StartClusterOptions extends Omit<StartBrokerOptions, 'port'> {
  /** How many; their ids are 1, 2, 3 and so on. Default 3. */
  readonly brokers?: number
  /** Where each of them stands, in order of their ids (broker.rack). */
  readonly racks?: readonly string[]
}

export interface LeaderOptions extends WaitOptions {
  /** Waits for another leader than this one. */
  readonly not?: number
}

const REPLICAS = 3

/** Starts brokers on free ports of this machine; resolves when all of them answer and have their topics. */
export async function startCluster(options: StartClusterOptions = {}): Promise<TestCluster> {
  const cluster = await TestCluster.open(options)
  try {
    await cluster.start()
    return cluster
  } catch (error) {
    await cluster.stop()
    throw error
  }
}

export class TestCluster implements AsyncDisposable {
  /** In order of their ids, also those that do not run. */
  readonly brokers: readonly TestBroker[]
  readonly #options: StartClusterOptions
  readonly #env: Env
  readonly #folder: string
  readonly #store: MetaStore
  readonly #client = new TestClient()

  private constructor(
    options: StartClusterOptions,
    parts: { env: Env; folder: string; store: MetaStore; brokers: readonly TestBroker[] },
  ) {
    this.#options = options
    this.#env = parts.env
    this.#folder = parts.folder
    this.#store = parts.store
    this.brokers = parts.brokers
  }

  /** For `startCluster`: the brokers are made, and not started. */
  static async open(options: StartClusterOptions): Promise<TestCluster> {
    const { storage = 'memory', log = 'error', brokers: count = 3, racks = [] } = options
    const real = createNodeEnv({ log: typeof log === 'string' ? createNodeLog({ level: log }) : log })
    const env = storage === 'memory' ? { ...real, disk: new MemoryDisk() } : real
    const folder = folderOf(storage, real)
    const store = await openEmbeddedMetaStore({ env, dataFolder: `${folder}/metadata` })
    const brokers = Array.from({ length: count }, (_, index) => {
      const brokerId = index + 1
      const seat = { brokerId, rack: racks[index] ?? null, store, folder: `${folder}/broker-${brokerId}` }
      return new TestBroker(options, { ...seat, configs: configsOf(count) })
    })
    return new TestCluster(options, { env, folder, store, brokers })
  }

  /** For `startCluster`. */
  async start(): Promise<void> {
    await Promise.all(this.brokers.map(broker => broker.restart()))
    await this.createTopics(this.#options.topics ?? {})
  }

  /** All addresses, parted by commas, for the `brokers` or `bootstrap.servers` of any client. They stay the same. */
  get bootstrap(): string {
    return this.brokers.map(({ bootstrap }) => bootstrap).join(',')
  }

  /** The broker of this id; throws where there is none. */
  broker(brokerId: number): TestBroker {
    const broker = this.brokers[brokerId - 1]
    if (broker === undefined)
      throw new Error(`There is no broker ${brokerId}: their ids are 1 to ${this.brokers.length}`)
    return broker
  }

  /** Those that run. */
  get running(): readonly TestBroker[] {
    return this.brokers.filter(({ isRunning }) => isRunning)
  }

  // --------------------------------------------------------------------------------------------- topics

  /** Makes a topic; rejects where there is one of that name. */
  async createTopic(name: string, topic: number | TestTopic = 1): Promise<void> {
    await this.createTopics({ [name]: topic })
  }

  /** Resolves when all of them have their leaders, and every broker knows. */
  async createTopics(topics: TestTopics): Promise<void> {
    await makeTopics(this.#newest().broker.context, topics)
    const names = Object.keys(topics)
    const areServed = (): true | null => (names.every(name => this.#isServed(name)) ? true : null)
    const late = (): string => names.filter(name => !this.#isServed(name)).join(', ')
    await waitFor(this.#env, areServed, timeoutMs => `After ${timeoutMs} ms nobody serves all of ${late()}`)
  }

  /** Names of the topics that are there, sorted, without those that the brokers make for themselves. */
  get topics(): readonly string[] {
    return this.#newest().broker.topicNames.filter(name => !isInternalTopic(name))
  }

  /**
   * Back to the beginning, for the next test: brokers that were killed run again, all topics and their data are
   * removed, those of `startCluster` made anew. Ports stay.
   */
  async reset(): Promise<void> {
    await Promise.all(this.brokers.filter(({ isRunning }) => !isRunning).map(broker => broker.restart()))
    await this.#newest().reset()
    const names = Object.keys(this.#options.topics ?? {})
    const isDone = (): true | null => (names.every(name => this.#isServed(name)) ? true : null)
    await waitFor(this.#env, isDone, timeoutMs => `After ${timeoutMs} ms the topics are not served again`)
  }

  // -------------------------------------------------------------------------------------------- leaders

  /** The broker that leads a partition, as far as the brokers that run know; null where nobody does. */
  leaderOf(topic: string, partition = 0): number | null {
    const leader =
      this.#newest().broker.context.metadata.image.topic(topic)?.partitions[partition]?.leader ?? -1
    return leader === -1 ? null : leader
  }

  /** Waits until a broker that runs leads the partition and serves it. Resolves to its id. */
  async waitForLeader(topic: string, partition = 0, options: LeaderOptions = {}): Promise<number> {
    const look = (): number | null => {
      const leader = this.leaderOf(topic, partition)
      return leader === null || leader === options.not || this.#leading(topic, partition) === null
        ? null
        : leader
    }
    const missing = (timeoutMs: number): string =>
      `After ${timeoutMs} ms ${options.not === undefined ? 'nobody' : `nobody but ${options.not}`} leads ${topic}-${partition}`
    return waitFor(this.#env, look, missing, options)
  }

  /** The replicas of a partition that are in sync, in order of their ids. */
  inSync(topic: string, partition = 0): readonly number[] {
    const registration = this.#newest().broker.context.metadata.image.topic(topic)?.partitions[partition]
    return (registration?.isr ?? []).toSorted((a, b) => a - b)
  }

  /** Waits until all replicas of a topic are in sync. */
  async waitForSync(topic: string, options: WaitOptions = {}): Promise<void> {
    const behind = (): string[] => {
      const partitions = this.#newest().broker.context.metadata.image.topic(topic)?.partitions
      if (partitions === undefined) return [topic]
      return partitions
        .filter(({ replicas, isr }) => isr.length < replicas.length)
        .map(({ partition, replicas, isr }) => `${topic}-${partition} (${isr.join()} of ${replicas.join()})`)
    }
    const look = (): true | null => (behind().length === 0 ? true : null)
    const missing = (timeoutMs: number): string =>
      `After ${timeoutMs} ms there are not in sync: ${behind().join(', ')}`
    await waitFor(this.#env, look, missing, options)
  }

  // -------------------------------------------------------------------------------------------- records

  /** Writes messages, as an idempotent producer with acks=all; a string is a message with just a value. */
  async produce(topic: string, messages: readonly (string | TestMessage)[]): Promise<void> {
    await this.#client.produce(this.bootstrap, topic, messages)
  }

  /**
   * The committed records of a topic, by partition and offset, as the leaders have them; those of partitions that
   * nobody leads are missing. Read inside the process: no client takes part.
   */
  async records(topic: string): Promise<StoredRecord[]> {
    return recordsOf(this.#leaders(topic))
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
    return waitForRecords(this.#env, topic, () => this.#leaders(topic), wanted, options)
  }

  // ----------------------------------------------------------------------------------------- misfortune

  /** Ends a broker as a crash does: see `TestBroker.kill`. */
  async kill(brokerId: number): Promise<void> {
    await this.broker(brokerId).kill()
  }

  /** Starts a broker again on its data and its port. */
  async restart(brokerId: number): Promise<void> {
    await this.broker(brokerId).restart()
  }

  /** Stops all brokers and removes what they leave behind; with storage `dir` the data stays. */
  async stop(): Promise<void> {
    await this.#client.close()
    await Promise.all(this.brokers.map(broker => broker.stop()))
    await this.#store.close()
    if (this.#options.storage === 'temp') await this.#env.disk.removeTree(this.#folder)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  // -------------------------------------------------------------------------------------------- inside

  /** Of the brokers that run, the one that knows the newest state of the cluster. */
  #newest(): TestBroker {
    const known = this.running.toSorted((a, b) => revisionOf(b) - revisionOf(a))
    assert(known[0] !== undefined, 'a broker runs: start one again with restart()')
    return known[0]
  }

  #leading(topic: string, partition: number): PartitionHost | null {
    const leader = this.leaderOf(topic, partition)
    const broker = leader === null ? undefined : this.brokers[leader - 1]
    if (broker?.isRunning !== true) return null
    const { metadata, partitions } = broker.broker.context
    const topicId = metadata.image.topic(topic)?.topicId
    const host = topicId === undefined ? undefined : partitions.get(topicId, partition)
    return host?.role === 'leader' ? host : null
  }

  #leaders(topic: string): PartitionHost[] {
    const partitions = this.#newest().broker.context.metadata.image.topic(topic)?.partitions ?? []
    return partitions.map(({ partition }) => this.#leading(topic, partition)).filter(host => host !== null)
  }

  #isServed(topic: string): boolean {
    const isKnown = this.running.every(
      ({ broker }) => broker.context.metadata.image.topic(topic) !== undefined,
    )
    const partitions = this.#newest().broker.context.metadata.image.topic(topic)?.partitions ?? []
    return isKnown && this.#leaders(topic).length === partitions.length
  }
}

function revisionOf({ broker }: TestBroker): number {
  return broker.context.metadata.revision
}

/** As many replicas as a cluster of this size should have: one of three may fail, and all can be read and written. */
function configsOf(brokers: number): Record<string, string> {
  const replicas = Math.min(REPLICAS, brokers)
  return {
    'default.replication.factor': String(replicas),
    'offsets.topic.replication.factor': String(replicas),
    'min.insync.replicas': String(replicas === REPLICAS ? 2 : 1),
  }
}
