/**
 * How the controller's records lie in the metadata store: which key, which bytes. The one place that knows both sides.
 * Values are JSON, so that an operator can read them with the store's own tools.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type Condition, type ControllerRecord } from '../controller/records.ts'
import { type Compare, type Operation } from '../metastore/metastore.ts'

/** Everything of one cluster lies below it. */
export function clusterPrefix(clusterId: string): string {
  return `/sluice/v1/${clusterId}/`
}

const FOR_ALL_BROKERS = 'default'

export class ClusterKeys {
  readonly prefix: string

  constructor(clusterId: string) {
    this.prefix = clusterPrefix(clusterId)
  }

  operation(record: ControllerRecord): Operation {
    const key = this.prefix + keyOf(record)
    switch (record.type) {
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
    switch (condition.type) {
      case 'name-is-free':
        return { key: `${this.prefix}topics/${condition.name}`, target: 'version', value: 0 }
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
   * The record that a key's new value stands for (null: the key is gone); null for keys of others. Throws
   * `ClusterMetadataError` for a value that nobody of us has written.
   */
  record(key: string, value: Uint8Array | null): ControllerRecord | null {
    if (!key.startsWith(this.prefix)) return null
    try {
      return this.#read(key, value)
    } catch (cause) {
      throw new ClusterMetadataError(key, cause)
    }
  }

  #read(key: string, value: Uint8Array | null): ControllerRecord | null {
    const [kind, first = '', second] = key.slice(this.prefix.length).split('/')
    switch (kind) {
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
      return `partition/${record.topicId}/${record.partition}`
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

function brokerConfigsKey(broker: number | null): string {
  return `configs/broker/${broker ?? FOR_ALL_BROKERS}`
}

/** A group may be called anything: what parts keys must not be in it. */
function groupConfigsKey(group: string): string {
  return `configs/group/${encodeURIComponent(group)}`
}

function put(key: string, value: unknown): Operation {
  return { type: 'put', key, value: Buffer.from(JSON.stringify(value)) }
}

function text(value: Uint8Array): string {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
}

function json(value: Uint8Array): unknown {
  return JSON.parse(text(value))
}
