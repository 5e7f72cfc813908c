/**
 * The door of the client: holds the options, and makes producers, consumers and admins that share them.
 */
import { Admin } from './admin.ts'
import { Cluster } from './cluster.ts'
import { type KafkaOptions, resolveConfig } from './config.ts'
import { Consumer } from './consumer/consumer.ts'
import { type ConsumerOptions, type OffsetKind } from './consumer/types.ts'
import { nodeEnv } from './env-node.ts'
import { KafkaError } from './errors.ts'
import { Producer } from './producer/producer.ts'
import { type ProducerOptions } from './producer/types.ts'
import { type Bytes } from './serde.ts'

export class Kafka implements AsyncDisposable {
  readonly #cluster: Cluster
  /** What was made here and is not closed. */
  readonly #open = new Set<{ close(): Promise<void> }>()
  #made = 0

  /** Throws KafkaError INVALID_OPTION or UNSUPPORTED. Connects to nothing yet. */
  constructor(options: KafkaOptions) {
    this.#cluster = new Cluster(resolveConfig(options), options.env ?? nodeEnv)
  }

  /** Throws KafkaError INVALID_OPTION or CODEC_MISSING. */
  producer<K = Bytes, V = Bytes>(options: ProducerOptions<K, V> = {}): Producer<K, V> {
    this.#checkOpen()
    const producer: Producer<K, V> = new Producer(this.#cluster, `producer-${++this.#made}`, options, () =>
      this.#open.delete(producer),
    )
    this.#open.add(producer)
    return producer
  }

  /** Throws KafkaError INVALID_OPTION or UNSUPPORTED. */
  consumer<K = Buffer, V = Buffer, O extends OffsetKind = 'number'>(
    options: ConsumerOptions<K, V, O> = {},
  ): Consumer<K, V, O> {
    this.#checkOpen()
    const consumer: Consumer<K, V, O> = new Consumer(this.#cluster, `consumer-${++this.#made}`, options, () =>
      this.#open.delete(consumer),
    )
    this.#open.add(consumer)
    return consumer
  }

  admin(): Admin {
    this.#checkOpen()
    return new Admin(this.#cluster)
  }

  /**
   * Closes every producer (which flushes it) and consumer made here, and all connections. Rejects with the first
   * failure of a flush, after all is closed.
   */
  async close(): Promise<void> {
    const results = await Promise.allSettled([...this.#open].map(each => each.close()))
    this.#cluster.close()
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #checkOpen(): void {
    if (this.#cluster.isClosed)
      throw new KafkaError({ code: 'CLOSED', message: 'This Kafka was closed; make a new one.' })
  }
}
