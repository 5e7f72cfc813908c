/**
 * How the embedded store's changes and images lie in record batches. One transaction is one batch: its CRC makes that
 * it is there or not, never half. A record's key and value are those of the store; what kind of change it is stands in
 * its headers, as text, so that any tool that dumps a log shows it. The first record of a transaction also says up to
 * which offset the log was durable when it was made (`durable`): what is damaged before that was once promised.
 *
 *   put      key, value    op=put [lease]           delete   key      op=delete
 *   grant    lease         op=grant ttl             revoke   lease    op=revoke
 *   compact  ''            op=compact revision
 *
 * An image (snapshot) begins with one record `op=image` and ends with one `op=end`, between them `op=lease` and
 * `op=version` (with `deleted` where the key went); it fills as many batches as it takes.
 */
import { forEachBatch, validateBatch } from '../../client/protocol/batch.ts'
import { MalformedError } from '../../client/protocol/errors.ts'
import {
  BatchBuilder,
  decodeRecords,
  encodeBatch,
  type LogRecord,
  type RecordInput,
} from '../../client/protocol/record.ts'
import { type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type KeyVersion, type StateChange, type StateImage } from './state.ts'

/** There is one writer for ever: the embedded store has no leader to elect. */
const LEADER_EPOCH = 0 as LeaderEpoch
const IMAGE_BATCH_BYTES = 1024 * 1024
const IMAGE_FORMAT = '1'
/** The header of a transaction's first record with what was durable before it. */
const DURABLE = 'durable'

type Headers = Readonly<Record<string, string>>

function headersOf(fields: Headers): RecordInput['headers'] {
  return Object.entries(fields).map(([key, value]) => ({ key, value }))
}

/** The fields of a record's headers; a later one of the same name wins. */
class Fields {
  readonly #fields = new Map<string, string>()

  constructor(record: LogRecord) {
    for (const { key, value } of record.headers) this.#fields.set(key, value === null ? '' : value.toString())
  }

  optional(name: string): string | null {
    return this.#fields.get(name) ?? null
  }

  text(name: string): string {
    const value = this.#fields.get(name)
    if (value === undefined) throw new MalformedError(`a record of the metadata log has no header "${name}"`)
    return value
  }

  number(name: string): number {
    const value = Number(this.text(name))
    if (Number.isSafeInteger(value) && value >= 0) return value
    throw new MalformedError(`the header "${name}" of a record of the metadata log is no whole number`)
  }
}

// --------------------------------------------------------------------------------------- changes

/** The batch of one transaction, which has at least one change. The log is durable up to `durableOffset`. */
export function encodeChanges(
  changes: readonly StateChange[],
  baseOffset: Offset,
  timestamp: number,
  durableOffset: Offset,
): Buffer {
  const claim = { key: DURABLE, value: String(durableOffset) }
  const records = changes.map((change, i) => {
    const { headers = [], ...record } = encodeChange(change)
    return { timestamp, ...record, headers: i === 0 ? [...headers, claim] : headers }
  })
  return encodeBatch(records, { baseOffset, leaderEpoch: LEADER_EPOCH })
}

function encodeChange(change: StateChange): Omit<RecordInput, 'timestamp'> {
  switch (change.type) {
    case 'put': {
      const lease: Headers = change.lease === null ? {} : { lease: change.lease }
      return { key: change.key, value: change.value, headers: headersOf({ op: 'put', ...lease })! }
    }
    case 'delete':
      return { key: change.key, value: null, headers: headersOf({ op: 'delete' })! }
    case 'grant':
      return {
        key: change.lease,
        value: null,
        headers: headersOf({ op: 'grant', ttl: String(change.ttlMs) })!,
      }
    case 'revoke':
      return { key: change.lease, value: null, headers: headersOf({ op: 'revoke' })! }
    case 'compact': {
      const headers = headersOf({ op: 'compact', revision: String(change.revision) })!
      return { key: '', value: null, headers }
    }
    default:
      return change satisfies never
  }
}

/** Up to which offset the log was durable when the batch at `position` was made; null where it does not say. */
export function durableOffsetIn(bytes: Uint8Array, position: number): Offset | null {
  const [first] = decodeRecords(bytes, position)
  const claim = first === undefined ? null : new Fields(first)
  return claim === null || claim.optional(DURABLE) === null ? null : (claim.number(DURABLE) as Offset)
}

/** The changes in the batch at `position`; they share no memory with it. Throws MalformedError. */
export function decodeChanges(bytes: Uint8Array, position: number): StateChange[] {
  return decodeRecords(bytes, position).map(record => {
    const fields = new Fields(record)
    const key = textOf(record.key)
    const op = fields.text('op')
    switch (op) {
      case 'put':
        return { type: 'put', key, value: copiedValue(record), lease: fields.optional('lease') }
      case 'delete':
        return { type: 'delete', key }
      case 'grant':
        return { type: 'grant', lease: key, ttlMs: fields.number('ttl') }
      case 'revoke':
        return { type: 'revoke', lease: key }
      case 'compact':
        return { type: 'compact', revision: fields.number('revision') }
      default:
        throw new MalformedError(
          `the metadata log has a record of unknown kind "${op}": it is from a later version`,
        )
    }
  })
}

