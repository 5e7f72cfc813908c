/**
 * The consumer that an application holds. (Signatures first; bodies follow.)
 */
import { EventEmitter } from 'node:events'
import {
  type Assignment,
  type ConsumedBatch,
  type ConsumedMessage,
  type ConsumerEvents,
  type ConsumerMetrics,
  type IterateOptions,
  type OffsetKind,
  type OffsetSpec,
  type PartitionLag,
  type PartitionPosition,
  type RunOptions,
  type SubscribeOptions,
  type TopicPartition,
} from './types.ts'

export class Consumer<K = Buffer, V = Buffer, O extends OffsetKind = 'number'>
  extends EventEmitter<ConsumerEvents>
  implements AsyncDisposable
{
  /** Reads exactly these partitions from now on; those not named are dropped. */
  async assign(_partitions: readonly Assignment[]): Promise<void> {
    throw new Error('not yet')
  }

  /** Without a group: all partitions of the topics, also those that are added later. */
  async subscribe(_options: SubscribeOptions): Promise<void> {
    throw new Error('not yet')
  }

  seek(_partition: TopicPartition & { readonly offset: OffsetSpec }): void {
    throw new Error('not yet')
  }

  /** Without an argument: all partitions. What is buffered of a paused partition is kept for its resumption. */
  pause(_partitions?: readonly TopicPartition[]): void {}
  resume(_partitions?: readonly TopicPartition[]): void {}

  get assignment(): PartitionPosition<O>[] {
    throw new Error('not yet')
  }

  /** One message after another. Leaving the loop stops fetching. One iterator (or run) at a time. */
  messages(_options?: IterateOptions): AsyncIterableIterator<ConsumedMessage<K, V, O>> {
    throw new Error('not yet')
  }

  batches(_options?: IterateOptions): AsyncIterableIterator<ConsumedBatch<K, V, O>> {
    throw new Error('not yet')
  }

  /** Resolves when stopped by `signal` or `close`; rejects when a handler throws or the consumer crashes. */
  async run(_options: RunOptions<K, V, O>): Promise<void> {
    throw new Error('not yet')
  }

  /** Asks the brokers for the ends of all assigned partitions. */
  async lag(_options?: IterateOptions): Promise<PartitionLag<O>[]> {
    throw new Error('not yet')
  }

  metrics(): ConsumerMetrics {
    throw new Error('not yet')
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
