/**
 * Keeps this broker's partitions and configs in step with the cluster's metadata: what the image says belongs here is
 * made, what it no longer names is deleted, a changed config is handed on. Also the door for changes of topics, so that
 * whoever makes one is answered when the partitions are there and not before.
 *
 * The image is the truth: whatever a crash cut short between the two is put right by the next start.
 */
import { assert } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import { type BrokerConfig } from '../config/broker-config.ts'
import { placementOf } from '../controller/brokers.ts'
import { type TopicImage } from '../controller/image.ts'
import { type ControllerRecord, refuse } from '../controller/records.ts'
import { type Surroundings } from '../controller/topics.ts'
import { type Log, type TimerHandle, type Timers } from '../env.ts'
import { type ClusterMetadata, type Decided } from './cluster-metadata.ts'
import { configProblem } from './config-rules.ts'
import { logConfigOf } from './log-config.ts'
import { type PartitionAssignment, type PartitionManager } from './partition-manager.ts'
import { type ReplicaRoles } from './replica-roles.ts'

export interface TopicsOptions {
  readonly metadata: ClusterMetadata
  readonly partitions: PartitionManager
  readonly brokerId: number
  /** Told of every change of the image, and of every partition that was opened or removed. */
  readonly roles: ReplicaRoles
  /** The static configuration. */
  readonly config: BrokerConfig
  readonly log: Log
  readonly timers: Timers
}

/** Partitions made at a time: each costs a few file operations. */
const PARALLEL_CREATIONS = 16
const RETRY_MS = 10_000

export class Topics {
  readonly #options: TopicsOptions
  /** Partitions that exist here, or are being made. */
  readonly #local = new Map<TopicId, Set<number>>()
  /** The last piece of work on each topic; the next one waits for it. */
  readonly #work = new Map<TopicId, Promise<void>>()
  readonly #retries = new Set<TimerHandle>()
  #config: BrokerConfig
  #unsubscribe: (() => void) | null = null

  constructor(options: TopicsOptions) {
    this.#options = options
    this.#config = options.config
    this.#config = this.#effectiveConfig()
  }

  /** What holds now, dynamic configs and all. */
  get config(): BrokerConfig {
    return this.#config
  }

  /** What the controller must know of this broker and its cluster. */
  get surroundings(): Surroundings {
    const { values } = this.#config
    const { metadata, brokerId } = this.#options
    return {
      ...(metadata.isAlone ? { brokers: [brokerId] } : placementOf(metadata.image)),
      defaultPartitions: values['num.partitions'],
      defaultReplicationFactor: values['default.replication.factor'],
      configProblem: configProblem.topic,
    }
  }

  /** Opens every partition that belongs here, and follows the metadata from then on. */
  async start(): Promise<void> {
    const { metadata, partitions } = this.#options
    const assignments: PartitionAssignment[] = []
    for (const topic of metadata.image.topics()) {
      const own = this.#ownPartitions(topic)
      this.#local.set(topic.topicId, new Set(own.map(assignment => assignment.partition)))
      assignments.push(...own)
    }
    this.#unsubscribe = metadata.onChange(records => this.#changed(records))
    await partitions.start(assignments)
    this.#options.roles.applyAll()
  }

  stop(): void {
    this.#unsubscribe?.()
    this.#unsubscribe = null
    for (const timer of this.#retries) this.#options.timers.clear(timer)
    this.#retries.clear()
  }

  /** Resolves when what the image says of this topic is true here; rejects when the partitions could not be made. */
  async settled(topicId: TopicId): Promise<void> {
    await this.#work.get(topicId)
  }

  /** Carries out a change of one topic and waits until it is true here. */
  async change<T>(
    topicId: TopicId,
    decide: () => Decided<T>,
  ): ReturnType<typeof ClusterMetadata.prototype.change<T>> {
    const outcome = await this.#options.metadata.change(decide)
    if (outcome.refusal !== null) return outcome
    try {
      await this.settled(topicId)
      return outcome
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const message = `The change is stored, but the files of the partitions could not be made: ${why}. It is tried again until they are there.`
      return { refusal: refuse(ErrorCode.KAFKA_STORAGE_ERROR, message) }
    }
  }

  #changed(records: readonly ControllerRecord[]): void {
    const touched = new Set<TopicId>()
    let configsTouched = false
    for (const record of records) {
      if ('topicId' in record && this.#asksForWork(record)) touched.add(record.topicId)
      if (record.type === 'topic-name-removed') continue
      if (record.type === 'broker-configs') configsTouched = true
    }
    if (configsTouched) this.#adoptConfig()
    this.#options.roles.changed(records)
    for (const topicId of touched) this.#schedule(topicId)
  }

  /** Of most changes, as of a leader or an ISR, no partition is made, deleted or configured otherwise. */
  #asksForWork(record: Extract<ControllerRecord, { readonly topicId: TopicId }>): boolean {
    if (record.type !== 'partition' || this.#work.has(record.topicId)) return true
    const isLocal = this.#local.get(record.topicId)?.has(record.partition) ?? false
    return isLocal !== record.replicas.includes(this.#options.brokerId)
  }

  #adoptConfig(): void {
    this.#config = this.#effectiveConfig()
    for (const topic of this.#options.metadata.image.topics()) {
      this.#options.partitions.updateConfig(topic.topicId, this.#logConfig(topic))
    }
  }

  #effectiveConfig(): BrokerConfig {
    const { metadata, brokerId, config, log } = this.#options
    const own = metadata.image.brokerConfigs(brokerId).configs
    const all = metadata.image.brokerConfigs(null).configs
    try {
      return config.withDynamic(own, all)
    } catch (error) {
      // Checked before it was stored, so only another version of this program can have put it there.
      log.error('The dynamic configs cannot be; the static ones hold', { error })
      return config
    }
  }

