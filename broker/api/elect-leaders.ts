/**
 * ElectLeaders: each partition elects its preferred leader, or where nobody leads it any replica that is there (with
 * loss of records). Every broker carries it out alike; the answer leaves when the election is stored.
 *
 * Without a list all partitions are meant, and those that need no election are left out of the answer, as in Kafka.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type ElectLeadersRequest,
  type ElectLeadersResponse,
} from '../../client/protocol/messages/elect-leaders.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { decideElection, type ElectionType } from '../controller/elections.ts'
import { onceEach } from '../runtime/once-each.ts'
import { topicPolicies } from '../runtime/topic-policy.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { sideBySide } from './side-by-side.ts'

type Response = Input<typeof ElectLeadersResponse>
type Result = Response['replicaElectionResults'][number]['partitionResult'][number]

const TYPES: readonly ElectionType[] = ['preferred', 'unclean']

export function electLeadersHandler(context: BrokerContext): ApiHandler<ElectLeadersRequest, Response> {
  const policyOf = topicPolicies(() => context.config)
  return {
    api: API.ElectLeaders,
    async handle({ electionType, topicPartitions }) {
      const type = TYPES[electionType]
      if (type === undefined) return { errorCode: ErrorCode.INVALID_REQUEST, replicaElectionResults: [] }
      const { image } = context.metadata
      const isForAll = topicPartitions === null
      const asked = isForAll
        ? Array.from(image.topics(), ({ name, partitions }) => ({
            topic: name,
            partitions: partitions.map(({ partition }) => partition),
          }))
        : mergedByTopic(topicPartitions)
      const elect = async (topic: string, partition: number): Promise<Result> => {
        const outcome = await context.metadata.change(() => {
          const decision = decideElection(image, image.topic(topic), partition, type, policyOf)
          return decision.refusal === null ? { ...decision, result: null } : decision
        })
        return {
          partitionId: partition,
          errorCode: outcome.refusal?.error ?? ErrorCode.NONE,
          errorMessage: outcome.refusal?.message ?? null,
        }
      }
      const each = asked.flatMap(({ topic, partitions }) =>
        partitions.map(partition => ({ topic, partition })),
      )
      const results = await sideBySide(context.env.timers, each, ({ topic, partition }) =>
        elect(topic, partition),
      )
      const byTopic = new Map<string, Result[]>(asked.map(({ topic }) => [topic, []]))
      results.forEach((result, index) => {
        if (isForAll && result.errorCode === ErrorCode.ELECTION_NOT_NEEDED) return
        byTopic.get(each[index]!.topic)!.push(result)
      })
      const replicaElectionResults = Array.from(byTopic, ([topic, partitionResult]) => ({
        topic,
        partitionResult,
      })).filter(({ partitionResult }) => partitionResult.length > 0)
      return { errorCode: ErrorCode.NONE, replicaElectionResults }
    },
  }
}

function mergedByTopic(
  asked: NonNullable<ElectLeadersRequest['topicPartitions']>,
): { topic: string; partitions: readonly number[] }[] {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partitions } of asked) {
    byTopic.set(topic, [...(byTopic.get(topic) ?? []), ...partitions])
  }
  return Array.from(byTopic, ([topic, partitions]) => ({
    topic,
    partitions: onceEach(partitions, partition => partition).map(({ item }) => item),
  }))
}
