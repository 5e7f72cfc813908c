/**
 * AlterPartitionReassignments: begins moves of partitions to other brokers, changes them, cancels them (KIP-455). The
 * answer leaves when that is stored; how far the moves are ListPartitionReassignments tells.
 */
import { API } from '../../client/protocol/apis.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import {
  type AlterPartitionReassignmentsRequest,
  type AlterPartitionReassignmentsResponse,
} from '../../client/protocol/messages/alter-partition-reassignments.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { decideReassignment, type ReassignmentCommand } from '../controller/reassignments.ts'
import { type Refusal, refuse } from '../controller/records.ts'
import { onceEach } from '../runtime/once-each.ts'
import { topicPolicies } from '../runtime/topic-policy.ts'
import { type ApiHandler } from '../server/handler.ts'
import { type BrokerContext } from './context.ts'
import { sideBySide } from './side-by-side.ts'

type Request = AlterPartitionReassignmentsRequest
type Response = Input<typeof AlterPartitionReassignmentsResponse>

export function alterPartitionReassignmentsHandler(context: BrokerContext): ApiHandler<Request, Response> {
  const policyOf = topicPolicies(() => context.config)

  const move = async (name: string, command: ReassignmentCommand): Promise<Refusal | null> => {
    const { metadata } = context
    const outcome = await metadata.change(() => {
      const { brokers } = context.topics.surroundings
      const topic = metadata.image.topic(name)
      const decision = decideReassignment(metadata.image, topic, name, command, brokers, policyOf)
      return decision.refusal === null ? { ...decision, result: null } : decision
    })
    return outcome.refusal
  }

  return {
    api: API.AlterPartitionReassignments,
    async handle({ topics, allowReplicationFactorChange }) {
      const responses: Response['responses'][number][] = []
      for (const { item: topic, isDuplicate: isTopicTwice } of onceEach(topics, ({ name }) => name)) {
        const each = onceEach(topic.partitions, ({ partitionIndex }) => partitionIndex)
        const partitions = await sideBySide(context.env.timers, each, async ({ item, isDuplicate }) => {
          const { partitionIndex, replicas } = item
          const refusal =
            isTopicTwice || isDuplicate
              ? refuse(ErrorCode.INVALID_REQUEST, 'The partition is asked for more than once.')
              : await move(topic.name, {
                  partition: partitionIndex,
                  replicas,
                  mayChangeReplicationFactor: allowReplicationFactorChange,
                })
          return {
            partitionIndex,
            errorCode: refusal?.error ?? ErrorCode.NONE,
            errorMessage: refusal?.message ?? null,
          }
        })
        responses.push({ name: topic.name, partitions })
      }
      return { allowReplicationFactorChange, errorCode: ErrorCode.NONE, errorMessage: null, responses }
    },
  }
}
