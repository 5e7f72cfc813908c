/**
 * What the log knows of its idempotent and transactional producers, by the rules of Kafka (KIP-98, KIP-360): epochs
 * fence, sequences follow one another, the last five batches are remembered so that a retry is recognised and answered
 * as the original was.
 *
 * Entries are never changed, only replaced: a snapshot is a copy of the references, and an append that failed is undone
 * by putting the old entry back. Time comes from outside; nothing here expires by itself.
 */
import { assert } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { type Offset, type ProducerEpoch, type ProducerId } from '../../client/protocol/types.ts'
import { TransactionState } from './transaction-state.ts'

/** Batches remembered of each producer: as many as it may have in flight. */
export const BATCHES_KEPT = 5
const LAST_SEQUENCE = 2 ** 31 - 1
const NO_SEQUENCE = -1
const NO_EPOCH = -1 as ProducerEpoch

export interface ProducerBatch {
  readonly lastSequence: number
  readonly lastOffset: Offset
  /** Offsets of the batch less one. */
  readonly offsetDelta: number
  /** What its producer was answered as the time of the append. */
  readonly timestamp: number
}

export interface ProducerEntry {
  readonly producerId: ProducerId
  readonly producerEpoch: ProducerEpoch
  /** Of the coordinator that wrote the last marker; -1 before the first. */
  readonly coordinatorEpoch: number
  /**
   * The broker's clock at the last append, from which expiry counts. Not the records' own time, as in Kafka: a producer
   * that writes last year's events is not an idle one, and forgetting it would let its retries through twice.
   */
  readonly lastTimestamp: number
  /** First offset of the open transaction, -1 outside one. */
  readonly transactionFirstOffset: Offset | -1
  /** Of this epoch, oldest first, at most `BATCHES_KEPT`. */
  readonly batches: readonly ProducerBatch[]
}

/** One row of a snapshot: a producer and one of its batches. Kafka reads the last row of each producer. */
export interface ProducerRow {
  readonly producerId: ProducerId
  readonly producerEpoch: ProducerEpoch
  readonly lastSequence: number
  readonly lastOffset: Offset | -1
  readonly offsetDelta: number
  readonly timestamp: number
  readonly coordinatorEpoch: number
  readonly currentTransactionFirstOffset: Offset | -1
}

/** The producer's part of a batch that is to be appended. */
export interface ProducedBatch {
  readonly producerId: ProducerId
  readonly producerEpoch: ProducerEpoch
  readonly baseSequence: number
  readonly lastOffsetDelta: number
  readonly isTransactional: boolean
}

export type SequenceCheck =
  | { readonly kind: 'append' }
  | { readonly kind: 'duplicate'; readonly batch: ProducerBatch }
  | { readonly kind: 'refused'; readonly error: ErrorCode; readonly message: string }

const APPEND: SequenceCheck = { kind: 'append' }

/** The sequence `delta` after `sequence`; the next after 2^31-1 is 0. */
export function advanceSequence(sequence: number, delta: number): number {
  const next = sequence + delta
  return next > LAST_SEQUENCE ? next - LAST_SEQUENCE - 1 : next
}

export class ProducerState {
  readonly #producers = new Map<ProducerId, ProducerEntry>()
  readonly transactions = new TransactionState()
  #endOffset: Offset

  constructor(endOffset: Offset) {
    this.#endOffset = endOffset
  }

  /** The state is that of the log just before this offset. */
  get endOffset(): Offset {
    return this.#endOffset
  }

  get size(): number {
    return this.#producers.size
  }

  entry(producerId: ProducerId): ProducerEntry | undefined {
    return this.#producers.get(producerId)
  }

  entries(): Iterable<ProducerEntry> {
    return this.#producers.values()
  }

  /** Whether a client's batch may be appended now, was appended before, or is refused. Changes nothing. */
  check(batch: ProducedBatch): SequenceCheck {
    const entry = this.#producers.get(batch.producerId)
    // A producer of whom nothing is known (any more) may begin anywhere: its records may have been deleted (KIP-360).
    if (entry === undefined || entry.producerEpoch === NO_EPOCH) return APPEND
    const duplicate = findDuplicate(entry, batch)
    if (duplicate !== null) return { kind: 'duplicate', batch: duplicate }
    if (batch.producerEpoch < entry.producerEpoch) {
      return refuse(
        ErrorCode.INVALID_PRODUCER_EPOCH,
        `epoch ${batch.producerEpoch} of producer ${batch.producerId} is over, the current one is ${entry.producerEpoch}`,
      )
    }
    return checkSequence(entry, batch) ?? checkTransaction(entry, batch) ?? APPEND
  }

