/**
 * A member of a consumer group as a client is one: it says what it owns, takes what it is given, and gives up what it
 * is not given any more.
 */

import { type GroupAnswers } from '../../../broker/group/types.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type TopicId } from '../../../client/protocol/types.ts'
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

export interface HeartbeatOptions extends ConsumerOptions {
  readonly memberEpoch: number
  readonly owned?: readonly { readonly topicId: string; readonly partitions: readonly number[] }[] | null
  readonly version?: number
}

export function heartbeatCommand(options: HeartbeatOptions) {
  const { topics } = options
  return {
    kind: 'consumer-group-heartbeat' as const,
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
      subscribedTopicNames: topics === undefined || topics === null ? null : [...topics],
      subscribedTopicRegex: options.pattern ?? null,
      serverAssignor: options.assignor ?? null,
      topicPartitions:
        options.owned?.map(({ topicId, partitions }) => ({
          topicId: topicId as TopicId,
          partitions: [...partitions],
        })) ?? null,
    },
  }
}

export function consumerHeartbeat(shell: TestShell, options: HeartbeatOptions): Answer {
  return shell.ask<'consumer-group-heartbeat'>(heartbeatCommand(options))
}

export class Consumer {
  readonly memberId: string
  readonly options: ConsumerOptions
  epoch = 0
  /** Heartbeats sent, for whoever lets answers get lost. */
  attempts = 0
  /** Topic ids with partitions, as 'id/partition'. */
  owned = new Set<string>()
  readonly #shell: TestShell

  constructor(shell: TestShell, options: ConsumerOptions = {}) {
    this.#shell = shell
    this.options = options
    this.memberId = options.memberId ?? freshId('member')
  }

  /** The first, or a further heartbeat, with everything that the member has to say. */
  command(changes: ConsumerOptions = {}) {
    return heartbeatCommand({
      rebalanceTimeoutMs: 30_000,
      topics: this.options.pattern == null ? ['t'] : null,
      ...this.options,
      ...changes,
      memberId: this.memberId,
      memberEpoch: this.epoch,
      owned: this.ownedTopics(),
    })
  }

  /** As clients do when nothing has changed; the first must say everything. */
  quietCommand() {
    if (this.epoch === 0) return this.command()
    const { groupId = 'g', instanceId = null } = this.options
    return heartbeatCommand({ groupId, instanceId, memberId: this.memberId, memberEpoch: this.epoch })
  }

  /** What it is told it does at once. */
  beat(changes: ConsumerOptions = {}): Answer {
    const answer = this.#shell.ask<'consumer-group-heartbeat'>(this.command(changes))
    this.take(answer)
    return answer
  }

  quietBeat(): Answer {
    const answer = this.#shell.ask<'consumer-group-heartbeat'>(this.quietCommand())
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

  leaveCommand(memberEpoch: number) {
    const { groupId = 'g', instanceId = null } = this.options
    return heartbeatCommand({ groupId, instanceId, memberId: this.memberId, memberEpoch })
  }

  leave(memberEpoch = -1): Answer {
    const answer = this.#shell.ask<'consumer-group-heartbeat'>(this.leaveCommand(memberEpoch))
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
