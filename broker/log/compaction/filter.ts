/**
 * What becomes of each batch of a log that is compacted: kept as it is, kept without some of its records, kept as a
 * mere header, dropped. Given one batch after another in the order of the log; touches no file and changes no byte.
 *
 *   key      a b a | b c | a(-) c | ...     a(-): a record without a value, a tombstone
 *   survives     . | b   | a(-) c | ...
 *
 * The rules are Kafka's (Cleaner.cleanInto, KIP-534):
 * - of each key the last record survives, as far as the offset map reaches; records without a key do not;
 * - a tombstone, and a marker of whose transaction nothing is left, survives until its delete horizon: the time at
 *   which a compaction first found it so plus delete.retention.ms; longer where a replica might miss it. The horizon is
 *   kept in the batch itself: bit 6 of the attributes says that the base timestamp is one. A reader who began before it
 *   has seen the tombstone;
 * - records of aborted transactions go;
 * - the last batch of each producer that the broker remembers stays, if only as a header, so that its sequence is not
 *   forgotten; and the last batch of each rewritten segment, so that the log has no hole where segments meet, which
 *   recovery could not tell from lost records.
 */
import { assert } from '../../../client/protocol/assert.ts'
import { ATTRIBUTE_DELETE_HORIZON, type BatchHeader, NO_TIMESTAMP } from '../../../client/protocol/batch.ts'
import { type Offset } from '../../../client/protocol/types.ts'
import { type OffsetMap } from './offset-map.ts'
import { RecordWalk } from './record-walk.ts'
import { type Aborted, type MarkerType, type PassedTransactions } from './transactions.ts'

export interface FilterOptions {
  readonly map: OffsetMap
  readonly transactions: PassedTransactions<Aborted>
  /** The wall clock: where new delete horizons begin. */
  readonly nowMs: number
  /** Delete horizons up to here have passed. */
  readonly dueHorizonMs: number
  readonly deleteRetentionMs: number
  /** Whether the batch says what the last sequence of its producer is; see `lastSequences`. */
  readonly keepsSequence: (header: BatchHeader) => boolean
}

/** Where the records lie that survive: `starts[i]` to `ends[i]` of the body. */
export interface KeptRanges {
  readonly starts: readonly number[]
  readonly ends: readonly number[]
}

export type Fate =
  | { readonly kind: 'keep' }
  | { readonly kind: 'drop' }
  /** Only the header stays. */
  | { readonly kind: 'empty' }
  /** Only these records stay. `deleteHorizonMs`: the one to be written, null where the batch has none. */
  | {
      readonly kind: 'rewrite'
      readonly kept: KeptRanges
      readonly recordCount: number
      /** Largest timestamp delta of the records that stay, to the present base timestamp. */
      readonly maxTimestampDelta: number
      readonly deleteHorizonMs: number | null
    }

const KEEP: Fate = { kind: 'keep' }
const DROP: Fate = { kind: 'drop' }
const EMPTY: Fate = { kind: 'empty' }

/** The delete horizon that a batch carries, or null. */
export function deleteHorizonOf(header: BatchHeader): number | null {
  return (header.attributes & ATTRIBUTE_DELETE_HORIZON) === 0 ? null : header.baseTimestamp
}

/** What has been decided so far; a new object for each compaction. */
export interface FilterCounts {
  records: number
  keptRecords: number
  /** Tombstones and markers that wait for their horizon. */
  waiting: number
  /** When the first of them is due; Infinity: none waits. */
  nextHorizonMs: number
}

export class BatchFilter {
  readonly counts: FilterCounts = { records: 0, keptRecords: 0, waiting: 0, nextHorizonMs: Infinity }
  readonly #options: FilterOptions

  constructor(options: FilterOptions) {
    this.#options = options
  }

