/**
 * One record batch on its way: from the first record that opens it to the moment its fate is decided. It knows its
 * own bytes, identity and outcome; when it is sent, and what an answer means, is the partition queue's business.
 */

import { type KafkaError } from '../errors.ts'
import { assert } from '../protocol/assert.ts'
import {
  BATCH_BASE_SEQUENCE_AT,
  BATCH_PRODUCER_EPOCH_AT,
  BATCH_PRODUCER_ID_AT,
  NO_SEQUENCE,
  stampChecksum,
} from '../protocol/batch.ts'
import { type CodecName } from '../protocol/compression.ts'
import { BatchBuilder } from '../protocol/record.ts'
import { NO_PRODUCER_EPOCH, NO_PRODUCER_ID, type ProducerEpoch, type ProducerId } from '../protocol/types.ts'

export type WireAcks = -1 | 0 | 1

export interface BatchOutcome {
  readonly error: KafkaError | null
  readonly baseOffset: number
  readonly logAppendTimeMs: number | null
}

/**
 * - `open`: takes records
 * - `ready`: full, or told to go; not sent yet
 * - `flying`: sent, no answer yet
 * - `waiting`: was sent, has to be sent again
 * - `done`: its fate is decided (it may still be flying, when it ran out of time)
 */
export type BatchState = 'open' | 'ready' | 'flying' | 'waiting' | 'done'

export class ProducerBatch {
  readonly topic: string
  readonly partition: number
  readonly acks: WireAcks
  /** On the monotonic clock. */
  readonly createdMs: number
  readonly deadlineMs: number
  state: BatchState = 'open'
  recordCount = 0
  /** Bytes of its records that count against the producer's bound. */
  heldBytes = 0
  /** Records that came by `enqueue`: nobody else waits for them, so `flush` reports their failure. */
  enqueuedCount = 0
  attempts = 0
  /** An attempt under its present numbers had no answer, or one that does not rule out that it was stored. */
  mayBeStored = false
  /** What stood in the way at the last attempt. */
  lastError: KafkaError | null = null
  producerId: ProducerId = NO_PRODUCER_ID
  producerEpoch: ProducerEpoch = NO_PRODUCER_EPOCH
  baseSequence: number = NO_SEQUENCE
  /** Its number among the batches of its partition, in the order in which they were first sent. */
  ordinal = 0
  outcome: BatchOutcome | null = null
  #builder: BatchBuilder | null
  #bytes: Buffer | null = null
  #waiters: ((outcome: BatchOutcome) => void)[] | null = null

  constructor(options: {
    readonly topic: string
    readonly partition: number
    readonly acks: WireAcks
    readonly createdMs: number
    readonly deadlineMs: number
    readonly initialBytes: number
    /** Memory to begin with; the batch's from now on. */
    readonly buffer: Buffer | null
  }) {
    this.topic = options.topic
    this.partition = options.partition
    this.acks = options.acks
    this.createdMs = options.createdMs
    this.deadlineMs = options.deadlineMs
    this.#builder = new BatchBuilder(options.initialBytes, options.buffer)
  }

  get builder(): BatchBuilder {
    assert(this.#builder !== null, 'a batch takes no records once it is encoded')
    return this.#builder
  }

  /** Size on the wire where it is encoded, else of what would be encoded without compression. */
  get byteLength(): number {
    return this.#bytes?.length ?? this.builder.byteLength
  }

  /** The bytes to send, made at the first call. They stay as they are until `restamp`, or until the batch is done. */
  encode(codec: CodecName): Buffer {
    this.#bytes ??= this.#seal(codec)
    return this.#bytes
  }

  #seal(codec: CodecName): Buffer {
    const { producerId, producerEpoch, baseSequence } = this
    const bytes = this.builder.seal({ codec, producerId, producerEpoch, baseSequence })
    this.#builder = null
    return bytes
  }

  /** The bytes of a batch that nobody can be sending any more, to be used again; null where that is not sure. */
  reusableBytes(): Buffer | null {
    return this.attempts === 1 && this.state !== 'flying' ? this.#bytes : null
  }

  /** Gives the batch another identity (KIP-360). Only while none of its bytes can be on their way to a socket. */
  restamp(producerId: ProducerId, producerEpoch: ProducerEpoch, baseSequence: number): void {
    assert(this.state !== 'flying', 'a batch under way keeps its identity')
    this.producerId = producerId
    this.producerEpoch = producerEpoch
    this.baseSequence = baseSequence
    if (this.#bytes === null) return
    // The bytes of an earlier attempt may still be held by a socket that is being torn down: change a copy.
    const bytes = Buffer.from(this.#bytes)
    bytes.writeBigInt64BE(producerId, BATCH_PRODUCER_ID_AT)
    bytes.writeInt16BE(producerEpoch, BATCH_PRODUCER_EPOCH_AT)
    bytes.writeInt32BE(baseSequence, BATCH_BASE_SEQUENCE_AT)
    stampChecksum(bytes, 0)
    this.#bytes = bytes
  }

  /** Resolves when the fate is decided; never rejects. */
  settled(): Promise<BatchOutcome> {
    const { outcome } = this
    if (outcome !== null) return Promise.resolve(outcome)
    return new Promise(resolve => {
      this.#waiters ??= []
      this.#waiters.push(resolve)
    })
  }

  settle(outcome: BatchOutcome): void {
    assert(this.outcome === null, 'the fate of a batch is decided once')
    this.outcome = outcome
    this.state = 'done'
    this.#bytes = null
    this.#builder = null
    const waiters = this.#waiters
    this.#waiters = null
    if (waiters !== null) for (const waiter of waiters) waiter(outcome)
  }
}
