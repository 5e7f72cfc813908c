/**
 * Sweeps up what changes of topics that were cut short have left behind, without harm to one that is merely slow.
 *
 * A topic of many partitions is made in pieces, and counts from its last step on. That step asks for the first
 * partition of the pieces (`partition-exists`), and the sweep removes that one first, while the topic is as it was
 * seen: so either the topic comes to be as a whole, or not at all.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type ClusterImage } from './image.ts'
import { type Condition, type ControllerRecord, MAX_STEP_SIZE, type Step } from './records.ts'

/** Of `orphans`, as the image tells them; in order, bound to the term of a controller. */
export function sweepSteps(image: ClusterImage, orphans: readonly ControllerRecord[], term: number): Step[] {
  const byTopic = new Map<TopicId, ControllerRecord[]>()
  for (const record of orphans) {
    if (!('topicId' in record)) continue
    const records = byTopic.get(record.topicId)
    if (records === undefined) byTopic.set(record.topicId, [record])
    else records.push(record)
  }
  const steps: Step[] = []
  for (const [topicId, records] of byTopic) {
    records.sort((a, b) => indexOf(a) - indexOf(b))
    const conditions: Condition[] = [{ type: 'controller-term', term }]
    // What no name leads to comes last, and nothing can be made of it.
    if (records.every(({ type }) => type === 'partition-removed')) {
      const revision = image.topicById(topicId)?.revision ?? 0
      steps.push({
        conditions: [...conditions, { type: 'topic-unchanged', topicId, revision }],
        records: [records.shift()!],
      })
    }
    for (let from = 0; from < records.length; from += MAX_STEP_SIZE - 1) {
      steps.push({ conditions, records: records.slice(from, from + MAX_STEP_SIZE - 1) })
    }
  }
  return steps
}

function indexOf(record: ControllerRecord): number {
  return record.type === 'partition-removed' ? record.partition : Number.MAX_SAFE_INTEGER
}
