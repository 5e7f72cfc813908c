/**
 * The group coordinator of this broker: every partition of `__consumer_offsets` that it leads, with the groups that the
 * hash of their id puts there. Finds the shard that a request is for, and sees to it that the topic is there and that
 * the shards hear of topics that come and go. What becomes of a group the pure room decides.
 */
import { asError } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type BrokerConfig } from '../config/broker-config.ts'
import { type TopicImage } from '../controller/image.ts'
import { type ControllerRecord, type Refusal, refuse } from '../controller/records.ts'
import { GROUP_OFFSETS_TOPIC } from '../controller/topic-names.ts'
import { type Env } from '../env.ts'
import { partitionOfGroup } from '../group/placement.ts'
import { type GroupRequest, type Token } from '../group/types.ts'
import { type ClusterMetadata } from './cluster-metadata.ts'
import { DeadlineQueue } from './deadline-queue.ts'
import { freshShortUuid, freshUuid } from './fresh-ids.ts'
import { groupConfigOf, groupOverridesOf } from './group-config.ts'
import { type Answered } from './group-host.ts'
import { createOffsetsTopic } from './group-offsets-topic.ts'
import { GroupPartition, type GroupPartitionServices } from './group-partition.ts'
import { TopicPatterns } from './group-patterns.ts'
import { GroupTopics } from './group-topics.ts'
import { type PartitionManager } from './partition-manager.ts'
import { type Topics } from './topics.ts'
import { WorkQueue } from './work-queue.ts'

export interface GroupManagerOptions {
  readonly env: Env
  readonly metadata: ClusterMetadata
  readonly topics: Topics
  readonly partitions: PartitionManager
  readonly brokerId: number
  /** The static configuration: none of the coordinator's configs can be changed while it runs. */
  readonly config: BrokerConfig
  readonly onFatal: (error: Error) => void
}

/** The end of the connection that a request came from. */
export interface Closing {
  /** Calls `listener` when the connection is gone; the returned function forgets it. */
  onClose(listener: () => void): () => void
}

/** Where a group's coordinator is. `broker` -1: nowhere for now. */
export interface CoordinatorLookup {
  readonly broker: number
  readonly refusal: Refusal | null
}

export class GroupManager {
  readonly #options: GroupManagerOptions
  readonly #topicsView: GroupTopics
  readonly #services: GroupPartitionServices
  readonly #partitions = new Map<number, GroupPartition>()
  #creation: Promise<Refusal | null> | null = null
  #unsubscribe: (() => void) | null = null
  #isStopped = false
  #lastToken = 0

