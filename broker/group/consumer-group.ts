/**
 * A consumer group (KIP-848) as the log has it: all of it is durable but the timers. The broker assigns; each member
 * walks at its own pace from the epoch it is in to that of the target.
 *
 *   group epoch       grows when a member comes, goes or subscribes to something else, or its topics change
 *   assignment epoch  the group epoch for which the target was computed
 *   member epoch      the assignment epoch that the member has reached
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type CountedSubscription, countSubscription, subscribeAlike } from './consumer-subscriptions.ts'
import { NO_PARTITIONS, type PartitionSet, partitionSet } from './partition-sets.ts'
import { type ConsumerGroupMemberMetadataValue } from './record-schemas.ts'
import { type ConsumerGroupRecord } from './records.ts'

/** As numbered in the log. */
export const MemberState = {
  /** Has what its epoch gives it. */
  STABLE: 0,
  /** Has been told to give partitions up and has not said that it did. */
  UNREVOKED_PARTITIONS: 1,
  /** Waits for partitions that others still have. */
  UNRELEASED_PARTITIONS: 2,
} as const
export type MemberState = (typeof MemberState)[keyof typeof MemberState]

/** The epoch of a static member that is away for a while. */
export const AWAY_EPOCH = -2
export const LEAVE_EPOCH = -1

export interface ClassicSide {
  readonly sessionTimeoutMs: number
  readonly supportedProtocols: readonly { readonly name: string; readonly metadata: Uint8Array }[]
}

/** Never changed, only replaced. */
export interface ConsumerMember {
  readonly memberId: string
  readonly instanceId: string | null
  readonly rackId: string | null
  readonly clientId: string
  readonly clientHost: string
  /** Sorted, each once. */
  readonly subscribedTopicNames: readonly string[]
  /** Null where there is none. */
  readonly subscribedTopicRegex: string | null
  readonly rebalanceTimeoutMs: number
  readonly serverAssignor: string | null
  /** Not null: the member speaks the classic protocol. */
  readonly classic: ClassicSide | null
  readonly memberEpoch: number
  /** The epoch before: an answer that was lost may be asked for again with it. */
  readonly previousMemberEpoch: number
  readonly state: MemberState
  readonly assigned: PartitionSet
  readonly pendingRevocation: PartitionSet
}

export interface ResolvedPattern {
  readonly topics: ReadonlySet<string>
  readonly version: number
  readonly timestamp: number
}

/** When it was last looked whether the group reads other topics than before. */
export interface TopicChecks {
  /** Of the topics; null: not since the log was replayed. */
  readonly topicsVersion: number | null
  /** When the patterns were last matched, by the wall clock. */
  readonly patternsMatchedMs: number | null
}

/** A heartbeat that is answered with the next target. */
export interface WaitingHeartbeat {
  readonly token: number
  /** Of the group: answered with a target of this epoch or a later one. */
  readonly groupEpoch: number
  /** What the member said that it has; null: as before. */
  readonly owned: PartitionSet | null
  /** What the member was last told to have; null: it is told in any case. */
  readonly known: PartitionSet | null
}

const NO_CHECKS: TopicChecks = { topicsVersion: null, patternsMatchedMs: null }

export function newMember(memberId: string): ConsumerMember {
  return {
    memberId,
    instanceId: null,
    rackId: null,
    clientId: '',
    clientHost: '',
    subscribedTopicNames: [],
    subscribedTopicRegex: null,
    rebalanceTimeoutMs: -1,
    serverAssignor: null,
    classic: null,
    memberEpoch: 0,
    previousMemberEpoch: 0,
    state: MemberState.STABLE,
    assigned: NO_PARTITIONS,
    pendingRevocation: NO_PARTITIONS,
  }
}

export class ConsumerGroup {
  readonly groupId: string
  epoch = 0
  /** Of the topics that the group reads, when it was last looked. */
  metadataHash = 0n
  assignmentEpoch = 0
  assignmentTimestamp = 0
  readonly members = new Map<string, ConsumerMember>()
  /** Static members: instance id -> member id. */
  readonly instances = new Map<string, string>()
  readonly target = new Map<string, PartitionSet>()
  readonly patterns = new Map<string, ResolvedPattern>()
  /** Who has a partition, or has not given it up yet. */
  readonly owners = new Map<TopicId, Map<number, string>>()
  /** Volatile. */
  checks: TopicChecks = NO_CHECKS
  /** Volatile. Members that speak the classic protocol and have been told to join again. */
  readonly expectedJoins = new Set<string>()
  /** Volatile. By member id. */
  readonly waiting = new Map<string, WaitingHeartbeat>()
  /** What members subscribe to, each kind once. */
  readonly subscriptions = new Map<string, CountedSubscription>()

  constructor(groupId: string) {
    this.groupId = groupId
  }

