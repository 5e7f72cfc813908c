/**
 * The composition root: one broker made from an environment and a configuration. It knows in which order the parts
 * start and stop, and what becomes of all when one of them fails; it must not know what any of them does.
 *
 * Start: data folder (lock, identity), metadata store, image of the cluster, partitions (recovery), and last of all the
 * listeners, so that nobody is answered before everything is there. Stop goes the other way round.
 */
import { ErrorCode, errorName } from '../client/protocol/errors.ts'
import { type BrokerId } from '../client/protocol/types.ts'
import { type BrokerContext } from './api/context.ts'
import { createTopics } from './api/create-topics.ts'
import { createRegistry } from './api/registry.ts'
import { type BrokerConfig } from './config/broker-config.ts'
import { ConfigError } from './config/definition.ts'
import { isWildcard, type ListenerConfig, listenersOf } from './config/listeners.ts'
import { decideNewTerms } from './controller/leaders.ts'
import { type BrokerEndpoint } from './controller/records.ts'
import { decideDeleteTopic } from './controller/topics.ts'
import { type Address, type Env } from './env.ts'
import { linkMemory } from './link-memory.ts'
import { openEmbeddedMetaStore } from './metastore/embedded.ts'
import { type MetaStore } from './metastore/metastore.ts'
import { adoptFolder } from './runtime/adopt-folder.ts'
import { clusterIdIn } from './runtime/cluster-identity.ts'
import { ClusterMetadata } from './runtime/cluster-metadata.ts'
import { ClusterNode } from './runtime/cluster-node.ts'
import { DataFolder } from './runtime/data-folder.ts'
import { FetchSessions } from './runtime/fetch-sessions.ts'
import { GroupManager } from './runtime/group-manager.ts'
import { type CleanerConfig } from './runtime/log-cleaner.ts'
import { type PartitionHost } from './runtime/partition-host.ts'
import { DEFAULT_PARTITION_MANAGER_CONFIG, PartitionManager } from './runtime/partition-manager.ts'
import { ProducerIds } from './runtime/producer-ids.ts'
import { Purgatory } from './runtime/purgatory.ts'
import { NO_FETCHING, ReplicaRoles } from './runtime/replica-roles.ts'
import { ReplicationThrottle } from './runtime/replication-throttle.ts'
import { Topics } from './runtime/topics.ts'
import { type ConnectionInfo, type Interceptor } from './server/handler.ts'
import { type ServerLimits } from './server/limits.ts'
import { createSlabPool, Server } from './server/server.ts'

export type BrokerState = 'new' | 'starting' | 'running' | 'stopping' | 'stopped' | 'failed'

export interface BrokerOptions {
  readonly env: Env
  /** `log.dirs` must name an absolute path. */
  readonly config: BrokerConfig
  /**
   * Called once when the broker can no longer keep its promises (a failed sync, a bug): its connections are closed by
   * then. The process should end with code 1.
   */
  readonly onFatal?: (error: Error) => void
  /** Bounds of the server that no config names. */
  readonly limits?: Partial<ServerLimits>
  /** The cluster that the broker is part of; absent: it is alone. */
  readonly cluster?: ClusterOptions
  /** Stands between requests and handlers; for tests. */
  readonly interceptor?: Interceptor
}

export interface ClusterOptions {
  /** What the brokers of the cluster share. */
  readonly store: MetaStore
  /** The store is this broker's own way to it, and is closed with it. */
  readonly ownsStore: boolean
}

export interface TopicSpec {
  readonly name: string
  /** Default: num.partitions. */
  readonly partitions?: number
  readonly configs?: Readonly<Record<string, string>>
}

