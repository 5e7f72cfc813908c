/**
 * The records of a group coordinator as typed values, and their bytes. Says nothing of what they mean.
 *
 *   key:   int16 kind of record, then the key        value: int16 version, then the value; null is a tombstone
 */
import { MalformedError } from '../../client/protocol/errors.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { type Message } from '../../client/protocol/schema.ts'
import { Writer } from '../../client/protocol/writer.ts'
import {
  ConsumerGroupCurrentMemberAssignmentValue,
  ConsumerGroupMemberMetadataValue,
  ConsumerGroupMetadataValue,
  ConsumerGroupPartitionMetadataValue,
  ConsumerGroupRegularExpressionValue,
  ConsumerGroupTargetAssignmentMemberValue,
  ConsumerGroupTargetAssignmentMetadataValue,
  GroupKey,
  GroupMetadataValue,
  MemberKey,
  OffsetCommitKey,
  OffsetCommitValue,
  RegularExpressionKey,
} from './record-schemas.ts'

interface RecordOf<Type extends string, Key, Value> {
  readonly type: Type
  readonly key: Key
  /** Null: what the key names is gone. */
  readonly value: Value | null
}

export type OffsetCommitRecord = RecordOf<'offset-commit', OffsetCommitKey, OffsetCommitValue>
export type GroupMetadataRecord = RecordOf<'group-metadata', GroupKey, GroupMetadataValue>
export type ConsumerGroupRecord =
  | RecordOf<'consumer-group', GroupKey, ConsumerGroupMetadataValue>
  | RecordOf<'consumer-group-topics', GroupKey, ConsumerGroupPartitionMetadataValue>
  | RecordOf<'consumer-group-member', MemberKey, ConsumerGroupMemberMetadataValue>
  | RecordOf<'consumer-group-target', GroupKey, ConsumerGroupTargetAssignmentMetadataValue>
  | RecordOf<'consumer-group-target-member', MemberKey, ConsumerGroupTargetAssignmentMemberValue>
  | RecordOf<'consumer-group-current-member', MemberKey, ConsumerGroupCurrentMemberAssignmentValue>
  | RecordOf<'consumer-group-pattern', RegularExpressionKey, ConsumerGroupRegularExpressionValue>

export type GroupRecord = OffsetCommitRecord | GroupMetadataRecord | ConsumerGroupRecord

interface Format {
  readonly id: number
  readonly type: GroupRecord['type']
  readonly key: Message
  readonly value: Message
  /** The version that is written. */
  readonly version: number
}

const FORMATS: readonly Format[] = [
  { id: 1, type: 'offset-commit', key: OffsetCommitKey, value: OffsetCommitValue, version: 4 },
  { id: 2, type: 'group-metadata', key: GroupKey, value: GroupMetadataValue, version: 3 },
  { id: 3, type: 'consumer-group', key: GroupKey, value: ConsumerGroupMetadataValue, version: 0 },
  {
    id: 4,
    type: 'consumer-group-topics',
    key: GroupKey,
    value: ConsumerGroupPartitionMetadataValue,
    version: 0,
  },
  {
    id: 5,
    type: 'consumer-group-member',
    key: MemberKey,
    value: ConsumerGroupMemberMetadataValue,
    version: 0,
  },
  {
    id: 6,
    type: 'consumer-group-target',
    key: GroupKey,
    value: ConsumerGroupTargetAssignmentMetadataValue,
    version: 0,
  },
  {
    id: 7,
    type: 'consumer-group-target-member',
    key: MemberKey,
    value: ConsumerGroupTargetAssignmentMemberValue,
    version: 0,
  },
  {
    id: 8,
    type: 'consumer-group-current-member',
    key: MemberKey,
    value: ConsumerGroupCurrentMemberAssignmentValue,
    version: 0,
  },
  {
    id: 16,
    type: 'consumer-group-pattern',
    key: RegularExpressionKey,
    value: ConsumerGroupRegularExpressionValue,
    version: 0,
  },
]

/** Kafka before 0.9: the same fields under another number. Read, never written. */
const LEGACY_OFFSET_COMMIT: Format = {
  id: 0,
  type: 'offset-commit',
  key: OffsetCommitKey,
  value: OffsetCommitValue,
  version: 0,
}

const byType = new Map<string, Format>(FORMATS.map(format => [format.type, format]))
const byId = new Map<number, Format>([...FORMATS, LEGACY_OFFSET_COMMIT].map(format => [format.id, format]))

export interface RecordBytes {
  readonly key: Uint8Array
  /** Null: a tombstone. */
  readonly value: Uint8Array | null
}

/** The bytes are the caller's. */
export function encodeGroupRecord(record: GroupRecord): RecordBytes {
  const format = byType.get(record.type)!
  const key = new Writer(64)
  key.int16(format.id)
  format.key.at(0).encode(key, record.key)
  if (record.value === null) return { key: key.concat(), value: null }
  const version = versionOf(record, format)
  const value = new Writer(64)
  value.int16(version)
  format.value.at(version).encode(value, record.value)
  return { key: key.concat(), value: value.concat() }
}

/** An offset that expires by itself can be told in version 1 only. */
function versionOf(record: GroupRecord, format: Format): number {
  const expires =
    record.type === 'offset-commit' && record.value !== null && record.value.expireTimestamp !== -1
  return expires ? 1 : format.version
}

/**
 * Null for a kind of record that is not ours to understand (share and streams groups, or what a newer Kafka writes):
 * it may be skipped. Throws MalformedError, and UnsupportedVersionError where a value is of a newer version. Nothing of
 * `key` and `value` is kept.
 */
export function decodeGroupRecord(key: Uint8Array, value: Uint8Array | null): GroupRecord | null {
  const keyReader = new Reader(key)
  const format = byId.get(keyReader.int16())
  if (format === undefined) return null
  const decodedKey = format.key.at(0).decode(keyReader)
  let decodedValue: unknown = null
  if (value !== null) {
    // Byte fields are slices of what is read, and groups keep them: of the few values that have any, a copy is read.
    const copied = format.type === 'group-metadata' || format.type === 'consumer-group-member'
    const reader = new Reader(copied ? Buffer.from(value) : value)
    const version = reader.int16()
    if (version < 0) throw new MalformedError(`A ${format.type} record of version ${version}`)
    decodedValue = format.value.at(version).decode(reader)
  }
  return { type: format.type, key: decodedKey, value: decodedValue } as GroupRecord
}
