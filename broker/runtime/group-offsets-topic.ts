/**
 * Makes `__consumer_offsets`, the topic in which groups and their offsets are kept: when it is first needed, so that a
 * broker without groups has none of its files.
 */
import { type BrokerConfigValues } from '../config/broker-configs.ts'
import { type Refusal } from '../controller/records.ts'
import { GROUP_OFFSETS_TOPIC } from '../controller/topic-names.ts'
import { decideCreateTopics } from '../controller/topics.ts'
import { type Env } from '../env.ts'
import { type ClusterMetadata } from './cluster-metadata.ts'
import { freshTopicId } from './fresh-ids.ts'
import { type Topics } from './topics.ts'

export interface OffsetsTopicOptions {
  readonly env: Pick<Env, 'random' | 'log'>
  readonly metadata: ClusterMetadata
  readonly topics: Topics
}

/** Null when the topic is there and its partitions can be written to; else why not. */
export async function createOffsetsTopic(
  { env, metadata, topics }: OffsetsTopicOptions,
  values: BrokerConfigValues,
): Promise<Refusal | null> {
  const { image } = metadata
  const { surroundings } = topics
  const wanted = values['offsets.topic.replication.factor']
  // One broker alone cannot give more than one copy. Among several, fewer copies than were asked for would stay so: the
  // topic is made when there are enough of them.
  const replicationFactor = metadata.isAlone ? 1 : wanted
  const partitions = values['offsets.topic.num.partitions']
  const topicId = freshTopicId(env.random)
  const command = {
    name: GROUP_OFFSETS_TOPIC,
    topicId,
    partitions,
    replicationFactor,
    assignments: [],
    configs: [
      { name: 'cleanup.policy', value: 'compact' },
      { name: 'compression.type', value: 'producer' },
      { name: 'segment.bytes', value: String(values['offsets.topic.segment.bytes']) },
    ],
  }
  // What clients may not ask for, the broker may.
  const unchecked = { ...surroundings, configProblem: () => null }
  const outcome = await topics.change(topicId, () => {
    const existing = image.topic(GROUP_OFFSETS_TOPIC)
    if (existing !== undefined) return { refusal: null, change: { steps: [] }, result: existing.topicId }
    const decided = decideCreateTopics(image, [command], unchecked)[0]!
    return decided.refusal !== null ? decided : { refusal: null, change: decided.change, result: topicId }
  })
  if (outcome.refusal !== null) return outcome.refusal
  // Another request was faster: its partitions may still be on their way.
  if (outcome.result !== topicId) await topics.settled(outcome.result)
  else env.log.info('Made the topic in which groups are kept', { partitions, replicationFactor })
  return null
}
