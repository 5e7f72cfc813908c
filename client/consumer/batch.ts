/**
 * Batches and messages as the application sees them: views of the bytes that were received, decoded when looked at.
 */
import { KafkaError } from '../errors.ts'
import { describeBatchProblem, validateBatch } from '../protocol/batch.ts'
import { CodecUnavailableError } from '../protocol/compression/errors.ts'
import { CODEC_NAMES } from '../protocol/compression.ts'
import { ProtocolError } from '../protocol/errors.ts'
import { type LogRecord, RecordReader } from '../protocol/record.ts'
import { type Serde } from '../serde.ts'
import { type BufferedBatch, type ConsumerPartition } from './partition.ts'
import {
  type ConsumedBatch,
  type ConsumedMessage,
  type MessageHeader,
  type OffsetKind,
  type OffsetOf,
} from './types.ts'

export interface Serdes<K, V> {
  readonly key?: Serde<K>
  readonly value?: Serde<V>
}

/** How batches of one consumer are shown. */
export class Presenter<K, V, O extends OffsetKind> {
  readonly serdes: Serdes<K, V>
  readonly #bigint: boolean
  readonly #checkCrc: boolean
  /** Commits that everything before an offset is done. */
  readonly commit: (partition: ConsumerPartition, offset: number) => Promise<void>

  constructor(
    serdes: Serdes<K, V> | undefined,
    offsets: OffsetKind,
    checkCrc: boolean,
    commit: (partition: ConsumerPartition, offset: number) => Promise<void>,
  ) {
    this.commit = commit
    this.serdes = serdes ?? {}
    this.#bigint = offsets === 'bigint'
    this.#checkCrc = checkCrc
  }

  offset(value: number): OffsetOf<O> {
    return (this.#bigint ? BigInt(value) : value) as OffsetOf<O>
  }

  /** The records from the partition's position on. Throws KafkaError CORRUPT_BATCH where the CRC is wrong. */
  batch(partition: ConsumerPartition, buffered: BufferedBatch): BatchView<K, V, O> {
    const { bytes, at, byteLength } = buffered
    if (this.#checkCrc) {
      const problem = validateBatch(bytes, at, at + byteLength, 'log')
      if (problem !== null) throw corrupt(partition, describeBatchProblem(problem))
    }
    return new BatchView(this, partition, buffered)
  }
}

export function corrupt(
  partition: { readonly topic: string; readonly partition: number; readonly position: number },
  why: string,
  cause?: unknown,
): KafkaError {
  const { topic, partition: index, position } = partition
  return new KafkaError({
    code: 'CORRUPT_BATCH',
    message:
      `The batch of ${topic}-${index} at offset ${position} cannot be read: ${why}. It was fetched twice, so it is ` +
      'damaged at the broker: restore it from a replica, or seek past it and lose its records.',
    api: 'Fetch',
    topic,
    partition: index,
    cause,
  })
}

export class BatchView<K, V, O extends OffsetKind> implements ConsumedBatch<K, V, O> {
  readonly topic: string
  readonly partition: number
  readonly firstOffset: OffsetOf<O>
  readonly lastOffset: OffsetOf<O>
  readonly byteLength: number
  readonly leaderEpoch: number
  readonly highWatermark: OffsetOf<O>
  /** `firstOffset` as a number. */
  readonly start: number
  readonly source: ConsumerPartition
  readonly #nextOffset: number
  readonly #presenter: Presenter<K, V, O>
  readonly #bytes: Uint8Array
  readonly #at: number
  readonly #position: number
  #reader: RecordReader | null = null

