/**
 * The cluster's state as this broker knows it: topics, partitions, configs, ids. Changed by `apply` alone, one record
 * at a time, in the order of the store's revisions; read by everyone. It must never decide anything.
 *
 * A topic is made in steps (partitions, then the topic with its name), so parts of one that is not complete yet, or was
 * left behind by a crash, lie in here unseen: `topic` and `topicById` show only topics that a name leads to.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { ClusterBrokers } from './image-brokers.ts'
import { type ControllerRecord, type PartitionRecord } from './records.ts'

/** A partition, with the revision of the store that it was last changed at. */
export type PartitionImage = PartitionRecord & { readonly revision: number }

export interface TopicImage {
  readonly topicId: TopicId
  readonly name: string
  readonly configs: ReadonlyMap<string, string>
  /** By index, without holes. */
  readonly partitions: readonly PartitionImage[]
  /** Of the topic's own record: changes with its configs and its number of partitions. */
  readonly revision: number
}

/** What is set for one broker, for all of them, or for a group. */
export interface ConfigsImage {
  readonly configs: ReadonlyMap<string, string>
  /** 0 where nothing was ever set, or all was removed. */
  readonly revision: number
}

interface Draft {
  topic: {
    name: string
    partitionCount: number
    configs: ReadonlyMap<string, string>
    revision: number
  } | null
  readonly partitions: Map<number, PartitionImage>
  named: boolean
  /** Built when asked for; any record of the topic undoes it. */
  image: TopicImage | null
}

const NO_CONFIGS: ConfigsImage = { configs: new Map(), revision: 0 }

export class ClusterImage {
  readonly #drafts = new Map<TopicId, Draft>()
  readonly #ids = new Map<string, TopicId>()
  readonly #brokerConfigs = new Map<number | null, ConfigsImage>()
  readonly #groupConfigs = new Map<string, ConfigsImage>()
  #sortedNames: string[] | null = null
  /** Who is there, and who controls. */
  readonly brokers = new ClusterBrokers()
  /** Where the next block of producer ids begins. */
  nextProducerId: { readonly next: bigint; readonly revision: number } = { next: 0n, revision: 0 }

  topic(name: string): TopicImage | undefined {
    const topicId = this.#ids.get(name)
    return topicId === undefined ? undefined : this.topicById(topicId)
  }

  topicById(topicId: TopicId): TopicImage | undefined {
    const draft = this.#drafts.get(topicId)
    if (draft === undefined || !draft.named || draft.topic === null) return undefined
    draft.image ??= imageOf(topicId, draft)
    return draft.image
  }

  /** Names of all topics, in order of their code units. */
  topicNames(): readonly string[] {
    this.#sortedNames ??= [...this.#ids.keys()].sort()
    return this.#sortedNames
  }

  get topicCount(): number {
    return this.#ids.size
  }

  *topics(): Iterable<TopicImage> {
    for (const name of this.topicNames()) {
      const topic = this.topic(name)
      if (topic !== undefined) yield topic
    }
  }

  /** `broker` null: what is set for all brokers. */
  brokerConfigs(broker: number | null): ConfigsImage {
    return this.#brokerConfigs.get(broker) ?? NO_CONFIGS
  }

  /** The same object until they change. */
  groupConfigs(group: string): ConfigsImage {
    return this.#groupConfigs.get(group) ?? NO_CONFIGS
  }

  /** Ids and partitions of which nothing leads to a topic: left behind by a change that was cut short. */
  orphans(): ControllerRecord[] {
    const records: ControllerRecord[] = []
    for (const [topicId, draft] of this.#drafts) {
      const visible = draft.named && draft.topic !== null
      for (const partition of draft.partitions.keys()) {
        if (!visible || partition >= draft.topic!.partitionCount) {
          records.push({ type: 'partition-removed', topicId, partition })
        }
      }
      if (!visible && draft.topic !== null) records.push({ type: 'topic-removed', topicId })
    }
    return records
  }

  apply(record: ControllerRecord, revision: number): void {
    switch (record.type) {
      case 'topic': {
        const draft = this.#draft(record.topicId)
        const { name, partitionCount } = record
        draft.topic = { name, partitionCount, configs: new Map(Object.entries(record.configs)), revision }
        return
      }
      case 'topic-removed': {
        this.#draft(record.topicId).topic = null
        this.#sweep(record.topicId)
        return
      }
      case 'topic-name':
        this.#ids.set(record.name, record.topicId)
        this.#draft(record.topicId).named = true
        this.#sortedNames = null
        return
      case 'topic-name-removed': {
        const topicId = this.#ids.get(record.name)
        if (topicId === undefined) return
        this.#ids.delete(record.name)
        this.#draft(topicId).named = false
        this.#sweep(topicId)
        this.#sortedNames = null
        return
      }
      case 'partition':
        this.#draft(record.topicId).partitions.set(record.partition, { ...record, revision })
        return
      case 'partition-removed':
        this.#draft(record.topicId).partitions.delete(record.partition)
        this.#sweep(record.topicId)
        return
      case 'broker-configs':
        setConfigs(this.#brokerConfigs, record.broker, record.configs, revision)
        return
      case 'group-configs':
        setConfigs(this.#groupConfigs, record.group, record.configs, revision)
        return
      case 'next-producer-id':
        this.nextProducerId = { next: record.next, revision }
        return
      default:
        this.brokers.apply(record, revision)
    }
  }

  #draft(topicId: TopicId): Draft {
    let draft = this.#drafts.get(topicId)
    if (draft === undefined) {
      draft = { topic: null, partitions: new Map(), named: false, image: null }
      this.#drafts.set(topicId, draft)
    }
    draft.image = null
    return draft
  }

  #sweep(topicId: TopicId): void {
    const draft = this.#drafts.get(topicId)!
    if (draft.topic === null && !draft.named && draft.partitions.size === 0) this.#drafts.delete(topicId)
  }
}

function setConfigs<Key>(
  all: Map<Key, ConfigsImage>,
  key: Key,
  configs: Readonly<Record<string, string>>,
  revision: number,
): void {
  if (Object.keys(configs).length === 0) all.delete(key)
  else all.set(key, { configs: new Map(Object.entries(configs)), revision })
}

function imageOf(topicId: TopicId, draft: Draft): TopicImage {
  const { name, configs, partitionCount, revision } = draft.topic!
  const partitions: PartitionImage[] = []
  for (let index = 0; index < partitionCount; index++) {
    const partition = draft.partitions.get(index)
    // A hole would shift every partition after it to a wrong index; ending before it hides nothing that can be served.
    if (partition === undefined) break
    partitions.push(partition)
  }
  return { topicId, name, configs, partitions, revision }
}
