/**
 * Which role each of this broker's replicas has: leader or follower, of whom, in which epoch. Read from the cluster's
 * image whenever it changes, told to the replica and to those who fetch for it. It decides nothing: the image does.
 *
 * A broker leads only what the image gives to this very registration of it. What the image gave to an earlier one it
 * must not take up: between the two somebody else may have led.
 */
import { type BrokerId, type LeaderEpoch, type TopicId } from '../../client/protocol/types.ts'
import { type PartitionImage, type TopicImage } from '../controller/image.ts'
import { type ControllerRecord } from '../controller/records.ts'
import { type ClusterMetadata } from './cluster-metadata.ts'
import { type PartitionHost } from './partition-host.ts'
import { type PartitionManager } from './partition-manager.ts'
import { type LeadSpec } from './partition-types.ts'

/** A broker that is alone copies from nobody. */
export const NO_FETCHING: Fetching = { assign() {}, remove() {} }

/** Who copies from leaders for the replicas of this broker. */
export interface Fetching {
  /** Copies from `leader` from now on; content when it does so already. */
  assign(host: PartitionHost, leader: BrokerId, epoch: LeaderEpoch): void
  /** Nothing is copied into this partition any more. */
  remove(topicId: TopicId, partition: number): void
}

export interface ReplicaRolesOptions {
  readonly metadata: ClusterMetadata
  readonly partitions: PartitionManager
  readonly brokerId: number
  /** The epoch of this broker's registration, -1 while it has none. */
  readonly brokerEpoch: () => number
  readonly fetching: Fetching
}

const NOBODY = -1

export class ReplicaRoles {
  readonly #options: ReplicaRolesOptions

  constructor(options: ReplicaRolesOptions) {
    this.#options = options
  }

  /** Call with every change of the image, after the partitions that it makes or removes are known. */
  changed(records: readonly ControllerRecord[]): void {
    const { brokerId, metadata } = this.#options
    if (records.some(record => concernsRegistration(record, brokerId))) {
      this.applyAll()
      return
    }
    for (const record of records) {
      if (record.type !== 'partition') continue
      const topic = metadata.image.topicById(record.topicId)
      const partition = topic?.partitions[record.partition]
      if (topic !== undefined && partition !== undefined) this.#apply(topic, partition)
    }
  }

  applyAll(): void {
    for (const topic of this.#options.metadata.image.topics()) this.applyTopic(topic)
  }

  /** Also when partitions of it have just been opened. */
  applyTopic(topic: TopicImage): void {
    for (const partition of topic.partitions) this.#apply(topic, partition)
  }

  /** The partition is being removed from this broker. */
  left(topicId: TopicId, partition: number): void {
    this.#options.fetching.remove(topicId, partition)
  }

  #apply({ topicId }: TopicImage, image: PartitionImage): void {
    const { partitions, brokerId, fetching } = this.#options
    const host = partitions.get(topicId, image.partition)
    if (host === undefined) return
    const epoch = image.leaderEpoch as LeaderEpoch
    // Told late of something newer, or twice of the same: roles only go forward.
    if (epoch < host.leaderEpoch) return
    if (image.leader === brokerId) {
      fetching.remove(topicId, image.partition)
      if (this.#mayLead()) host.lead(leadSpec(image))
      else host.follow({ epoch, leader: NOBODY })
      return
    }
    host.follow({ epoch, leader: image.leader as BrokerId })
    if (image.leader === NOBODY) fetching.remove(topicId, image.partition)
    else fetching.assign(host, image.leader as BrokerId, epoch)
  }

  #mayLead(): boolean {
    const { metadata, brokerId, brokerEpoch } = this.#options
    if (metadata.isAlone) return true
    const { brokers } = metadata.image
    return brokers.epochOf(brokerId) === brokerEpoch() && brokers.isUnfenced(brokerId)
  }
}

function concernsRegistration(record: ControllerRecord, broker: number): boolean {
  switch (record.type) {
    case 'broker-registered':
    case 'broker-gone':
    case 'broker-state':
      return record.broker === broker
    default:
      return false
  }
}

function leadSpec(partition: PartitionImage): LeadSpec {
  const { leaderEpoch, partitionEpoch, revision, replicas, isr, elr } = partition
  return {
    epoch: leaderEpoch as LeaderEpoch,
    partitionEpoch,
    revision,
    replicas: replicas as readonly BrokerId[],
    isr: isr as readonly BrokerId[],
    elr: elr as readonly BrokerId[],
  }
}
