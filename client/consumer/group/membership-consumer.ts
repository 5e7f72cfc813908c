/**
 * Membership by the consumer protocol (KIP-848): one request, repeated, by which the member tells what it wants and
 * holds, and learns what it shall hold. The broker deals out; nobody waits for anybody else. A state machine without
 * sockets and clocks.
 *
 * The member never takes a partition that it was not given, lets go of what is missing from its assignment, and tells
 * the broker when it has: only then the broker gives it to somebody else. Heartbeats go on all the while.
 */
import { type KafkaError, protocolError } from '../../errors.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import { type ConsumerGroupHeartbeatResponse } from '../../protocol/messages/consumer-group-heartbeat.ts'
import { type TopicId } from '../../protocol/types.ts'
import { type TopicPartition } from '../types.ts'
import {
  type Membership,
  type MembershipEffect,
  type MembershipEvent,
  type MembershipOptions,
  partitionsByTopic,
  type Wants,
  without,
} from './membership.ts'
import { sessionEnded } from './membership-classic.ts'

export interface ConsumerMembershipOptions extends MembershipOptions {
  /** Chosen by the member since version 1 of the API. */
  readonly memberId: string
  readonly serverAssignor: string | null
  /** May go over to the classic protocol where the broker or the group does not allow this one. */
  readonly mayFallBack: boolean
  readonly topicName: (id: TopicId) => string | undefined
  readonly topicId: (name: string) => TopicId | null
}

const JOINING_EPOCH = 0
export const LEAVING_EPOCH = -1
/** A static member that leaves for a while: its partitions are kept for it until the session ends. */
export const LEAVING_FOR_A_WHILE_EPOCH = -2

const FIRST_HEARTBEAT_MS = 1000
/** What others let go of is learnt with the next heartbeat, so the first ones after a change come sooner. */
const FASTER_AFTER_CHANGE = 16

export class ConsumerMembership implements Membership {
  readonly protocol = 'consumer'
  memberId: string
  timerAtMs: number | null = null
  readonly #options: ConsumerMembershipOptions
  #wants: Wants
  #epoch = JOINING_EPOCH
  #phase: 'idle' | 'running' | 'over' = 'idle'
  #id = 0
  #asking = false
  #sentMs = 0
  #contactMs = 0
  /** As the broker asks for. */
  #intervalMs = FIRST_HEARTBEAT_MS
  /** As it is: more often while the group is changing. */
  #beatMs = FIRST_HEARTBEAT_MS
  #failures = 0
  #owned: readonly TopicPartition[] = []
  #revoking: readonly TopicPartition[] = []
  /** What the broker wants us to hold. */
  #target: ConsumerGroupHeartbeatResponse['assignment'] = null
  /** The broker knows what we want, or what we hold, from an earlier heartbeat. */
  #hadPattern = false
  #toldWants = false
  #toldOwned = false
  #effects: MembershipEffect[] = []

  constructor(options: ConsumerMembershipOptions, wants: Wants) {
    this.#options = options
    this.#wants = wants
    this.memberId = options.memberId
  }

  get generation(): number {
    return this.#epoch > 0 ? this.#epoch : -1
  }

  get isStable(): boolean {
    return this.#phase === 'running' && this.#epoch > 0 && this.#target !== null
  }