  constructor(presenter: Presenter<K, V, O>, partition: ConsumerPartition, buffered: BufferedBatch) {
    const { topic, partition: index, position, highWatermark } = partition
    this.topic = topic
    this.partition = index
    this.#presenter = presenter
    this.#bytes = buffered.bytes
    this.#at = buffered.at
    this.#position = position
    this.byteLength = buffered.byteLength
    this.leaderEpoch = buffered.leaderEpoch
    this.#reader = this.#open()
    this.source = partition
    this.start = Math.max(this.#reader.header.baseOffset, position)
    this.#nextOffset = buffered.nextOffset
    this.firstOffset = presenter.offset(this.start)
    this.lastOffset = presenter.offset(buffered.lastOffset)
    this.highWatermark = presenter.offset(Math.max(highWatermark, buffered.nextOffset))
  }

  get count(): number {
    return this.#header.recordCount
  }

  get compression(): string {
    return CODEC_NAMES[this.#header.codecId] ?? 'unknown'
  }

  get #header(): RecordReader['header'] {
    return (this.#reader ??= this.#open()).header
  }

  /** Decompresses, where that is needed. Throws KafkaError CORRUPT_BATCH or CODEC_MISSING. */
  #open(): RecordReader {
    try {
      return new RecordReader(this.#bytes, this.#at)
    } catch (error) {
      throw this.#unreadable(error)
    }
  }

  #unreadable(error: unknown): unknown {
    if (error instanceof CodecUnavailableError) {
      return new KafkaError({
        code: 'CODEC_MISSING',
        message: `A batch of ${this.topic}-${this.partition} is compressed with a codec that is missing here. ${error.message}`,
        topic: this.topic,
        partition: this.partition,
        cause: error,
      })
    }
    if (!(error instanceof ProtocolError)) return error
    return corrupt(
      { topic: this.topic, partition: this.partition, position: this.#position },
      error.message,
      error,
    )
  }

  /** Reads the records one at a time, each time anew from the first that is shown. */
  cursor(): MessageCursor<K, V, O> {
    const reader = this.#reader ?? this.#open()
    this.#reader = null
    return new MessageCursor(this, this.#presenter, reader, this.#position, error => this.#unreadable(error))
  }

  ack(): void {
    this.source.ack(this.start)
  }

  async commit(): Promise<void> {
    this.ack()
    await this.#presenter.commit(this.source, this.#nextOffset)
  }

  messages(): ConsumedMessage<K, V, O>[] {
    const cursor = this.cursor()
    const messages: ConsumedMessage<K, V, O>[] = []
    for (let message = cursor.next(); message !== null; message = cursor.next()) messages.push(message)
    return messages
  }

  *[Symbol.iterator](): Generator<ConsumedMessage<K, V, O>, undefined, undefined> {
    const cursor = this.cursor()
    for (let message = cursor.next(); message !== null; message = cursor.next()) yield message
  }
}

export class MessageCursor<K, V, O extends OffsetKind> {
  readonly #batch: BatchView<K, V, O>
  readonly #presenter: Presenter<K, V, O>
  readonly #reader: RecordReader
  readonly #position: number
  readonly #explain: (error: unknown) => unknown
  /** Offset of the record that was returned last, plus one. */
  nextOffset = 0

  constructor(
    batch: BatchView<K, V, O>,
    presenter: Presenter<K, V, O>,
    reader: RecordReader,
    position: number,
    explain: (error: unknown) => unknown,
  ) {
    this.#batch = batch
    this.#presenter = presenter
    this.#reader = reader
    this.#position = position
    this.#explain = explain
  }

  /** The next message, or null after the last. Throws KafkaError CORRUPT_BATCH. */
  next(): MessageView<K, V, O> | null {
    for (;;) {
      let record: LogRecord | null
      try {
        record = this.#reader.next()
      } catch (error) {
        throw this.#explain(error)
      }
      if (record === null) return null
      // A batch is fetched whole: its begin may lie before the position.
      if (record.offset < this.#position) continue
      this.nextOffset = record.offset + 1
      const { source, leaderEpoch } = this.#batch
      const presenter = this.#presenter
      return new MessageView(source, presenter.offset(record.offset), leaderEpoch, record, presenter.serdes)
    }
  }
}

class MessageView<K, V, O extends OffsetKind> implements ConsumedMessage<K, V, O> {
  readonly topic: string
  readonly partition: number
  readonly offset: OffsetOf<O>
  readonly leaderEpoch: number
  readonly timestamp: number
  readonly keyBytes: Buffer | null
  readonly valueBytes: Buffer | null
  readonly headers: readonly MessageHeader[]
  readonly #serdes: Serdes<K, V>
  readonly #source: ConsumerPartition
  /** Undefined until it was deserialized. */
  #key: K | null | undefined
  #value: V | null | undefined

  constructor(
    source: ConsumerPartition,
    offset: OffsetOf<O>,
    leaderEpoch: number,
    record: LogRecord,
    serdes: Serdes<K, V>,
  ) {
    this.#source = source
    this.topic = source.topic
    this.partition = source.partition
    this.offset = offset
    this.leaderEpoch = leaderEpoch
    this.timestamp = record.timestamp
    this.keyBytes = record.key
    this.valueBytes = record.value
    this.headers = record.headers
    this.#serdes = serdes
  }

  get key(): K | null {
    if (this.#key === undefined) this.#key = this.#deserialize('key', this.keyBytes, this.#serdes.key)
    return this.#key
  }

  get value(): V | null {
    if (this.#value === undefined)
      this.#value = this.#deserialize('value', this.valueBytes, this.#serdes.value)
    return this.#value
  }

  ack(): void {
    this.#source.ack(Number(this.offset))
  }

  header(name: string): Buffer | null | undefined {
    return this.headers.find(({ key }) => key === name)?.value
  }

  #deserialize<T>(part: 'key' | 'value', bytes: Buffer | null, serde: Serde<T> | undefined): T | null {
    if (bytes === null) return null
    if (serde === undefined) return bytes as T
    try {
      return serde.deserialize(bytes, { topic: this.topic, part })
    } catch (error) {
      throw new KafkaError({
        code: 'SERDE_FAILED',
        message:
          `The ${part} of the message at ${this.topic}-${this.partition} offset ${this.offset} could not be ` +
          `deserialized: ${String(error)}. Its bytes are in ${part}Bytes.`,
        topic: this.topic,
        partition: this.partition,
        cause: error,
      })
    }
  }
}
