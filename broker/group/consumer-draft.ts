/**
 * A consumer group as it will be after the decision at hand. Every change goes both into the draft, for what is decided
 * next, and as a record into the decision: the log alone changes the group.
 */
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import {
  type ConsumerGroup,
  type ConsumerMember,
  type ResolvedPattern,
  type TopicChecks,
  type WaitingHeartbeat,
} from './consumer-group.ts'
import { type CountedSubscription, countSubscription, subscribeAlike } from './consumer-subscriptions.ts'
import { type DecisionBuilder } from './decision.ts'
import { Overlay } from './overlay.ts'
import { hasPartition, type PartitionSet, samePartitions, toTopicPartitions } from './partition-sets.ts'

export class ConsumerDraft {
  readonly groupId: string
  readonly #group: ConsumerGroup
  readonly #out: DecisionBuilder
  readonly #expectedJoins = new Map<string, boolean>()
  /** What was placed in this draft, 'topic/partition' -> member id; what was not, is as the group has it. */
  readonly #owners = new Map<string, string>()
  epoch: number
  metadataHash: bigint
  assignmentEpoch: number
  assignmentTimestamp: number
  checks: TopicChecks
  readonly members: Overlay<ConsumerMember>
  readonly instances: Overlay<string>
  readonly target: Overlay<PartitionSet>
  readonly patterns: Overlay<ResolvedPattern>
  readonly subscriptions: Overlay<CountedSubscription>
  readonly waiting: Overlay<WaitingHeartbeat>

  constructor(group: ConsumerGroup, out: DecisionBuilder) {
    this.groupId = group.groupId
    this.#group = group
    this.#out = out
    this.epoch = group.epoch
    this.metadataHash = group.metadataHash
    this.assignmentEpoch = group.assignmentEpoch
    this.assignmentTimestamp = group.assignmentTimestamp
    this.checks = group.checks
    this.members = new Overlay(group.members)
    this.instances = new Overlay(group.instances)
    this.target = new Overlay(group.target)
    this.patterns = new Overlay(group.patterns)
    this.subscriptions = new Overlay(group.subscriptions)
    this.waiting = new Overlay(group.waiting)
  }

