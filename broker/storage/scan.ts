/**
 * A walk over the batches of a log file from disk, in large reads, with or without looking at every byte. For
 * recovery, for look-ups, for the dump. It never changes a file, and it believes no length that it has not compared
 * with the file's.
 */
import {
  BATCH_ATTRIBUTES_AT,
  BATCH_CRC_AT,
  BATCH_HEADER_BYTES,
  type BatchProblem,
  batchBaseOffset,
  batchByteLength,
  batchLastOffset,
  validateBatch,
  validateFrame,
  validateHeader,
} from '../../client/protocol/batch.ts'
import { crc32c } from '../../client/protocol/crc32c.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type DiskFile } from '../env.ts'

const CHUNK_BYTES = 1024 * 1024
const MAX_CANDIDATES = 1000

/**
 * `OUT_OF_ORDER`: a whole, valid batch that does not belong here, as one left over from an earlier life of the
 * blocks.
 */
export type ScanProblem = BatchProblem | 'OUT_OF_ORDER'

export interface ScanOptions {
  readonly file: DiskFile
  /** Positions; the walk begins at the start of a batch. */
  readonly start: number
  readonly end: number
  /** Every batch has to begin at this offset or later, and after the one before. */
  readonly minOffset: Offset
  /** No batch goes beyond this one: relative offsets of a segment have 31 bits. Default: no bound. */
  readonly maxOffset?: Offset
  /** Batches that reach this offset are checked with their CRC, others by their header alone. Default: none. */
  readonly checkFrom?: Offset | undefined
  /** Size of a read; smaller for a walk that is expected to end soon. */
  readonly chunkBytes?: number
  /**
   * Gets the header of each sound batch: `bytes` from `at` on holds BATCH_HEADER_BYTES at least, valid within the
   * call. Returning false ends the walk after this batch.
   */
  readonly visit: (bytes: Buffer, at: number, position: number) => unknown
  /** Called after each read. */
  readonly onRead?: ((bytes: number) => void) | undefined
}

export interface ScanEnd {
  /** End of the last sound batch. */
  readonly position: number
  /** One beyond its last offset; `minOffset` where there was none. */
  readonly nextOffset: Offset
  /** Why the batch at `position` was not taken; null at `end`, or where the visitor has ended the walk. */
  readonly problem: ScanProblem | null
}

export async function scanBatches(options: ScanOptions): Promise<ScanEnd> {
  const { file, end, visit } = options
  const checkFrom = options.checkFrom ?? Infinity
  const maxOffset = options.maxOffset ?? Infinity
  const chunk = Buffer.allocUnsafeSlow(
    Math.max(256, Math.min(options.chunkBytes ?? CHUNK_BYTES, end - options.start)),
  )
  let position = options.start
  let nextOffset = options.minOffset
  while (position < end) {
    const length = await file.read(chunk.subarray(0, Math.min(chunk.length, end - position)), position)
    options.onRead?.(length)
    let at = 0
    while (at < length) {
      const frame = frameProblem(chunk, at, length, end - position)
      if (frame === 'REST_IN_NEXT_READ') break
      if (frame !== null) return { position, nextOffset, problem: frame }
      const byteLength = batchByteLength(chunk, at)
      const lastOffset = batchLastOffset(chunk, at)
      const isInOrder = batchBaseOffset(chunk, at) >= nextOffset && lastOffset >= batchBaseOffset(chunk, at)
      if (!isInOrder || !Number.isSafeInteger(lastOffset) || lastOffset > maxOffset) {
        return { position, nextOffset, problem: 'OUT_OF_ORDER' }
      }
      const header = validateHeader(chunk, at)
      if (header !== null) return { position, nextOffset, problem: header }
      if (lastOffset >= checkFrom) {
        const isHere = at + byteLength <= length
        if (!isHere && at > 0) break
        const problem = isHere
          ? validateBatch(chunk, at, length, 'log')
          : await checkLargeBatch(file, chunk, byteLength, position, options.onRead)
        if (problem !== null) return { position, nextOffset, problem }
      }
      const goOn = visit(chunk, at, position)
      position += byteLength
      at += byteLength
      nextOffset = (lastOffset + 1) as Offset
      if (goOn === false) return { position, nextOffset, problem: null }
    }
    // A file that is shorter than its user believes.
    if (at === 0) return { position, nextOffset, problem: 'INCOMPLETE' }
  }
  return { position, nextOffset, problem: null }
}

