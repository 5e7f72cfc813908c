/**
 * What the application did and saw, and whether it may be so: no acknowledged record lost, none doubled or out of
 * order for idempotent producers, one offset always the same bytes, no reader that skips, no group that moves back
 * or over records that nobody has processed. Throws a Violation the moment that it knows of one.
 */
import { Violation } from './world/violation.ts'

export interface ProducerSpec {
  readonly name: string
  readonly idempotent: boolean
  readonly acks: 'all' | 1 | 0
}

/** One record as it was sent. */
export interface SentRecord {
  readonly producer: ProducerSpec
  readonly n: number
  readonly topic: string
  readonly partition: number
  readonly key: string | null
  /** Null for a tombstone. */
  readonly value: Buffer | null
}

export interface SeenRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly keyBytes: Buffer | null
  readonly valueBytes: Buffer | null
}

interface PartitionHistory {
  readonly name: string
  readonly compacted: boolean
  /** By offset, what is known to be there: acknowledged with acks=all, or read. */
  readonly records: Map<number, string>
  /** By id, the offset. */
  readonly offsets: Map<string, number>
  readonly acked: Map<number, SentRecord>
  /** One beyond the last offset that was acknowledged with acks=all or read: it must never be lost again. */
  end: number
  /** No record below is promised: somebody asked for their deletion. */
  deletedTo: number
}

interface GroupProgress {
  /** All below was processed. */
  upTo: number
  readonly ahead: Set<number>
  committed: number
}

export class History {
  readonly #partitions = new Map<string, PartitionHistory>()
  readonly #sent = new Map<string, SentRecord>()
  readonly #groups = new Map<string, GroupProgress>()
  /** By key, ids of tombstones that may or may not be in the log: nobody was told. */
  readonly #openTombstones = new Map<string, Set<string>>()
  recordsAcked = 0
  recordsRead = 0

