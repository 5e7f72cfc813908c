/**
 * The client of the helpers: writes messages for a test. Loaded when it is first needed: most tests bring their own.
 */
import { type Kafka } from '../../client/index.ts'

/** What the helpers call themselves; interceptions leave them alone. */
export const HELPER_CLIENT_ID = 'sluice-testing'

export interface TestMessage {
  readonly key?: string | Uint8Array | null
  readonly value: string | Uint8Array | null
  readonly headers?: Readonly<Record<string, string | Uint8Array | null>>
  readonly partition?: number
  readonly timestamp?: number
}

export class TestClient {
  #kafka: Kafka | null = null

  /** As an idempotent producer with acks=all; a string is a message with just a value. */
  async produce(brokers: string, topic: string, messages: readonly (string | TestMessage)[]): Promise<void> {
    const { Kafka } = await import('../../client/index.ts')
    this.#kafka ??= new Kafka({ brokers, clientId: HELPER_CLIENT_ID })
    const producer = this.#kafka.producer()
    try {
      await producer.send({
        topic,
        messages: messages.map(message => (typeof message === 'string' ? { value: message } : message)),
      })
    } finally {
      await producer.close()
    }
  }

  async close(): Promise<void> {
    const kafka = this.#kafka
    this.#kafka = null
    await kafka?.close()
  }
}
