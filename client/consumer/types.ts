/**
 * The consumer's words: options, positions, messages, batches. Types only.
 */
import { type KafkaError } from '../errors.ts'
import { type Serde } from '../serde.ts'

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

export interface SubscribeOptions {
  readonly topics: readonly string[]
  /** Where to start. Default `latest`. */
  readonly from?: 'earliest' | 'latest' | { readonly timestamp: number }
}

export interface ConsumerOptions<K = Buffer, V = Buffer, O extends OffsetKind = 'number'> {
  /** Consumer groups are not implemented yet: given, it is refused. */
  readonly groupId?: string
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
}

export interface IterateOptions {
  readonly signal?: AbortSignal
}

export interface RunOptions<K = Buffer, V = Buffer, O extends OffsetKind = 'number'> {
  readonly eachMessage?: (message: ConsumedMessage<K, V, O>) => void | Promise<void>
  readonly eachBatch?: (batch: ConsumedBatch<K, V, O>) => void | Promise<void>
  /** Partitions worked on at the same time; within a partition always one by one. Default 1. */
  readonly concurrency?: number
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
  /** `handler`: records wait but nobody takes them. `broker`: nothing can be fetched. */
  readonly reason: 'handler' | 'broker'
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