  constructor(options: GroupManagerOptions) {
    const { env, metadata, config, brokerId } = options
    const { clock, timers, log } = env
    const patterns = new TopicPatterns()
    this.#options = options
    this.#topicsView = new GroupTopics(metadata.image, broker =>
      broker === brokerId ? config.values['broker.rack'] : (metadata.image.brokers.get(broker)?.rack ?? null),
    )
    this.#services = {
      clock,
      timers,
      log,
      deadlines: new DeadlineQueue({ clock, timers }),
      loads: new WorkQueue(),
      surroundings: {
        config: groupConfigOf(config.values),
        topics: this.#topicsView,
        overridesOf: groupId => groupOverridesOf(metadata.image.groupConfigs(groupId).configs),
        compilePattern: pattern => patterns.compile(pattern),
      },
      fatal: error => options.onFatal(asError(error)),
    }
  }

  /** Begins to load what this broker leads, and follows the metadata from then on. Waits for nothing. */
  start(): void {
    const { metadata } = this.#options
    this.#unsubscribe = metadata.onChange(records => this.#changed(records))
    const topic = metadata.image.topic(GROUP_OFFSETS_TOPIC)
    if (topic !== undefined) this.#adopt(topic)
  }

  /**
   * Takes no more requests. Those whose records are on their way are answered when these are written, all others now.
   */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#unsubscribe?.()
    this.#closeAll(ErrorCode.COORDINATOR_NOT_AVAILABLE)
  }

  // ---------------------------------------------------------------------------------------- the topic

  /** Null when `__consumer_offsets` is there, made now where it was not; else why it cannot be made. */
  ensureOffsetsTopic(): Promise<Refusal | null> {
    if (this.#topic !== undefined) return Promise.resolve(null)
    this.#creation ??= this.#create().finally(() => {
      this.#creation = null
    })
    return this.#creation
  }

  async #create(): Promise<Refusal | null> {
    const { log } = this.#options.env
    let refusal: Refusal | null
    try {
      refusal = await createOffsetsTopic(this.#options, this.#options.config.values)
    } catch (error) {
      refusal = refuse(ErrorCode.COORDINATOR_NOT_AVAILABLE, String(error))
    }
    if (refusal !== null) {
      log.error(
        'The topic in which groups are kept could not be made, so no group can work. It is tried again when one is asked for.',
        { topic: GROUP_OFFSETS_TOPIC, reason: refusal.message },
      )
    }
    return refusal
  }

  get #topic(): TopicImage | undefined {
    return this.#options.metadata.image.topic(GROUP_OFFSETS_TOPIC)
  }

  #changed(records: readonly ControllerRecord[]): void {
    const removed: string[] = []
    let areTopicsTouched = false
    let areBrokersTouched = false
    for (const record of records) {
      if (record.type === 'topic-name-removed') removed.push(record.name)
      areTopicsTouched ||= record.type === 'topic-name-removed' || 'topicId' in record
      areBrokersTouched ||= record.type === 'broker-state' || record.type === 'broker-gone'
    }
    // Who may lead has changed: also what this broker may coordinate.
    if (areBrokersTouched && this.#topic !== undefined) this.#adopt(this.#topic)
    if (!areTopicsTouched) return
    this.#topicsView.changed()
    // Its partitions take everything with them: groups, members, offsets.
    if (removed.includes(GROUP_OFFSETS_TOPIC)) this.#closeAll(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    else if (removed.length > 0) {
      for (const partition of this.#partitions.values()) partition.topicsDeleted(removed)
    }
    const topic = this.#topic
    const isTouched = records.some(record => 'topicId' in record && record.topicId === topic?.topicId)
    if (topic !== undefined && isTouched) this.#adoptWhenSettled(topic)
  }

  #adoptWhenSettled(topic: TopicImage): void {
    const adopt = (): void => this.#adopt(topic)
    // Where its partitions could not be made that has been told, and is tried again.
    this.#options.topics.settled(topic.topicId).then(adopt, adopt)
  }

  #adopt(topic: TopicImage): void {
    for (const index of topic.partitions.keys()) this.#partition(topic, index)
  }

  /** The partition as its coordinator, or why it is not coordinated from here. */
  #partition(topic: TopicImage, index: number): GroupPartition | ErrorCode {
    const { brokerId, partitions } = this.#options
    const leader = topic.partitions[index]?.leader ?? -1
    const found = leader === brokerId ? partitions.get(topic.topicId, index) : undefined
    // A leader that may have been replaced without knowing it must not answer from memory either.
    const host = found?.checkLeader(-1) === ErrorCode.NONE ? found : undefined
    const known = this.#partitions.get(index)
    if (known !== undefined && known.host === host && known.leaderEpoch === host.leaderEpoch) return known
    known?.close(ErrorCode.NOT_COORDINATOR)
    this.#partitions.delete(index)
    if (leader !== -1 && leader !== brokerId) return ErrorCode.NOT_COORDINATOR
    if (host === undefined || this.#isStopped) return ErrorCode.COORDINATOR_NOT_AVAILABLE
    const partition = new GroupPartition(this.#services, host)
    this.#partitions.set(index, partition)
    return partition
  }

  #closeAll(error: ErrorCode): void {
    for (const partition of this.#partitions.values()) partition.close(error)
    this.#partitions.clear()
  }

  // ---------------------------------------------------------------------------------------- asking groups

  /** Where the coordinator of a group is. Makes the topic where it is missing. */
  async lookup(groupId: string): Promise<CoordinatorLookup> {
    const refusal = await this.ensureOffsetsTopic()
    const topic = this.#topic
    if (refusal !== null || topic === undefined) return { broker: -1, refusal: refusal ?? UNAVAILABLE }
    const index = partitionOfGroup(groupId, topic.partitions.length)
    const isOffline = this.#options.partitions.offline.has(topic.topicId, index)
    const broker = isOffline ? -1 : (topic.partitions[index]?.leader ?? -1)
    return { broker, refusal: broker === -1 ? UNAVAILABLE : null }
  }

  /**
   * Asks the shard of one group. Where the client is gone before the answer (`closing`), the request is
   * forgotten, and a JoinGroup is taken back.
   */
  ask<C extends GroupRequest>(
    groupId: string,
    make: (token: Token) => C,
    closing: Closing | null = null,
  ): Promise<Answered<C>> {
    const topic = this.#topic
    if (topic !== undefined) return this.#askIn(topic, groupId, make, closing)
    return this.ensureOffsetsTopic().then(() => {
      const made = this.#topic
      return made === undefined ? unanswered() : this.#askIn(made, groupId, make, closing)
    })
  }

  /** One request for each shard that holds any of the groups. */
  async askEach<C extends GroupRequest>(
    groupIds: readonly string[],
    make: (token: Token, groupIds: readonly string[]) => C,
  ): Promise<{ readonly groupIds: readonly string[]; readonly answered: Answered<C> }[]> {
    if (groupIds.length > 0) await this.ensureOffsetsTopic()
    const topic = this.#topic
    if (topic === undefined) return [{ groupIds, answered: await unanswered<C>() }]
    const byPartition = new Map<number, string[]>()
    for (const groupId of groupIds) {
      const index = partitionOfGroup(groupId, topic.partitions.length)
      const known = byPartition.get(index)
      if (known === undefined) byPartition.set(index, [groupId])
      else known.push(groupId)
    }
    const asked = Array.from(byPartition, async ([index, groupIds]) => {
      const partition = this.#partition(topic, index)
      return { groupIds, answered: await this.#request(partition, token => make(token, groupIds)) }
    })
    return Promise.all(asked)
  }

  /** One request for every shard of this broker. */
  async askAll<C extends GroupRequest>(make: (token: Token) => C): Promise<Answered<C>[]> {
    const topic = this.#topic
    if (topic === undefined) return []
    const own = [...topic.partitions.keys()].filter(
      index => topic.partitions[index]!.leader === this.#options.brokerId,
    )
    return Promise.all(own.map(index => this.#request(this.#partition(topic, index), make)))
  }

  #askIn<C extends GroupRequest>(
    topic: TopicImage,
    groupId: string,
    make: (token: Token) => C,
    closing: Closing | null,
  ): Promise<Answered<C>> {
    const partition = this.#partition(topic, partitionOfGroup(groupId, topic.partitions.length))
    return this.#request(partition, make, closing === null ? null : { closing, groupId })
  }

  #request<C extends GroupRequest>(
    partition: GroupPartition | ErrorCode,
    make: (token: Token) => C,
    from: { readonly closing: Closing; readonly groupId: string } | null = null,
  ): Promise<Answered<C>> {
    const host = typeof partition === 'number' ? partition : partition.running
    if (typeof host === 'number') return unanswered(host)
    const token = ++this.#lastToken
    const command = make(token)
    const answered = host.request(command)
    if (from === null || !host.isWaiting(token)) return answered
    const stop = from.closing.onClose(() => {
      if (command.kind === 'join-group') {
        host.tell({ kind: 'abandon-join', groupId: from.groupId, joinToken: token })
      }
      host.forget(token)
    })
    return answered.finally(stop)
  }

  /** For a member that has none yet: as Kafka makes it, so that people recognize their clients in it. */
  freshMemberId(prefix: string): string {
    return `${prefix}-${freshUuid(this.#options.env.random)}`
  }

  /** The same for a member of a consumer group. */
  freshShortMemberId(): string {
    return freshShortUuid(this.#options.env.random)
  }
}

const UNAVAILABLE = refuse(ErrorCode.COORDINATOR_NOT_AVAILABLE, 'The coordinator is not available.')

function unanswered<C extends GroupRequest>(
  error: ErrorCode = ErrorCode.COORDINATOR_NOT_AVAILABLE,
): Promise<Answered<C>> {
  return Promise.resolve({ error, answer: null })
}
