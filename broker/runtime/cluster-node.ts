/**
 * This broker's part in a cluster: its registration, its share in electing a controller, what it copies from leaders,
 * whom it watches. Puts these together and ties them to the image; what each of them does it must not know.
 */
import { type BrokerId, type TopicId } from '../../client/protocol/types.ts'
import { type BrokerConfig } from '../config/broker-config.ts'
import { type BrokerEndpoint, type BrokerRegistration, type ControllerRecord } from '../controller/records.ts'
import { type Address, type Env } from '../env.ts'
import { type MetaStore, MetaStoreError } from '../metastore/metastore.ts'
import { type LinkMemory } from './broker-link.ts'
import { type ClusterMetadata } from './cluster-metadata.ts'
import { ControllerHost } from './controller-host.ts'
import { type DataFolder } from './data-folder.ts'
import { freshUuid } from './fresh-ids.ts'
import { Isolation } from './isolation.ts'
import { IsrWriter } from './isr-writer.ts'
import { Membership } from './membership.ts'
import { type PartitionHost } from './partition-host.ts'
import { type ClusterServices } from './partition-types.ts'
import { PeerMonitor } from './peer-monitor.ts'
import { type CopyingThrottle, type FetcherConfig } from './replica-fetcher.ts'
import { ReplicaFetchers } from './replica-fetchers.ts'
import { type ReplicationQuota, type ReplicationThrottle } from './replication-throttle.ts'
import { topicPolicies } from './topic-policy.ts'

export interface ClusterNodeOptions {
  readonly env: Env
  readonly store: MetaStore
  readonly metadata: ClusterMetadata
  readonly dataFolder: DataFolder
  readonly brokerId: number
  readonly memory: LinkMemory
  /** The static configuration. */
  readonly staticConfig: BrokerConfig
  /** What holds now; asked only after `connect`. */
  readonly config: () => BrokerConfig
  readonly throttle: ReplicationThrottle
  readonly host: (topicId: TopicId, partition: number) => PartitionHost | undefined
  readonly onFatal: (error: Error) => void
}

export class ClusterNode {
  readonly membership: Membership
  readonly controller: ControllerHost
  readonly fetchers: ReplicaFetchers
  readonly peers: PeerMonitor
  readonly #options: ClusterNodeOptions
  readonly #isr: IsrWriter
  readonly #isolation: Isolation
  #unsubscribe: (() => void) | null = null

