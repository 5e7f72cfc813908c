/**
 * Membership by the classic protocol: JoinGroup gathers the members, the leader deals out, SyncGroup brings everybody
 * their part, Heartbeat keeps the place and tells of the next rebalance. A state machine without sockets and clocks.
 *
 *     idle -> revoking   -> joining -> balancing (leader) -> syncing -> stable -> revoking -> joining ...
 *             or committing    |                               |          |
 *                 ^            |                               |          |
 *                 +-- waiting -+-------------------------------+----------+   after a failure, for a back-off
 *
 * Whether partitions are kept over a rebalance is decided by the assignor that the group chose last (KIP-429). When
 * the group then chooses an eager one, what is kept is not ours any more and is given up without a commit.
 */
import { KafkaError, protocolError } from '../../errors.ts'
import { ErrorCode } from '../../protocol/errors.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
  subscribedTopics,
} from '../../protocol/messages/consumer-protocol.ts'
import { type HeartbeatResponse } from '../../protocol/messages/heartbeat.ts'
import { type JoinGroupResponse } from '../../protocol/messages/join-group.ts'
import { type SyncGroupResponse } from '../../protocol/messages/sync-group.ts'
import { type Assignor, type AssignorMember, type GroupAssignment } from '../assignors/assignor.ts'
import { type TopicPartition } from '../types.ts'
import {
  type GroupApi,
  type Membership,
  type MembershipEffect,
  type MembershipEvent,
  type MembershipOptions,
  partitionsByTopic,
  type Wants,
  without,
} from './membership.ts'

export interface ClassicOptions extends MembershipOptions {
  /** In the order of preference; at least one. */
  readonly assignors: readonly Assignor[]
  readonly heartbeatIntervalMs: number
}

const PROTOCOL_TYPE = 'consumer'
/** The broker answers JoinGroup when the rebalance timeout is over, and a little later where it is busy. */
const JOIN_MARGIN_MS = 5000
/** Heartbeats come so many times as often after a rebalance, and then half as often each time. */
const FASTER_AFTER_REBALANCE = 16

/** Not a member any more: of the group, or of this generation. */
const LOST: ReadonlySet<number> = new Set([ErrorCode.UNKNOWN_MEMBER_ID, ErrorCode.ILLEGAL_GENERATION])

type Phase =
  | 'idle'
  | 'waiting'
  | 'revoking'
  | 'committing'
  | 'joining'
  | 'balancing'
  | 'syncing'
  | 'stable'
  | 'over'

/** Phases of a member in good standing, who sends heartbeats. */
const STANDING: ReadonlySet<Phase> = new Set(['stable', 'revoking', 'committing'])

