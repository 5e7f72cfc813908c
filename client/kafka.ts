/**
 * The door of the client: holds the options, and makes producers, consumers and admins that share them.
 */
import { Admin } from './admin.ts'
import { type ClientConfig, type KafkaOptions, resolveConfig } from './config.ts'
import { Consumer } from './consumer/consumer.ts'
import { type ConsumerOptions, type OffsetKind } from './consumer/types.ts'
import { Producer } from './producer/producer.ts'
import { type ProducerOptions } from './producer/types.ts'
import { type Bytes } from './serde.ts'

export class Kafka implements AsyncDisposable {
  readonly config: ClientConfig

  /** Throws KafkaError INVALID_OPTION. Connects to nothing yet. */
  constructor(options: KafkaOptions) {
    this.config = resolveConfig(options)
  }

  producer<K = Bytes, V = Bytes>(_options: ProducerOptions<K, V> = {}): Producer<K, V> {
    return new Producer<K, V>()
  }

  consumer<K = Buffer, V = Buffer, O extends OffsetKind = 'number'>(
    _options: ConsumerOptions<K, V, O> = {},
  ): Consumer<K, V, O> {
    return new Consumer<K, V, O>()
  }

  admin(): Admin {
    return new Admin()
  }

  /** Closes every producer, consumer and admin made here, and their connections. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
