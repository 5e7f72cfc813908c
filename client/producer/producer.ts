/**
 * The producer that an application holds. (Signatures first; bodies follow.)
 */
import { type Bytes } from '../serde.ts'
import {
  type FlushOptions,
  type Message,
  type ProducerMetrics,
  type SendOptions,
  type SentRange,
} from './types.ts'

export class Producer<K = Bytes, V = Bytes> implements AsyncDisposable {
  /** Optional: connects and checks that the cluster can be reached; everything else connects when first needed. */
  async connect(_options?: { readonly signal?: AbortSignal }): Promise<void> {
    throw new Error('not yet')
  }

  /** Resolves when every message is acknowledged, with the places where runs of them were stored, in partition order. */
  async send(_options: SendOptions<K, V>): Promise<SentRange[]> {
    throw new Error('not yet')
  }

  /**
   * Adds a record to the current batch. Undefined means taken; a promise means taken too, but the buffer is full:
   * awaiting it is back-pressure. A failed delivery is reported to `onDelivery` and by the next `flush`.
   */
  enqueue(_topic: string, _message: Message<K, V>): Promise<void> | undefined {
    throw new Error('not yet')
  }

  /** Sends what is buffered and waits for it. Rejects with the first delivery that failed since the last `flush`. */
  async flush(_options?: FlushOptions): Promise<void> {
    throw new Error('not yet')
  }

  /** A Web stream into `topic` with back-pressure; closing it flushes. */
  writable(_topic: string): WritableStream<Message<K, V>> {
    throw new Error('not yet')
  }

  metrics(): ProducerMetrics {
    throw new Error('not yet')
  }

  /** Flushes, then closes. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
