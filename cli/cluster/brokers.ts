/** Brokers with what they lead and hold. */
import type { Admin, BrokerDescription, LogDirDescription, TopicDescription } from '../../client/index.ts'

export interface BrokerRow extends BrokerDescription {
  readonly controller: boolean
  /** Partitions. */
  readonly leads: number
  readonly replicas: number
  /** Of these, those that are in sync. */
  readonly inSync: number
  /** Null where the broker does not tell. */
  readonly sizeBytes: number | null
}

/** In order of ids, with those that take no part. */
export async function brokerRows(admin: Admin, signal: AbortSignal): Promise<BrokerRow[]> {
  const [cluster, listed] = await Promise.all([
    admin.describeCluster({ includeFenced: true, signal }),
    admin.listTopics({ internal: true, signal }),
  ])
  const names = listed.map(({ topic }) => topic)
  const active = cluster.brokers.filter(({ fenced }) => !fenced).map(({ id }) => id)
  const [topics, directories] = await Promise.all([
    admin.describeTopics({ topics: names, signal }),
    admin.describeLogDirs({ brokers: active, signal }).catch((): LogDirDescription[] => []),
  ])
  return cluster.brokers.map(broker => brokerRow(broker, cluster.controllerId, topics, directories))
}

/** Pure. */
export function brokerRow(
  broker: BrokerDescription,
  controllerId: number,
  topics: readonly TopicDescription[],
  directories: readonly LogDirDescription[],
): BrokerRow {
  const { id } = broker
  const partitions = topics.flatMap(topic => topic.partitions)
  const held = partitions.filter(({ replicas }) => replicas.includes(id))
  const own = directories.filter(directory => directory.broker === id)
  const sizes = own.flatMap(({ replicas }) => replicas.map(({ sizeBytes }) => sizeBytes))
  return {
    ...broker,
    controller: id === controllerId,
    leads: held.filter(({ leader }) => leader === id).length,
    replicas: held.length,
    inSync: held.filter(({ isr }) => isr.includes(id)).length,
    sizeBytes: own.length === 0 ? null : sizes.reduce((sum, size) => sum + size, 0),
  }
}

/** Where it can be reached; null: nobody knows. */
export function addressOf({ host, port }: Pick<BrokerDescription, 'host' | 'port'>): string | null {
  if (host === '') return null
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
