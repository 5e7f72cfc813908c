/**
 * Every batch of a segment, one after another, with all its bytes and its CRC checked: compaction must not copy
 * damage, let alone drop records because of it.
 */
import {
  BATCH_HEADER_BYTES,
  BATCH_PREFIX_BYTES,
  batchBaseOffset,
  batchByteLength,
  batchLastOffset,
  validateBatch,
} from '../../../client/protocol/batch.ts'
import { type Offset } from '../../../client/protocol/types.ts'
import { type DiskFile } from '../../env.ts'
import { CorruptLogError } from '../types.ts'
import { type Pace } from './pace.ts'

export interface BatchWalkOptions {
  readonly file: DiskFile
  /** Positions of the start of a batch, and of the end of what is written. */
  readonly start: number
  readonly end: number
  readonly minOffset: Offset
  /** Bytes of a read; a larger batch is read as a whole. */
  readonly chunkBytes: number
  readonly pace: Pace
  readonly isWanted: () => boolean
  /** `bytes` from `at` to `end` is the batch, valid until `afterChunk` has resolved. False ends the walk. */
  readonly visit: (bytes: Buffer, at: number, end: number, isLast: boolean) => Promise<boolean>
  /** The memory that was visited is about to be used again. */
  readonly afterChunk?: () => Promise<void>
}

/** Rejects with CorruptLogError where the bytes are not what was written. */
export async function walkBatches(options: BatchWalkOptions): Promise<void> {
  const { file, end, pace, visit } = options
  let chunk = Buffer.allocUnsafeSlow(Math.max(options.chunkBytes, BATCH_HEADER_BYTES))
  let position = options.start
  let nextOffset = options.minOffset
  while (position < end) {
    const length = await file.read(chunk.subarray(0, Math.min(chunk.length, end - position)), position)
    await pace.moved(length, options.isWanted)
    let at = 0
    while (length - at >= BATCH_PREFIX_BYTES) {
      const byteLength = batchByteLength(chunk, at)
      if (at + byteLength > length && byteLength <= end - position) break
      const problem = problemOf(chunk, at, length, nextOffset)
      if (problem !== null) throw damaged(file, position, problem)
      nextOffset = (batchLastOffset(chunk, at) + 1) as Offset
      const goOn = await visit(chunk, at, at + byteLength, position + byteLength === end)
      at += byteLength
      position += byteLength
      if (!goOn) return
      if (pace.isOver()) await pace.rest()
    }
    await options.afterChunk?.()
    if (at > 0) continue
    const needed = length < BATCH_PREFIX_BYTES ? 0 : batchByteLength(chunk, 0)
    if (needed <= chunk.length) throw damaged(file, position, 'the file is shorter than what was written')
    chunk = Buffer.allocUnsafeSlow(needed)
  }
}

function problemOf(bytes: Buffer, at: number, end: number, minOffset: Offset): string | null {
  const problem = validateBatch(bytes, at, end, 'log')
  if (problem !== null) return problem
  return batchBaseOffset(bytes, at) >= minOffset ? null : 'OUT_OF_ORDER'
}

function damaged(file: DiskFile, position: number, problem: string): CorruptLogError {
  return new CorruptLogError(
    file.path,
    position,
    `the log is damaged on disk and is not compacted any further: ${problem}. Look at the file with "sluice log dump"`,
  )
}
