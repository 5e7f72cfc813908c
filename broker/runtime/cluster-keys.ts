/**
 * How the controller's records lie in the metadata store: which key, which bytes. The one place that knows both sides.
 * Values are JSON, so that an operator can read them with the store's own tools.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import {
  type BrokerRegistration,
  type BrokerState,
  type Condition,
  type ControllerRecord,
} from '../controller/records.ts'
import { type Compare, type KeyValue, type Operation } from '../metastore/metastore.ts'

/** Everything of one cluster lies below it. */
export function clusterPrefix(clusterId: string): string {
  return `/sluice/v1/${clusterId}/`
}

const FOR_ALL_BROKERS = 'default'
const CONTROLLER_KEY = 'controller'
const CONTROLLER_EPOCH_KEY = 'controller-epoch'
const LIVE = 'live'
const KNOWN = 'known'

export class ClusterKeys {
  readonly prefix: string

  constructor(clusterId: string) {
    this.prefix = clusterPrefix(clusterId)
  }

  operation(record: ControllerRecord): Operation {
    const key = this.prefix + keyOf(record)
    switch (record.type) {
      case 'broker-registered': {
        const { incarnation, folder, endpoints, rack, cleanEpoch, lease } = record
        return { ...put(key, { incarnation, folder, endpoints, rack, cleanEpoch }), lease }
      }
      case 'broker-state': {
        const { brokerEpoch, incarnation, fenced, shuttingDown } = record
        return put(key, { brokerEpoch, incarnation, fenced, shuttingDown })
      }
      case 'controller':
        return { ...put(key, { broker: record.broker }), lease: record.lease }
      case 'controller-epoch':
        return { type: 'put', key, value: Buffer.from(String(record.epoch)) }
      case 'topic':
        return put(key, { name: record.name, partitions: record.partitionCount, configs: record.configs })
      case 'topic-name':
        return { type: 'put', key, value: Buffer.from(record.topicId) }
      case 'partition': {
        const { type: _type, topicId: _topicId, partition: _partition, ...registration } = record
        return put(key, registration)
      }
      case 'broker-configs':
      case 'group-configs':
        return Object.keys(record.configs).length === 0 ? { type: 'delete', key } : put(key, record.configs)
      case 'next-producer-id':
        return { type: 'put', key, value: Buffer.from(String(record.next)) }
      case 'topic-removed':
      case 'topic-name-removed':
      case 'partition-removed':
      case 'broker-gone':
      case 'broker-forgotten':
      case 'controller-gone':
        return { type: 'delete', key }
      default:
        return record satisfies never
    }
  }

  compare(condition: Condition): Compare {
    const at = (key: string, revision: number): Compare => ({
      key: this.prefix + key,
      target: 'modRevision',
      value: revision,
    })
    const absent = (key: string): Compare => ({ key: this.prefix + key, target: 'version', value: 0 })
    const since = (key: string, revision: number): Compare => ({
      key: this.prefix + key,
      target: 'createRevision',
      value: revision,
    })
    switch (condition.type) {
      case 'name-is-free':
        return absent(`topics/${condition.name}`)
      case 'partition-unchanged':
        return at(partitionKey(condition.topicId, condition.partition), condition.revision)
      case 'partition-exists': {
        const key = this.prefix + partitionKey(condition.topicId, condition.partition)
        return { key, target: 'version', op: '>', value: 0 }
      }
      case 'broker-epoch':
        return since(liveKey(condition.broker), condition.brokerEpoch)
      case 'broker-not-registered':
        return absent(liveKey(condition.broker))
      case 'broker-state-unchanged':
        return at(knownKey(condition.broker), condition.revision)
      case 'controller-term':
        return since(CONTROLLER_KEY, condition.term)
      case 'no-controller':
        return absent(CONTROLLER_KEY)
      case 'controller-epoch-unchanged':
        return at(CONTROLLER_EPOCH_KEY, condition.revision)
      case 'topic-unchanged':
        return at(`topic/${condition.topicId}`, condition.revision)
      case 'broker-configs-unchanged':
        return at(brokerConfigsKey(condition.broker), condition.revision)
      case 'group-configs-unchanged':
        return at(groupConfigsKey(condition.group), condition.revision)
      case 'producer-ids-unchanged':
        return at('producer-ids/next', condition.revision)
      default:
        return condition satisfies never
    }
  }

  /**
   * The record that a key's entry stands for (null: the key is gone); null for keys of others. Throws
   * `ClusterMetadataError` for a value that nobody of us has written.
   */
  record(key: string, entry: KeyValue | null): ControllerRecord | null {
    if (!key.startsWith(this.prefix)) return null
    try {
      return this.#read(key, entry)
    } catch (cause) {
      throw new ClusterMetadataError(key, cause)
    }
  }

