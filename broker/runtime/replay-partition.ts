/**
 * Reads a partition from its start to a given end, record by record, for those who keep their state in one. Records of
 * transactions come when their transaction is committed, and never when it is not. Works in slices, so that a large
 * partition holds up nobody else.
 */
import {
  ATTRIBUTE_CONTROL,
  ATTRIBUTE_TRANSACTIONAL,
  batchAttributes,
  batchByteLength,
  batchLastOffset,
  batchProducerId,
} from '../../client/protocol/batch.ts'
import { ErrorCode, errorName } from '../../client/protocol/errors.ts'
import { decodeMarker, type LogRecord, RecordReader } from '../../client/protocol/record.ts'
import { type Offset, type ProducerId } from '../../client/protocol/types.ts'
import { type PartitionHost } from './partition-host.ts'
import { type FetchOutcome } from './partition-types.ts'
import { type Slices } from './slices.ts'

/** The partition cannot be read to its end; `error` is what a reader of it would be told. */
export class ReplayError extends Error {
  override readonly name = 'ReplayError'
  readonly code: string
  readonly error: ErrorCode

  constructor(partition: string, error: ErrorCode) {
    super(`${partition} cannot be read: ${errorName(error)}`)
    this.code = errorName(error)
    this.error = error
  }
}

export interface ReplayOptions {
  readonly host: PartitionHost
  /** Everything below is read; waits where it is not committed yet. */
  readonly endOffset: Offset
  readonly slices: Slices
  /** Key and value are valid during the call; headers are left out of transactions. What it throws ends the replay. */
  readonly onRecord: (record: LogRecord) => void
  /** Asked between slices: false gives up. */
  readonly isWanted: () => boolean
}

/** A record of a group with a thousand members takes as long as thousands of offsets. */
const BYTES_PER_PIECE = 256
const READ_BYTES = 1024 * 1024

/**
 * True when all has been read, false when it was given up. Rejects with a ReplayError, a MalformedError, or what
 * `onRecord` throws.
 */
export async function replayPartition(options: ReplayOptions): Promise<boolean> {
  const { host, endOffset, isWanted } = options
  const replay = new Replay(options)
  for (let offset = host.state.logStartOffset; offset < endOffset; ) {
    if (!isWanted()) return false
    const outcome = await host.read({
      offset,
      maxBytes: READ_BYTES,
      isolation: 'read_uncommitted',
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
      atLeastOne: true,
    })
    try {
      if (outcome.error !== ErrorCode.NONE) throw new ReplayError(host.name, outcome.error)
      const next = await replay.through(outcome, offset)
      if (next === offset) await readable(host, offset)
      offset = next
    } finally {
      outcome.release()
    }
  }
  return isWanted()
}

/** Resolves when something at `offset` may be read, or nothing ever will. */
async function readable(host: PartitionHost, offset: Offset): Promise<void> {
  await new Promise<void>(resolve => {
    const look = (): void => {
      if (host.online && host.highWatermark <= offset) return
      stop()
      resolve()
    }
    const stop = host.onReadable(look)
    look()
  })
}

class Replay {
  readonly #options: ReplayOptions
  /** Copies of records whose transaction is open. */
  readonly #undecided = new Map<ProducerId, LogRecord[]>()

  constructor(options: ReplayOptions) {
    this.#options = options
  }

  /** The offset after the last batch that was read. */
  async through(outcome: FetchOutcome, from: Offset): Promise<Offset> {
    let next = from
    for (const slice of outcome.slices) {
      for (let at = 0; at < slice.byteLength; at += batchByteLength(slice, at)) {
        if (!(await this.#batch(slice, at, from))) return next
        next = (batchLastOffset(slice, at) + 1) as Offset
      }
    }
    return next
  }

  /** False when nobody wants the rest. */
  async #batch(slice: Uint8Array, at: number, from: Offset): Promise<boolean> {
    const { slices, isWanted } = this.#options
    const attributes = batchAttributes(slice, at)
    const isControl = (attributes & ATTRIBUTE_CONTROL) !== 0
    const open =
      (attributes & ATTRIBUTE_TRANSACTIONAL) !== 0 ? this.#openOf(batchProducerId(slice, at)) : null
    const reader = new RecordReader(slice, at)
    for (let record = reader.next(); record !== null; record = reader.next()) {
      if (record.offset < from) continue
      if (isControl) this.#decide(record, batchProducerId(slice, at))
      else if (open !== null) open.push(copyOf(record))
      else this.#options.onRecord(record)
      if (!slices.isOver(1 + (record.value?.byteLength ?? 0) / BYTES_PER_PIECE)) continue
      await slices.rest()
      if (!isWanted()) return false
    }
    return true
  }

  #openOf(producerId: ProducerId): LogRecord[] {
    let open = this.#undecided.get(producerId)
    if (open === undefined) this.#undecided.set(producerId, (open = []))
    return open
  }

  #decide(record: LogRecord, producerId: ProducerId): void {
    const marker = decodeMarker(record)
    if (marker === null) return
    const open = this.#undecided.get(producerId) ?? []
    this.#undecided.delete(producerId)
    if (marker.type === 'commit') for (const decided of open) this.#options.onRecord(decided)
  }
}

function copyOf(record: LogRecord): LogRecord {
  const { offset, timestamp, key, value } = record
  return { offset, timestamp, key: key && Buffer.from(key), value: value && Buffer.from(value), headers: [] }
}
