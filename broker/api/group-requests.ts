/**
 * What the APIs of groups have in common: what the coordinator wants to know of a client, and topics that requests name
 * by name or by id.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import { type TopicImage } from '../controller/image.ts'
import { type RequestContext } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'

/** Who sends a request, as the coordinator remembers it. */
export function senderOf({ apiVersion, clientId, connection }: RequestContext): {
  readonly version: number
  readonly clientId: string
  readonly clientHost: string
} {
  // As Kafka shows it. An IPv4 client of an IPv6 socket has a prefix that people do not know it by.
  const clientHost = `/${connection.remote.host.replace(/^::ffff:(?=\d+\.)/, '')}`
  return { version: apiVersion, clientId: clientId ?? '', clientHost }
}

/** The topic that a request means, or why there is none. Versions that name topics by id do so alone. */
export function topicOf(
  { metadata }: BrokerContext,
  { name, topicId }: { readonly name: string; readonly topicId: TopicId },
  byId: boolean,
): TopicImage | ErrorCode {
  const topic = byId ? metadata.image.topicById(topicId) : metadata.image.topic(name)
  return topic ?? (byId ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
}
