/**
 * The brokers of the cluster as clients are told of them: who is there, how to reach each, who controls, who leads.
 * Every broker gives the same answers, since all read the same metadata. It must not decide who is there: the
 * controller does.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type TopicImage } from '../controller/image.ts'
import { type PartitionRecord } from '../controller/records.ts'
import { type ConnectionInfo } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'

export interface BrokerNode {
  readonly brokerId: number
  readonly host: string
  readonly port: number
  readonly rack: string | null
}

type Client = Pick<ConnectionInfo, 'listenerName' | 'local'>

/** This broker, for the client of this connection. */
function self(context: BrokerContext, client: ConnectionInfo): BrokerNode {
  const { host, port } = context.endpoint(client)
  return { brokerId: context.brokerId, host, port, rack: context.config.values['broker.rack'] }
}

/**
 * How a client reaches a broker: by the listener of the same name as the one that it came by. Null where the broker is
 * not registered, or has no such listener.
 */
export function registeredNode(
  context: BrokerContext,
  { listenerName }: Client,
  broker: number,
): BrokerNode | null {
  const registration = context.metadata.image.brokers.get(broker)
  const endpoint = registration?.endpoints.find(({ listener }) => listener === listenerName)
  if (registration === undefined || endpoint === undefined) return null
  return { brokerId: broker, host: endpoint.host, port: endpoint.port, rack: registration.rack }
}

/** The same for a broker that serves clients; null: it does not, or not by this listener. */
export function servingNode(
  context: BrokerContext,
  client: ConnectionInfo,
  broker: number,
): BrokerNode | null {
  if (context.metadata.isAlone) return broker === context.brokerId ? self(context, client) : null
  return context.metadata.image.brokers.isUnfenced(broker) ? registeredNode(context, client, broker) : null
}

/** Every broker that serves clients of this listener, in order of ids; also one that is about to leave. */
export function servingNodes(context: BrokerContext, client: ConnectionInfo): BrokerNode[] {
  if (context.metadata.isAlone) return [self(context, client)]
  return context.metadata.image.brokers
    .registered()
    .map(({ broker }) => servingNode(context, client, broker))
    .filter(node => node !== null)
}

/**
 * The broker that clients are told is the controller. Any broker carries out what an administrator asks for, so while
 * nobody controls it is the first that serves; -1 where none does.
 */
export function controllerId({ metadata, brokerId }: BrokerContext): number {
  if (metadata.isAlone) return brokerId
  const { brokers } = metadata.image
  const elected = brokers.controller?.broker
  if (elected !== undefined && brokers.isUnfenced(elected)) return elected
  return brokers.registered().find(({ broker }) => brokers.isUnfenced(broker))?.broker ?? -1
}

export interface Leadership {
  readonly errorCode: ErrorCode
  /** -1: nobody whom this client could ask. */
  readonly leaderId: number
  /** Replicas that do not serve: not there, fenced, without this listener, or with their files out of order. */
  readonly offlineReplicas: readonly number[]
}

/** Who leads a partition, as clients of this listener are told. */
export function leadershipOf(
  context: BrokerContext,
  client: ConnectionInfo,
  topic: TopicImage,
  { partition, leader, replicas }: PartitionRecord,
): Leadership {
  const { brokerId, metadata, partitions } = context
  // Only this broker knows of its own files.
  const isOfflineHere = partitions.offline.has(topic.topicId, partition)
  const serves = (broker: number): boolean =>
    !(isOfflineHere && broker === brokerId) &&
    (metadata.isAlone || servingNode(context, client, broker) !== null)
  const offlineReplicas = replicas.filter(replica => !serves(replica))
  if (leader !== -1 && serves(leader)) return { errorCode: ErrorCode.NONE, leaderId: leader, offlineReplicas }
  const isOnOtherListener = leader !== -1 && !metadata.isAlone && metadata.image.brokers.isUnfenced(leader)
  const isUnheard = isOnOtherListener && registeredNode(context, client, leader) === null
  const errorCode = isUnheard ? ErrorCode.LISTENER_NOT_FOUND : ErrorCode.LEADER_NOT_AVAILABLE
  return { errorCode, leaderId: -1, offlineReplicas }
}

/** Where the leaders that an answer names are found, so that the client need not ask for metadata (KIP-951). */
export function nodeEndpoints(
  context: BrokerContext,
  client: ConnectionInfo,
  leaders: Iterable<number>,
): { nodeId: number; host: string; port: number; rack: string | null }[] {
  return [...new Set(leaders)]
    .sort((a, b) => a - b)
    .flatMap(leader => {
      const node = servingNode(context, client, leader)
      if (node === null) return []
      const { brokerId: nodeId, host, port, rack } = node
      return [{ nodeId, host, port, rack }]
    })
}