  /** Who a member is and what it reads. */
  describe(member: ConsumerMember): void {
    const previous = this.members.get(member.memberId)
    if (previous === undefined || !subscribeAlike(previous, member)) {
      if (previous !== undefined) countSubscription(this.subscriptions, previous, -1)
      countSubscription(this.subscriptions, member, 1)
    }
    this.members.set(member.memberId, member)
    if (member.instanceId !== null) this.instances.set(member.instanceId, member.memberId)
    this.#out.record({
      type: 'consumer-group-member',
      key: { groupId: this.groupId, memberId: member.memberId },
      value: {
        instanceId: member.instanceId,
        rackId: member.rackId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        subscribedTopicNames: [...member.subscribedTopicNames],
        subscribedTopicRegex: member.subscribedTopicRegex,
        rebalanceTimeoutMs: member.rebalanceTimeoutMs,
        serverAssignor: member.serverAssignor,
        classicMemberMetadata:
          member.classic === null
            ? null
            : {
                sessionTimeoutMs: member.classic.sessionTimeoutMs,
                supportedProtocols: [...member.classic.supportedProtocols],
              },
      },
    })
  }

  /** What a member has, and how far it is. */
  place(member: ConsumerMember): void {
    this.members.set(member.memberId, member)
    for (const set of [member.assigned, member.pendingRevocation]) {
      for (const [topicId, partitions] of set) {
        for (const partition of partitions) this.#owners.set(`${topicId}/${partition}`, member.memberId)
      }
    }
    this.#out.record({
      type: 'consumer-group-current-member',
      key: { groupId: this.groupId, memberId: member.memberId },
      value: {
        memberEpoch: member.memberEpoch,
        previousMemberEpoch: member.previousMemberEpoch,
        state: member.state,
        assignedPartitions: withoutEpochs(member.assigned),
        partitionsPendingRevocation: withoutEpochs(member.pendingRevocation),
      },
    })
  }

  removeMember(member: ConsumerMember): void {
    const key = { groupId: this.groupId, memberId: member.memberId }
    const known = this.members.get(member.memberId)
    if (known !== undefined) countSubscription(this.subscriptions, known, -1)
    this.members.delete(member.memberId)
    this.refuseWaiting(member.memberId)
    if (member.instanceId !== null && this.instances.get(member.instanceId) === member.memberId) {
      this.instances.delete(member.instanceId)
    }
    this.target.delete(member.memberId)
    this.#out.record({ type: 'consumer-group-current-member', key, value: null })
    this.#out.record({ type: 'consumer-group-target-member', key, value: null })
    this.#out.record({ type: 'consumer-group-member', key, value: null })
  }

  /** Whoever waits for the next target in the name of this member is not a member any more. */
  refuseWaiting(memberId: string): void {
    const waiting = this.waiting.get(memberId)
    if (waiting === undefined) return
    this.waiting.delete(memberId)
    this.#out.reply('consumer-group-heartbeat', waiting.token, {
      errorCode: ErrorCode.UNKNOWN_MEMBER_ID,
      errorMessage: `Member ${memberId} is not a member of group ${this.groupId} any more.`,
      memberEpoch: 0,
      heartbeatIntervalMs: 0,
    })
  }

  setEpoch(epoch: number, metadataHash: bigint): void {
    this.epoch = epoch
    this.metadataHash = metadataHash
    this.#out.record({
      type: 'consumer-group',
      key: { groupId: this.groupId },
      value: { epoch, metadataHash },
    })
  }

  /** Only what differs from the target before is written. */
  setTarget(target: ReadonlyMap<string, PartitionSet>): void {
    for (const [memberId, partitions] of target) this.setTargetOf(memberId, partitions)
    this.setAssignmentEpoch(this.epoch)
  }

  setTargetOf(memberId: string, partitions: PartitionSet): void {
    const previous = this.target.get(memberId)
    if (previous !== undefined && samePartitions(previous, partitions)) return
    this.target.set(memberId, partitions)
    this.#out.record({
      type: 'consumer-group-target-member',
      key: { groupId: this.groupId, memberId },
      value: { topicPartitions: toTopicPartitions(partitions) },
    })
  }

  setAssignmentEpoch(epoch: number): void {
    this.assignmentEpoch = epoch
    this.assignmentTimestamp = this.#out.nowMs
    this.#out.record({
      type: 'consumer-group-target',
      key: { groupId: this.groupId },
      value: { assignmentEpoch: epoch, assignmentTimestamp: this.#out.nowMs },
    })
  }

  setPattern(pattern: string, resolved: ResolvedPattern | null): void {
    const key = { groupId: this.groupId, regularExpression: pattern }
    if (resolved === null) this.patterns.delete(pattern)
    else this.patterns.set(pattern, resolved)
    const value =
      resolved === null
        ? null
        : { topics: [...resolved.topics].sort(), version: resolved.version, timestamp: resolved.timestamp }
    this.#out.record({ type: 'consumer-group-pattern', key, value })
  }

  /** The group is gone, with all that belongs to it. */
  remove(): void {
    for (const member of [...this.members.values()]) this.removeMember(member)
    for (const pattern of [...this.patterns.keys()]) this.setPattern(pattern, null)
    const key = { groupId: this.groupId }
    this.#out.record({ type: 'consumer-group-target', key, value: null })
    this.#out.record({ type: 'consumer-group', key, value: null })
  }

  /** Whether the member may be given the partition: nobody else has it, or has still to give it up. */
  isFreeFor(memberId: string, topicId: TopicId, partition: number): boolean {
    const ownerId =
      this.#owners.get(`${topicId}/${partition}`) ?? this.#group.owners.get(topicId)?.get(partition)
    if (ownerId === undefined || ownerId === memberId) return true
    const owner = this.members.get(ownerId)
    if (owner === undefined) return true
    return (
      !hasPartition(owner.assigned, topicId, partition) &&
      !hasPartition(owner.pendingRevocation, topicId, partition)
    )
  }

  /** Whether the member is to join again; false where that was known. */
  expectJoin(memberId: string, isExpected: boolean): boolean {
    if (this.#group.expectedJoins.has(memberId) === isExpected) return false
    this.#expectedJoins.set(memberId, isExpected)
    return true
  }

  /** To be called last. */
  finish(): void {
    const isSame = this.checks === this.#group.checks && this.waiting.changes.size === 0
    if (isSame && this.#expectedJoins.size === 0) return
    this.#out.change({
      kind: 'consumer-group',
      groupId: this.groupId,
      checks: this.checks,
      expectedJoins: this.#expectedJoins,
      waiting: this.waiting.changes,
    })
  }
}

function withoutEpochs(set: PartitionSet) {
  return toTopicPartitions(set).map(topic => ({ ...topic, assignmentEpochs: null }))
}
