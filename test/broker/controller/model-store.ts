/**
 * The metadata store as the controller's decisions see it: conditions are checked against the image, and what is
 * carried out is in the image at once.
 */

import { type PolicyOf, type TopicPolicy } from '../../../broker/controller/brokers.ts'
import { ClusterImage, type PartitionImage } from '../../../broker/controller/image.ts'
import { reconcile } from '../../../broker/controller/reconcile.ts'
import {
  type BrokerRegistration,
  type Change,
  type Condition,
  type PartitionRecord,
  type Step,
} from '../../../broker/controller/records.ts'
import { type TopicId } from '../../../client/protocol/types.ts'

export const TOPIC = '000000000000000000000000000000aa' as TopicId
export const TERM = 1

export class ModelStore {
  readonly image = new ClusterImage()
  policy: TopicPolicy = { minInsyncReplicas: 2, uncleanElection: false }
  readonly policyOf: PolicyOf = () => this.policy
  #revision = 1

  /** False: a condition fails. */
  perform({ conditions, records }: Step): boolean {
    if (!conditions.every(condition => this.#holds(condition))) return false
    this.#revision++
    for (const record of records) {
      const stored = record.type === 'broker-registered' ? { ...record, brokerEpoch: this.#revision } : record
      this.image.apply(stored, this.#revision)
    }
    return true
  }

  carryOut({ steps }: Change): boolean {
    return steps.every(step => this.perform(step))
  }

  /** The broker comes; its epoch. */
  register(broker: number, more: Partial<BrokerRegistration> = {}): number {
    const registration: BrokerRegistration = {
      broker,
      brokerEpoch: -1,
      lease: String(this.#revision),
      incarnation: `i${this.#revision}`,
      folder: `f${broker}`,
      endpoints: [],
      rack: null,
      cleanEpoch: -1,
      ...more,
    }
    this.perform({ conditions: [], records: [{ type: 'broker-registered', ...registration }] })
    return this.image.brokers.epochOf(broker)
  }

  remove(broker: number): void {
    this.perform({ conditions: [], records: [{ type: 'broker-gone', broker }] })
  }

  /** Brokers that are let in, and one topic; of each partition its replicas. */
  static withPartitions(
    brokers: readonly number[],
    partitions: readonly Partial<PartitionRecord>[],
  ): ModelStore {
    const store = new ModelStore()
    for (const broker of brokers) store.register(broker)
    store.reconcile()
    store.perform({
      conditions: [],
      records: [
        ...partitions.map((more, partition) => ({
          type: 'partition' as const,
          ...partitionRecord({ partition, ...more }),
        })),
        { type: 'topic', topicId: TOPIC, name: 't', partitionCount: partitions.length, configs: {} },
        { type: 'topic-name', name: 't', topicId: TOPIC },
      ],
    })
    return store
  }

  partition(index = 0): PartitionImage {
    return this.image.topicById(TOPIC)!.partitions[index]!
  }

  /** Round after round until nothing is left to do; how many there were. */
  reconcile(partitionsOfStep?: number): number {
    for (let rounds = 0; rounds < 20; rounds++) {
      const steps = reconcile(this.image, 'everything', this.policyOf, TERM, partitionsOfStep)
      if (steps.length === 0) return rounds
      for (const step of steps)
        if (!this.perform(step)) throw new Error('a step of the only controller failed')
    }
    throw new Error('it does not come to rest')
  }

  #holds(condition: Condition): boolean {
    const { brokers } = this.image
    switch (condition.type) {
      case 'partition-unchanged':
        return (
          this.image.topicById(condition.topicId)?.partitions[condition.partition]?.revision ===
          condition.revision
        )
      case 'topic-unchanged':
        return (this.image.topicById(condition.topicId)?.revision ?? 0) === condition.revision
      case 'broker-epoch':
        return brokers.epochOf(condition.broker) === condition.brokerEpoch
      case 'broker-not-registered':
        return brokers.get(condition.broker) === undefined
      case 'broker-state-unchanged':
        return (brokers.state(condition.broker)?.revision ?? 0) === condition.revision
      case 'controller-term':
        return condition.term === TERM
      default:
        throw new Error(`nobody here asks for ${condition.type}`)
    }
  }
}

export function partitionRecord(more: Partial<PartitionRecord> = {}): PartitionRecord {
  const replicas = more.replicas ?? [1, 2, 3]
  return {
    topicId: TOPIC,
    partition: 0,
    leader: replicas[0]!,
    leaderEpoch: 0,
    partitionEpoch: 0,
    replicas,
    isr: replicas,
    elr: [],
    lastKnownElr: [],
    adding: [],
    removing: [],
    ...more,
  }
}

/** For reading: `leader | ISR | ELR | last known`, and the replicas where something is being moved. */
export function show({
  leader,
  isr,
  elr,
  lastKnownElr,
  replicas,
  adding,
  removing,
}: PartitionRecord): string {
  const moved =
    adding.length + removing.length === 0
      ? ''
      : ` (${replicas.join(' ')} +${adding.join(' ')} -${removing.join(' ')})`
  const set = (list: readonly number[]): string => (list.length === 0 ? '-' : list.join(' '))
  return `${leader} | ${set(isr)} | ${set(elr)} | ${set(lastKnownElr)}${moved}`
}