  /**
   * The next batch that is no control batch, by its header alone. A fate where that is enough; null: `records` has to
   * look at its records.
   */
  batch(header: BatchHeader, isLastOfSegment: boolean): Fate | null {
    assert(!header.isControl, 'control batches are decided by `marker`')
    const isAborted = this.#options.transactions.passBatch(header)
    this.counts.records += header.recordCount
    if (header.recordCount > 0 && !isAborted) {
      // Beyond the map nothing is known of any key.
      if (header.baseOffset <= this.#options.map.latestOffset) return null
      this.counts.keptRecords += header.recordCount
      return KEEP
    }
    // Records of aborted transactions go even where the map does not reach: no reader is ever shown them.
    if (!this.#mustStay(header, isLastOfSegment)) return DROP
    return header.recordCount === 0 ? KEEP : EMPTY
  }

  /** The records of a batch that `batch` could not decide. Throws MalformedError when they cannot be read. */
  records(header: BatchHeader, body: Uint8Array, isLastOfSegment: boolean): RecordFilter {
    const isKept = this.#mustStay(header, isLastOfSegment)
    return new RecordFilter({ ...this.#options, header, body, isKept, counts: this.counts })
  }

  /** The next control batch. `type` null: its record is gone already, or it is none that ends a transaction. */
  marker(header: BatchHeader, type: MarkerType | null, isLastOfSegment: boolean): Fate | KeptMarker {
    const { transactions, nowMs, dueHorizonMs, deleteRetentionMs } = this.#options
    const isForeign = type === null && header.recordCount > 0
    const mayGo = transactions.passMarker(header, type) && !isForeign
    this.counts.records += header.recordCount
    const horizonMs = deleteHorizonOf(header)
    const isDue = horizonMs === null ? header.recordCount === 0 : horizonMs <= dueHorizonMs
    if (mayGo && isDue) {
      if (!this.#mustStay(header, isLastOfSegment)) return DROP
      return header.recordCount === 0 ? KEEP : EMPTY
    }
    this.counts.keptRecords += header.recordCount
    if (!mayGo) return KEEP
    this.#waits(horizonMs ?? nowMs + deleteRetentionMs)
    return horizonMs !== null ? KEEP : { kind: 'keep-until', deleteHorizonMs: nowMs + deleteRetentionMs }
  }

  #waits(horizonMs: number): void {
    this.counts.waiting += 1
    this.counts.nextHorizonMs = Math.min(this.counts.nextHorizonMs, horizonMs)
  }

  #mustStay(header: BatchHeader, isLastOfSegment: boolean): boolean {
    return isLastOfSegment || (header.producerId >= 0n && this.#options.keepsSequence(header))
  }
}

/** A marker that is kept with all it has, and a horizon. */
export interface KeptMarker {
  readonly kind: 'keep-until'
  readonly deleteHorizonMs: number
}

interface RecordFilterOptions
  extends Pick<FilterOptions, 'map' | 'nowMs' | 'dueHorizonMs' | 'deleteRetentionMs'> {
  readonly header: BatchHeader
  readonly body: Uint8Array
  readonly isKept: boolean
  readonly counts: FilterCounts
}

/** Looks at the records of one batch, as many at a time as its user has time for. */
export class RecordFilter {
  readonly #options: RecordFilterOptions
  readonly #walk: RecordWalk
  readonly #horizonMs: number | null
  readonly #starts: number[] = []
  readonly #ends: number[] = []
  #kept = 0
  /** Those that the map reaches; beyond it their horizon does not begin yet. */
  #tombstones = 0
  #maxTimestampDelta = Number.NEGATIVE_INFINITY

  constructor(options: RecordFilterOptions) {
    this.#options = options
    this.#walk = new RecordWalk(options.header, options.body)
    this.#horizonMs = deleteHorizonOf(options.header)
  }

  /** Looks at the next `count` records; true when all have been. Throws MalformedError. */
  advance(count: number): boolean {
    const walk = this.#walk
    for (let i = 0; i < count; i++) {
      if (!walk.next()) return true
      if (!this.#survives(walk)) continue
      this.#kept++
      const last = this.#ends.length - 1
      if (last >= 0 && this.#ends[last] === walk.start) {
        this.#ends[last] = walk.end
      } else {
        this.#starts.push(walk.start)
        this.#ends.push(walk.end)
      }
      const delta = walk.timestampDelta
      if (delta > this.#maxTimestampDelta) this.#maxTimestampDelta = delta
    }
    return false
  }

  /** After all have been looked at. */
  fate(): Fate {
    const { header, nowMs, deleteRetentionMs, isKept, counts } = this.#options
    counts.keptRecords += this.#kept
    if (this.#kept === 0) return isKept ? EMPTY : DROP
    const isNew = this.#tombstones > 0 && this.#horizonMs === null
    const deleteHorizonMs = isNew ? nowMs + deleteRetentionMs : this.#horizonMs
    if (this.#tombstones > 0 && deleteHorizonMs !== null) {
      counts.waiting += this.#tombstones
      counts.nextHorizonMs = Math.min(counts.nextHorizonMs, deleteHorizonMs)
    }
    if (this.#kept === header.recordCount && !isNew) return KEEP
    const kept = { starts: this.#starts, ends: this.#ends }
    const maxTimestampDelta = this.#maxTimestampDelta
    return { kind: 'rewrite', kept, recordCount: this.#kept, maxTimestampDelta, deleteHorizonMs }
  }

  #survives(walk: RecordWalk): boolean {
    const { header, body, map, dueHorizonMs } = this.#options
    const offset = header.baseOffset + walk.offsetDelta
    if (offset > map.latestOffset) return true
    if (!walk.hasKey || map.get(body, walk.keyStart, walk.keyEnd) > offset) return false
    if (walk.hasValue) return true
    if (this.#horizonMs !== null && this.#horizonMs <= dueHorizonMs) return false
    this.#tombstones++
    return true
  }
}

/** Enters the keys of one batch into the map, as many at a time as its user has time for. */
export class KeyReader {
  readonly #map: OffsetMap
  readonly #header: BatchHeader
  readonly #fromOffset: number
  readonly #walk: RecordWalk

  /** Offsets below `fromOffset` are not entered: they are clean. Throws MalformedError. */
  constructor(map: OffsetMap, header: BatchHeader, body: Uint8Array, fromOffset: number) {
    this.#map = map
    this.#header = header
    this.#fromOffset = fromOffset
    this.#walk = new RecordWalk(header, body)
  }

  /** Looks at the next `count` records. `done`: all have been; `full`: the map takes no more. Throws MalformedError. */
  advance(count: number): 'more' | 'done' | 'full' {
    const { body } = this.#walk
    for (let i = 0; i < count; i++) {
      if (!this.#walk.next()) {
        this.#map.seen(this.#header.lastOffset)
        return 'done'
      }
      const { keyStart, keyEnd, offsetDelta } = this.#walk
      const offset = (this.#header.baseOffset + offsetDelta) as Offset
      if (offset < this.#fromOffset || offset <= this.#map.latestOffset || keyStart < 0) continue
      if (!this.#map.put(body, keyStart, keyEnd, offset)) return 'full'
    }
    return 'more'
  }
}

/** What a record's timestamp becomes when its batch has no base timestamp of its own. */
export function largestTimestamp(header: BatchHeader, maxTimestampDelta: number): number {
  if (header.isLogAppendTime) return header.maxTimestamp
  return maxTimestampDelta === Number.NEGATIVE_INFINITY
    ? NO_TIMESTAMP
    : header.baseTimestamp + maxTimestampDelta
}
