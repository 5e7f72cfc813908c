/**
 * The consumer's words: options, positions, messages, batches. Types only.
 */
import { type KafkaError } from '../errors.ts'
import { type Serde } from '../serde.ts'
import { type Assignor } from './assignors/assignor.ts'

/** How offsets are shown: `number` reaches 2^53, which is enough for every log that exists. */
export type OffsetKind = 'number' | 'bigint'
export type OffsetOf<O extends OffsetKind> = O extends 'bigint' ? bigint : number

export type OffsetSpec =
  | number
  | bigint
  | 'earliest'
  | 'latest'
  /** The first record whose timestamp (milliseconds since 1970) is at or after this; the end where there is none. */
  | { readonly timestamp: number }

export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

export interface Assignment extends TopicPartition {
  /** Default `latest`: the end as of now. */
  readonly offset?: OffsetSpec
}

/** Where to start. `committed`: nowhere but where the group has committed; where it has not, reading fails. */
export type StartFrom = 'committed' | 'earliest' | 'latest' | { readonly timestamp: number }

export interface SubscribeOptions {
  /** Names; in a group also regular expressions, which topics made later can match too. */
  readonly topics: readonly (string | RegExp)[]
  /**
   * Where to start. A group always goes on where it has committed, and this says where to start where it has not.
   * Default `latest`.
   */
  readonly from?: StartFrom
}

export type AssignorName = 'range' | 'roundrobin' | 'sticky' | 'cooperative-sticky' | 'RoundRobinAssigner'

export interface ConsumerOptions<K = Buffer, V = Buffer, O extends OffsetKind = 'number'> {
  /** The group that shares the topics and remembers how far they were read. Without: all partitions, no commits. */
  readonly groupId?: string
  /**
   * Makes it a static member: one that comes back with the same id within the session timeout gets what it had,
   * without a rebalance. Every instance needs an id of its own.
   */
  readonly groupInstanceId?: string
  /**
   * `consumer`: the broker deals out (KIP-848). `classic`: a member does. Default `auto`: `consumer` where the broker
   * serves it and `assignors` is not given.
   */
  readonly protocol?: 'auto' | 'classic' | 'consumer'
  /**
   * Classic protocol: in the order of preference. A group takes one that all of its members have, by majority.
   * Default: cooperative-sticky, range, roundrobin, and KafkaJS's RoundRobinAssigner.
   */
  readonly assignors?: readonly (AssignorName | Assignor)[]
  /** Consumer protocol: `uniform` or `range`, or what the broker has. Default: the broker's choice. */
  readonly serverAssignor?: string
  /**
   * How long a member may be silent before its partitions go to others. Default 45,000. In the consumer protocol the
   * broker decides; this one is then what the member assumes.
   */
  readonly sessionTimeoutMs?: number
  /** Default 3,000. In the consumer protocol the broker decides. */
  readonly heartbeatIntervalMs?: number
  /** How long members have to finish their work and join again. Default 60,000. */
  readonly rebalanceTimeoutMs?: number
  /** Commit what was processed (`run`) or acknowledged (iterators), every `autoCommitIntervalMs`. Default true. */
  readonly autoCommit?: boolean
  /** Default 5,000. */
  readonly autoCommitIntervalMs?: number
  /** How long the end of a reading waits for records in hand before it leaves the group. Default 5,000. */
  readonly closeTimeoutMs?: number
  readonly serde?: { readonly key?: Serde<K>; readonly value?: Serde<V> }
  /** Default `number`. */
  readonly offsets?: O
  /** Default `read_uncommitted`, which for topics without transactions is the same. */
  readonly isolation?: 'read_uncommitted' | 'read_committed'
  /** What to do when a position lies outside the log. Default `error`: nothing is skipped silently. */
  readonly onOffsetOutOfRange?: 'earliest' | 'latest' | 'error'
  /**
   * Bytes fetched ahead and not yet taken, in all. Default 33,554,432. At least one batch is fetched, however large.
   */
  readonly maxBytes?: number
  /** Bytes asked for in one request. Default 8,388,608. */
  readonly fetchMaxBytes?: number
  /** Bytes asked for from one partition in one request. Default 2,097,152. */
  readonly fetchPartitionMaxBytes?: number
  /** The broker answers when it has so many bytes. Default 1. */
  readonly fetchMinBytes?: number
  /** The broker answers after this time even with fewer. Default 500. */
  readonly fetchMaxWaitMs?: number
  /** Check the CRC-32C of every batch. Default true. */
  readonly checkCrc?: boolean
  /** Emit `stalled` when nothing moves for so long though it should. 0 turns it off. Default 30,000. */
  readonly stalledAfterMs?: number
  /** Rack of this consumer: the broker may name a closer replica to read from (KIP-392). */
  readonly rack?: string
  /** May the broker create a topic that is asked for? Default false. */
  readonly allowAutoTopicCreation?: boolean
}

