/**
 * The producer's words: options, messages, results. Types only.
 */
import { type KafkaError } from '../errors.ts'
import { type Bytes, type Serde } from '../serde.ts'

export type CompressionName = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'

export type HeaderValue = Bytes | null
/** A list where one name occurs several times. */
export type HeadersInput = Readonly<Record<string, HeaderValue | readonly HeaderValue[]>>

export interface Message<K = Bytes, V = Bytes> {
  /** Records of one key go to one partition. Null or absent: no key. */
  readonly key?: K | null
  /** Null is a tombstone: in a compacted topic it deletes the key. */
  readonly value: V | null
  readonly headers?: HeadersInput
  /** Milliseconds since 1970; default: now. */
  readonly timestamp?: number
  /** Chosen by the partitioner where absent. */
  readonly partition?: number
}

export interface PartitionerInput {
  readonly topic: string
  /** The key's bytes, or null. They are the producer's: do not keep or change them. */
  readonly key: Uint8Array | null
  readonly message: Message<unknown, unknown>
  readonly partitionCount: number
  /** Partitions that have a leader now, in ascending order. May be empty. */
  readonly availablePartitions: readonly number[]
}

/**
 * Chooses the partition (0 .. partitionCount-1) of one record. `onNewBatch` is called when a record without a key or
 * partition would open a new batch in `partition`: the moment for a sticky partitioner to move on.
 */
export interface Partitioner {
  partition(input: PartitionerInput): number
  onNewBatch?(topic: string, partition: number): void
}

export type Acks = 'all' | -1 | 0 | 1

export interface ProducerOptions<K = Bytes, V = Bytes> {
  readonly serde?: { readonly key?: Serde<K>; readonly value?: Serde<V> }
  /** Default `all`: every in-sync replica has it, on disk where the broker is set up so. */
  readonly acks?: Acks
  /** Default `none`. */
  readonly compression?: CompressionName
  /** Exactly one copy of each record in the log, in order, whatever is retried. Default: true with acks all. */
  readonly idempotent?: boolean
  /** How long `enqueue` waits for a batch to fill. `send` does not wait. Default 5. */
  readonly lingerMs?: number
  /** Largest batch in bytes, before compression. Default 524,288. */
  readonly batchBytes?: number
  /** Bytes of records held by the producer before `enqueue` and `send` wait. Default 33,554,432. */
  readonly bufferBytes?: number
  /** Largest Produce request in bytes. Default 8,388,608. */
  readonly maxRequestBytes?: number
  /** Produce requests under way per broker: 1 .. 5 where idempotent. Default 5. */
  readonly maxInFlightRequests?: number
  /**
   * How long a record may take from `send` or `enqueue` to the broker's acknowledgement, all retries included. Default
   * 120,000.
   */
  readonly deliveryTimeoutMs?: number
  /** How long a broker may take to acknowledge one request. Default: `requestTimeoutMs` of `Kafka`. */
  readonly requestTimeoutMs?: number
  /** May the broker create the topic on first use? Default true (the broker has the last word). */
  readonly allowAutoTopicCreation?: boolean
  /** Default: Java-compatible murmur2 of the key; without a key sticky, moving on with every batch. */
  readonly partitioner?: Partitioner
  /**
   * Called once per batch whose fate is decided, for records of `send` and `enqueue` alike. An exception that it
   * throws is logged and otherwise ignored.
   */
  readonly onDelivery?: (report: DeliveryReport) => void
}

export interface DeliveryReport {
  readonly topic: string
  readonly partition: number
  /** Records in the batch. */
  readonly count: number
  /** Offset of the first, the others follow on; -1 with acks 0 and where `error` is set. */
  readonly baseOffset: number
  readonly error: KafkaError | null
}

export interface SendOptions<K = Bytes, V = Bytes> {
  readonly topic: string
  readonly messages: readonly Message<K, V>[]
  /** For this call; by default the producer's. Other acks than the producer's need `idempotent: false`. */
  readonly acks?: Acks
  /** Stops waiting. Records that are under way by then may still be delivered. */
  readonly signal?: AbortSignal
}

/** Where a run of consecutive records of one `send` was stored. */
export interface SentRange {
  readonly topic: string
  readonly partition: number
  /** Offset of the first record of the run; -1 with acks 0. */
  readonly baseOffset: number
  readonly count: number
  /** The broker's time of append, where the topic uses LogAppendTime; else null. */
  readonly logAppendTimeMs: number | null
}

export interface FlushOptions {
  readonly signal?: AbortSignal
}

export interface ProducerMetrics {
  readonly recordsDelivered: number
  readonly recordsFailed: number
  readonly batchesDelivered: number
  /** Bytes of batches as sent, after compression, each counted once. */
  readonly bytesDelivered: number
  readonly requests: number
  readonly retries: number
  readonly bufferedBytes: number
  readonly bufferedRecords: number
  readonly inFlightRequests: number
  /** How often the epoch of a partition had to be raised to go on after a gap. */
  readonly epochBumps: number
}
