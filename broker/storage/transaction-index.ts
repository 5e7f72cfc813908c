/**
 * The `.txnindex` of one segment: transactions that were aborted and end in it, in Kafka's format (version 0, 34
 * bytes an entry). Few entries in few segments: it is read as a whole when a read_committed fetch asks for it, and
 * only exists where there is something in it.
 */
import { type Offset, type ProducerId } from '../../client/protocol/types.ts'

export const TRANSACTION_INDEX_ENTRY_BYTES = 34
const VERSION = 0

export interface AbortedTransaction {
  readonly producerId: ProducerId
  readonly firstOffset: Offset
  /** Offset of the abort marker. */
  readonly lastOffset: Offset
  /**
   * The last stable offset when the marker was written: a search may stop at entries where it lies beyond the
   * range.
   */
  readonly lastStableOffset: Offset
}

export function encodeAbortedTransaction(transaction: AbortedTransaction): Buffer {
  const bytes = Buffer.allocUnsafe(TRANSACTION_INDEX_ENTRY_BYTES)
  bytes.writeInt16BE(VERSION, 0)
  bytes.writeBigInt64BE(transaction.producerId, 2)
  bytes.writeBigInt64BE(BigInt(transaction.firstOffset), 10)
  bytes.writeBigInt64BE(BigInt(transaction.lastOffset), 18)
  bytes.writeBigInt64BE(BigInt(transaction.lastStableOffset), 26)
  return bytes
}

/** The entries, or why the bytes are none. Last offsets ascend. */
export function parseTransactionIndex(bytes: Buffer): AbortedTransaction[] | string {
  if (bytes.length % TRANSACTION_INDEX_ENTRY_BYTES !== 0) return 'its length is no multiple of 34'
  const entries: AbortedTransaction[] = []
  for (let at = 0; at < bytes.length; at += TRANSACTION_INDEX_ENTRY_BYTES) {
    const entry = {
      producerId: bytes.readBigInt64BE(at + 2) as ProducerId,
      firstOffset: Number(bytes.readBigInt64BE(at + 10)) as Offset,
      lastOffset: Number(bytes.readBigInt64BE(at + 18)) as Offset,
      lastStableOffset: Number(bytes.readBigInt64BE(at + 26)) as Offset,
    }
    const before = entries.at(-1)
    const isSound =
      bytes.readInt16BE(at) === VERSION &&
      entry.firstOffset >= 0 &&
      entry.firstOffset <= entry.lastOffset &&
      Number.isSafeInteger(entry.lastOffset) &&
      Number.isSafeInteger(entry.lastStableOffset) &&
      (before === undefined || before.lastOffset < entry.lastOffset)
    if (!isSound) return `entry ${at / TRANSACTION_INDEX_ENTRY_BYTES} is malformed`
    entries.push(entry)
  }
  return entries
}