  constructor(options: ClusterNodeOptions) {
    this.#options = options
    const { env, store, metadata, dataFolder, brokerId, memory, onFatal } = options
    const { values } = options.staticConfig
    this.membership = new Membership({
      env,
      store,
      metadata,
      brokerId,
      folder: dataFolder.directoryId,
      incarnation: freshUuid(env.random),
      rack: values['broker.rack'],
      cleanEpoch: dataFolder.cleanEpoch,
      sessionTimeoutMs: values['broker.session.timeout.ms'],
      onFatal,
    })
    const { membership } = this
    const brokerEpoch = (): number => membership.brokerEpoch
    const isConnected = (): boolean => this.#unsubscribe !== null
    const config = (): BrokerConfig => (isConnected() ? options.config() : options.staticConfig)
    this.controller = new ControllerHost({ env, store, metadata, membership, brokerId, config, onFatal })
    this.#isr = new IsrWriter({
      env,
      metadata,
      self: () => ({ broker: brokerId, brokerEpoch: membership.brokerEpoch }),
      policyOf: topicPolicies(config),
      decided: (proposal, decision) =>
        options.host(proposal.topicId, proposal.partition)?.isrDecided(decision, proposal),
      onFatal,
    })
    this.fetchers = new ReplicaFetchers({
      env,
      memory,
      brokerId: brokerId as BrokerId,
      brokerEpoch,
      config: () => fetcherConfig(config()),
      throttle: copyingThrottle(options.throttle.follower, metadata, brokerId),
      onFatal,
    })
    this.peers = new PeerMonitor({
      env,
      memory,
      brokerId: brokerId as BrokerId,
      heartbeatMs: () => config().values['peer.heartbeat.interval.ms'],
      isLeaving: broker => metadata.image.brokers.state(broker)?.shuttingDown === true,
      onDead: broker => void this.#endLease(broker),
      onJudged: (broker, verdict) => {
        if (verdict === 'recovered') this.#relink(broker)
        this.#isolation.judge()
      },
    })
    this.#isolation = new Isolation({
      env,
      conditions: () => this.peers.conditions(),
      withdraw: () => membership.withdraw(),
      resume: () => membership.resume(),
    })
  }

  /** What replicas want to know of the cluster, and ask of it. */
  get services(): ClusterServices {
    const { env, metadata, config, staticConfig } = this.#options
    const { brokers } = metadata.image
    return {
      isActive: (broker, brokerEpoch) => brokers.isActive(broker) && brokers.epochOf(broker) === brokerEpoch,
      proposeIsr: proposal => this.#isr.propose(proposal),
      servingUntilMs: () => this.membership.servingUntilMs(),
      lagTimeMaxMs: () => config().values['replica.lag.time.max.ms'],
      isWhole: (topicId, partition) => {
        if (this.membership.servingUntilMs() <= env.clock.monotonicMs()) return false
        const image = metadata.image.topicById(topicId)?.partitions[partition]
        return image?.replicas.every(replica => image.isr.includes(replica)) === true
      },
      settledAfterMs: () =>
        config().values['replica.lag.time.max.ms'] + staticConfig.values['broker.session.timeout.ms'],
    }
  }

  /** Links to the brokers that are there, and to those that come. */
  connect(): void {
    const { metadata } = this.#options
    this.#unsubscribe = metadata.onChange(records => this.#changed(records))
    for (const registration of metadata.image.brokers.registered()) this.#brokerThere(registration)
  }

  /** Resolves when the controller has let this broker in: then it may lead. */
  async join(endpoints: readonly BrokerEndpoint[]): Promise<void> {
    await this.membership.start(endpoints)
    this.controller.start()
    await this.#untilActive()
  }

  /** Hands over what it leads, for as long as that may take. */
  async leave(): Promise<void> {
    this.#isolation.stop()
    const { values } = this.#options.config()
    if (values['controlled.shutdown.enable'])
      await this.membership.shutDown(values['controlled.shutdown.timeout.ms'])
  }

  /**
   * The end of a broker that cannot go on: it neither renews its registration nor makes it anew, so that nothing is
   * given to it while it stops.
   */
  abandon(): void {
    void this.membership.close(false)
  }

  /** Copies nothing any more. */
  disconnect(): void {
    this.#isolation.stop()
    this.#isr.close()
    this.#unsubscribe?.()
    this.#unsubscribe = null
    this.fetchers.stop()
    this.peers.stop()
  }

  async close(clean: boolean): Promise<void> {
    await this.controller.close()
    await this.membership.close(clean)
  }

  async #untilActive(): Promise<void> {
    const { metadata, brokerId } = this.#options
    const isActive = (): boolean => metadata.image.brokers.isActive(brokerId)
    if (isActive()) return
    await new Promise<void>(resolve => {
      const stop = metadata.onChange(() => {
        if (!isActive()) return
        stop()
        resolve()
      })
    })
  }

  #changed(records: readonly ControllerRecord[]): void {
    for (const record of records) {
      if (record.type === 'broker-registered') this.#brokerThere(record)
      else if (record.type === 'broker-gone') this.#tell(record.broker, null)
    }
  }

  #brokerThere(registration: BrokerRegistration): void {
    this.#tell(registration.broker, this.#addressOf(registration))
  }

  #tell(broker: number, address: Address | null): void {
    if (broker === this.#options.brokerId) return
    this.fetchers.brokerChanged(broker as BrokerId, address)
    this.peers.brokerChanged(broker as BrokerId, address)
    this.#isolation.judge()
  }

  /**
   * What was sent into a link that was cut is sent again late, and later the longer the cut was: a new link has no
   * past.
   */
  #relink(broker: BrokerId): void {
    const registration = this.#options.metadata.image.brokers.get(broker)
    if (registration !== undefined) this.fetchers.brokerChanged(broker, this.#addressOf(registration))
  }

  /** Of the listener that is meant for brokers; else of the first. */
  #addressOf({ endpoints }: BrokerRegistration): Address | null {
    const wanted = this.#options.config().values['inter.broker.listener.name']
    const endpoint = endpoints.find(({ listener }) => listener === wanted) ?? endpoints[0]
    return endpoint === undefined ? null : { host: endpoint.host, port: endpoint.port }
  }

  /** Its process is gone: whoever waits for its lease to run out need not. */
  async #endLease(broker: BrokerId): Promise<void> {
    const { store, metadata, env } = this.#options
    const lease = metadata.image.brokers.get(broker)?.lease ?? null
    // Who is about to leave closes its door before it takes its leave itself.
    if (lease === null || metadata.image.brokers.state(broker)?.shuttingDown === true) return
    try {
      await store.revokeLease(lease)
    } catch (error) {
      // Somebody else was faster, or the store is out of reach: then it runs out by itself.
      if (!(error instanceof MetaStoreError)) throw error
      if (error.code !== 'LEASE_NOT_FOUND')
        env.log.warn('The lease of a dead broker could not be ended', { broker, error })
    }
  }
}

function fetcherConfig({ values }: BrokerConfig): FetcherConfig {
  return {
    waitMaxMs: values['replica.fetch.wait.max.ms'],
    minBytes: values['replica.fetch.min.bytes'],
    maxBytes: values['replica.fetch.max.bytes'],
    responseMaxBytes: values['replica.fetch.response.max.bytes'],
    backoffMs: values['replica.fetch.backoff.ms'],
    socketTimeoutMs: values['replica.socket.timeout.ms'],
  }
}

/** The quota of this broker as a follower, for replicas as the image knows them. */
function copyingThrottle(
  quota: ReplicationQuota,
  metadata: ClusterMetadata,
  brokerId: number,
): CopyingThrottle {
  return {
    get msUntilBack() {
      return quota.msUntilBack
    },
    holds({ topicId, partition }) {
      const topic = metadata.image.topicById(topicId)
      return topic !== undefined && quota.holds(topic, partition, brokerId)
    },
    record({ topicId, partition }, bytes) {
      const topic = metadata.image.topicById(topicId)
      if (topic !== undefined && quota.covers(topic, partition)) quota.record(bytes)
    },
  }
}