/** Headers in the order they were written, every value of a name kept. */
export interface MessageHeader {
  readonly key: string
  readonly value: Buffer | null
}

/**
 * One record. Key, value and headers are decoded when they are first looked at; they are slices of the batch that was
 * received, which stays in memory as long as one of its slices does: copy what is kept for long.
 */
export interface ConsumedMessage<K = Buffer, V = Buffer, O extends OffsetKind = 'number'> {
  readonly topic: string
  readonly partition: number
  readonly offset: OffsetOf<O>
  /** Milliseconds since 1970; of the producer, or of the broker where the topic uses LogAppendTime. -1 for none. */
  readonly timestamp: number
  readonly key: K | null
  readonly value: V | null
  readonly headers: readonly MessageHeader[]
  /** The first value of a header, or undefined where there is none of this name. */
  header(name: string): Buffer | null | undefined
  /**
   * This record is done with: it is committed when all before it in its partition are. For `messages()` of a group;
   * elsewhere it does nothing. In any order, and as late as needed; after the partition has gone to another member it
   * does nothing.
   */
  ack(): void
  /** The bytes as they are stored, past any serde. */
  readonly keyBytes: Buffer | null
  readonly valueBytes: Buffer | null
  readonly leaderEpoch: number
}

/** One record batch of one partition, as it is stored, minus the records before the position asked for. */
export interface ConsumedBatch<K = Buffer, V = Buffer, O extends OffsetKind = 'number'>
  extends Iterable<ConsumedMessage<K, V, O>> {
  readonly topic: string
  readonly partition: number
  /** Offset of the first record that is shown. */
  readonly firstOffset: OffsetOf<O>
  readonly lastOffset: OffsetOf<O>
  /** Records, counted as the batch's header declares; the first may lie before `firstOffset` and are not shown. */
  readonly count: number
  /** Bytes as fetched (compressed). */
  readonly byteLength: number
  readonly compression: string
  readonly leaderEpoch: number
  /** End of the partition when this was fetched: `highWatermark - lastOffset - 1` records are behind it. */
  readonly highWatermark: OffsetOf<O>
  /** All messages at once. */
  messages(): ConsumedMessage<K, V, O>[]
  /** The whole batch is done with. For `batches()` of a group; its messages are not acknowledged one by one. */
  ack(): void
  /** As `ack`, and commits at once. Rejects with KafkaError COMMIT_FAILED, or INVALID_OPTION without a group. */
  commit(): Promise<void>
}

export interface IterateOptions {
  readonly signal?: AbortSignal
}

/**
 * - `stop`: `run` rejects; what was processed before is committed, and the record comes again
 * - `skip`: the record is left out, which `skipped` tells
 * - `retry`: again after a pause, without end; other partitions go on meanwhile where `concurrency` allows
 */
export type ErrorPolicy = 'stop' | 'skip' | 'retry' | RetryPolicy