/**
 * Checks the frame at `at` of a chunk of which `length` bytes are there; `left` bytes are left in the file from it
 * on.
 */
function frameProblem(
  chunk: Buffer,
  at: number,
  length: number,
  left: number,
): BatchProblem | 'REST_IN_NEXT_READ' | null {
  if (length - at < Math.min(left, BATCH_HEADER_BYTES)) return 'REST_IN_NEXT_READ'
  if (left < BATCH_HEADER_BYTES) return validateFrame(chunk, at, at + left) ?? 'INCOMPLETE'
  return validateFrame(chunk, at, at + left)
}

/** The batch begins at the start of `chunk` and is larger than it: its CRC is computed piece by piece. */
async function checkLargeBatch(
  file: DiskFile,
  chunk: Buffer,
  byteLength: number,
  position: number,
  onRead: ((bytes: number) => void) | undefined,
): Promise<BatchProblem | null> {
  const expected = chunk.readUInt32BE(BATCH_CRC_AT)
  let crc = crc32c(chunk.subarray(BATCH_ATTRIBUTES_AT))
  const piece = Buffer.allocUnsafeSlow(chunk.length)
  for (let at = chunk.length; at < byteLength; ) {
    const length = await file.read(piece.subarray(0, Math.min(piece.length, byteLength - at)), position + at)
    onRead?.(length)
    if (length === 0) return 'INCOMPLETE'
    crc = crc32c(piece.subarray(0, length), crc)
    at += length
  }
  return crc === expected ? null : 'BAD_CHECKSUM'
}

/**
 * The first sound batch (with CRC) behind damage at `start`, looked for byte by byte; null where none follows. That
 * one was found and how far the sound ones go is what tells a damaged middle from a torn tail.
 */
export async function findBatchBehind(
  file: DiskFile,
  start: number,
  end: number,
  minOffset: Offset,
): Promise<{ readonly position: number; readonly lastOffset: Offset } | null> {
  const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES)
  let candidates = 0
  for (let from = start + 1; from + BATCH_HEADER_BYTES <= end; ) {
    const length = await file.read(chunk.subarray(0, Math.min(chunk.length, end - from)), from)
    if (length < BATCH_HEADER_BYTES) return null
    for (let at = 0; at + BATCH_HEADER_BYTES <= length; at++) {
      if (!looksLikeBatch(chunk, at, end - from - at, minOffset)) continue
      // Ordinary bytes seldom look like a batch; bytes made to look like many must not keep the broker from
      // starting.
      if (++candidates > MAX_CANDIDATES) return null
      const position = from + at
      let lastOffset = minOffset
      const found = await scanBatches({
        file,
        start: position,
        end,
        minOffset,
        checkFrom: 0 as Offset,
        chunkBytes: 64 * 1024,
        visit: (bytes, i) => {
          lastOffset = batchLastOffset(bytes, i)
        },
      })
      if (found.position > position) return { position, lastOffset }
    }
    from += length - BATCH_HEADER_BYTES + 1
  }
  return null
}

/** The cheap part of the question, because it is asked for every byte. */
function looksLikeBatch(bytes: Buffer, at: number, left: number, minOffset: Offset): boolean {
  if (bytes[at + 16] !== 2 || bytes[at] !== 0) return false
  if (validateFrame(bytes, at, at + left) !== null) return false
  const baseOffset = batchBaseOffset(bytes, at)
  return baseOffset >= minOffset && batchLastOffset(bytes, at) >= baseOffset
}
