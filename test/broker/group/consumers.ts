/**
 * A member of a consumer group as a client is one: it says what it owns, takes what it is given, and gives up what it
 * is not given any more.
 */
import { type GroupAnswers } from '../../../broker/group/types.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { freshId } from './members.ts'
import { type TestShell, topicId } from './shell.ts'

type Answer = GroupAnswers['consumer-group-heartbeat']

export interface ConsumerOptions {
  readonly groupId?: string
  readonly memberId?: string
  readonly instanceId?: string | null
  readonly rackId?: string | null
  readonly topics?: readonly string[] | null
  readonly pattern?: string | null
  readonly assignor?: string | null
  readonly rebalanceTimeoutMs?: number
}

export function consumerHeartbeat(
  shell: TestShell,
  options: ConsumerOptions & {
    readonly memberEpoch: number
    readonly owned?: readonly { readonly topicId: string; readonly partitions: readonly number[] }[] | null
    readonly version?: number
  },
): Answer {
  return shell.ask<'consumer-group-heartbeat'>({
    kind: 'consumer-group-heartbeat',
    version: options.version ?? 1,
    clientId: 'app',
    clientHost: '/127.0.0.1',
    newMemberId: freshId('drawn'),
    request: {
      groupId: options.groupId ?? 'g',
      memberId: options.memberId ?? '',
      memberEpoch: options.memberEpoch,
      instanceId: options.instanceId ?? null,
      rackId: options.rackId ?? null,
      rebalanceTimeoutMs: options.rebalanceTimeoutMs ?? -1,
      subscribedTopicNames:
        options.topics === undefined || options.topics === null ? null : [...options.topics],
      subscribedTopicRegex: options.pattern ?? null,
      serverAssignor: options.assignor ?? null,
      topicPartitions:
        options.owned?.map(({ topicId, partitions }) => ({
          topicId: topicId as ReturnType<typeof import('./shell.ts').topicId>,
          partitions: [...partitions],
        })) ?? null,
    },
  })
}

export class Consumer {
  readonly memberId: string
  readonly options: ConsumerOptions
  epoch = 0
  /** Topic ids with partitions, as 'id/partition'. */
  owned = new Set<string>()
  readonly #shell: TestShell

  constructor(shell: TestShell, options: ConsumerOptions = {}) {
    this.#shell = shell
    this.options = options
    this.memberId = options.memberId ?? freshId('member')
  }

  /** The first, or a further heartbeat, with everything that the member has to say. What it is told it does at once. */
  beat(changes: ConsumerOptions = {}): Answer {
    const answer = consumerHeartbeat(this.#shell, {
      rebalanceTimeoutMs: 30_000,
      topics: this.options.pattern === undefined ? ['t'] : null,
      ...this.options,
      ...changes,
      memberId: this.memberId,
      memberEpoch: this.epoch,
      owned: this.ownedTopics(),
    })
    this.take(answer)
    return answer
  }

  /** As clients do when nothing has changed. */
  quietBeat(): Answer {
    const answer = consumerHeartbeat(this.#shell, {
      groupId: this.options.groupId ?? 'g',
      instanceId: this.options.instanceId ?? null,
      memberId: this.memberId,
      memberEpoch: this.epoch,
    })
    this.take(answer)
    return answer
  }

  take(answer: Answer): void {
    if (answer.errorCode !== ErrorCode.NONE) {
      this.epoch = 0
      this.owned = new Set()
      return
    }
    this.epoch = answer.memberEpoch
    if (answer.assignment == null) return
    this.owned = new Set(
      answer.assignment.topicPartitions.flatMap(({ topicId, partitions }) =>
        partitions.map(partition => `${topicId}/${partition}`),
      ),
    )
  }

  leave(memberEpoch = -1): Answer {
    const answer = consumerHeartbeat(this.#shell, {
      groupId: this.options.groupId ?? 'g',
      instanceId: this.options.instanceId ?? null,
      memberId: this.memberId,
      memberEpoch,
    })
    this.epoch = 0
    this.owned = new Set()
    return answer
  }

  ownedTopics(): { topicId: string; partitions: number[] }[] {
    const topics = new Map<string, number[]>()
    for (const text of this.owned) {
      const [id, partition] = text.split('/') as [string, string]
      topics.set(id, [...(topics.get(id) ?? []), Number(partition)])
    }
    return Array.from(topics, ([id, partitions]) => ({ topicId: id, partitions }))
  }

  partitionsOf(topic: string): number[] {
    const id = topicId(topic)
    const mine = this.ownedTopics().find(owned => owned.topicId === id)
    return [...(mine?.partitions ?? [])].sort((left, right) => left - right)
  }
}

/** Lets all of them beat until nobody moves any more; the number of rounds. */
export function settle(consumers: readonly Consumer[], limit = 50): number {
  for (let round = 1; round <= limit; round++) {
    const before = consumers.map(consumer => `${consumer.epoch} ${[...consumer.owned].sort().join()}`)
    for (const consumer of consumers) consumer.beat()
    const after = consumers.map(consumer => `${consumer.epoch} ${[...consumer.owned].sort().join()}`)
    if (before.join('\n') === after.join('\n')) return round
  }
  throw new Error('the group does not come to rest')
}