  /**
   * The batch now stands in the log, with its last record at `lastOffset`, appended at `wallMs`. Returns what `restore`
   * wants should the append fail. Not checked: replication and recovery tell what is so.
   */
  append(batch: ProducedBatch, lastOffset: Offset, wallMs: number): ProducerEntry | undefined {
    const previous = this.#producers.get(batch.producerId)
    const sameEpoch = previous !== undefined && previous.producerEpoch === batch.producerEpoch
    const added: ProducerBatch = {
      lastSequence: advanceSequence(batch.baseSequence, batch.lastOffsetDelta),
      lastOffset,
      offsetDelta: batch.lastOffsetDelta,
      timestamp: wallMs,
    }
    const baseOffset = (lastOffset - batch.lastOffsetDelta) as Offset
    let transactionFirstOffset = previous?.transactionFirstOffset ?? -1
    if (batch.isTransactional && transactionFirstOffset === -1) {
      transactionFirstOffset = baseOffset
      this.transactions.begin(batch.producerId, baseOffset)
    }
    this.#producers.set(batch.producerId, {
      producerId: batch.producerId,
      producerEpoch: batch.producerEpoch,
      coordinatorEpoch: previous?.coordinatorEpoch ?? -1,
      lastTimestamp: wallMs,
      transactionFirstOffset,
      batches: sameEpoch ? keepLast(previous.batches, added) : [added],
    })
    this.advanceTo((lastOffset + 1) as Offset)
    return previous
  }

  /**
   * A marker at `offset` ends the producer's transaction, if one is open. `coordinatorEpoch` null: not known, as on
   * recovery, which reads headers alone. Returns what `restore` wants.
   */
  endTransaction(
    producerId: ProducerId,
    producerEpoch: ProducerEpoch,
    coordinatorEpoch: number | null,
    offset: Offset,
    wallMs: number,
  ): ProducerEntry | undefined {
    const previous = this.#producers.get(producerId)
    if (previous !== undefined && previous.transactionFirstOffset !== -1) {
      this.transactions.complete(previous.transactionFirstOffset, offset)
    }
    this.#producers.set(producerId, {
      producerId,
      producerEpoch,
      coordinatorEpoch: coordinatorEpoch ?? previous?.coordinatorEpoch ?? -1,
      lastTimestamp: wallMs,
      transactionFirstOffset: -1,
      batches: previous?.producerEpoch === producerEpoch ? previous.batches : [],
    })
    this.advanceTo((offset + 1) as Offset)
    return previous
  }

  /** Batches without a producer have moved the log's end. */
  advanceTo(endOffset: Offset): void {
    assert(endOffset >= this.#endOffset, 'producer state follows the log forward')
    this.#endOffset = endOffset
  }

  /**
   * Undoes the append of `batch`; they are undone latest first, and `rewindTo` follows the last. A producer whose very
   * first batch is undone stays known, without batches: were it unknown again, its second batch (on its way already)
   * could begin anywhere and would overtake the first.
   */
  restore(batch: ProducedBatch, previous: ProducerEntry | undefined): void {
    const { producerId, producerEpoch, baseSequence } = batch
    const undone = this.#producers.get(producerId)
    if (previous !== undefined) this.#producers.set(producerId, previous)
    else if (baseSequence !== 0 || undone === undefined) this.#producers.delete(producerId)
    else
      this.#producers.set(producerId, { ...undone, producerEpoch, transactionFirstOffset: -1, batches: [] })
  }

  /** The log ends at `endOffset` again; entries have been restored. */
  rewindTo(endOffset: Offset): void {
    assert(endOffset <= this.#endOffset, 'producer state is rewound, not advanced')
    this.transactions.truncateTo(endOffset)
    this.#endOffset = endOffset
  }

  /** Forgets producers that have no open transaction and were silent for `expirationMs`. Returns how many. */
  expire(wallMs: number, expirationMs: number): number {
    let expired = 0
    for (const [producerId, entry] of this.#producers) {
      if (entry.transactionFirstOffset !== -1 || wallMs - entry.lastTimestamp < expirationMs) continue
      this.#producers.delete(producerId)
      expired += 1
    }
    return expired
  }

  /**
   * All that is known, as rows of a snapshot. Each remembered batch is a row, oldest first: Kafka's reader keeps the
   * last row of a producer, ours all of them, so a restart does not forget batches that may still be retried.
   */
  snapshot(): ProducerRow[] {
    const rows: ProducerRow[] = []
    for (const entry of this.#producers.values()) {
      if (entry.batches.length === 0) rows.push(rowOf(entry, undefined))
      for (const batch of entry.batches) rows.push(rowOf(entry, batch))
    }
    return rows
  }

  /** Replaces everything by the rows of a snapshot at `endOffset`; expired producers are left out. */
  load(rows: readonly ProducerRow[], endOffset: Offset, wallMs: number, expirationMs: number): void {
    this.reset(endOffset)
    for (const row of rows) {
      const known = this.#producers.get(row.producerId)
      const batches =
        known !== undefined && known.producerEpoch === row.producerEpoch
          ? known.batches
          : ([] as ProducerBatch[])
      this.#producers.set(row.producerId, {
        producerId: row.producerId,
        producerEpoch: row.producerEpoch,
        coordinatorEpoch: row.coordinatorEpoch,
        lastTimestamp: row.timestamp,
        transactionFirstOffset: row.currentTransactionFirstOffset,
        batches: row.lastOffset < 0 ? batches : keepLast(batches, batchOf(row)),
      })
    }
    this.expire(wallMs, expirationMs)
    const open = [...this.#producers.values()].filter(entry => entry.transactionFirstOffset !== -1)
    open.sort((a, b) => a.transactionFirstOffset - b.transactionFirstOffset)
    for (const entry of open)
      this.transactions.begin(entry.producerId, entry.transactionFirstOffset as Offset)
  }

  /** Forgets everything. */
  reset(endOffset: Offset): void {
    this.#producers.clear()
    this.transactions.clear()
    this.#endOffset = endOffset
  }
}

