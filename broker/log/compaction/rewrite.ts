/**
 * New batches made of old ones: without some of their records, or with a delete horizon. Offsets, timestamps, producer,
 * sequence and leader epoch stay what they were, and so do base and last offset of the batch, records or none: who
 * reads the log later on learns from them what the producer's last sequence was (KIP-98).
 */
import {
  ATTRIBUTE_CODEC_MASK,
  ATTRIBUTE_DELETE_HORIZON,
  BATCH_HEADER_BYTES,
  type BatchHeader,
  NO_TIMESTAMP,
  stampChecksum,
  writeBatchHeader,
} from '../../../client/protocol/batch.ts'
import { CODEC_NAMES, compress } from '../../../client/protocol/compression.ts'
import { deleteHorizonOf, type Fate, type KeptRanges, largestTimestamp } from './filter.ts'
import { RecordWalk } from './record-walk.ts'

type Rewrite = Extract<Fate, { readonly kind: 'rewrite' }>

/** Length of the record and timestamp delta may take so much more than they did. */
const GROWTH_BYTES = 5 + 10

/** The fate of a batch that keeps all its records and gets a delete horizon. Throws MalformedError. */
export function withHorizon(header: BatchHeader, body: Uint8Array, deleteHorizonMs: number): Rewrite {
  const walk = new RecordWalk(header, body)
  let maxTimestampDelta = Number.NEGATIVE_INFINITY
  while (walk.next()) maxTimestampDelta = Math.max(maxTimestampDelta, walk.timestampDelta)
  const kept = { starts: [0], ends: [body.length] }
  return { kind: 'rewrite', kept, recordCount: header.recordCount, maxTimestampDelta, deleteHorizonMs }
}

/**
 * The batch with the records that stay, compressed as it was. `body` is what it has behind its header, decompressed.
 * The result belongs to the caller.
 */
export function rewriteBatch(header: BatchHeader, body: Uint8Array, rewrite: Rewrite): Buffer {
  const horizonMs = rewrite.deleteHorizonMs
  const records =
    horizonMs !== null && isMoved(header, rewrite)
      ? rebased(header, body, rewrite, header.baseTimestamp - horizonMs)
      : joined(body, rewrite.kept)
  const codec = CODEC_NAMES[header.codecId]!
  const packed = codec === 'none' ? records : compress(codec, records)
  const batch = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES + packed.length)
  batch.set(packed, BATCH_HEADER_BYTES)
  return finish(header, rewrite, batch)
}

/**
 * The same over the batch that lies in `bytes` at `at`, with no memory of its own: what is made for each batch of a
 * long log keeps the garbage collector busy, and everybody waiting. Returns the new batch, a slice of `bytes`; null
 * where that cannot be done (the batch is compressed, or its timestamps get another base).
 */
export function rewriteInPlace(
  header: BatchHeader,
  bytes: Buffer,
  at: number,
  rewrite: Rewrite,
): Buffer | null {
  if (CODEC_NAMES[header.codecId] !== 'none' || isMoved(header, rewrite)) return null
  const { starts, ends } = rewrite.kept
  const body = at + BATCH_HEADER_BYTES
  let end = body
  for (const [i, start] of starts.entries()) {
    bytes.copyWithin(end, body + start, body + ends[i]!)
    end += ends[i]! - start
  }
  return finish(header, rewrite, bytes.subarray(at, end))
}

function isMoved(header: BatchHeader, { deleteHorizonMs }: Rewrite): boolean {
  return deleteHorizonMs !== null && deleteHorizonMs !== deleteHorizonOf(header)
}

/** `batch` has its records; now its header. */
function finish(header: BatchHeader, rewrite: Rewrite, batch: Buffer): Buffer {
  const horizonMs = rewrite.deleteHorizonMs
  writeBatchHeader(batch, 0, {
    ...header,
    byteLength: batch.length,
    attributes: horizonMs === null ? header.attributes : header.attributes | ATTRIBUTE_DELETE_HORIZON,
    baseTimestamp: horizonMs ?? header.baseTimestamp,
    maxTimestamp: largestTimestamp(header, rewrite.maxTimestampDelta),
    recordCount: rewrite.recordCount,
  })
  stampChecksum(batch, 0)
  return batch
}

/** What is left of a batch that lost all its records but must not vanish. The result belongs to the caller. */
export function emptyBatch(header: BatchHeader): Buffer {
  const batch = Buffer.allocUnsafeSlow(BATCH_HEADER_BYTES)
  writeBatchHeader(batch, 0, {
    ...header,
    byteLength: BATCH_HEADER_BYTES,
    attributes: header.attributes & ~(ATTRIBUTE_CODEC_MASK | ATTRIBUTE_DELETE_HORIZON),
    baseTimestamp: NO_TIMESTAMP,
    recordCount: 0,
  })
  stampChecksum(batch, 0)
  return batch
}

function joined(body: Uint8Array, { starts, ends }: KeptRanges): Uint8Array {
  if (starts.length === 1) return body.subarray(starts[0], ends[0])
  return Buffer.concat(starts.map((start, i) => body.subarray(start, ends[i])))
}

/** The records that stay, their timestamps told from a base that lies `shift` before the old one. */
function rebased(
  header: BatchHeader,
  body: Uint8Array,
  { kept, recordCount: keptCount }: Rewrite,
  shift: number,
): Uint8Array {
  const byteLength = kept.starts.reduce((sum, start, i) => sum + kept.ends[i]! - start, 0)
  const into = Buffer.allocUnsafeSlow(byteLength + GROWTH_BYTES * keptCount)
  const walk = new RecordWalk(header, body)
  let at = 0
  let range = 0
  while (walk.next()) {
    while (range < kept.ends.length && kept.ends[range]! <= walk.start) range++
    if (range === kept.ends.length) break
    if (walk.start < kept.starts[range]!) continue
    const delta = walk.timestampDelta + shift
    const restBytes = walk.end - walk.restAt
    // Attributes, timestamp delta, and the rest as it is.
    at = putVarint(into, at, 1 + varintBytes(delta) + restBytes)
    into[at++] = body[walk.timestampAt - 1]!
    at = putVarint(into, at, delta)
    into.set(body.subarray(walk.restAt, walk.end), at)
    at += restBytes
  }
  return into.subarray(0, at)
}

function fitsInt31(value: number): boolean {
  return value >= -0x4000_0000 && value < 0x4000_0000
}

function zigzag(value: number): number | bigint {
  if (fitsInt31(value)) return ((value << 1) ^ (value >> 31)) >>> 0
  const big = BigInt(value)
  return BigInt.asUintN(64, (big << 1n) ^ (big >> 63n))
}

function varintBytes(value: number): number {
  let length = 1
  for (let rest = BigInt(zigzag(value)) >> 7n; rest > 0n; rest >>= 7n) length++
  return length
}

function putVarint(into: Uint8Array, start: number, value: number): number {
  let at = start
  let rest = BigInt(zigzag(value))
  for (; rest > 0x7fn; rest >>= 7n) into[at++] = Number(rest & 0x7fn) | 0x80
  into[at++] = Number(rest)
  return at
}
