/**
 * What the client knows of the cluster: brokers, and for each topic its id, partitions, leaders and leader epochs.
 * Pure: it is fed answers and asked questions. It does not go back to an older leader epoch, because answers of
 * different brokers overtake each other (KIP-320), unless one answer after the other insists on it.
 */
import { type BrokerAddress } from './env.ts'
import { ErrorCode } from './protocol/errors.ts'
import { type TopicId, ZERO_TOPIC_ID } from './protocol/types.ts'

export interface BrokerNode extends BrokerAddress {
  readonly id: number
  readonly rack: string | null
}

export interface PartitionMetadata {
  readonly partition: number
  /** Broker id, or -1 where there is no leader now. */
  readonly leader: number
  /** -1 where the broker does not tell (Metadata < 7). */
  readonly leaderEpoch: number
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
  readonly offlineReplicas: readonly number[]
  readonly error: number
  /** Answers in a row that had an older leader epoch and were not believed. */
  readonly olderAnswers: number
}

/**
 * So many answers in a row are not all late ones: the epoch that we know was never true, or the cluster has lost it.
 * Who does not give in then cannot be helped but by a restart.
 */
const OLDER_ANSWERS_BELIEVED = 5

export interface TopicMetadata {
  readonly name: string
  /** Null where the broker does not tell (Metadata < 10). */
  readonly id: TopicId | null
  readonly internal: boolean
  /** By partition number, without gaps. */
  readonly partitions: readonly PartitionMetadata[]
  /** Monotonic time of the answer. */
  readonly asOfMs: number
}

/** The part of a Metadata response that is looked at. */
export interface MetadataAnswer {
  readonly brokers: readonly { nodeId: number; host: string; port: number; rack: string | null }[]
  readonly clusterId: string | null
  readonly controllerId: number
  readonly topics: readonly {
    readonly errorCode: number
    readonly name: string | null
    readonly topicId: string
    readonly isInternal: boolean
    readonly partitions: readonly {
      readonly errorCode: number
      readonly partitionIndex: number
      readonly leaderId: number
      readonly leaderEpoch: number
      readonly replicaNodes: readonly number[]
      readonly isrNodes: readonly number[]
      readonly offlineReplicas: readonly number[]
    }[]
  }[]
}

export class MetadataCache {
  #brokers = new Map<number, BrokerNode>()
  #topics = new Map<string, TopicMetadata>()
  #namesById = new Map<string, string>()
  #clusterId: string | null = null
  #controllerId = -1

  get brokers(): ReadonlyMap<number, BrokerNode> {
    return this.#brokers
  }

  get clusterId(): string | null {
    return this.#clusterId
  }

  get controllerId(): number {
    return this.#controllerId
  }

  topic(name: string): TopicMetadata | undefined {
    return this.#topics.get(name)
  }

  /** Id of the broker that leads a partition, or null where none is known. */
  leaderOf(topic: string, partition: number): number | null {
    const leader = this.#topics.get(topic)?.partitions[partition]?.leader ?? -1
    return leader >= 0 && this.#brokers.has(leader) ? leader : null
  }

  nameOf(topicId: string): string | undefined {
    return this.#namesById.get(topicId)
  }

  /** Takes in an answer. Returns the error code of each topic that had one instead of a description. */
  update(answer: MetadataAnswer, nowMs: number): Map<string, number> {
    // An answer without brokers comes from one that has just started and knows nothing: keep what is known.
    if (answer.brokers.length > 0) {
      this.#brokers = new Map(
        answer.brokers.map(({ nodeId, host, port, rack }) => [nodeId, { id: nodeId, host, port, rack }]),
      )
      this.#controllerId = answer.controllerId
      this.#clusterId = answer.clusterId ?? this.#clusterId
    }
    const failed = new Map<string, number>()
    for (const topic of answer.topics) {
      if (topic.name === null) continue
      if (topic.errorCode !== ErrorCode.NONE) {
        failed.set(topic.name, topic.errorCode)
        if (topic.errorCode === ErrorCode.UNKNOWN_TOPIC_OR_PARTITION) this.forget(topic.name)
        continue
      }
      this.#put(topic.name, topic, nowMs)
    }
    return failed
  }

  #put(name: string, topic: MetadataAnswer['topics'][number], nowMs: number): void {
    const known = this.#topics.get(name)
    const id = topic.topicId === ZERO_TOPIC_ID ? null : (topic.topicId as TopicId)
    // A topic that was deleted and made anew starts over with its epochs, and so do we.
    const comparable = known !== undefined && (known.id === id || id === null) ? known : undefined
    const partitions = topic.partitions
      .map<PartitionMetadata>(fresh => {
        const old = comparable?.partitions[fresh.partitionIndex]
        const isOlder = old !== undefined && fresh.leaderEpoch >= 0 && fresh.leaderEpoch < old.leaderEpoch
        if (isOlder && old.olderAnswers + 1 < OLDER_ANSWERS_BELIEVED) {
          return { ...old, olderAnswers: old.olderAnswers + 1 }
        }
        return {
          partition: fresh.partitionIndex,
          leader: fresh.leaderId,
          leaderEpoch: fresh.leaderEpoch,
          replicas: fresh.replicaNodes,
          isr: fresh.isrNodes,
          offlineReplicas: fresh.offlineReplicas,
          error: fresh.errorCode,
          olderAnswers: 0,
        }
      })
      .sort((a, b) => a.partition - b.partition)
      .filter((each, index) => each.partition === index)
    if (known?.id != null && known.id !== id) this.#namesById.delete(known.id)
    if (id !== null) this.#namesById.set(id, name)
    this.#topics.set(name, { name, id, internal: topic.isInternal, partitions, asOfMs: nowMs })
  }

  /**
   * What a broker says of a partition's leader in an error response (Produce >= 10, Fetch >= 12, KIP-951). Ignored
   * unless it is newer than what is known.
   */
  learnLeader(name: string, partition: number, leader: number, leaderEpoch: number): boolean {
    const topic = this.#topics.get(name)
    const known = topic?.partitions[partition]
    if (topic === undefined || known === undefined || leader < 0 || leaderEpoch <= known.leaderEpoch)
      return false
    if (!this.#brokers.has(leader)) return false
    const partitions = topic.partitions.slice()
    partitions[partition] = { ...known, leader, leaderEpoch, error: ErrorCode.NONE }
    this.#topics.set(name, { ...topic, partitions })
    return true
  }

  learnBroker(node: BrokerNode): void {
    this.#brokers.set(node.id, node)
  }

  forget(name: string): void {
    const known = this.#topics.get(name)
    if (known?.id != null) this.#namesById.delete(known.id)
    this.#topics.delete(name)
  }
}
