/**
 * The `.snapshot` file of a partition: the state of its producers at one offset, in Kafka's format (version 1, CRC-32C).
 */
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
