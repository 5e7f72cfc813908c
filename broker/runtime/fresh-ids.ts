/**
 * Ids that nobody has drawn before, in the forms in which Kafka writes them.
 */
import { type TopicId } from '../../client/protocol/types.ts'
import { type Random } from '../env.ts'

/** A random UUID (version 4). */
function uuidBytes(random: Random): Buffer {
  const bytes = Buffer.from(random.bytes(16))
  bytes[6] = (bytes[6]! & 0x0f) | 0x40
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes
}

/** Never one that begins with '-' in base64: Kafka's tools would take that for an option. */
export function freshTopicId(random: Random): TopicId {
  for (;;) {
    const bytes = uuidBytes(random)
    if (bytes[0]! >> 2 !== 62) return bytes.toString('hex') as TopicId
  }
}

/** As Java prints it: `6ba7b810-9dad-41d1-80b4-00c04fd430c8`. */
export function freshUuid(random: Random): string {
  return uuidBytes(random)
    .toString('hex')
    .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/** As Kafka prints it: 22 characters of base64. */
export function freshShortUuid(random: Random): string {
  return uuidBytes(random).toString('base64url')
}

/** As Kafka makes ids of clusters and folders: any 16 bytes in base64. None begins with a dash, as above. */
export function freshId(random: Random): string {
  for (;;) {
    const id = Buffer.from(random.bytes(16)).toString('base64url')
    if (!id.startsWith('-')) return id
  }
}