  /**
   * Takes records in any order that a compacted log can have: what is missing is made, what is gone may go again.
   * Returns false where the group itself is gone.
   */
  apply(record: ConsumerGroupRecord): boolean {
    switch (record.type) {
      case 'consumer-group':
        if (record.value === null) return false
        this.epoch = record.value.epoch
        this.metadataHash = record.value.metadataHash
        return true
      case 'consumer-group-topics':
        return true
      case 'consumer-group-member':
        this.#applyMember(record.key.memberId, record.value)
        return true
      case 'consumer-group-target':
        this.assignmentEpoch = record.value?.assignmentEpoch ?? 0
        this.assignmentTimestamp = record.value?.assignmentTimestamp ?? 0
        return true
      case 'consumer-group-target-member':
        if (record.value === null) this.target.delete(record.key.memberId)
        else this.target.set(record.key.memberId, partitionSet(record.value.topicPartitions))
        return true
      case 'consumer-group-current-member':
        this.#applyCurrent(record)
        return true
      case 'consumer-group-pattern':
        if (record.value === null) this.patterns.delete(record.key.regularExpression)
        else {
          const { topics, version, timestamp } = record.value
          this.patterns.set(record.key.regularExpression, { topics: new Set(topics), version, timestamp })
        }
        return true
    }
  }

  #applyMember(memberId: string, value: ConsumerGroupMemberMetadataValue | null): void {
    const previous = this.members.get(memberId)
    if (previous?.instanceId != null && this.instances.get(previous.instanceId) === memberId) {
      this.instances.delete(previous.instanceId)
    }
    if (value === null) {
      if (previous !== undefined) {
        this.#disown(previous)
        countSubscription(this.subscriptions, previous, -1)
      }
      this.members.delete(memberId)
      this.expectedJoins.delete(memberId)
      return
    }
    this.#put({
      ...(previous ?? newMember(memberId)),
      instanceId: value.instanceId,
      rackId: value.rackId,
      clientId: value.clientId,
      clientHost: value.clientHost,
      subscribedTopicNames: value.subscribedTopicNames,
      subscribedTopicRegex: value.subscribedTopicRegex === '' ? null : value.subscribedTopicRegex,
      rebalanceTimeoutMs: value.rebalanceTimeoutMs,
      serverAssignor: value.serverAssignor,
      classic: value.classicMemberMetadata,
    })
    if (value.instanceId !== null) this.instances.set(value.instanceId, memberId)
  }

  #applyCurrent({
    key,
    value,
  }: Extract<ConsumerGroupRecord, { type: 'consumer-group-current-member' }>): void {
    const previous = this.members.get(key.memberId)
    if (previous !== undefined) this.#disown(previous)
    if (value === null) {
      if (previous === undefined) return
      this.#put({
        ...previous,
        memberEpoch: LEAVE_EPOCH,
        previousMemberEpoch: LEAVE_EPOCH,
        state: MemberState.STABLE,
        assigned: NO_PARTITIONS,
        pendingRevocation: NO_PARTITIONS,
      })
      return
    }
    const assigned = partitionSet(value.assignedPartitions)
    const pendingRevocation = partitionSet(value.partitionsPendingRevocation)
    this.#put({
      ...(previous ?? newMember(key.memberId)),
      memberEpoch: value.memberEpoch,
      previousMemberEpoch: value.previousMemberEpoch,
      state: knownState(value.state),
      assigned,
      pendingRevocation,
    })
    this.#own(key.memberId, assigned)
    this.#own(key.memberId, pendingRevocation)
  }

  #put(member: ConsumerMember): void {
    const previous = this.members.get(member.memberId)
    if (previous === undefined || !subscribeAlike(previous, member)) {
      if (previous !== undefined) countSubscription(this.subscriptions, previous, -1)
      // One list of names for all who read the same, and one look is enough to know it.
      const { names } = countSubscription(this.subscriptions, member, 1)
      this.members.set(member.memberId, { ...member, subscribedTopicNames: names })
    } else {
      this.members.set(member.memberId, { ...member, subscribedTopicNames: previous.subscribedTopicNames })
    }
  }

  #own(memberId: string, set: PartitionSet): void {
    for (const [topicId, partitions] of set) {
      let owners = this.owners.get(topicId)
      if (owners === undefined) this.owners.set(topicId, (owners = new Map()))
      for (const partition of partitions) owners.set(partition, memberId)
    }
  }

  #disown(member: ConsumerMember): void {
    for (const set of [member.assigned, member.pendingRevocation]) {
      for (const [topicId, partitions] of set) {
        const owners = this.owners.get(topicId)
        if (owners === undefined) continue
        for (const partition of partitions) {
          if (owners.get(partition) === member.memberId) owners.delete(partition)
        }
        if (owners.size === 0) this.owners.delete(topicId)
      }
    }
  }
}

export type ConsumerGroupState = 'Empty' | 'Assigning' | 'Reconciling' | 'Stable'

export function stateOf(group: ConsumerGroup): ConsumerGroupState {
  if (group.members.size === 0) return 'Empty'
  if (group.epoch > group.assignmentEpoch) return 'Assigning'
  for (const member of group.members.values()) {
    if (member.state !== MemberState.STABLE || member.memberEpoch !== group.assignmentEpoch)
      return 'Reconciling'
  }
  return 'Stable'
}

/** A state of a newer Kafka is one in which the member is looked at again. */
function knownState(state: number): MemberState {
  return state === MemberState.STABLE || state === MemberState.UNREVOKED_PARTITIONS
    ? state
    : MemberState.UNRELEASED_PARTITIONS
}
