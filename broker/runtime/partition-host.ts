/**
 * One partition alive: feeds the pure replica and carries out its effects over the partition's files.
 */
import { type ErrorCode } from '../../client/protocol/errors.ts'
import { type LeaderEpoch, type Offset, type TopicId } from '../../client/protocol/types.ts'
import { type LogConfig } from '../log/config.ts'
import { type Retained } from '../slab.ts'
import {
  type Acks,
  type ActiveProducer,
  type DeleteRecordsOutcome,
  type EndOffsetOutcome,
  type FetchOutcome,
  type Isolation,
  type ListOffsetOutcome,
  type PartitionDescription,
  type ProduceOutcome,
  type ReadRequest,
} from './partition-types.ts'
import { type Waiter, type Wakeable } from './purgatory.ts'

export class PartitionHost implements Wakeable {
  declare readonly topicId: TopicId
  declare readonly topicName: string
  declare readonly partition: number

  /**
   * Appends one record batch. `reply` is called exactly once: for acks -1 when the batch is committed, for acks 1 when
   * it is written, for acks 0 at once with the outcome of the checks; possibly before this method returns. `records`
   * are stamped in place; `owner` is retained for as long as the bytes are needed.
   */
  produce(
    _records: Uint8Array,
    _owner: Retained | null,
    _acks: Acks,
    _timeoutMs: number,
    _reply: (outcome: ProduceOutcome) => void,
  ): void {
    throw new Error('not implemented')
  }

  /** Synchronous where the tail cache has the bytes. */
  read(_request: ReadRequest): FetchOutcome | Promise<FetchOutcome> {
    throw new Error('not implemented')
  }

  /**
   * Estimate of the bytes readable from `offset` on, without touching the disk; 0 when nothing is, at least 1 when
   * something is, Infinity when `offset` is out of range (a fetch must then answer at once with the error).
   */
  readableBytes(_offset: Offset, _isolation: Isolation): number {
    throw new Error('not implemented')
  }

  /** Calls `listener` whenever the high watermark, the LSO or the log start moves, or the partition goes away. */
  onReadable(_listener: () => void): () => void {
    throw new Error('not implemented')
  }

  addWaiter(_waiter: Waiter): void {
    throw new Error('not implemented')
  }

  removeWaiter(_waiter: Waiter): void {
    throw new Error('not implemented')
  }

  listOffset(
    _timestamp: number,
    _isolation: Isolation,
    _currentLeaderEpoch: number,
  ): Promise<ListOffsetOutcome> {
    throw new Error('not implemented')
  }

  /** `beforeOffset` -1: up to the high watermark. */
  deleteRecords(_beforeOffset: number): Promise<DeleteRecordsOutcome> {
    throw new Error('not implemented')
  }

  offsetForLeaderEpoch(_currentLeaderEpoch: number, _epoch: number): EndOffsetOutcome {
    throw new Error('not implemented')
  }

  describeProducers(): ActiveProducer[] {
    throw new Error('not implemented')
  }

  describe(): PartitionDescription {
    throw new Error('not implemented')
  }

  updateConfig(_config: LogConfig): void {
    throw new Error('not implemented')
  }

  /** NONE, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH or what else keeps this partition from serving; -1 asks for no check. */
  checkLeader(_currentLeaderEpoch: number): ErrorCode {
    throw new Error('not implemented')
  }

  get leaderEpoch(): LeaderEpoch {
    throw new Error('not implemented')
  }
}