  addPartition(topic: string, partition: number, compacted: boolean): void {
    const name = `${topic}-${partition}`
    this.#partitions.set(name, {
      name,
      compacted,
      records: new Map(),
      offsets: new Map(),
      acked: new Map(),
      end: 0,
      deletedTo: 0,
    })
  }

  partitions(): Iterable<PartitionHistory> {
    return this.#partitions.values()
  }

  /** What must be there: undefined for partitions that are not watched. */
  promisedEnd(name: string): number | undefined {
    return this.#partitions.get(name)?.end
  }

  // ------------------------------------------------------------------------------------------- producing

  sent(record: SentRecord): void {
    this.#sent.set(idOf(record), record)
    if (record.value !== null || record.key === null) return
    const open = this.#openTombstones.get(record.key)
    if (open === undefined) this.#openTombstones.set(record.key, new Set([idOf(record)]))
    else open.add(idOf(record))
  }

  /** The broker says that it holds the record at `offset`; -1 where the producer did not ask. */
  acked(record: SentRecord, topic: string, partition: number, offset: number): void {
    this.recordsAcked++
    if (record.producer.acks !== 'all') return
    const history = this.#of(topic, partition)
    const where = `${history.name}@${offset}`
    if (offset < 0) throw new Violation('bad-ack', `${idOf(record)} was acknowledged at ${where}`)
    this.#place(history, offset, identity(record.key, record.value), idOf(record), record.producer, 'acked')
    history.acked.set(offset, record)
    if (record.key !== null) this.#openTombstones.get(record.key)?.delete(idOf(record))
  }

  deleteAsked(topic: string, partition: number, offset: number): void {
    const history = this.#of(topic, partition)
    history.deletedTo = Math.max(history.deletedTo, offset)
  }

  // -------------------------------------------------------------------------------------------- reading

  /** A reader that has had everything up to `after` (exclusive) gets this record. Returns its next position. */
  read(record: SeenRecord, after: number, reader: string): number {
    this.recordsRead++
    const history = this.#of(record.topic, record.partition)
    const { offset } = record
    const where = `${history.name}@${offset}`
    if (offset < after)
      throw new Violation('non-monotonic-poll', `${reader} was given ${where} after ${after - 1}`)
    if (!history.compacted && offset > after && offset > history.deletedTo) {
      throw new Violation('skipped', `${reader} was given ${where}, and nothing from ${after} on before it`)
    }
    const key = record.keyBytes?.toString('latin1') ?? null
    const id = record.valueBytes === null ? null : textId(record.valueBytes)
    const sent = id === null ? undefined : this.#sent.get(id)
    if (record.valueBytes !== null) {
      const isSame = sent !== undefined && sent.key === key && sent.value?.equals(record.valueBytes) === true
      if (!isSame) throw new Violation('corrupt', `${reader} read at ${where} what nobody has sent: ${id}`)
    }
    if (sent !== undefined && (sent.topic !== record.topic || sent.partition !== record.partition)) {
      throw new Violation('wrong-partition', `${reader} read ${id} at ${where}; it was sent to ${sent.topic}`)
    }
    this.#place(history, offset, identity(key, record.valueBytes), id, sent?.producer ?? null, 'read')
    return offset + 1
  }

  #place(
    history: PartitionHistory,
    offset: number,
    content: string,
    id: string | null,
    producer: ProducerSpec | null,
    how: 'acked' | 'read',
  ): void {
    const before = history.records.get(offset)
    if (before !== undefined && before !== content) {
      throw new Violation(
        'inconsistent-offset',
        `${history.name}@${offset} is ${content} (${how}) and was ${before} before`,
      )
    }
    if (before !== undefined) return
    history.records.set(offset, content)
    history.end = Math.max(history.end, offset + 1)
    if (id === null || producer === null) return
    const other = history.offsets.get(id)
    if (other !== undefined && other !== offset && producer.idempotent) {
      throw new Violation('duplicate', `${id} is in ${history.name} at ${other} and at ${offset}`)
    }
    history.offsets.set(id, offset)
  }

  // --------------------------------------------------------------------------------------------- groups

  processed(group: string, record: SeenRecord): void {
    const progress = this.#progress(group, record.topic, record.partition)
    if (record.offset >= progress.upTo) progress.ahead.add(record.offset)
    this.#advance(progress, this.#of(record.topic, record.partition))
  }

  /** What is known to be committed, by topic and partition: whoever asks from now on must not be told less. */
  commitsOf(group: string): ReadonlyMap<string, number> {
    const commits = new Map<string, number>()
    for (const [name, { committed }] of this.#groups)
      if (name.startsWith(`${group}/`)) commits.set(name.slice(group.length + 1), committed)
    return commits
  }

  /** Somebody was told this, who asked when `before` was known. */
  committed(
    group: string,
    topic: string,
    partition: number,
    committed: number,
    before: ReadonlyMap<string, number>,
  ): void {
    if (committed < 0) committed = 0
    const history = this.#partitions.get(`${topic}-${partition}`)
    if (history === undefined) return
    const progress = this.#progress(group, topic, partition)
    this.#advance(progress, history)
    const known = before.get(`${topic}-${partition}`) ?? 0
    if (committed < known) {
      throw new Violation(
        'group-offset-back',
        `group ${group} had committed ${known} of ${history.name}, now it is ${committed}`,
      )
    }
    progress.committed = Math.max(progress.committed, committed)
    if (committed > progress.upTo) {
      throw new Violation(
        'group-skipped',
        `group ${group} has committed ${committed} of ${history.name}, and nobody processed ${progress.upTo}`,
      )
    }
  }

  /** Of the partition's end, what the group has not committed yet. */
  groupLag(group: string, topic: string, partition: number): number {
    return this.#of(topic, partition).end - this.#progress(group, topic, partition).committed
  }

  #progress(group: string, topic: string, partition: number): GroupProgress {
    const name = `${group}/${topic}-${partition}`
    let progress = this.#groups.get(name)
    if (progress === undefined)
      this.#groups.set(name, (progress = { upTo: 0, ahead: new Set(), committed: 0 }))
    return progress
  }

  #advance(progress: GroupProgress, history: PartitionHistory): void {
    progress.upTo = Math.max(progress.upTo, history.deletedTo)
    while (progress.ahead.delete(progress.upTo)) progress.upTo++
  }

  // --------------------------------------------------------------------------------------------- at rest

  /** `found` is all that is in the partition, in order of offsets, from `start` on. */
  checkAll(topic: string, partition: number, start: number, found: ReadonlyMap<number, SeenRecord>): void {
    const history = this.#of(topic, partition)
    if (history.compacted) this.#checkCompacted(history, found)
    for (const [offset, record] of history.acked) {
      if (found.has(offset) || offset < start || history.compacted) continue
      throw new Violation(
        'lost-record',
        `${idOf(record)}, acknowledged at ${history.name}@${offset}, is gone`,
      )
    }
    if (start > history.deletedTo)
      throw new Violation(
        'lost-record',
        `${history.name} starts at ${start}, and ${history.deletedTo} was asked`,
      )
    checkOrder(history)
  }

  /** The newest record of each key must be there (or, for a tombstone, nothing older). */
  #checkCompacted(history: PartitionHistory, found: ReadonlyMap<number, SeenRecord>): void {
    const newest = new Map<string, number>()
    for (const [offset, { key }] of history.acked)
      if (key !== null) newest.set(key, Math.max(offset, newest.get(key) ?? -1))
    const kept = new Map<string, number>()
    for (const [offset, { keyBytes }] of found)
      if (keyBytes !== null) kept.set(keyBytes.toString('latin1'), offset)
    for (const [key, offset] of newest) {
      const there = kept.get(key)
      if (there !== undefined && there >= offset) continue
      const isTombstone = history.acked.get(offset)!.value === null
      const mayBeDeleted = isTombstone || (this.#openTombstones.get(key)?.size ?? 0) > 0
      if (mayBeDeleted && there === undefined) continue
      throw new Violation(
        isTombstone ? 'resurrected' : 'lost-record',
        `key ${key} of ${history.name}: ${offset} is the newest, ${there ?? 'nothing'} is there`,
      )
    }
  }

  #of(topic: string, partition: number): PartitionHistory {
    const history = this.#partitions.get(`${topic}-${partition}`)
    if (history === undefined)
      throw new Violation('unknown-partition', `nobody has made ${topic}-${partition}`)
    return history
  }
}