function findDuplicate(entry: ProducerEntry, batch: ProducedBatch): ProducerBatch | null {
  if (entry.producerEpoch !== batch.producerEpoch) return null
  const lastSequence = advanceSequence(batch.baseSequence, batch.lastOffsetDelta)
  for (const known of entry.batches) {
    if (known.lastSequence === lastSequence && known.offsetDelta === batch.lastOffsetDelta) return known
  }
  return null
}

function checkSequence(entry: ProducerEntry, batch: ProducedBatch): SequenceCheck | null {
  if (batch.producerEpoch !== entry.producerEpoch) {
    if (batch.baseSequence === 0) return null
    return refuse(
      ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
      `producer ${batch.producerId} begins epoch ${batch.producerEpoch} with sequence ${batch.baseSequence}, not 0`,
    )
  }
  const lastSequence = entry.batches.at(-1)?.lastSequence ?? NO_SEQUENCE
  if (batch.baseSequence === advanceSequence(lastSequence, 1)) return null
  return refuse(
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    `producer ${batch.producerId} sent sequence ${batch.baseSequence} after ${lastSequence}`,
  )
}

function checkTransaction(entry: ProducerEntry, batch: ProducedBatch): SequenceCheck | null {
  if (entry.transactionFirstOffset === -1 || batch.isTransactional) return null
  return refuse(
    ErrorCode.INVALID_TXN_STATE,
    `producer ${batch.producerId} has a transaction open, a batch outside of it cannot be appended`,
  )
}

function refuse(error: ErrorCode, message: string): SequenceCheck {
  return { kind: 'refused', error, message }
}

function keepLast(batches: readonly ProducerBatch[], added: ProducerBatch): ProducerBatch[] {
  const kept =
    batches.length < BATCHES_KEPT ? batches.slice() : batches.slice(batches.length - BATCHES_KEPT + 1)
  kept.push(added)
  return kept
}

function rowOf(entry: ProducerEntry, batch: ProducerBatch | undefined): ProducerRow {
  return {
    producerId: entry.producerId,
    producerEpoch: entry.producerEpoch,
    lastSequence: batch?.lastSequence ?? NO_SEQUENCE,
    lastOffset: batch?.lastOffset ?? -1,
    offsetDelta: batch?.offsetDelta ?? 0,
    timestamp: batch === undefined || batch === entry.batches.at(-1) ? entry.lastTimestamp : batch.timestamp,
    coordinatorEpoch: entry.coordinatorEpoch,
    currentTransactionFirstOffset: entry.transactionFirstOffset,
  }
}

function batchOf(row: ProducerRow): ProducerBatch {
  return {
    lastSequence: row.lastSequence,
    lastOffset: row.lastOffset as Offset,
    offsetDelta: row.offsetDelta,
    timestamp: row.timestamp,
  }
}