  #schedule(topicId: TopicId): void {
    const before = this.#work.get(topicId) ?? Promise.resolve()
    const work = before
      .catch(() => {})
      .then(() => this.#reconcile(topicId))
      .finally(() => {
        if (this.#work.get(topicId) === work) this.#work.delete(topicId)
      })
    this.#work.set(topicId, work)
    work.catch((error: unknown) => {
      if (this.#unsubscribe === null) return
      this.#options.log.error(
        'The partitions of a topic could not be brought in step with the metadata; it is tried again',
        { topicId, error, retryMs: RETRY_MS },
      )
      this.#retryLater(topicId)
    })
  }

  /** A disk that was full may have room again. */
  #retryLater(topicId: TopicId): void {
    const { timers } = this.#options
    const timer = timers.set(RETRY_MS, () => {
      this.#retries.delete(timer)
      this.#schedule(topicId)
    })
    this.#retries.add(timer)
  }

  async #reconcile(topicId: TopicId): Promise<void> {
    const { metadata, partitions } = this.#options
    const topic = metadata.image.topicById(topicId)
    const local = this.#local.get(topicId) ?? new Set()
    if (topic === undefined) {
      this.#local.delete(topicId)
      await Promise.all([...local].map(partition => this.#remove(topicId, partition)))
      return
    }
    this.#local.set(topicId, local)
    if (local.size > 0) partitions.updateConfig(topicId, this.#logConfig(topic))
    const own = this.#ownPartitions(topic)
    const missing = own.filter(assignment => !local.has(assignment.partition))
    await inParallel(missing, PARALLEL_CREATIONS, async assignment => {
      await partitions.create(assignment)
      local.add(assignment.partition)
    })
    if (missing.length > 0) this.#applyRoles(topicId)
    const wanted = new Set(own.map(({ partition }) => partition))
    for (const partition of [...local]) {
      if (wanted.has(partition)) continue
      // Its replicas are elsewhere now.
      local.delete(partition)
      await this.#remove(topicId, partition)
    }
  }

  async #remove(topicId: TopicId, partition: number): Promise<void> {
    const { partitions, roles } = this.#options
    roles.left(topicId, partition)
    await partitions.delete(topicId, partition)
  }

  /** As the image is now: it may have moved on while files were being made. */
  #applyRoles(topicId: TopicId): void {
    const topic = this.#options.metadata.image.topicById(topicId)
    if (topic !== undefined) this.#options.roles.applyTopic(topic)
  }

  #ownPartitions(topic: TopicImage): PartitionAssignment[] {
    const config = this.#logConfig(topic)
    const own: PartitionAssignment[] = []
    for (const partition of topic.partitions) {
      if (!partition.replicas.includes(this.#options.brokerId)) continue
      own.push({
        topicId: topic.topicId,
        topicName: topic.name,
        partition: partition.partition,
        config,
        leaderEpoch: partition.leaderEpoch as PartitionAssignment['leaderEpoch'],
      })
    }
    return own
  }

  #logConfig(topic: TopicImage): PartitionAssignment['config'] {
    return logConfigOf(this.#config.topic(topic.configs))
  }
}

/** All are tried, also when one fails; then the first failure is thrown. */
async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  assert(width > 0, 'somebody does the work')
  let next = 0
  const failures: unknown[] = []
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const item = items[next++]!
      await work(item).catch((error: unknown) => void failures.push(error))
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker))
  if (failures.length > 0) throw failures[0]
}
