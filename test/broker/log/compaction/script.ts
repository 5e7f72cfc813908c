/**
 * Logs as text, compacted in memory by the pure part alone:
 *
 *   batch(10, 'a=1 b=2 c=-')      offsets 10 to 12, the last one a tombstone
 *   compact([...]).log            ['10-12 a@10=1 c@12=-']: what is left, base and last offset of the batch first
 */
import { BatchFilter, deleteHorizonOf, KeyReader } from '../../../../broker/log/compaction/filter.ts'
import { OffsetMap } from '../../../../broker/log/compaction/offset-map.ts'
import {
  emptyBatch,
  rewriteBatch,
  rewriteInPlace,
  withHorizon,
} from '../../../../broker/log/compaction/rewrite.ts'
import {
  type Aborted,
  type MarkerType,
  PassedTransactions,
} from '../../../../broker/log/compaction/transactions.ts'
import {
  BATCH_HEADER_BYTES,
  type BatchHeader,
  readBatchHeader,
  validateBatch,
} from '../../../../client/protocol/batch.ts'
import { CODEC_NAMES, decompress } from '../../../../client/protocol/compression.ts'
import {
  type BatchOptions,
  decodeMarker,
  decodeRecords,
  encodeBatch,
  encodeMarkerBatch,
  type RecordInput,
} from '../../../../client/protocol/record.ts'
import { type Offset, type ProducerEpoch, type ProducerId } from '../../../../client/protocol/types.ts'

export interface ScriptOptions extends Omit<BatchOptions, 'producerId' | 'producerEpoch'> {
  readonly timestamp?: number
  readonly producer?: number
  readonly epoch?: number
  readonly sequence?: number
}

/** `key=value`, `key=-` (no value), `=value` (no key). Timestamps go up by one from `timestamp`. */
export function batch(baseOffset: number, records: string, options: ScriptOptions = {}): Buffer {
  const { timestamp = 1000 + baseOffset, producer, epoch = 0, sequence = 0, ...rest } = options
  const inputs = records.split(' ').map((text, i): RecordInput => {
    const [key, value] = text.split('=')
    return { key: key || null, value: value === '-' ? null : value!, timestamp: timestamp + i }
  })
  return encodeBatch(inputs, {
    ...rest,
    baseOffset: baseOffset as Offset,
    ...(producer === undefined
      ? {}
      : {
          producerId: BigInt(producer) as ProducerId,
          producerEpoch: epoch as ProducerEpoch,
          baseSequence: sequence,
        }),
  })
}

export function marker(offset: number, type: MarkerType, producer: number, epoch = 0): Buffer {
  return encodeMarkerBatch({
    type,
    coordinatorEpoch: 1,
    producerId: BigInt(producer) as ProducerId,
    producerEpoch: epoch as ProducerEpoch,
    timestamp: 1000 + offset,
    baseOffset: offset as Offset,
  })
}

export interface CompactOptions {
  readonly firstDirtyOffset?: number
  readonly nowMs?: number
  /** Default: `nowMs`. */
  readonly dueHorizonMs?: number
  readonly deleteRetentionMs?: number
  /** Keys that the map takes. */
  readonly mapSize?: number
  /** Last offset of the last batch of a producer. */
  readonly lastOffsets?: Readonly<Record<number, number>>
  readonly aborted?: readonly (readonly [producer: number, firstOffset: number, lastOffset: number])[]
  /** The last batch is the last one of its segment. Default false. */
  readonly endsSegment?: boolean
}

export interface Compacted {
  readonly batches: Buffer[]
  readonly log: string[]
  readonly cleanedTo: number
  /** Batches that are the very bytes that they were. */
  readonly untouched: number
  readonly nextHorizonMs: number
  /** Producers of the aborted transactions that readers must still be told of. */
  readonly keptAborted: number[]
}

export function compact(batches: readonly Buffer[], options: CompactOptions = {}): Compacted {
  const aborted = (options.aborted ?? []).map(
    ([producer, firstOffset, lastOffset]): Aborted => ({
      producerId: BigInt(producer) as ProducerId,
      firstOffset: firstOffset as Offset,
      lastOffset: lastOffset as Offset,
    }),
  )
  const map = readKeys(batches, options, aborted)
  const transactions = new PassedTransactions(aborted)
  const lastOffsets = options.lastOffsets ?? {}
  const filter = new BatchFilter({
    map,
    transactions,
    nowMs: options.nowMs ?? 0,
    dueHorizonMs: options.dueHorizonMs ?? options.nowMs ?? 0,
    deleteRetentionMs: options.deleteRetentionMs ?? 100,
    keepsSequence: header => lastOffsets[Number(header.producerId)] === header.lastOffset,
  })
  const kept: Buffer[] = []
  let untouched = 0
  for (const [i, bytes] of batches.entries()) {
    const result = filtered(filter, bytes, i === batches.length - 1 && (options.endsSegment ?? false))
    if (result === null) continue
    if (result === bytes) untouched++
    kept.push(result)
  }
  return {
    batches: kept,
    log: kept.map(describe),
    cleanedTo: map.latestOffset + 1,
    untouched,
    nextHorizonMs: filter.counts.nextHorizonMs,
    keptAborted: transactions.takeKept().map(entry => Number(entry.producerId)),
  }
}

