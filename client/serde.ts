/**
 * Turning an application's keys and values into bytes and back. Pure; a serde must not keep the bytes it is given.
 */

/** What may be handed to a producer without a serde. Strings are UTF-8. */
export type Bytes = string | Uint8Array

export interface SerdeContext {
  readonly topic: string
  readonly part: 'key' | 'value'
}

export interface Serde<T> {
  /** Null is a tombstone (value) or no key. */
  serialize(data: T, context: SerdeContext): Bytes | null
  /** Called for bytes that are there; a null key or value stays null without asking. */
  deserialize(bytes: Buffer, context: SerdeContext): T
}

/** UTF-8 text. */
export const stringSerde: Serde<string> = {
  serialize: data => data,
  deserialize: bytes => bytes.toString('utf8'),
}

/** JSON text in UTF-8. The type is the caller's promise: nothing is validated. */
export function jsonSerde<T>(): Serde<T> {
  return {
    serialize: data => JSON.stringify(data),
    deserialize: bytes => JSON.parse(bytes.toString('utf8')) as T,
  }
}
