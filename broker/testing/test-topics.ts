/** Topics as a test names them, made as an administrator would make them. */
import { ErrorCode, errorName } from '../../client/protocol/errors.ts'
import { type BrokerContext } from '../api/context.ts'
import { createTopics } from '../api/create-topics.ts'
import { BrokerError } from '../broker.ts'

export interface TestTopic {
  /** Default 1. */
  readonly partitions?: number
  /** Default 1; in a cluster 3, or as many brokers as there are. */
  readonly replicationFactor?: number
  /** With Kafka's names, as `cleanup.policy`. */
  readonly configs?: Readonly<Record<string, string>>
}

/** By name: the number of partitions, or more. */
export type TestTopics = Readonly<Record<string, number | TestTopic>>

/** Resolves when this broker has its part of them. Rejects with a BrokerError for the first that is refused. */
export async function makeTopics(context: BrokerContext, topics: TestTopics): Promise<void> {
  const commands = Object.entries(topics).map(([name, topic]) => {
    const {
      partitions = 1,
      replicationFactor = -1,
      configs = {},
    } = typeof topic === 'number' ? { partitions: topic } : topic
    const pairs = Object.entries(configs).map(([config, value]) => ({ name: config, value }))
    return { name, partitions, replicationFactor, assignments: [], configs: pairs }
  })
  if (commands.length === 0) return
  for (const { error, message } of await createTopics(context, commands, false)) {
    if (error !== ErrorCode.NONE) throw new BrokerError(errorName(error), message ?? errorName(error))
  }
}
