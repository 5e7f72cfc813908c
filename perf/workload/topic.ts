/** The topic of a workload: made where it is missing, and taken away again where the workload made it up. */

import type { Kafka } from '../../client/index.ts'
import { WorkloadError } from './errors.ts'

/** Resolves to whether it was made. */
export async function ensureTopic(kafka: Kafka, topic: string, partitions: number): Promise<boolean> {
  const admin = kafka.admin()
  const [created] = await admin.createTopics({ topics: [{ topic, partitions }], ifNotExists: true })
  const [description] = await admin.describeTopics({ topics: [topic] })
  const present = description?.partitions.length ?? 0
  if (present < partitions) {
    throw new WorkloadError(
      `Topic ${topic} has ${present} partitions and ${partitions} are to be used: ask for fewer, or add some.`,
    )
  }
  return created?.created ?? false
}

export async function deleteTopic(kafka: Kafka, topic: string): Promise<void> {
  await kafka.admin().deleteTopics({ topics: [topic], ifExists: true })
}
