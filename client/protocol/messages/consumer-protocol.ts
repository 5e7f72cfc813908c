/**
 * What consumers of a classic group tell each other through the coordinator: the subscription that a member sends with
 * JoinGroup, and the assignment that the leader sends with SyncGroup. Both are bytes to the protocol; the coordinator
 * looks into subscriptions only to know which topics a group reads. The bytes begin with an int16 version.
 *
 * Versions: 1 adds the partitions that a member owns (KIP-429, cooperative), 2 the generation that they are of
 * (KIP-792), 3 the member's rack (KIP-881). A newer version may only add fields at the end, so what one does not know is
 * read as version 3.
 */
import { compile } from '../compile.ts'
import { MalformedError } from '../errors.ts'
import { Reader } from '../reader.ts'
import {
  array,
  bytes,
  type Infer,
  type Input,
  int32,
  layoutOf,
  type Message,
  message,
  string,
} from '../schema.ts'
import { Writer } from '../writer.ts'

const MAX_VERSION = 3
const versions = { min: 0, max: MAX_VERSION }

export const ConsumerProtocolSubscription = message('ConsumerProtocolSubscription', versions, {
  topics: array(string()),
  userData: bytes({ nullable: true, default: null }),
  ownedPartitions: array({ topic: string(), partitions: array(int32()) }, { since: 1, ignorable: true }),
  generationId: int32({ since: 2, default: -1, ignorable: true }),
  rackId: string({ since: 3, nullable: true, default: null, ignorable: true }),
})
export type ConsumerProtocolSubscription = Infer<typeof ConsumerProtocolSubscription>

export const ConsumerProtocolAssignment = message('ConsumerProtocolAssignment', versions, {
  assignedPartitions: array({ topic: string(), partitions: array(int32()) }),
  userData: bytes({ nullable: true, default: null }),
})
export type ConsumerProtocolAssignment = Infer<typeof ConsumerProtocolAssignment>

/** Throws MalformedError. `userData` is a slice of `embedded`. */
export function decodeSubscription(
  embedded: Uint8Array,
): ConsumerProtocolSubscription & { readonly version: number } {
  return decode(ConsumerProtocolSubscription, embedded) as ConsumerProtocolSubscription & { version: number }
}

/** Throws MalformedError. `userData` is a slice of `embedded`. No bytes at all are an empty assignment. */
export function decodeAssignment(
  embedded: Uint8Array,
): ConsumerProtocolAssignment & { readonly version: number } {
  if (embedded.length === 0) return { assignedPartitions: [], userData: null, version: 0 }
  return decode(ConsumerProtocolAssignment, embedded) as ConsumerProtocolAssignment & { version: number }
}

/** The bytes are the caller's. A version above 3 is written as 3. */
export function encodeSubscription(
  subscription: Input<typeof ConsumerProtocolSubscription>,
  version = MAX_VERSION,
): Buffer {
  return encode(ConsumerProtocolSubscription, subscription, version)
}

/** The bytes are the caller's. A version above 3 is written as 3. */
export function encodeAssignment(
  assignment: Input<typeof ConsumerProtocolAssignment>,
  version = MAX_VERSION,
): Buffer {
  return encode(ConsumerProtocolAssignment, assignment, version)
}

/** The topics of a subscription of any version, or null where the bytes are no subscription. */
export function subscribedTopics(embedded: Uint8Array): string[] | null {
  try {
    const reader = new Reader(embedded)
    if (reader.int16() < 0) return null
    const topics: string[] = []
    for (let left = reader.arrayLength(2); left > 0; left--) topics.push(reader.string())
    return topics
  } catch (error) {
    if (error instanceof MalformedError) return null
    throw error
  }
}

function decode(schema: Message, embedded: Uint8Array): object {
  const reader = new Reader(embedded)
  const version = reader.int16()
  if (version < 0) throw new MalformedError(`${schema.name} of version ${version}`)
  const value = decoderOf(schema, Math.min(version, MAX_VERSION))(reader)
  return { ...(value as object), version }
}

const decoders = new Map<string, (reader: Reader) => unknown>()

/** Unlike a message's own codec, this one leaves bytes behind the end alone. */
function decoderOf(schema: Message, version: number): (reader: Reader) => unknown {
  const key = `${schema.name} ${version}`
  let decoder = decoders.get(key)
  if (decoder === undefined) {
    decoder = compile(layoutOf(schema, version)).decode
    decoders.set(key, decoder)
  }
  return decoder
}

function encode<Given>(schema: Message<unknown, Given>, value: Given, version: number): Buffer {
  const written = Math.min(version, MAX_VERSION)
  const writer = new Writer(64)
  writer.int16(written)
  schema.at(written).encode(writer, value)
  return writer.concat()
}
