/**
 * Brokers of a cluster without what they serve: each has its view of the metadata, its registration, its share in the
 * controller and a writer of ISRs, over a simulated store on virtual time. A broker can be killed, paused, stopped or
 * cut off, and comes back as a new process.
 */
import { BrokerConfig } from '../../../broker/config/broker-config.ts'
import { type PartitionImage } from '../../../broker/controller/image.ts'
import { type ControllerRecord, type PartitionRecord, pieces } from '../../../broker/controller/records.ts'
import { type Env } from '../../../broker/env.ts'
import { CollectingLog } from '../../../broker/env-memory/log.ts'
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { type MetaStore } from '../../../broker/metastore/metastore.ts'
import { ClusterMetadata } from '../../../broker/runtime/cluster-metadata.ts'
import { ControllerHost } from '../../../broker/runtime/controller-host.ts'
import { IsrWriter } from '../../../broker/runtime/isr-writer.ts'
import { Membership } from '../../../broker/runtime/membership.ts'
import { type IsrProposal } from '../../../broker/runtime/partition-types.ts'
import { topicPolicies } from '../../../broker/runtime/topic-policy.ts'
import { MetaStoreWorld } from '../../sim/world/meta-world.ts'
import { type SimProcess } from '../../sim/world/process.ts'
import { partitionRecord, TOPIC } from '../controller/model-store.ts'

const ENDPOINT = { listener: 'PLAINTEXT', host: 'localhost', port: 9092 }

export interface NodeOptions {
  readonly cleanEpoch?: number
  readonly folder?: string
  readonly settings?: Readonly<Record<string, string | number>>
}

export interface Node {
  readonly id: number
  readonly process: SimProcess
  readonly store: MetaStore
  readonly metadata: ClusterMetadata
  readonly membership: Membership
  readonly controller: ControllerHost
  readonly isr: IsrWriter
  readonly decided: { readonly proposal: IsrProposal; readonly revision: number | null }[]
  readonly log: CollectingLog
}

export class ClusterWorld {
  readonly meta: MetaStoreWorld
  readonly nodes = new Map<number, Node>()
  readonly fatal: Error[] = []
  readonly #random: SeededRandom

  constructor(seed = 1) {
    this.meta = new MetaStoreWorld(seed)
    this.#random = new SeededRandom(seed + 1000)
  }

  get nowMs(): number {
    return this.meta.scheduler.nowMs
  }

  /** A new process for this broker, that registers and runs for controller in its own time. */
  async start(id: number, options: NodeOptions = {}): Promise<Node> {
    const process = this.meta.process(`broker-${id}`)
    const store = this.meta.store(process)
    const log = new CollectingLog()
    const env: Pick<Env, 'clock' | 'timers' | 'random' | 'log'> = {
      clock: process,
      timers: process,
      random: this.#random.fork(),
      log,
    }
    const onFatal = (error: Error): void => void this.fatal.push(error)
    const metadata = await this.settled(
      ClusterMetadata.open({ store, clusterId: 'c', log, isAlone: false, onFatal }),
    )
    const membership = new Membership({
      env,
      store,
      metadata,
      brokerId: id,
      folder: options.folder ?? `folder-${id}`,
      incarnation: `${id}-${this.nowMs}`,
      rack: null,
      cleanEpoch: options.cleanEpoch ?? -1,
      sessionTimeoutMs: 2000,
      onFatal,
    })
    const config = BrokerConfig.of({ 'min.insync.replicas': 2, ...options.settings })
    const controller = new ControllerHost({
      env,
      store,
      metadata,
      membership,
      brokerId: id,
      config: () => config,
      onFatal,
    })
    const decided: { proposal: IsrProposal; revision: number | null }[] = []
    const isr = new IsrWriter({
      env,
      metadata,
      self: () => ({ broker: id, brokerEpoch: membership.brokerEpoch }),
      policyOf: topicPolicies(() => config),
      decided: (proposal, decision) =>
        void decided.push({ proposal, revision: decision === null ? null : decision.revision }),
      onFatal,
    })
    const node = { id, process, store, metadata, membership, controller, isr, decided, log }
    this.nodes.set(id, node)
    controller.start()
    membership.start([ENDPOINT]).catch(onFatal)
    return node
  }

  async startAll(...ids: number[]): Promise<Node[]> {
    const nodes: Node[] = []
    for (const id of ids) nodes.push(await this.start(id))
    await this.until(() => ids.every(id => nodes[0]!.metadata.image.brokers.isActive(id)))
    return nodes
  }

  /** The process is gone from one moment to the next. */
  kill(id: number): void {
    this.nodes.get(id)!.process.kill()
    this.nodes.delete(id)
  }

  /** What a broker does that sees a connection break and the next one refused. */
  async endLease(id: number, by: Node): Promise<void> {
    const lease = by.metadata.image.brokers.get(id)?.lease
    if (lease != null) await this.settled(by.store.revokeLease(lease))
  }

  /** One topic, made as by an administrator. */
  async createTopic(by: Node, partitions: readonly Partial<PartitionRecord>[]): Promise<void> {
    const records: ControllerRecord[] = partitions.map((more, partition) => ({
      type: 'partition',
      ...partitionRecord({ partition, ...more }),
    }))
    const topic: ControllerRecord = {
      type: 'topic',
      topicId: TOPIC,
      name: 't',
      partitionCount: partitions.length,
      configs: {},
    }
    const steps = [
      ...pieces(records),
      { conditions: [], records: [topic, { type: 'topic-name' as const, name: 't', topicId: TOPIC }] },
    ]
    await this.settled(by.metadata.change(() => ({ refusal: null, change: { steps }, result: null })))
  }

  controllers(): Node[] {
    return [...this.nodes.values()].filter(({ controller }) => controller.isController)
  }

  partitions(by: Node): readonly PartitionImage[] {
    return by.metadata.image.topicById(TOPIC)?.partitions ?? []
  }

  pass(ms: number): Promise<void> {
    return this.meta.pass(ms)
  }

  /** How long it took until this was true, in virtual ms. */
  async until(isTrue: () => boolean, atMostMs = 30_000): Promise<number> {
    const startMs = this.nowMs
    while (!isTrue()) {
      if (this.nowMs - startMs > atMostMs) throw new Error(`not within ${atMostMs} ms: ${String(isTrue)}`)
      await this.pass(5)
    }
    return this.nowMs - startMs
  }

  async settled<T>(work: Promise<T>): Promise<T> {
    let isSettled = false
    const watched = work.finally(() => (isSettled = true))
    watched.catch(() => {})
    await this.until(() => isSettled, 120_000)
    return watched
  }
}
