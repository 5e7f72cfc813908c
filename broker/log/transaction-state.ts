/**
 * Which transactions keep the last stable offset back: those that are open, and those whose marker is written but not
 * yet below the high watermark. Both are kept in the order of their first offsets, so the oldest is at hand.
 */
import { type Offset, type ProducerId } from '../../client/protocol/types.ts'

interface Transaction {
  readonly producerId: ProducerId
  readonly firstOffset: Offset
  /** Of the marker; null while it is open. */
  lastOffset: Offset | null
}

export class TransactionState {
  /** Ascending by first offset. Transactions end in any order, so an ended one may lie between open ones. */
  #transactions: Transaction[] = []

  begin(producerId: ProducerId, firstOffset: Offset): void {
    this.#transactions.push({ producerId, firstOffset, lastOffset: null })
  }

  complete(firstOffset: Offset, lastOffset: Offset): void {
    const transaction = this.#transactions.find(candidate => candidate.firstOffset === firstOffset)
    if (transaction !== undefined) transaction.lastOffset = lastOffset
  }

  /** The first offset that is not stable, or null when all are. */
  get firstUnstableOffset(): Offset | null {
    return this.#transactions[0]?.firstOffset ?? null
  }

  /** First offset of the oldest open transaction but that of `except`, or null: what is stable once that one ends. */
  firstOpenOffset(except: ProducerId): Offset | null {
    for (const transaction of this.#transactions) {
      if (transaction.lastOffset === null && transaction.producerId !== except) return transaction.firstOffset
    }
    return null
  }

  /** Ended transactions whose marker is below the high watermark no longer count. */
  highWatermarkMoved(highWatermark: Offset): void {
    if (this.#transactions.length === 0) return
    this.#transactions = this.#transactions.filter(
      transaction => transaction.lastOffset === null || transaction.lastOffset >= highWatermark,
    )
  }

  /** Transactions that began at `endOffset` or later are gone, those that ended there are open again. */
  truncateTo(endOffset: Offset): void {
    if (this.#transactions.length === 0) return
    this.#transactions = this.#transactions.filter(transaction => transaction.firstOffset < endOffset)
    for (const transaction of this.#transactions) {
      if (transaction.lastOffset !== null && transaction.lastOffset >= endOffset)
        transaction.lastOffset = null
    }
  }

  clear(): void {
    this.#transactions = []
  }
}
