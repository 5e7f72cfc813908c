/**
 * One life of a member, from joining to leaving: the shell around a membership. It carries out what the state machine
 * says, over a lane of its own, because an answer to JoinGroup may take as long as the slowest member and holds up
 * everything behind it on its connection.
 */
import { type Cluster, type Lane } from '../../cluster.ts'
import { type Coordinator } from '../../coordinator.ts'
import { type ClientTimer } from '../../env.ts'
import { type KafkaError, protocolError, toKafkaError } from '../../errors.ts'
import { API, type Api } from '../../protocol/apis.ts'
import { isRetriable } from '../../protocol/errors.ts'
import { backoffMs, sleep } from '../../retry.ts'
import { type GroupConfig } from '../options.ts'
import { type TopicPartition } from '../types.ts'
import { type Identity } from './committer.ts'
import {
  type GroupResponses,
  type Membership,
  type MembershipEffect,
  type MembershipEvent,
} from './membership.ts'
import { ClassicMembership } from './membership-classic.ts'
import { ConsumerMembership, LEAVING_EPOCH, LEAVING_FOR_A_WHILE_EPOCH } from './membership-consumer.ts'
import { type Subscription } from './subscription.ts'

export interface MemberOptions {
  readonly cluster: Cluster
  readonly coordinator: Coordinator
  readonly group: GroupConfig
  readonly rack: string
  readonly subscription: Subscription
  /** Of the requests by which it is a member, and of all others. */
  readonly lane: Lane
  readonly commitLane: Lane
  readonly onJoined: (membership: Membership, isLeader: boolean) => void
  readonly onAssign: (places: readonly TopicPartition[]) => void
  /** Resolves when they are let go. */
  readonly onRevoke: (places: readonly TopicPartition[]) => Promise<void>
  readonly onLose: (places: readonly TopicPartition[], error: KafkaError) => void
  /** Commits what was done. Resolves when it is done or given up; rejects never. */
  readonly onCommit: () => Promise<void>
  readonly onRetry: (error: KafkaError) => void
  readonly onCrash: (error: KafkaError) => void
}

const LEAVE_TIMEOUT_MS = 5000
const MEMBER_ID_BYTES = 16

type BalanceEffect = Extract<MembershipEffect, { kind: 'balance' }>
type SendEffect = Extract<MembershipEffect, { kind: 'send' }>

export class Member {
  readonly #options: MemberOptions
  readonly #ended = new AbortController()
  readonly #unsubscribe: () => void
  #membership: Membership | null = null
  #timer: ClientTimer | null = null
  #timerAtMs: number | null = null
  #queue: MembershipEvent[] = []
  #stepping = false
  /** Which letting go is under way; one that was overtaken by a loss is not reported. */
  #revokeTurn = 0
  #waitsLong = false
  /** Partition counts that the assignment of this leader rests on; -1 for a topic that was missing. */
  #basis = new Map<string, number>()
  #matchesHere = false
  #memberlessSinceMs: number

  constructor(options: MemberOptions) {
    this.#options = options
    this.#memberlessSinceMs = options.cluster.env.clock.monotonicMs()
    this.#unsubscribe = options.cluster.onUpdate(() => this.#metadataChanged())
  }

