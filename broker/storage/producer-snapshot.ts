/**
 * The `.snapshot` file of a partition: the state of its producers at one offset, in Kafka's format.
 *
 *   0         2        6         10
 *   | version | CRC-32C | entries | 46 bytes each: producer id 8, epoch 2, last sequence 4, last offset 8,
 *   | 1       | of what follows   |   offset delta 4, timestamp 8, coordinator epoch 4, first offset of transaction 8
 */
import { crc32c } from '../../client/protocol/crc32c.ts'
import { type Offset, type ProducerEpoch, type ProducerId } from '../../client/protocol/types.ts'

export interface ProducerSnapshotEntry {
  readonly producerId: ProducerId
  readonly producerEpoch: ProducerEpoch
  /** Of the last batch; -1 where there is none. */
  readonly lastSequence: number
  readonly lastOffset: Offset | -1
  /** Offsets in the last batch, less one. */
  readonly offsetDelta: number
  readonly timestamp: number
  readonly coordinatorEpoch: number
  /** First offset of the open transaction, -1 where there is none. */
  readonly currentTransactionFirstOffset: Offset | -1
}

export interface ProducerSnapshot {
  /** The state is that of the log just before this offset. */
  readonly offset: Offset
  readonly entries: readonly ProducerSnapshotEntry[]
}

const VERSION = 1
const CRC_AT = 2
const COUNT_AT = 6
const HEADER_BYTES = 10
const ENTRY_BYTES = 46

export function encodeProducerSnapshot(entries: readonly ProducerSnapshotEntry[]): Buffer {
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + ENTRY_BYTES * entries.length)
  bytes.writeInt16BE(VERSION, 0)
  bytes.writeInt32BE(entries.length, COUNT_AT)
  for (const [i, entry] of entries.entries()) {
    const at = HEADER_BYTES + ENTRY_BYTES * i
    bytes.writeBigInt64BE(entry.producerId, at)
    bytes.writeInt16BE(entry.producerEpoch, at + 8)
    bytes.writeInt32BE(entry.lastSequence, at + 10)
    bytes.writeBigInt64BE(BigInt(entry.lastOffset), at + 14)
    bytes.writeInt32BE(entry.offsetDelta, at + 22)
    bytes.writeBigInt64BE(BigInt(entry.timestamp), at + 26)
    bytes.writeInt32BE(entry.coordinatorEpoch, at + 34)
    bytes.writeBigInt64BE(BigInt(entry.currentTransactionFirstOffset), at + 38)
  }
  bytes.writeUInt32BE(crc32c(bytes.subarray(COUNT_AT)), CRC_AT)
  return bytes
}

/** The entries, or why the bytes are none. */
export function parseProducerSnapshot(bytes: Buffer): ProducerSnapshotEntry[] | string {
  if (bytes.length < HEADER_BYTES) return 'it is shorter than its header'
  if (bytes.readInt16BE(0) !== VERSION) return 'its version is not 1'
  if (bytes.readUInt32BE(CRC_AT) !== crc32c(bytes.subarray(COUNT_AT))) return 'its CRC does not match'
  const count = bytes.readInt32BE(COUNT_AT)
  if (bytes.length !== HEADER_BYTES + ENTRY_BYTES * count)
    return 'its length does not match its number of entries'
  return Array.from({ length: count }, (_, i) => {
    const at = HEADER_BYTES + ENTRY_BYTES * i
    return {
      producerId: bytes.readBigInt64BE(at) as ProducerId,
      producerEpoch: bytes.readInt16BE(at + 8) as ProducerEpoch,
      lastSequence: bytes.readInt32BE(at + 10),
      lastOffset: Number(bytes.readBigInt64BE(at + 14)) as Offset | -1,
      offsetDelta: bytes.readInt32BE(at + 22),
      timestamp: Number(bytes.readBigInt64BE(at + 26)),
      coordinatorEpoch: bytes.readInt32BE(at + 34),
      currentTransactionFirstOffset: Number(bytes.readBigInt64BE(at + 38)) as Offset | -1,
    }
  })
}