function readKeys(
  batches: readonly Buffer[],
  options: CompactOptions,
  aborted: readonly Aborted[],
): OffsetMap {
  const map = new OffsetMap({
    maxBytes: 1024 * 24,
    maxKeys: options.mapSize ?? 1000,
    loadFactor: 1,
    hashKey: new Uint8Array(16),
  })
  const transactions = new PassedTransactions(aborted)
  const from = options.firstDirtyOffset ?? 0
  if (from > 0) map.seen(from - 1)
  for (const bytes of batches) {
    const header = readBatchHeader(bytes, 0)
    if (header.lastOffset < from) continue
    if (header.isControl) transactions.passMarker(header, markerOf(bytes))
    else if (!transactions.passBatch(header)) {
      const keys = new KeyReader(map, header, bodyOf(header, bytes), from)
      for (let state = keys.advance(2); state !== 'done'; state = keys.advance(2)) {
        if (state === 'full') return map
      }
    }
    if (header.lastOffset > map.latestOffset) map.seen(header.lastOffset)
  }
  return map
}

function filtered(filter: BatchFilter, bytes: Buffer, isLast: boolean): Buffer | null {
  const header = readBatchHeader(bytes, 0)
  if (header.isControl) {
    const fate = filter.marker(header, markerOf(bytes), isLast)
    if (fate.kind !== 'keep-until')
      return fate.kind === 'keep' ? bytes : fate.kind === 'empty' ? emptyBatch(header) : null
    const body = bodyOf(header, bytes)
    return rewriteBatch(header, body, withHorizon(header, body, fate.deleteHorizonMs))
  }
  let fate = filter.batch(header, isLast)
  if (fate === null) {
    const records = filter.records(header, bodyOf(header, bytes), isLast)
    while (!records.advance(2));
    fate = records.fate()
  }
  switch (fate.kind) {
    case 'keep':
      return bytes
    case 'drop':
      return null
    case 'empty':
      return emptyBatch(header)
    case 'rewrite':
      return rewritten(header, bytes, fate)
    default:
      return fate satisfies never
  }
}

/** In both ways, where both are possible: they must come to the same bytes. */
function rewritten(header: BatchHeader, bytes: Buffer, fate: Parameters<typeof rewriteBatch>[2]): Buffer {
  const apart = rewriteBatch(header, bodyOf(header, bytes), fate)
  const inPlace = rewriteInPlace(header, Buffer.from(bytes), 0, fate)
  if (inPlace !== null && !inPlace.equals(apart)) throw new Error('rewritten in place it is another batch')
  return apart
}

function bodyOf(header: BatchHeader, bytes: Buffer): Uint8Array {
  const packed = bytes.subarray(BATCH_HEADER_BYTES)
  return header.codecId === 0 ? packed : decompress(CODEC_NAMES[header.codecId]!, packed, 1e6)
}

function markerOf(bytes: Buffer): MarkerType | null {
  const [record] = decodeRecords(bytes)
  return record === undefined ? null : (decodeMarker(record)?.type ?? null)
}

/** One line; says so where the bytes are no sound batch. */
export function describe(bytes: Buffer): string {
  const header = readBatchHeader(bytes, 0)
  const problem = validateBatch(bytes, 0, bytes.length, 'log')
  const horizon = deleteHorizonOf(header)
  const words = [`${header.baseOffset}-${header.lastOffset}`]
  if (problem !== null) words.push(problem)
  if (header.producerId >= 0n) words.push(`p${header.producerId}/${header.baseSequence}`)
  if (horizon !== null) words.push(`until:${horizon}`)
  for (const record of decodeRecords(bytes)) {
    if (header.isControl) words.push(decodeMarker(record)?.type ?? 'control')
    else words.push(`${record.key ?? ''}@${record.offset}=${record.value ?? '-'}`)
  }
  return words.join(' ')
}