  /** Null while not a member. */
  get identity(): Identity | null {
    const generation = this.#membership?.generation ?? -1
    return generation < 0 ? null : { generation, memberId: this.#membership!.memberId }
  }

  get protocol(): Membership['protocol'] | null {
    return this.#membership?.protocol ?? null
  }

  /** Null where it is a member that knows what it has to read. */
  get memberlessSinceMs(): number | null {
    return this.#membership?.isStable === true ? null : this.#memberlessSinceMs
  }

  start(): void {
    void this.#begin()
  }

  async #begin(): Promise<void> {
    const { group, cluster, subscription, coordinator, lane, onRetry, onCrash } = this.#options
    const { signal } = this.#ended
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        const connection = await coordinator.once(lane, async open => open)
        const speaksNew = connection.serves(API.ConsumerGroupHeartbeat)
        const useNew = group.protocol === 'consumer' || (group.protocol === 'auto' && speaksNew)
        // Patterns travel since version 1.
        const cannotMatch =
          subscription.matchesInternalTopics ||
          (speaksNew && connection.version(API.ConsumerGroupHeartbeat) < 1)
        this.#matchesHere = subscription.hasPatterns && (!useNew || cannotMatch)
        if (this.#matchesHere) await subscription.match(signal)
        if (!signal.aborted) this.#become(useNew ? 'consumer' : 'classic')
        return
      } catch (error) {
        if (signal.aborted) return
        const failure = toKafkaError(error, 'CONNECTION_FAILED', `joining the group failed: ${String(error)}`)
        if (!failure.retriable) {
          this.end()
          onCrash(failure)
          return
        }
        onRetry(failure)
        const pauseMs = backoffMs(attempt, cluster.config.retry, cluster.env.random.float)
        await sleep(cluster.env, pauseMs, 'joining the group', signal).catch(() => {})
      }
    }
  }

  #become(protocol: Membership['protocol']): void {
    const { group, cluster, rack, subscription } = this.#options
    const { env, config, metadata } = cluster
    const common = {
      groupId: group.groupId,
      groupInstanceId: group.groupInstanceId,
      rack: rack === '' ? null : rack,
      sessionTimeoutMs: group.sessionTimeoutMs,
      rebalanceTimeoutMs: group.rebalanceTimeoutMs,
      requestTimeoutMs: config.requestTimeoutMs,
      backoffMs: (attempt: number) => backoffMs(attempt, config.retry, env.random.float),
    }
    const wants = this.#wants()
    if (protocol === 'classic') {
      const { assignors, heartbeatIntervalMs } = group
      this.#membership = new ClassicMembership({ ...common, assignors, heartbeatIntervalMs }, wants)
    } else {
      this.#membership = new ConsumerMembership(
        {
          ...common,
          memberId: randomId(env.random),
          serverAssignor: group.serverAssignor,
          mayFallBack: group.protocol === 'auto',
          topicName: id => metadata.nameOf(id),
          topicId: name => metadata.topic(name)?.id ?? null,
        },
        wants,
      )
    }
    if (this.#matchesHere) subscription.watch(() => this.wantsChanged())
    this.#step({ kind: 'start' })
  }

  #wants() {
    const { subscription } = this.#options
    return this.#matchesHere ? subscription.ownWants : subscription.serverWants
  }

  /** The subscription has grown, or matches other topics. */
  wantsChanged(): void {
    if (this.#membership === null) return
    if (!this.#matchesHere && this.#options.subscription.matchesInternalTopics) void this.#matchHere()
    else this.#step({ kind: 'wants', wants: this.#wants() })
  }

  /** From now on, because of a pattern that has come later. */
  async #matchHere(): Promise<void> {
    const { subscription, onRetry } = this.#options
    this.#matchesHere = true
    subscription.watch(() => this.wantsChanged())
    try {
      await subscription.match(this.#ended.signal)
    } catch (error) {
      if (this.#ended.signal.aborted) return
      onRetry(toKafkaError(error, 'CONNECTION_FAILED', String(error)))
    }
    if (!this.#ended.signal.aborted) this.wantsChanged()
  }

  refused(code: number, generation: number): void {
    this.#step({ kind: 'refused', code, generation })
  }

  #metadataChanged(): void {
    if (this.#membership === null) return
    this.#step({ kind: 'metadata' })
    for (const [topic, count] of this.#basis) {
      if (this.#countOf(topic) === count) continue
      this.#basis = new Map()
      this.#step({ kind: 'outdated' })
      return
    }
  }

  #countOf(topic: string): number {
    return this.#options.cluster.metadata.topic(topic)?.partitions.length ?? -1
  }

  /** No more requests, timers or callbacks. What the broker thinks is another matter: see `leave`. */
  end(): void {
    if (this.#ended.signal.aborted) return
    this.#ended.abort()
    this.#unsubscribe()
    this.#options.subscription.unwatch()
    if (this.#timer !== null) this.#options.cluster.env.timers.clear(this.#timer)
    this.#timer = null
  }

  /** Tells the coordinator, so that the others need not wait for the session to end. Rejects never. */
  async leave(): Promise<void> {
    const { group, coordinator, cluster, commitLane, lane } = this.#options
    const { groupId, groupInstanceId } = group
    const membership = this.#membership
    this.end()
    const options = { timeoutMs: LEAVE_TIMEOUT_MS }
    try {
      if (membership?.protocol === 'consumer' && membership.generation > 0) {
        const { memberId } = membership
        const memberEpoch = groupInstanceId === null ? LEAVING_EPOCH : LEAVING_FOR_A_WHILE_EPOCH
        await coordinator.retrying('ConsumerGroupHeartbeat', commitLane, options, async connection => {
          const request = { groupId, memberId, memberEpoch, instanceId: groupInstanceId }
          orThrow(await connection.request(API.ConsumerGroupHeartbeat, request, options))
        })
      } else if (
        membership?.protocol === 'classic' &&
        membership.memberId !== '' &&
        groupInstanceId === null
      ) {
        // Static members stay: they are expected back within the session timeout.
        const { memberId } = membership
        await coordinator.retrying('LeaveGroup', commitLane, options, async connection => {
          const request =
            connection.version(API.LeaveGroup) >= 3
              ? { groupId, members: [{ memberId, reason: 'the consumer is being closed' }] }
              : { groupId, memberId }
          orThrow(await connection.request(API.LeaveGroup, request, options))
        })
      }
    } catch (error) {
      cluster.config.logger.warn('leaving the group failed; its members wait for the session timeout', {
        groupId,
        error,
      })
    }
    cluster.closeLane(lane)
  }

  // ------------------------------------------------------------------------------------ the machine

  #step(event: MembershipEvent): void {
    this.#queue.push(event)
    if (this.#stepping) return
    this.#stepping = true
    try {
      for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
        if (this.#ended.signal.aborted || this.#membership === null) continue
        this.#stepOnce(this.#membership, next)
      }
    } finally {
      this.#stepping = false
    }
  }

  #stepOnce(membership: Membership, event: MembershipEvent): void {
    const { clock } = this.#options.cluster.env
    const wasStable = membership.isStable
    let effects: MembershipEffect[]
    try {
      effects = membership.step(event, clock.monotonicMs())
    } catch (error) {
      // The answer made no sense.
      this.#crash(
        toKafkaError(
          error,
          'MALFORMED_RESPONSE',
          `the coordinator's answer makes no sense: ${String(error)}`,
        ),
      )
      return
    }
    if (wasStable && !membership.isStable) this.#memberlessSinceMs = clock.monotonicMs()
    for (const effect of effects) if (!this.#ended.signal.aborted) this.#carryOut(membership, effect)
    this.#arm(membership)
  }

  #carryOut(membership: Membership, effect: MembershipEffect): void {
    const { coordinator, cluster, onAssign, onLose, onCommit, onRetry, onJoined } = this.#options
    switch (effect.kind) {
      case 'send':
        void this.#send(effect)
        return
      case 'balance':
        void this.#balance(effect)
        return
      case 'joined':
        onJoined(membership, membership instanceof ClassicMembership && membership.isLeader)
        return
      case 'assign':
        onAssign(effect.partitions)
        return
      case 'revoke':
        void this.#revoke(effect.partitions)
        return
      case 'lose':
        this.#revokeTurn++
        onLose(effect.partitions, effect.error)
        return
      case 'commit':
        void onCommit().then(() => this.#step({ kind: 'committed' }))
        return
      case 'learn-topics':
        void this.#learnTopics()
        return
      case 'retry':
        onRetry(effect.error)
        return
      case 'find-coordinator':
        coordinator.forget()
        return
      case 'fall-back':
        cluster.config.logger.info('the broker refuses, so the group is joined in another way', {
          to: effect.to,
          error: effect.error,
        })
        void this.#fallBack(effect.to)
        return
      case 'crash':
        this.#crash(effect.error)
        return
      default:
        effect satisfies never
    }
  }

  async #send({ id, api, request, timeoutMs }: SendEffect): Promise<void> {
    const { coordinator, lane, cluster } = this.#options
    // An abandoned request that waits at the coordinator would hold up this one.
    if (this.#waitsLong) cluster.closeLane(lane)
    const isLong = api === 'JoinGroup' || api === 'SyncGroup'
    this.#waitsLong = isLong
    try {
      const connection = await coordinator.connection(lane)
      const response = await connection.request(API[api] as Api<unknown, object>, request, { timeoutMs })
      if (isLong) this.#waitsLong = false
      this.#step({ kind: 'answered', id, api, response: response as GroupResponses[typeof api] })
    } catch (error) {
      if (isLong) this.#waitsLong = false
      this.#step({ kind: 'failed', id, error: toKafkaError(error, 'CONNECTION_FAILED', String(error)) })
    }
  }

  async #balance({ id, assignor, members }: BalanceEffect): Promise<void> {
    const { cluster } = this.#options
    const topics = [...new Set(members.flatMap(each => each.topics))]
    try {
      await cluster.refresh(topics)
      const counts = new Map(topics.map(topic => [topic, this.#countOf(topic)]))
      const existing = new Map([...counts].filter(([, count]) => count > 0))
      // They are refreshed from now on, so that new partitions are seen.
      await Promise.all([...existing.keys()].map(topic => cluster.topic(topic)))
      const assignment = assignor.assign({ members, partitionCounts: existing })
      this.#basis = counts
      this.#step({ kind: 'balanced', id, assignment })
    } catch (error) {
      const failure = toKafkaError(
        error,
        'INVALID_OPTION',
        `the assignor ${assignor.name} failed: ${String(error)}`,
      )
      this.#step({ kind: 'failed', id, error: failure })
    }
  }

  async #revoke(places: readonly TopicPartition[]): Promise<void> {
    const turn = ++this.#revokeTurn
    await this.#options.onRevoke(places)
    if (turn === this.#revokeTurn) this.#step({ kind: 'revoked' })
  }

  async #learnTopics(): Promise<void> {
    try {
      // Ids are matched with names by the list of all topics: what the broker matched may be new here.
      await this.#options.cluster.refresh(null)
    } catch (error) {
      this.#options.onRetry(toKafkaError(error, 'CONNECTION_FAILED', String(error)))
    }
  }

  async #fallBack(to: 'classic' | 'own-patterns'): Promise<void> {
    const { subscription, onRetry } = this.#options
    this.#membership = null
    this.#matchesHere = subscription.hasPatterns
    try {
      await subscription.match(this.#ended.signal)
    } catch (error) {
      if (this.#ended.signal.aborted) return
      onRetry(toKafkaError(error, 'CONNECTION_FAILED', String(error)))
    }
    if (!this.#ended.signal.aborted) this.#become(to === 'classic' ? 'classic' : 'consumer')
  }

  #crash(error: KafkaError): void {
    this.end()
    this.#options.cluster.closeLane(this.#options.lane)
    this.#options.onCrash(error)
  }

  #arm(membership: Membership): void {
    const { timers, clock } = this.#options.cluster.env
    const atMs = membership.timerAtMs
    if (this.#ended.signal.aborted || (this.#timer !== null && atMs === this.#timerAtMs)) return
    if (this.#timer !== null) timers.clear(this.#timer)
    this.#timer = null
    this.#timerAtMs = atMs
    if (atMs === null) return
    const delayMs = Math.min(0x7fff_ffff, Math.max(1, Math.ceil(atMs - clock.monotonicMs())))
    this.#timer = timers.set(delayMs, () => {
      this.#timer = null
      this.#step({ kind: 'timer' })
    })
  }
}

function orThrow({ errorCode }: { readonly errorCode: number }): void {
  if (isRetriable(errorCode)) throw protocolError(errorCode, { api: 'LeaveGroup' })
}

/** As random as the environment is: 22 letters of base64 for URLs, as Java's Uuid. */
function randomId(random: { int(below: number): number }): string {
  const bytes = Buffer.from(Array.from({ length: MEMBER_ID_BYTES }, () => random.int(256)))
  return bytes.toString('base64url')
}