  step(event: MembershipEvent, nowMs: number): MembershipEffect[] {
    this.#effects = []
    if (this.#phase !== 'over') this.#take(event, nowMs)
    return this.#effects
  }

  #take(event: MembershipEvent, nowMs: number): void {
    switch (event.kind) {
      case 'start':
        this.#phase = 'running'
        this.#contactMs = nowMs
        this.#heartbeat(nowMs)
        return
      case 'wants':
        this.#wants = event.wants
        this.#toldWants = false
        this.#heartbeatSoon(nowMs)
        return
      case 'answered':
        if (event.id !== this.#id || !this.#asking) return
        this.#asking = false
        this.#answered(event.response as ConsumerGroupHeartbeatResponse, nowMs)
        return
      case 'failed':
        if (event.id === this.#id) this.#failed(event.error, nowMs)
        return
      case 'revoked':
        if (this.#revoking.length === 0) return
        this.#owned = without(this.#owned, this.#revoking)
        this.#revoking = []
        this.#toldOwned = false
        this.#reconcile()
        this.#heartbeatSoon(nowMs)
        return
      case 'metadata':
        this.#reconcile()
        if (!this.#toldOwned) this.#heartbeatSoon(nowMs)
        return
      case 'refused':
        if (event.generation === this.generation) this.#commitRefused(event.code, nowMs)
        return
      case 'timer':
        this.#tick(nowMs)
        return
      case 'leave':
        this.#phase = 'over'
        this.timerAtMs = null
        return
      // Dealing out is the broker's business.
      case 'outdated':
      case 'balanced':
      case 'committed':
        return
      default:
        event satisfies never
    }
  }

  // ------------------------------------------------------------------------------------ heartbeats

  #tick(nowMs: number): void {
    if (this.timerAtMs === null || nowMs < this.timerAtMs) return
    const { sessionTimeoutMs, groupId } = this.#options
    if (this.#owned.length > 0 && nowMs - this.#contactMs >= sessionTimeoutMs) {
      this.#lost(sessionEnded(groupId, nowMs - this.#contactMs), nowMs)
    } else if (this.#asking) {
      this.timerAtMs = nowMs + this.#intervalMs
    } else {
      this.#heartbeat(nowMs)
    }
  }

  #heartbeatSoon(nowMs: number): void {
    if (this.#phase === 'running' && !this.#asking && this.#failures === 0) this.#heartbeat(nowMs)
  }

  /** What did not change since it was told is left out. */
  #heartbeat(nowMs: number): void {
    const { groupId, groupInstanceId, rack, rebalanceTimeoutMs, serverAssignor, topicId } = this.#options
    const { requestTimeoutMs, sessionTimeoutMs } = this.#options
    const all = this.#epoch === JOINING_EPOCH || this.#failures > 0
    const wants = all || !this.#toldWants
    const owned = all || !this.#toldOwned
    const { topics, pattern } = this.#wants
    const request = {
      groupId,
      memberId: this.memberId,
      memberEpoch: this.#epoch,
      instanceId: groupInstanceId,
      rackId: all ? rack : null,
      rebalanceTimeoutMs: all ? rebalanceTimeoutMs : -1,
      subscribedTopicNames: wants ? [...topics] : null,
      // A member that never had a pattern says nothing of one: version 0 could not carry it. '' takes one back.
      subscribedTopicRegex: wants ? (pattern ?? (this.#hadPattern ? '' : null)) : null,
      serverAssignor: all ? serverAssignor : null,
      topicPartitions: owned
        ? partitionsByTopic(this.#owned).flatMap(({ topic, partitions }) => {
            const id = topicId(topic)
            return id === null ? [] : [{ topicId: id, partitions }]
          })
        : null,
    }
    this.#hadPattern ||= pattern !== null
    this.#toldWants = true
    this.#toldOwned = true
    this.#asking = true
    this.#sentMs = nowMs
    this.timerAtMs = nowMs + this.#beatMs
    const timeoutMs = Math.min(requestTimeoutMs, Math.ceil(sessionTimeoutMs / 3))
    this.#effects.push({ kind: 'send', id: ++this.#id, api: 'ConsumerGroupHeartbeat', request, timeoutMs })
  }

  #answered(response: ConsumerGroupHeartbeatResponse, nowMs: number): void {
    const { errorCode, errorMessage, memberId, memberEpoch, heartbeatIntervalMs, assignment } = response
    if (errorCode !== ErrorCode.NONE) {
      this.#refused(errorCode, errorMessage, nowMs)
      return
    }
    const before = this.#epoch
    const joined = before === JOINING_EPOCH
    this.#contactMs = this.#sentMs
    this.#failures = 0
    this.#intervalMs = Math.max(1, heartbeatIntervalMs)
    const changed = joined || assignment !== null
    this.#beatMs = changed
      ? Math.ceil(this.#intervalMs / FASTER_AFTER_CHANGE)
      : Math.min(this.#intervalMs, this.#beatMs * 2)
    this.timerAtMs = nowMs + this.#beatMs
    if (memberId !== null) this.memberId = memberId
    this.#epoch = memberEpoch
    if (assignment !== null) this.#target = assignment
    if (memberEpoch !== before) this.#effects.push({ kind: 'joined' })
    if (changed) this.#reconcile()
    // What was taken up is told at once: the broker may wait for it.
    if (!this.#toldOwned || !this.#toldWants) this.#heartbeatSoon(nowMs)
  }

  /** Takes what is given, and begins to let go of what is not given any more. */
  #reconcile(): void {
    if (this.#target === null) return
    const target: TopicPartition[] = []
    let unnamed = false
    for (const { topicId, partitions } of this.#target.topicPartitions) {
      const topic = this.#options.topicName(topicId)
      if (topic === undefined) unnamed = true
      else for (const partition of partitions) target.push({ topic, partition })
    }
    if (unnamed) this.#effects.push({ kind: 'learn-topics' })
    // Those being let go of are taken again only after that is done.
    const added = without(target, this.#owned)
    if (added.length > 0) {
      this.#owned = [...this.#owned, ...added]
      this.#toldOwned = false
      this.#effects.push({ kind: 'assign', partitions: added })
    }
    if (this.#revoking.length > 0) return
    const gone = without(this.#owned, target)
    if (gone.length === 0) return
    this.#revoking = gone
    this.#effects.push({ kind: 'revoke', partitions: gone })
  }

  // ------------------------------------------------------------------------------------ failures

  #failed(error: KafkaError, nowMs: number): void {
    this.#asking = false
    if (error.code === 'UNSUPPORTED' && this.#fallsBack(error)) return
    if (!error.retriable) {
      this.#crash(error)
      return
    }
    this.#effects.push({ kind: 'find-coordinator' }, { kind: 'retry', error })
    this.#backOff(nowMs)
  }

  #backOff(nowMs: number): void {
    this.timerAtMs = nowMs + this.#options.backoffMs(++this.#failures)
  }

  #refused(code: number, detail: string | null, nowMs: number): void {
    const error = protocolError(code, { api: 'ConsumerGroupHeartbeat', detail })
    switch (code) {
      case ErrorCode.UNKNOWN_MEMBER_ID:
      case ErrorCode.FENCED_MEMBER_EPOCH:
        this.#lost(error, nowMs)
        return
      case ErrorCode.NOT_COORDINATOR:
      case ErrorCode.COORDINATOR_NOT_AVAILABLE:
        this.#effects.push({ kind: 'find-coordinator' }, { kind: 'retry', error })
        this.#backOff(nowMs)
        return
      case ErrorCode.INVALID_REGULAR_EXPRESSION:
        // RE2 lacks what the broker refuses, as lookaheads: then we match ourselves.
        if (this.#wants.pattern === null) break
        this.#phase = 'over'
        this.timerAtMs = null
        this.#effects.push({ kind: 'fall-back', to: 'own-patterns', error })
        return
      case ErrorCode.UNSUPPORTED_VERSION:
      case ErrorCode.GROUP_ID_NOT_FOUND:
      case ErrorCode.INCONSISTENT_GROUP_PROTOCOL:
        if (this.#fallsBack(error)) return
        break
    }
    if (!error.retriable) {
      this.#crash(error)
      return
    }
    this.#effects.push({ kind: 'retry', error })
    this.#backOff(nowMs)
  }

  #fallsBack(error: KafkaError): boolean {
    if (!this.#options.mayFallBack || this.#epoch !== JOINING_EPOCH) return false
    this.#phase = 'over'
    this.timerAtMs = null
    this.#effects.push({ kind: 'fall-back', to: 'classic', error })
    return true
  }

  #commitRefused(code: number, nowMs: number): void {
    if (code === ErrorCode.UNKNOWN_MEMBER_ID) {
      this.#lost(protocolError(code, { api: 'OffsetCommit' }), nowMs)
    } else if (code === ErrorCode.STALE_MEMBER_EPOCH) {
      // A newer epoch comes with the next heartbeat.
      this.#heartbeatSoon(nowMs)
    }
  }

  #lost(error: KafkaError, nowMs: number): void {
    this.#forget(error)
    this.#contactMs = nowMs
    if (this.#failures++ === 0) this.#heartbeat(nowMs)
    else this.#backOff(nowMs)
  }

  #crash(error: KafkaError): void {
    this.#forget(error)
    this.#phase = 'over'
    this.timerAtMs = null
    this.#effects.push({ kind: 'crash', error })
  }

  #forget(error: KafkaError): void {
    if (this.#owned.length > 0) this.#effects.push({ kind: 'lose', partitions: this.#owned, error })
    this.#owned = []
    this.#revoking = []
    this.#target = null
    this.#epoch = JOINING_EPOCH
    this.#asking = false
    this.#id++
  }
}
