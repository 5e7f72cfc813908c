/**
 * What the API handlers and a partition say to each other. Types only: who asks, what comes back, and who owns the
 * buffers in it.
 */
import { type ErrorCode } from '../../client/protocol/errors.ts'
import {
  type BrokerId,
  type LeaderEpoch,
  type Offset,
  type ProducerId,
  type TopicId,
} from '../../client/protocol/types.ts'
import { type LogConfig } from '../log/config.ts'
import { type RecordError } from '../log/record-checks.ts'
import { type IsrMember, type Replicas } from '../replica/events.ts'

export type { ReplicaRole } from '../replica/events.ts'

export type Isolation = 'read_uncommitted' | 'read_committed'

export type Acks = -1 | 0 | 1

/** The answer to one partition's part of a produce request. Values without meaning are -1, as on the wire. */
export interface ProduceOutcome {
  readonly error: ErrorCode
  /** A sentence for the client's log; null when there is nothing to say. */
  readonly errorMessage: string | null
  /** Which records were refused, where it was for single ones. */
  readonly recordErrors?: readonly RecordError[] | undefined
  readonly baseOffset: number
  /** -1 with CreateTime. */
  readonly logAppendTimeMs: number
  readonly logStartOffset: number
}

export interface ReadRequest {
  readonly offset: Offset
  /** Bytes at most; exceeded only by `atLeastOne`. 0 or less reads nothing but still answers the offsets. */
  readonly maxBytes: number
  readonly isolation: Isolation
  /** -1: the client does not say; else the answer may be FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH (KIP-320). */
  readonly currentLeaderEpoch: number
  /** -1: the client does not say; else a divergence is answered in `divergingEpoch` (KIP-595). */
  readonly lastFetchedEpoch: number
  /** The first batch is returned even where it is larger than `maxBytes`. */
  readonly atLeastOne: boolean
  /** A follower may answer as well, with what it knows to be committed (KIP-392). Default: the leader alone. */
  readonly allowFollower?: boolean
}

export interface DivergingEpoch {
  readonly epoch: number
  readonly endOffset: number
}

export interface AbortedTransaction {
  readonly producerId: ProducerId
  readonly firstOffset: number
}

/** What a read yields. With an error, the offsets are -1 where they are not known, and there are no slices. */
export interface FetchOutcome {
  readonly error: ErrorCode
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly logStartOffset: number
  readonly divergingEpoch: DivergingEpoch | null
  /** null for read_uncommitted. */
  readonly abortedTransactions: readonly AbortedTransaction[] | null
  /** Whole batches, in order; valid until `release`. */
  readonly slices: readonly Uint8Array[]
  readonly byteLength: number
  /** Gives the slices back. To be called exactly once, after they have been sent. */
  release(): void
}

/** `offset` -1 with error NONE: there is no such record (Kafka answers it that way). */
export interface ListOffsetOutcome {
  readonly error: ErrorCode
  readonly timestamp: number
  readonly offset: number
  readonly leaderEpoch: LeaderEpoch
}

export interface EndOffsetOutcome {
  readonly error: ErrorCode
  readonly leaderEpoch: number
  readonly endOffset: number
}

export interface DeleteRecordsOutcome {
  readonly error: ErrorCode
  /** The new log start offset, or -1. */
  readonly lowWatermark: number
}

/** One producer that the partition remembers (DescribeProducers, KIP-664). */
export interface ActiveProducer {
  readonly producerId: ProducerId
  readonly producerEpoch: number
  readonly lastSequence: number
  readonly lastTimestamp: number
  readonly coordinatorEpoch: number
  /** -1 outside a transaction. */
  readonly currentTransactionStartOffset: number
}

export interface PartitionDescription {
  /** Bytes of all segments. */
  readonly sizeBytes: number
  readonly segments: number
  readonly logStartOffset: Offset
  readonly highWatermark: Offset
  readonly lastStableOffset: Offset
  readonly logEndOffset: Offset
  /** Below it everything is on disk. */
  readonly durableOffset: Offset
  readonly leaderEpoch: LeaderEpoch
  /** False after the partition was deleted or its files failed. */
  readonly online: boolean
}

/** A partition that belongs on this broker. */
export interface PartitionAssignment {
  readonly topicId: TopicId
  readonly topicName: string
  readonly partition: number
  readonly config: LogConfig
  readonly leaderEpoch: LeaderEpoch
}

// ---------------------------------------------------------------------------------------------- replication

/** What the cluster's metadata says of a partition that this broker leads. */
export type LeadSpec = { readonly epoch: LeaderEpoch } & Replicas

/** What it says of a partition that another broker leads; `leader` -1: nobody does. */
export interface FollowSpec {
  readonly epoch: LeaderEpoch
  readonly leader: BrokerId | -1
}

/**
 * Where a follower stands: what its next fetch asks for. Everything below `fetchOffset` is on disk where that counts.
 */
export interface ReplicaPosition {
  readonly fetchOffset: Offset
  /** -1: the log has no epoch yet. */
  readonly lastFetchedEpoch: number
  readonly logStartOffset: Offset
  /** Of the leader that is followed. */
  readonly leaderEpoch: LeaderEpoch
}

/** What came with the records that a follower fetched. */
export interface ReplicatedFrom {
  /** As it was when the fetch was sent. */
  readonly epoch: LeaderEpoch
  /** What was asked for. Where the log does not end there any more the answer is too old, and nothing is appended. */
  readonly fetchOffset: Offset
  readonly highWatermark: number
  readonly logStartOffset: number
}

/**
 * ok: go on from `replicaPosition()`. fenced: the epoch is over. corrupt: these are no batches that follow this log;
 * nothing was appended. failed: the disk did not take them, or the broker stops.
 */
export type ReplicateOutcome = 'ok' | 'fenced' | 'corrupt' | 'failed'

export type TruncateOutcome = 'ok' | 'fenced' | 'failed'

/** A follower's fetch, as far as the leader's replica is concerned. */
export interface ReplicaFetch {
  readonly replica: BrokerId
  readonly brokerEpoch: number
  readonly fetchOffset: Offset
  /** -1: it has no epoch yet. Where the logs diverge the fetch says nothing of what the follower has. */
  readonly lastFetchedEpoch: number
  readonly logStartOffset: Offset
  /** currentLeaderEpoch of the request. */
  readonly leaderEpoch: number
}

/** A change of the ISR that a leader asks for. */
export interface IsrProposal {
  readonly topicId: TopicId
  readonly partition: number
  readonly leaderEpoch: LeaderEpoch
  /** Of the record that it changes. */
  readonly revision: number
  /** In the order of the replicas. `brokerEpoch` is the one that the broker fetched with, -1 where it has not. */
  readonly isr: readonly IsrMember[]
}

/** What partitions want to know of the cluster, and what they ask of it. */
export interface ClusterServices {
  /** The broker is registered under this very epoch, not fenced and not about to stop. */
  isActive(broker: BrokerId, brokerEpoch: number): boolean
  /** `PartitionHost.isrDecided` or a `lead` with a newer revision is the answer; never from within this call. */
  proposeIsr(proposal: IsrProposal): void
  /** On the monotonic clock: from then on nothing is served or acknowledged by a leader. */
  servingUntilMs(): number
  /** replica.lag.time.max.ms */
  lagTimeMaxMs(): number
  /**
   * Every replica is in sync, as far as a broker knows whose registration has not run out: then each of them has what
   * was committed `settledAfterMs` ago.
   */
  isWhole(topicId: TopicId, partition: number): boolean
  /** How long a replica may be behind that counts as in sync, and how old an image may be. */
  settledAfterMs(): number
}
