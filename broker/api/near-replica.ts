/**
 * Which replica a consumer had better read from (KIP-392): one in its own rack, where the broker is told to look at
 * racks and the consumer says in which one it is.
 */
import { type BrokerId, type Offset } from '../../client/protocol/types.ts'
import { RACK_AWARE_SELECTOR } from '../config/replication-configs.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type BrokerContext } from './context.ts'

/** Whether followers serve consumers by rack: then they have to learn soon what is committed. */
export function selectsByRack({ config, metadata }: BrokerContext): boolean {
  return config.values['replica.selector.class'] === RACK_AWARE_SELECTOR && !metadata.isAlone
}

/**
 * An active in-sync replica in `rack` that has what comes at `offset`; null where the leader itself, which asks, is the
 * one to read from. Of several the first in the order of replicas, so that a consumer stays where it is.
 */
export function nearReplica(
  context: BrokerContext,
  host: PartitionHost,
  rack: string,
  offset: Offset,
): BrokerId | null {
  if (host.role !== 'leader' || context.config.values['broker.rack'] === rack) return null
  const { brokers } = context.metadata.image
  const replicas = context.metadata.image.topicById(host.topicId)?.partitions[host.partition]?.replicas ?? []
  for (const replica of replicas as readonly BrokerId[]) {
    if (brokers.get(replica)?.rack !== rack || !brokers.isActive(replica)) continue
    if (host.hasInSync(replica, offset)) return replica
  }
  return null
}
