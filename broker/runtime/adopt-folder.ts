/**
 * Takes in a data folder that Apache Kafka wrote: its partitions say by themselves which topic and which id they belong
 * to, so a cluster that knows nothing yet can take them over as they are. Done once, at the first start on a folder:
 * later on a folder that no topic names is a stray, because a deleted topic must not come back.
 *
 * What cannot be taken over are the topics' configs, which lie in Kafka's own metadata: its folder stays where it is,
 * unread. Adopted topics keep everything (no retention), since the defaults might delete what the owner meant to keep.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type ControllerRecord, stepsBefore } from '../controller/records.ts'
import { isInternalTopic, topicNameProblem } from '../controller/topic-names.ts'
import { MAX_NEW_PARTITIONS } from '../controller/topics.ts'
import { type Env } from '../env.ts'
import { readLeaderEpochs } from '../storage/checkpoints.ts'
import { type ClusterMetadata } from './cluster-metadata.ts'
import { freshTopicId } from './fresh-ids.ts'
import { type PartitionFolder, partitionFolderName, surveyFolders } from './partition-folders.ts'

/** The logs remember producers of the cluster that they come from, whose ids must not be given out again. */
const BEYOND_FOREIGN_PRODUCERS = 2n ** 40n

const KEEP_EVERYTHING = { 'retention.ms': '-1', 'retention.bytes': '-1' }
const INTERNAL = { 'cleanup.policy': 'compact' }

/**
 * Registers the topics whose partitions lie in the folder, unless that was done before. The first block of producer ids
 * is the mark that it was: it is written last, so an adoption that a crash cut short goes on with the next start.
 */
export async function adoptFolder(options: {
  readonly env: Env
  readonly dataFolder: string
  readonly metadata: ClusterMetadata
  readonly brokerId: number
}): Promise<void> {
  const { env, dataFolder, metadata, brokerId } = options
  const { image } = metadata
  if (image.nextProducerId.revision !== 0) return
  const { partitions, unreadable } = await surveyFolders(env.disk, dataFolder)
  // Which topics there are is settled here for good: none may be missed because it cannot be read today.
  for (const error of unreadable.values()) throw error
  for (const [name, folders] of byTopic(partitions)) {
    if (image.topic(name) !== undefined) continue
    const refusal = refusalOf(name, folders)
    if (refusal !== null) {
      env.log.error('A topic that was found in the folder is not taken over', {
        topic: name,
        reason: refusal,
      })
      continue
    }
    const ids = idsOf(folders)
    const topicId = [...ids][0] ?? freshTopicId(env.random)
    const partitionCount = Math.max(...folders.map(({ partition }) => partition)) + 1
    const records: ControllerRecord[] = []
    for (let partition = 0; partition < partitionCount; partition++) {
      const leaderEpoch = await nextLeaderEpoch(env, `${dataFolder}/${partitionFolderName(name, partition)}`)
      records.push(registration(topicId, partition, brokerId, leaderEpoch))
    }
    const configs = isInternalTopic(name) ? INTERNAL : KEEP_EVERYTHING
    const topic: ControllerRecord = { type: 'topic', topicId, name, partitionCount, configs }
    const steps = stepsBefore(
      records,
      [topic, { type: 'topic-name', name, topicId }],
      [{ type: 'name-is-free', name }],
    )
    await metadata.change(() => ({ refusal: null, change: { steps }, result: null }))
    env.log.warn(
      'Took over a topic that was found in the folder. Its configs are not known: it keeps everything until retention.ms or retention.bytes is set.',
      { topic: name, partitions: partitionCount, found: folders.length },
    )
  }
  const next = partitions.length === 0 ? 0n : BEYOND_FOREIGN_PRODUCERS
  const mark: ControllerRecord = { type: 'next-producer-id', next }
  const steps = [{ conditions: [{ type: 'producer-ids-unchanged' as const, revision: 0 }], records: [mark] }]
  await metadata.change(() => ({ refusal: null, change: { steps }, result: null }))
}

/** What a name says is not believed without bounds: a single odd folder would make two thousand million partitions. */
function refusalOf(name: string, folders: readonly PartitionFolder[]): string | null {
  const problem = topicNameProblem(name)
  if (problem !== null) return problem.message
  if (idsOf(folders).size > 1) return 'its partitions name different topic ids'
  const last = Math.max(...folders.map(({ partition }) => partition))
  if (last < MAX_NEW_PARTITIONS) return null
  return `it has a partition ${last}, and topics of more than ${MAX_NEW_PARTITIONS} partitions are not served`
}

function idsOf(folders: readonly PartitionFolder[]): Set<TopicId> {
  return new Set(folders.map(({ topicId }) => topicId).filter(topicId => topicId !== null))
}

function byTopic(partitions: readonly PartitionFolder[]): Map<string, PartitionFolder[]> {
  const topics = new Map<string, PartitionFolder[]>()
  for (const folder of partitions) {
    const folders = topics.get(folder.topicName)
    if (folders === undefined) topics.set(folder.topicName, [folder])
    else folders.push(folder)
  }
  return topics
}

/** Beyond every epoch that the log has seen: whoever led it before is fenced. */
async function nextLeaderEpoch(env: Env, directory: string): Promise<number> {
  const last = (await readLeaderEpochs(env.disk, directory, env.log))?.at(-1)
  return last === undefined ? 0 : last.epoch + 1
}

function registration(
  topicId: TopicId,
  partition: number,
  broker: number,
  leaderEpoch: number,
): ControllerRecord {
  return {
    type: 'partition',
    topicId,
    partition,
    leader: broker,
    leaderEpoch,
    partitionEpoch: 0,
    replicas: [broker],
    isr: [broker],
    elr: [],
    lastKnownElr: [],
    adding: [],
    removing: [],
  }
}
