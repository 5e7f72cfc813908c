/**
 * An application's message as the bytes of a record: serializers, headers, and how much room it takes.
 */
import { KafkaError } from '../errors.ts'
import { type RecordBytes, type RecordHeaderInput, recordSizeBound } from '../protocol/record.ts'
import { type Bytes, type Serde } from '../serde.ts'
import { type HeadersInput, type HeaderValue, type Message } from './types.ts'

export interface EncodedRecord {
  readonly key: RecordBytes
  readonly value: RecordBytes
  readonly headers: readonly RecordHeaderInput[]
  /** The most it takes in a batch. */
  readonly sizeBound: number
}

const NO_HEADERS: readonly RecordHeaderInput[] = []

export class MessageEncoder<K, V> {
  readonly #key: Serde<K> | undefined
  readonly #value: Serde<V> | undefined

  constructor(serde: { readonly key?: Serde<K>; readonly value?: Serde<V> } | undefined) {
    this.#key = serde?.key
    this.#value = serde?.value
  }

  /** Throws KafkaError SERDE_FAILED or INVALID_OPTION. */
  encode(topic: string, message: Message<K, V>): EncodedRecord {
    const key = this.#part(topic, 'key', message.key ?? null, this.#key)
    const value = this.#part(topic, 'value', message.value ?? null, this.#value)
    const headers = message.headers === undefined ? NO_HEADERS : headerList(message.headers)
    return { key, value, headers, sizeBound: recordSizeBound(key, value, headers) }
  }

  #part<T>(topic: string, part: 'key' | 'value', data: T | null, serde: Serde<T> | undefined): Bytes | null {
    if (data === null) return null
    if (serde === undefined) {
      if (typeof data === 'string' || data instanceof Uint8Array) return data
      throw new KafkaError({
        code: 'INVALID_OPTION',
        message:
          `The ${part} of a message for topic ${topic} is neither a string nor a Uint8Array but ${typeof data}. ` +
          `Convert it, or give the producer a serde for it: kafka.producer({ serde: { ${part}: jsonSerde() } }).`,
        topic,
      })
    }
    try {
      return serde.serialize(data, { topic, part })
    } catch (error) {
      throw new KafkaError({
        code: 'SERDE_FAILED',
        message: `The serializer of the ${part} threw for a message of topic ${topic}: ${String(error)}`,
        topic,
        cause: error,
      })
    }
  }
}

function headerList(headers: HeadersInput): readonly RecordHeaderInput[] {
  const list: RecordHeaderInput[] = []
  for (const [key, value] of Object.entries(headers)) {
    if (isList(value)) for (const each of value) list.push({ key, value: each })
    else list.push({ key, value })
  }
  return list
}

function isList(value: HeaderValue | readonly HeaderValue[]): value is readonly HeaderValue[] {
  return Array.isArray(value)
}