export class ClassicMembership implements Membership {
  readonly protocol = 'classic'
  memberId = ''
  generation = -1
  timerAtMs: number | null = null
  readonly #options: ClassicOptions
  #wants: Wants
  #phase: Phase = 'idle'
  /** Of the request or balancing under way; answers with another one are too late. */
  #id = 0
  #asking = false
  #assignor: Assignor | null = null
  #owned: readonly TopicPartition[] = []
  /** What was owned last and in which generation: for sticky assignors, also after all was given up. */
  #last: { readonly places: readonly TopicPartition[]; readonly generation: number } = {
    places: [],
    generation: -1,
  }
  #revoking: readonly TopicPartition[] = []
  #rejoinWanted = false
  #failures = 0
  /** When the coordinator last took us for a member. */
  #contactMs = 0
  #heartbeatSentMs = 0
  #beatMs: number
  #leader: { readonly members: readonly string[] } | null = null
  #effects: MembershipEffect[] = []

  constructor(options: ClassicOptions, wants: Wants) {
    this.#options = options
    this.#wants = wants
    this.#beatMs = options.heartbeatIntervalMs
  }

  get isStable(): boolean {
    return this.#phase === 'stable'
  }

  /** Whether this member deals out the partitions. */
  get isLeader(): boolean {
    return this.#leader !== null
  }

  step(event: MembershipEvent, nowMs: number): MembershipEffect[] {
    this.#effects = []
    if (this.#phase !== 'over') this.#take(event, nowMs)
    return this.#effects
  }

  #take(event: MembershipEvent, nowMs: number): void {
    switch (event.kind) {
      case 'start':
        this.#contactMs = nowMs
        this.#rejoin(nowMs)
        return
      case 'wants':
        this.#wants = event.wants
        this.#wantRejoin(nowMs)
        return
      case 'outdated':
        if (this.isLeader) this.#wantRejoin(nowMs)
        return
      case 'answered':
        if (event.id === this.#id && this.#asking) this.#answered(event.api, event.response, nowMs)
        return
      case 'failed':
        if (event.id === this.#id) this.#failed(event.error, nowMs)
        return
      case 'balanced':
        if (event.id === this.#id && this.#phase === 'balancing') this.#sync(event.assignment, nowMs)
        return
      case 'revoked':
        this.#revoked(nowMs)
        return
      case 'committed':
        if (this.#phase === 'committing') this.#join(nowMs)
        return
      case 'refused':
        // While it joins, the next generation may have begun at the coordinator: then a refusal means nothing.
        if (event.generation === this.generation && STANDING.has(this.#phase))
          this.#refused(event.code, 'OffsetCommit', nowMs)
        return
      case 'timer':
        this.#tick(nowMs)
        return
      case 'leave':
        this.#phase = 'over'
        this.timerAtMs = null
        return
      case 'metadata':
        return
      default:
        event satisfies never
    }
  }

  // ------------------------------------------------------------------------------------ rebalancing

  #wantRejoin(nowMs: number): void {
    if (this.#phase === 'idle') return
    if (this.#phase === 'stable' && this.#revoking.length === 0) this.#rejoin(nowMs)
    else this.#rejoinWanted = true
  }

  /** Gives up what has to be given up, then joins. */
  #rejoin(nowMs: number): void {
    this.#rejoinWanted = false
    const keeps = this.#assignor?.cooperative === true
    if (this.#owned.length > 0 && !keeps) {
      this.#phase = 'revoking'
      this.#revoking = this.#owned
      this.#effects.push({ kind: 'revoke', partitions: this.#owned })
      // Heartbeats go on meanwhile: who finishes a record is still a member.
      this.#armHeartbeat(nowMs)
      return
    }
    if (this.#owned.length > 0) {
      this.#phase = 'committing'
      this.#effects.push({ kind: 'commit' })
      this.#armHeartbeat(nowMs)
      return
    }
    this.#join(nowMs)
  }

  #revoked(nowMs: number): void {
    if (this.#revoking.length === 0) return
    this.#owned = without(this.#owned, this.#revoking)
    this.#revoking = []
    if (this.#phase === 'revoking') this.#join(nowMs)
    // What was given up can be dealt out again when all have joined.
    else if (this.#phase === 'stable') this.#rejoin(nowMs)
  }

  #join(nowMs: number): void {
    const { groupId, groupInstanceId, sessionTimeoutMs, rebalanceTimeoutMs, assignors } = this.#options
    this.#phase = 'joining'
    this.#leader = null
    this.#send(
      'JoinGroup',
      {
        groupId,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        memberId: this.memberId,
        groupInstanceId,
        protocolType: PROTOCOL_TYPE,
        protocols: assignors.map(assignor => ({
          name: assignor.name,
          metadata: this.#subscription(assignor),
        })),
      },
      rebalanceTimeoutMs + JOIN_MARGIN_MS,
    )
    this.#armSession(nowMs, rebalanceTimeoutMs + JOIN_MARGIN_MS)
  }

  #subscription(assignor: Assignor): Buffer {
    const { places, generation } = this.#last
    return encodeSubscription({
      topics: [...this.#wants.topics],
      userData: assignor.userData?.(places, generation) ?? null,
      ownedPartitions: partitionsByTopic(this.#owned),
      generationId: this.#owned.length > 0 ? generation : -1,
      rackId: this.#options.rack,
    })
  }

  #joined(response: JoinGroupResponse, nowMs: number): void {
    const { errorCode, memberId, generationId, protocolName, leader, members, skipAssignment } = response
    if (errorCode === ErrorCode.MEMBER_ID_REQUIRED) {
      this.memberId = memberId
      this.#join(nowMs)
      return
    }
    if (errorCode !== ErrorCode.NONE) {
      this.#refused(errorCode, 'JoinGroup', nowMs)
      return
    }
    this.#contactMs = nowMs
    this.memberId = memberId
    this.generation = generationId
    const assignor = this.#options.assignors.find(({ name }) => name === protocolName)
    if (assignor === undefined) {
      this.#crash(
        new KafkaError({
          code: 'INCONSISTENT_GROUP_PROTOCOL',
          message:
            `Group ${this.#options.groupId} chose the assignor ${JSON.stringify(protocolName)}, which this consumer did not ` +
            'offer. The coordinator is at fault, or another kind of client uses the same group id.',
          api: 'JoinGroup',
        }),
      )
      return
    }
    this.#assignor = assignor
    if (leader !== memberId) {
      this.#sync(new Map(), nowMs)
      return
    }
    this.#leader = { members: members.map(each => each.memberId) }
    // A static leader that came back: everybody keeps what they have (KIP-814).
    if (skipAssignment) {
      this.#sync(new Map(), nowMs)
      return
    }
    this.#phase = 'balancing'
    this.#effects.push({ kind: 'balance', id: ++this.#id, assignor, members: members.map(toMember) })
    this.#armSession(nowMs, this.#options.rebalanceTimeoutMs)
  }

  #sync(assignment: GroupAssignment, nowMs: number): void {
    this.#phase = 'syncing'
    const { groupId, groupInstanceId, rebalanceTimeoutMs } = this.#options
    const assignments = [...(assignment.size > 0 ? (this.#leader?.members ?? []) : [])].map(memberId => ({
      memberId,
      assignment: encodeAssignment(
        { assignedPartitions: partitionsByTopic(assignment.get(memberId) ?? []) },
        1,
      ),
    }))
    this.#send(
      'SyncGroup',
      {
        groupId,
        generationId: this.generation,
        memberId: this.memberId,
        groupInstanceId,
        protocolType: PROTOCOL_TYPE,
        protocolName: this.#assignor?.name ?? null,
        assignments,
      },
      rebalanceTimeoutMs + JOIN_MARGIN_MS,
    )
    this.#armSession(nowMs, rebalanceTimeoutMs + JOIN_MARGIN_MS)
  }

  #synced({ errorCode, assignment }: SyncGroupResponse, nowMs: number): void {
    if (errorCode !== ErrorCode.NONE) {
      this.#refused(errorCode, 'SyncGroup', nowMs)
      return
    }
    this.#contactMs = nowMs
    this.#failures = 0
    // A rebalance seldom comes alone: members join one after another, and what was revoked is dealt out in another.
    this.#beatMs = Math.ceil(this.#options.heartbeatIntervalMs / FASTER_AFTER_REBALANCE)
    this.#phase = 'stable'
    const assigned = decodeAssignment(assignment).assignedPartitions.flatMap(({ topic, partitions }) =>
      partitions.map(partition => ({ topic, partition })),
    )
    const gone = without(this.#owned, assigned)
    const added = without(assigned, this.#owned)
    this.#last = { places: assigned, generation: this.generation }
    this.#effects.push({ kind: 'joined' })
    if (gone.length > 0 && this.#assignor?.cooperative === true) {
      this.#revoking = gone
      this.#owned = [...this.#owned, ...added]
      this.#effects.push({ kind: 'revoke', partitions: gone })
    } else {
      if (gone.length > 0) this.#effects.push({ kind: 'lose', partitions: gone, error: turnedEager() })
      this.#owned = assigned
    }
    if (added.length > 0) this.#effects.push({ kind: 'assign', partitions: added })
    this.#armHeartbeat(nowMs)
    if (this.#rejoinWanted && this.#revoking.length === 0) this.#rejoin(nowMs)
  }

  // ------------------------------------------------------------------------------------ heartbeats

  #tick(nowMs: number): void {
    if (this.timerAtMs === null || nowMs < this.timerAtMs) return
    this.timerAtMs = null
    switch (this.#phase) {
      case 'waiting':
        this.#rejoin(nowMs)
        return
      case 'joining':
      case 'balancing':
      case 'syncing':
        this.#lost(sessionEnded(this.#options.groupId, nowMs - this.#contactMs), nowMs)
        return
      case 'revoking':
      case 'committing':
      case 'stable':
        if (nowMs - this.#contactMs >= this.#options.sessionTimeoutMs) {
          this.#lost(sessionEnded(this.#options.groupId, nowMs - this.#contactMs), nowMs)
        } else if (!this.#asking) this.#heartbeat(nowMs)
        else this.#armHeartbeat(nowMs)
        return
      case 'idle':
      case 'over':
        return
      default:
        this.#phase satisfies never
    }
  }

  #heartbeat(nowMs: number): void {
    const { groupId, groupInstanceId, requestTimeoutMs, sessionTimeoutMs } = this.#options
    const { generation: generationId, memberId } = this
    this.#heartbeatSentMs = nowMs
    this.#send(
      'Heartbeat',
      { groupId, generationId, memberId, groupInstanceId },
      // An answer that is overdue by then is worth no more waiting: a fresh connection may bring one in time.
      Math.min(requestTimeoutMs, Math.ceil(sessionTimeoutMs / 3)),
    )
    this.#armHeartbeat(nowMs)
  }

  #beaten({ errorCode }: HeartbeatResponse, nowMs: number): void {
    if (errorCode === ErrorCode.NONE || errorCode === ErrorCode.REBALANCE_IN_PROGRESS) {
      this.#contactMs = this.#heartbeatSentMs
      this.#failures = 0
      this.#beatMs = Math.min(this.#beatMs * 2, this.#options.heartbeatIntervalMs)
      this.#armHeartbeat(nowMs)
      if (errorCode === ErrorCode.REBALANCE_IN_PROGRESS && this.#phase === 'stable') this.#wantRejoin(nowMs)
      return
    }
    this.#refused(errorCode, 'Heartbeat', nowMs)
  }

  #armHeartbeat(nowMs: number): void {
    const sessionEndMs = this.#contactMs + this.#options.sessionTimeoutMs
    this.timerAtMs = Math.min(nowMs + this.#beatMs, Math.max(sessionEndMs, nowMs + 1))
  }

  /** While requests of a rebalance are under way the coordinator waits for us as long as for the slowest member. */
  #armSession(nowMs: number, patienceMs: number): void {
    this.timerAtMs = nowMs + patienceMs + this.#options.sessionTimeoutMs
  }

  // ------------------------------------------------------------------------------------ failures

  #send(api: GroupApi, request: object, timeoutMs: number): void {
    this.#asking = true
    this.#effects.push({ kind: 'send', id: ++this.#id, api, request, timeoutMs })
  }

  #answered(api: GroupApi, response: object, nowMs: number): void {
    this.#asking = false
    if (api === 'JoinGroup') this.#joined(response as JoinGroupResponse, nowMs)
    else if (api === 'SyncGroup') this.#synced(response as SyncGroupResponse, nowMs)
    else this.#beaten(response as HeartbeatResponse, nowMs)
  }

  /** No answer: the connection broke, or there is no coordinator now. */
  #failed(error: KafkaError, nowMs: number): void {
    this.#asking = false
    if (!error.retriable) {
      this.#crash(error)
      return
    }
    this.#effects.push({ kind: 'find-coordinator' }, { kind: 'retry', error })
    this.#backOff(nowMs)
  }

  /** The next heartbeat of a member comes soon; else joining starts over after a pause. */
  #backOff(nowMs: number): void {
    const pauseMs = this.#options.backoffMs(++this.#failures)
    if (!STANDING.has(this.#phase)) this.#phase = 'waiting'
    const sessionEndMs = Math.max(nowMs + 1, this.#contactMs + this.#options.sessionTimeoutMs)
    this.timerAtMs = STANDING.has(this.#phase) ? Math.min(nowMs + pauseMs, sessionEndMs) : nowMs + pauseMs
  }

  #refused(code: number, api: GroupApi | 'OffsetCommit', nowMs: number): void {
    const error = withHint(protocolError(code, { api }), hintFor(code, this.#options))
    switch (code) {
      case ErrorCode.REBALANCE_IN_PROGRESS:
        // The next round has begun already.
        if (api === 'SyncGroup') this.#rejoin(nowMs)
        else if (api === 'JoinGroup') this.#backOff(nowMs)
        else this.#wantRejoin(nowMs)
        return
      case ErrorCode.COORDINATOR_LOAD_IN_PROGRESS:
        this.#effects.push({ kind: 'retry', error })
        this.#backOff(nowMs)
        return
      case ErrorCode.NOT_COORDINATOR:
      case ErrorCode.COORDINATOR_NOT_AVAILABLE:
        this.#effects.push({ kind: 'find-coordinator' }, { kind: 'retry', error })
        this.#backOff(nowMs)
        return
    }
    if (LOST.has(code)) {
      if (code === ErrorCode.UNKNOWN_MEMBER_ID) this.memberId = ''
      this.#lost(error, nowMs)
    } else if (error.retriable) {
      this.#effects.push({ kind: 'retry', error })
      this.#backOff(nowMs)
    } else {
      this.#crash(error)
    }
  }

  /** Others may own our partitions by now. */
  #lost(error: KafkaError, nowMs: number): void {
    this.#forget(error)
    this.#contactMs = nowMs
    this.#phase = 'waiting'
    // The first time at once; a coordinator that goes on refusing is not to be flooded.
    if (this.#failures++ === 0) this.#rejoin(nowMs)
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
    this.#leader = null
    this.#asking = false
    // Whatever is under way is answered for a member that is no more.
    this.#id++
    this.generation = -1
  }
}

const NO_SUBSCRIPTION = { topics: [], ownedPartitions: [], generationId: -1, userData: null, rackId: null }

function toMember({
  memberId,
  groupInstanceId,
  metadata,
}: JoinGroupResponse['members'][number]): AssignorMember {
  // A member whose words make no sense gets nothing; it must not keep the others from reading.
  const { topics, ownedPartitions, generationId, userData, rackId } =
    subscribedTopics(metadata) === null ? NO_SUBSCRIPTION : decodeSubscription(metadata)
  return {
    memberId,
    groupInstanceId,
    topics,
    owned: ownedPartitions.flatMap(({ topic, partitions }) =>
      partitions.map(partition => ({ topic, partition })),
    ),
    generation: generationId,
    userData,
    rack: rackId,
  }
}

function turnedEager(): KafkaError {
  return new KafkaError({
    code: 'REBALANCE_IN_PROGRESS',
    message:
      'A member joined that knows no cooperative assignor, so the group dealt out all partitions anew while they were ' +
      'still read here. Records that were handled since the last commit may be handled twice.',
    api: 'SyncGroup',
  })
}

export function sessionEnded(groupId: string, forMs: number): KafkaError {
  return new KafkaError({
    code: 'SESSION_LOST',
    message:
      `The coordinator of group ${groupId} was not heard for ${Math.round(forMs)} ms, longer than the session timeout, so ` +
      'the partitions may have been given to others. The consumer has stopped reading them and joins again. Look at ' +
      'the network and at the broker; if the process itself was paused or its event loop blocked, look there.',
    retriable: true,
  })
}

function withHint(error: KafkaError, hint: string | null): KafkaError {
  if (hint === null) return error
  const { code, retriable, fatal, api, message } = error
  return new KafkaError({ code, retriable, fatal, api, message: `${message} ${hint}.`, cause: error })
}

function hintFor(
  code: number,
  { groupId, groupInstanceId, sessionTimeoutMs }: ClassicOptions,
): string | null {
  switch (code) {
    case ErrorCode.FENCED_INSTANCE_ID:
      return `Another consumer has joined group ${groupId} with the same groupInstanceId ${groupInstanceId}; each instance needs an id of its own`
    case ErrorCode.INVALID_SESSION_TIMEOUT:
      return `sessionTimeoutMs is ${sessionTimeoutMs}: the range allowed is group.min.session.timeout.ms .. group.max.session.timeout.ms of the broker`
    case ErrorCode.INCONSISTENT_GROUP_PROTOCOL:
      return `The members of group ${groupId} have no assignor in common; name one that the others use in assignors`
    default:
      return null
  }
}
