/**
 * What goes into a group coordinator and what comes out of it. A command is a request, a timer that ran out, or news
 * about topics; a decision says what to write, what to change in memory, whom to answer and which timers to set.
 * Nothing here has behaviour.
 *
 * Times: `nowMs` of a command is the wall clock and only ever ends up in records. Timers count from now on (`afterMs`),
 * so that a clock that jumps expires nobody.
 */
import { type ConsumerGroupDescribeResponse } from '../../client/protocol/messages/consumer-group-describe.ts'
import {
  type ConsumerGroupHeartbeatRequest,
  type ConsumerGroupHeartbeatResponse,
} from '../../client/protocol/messages/consumer-group-heartbeat.ts'
import { type DeleteGroupsResponse } from '../../client/protocol/messages/delete-groups.ts'
import { type DescribeGroupsResponse } from '../../client/protocol/messages/describe-groups.ts'
import { type HeartbeatRequest, type HeartbeatResponse } from '../../client/protocol/messages/heartbeat.ts'
import { type JoinGroupRequest, type JoinGroupResponse } from '../../client/protocol/messages/join-group.ts'
import {
  type LeaveGroupRequest,
  type LeaveGroupResponse,
} from '../../client/protocol/messages/leave-group.ts'
import { type ListGroupsResponse } from '../../client/protocol/messages/list-groups.ts'
import {
  type OffsetCommitRequest,
  type OffsetCommitResponse,
} from '../../client/protocol/messages/offset-commit.ts'
import {
  type OffsetDeleteRequest,
  type OffsetDeleteResponse,
} from '../../client/protocol/messages/offset-delete.ts'
import { type OffsetFetchResponse } from '../../client/protocol/messages/offset-fetch.ts'
import { type SyncGroupRequest, type SyncGroupResponse } from '../../client/protocol/messages/sync-group.ts'
import { type Input } from '../../client/protocol/schema.ts'
import { type TopicId } from '../../client/protocol/types.ts'
import { type ClassicGroup, type ClassicPatch } from './classic-group.ts'
import { type TopicChecks, type WaitingHeartbeat } from './consumer-group.ts'
import { type MapChanges } from './overlay.ts'
import { type GroupRecord } from './records.ts'

/** Names a request until it is answered; never used twice. */
export type Token = number

/** Who sent a request, and how. */
interface FromClient {
  readonly token: Token
  /** Of the request: some answers depend on it. */
  readonly version: number
  /** '' where the client has none. */
  readonly clientId: string
  /** The client's address, as Kafka shows it: '/127.0.0.1'. */
  readonly clientHost: string
}

/** The answer comes with a later decision where the member has to wait for others. */
export interface JoinGroupCommand extends FromClient {
  readonly kind: 'join-group'
  readonly request: JoinGroupRequest
  /** Fresh; used where the request brings no member id. Kafka: the client id (or the instance id), '-', and a UUID. */
  readonly newMemberId: string
}

/** The answer comes with a later decision where the leader's assignment is not there yet. */
export interface SyncGroupCommand extends FromClient {
  readonly kind: 'sync-group'
  readonly request: SyncGroupRequest
}

export interface HeartbeatCommand extends FromClient {
  readonly kind: 'heartbeat'
  readonly request: HeartbeatRequest
}

/** In all versions `request.members` is filled: below version 3 with the one member that leaves. */
export interface LeaveGroupCommand extends FromClient {
  readonly kind: 'leave-group'
  readonly request: LeaveGroupRequest
}

/** Names and ids of topics are both filled, and the topics exist: what does not is answered by the caller. */
export interface OffsetCommitCommand extends FromClient {
  readonly kind: 'offset-commit'
  readonly request: OffsetCommitRequest
}

/** One group of an OffsetFetch. Names and ids of topics are both filled; null: all topics of the group. */
export interface OffsetFetchCommand {
  readonly kind: 'offset-fetch'
  readonly token: Token
  readonly groupId: string
  /** Null and -1 where the version has none. */
  readonly memberId: string | null
  readonly memberEpoch: number
  readonly topics:
    | readonly {
        readonly name: string
        readonly topicId: TopicId
        readonly partitionIndexes: readonly number[]
      }[]
    | null
  readonly requireStable: boolean
}

export interface OffsetDeleteCommand {
  readonly kind: 'offset-delete'
  readonly token: Token
  readonly request: OffsetDeleteRequest
}

/** The groups that live in this shard, of one request. */
export interface DescribeGroupsCommand {
  readonly kind: 'describe-groups'
  readonly token: Token
  readonly version: number
  readonly groupIds: readonly string[]
}

export interface ListGroupsCommand {
  readonly kind: 'list-groups'
  readonly token: Token
  /** Without regard to case; empty: any. */
  readonly states: readonly string[]
  readonly types: readonly string[]
}

export interface DeleteGroupsCommand {
  readonly kind: 'delete-groups'
  readonly token: Token
  readonly groupIds: readonly string[]
}

