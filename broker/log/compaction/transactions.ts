/**
 * Transactions as compaction passes through them, in the order of the log: the records of an aborted one are to go, a
 * marker stays until nothing is left of its transaction that a reader could take for another's. As Kafka's
 * CleanedTransactionMetadata.
 */
import { type BatchHeader } from '../../../client/protocol/batch.ts'
import { type Offset, type ProducerId } from '../../../client/protocol/types.ts'

/** An entry of a transaction index. */
export interface Aborted {
  readonly producerId: ProducerId
  readonly firstOffset: Offset
  /** Of the marker. */
  readonly lastOffset: Offset
}

export type MarkerType = 'commit' | 'abort'

export class PassedTransactions<Entry extends Aborted> {
  /** By first offset, those that have not begun where we are. */
  readonly #ahead: Entry[]
  /** Begun, marker not passed; whether a batch of it was met. */
  readonly #aborted = new Map<ProducerId, { readonly entry: Entry; wasMet: boolean }>()
  /** Producers of which a batch was met whose transaction is not an aborted one. */
  readonly #others = new Set<ProducerId>()
  /** Aborted transactions of which something is left, in the order of their markers. */
  readonly #kept: Entry[] = []

  /** `aborted`: of all transactions that have an offset in what is passed. */
  constructor(aborted: readonly Entry[]) {
    this.#ahead = aborted.toSorted((a, b) => b.firstOffset - a.firstOffset)
  }

  /** A batch that is no control batch. True where it belongs to an aborted transaction, so that its records can go. */
  passBatch(header: BatchHeader): boolean {
    this.#beginUpTo(header.lastOffset)
    if (!header.isTransactional) return false
    const aborted = this.#aborted.get(header.producerId)
    if (aborted === undefined) {
      this.#others.add(header.producerId)
      return false
    }
    aborted.wasMet = true
    return true
  }

  /** A marker, or a control batch that lost its record (null). True where nothing was met of what it ends. */
  passMarker(header: BatchHeader, type: MarkerType | null): boolean {
    this.#beginUpTo(header.lastOffset)
    if (type === null) return true
    if (type === 'commit') return !this.#others.delete(header.producerId)
    const aborted = this.#aborted.get(header.producerId)
    this.#aborted.delete(header.producerId)
    if (aborted === undefined || !aborted.wasMet) return true
    this.#kept.push(aborted.entry)
    return false
  }

  /** Entries whose markers were passed since the last call and that readers still need. */
  takeKept(): Entry[] {
    return this.#kept.splice(0)
  }

  #beginUpTo(offset: Offset): void {
    for (let next = this.#ahead.at(-1); next !== undefined; next = this.#ahead.at(-1)) {
      if (next.firstOffset > offset) return
      this.#ahead.pop()
      if (!this.#aborted.has(next.producerId))
        this.#aborted.set(next.producerId, { entry: next, wasMet: false })
    }
  }
}