export interface RetryPolicy {
  /** Attempts in all. Default 5. */
  readonly attempts?: number
  /** First pause; doubles with every attempt. Default 100. */
  readonly initialBackoffMs?: number
  /** Longest pause. Default 10,000. */
  readonly maxBackoffMs?: number
  /**
   * After the last attempt. `deadLetter`: a copy goes to this topic, with headers that tell where it came from and why
   * (`sluice.dead-letter.topic`, `.partition`, `.offset`, `.error`), and the record is skipped. Default `stop`.
   */
  readonly giveUp?: 'stop' | 'skip' | { readonly deadLetter: string }
}

/** A record, or batch, that was given up. */
export interface SkippedEvent extends TopicPartition {
  readonly offset: number
  readonly error: unknown
  readonly attempts: number
  /** Where a copy is. */
  readonly deadLetter: string | null
}

export interface OffsetToStore extends TopicPartition {
  /** Of the next record to read: the last one processed, plus one. */
  readonly offset: number | bigint
  readonly metadata?: string
}

export interface StoredOffset<O extends OffsetKind = 'number'> extends TopicPartition {
  /** Null where nothing is committed. */
  readonly offset: OffsetOf<O> | null
  readonly metadata: string
}

export interface JoinedEvent {
  readonly groupId: string
  readonly protocol: 'classic' | 'consumer'
  readonly memberId: string
  /** Generation, or member epoch. */
  readonly generation: number
  /** Deals out the partitions (classic protocol). */
  readonly isLeader: boolean
}

export interface RunOptions<K = Buffer, V = Buffer, O extends OffsetKind = 'number'> {
  readonly eachMessage?: (message: ConsumedMessage<K, V, O>) => void | Promise<void>
  readonly eachBatch?: (batch: ConsumedBatch<K, V, O>) => void | Promise<void>
  /** Partitions worked on at the same time; within a partition always one by one. Default 1. */
  readonly concurrency?: number
  /** What to do about a record, or batch, whose handler throws. Default `stop`: `run` rejects with the error. */
  readonly onError?: ErrorPolicy
  readonly signal?: AbortSignal
}

export interface PartitionPosition<O extends OffsetKind = 'number'> extends TopicPartition {
  /** Offset of the next record that will be handed out; null while it is still being looked up. */
  readonly position: OffsetOf<O> | null
  readonly paused: boolean
}

export interface PartitionLag<O extends OffsetKind = 'number'> extends TopicPartition {
  readonly position: OffsetOf<O>
  /** High watermark, or last stable offset for read_committed. */
  readonly end: OffsetOf<O>
  readonly lag: OffsetOf<O>
}

export interface StalledEvent {
  /**
   * `handler`: records wait but nobody takes them, or one has been worked on for that long. `broker`: nothing can be
   * fetched. `group`: the consumer waits to become a member of its group.
   */
  readonly reason: 'handler' | 'broker' | 'group'
  readonly forMs: number
  readonly partitions: readonly TopicPartition[]
  /** What stood in the way last, where known. */
  readonly error: KafkaError | null
}

export interface ConsumerEvents {
  stalled: [event: StalledEvent]
  /** The consumer has stopped and will not come back by itself; iterators and `run` reject with the same error. */
  crash: [error: KafkaError]
  /** A problem that is being retried. */
  retry: [error: KafkaError]
  /** A generation of the group has begun, or a new epoch. */
  joined: [event: JoinedEvent]
  /** These partitions are read from now on. A `seek` in the listener comes before what is committed. */
  assigned: [partitions: readonly TopicPartition[]]
  /** These are read no more: what was in hand is done, and committed where commits are automatic. */
  revoked: [partitions: readonly TopicPartition[]]
  /** These belong to others already, and what was not committed of them will be read again. */
  lost: [partitions: readonly TopicPartition[], error: KafkaError]
  /** A record was given up, as `onError` says. */
  skipped: [event: SkippedEvent]
}

export interface ConsumerMetrics {
  readonly recordsTaken: number
  readonly batchesTaken: number
  readonly bytesFetched: number
  readonly fetches: number
  readonly fetchErrors: number
  readonly bufferedBytes: number
  readonly assignedPartitions: number
  /** Largest known lag over the assigned partitions, as of their last fetch; null before the first. */
  readonly maxLag: number | null
}
