/**
 * Where a position of a fetch lies: its topic, its partition on this broker, and whether the reader's log parts from
 * it. It reads nothing and waits for nothing.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type LeaderEpoch } from '../../client/protocol/types.ts'
import { type TopicImage } from '../controller/image.ts'
import { type FetchPosition } from '../runtime/fetch-sessions.ts'
import { type PartitionHost } from '../runtime/partition-host.ts'
import { type BrokerContext, partitionOf } from './context.ts'

/** `byTopicId`: the fetch names topics by id, and by id alone. */
export function topicAt(
  { metadata }: BrokerContext,
  byTopicId: boolean,
  { topic, topicId }: FetchPosition,
): TopicImage | undefined {
  const { image } = metadata
  return byTopicId ? image.topicById(topicId) : image.topic(topic)
}

/** The partition, or why it is not served from here. */
export function hostAt(
  context: BrokerContext,
  byTopicId: boolean,
  position: FetchPosition,
): PartitionHost | ErrorCode {
  const unknown = byTopicId ? ErrorCode.UNKNOWN_TOPIC_ID : ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
  return partitionOf(context, topicAt(context, byTopicId, position), position.partition, unknown)
}

/** The read will say where the logs part, or that it cannot say. In the newest epoch, as nearly always, none do. */
export function diverges(host: PartitionHost, { lastFetchedEpoch, fetchOffset }: FetchPosition): boolean {
  if (lastFetchedEpoch < 0) return false
  const { epochs, logEndOffset } = host.state
  if (lastFetchedEpoch === epochs.latestEpoch) return fetchOffset > logEndOffset
  const end = epochs.endOffsetFor(lastFetchedEpoch as LeaderEpoch, logEndOffset)
  return end === null || end.epoch !== lastFetchedEpoch || end.endOffset < fetchOffset
}