export interface ConsumerGroupHeartbeatCommand extends FromClient {
  readonly kind: 'consumer-group-heartbeat'
  readonly request: ConsumerGroupHeartbeatRequest
  /** Fresh; used where the request brings no member id (version 0). Kafka: a UUID. */
  readonly newMemberId: string
}

export interface ConsumerGroupDescribeCommand {
  readonly kind: 'consumer-group-describe'
  readonly token: Token
  readonly groupIds: readonly string[]
}

/** A timer of a decision before ran out. Of a timer that was set anew, only the last setting may run out. */
export interface TimerCommand {
  readonly kind: 'timer'
  readonly key: string
}

/**
 * Nobody waits for the answer to this JoinGroup any more: its connection is closed. A member that has not been told its
 * id yet can never come back, so it does not stay in the group until it times out. Never answered.
 */
export interface AbandonJoinCommand {
  readonly kind: 'abandon-join'
  readonly groupId: string
  /** Of the JoinGroup. */
  readonly joinToken: Token
}

/**
 * After the log has been replayed, once for each of `groupIds()`, before any other command: members that were there get
 * a fresh session. One group at a time, so that the caller can let others have their turn between.
 */
export interface ResumeCommand {
  readonly kind: 'resume'
  readonly groupId: string
}

/** Once after all groups have resumed: sets the timer that looks for expired offsets. */
export interface LoadedCommand {
  readonly kind: 'loaded'
}

/** Topics are gone: their offsets go with them. */
export interface TopicsDeletedCommand {
  readonly kind: 'topics-deleted'
  readonly names: readonly string[]
}

export type GroupCommand =
  | JoinGroupCommand
  | SyncGroupCommand
  | HeartbeatCommand
  | LeaveGroupCommand
  | OffsetCommitCommand
  | OffsetFetchCommand
  | OffsetDeleteCommand
  | DescribeGroupsCommand
  | ListGroupsCommand
  | DeleteGroupsCommand
  | ConsumerGroupHeartbeatCommand
  | ConsumerGroupDescribeCommand
  | TimerCommand
  | AbandonJoinCommand
  | ResumeCommand
  | LoadedCommand
  | TopicsDeletedCommand

type Element<T> = T extends readonly (infer E)[] ? E : never

/**
 * The answers by the kind of their command, in the shape of the newest version. Byte fields are kept by the coordinator
 * and must not be changed.
 */
export interface GroupAnswers {
  'join-group': Input<typeof JoinGroupResponse>
  'sync-group': Input<typeof SyncGroupResponse>
  heartbeat: Input<typeof HeartbeatResponse>
  'leave-group': Input<typeof LeaveGroupResponse>
  'offset-commit': Input<typeof OffsetCommitResponse>
  /** One element of `groups`. */
  'offset-fetch': Element<NonNullable<Input<typeof OffsetFetchResponse>['groups']>>
  'offset-delete': Input<typeof OffsetDeleteResponse>
  'describe-groups': Input<typeof DescribeGroupsResponse>['groups']
  'list-groups': Input<typeof ListGroupsResponse>['groups']
  'delete-groups': Input<typeof DeleteGroupsResponse>['results']
  'consumer-group-heartbeat': Input<typeof ConsumerGroupHeartbeatResponse>
  'consumer-group-describe': Input<typeof ConsumerGroupDescribeResponse>['groups']
}

/** Commands that are answered. */
export type GroupRequest = Extract<GroupCommand, { readonly token: Token }>
export type AnswerTo<C extends GroupRequest> = GroupAnswers[C['kind']]

export type GroupReply = {
  readonly [Kind in keyof GroupAnswers]: {
    readonly token: Token
    readonly kind: Kind
    readonly answer: GroupAnswers[Kind]
  }
}[keyof GroupAnswers]

/** Sets the timer `key` anew, or takes it back (null). Keys are opaque and unique within one shard. */
export interface TimerChange {
  readonly key: string
  /** Milliseconds from now, at least 0. */
  readonly afterMs: number | null
}

/** A change of what dies with the coordinator. Opaque to everyone but the shard that made it. */
export type VolatileChange =
  | { readonly kind: 'classic-group'; readonly group: ClassicGroup; readonly patch: ClassicPatch }
  | {
      readonly kind: 'consumer-group'
      readonly groupId: string
      readonly checks: TopicChecks
      /** By member id: whether it is expected to join again. */
      readonly expectedJoins: ReadonlyMap<string, boolean>
      /** By member id: who waits for the next target, or does not any more. */
      readonly waiting: MapChanges<WaitingHeartbeat>
    }

/**
 * To be carried out at once and as a whole, before the next command is decided: `apply` of each record in order, then
 * `applyVolatile` of each change in order, then the timers. The replies may leave when the records, and all records
 * before them, are durable. If the records cannot be written the shard must be thrown away and loaded anew.
 */
export interface Decision {
  readonly records: readonly GroupRecord[]
  readonly volatile: readonly VolatileChange[]
  readonly replies: readonly GroupReply[]
  readonly timers: readonly TimerChange[]
}