/** What one idempotent producer was told is in the log lies there in the order in which it was sent. */
function checkOrder(history: PartitionHistory): void {
  const last = new Map<string, number>()
  for (const [offset, { producer, n }] of [...history.acked].sort(([a], [b]) => a - b)) {
    if (!producer.idempotent) continue
    const before = last.get(producer.name) ?? -1
    if (n <= before) {
      throw new Violation('reordered', `${producer.name}.${n} at ${history.name}@${offset} follows ${before}`)
    }
    last.set(producer.name, n)
  }
}

function idOf({ producer, n }: SentRecord): string {
  return `${producer.name}.${n}`
}

function identity(key: string | null, value: Buffer | null): string {
  return value === null ? `tombstone of ${key}` : textId(value)
}

/** Of the value of a record: what stands before the padding. */
function textId(value: Buffer): string {
  const colon = value.indexOf(58)
  return value.toString('latin1', 0, colon === -1 ? Math.min(40, value.length) : colon)
}

/** The value of a record: its id, and padding that depends on it. */
export function paddedValue(producer: string, n: number, padding: number): Buffer {
  const value = Buffer.alloc(producer.length + 12 + padding, 97 + (n % 26))
  const head = `${producer}.${n}:`
  value.write(head, 0, 'latin1')
  return value
}
