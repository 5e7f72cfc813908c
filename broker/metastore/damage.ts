/**
 * Tells a torn tail of the metadata log from damage to what was promised. Each transaction says up to which offset the
 * log was durable when it was made, so one sound transaction behind the damage is a witness:
 *
 *   | 0 | 1 | 2 | xxxxx | 5 "durable up to 5" |     offsets 3 and 4 were answered, and are lost: refuse to start
 *   | 0 | 1 | 2 | xxxxx | 5 "durable up to 3" |     3, 4 and 5 were on their way together when power went: a torn tail
 *
 * It only reads, and believes nothing but batches whose CRC is right.
 */
import {
  BATCH_HEADER_BYTES,
  batchByteLength,
  validateBatch,
  validateFrame,
} from '../../client/protocol/batch.ts'
import { MalformedError } from '../../client/protocol/errors.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type Disk } from '../env.ts'
import { type LogCut } from '../storage/types.ts'
import { durableOffsetIn } from './records.ts'

/** Bytes may look like a batch by chance; bytes that do so more often are not worth a start that takes for ever. */
const MAX_CANDIDATES = 10_000

/** The highest offset up to which what lies behind the cut says that the log was durable; 0 where nobody says so. */
export async function witnessedOffset(disk: Disk, cut: LogCut): Promise<Offset> {
  let highest = 0
  for (const path of [cut.path, ...cut.laterPaths]) {
    const bytes = await disk.readFile(path)
    highest = Math.max(highest, highestClaim(bytes, path === cut.path ? cut.position : 0))
  }
  return highest as Offset
}

function highestClaim(bytes: Buffer, from: number): number {
  let highest = 0
  let candidates = 0
  for (let at = from; at + BATCH_HEADER_BYTES <= bytes.length; ) {
    // The cheap part of the question comes first, because it is asked for every byte.
    const looksSound =
      bytes[at] === 0 && bytes[at + 16] === 2 && validateFrame(bytes, at, bytes.length) === null
    if (looksSound && ++candidates > MAX_CANDIDATES) break
    if (!looksSound || validateBatch(bytes, at, bytes.length, 'log') !== null) {
      at++
      continue
    }
    highest = Math.max(highest, claimAt(bytes, at))
    candidates--
    at += batchByteLength(bytes, at)
  }
  return highest
}

function claimAt(bytes: Buffer, at: number): number {
  try {
    return durableOffsetIn(bytes, at) ?? 0
  } catch (error) {
    if (error instanceof MalformedError) return 0
    throw error
  }
}