function textOf(key: Buffer | null): string {
  if (key === null) throw new MalformedError('a record of the metadata log has no key')
  return key.toString()
}

function copiedValue(record: LogRecord): Buffer {
  if (record.value === null) throw new MalformedError('a record of the metadata log has no value')
  return Buffer.from(record.value)
}

// --------------------------------------------------------------------------------------- images

/** What a snapshot holds: the state when the log ended at `logOffset`. */
export interface Snapshot {
  readonly image: StateImage
  readonly logOffset: Offset
}

/** The content of a snapshot file, in pieces. */
export function encodeSnapshot(snapshot: Snapshot, timestamp: number): Buffer[] {
  const { image, logOffset } = snapshot
  const writer = new ImageWriter(timestamp)
  writer.put('', null, {
    op: 'image',
    format: IMAGE_FORMAT,
    revision: String(image.revision),
    compactRevision: String(image.compactRevision),
    nextLease: String(image.nextLease),
    logOffset: String(logOffset),
  })
  for (const { lease, ttlMs } of image.leases) writer.put(lease, null, { op: 'lease', ttl: String(ttlMs) })
  for (const version of image.versions)
    writer.put(version.key, version.entry?.value ?? null, fieldsOf(version))
  return writer.end()
}

function fieldsOf({ revision, entry }: KeyVersion): Headers {
  const fields = { op: 'version', revision: String(revision) }
  if (entry === null) return { ...fields, deleted: 'true' }
  const counted = { ...fields, created: String(entry.createRevision), version: String(entry.version) }
  return entry.lease === null ? counted : { ...counted, lease: entry.lease }
}

class ImageWriter {
  readonly #timestamp: number
  readonly #batches: Buffer[] = []
  readonly #builder = new BatchBuilder(64 * 1024)
  #records = 0

  constructor(timestamp: number) {
    this.#timestamp = timestamp
  }

  put(key: string, value: Uint8Array | null, headers: Headers): void {
    this.#builder.append(this.#timestamp, key, value, headersOf(headers))
    this.#records++
    if (this.#builder.byteLength >= IMAGE_BATCH_BYTES) this.#seal()
  }

  end(): Buffer[] {
    this.put('', null, { op: 'end', records: String(this.#records) })
    if (this.#builder.recordCount > 0) this.#seal()
    return this.#batches
  }

  #seal(): void {
    const baseOffset = (this.#records - this.#builder.recordCount) as Offset
    this.#batches.push(this.#builder.seal({ baseOffset, leaderEpoch: LEADER_EPOCH }))
  }
}

/** Reads a snapshot file; the result shares no memory with it. Throws MalformedError where it is not whole. */
export function decodeSnapshot(bytes: Uint8Array): Snapshot {
  const records = imageRecords(bytes)
  const last = records.pop()
  const end = last === undefined ? null : new Fields(last)
  if (end === null || end.text('op') !== 'end' || end.number('records') !== records.length) {
    throw new MalformedError('the snapshot is not whole')
  }
  const [first, ...rest] = records
  if (first === undefined) throw new MalformedError('the snapshot is empty')
  const head = new Fields(first)
  if (head.text('op') !== 'image' || head.text('format') !== IMAGE_FORMAT) {
    throw new MalformedError('the snapshot is of an unknown format: it is from a later version')
  }
  const leases: { lease: string; ttlMs: number }[] = []
  const versions: KeyVersion[] = []
  for (const record of rest) {
    const fields = new Fields(record)
    const op = fields.text('op')
    if (op === 'lease') leases.push({ lease: textOf(record.key), ttlMs: fields.number('ttl') })
    else if (op === 'version') versions.push(decodeVersion(record, fields))
    else throw new MalformedError(`the snapshot has a record of unknown kind "${op}"`)
  }
  return {
    image: {
      revision: head.number('revision'),
      compactRevision: head.number('compactRevision'),
      nextLease: head.number('nextLease'),
      leases,
      versions,
    },
    logOffset: head.number('logOffset') as Offset,
  }
}

function imageRecords(bytes: Uint8Array): LogRecord[] {
  const records: LogRecord[] = []
  const walk = forEachBatch(bytes, (position, byteLength) => {
    const problem = validateBatch(bytes, position, position + byteLength, 'log')
    if (problem !== null) throw new MalformedError(`a batch of the snapshot is damaged: ${problem}`)
    records.push(...decodeRecords(bytes, position))
  })
  if (walk.problem !== null) throw new MalformedError(`the snapshot is damaged: ${walk.problem}`)
  return records
}

function decodeVersion(record: LogRecord, fields: Fields): KeyVersion {
  const key = textOf(record.key)
  const revision = fields.number('revision')
  if (fields.optional('deleted') !== null) return { key, revision, entry: null }
  const entry = {
    key,
    value: copiedValue(record),
    createRevision: fields.number('created'),
    modRevision: revision,
    version: fields.number('version'),
    lease: fields.optional('lease'),
  }
  return { key, revision, entry }
}