  #read(key: string, entry: KeyValue | null): ControllerRecord | null {
    const [kind, first = '', second] = key.slice(this.prefix.length).split('/')
    const value = entry?.value ?? null
    switch (kind) {
      case 'brokers':
        return readBroker(first, Number(second), entry)
      case CONTROLLER_KEY: {
        if (entry === null) return { type: 'controller-gone' }
        const { broker } = json(entry.value) as { broker: number }
        return { type: 'controller', broker, term: entry.createRevision, lease: entry.lease }
      }
      case CONTROLLER_EPOCH_KEY:
        return value === null ? null : { type: 'controller-epoch', epoch: Number(text(value)) }
      case 'topics':
        return value === null
          ? { type: 'topic-name-removed', name: first }
          : { type: 'topic-name', name: first, topicId: text(value) as TopicId }
      case 'topic': {
        const topicId = first as TopicId
        if (value === null) return { type: 'topic-removed', topicId }
        const { name, partitions, configs } = json(value) as StoredTopic
        return { type: 'topic', topicId, name, partitionCount: partitions, configs }
      }
      case 'partition': {
        const position = { topicId: first as TopicId, partition: Number(second) }
        if (value === null) return { type: 'partition-removed', ...position }
        return { type: 'partition', ...position, ...(json(value) as Registration) }
      }
      case 'configs': {
        const configs = value === null ? {} : (json(value) as Record<string, string>)
        if (first === 'group')
          return { type: 'group-configs', group: decodeURIComponent(second ?? ''), configs }
        if (first !== 'broker') return null
        const broker = second === FOR_ALL_BROKERS ? null : Number(second)
        return { type: 'broker-configs', broker, configs }
      }
      case 'producer-ids':
        return value === null ? null : { type: 'next-producer-id', next: BigInt(text(value)) }
      default:
        return null
    }
  }
}

/** What the metadata store has was not written there by brokers: somebody else has changed it, or a broken disk. */
export class ClusterMetadataError extends Error {
  override readonly name = 'ClusterMetadataError'
  readonly code = 'DAMAGED_CLUSTER_METADATA'

  constructor(key: string, cause: unknown) {
    super(
      `The metadata store has a value under "${key}" that cannot be read, so that the broker does not know what it ` +
        'stands for. Correct the value, or remove it if what it describes may go',
      { cause },
    )
  }
}

interface StoredTopic {
  readonly name: string
  readonly partitions: number
  readonly configs: Readonly<Record<string, string>>
}

type Registration = Omit<Extract<ControllerRecord, { type: 'partition' }>, 'type' | 'topicId' | 'partition'>

function keyOf(record: ControllerRecord): string {
  switch (record.type) {
    case 'topic':
    case 'topic-removed':
      return `topic/${record.topicId}`
    case 'topic-name':
    case 'topic-name-removed':
      return `topics/${record.name}`
    case 'partition':
    case 'partition-removed':
      return partitionKey(record.topicId, record.partition)
    case 'broker-registered':
    case 'broker-gone':
      return liveKey(record.broker)
    case 'broker-state':
    case 'broker-forgotten':
      return knownKey(record.broker)
    case 'controller':
    case 'controller-gone':
      return CONTROLLER_KEY
    case 'controller-epoch':
      return CONTROLLER_EPOCH_KEY
    case 'broker-configs':
      return brokerConfigsKey(record.broker)
    case 'group-configs':
      return groupConfigsKey(record.group)
    case 'next-producer-id':
      return 'producer-ids/next'
    default:
      return record satisfies never
  }
}

function readBroker(kind: string, broker: number, entry: KeyValue | null): ControllerRecord | null {
  if (kind === LIVE) {
    if (entry === null) return { type: 'broker-gone', broker }
    const said = json(entry.value) as Omit<BrokerRegistration, 'broker' | 'brokerEpoch' | 'lease'>
    return {
      type: 'broker-registered',
      ...said,
      broker,
      brokerEpoch: entry.createRevision,
      lease: entry.lease,
    }
  }
  if (kind !== KNOWN) return null
  if (entry === null) return { type: 'broker-forgotten', broker }
  return { type: 'broker-state', ...(json(entry.value) as Omit<BrokerState, 'broker'>), broker }
}

function partitionKey(topicId: TopicId, partition: number): string {
  return `partition/${topicId}/${partition}`
}

function liveKey(broker: number): string {
  return `brokers/${LIVE}/${broker}`
}

function knownKey(broker: number): string {
  return `brokers/${KNOWN}/${broker}`
}

function brokerConfigsKey(broker: number | null): string {
  return `configs/broker/${broker ?? FOR_ALL_BROKERS}`
}

/** A group may be called anything: what parts keys must not be in it. */
function groupConfigsKey(group: string): string {
  return `configs/group/${encodeURIComponent(group)}`
}

function put(key: string, value: unknown): Extract<Operation, { type: 'put' }> {
  return { type: 'put', key, value: Buffer.from(JSON.stringify(value)) }
}

function text(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
}

function json(value: Uint8Array): unknown {
  return JSON.parse(text(value))
}