/** A broker could not do what was asked of it in the process; `code` is the protocol's name of the error. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

export interface ListeningAddress {
  readonly listener: string
  readonly address: Address
}

export class Broker {
  readonly brokerId: number
  readonly #options: BrokerOptions
  readonly #listeners: readonly ListenerConfig[]
  /** Everything that is received lands here, from clients and from other brokers. */
  readonly #pool = createSlabPool()
  #node: ClusterNode | null = null
  /** What the data folder says it was closed under; -1 outside of a cluster. */
  #epochForMarker = -1
  /** What has been started, each with the way to stop it; stopped in reverse order. */
  readonly #started: { readonly name: string; readonly stop: (clean: boolean) => Promise<void> | void }[] = []
  readonly #addresses: ListeningAddress[] = []
  #state: BrokerState = 'new'
  #context: BrokerContext | null = null
  #server: Server | null = null
  #stopping: Promise<void> | null = null

  /** Throws ConfigError where configs do not go together. */
  constructor(options: BrokerOptions) {
    this.#options = options
    const { values } = options.config
    this.brokerId = values['node.id']
    this.#listeners = listenersOf(values)
    if (!/^([a-zA-Z]:)?[/\\]/.test(values['log.dirs'][0]!)) {
      throw new ConfigError(
        'log.dirs',
        `log.dirs must name an absolute path here, and not ${values['log.dirs'][0]}`,
      )
    }
  }

  get state(): BrokerState {
    return this.#state
  }

  /** Known once it runs. */
  get clusterId(): string {
    return this.#running().clusterId
  }

  /** Where the first listener listens, with the port that it got. */
  get address(): Address {
    this.#running()
    return this.#addresses[0]!.address
  }

  get addresses(): readonly ListeningAddress[] {
    return this.#addresses
  }

  /** Resolves when requests are answered. Rejects, with everything closed again, when the broker cannot start. */
  async start(): Promise<void> {
    if (this.#state !== 'new')
      throw new BrokerError('ILLEGAL_STATE', `A broker starts once; this one is ${this.#state}`)
    this.#state = 'starting'
    try {
      const context = await this.#startParts()
      await this.#listen(context)
      await this.#join()
      // A part may have failed while others were being started.
      if (this.#stopping !== null) throw new BrokerError('STOPPED', 'The broker was stopped while it started')
      this.#state = 'running'
    } catch (error) {
      await this.#stopAll(false)
      // Where it was stopped while it started, what came up behind that stop is left over.
      await this.#stopParts(false)
      throw error
    }
  }

  /**
   * Accepts nothing more, answers what is under way, flushes, writes the checkpoints and the clean-shutdown marker.
   * Called again, it waits for the same stop.
   */
  async stop(): Promise<void> {
    if (this.#state === 'new') this.#state = 'stopped'
    await this.#stopAll(this.#state === 'running')
  }

  /** Ends as a crash does: nothing is finished, and nothing written down. The next start recovers. */
  async kill(): Promise<void> {
    if (this.#state === 'new') this.#state = 'stopped'
    await this.#stopAll(false)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  /** The parts, for who looks into a broker in its own process. */
  get context(): BrokerContext {
    return this.#running()
  }

  /** Breaks every connection; clients may come back at once. */
  dropConnections(): void {
    for (const connection of this.#server?.connections ?? []) connection.destroy()
  }

  /** Makes topics as an admin client would. Rejects with a BrokerError for the first that is refused. */
  async createTopics(topics: readonly TopicSpec[]): Promise<void> {
    const commands = topics.map(({ name, partitions, configs }) => ({
      name,
      partitions: partitions ?? -1,
      replicationFactor: -1,
      assignments: [],
      configs: Object.entries(configs ?? {}).map(([config, value]) => ({ name: config, value })),
    }))
    const outcomes = await createTopics(this.#running(), commands, false)
    for (const { error, message } of outcomes) {
      if (error !== ErrorCode.NONE) throw new BrokerError(errorName(error), message ?? errorName(error))
    }
  }

  /** Names of all topics, sorted. */
  get topicNames(): readonly string[] {
    return this.#running().metadata.image.topicNames()
  }

  /** Deletes every topic, so that the next test begins with nothing. Connections stay. */
  async deleteAllTopics(): Promise<void> {
    const { metadata, topics } = this.#running()
    const all = [...metadata.image.topics()]
    const deletions = all.map(({ topicId }) =>
      topics.change(topicId, () => {
        const topic = metadata.image.topicById(topicId)
        const change = topic === undefined ? { steps: [] } : decideDeleteTopic(topic)
        return { refusal: null, change, result: null }
      }),
    )
    await Promise.all(deletions)
  }

  #running(): BrokerContext {
    if (this.#context === null) {
      throw new BrokerError('NOT_RUNNING', `The broker is not running: it is ${this.#state}`)
    }
    return this.#context
  }

  /** Everything below is closed again by the stop, also where the start fails in between. */
  async #openMetadata(): Promise<{ dataFolder: DataFolder; store: MetaStore; metadata: ClusterMetadata }> {
    const { env, config, cluster } = this.#options
    const { values } = config
    const onFatal = (error: Error): void => this.#fail(error)
    const isAlone = cluster === undefined
    if (cluster?.ownsStore === true)
      this.#started.push({ name: 'way to the metadata store', stop: () => cluster.store.close() })
    const dataFolder = await DataFolder.open({
      env,
      path: values['log.dirs'][0]!,
      clusterId: values['cluster.id'] ?? (isAlone ? null : await clusterIdIn(cluster.store, env.random)),
      nodeId: this.brokerId as BrokerId,
    })
    this.#started.push({ name: 'data folder', stop: clean => dataFolder.close(clean, this.#epochForMarker) })
    const store =
      cluster?.store ?? (await openEmbeddedMetaStore({ env, dataFolder: dataFolder.path, onFatal }))
    if (isAlone) this.#started.push({ name: 'metadata store', stop: () => store.close() })
    const { clusterId } = dataFolder
    const metadata = await ClusterMetadata.open({ store, clusterId, log: env.log, isAlone, onFatal })
    this.#started.push({ name: 'metadata', stop: () => metadata.close() })
    return { dataFolder, store, metadata }
  }

  async #startParts(): Promise<BrokerContext> {
    const { env, config } = this.#options
    const { brokerId } = this
    const onFatal = (error: Error): void => this.#fail(error)
    const { dataFolder, store, metadata } = await this.#openMetadata()
    const throttle = new ReplicationThrottle({
      clock: env.clock,
      brokerId,
      config: (): BrokerConfig => topics.config,
    })
    const node = metadata.isAlone
      ? null
      : new ClusterNode({
          env,
          store,
          metadata,
          dataFolder,
          brokerId,
          memory: linkMemory(this.#pool),
          staticConfig: config,
          config: (): BrokerConfig => topics.config,
          throttle,
          host: (topicId, partition): PartitionHost | undefined => partitions.get(topicId, partition),
          onFatal,
        })
    if (node === null) await takeUp({ env, dataFolder, metadata, brokerId })
    else {
      this.#node = node
      this.#started.push({
        name: 'registration',
        stop: async clean => {
          this.#epochForMarker = node.membership.epochForMarker
          await node.close(clean)
        },
      })
    }
    const partitions = new PartitionManager({
      env,
      dataFolder,
      config: partitionManagerConfig(config),
      cleanerConfig: (): CleanerConfig => cleanerConfig(topics.config),
      ...(node === null ? {} : { cluster: node.services }),
      onFatal,
    })
    this.#started.push({ name: 'partitions', stop: clean => partitions.stop(clean) })
    const roles = new ReplicaRoles({
      metadata,
      partitions,
      brokerId,
      brokerEpoch: () => node?.membership.brokerEpoch ?? -1,
      fetching: node?.fetchers ?? NO_FETCHING,
    })
    const topics = new Topics({
      metadata,
      partitions,
      roles,
      brokerId,
      config,
      log: env.log,
      timers: env.timers,
    })
    this.#started.push({ name: 'topics', stop: () => topics.stop() })
    if (node !== null) {
      node.connect()
      // The image may show what this registration leads before this broker knows that the registration is its own.
      node.membership.onRegistered(() => roles.applyAll())
      this.#started.push({ name: 'links to other brokers', stop: () => node.disconnect() })
    }
    await topics.start()
    const groups = new GroupManager({ env, metadata, topics, partitions, brokerId, config, onFatal })
    groups.start()
    this.#started.push({ name: 'groups', stop: () => groups.stop() })
    const purgatory = new Purgatory(env)
    this.#started.push({ name: 'purgatory', stop: () => purgatory.expireAll() })
    const slots = (): number => topics.config.values['max.incremental.fetch.session.cache.slots']
    return {
      env,
      brokerId,
      clusterId: dataFolder.clusterId,
      dataFolder: dataFolder.path,
      get config() {
        return topics.config
      },
      metadata,
      topics,
      partitions,
      purgatory,
      fetchSessions: new FetchSessions({ clock: env.clock, random: env.random, slots }),
      throttle,
      producerIds: new ProducerIds(metadata),
      groups,
      endpoint: connection => this.#endpoint(connection),
    }
  }

  async #listen(context: BrokerContext): Promise<void> {
    const { env, config, limits, interceptor } = this.#options
    const { values } = config
    const pool = this.#pool
    // The tail cache keeps slices of what was received: where that memory runs short, it must let go first.
    pool.onPressure(wantedBytes => context.partitions.tailCache.shrink(wantedBytes))
    const server = new Server({
      env,
      handlers: createRegistry(context),
      limits: {
        maxFrameBytes: values['socket.request.max.bytes'],
        maxConnections: values['max.connections'],
        maxConnectionsPerAddress: values['max.connections.per.ip'],
        idleMs: values['connections.max.idle.ms'],
        ...limits,
      },
      pool,
      onFatal: error => this.#fail(error),
      ...(interceptor === undefined ? {} : { interceptor }),
    })
    this.#server = server
    this.#started.push({
      name: 'server',
      stop: clean => {
        const stopped = clean ? server.stop() : server.stop(0)
        // What waits for more data is answered with what there is, instead of holding up the stop.
        context.purgatory.expireAll()
        context.groups.stop()
        return stopped
      },
    })
    this.#context = context
    for (const { name, host, port } of this.#listeners) {
      const address = await server.listen({ name, address: { host, port } })
      this.#addresses.push({ listener: name, address })
    }
  }

  /** Others hear of this broker when it can answer them, and not before. */
  async #join(): Promise<void> {
    const node = this.#node
    if (node === null) return
    this.#started.push({ name: 'leadership', stop: clean => (clean ? node.leave() : node.abandon()) })
    await node.join(this.#endpoints())
  }

  /** What other brokers tell clients of this one. */
  #endpoints(): BrokerEndpoint[] {
    return this.#addresses.map(({ listener, address }) => {
      const { advertised } = this.#listeners.find(({ name }) => name === listener)!
      const { host, port } = advertised ?? address
      if (isWildcard(host)) {
        throw new ConfigError(
          'advertised.listeners',
          `The listener ${listener} is open on every interface (${host}), so the other brokers cannot tell clients where to find it. Name the host that clients reach in advertised.listeners, as ${listener}://host.example:${port}.`,
        )
      }
      return { listener, host, port }
    })
  }

  /** Where a client is told to come: as configured, else to where it came. */
  #endpoint(connection: ConnectionInfo): { host: string; port: number } {
    const { listenerName, local } = connection
    const listener = this.#listeners.find(({ name }) => name === listenerName)
    const advertised = listener?.advertised
    if (advertised) return { host: advertised.host, port: advertised.port }
    // An IPv4 client of an IPv6 socket: it knows the address without this prefix.
    return { host: local.host.replace(/^::ffff:(?=\d+\.)/, ''), port: local.port }
  }

  /** Nothing may be acknowledged any more: close the connections first, then give back what is held. */
  #fail(error: Error): void {
    if (this.#state === 'failed' || this.#state === 'stopped') return
    this.#state = 'failed'
    this.#options.env.log.error(
      'The broker stops: it can no longer keep its promises. Look at the cause, then start it again; it recovers what was acknowledged from the disk.',
      { error },
    )
    void this.#stopAll(false)
    this.#options.onFatal?.(error)
  }

  #stopAll(clean: boolean): Promise<void> {
    this.#stopping ??= this.#stopParts(clean)
    return this.#stopping
  }

  async #stopParts(clean: boolean): Promise<void> {
    if (this.#state === 'running') this.#state = 'stopping'
    let isClean = clean
    for (let part = this.#started.pop(); part !== undefined; part = this.#started.pop()) {
      try {
        await part.stop(isClean && this.#state !== 'failed')
      } catch (error) {
        // What lies below must still be closed, but not be called clean.
        isClean = false
        this.#options.env.log.error(`Stopping the ${part.name} failed`, { error })
      }
    }
    this.#context = null
    if (this.#state !== 'failed') this.#state = 'stopped'
  }
}

/** A broker that is alone begins where it left off, or where Kafka left off. */
async function takeUp(options: {
  readonly env: Env
  readonly dataFolder: DataFolder
  readonly metadata: ClusterMetadata
  readonly brokerId: number
}): Promise<void> {
  const { env, dataFolder, metadata, brokerId } = options
  await adoptFolder({ env, dataFolder: dataFolder.path, metadata, brokerId })
  if (dataFolder.cleanShutdown) return
  await metadata.change(() => ({
    refusal: null,
    change: decideNewTerms(metadata.image, brokerId),
    result: null,
  }))
}

export function createBroker(options: BrokerOptions): Broker {
  return new Broker(options)
}

function partitionManagerConfig(
  config: BrokerConfig,
): ConstructorParameters<typeof PartitionManager>[0]['config'] {
  const { values } = config
  return {
    parallelRecoveries: values['num.recovery.threads.per.data.dir'],
    parallelSyncs: DEFAULT_PARTITION_MANAGER_CONFIG.parallelSyncs,
    recoveryPointCheckpointMs: values['log.flush.offset.checkpoint.interval.ms'],
    logStartCheckpointMs: values['log.flush.start.offset.checkpoint.interval.ms'],
    highWatermarkCheckpointMs: values['replica.high.watermark.checkpoint.interval.ms'],
    retentionCheckMs: values['log.retention.check.interval.ms'],
    producerIdExpirationMs: values['producer.id.expiration.ms'],
    producerIdExpirationCheckMs: values['producer.id.expiration.check.interval.ms'],
    tailCacheBytes: values['log.tail.cache.bytes'],
  }
}

function cleanerConfig({ values }: BrokerConfig): CleanerConfig {
  return {
    enabled: values['log.cleaner.enable'],
    backoffMs: values['log.cleaner.backoff.ms'],
    dedupeBytes: values['log.cleaner.dedupe.buffer.size'],
    loadFactor: values['log.cleaner.io.buffer.load.factor'],
    ioBytes: values['log.cleaner.io.buffer.size'],
    maxBytesPerSecond: values['log.cleaner.io.max.bytes.per.second'],
  }
}
