/**
 * A read-only look at the files of a partition, with checks: for the command line, on a folder of a broker that is
 * stopped or running, ours or Kafka's. It never changes a file, and what it finds wrong is a value, not an error.
 */
import { type BatchHeader, describeBatchProblem, readBatchHeader } from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type Disk, type DiskFile } from '../env.ts'
import { baseNameOf } from './checkpoints.ts'
import { INDEX_SUFFIX, LOG_SUFFIX, parseFileName, TIME_INDEX_SUFFIX } from './file-names.ts'
import { END_MARK } from './log-writer.ts'
import { isZero, OffsetIndex } from './offset-index.ts'
import { type ProducerSnapshotEntry, parseProducerSnapshot } from './producer-snapshot.ts'
import { findBatchBehind, type ScanProblem, scanBatches } from './scan.ts'
import { TimeIndex } from './time-index.ts'
import { type AbortedTransaction, parseTransactionIndex } from './transaction-index.ts'

/** One line of a dump. `problem` items are what the checks have found. */
export type DumpItem =
  | {
      readonly kind: 'batch'
      readonly position: number
      readonly header: BatchHeader
      readonly bytes: Uint8Array
    }
  | { readonly kind: 'offset-entry'; readonly offset: Offset; readonly position: number }
  | { readonly kind: 'time-entry'; readonly timestamp: number; readonly offset: Offset }
  | { readonly kind: 'aborted'; readonly transaction: AbortedTransaction }
  | { readonly kind: 'producer'; readonly entry: ProducerSnapshotEntry }
  /** Room behind the last batch that holds no data: preallocated, or recycled. */
  | { readonly kind: 'unused'; readonly position: number; readonly bytes: number }
  | { readonly kind: 'problem'; readonly message: string; readonly position?: number }

export interface DumpOptions {
  /** Give the bytes of each whole batch, so that records can be decoded. Else `bytes` is empty. */
  readonly withBytes?: boolean
}

/** Walks one file; its kind is told by its name. Rejects with `DiskError` where it cannot be read. */
export async function* dumpFile(
  disk: Disk,
  path: string,
  options: DumpOptions = {},
): AsyncGenerator<DumpItem> {
  const name = parseFileName(baseNameOf(path).replace(/\.damaged-\d+$/, ''))
  if (name === null) {
    yield { kind: 'problem', message: 'the name is not that of a file of a partition' }
    return
  }
  switch (name.suffix) {
    case LOG_SUFFIX:
      yield* dumpLog(disk, path, name.baseOffset, options)
      return
    case INDEX_SUFFIX:
      yield* dumpOffsetIndex(disk, path, name.baseOffset)
      return
    case TIME_INDEX_SUFFIX:
      yield* dumpTimeIndex(disk, path, name.baseOffset)
      return
    case '.txnindex': {
      const entries = parseTransactionIndex(await disk.readFile(path))
      if (typeof entries === 'string') yield { kind: 'problem', message: entries }
      else for (const transaction of entries) yield { kind: 'aborted', transaction }
      return
    }
    default: {
      const entries = parseProducerSnapshot(await disk.readFile(path))
      if (typeof entries === 'string') yield { kind: 'problem', message: entries }
      else for (const entry of entries) yield { kind: 'producer', entry }
    }
  }
}

/** How many batches are looked at before they are given out. */
const PAGE = 256

async function* dumpLog(
  disk: Disk,
  path: string,
  baseOffset: Offset,
  options: DumpOptions,
): AsyncGenerator<DumpItem> {
  const file = await disk.open(path, 'read')
  try {
    const end = await file.size()
    let position = 0
    let minOffset = baseOffset
    let problem: ScanProblem | null = null
    while (position < end && problem === null) {
      const found: { position: number; header: BatchHeader }[] = []
      const scan = await scanBatches({
        file,
        start: position,
        end,
        minOffset,
        checkFrom: 0 as Offset,
        visit: (bytes, at, where) =>
          found.push({ position: where, header: readBatchHeader(bytes, at) }) < PAGE,
      })
      for (const batch of found) {
        const bytes = options.withBytes
          ? await readExactly(file, batch.position, batch.header.byteLength)
          : NO_BYTES
        yield { kind: 'batch', ...batch, bytes }
      }
      position = scan.position
      minOffset = scan.nextOffset
      problem = scan.problem
    }
    if (problem !== null) yield await describeEnd(file, position, end, minOffset, problem)
  } finally {
    await file.close()
  }
}

const NO_BYTES = new Uint8Array(0)

async function describeEnd(
  file: DiskFile,
  position: number,
  end: number,
  minOffset: Offset,
  problem: ScanProblem,
): Promise<DumpItem> {
  const start = await readExactly(file, position, Math.min(64, end - position))
  const isUnused = isZero(start) || start.subarray(0, END_MARK.length).equals(END_MARK)
  if (isUnused) return { kind: 'unused', position, bytes: end - position }
  const behind = await findBatchBehind(file, position, end, minOffset)
  const what = problem === 'OUT_OF_ORDER' ? 'the offsets go back or overlap' : describeBatchProblem(problem)
  const rest =
    behind === null
      ? 'no sound batch follows: a torn tail, which is cut when the partition is opened'
      : `sound batches follow at position ${behind.position}, up to offset ${behind.lastOffset}: the middle is damaged`
  return { kind: 'problem', position, message: `${what}; ${rest}` }
}

async function readExactly(file: DiskFile, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length)
  return bytes.subarray(0, await file.read(bytes, position))
}

// ------------------------------------------------------------------------------------- indexes

async function* dumpOffsetIndex(disk: Disk, path: string, baseOffset: Offset): AsyncGenerator<DumpItem> {
  const index = OffsetIndex.parse(await disk.readFile(path), baseOffset)
  if (typeof index === 'string') {
    yield { kind: 'problem', message: index }
    return
  }
  const batches = await batchesOf(disk, path, baseOffset)
  for (let i = 0; i < index.count; i++) {
    const entry = index.entry(i)
    yield { kind: 'offset-entry', ...entry }
    const batch = batches.byPosition.get(entry.position)
    if (batch?.lastOffset === entry.offset) continue
    const there =
      batch === undefined ? 'no batch starts' : `the batch that ends with offset ${batch.lastOffset} starts`
    yield {
      kind: 'problem',
      position: entry.position,
      message: `entry ${i} says that the batch ending with offset ${entry.offset} starts here, but ${there} there`,
    }
  }
}

async function* dumpTimeIndex(disk: Disk, path: string, baseOffset: Offset): AsyncGenerator<DumpItem> {
  const index = TimeIndex.parse(await disk.readFile(path), baseOffset)
  if (typeof index === 'string') {
    yield { kind: 'problem', message: index }
    return
  }
  const batches = await batchesOf(disk, path, baseOffset)
  for (let i = 0; i < index.count; i++) {
    const entry = index.entry(i)
    yield { kind: 'time-entry', ...entry }
    const batch = batches.byLastOffset.get(entry.offset)
    if (batch?.maxTimestamp === entry.timestamp) continue
    const there = batch === undefined ? 'no batch ends with it' : `its batch has ${batch.maxTimestamp}`
    yield {
      kind: 'problem',
      message: `entry ${i} gives offset ${entry.offset} the timestamp ${entry.timestamp}, but ${there}`,
    }
  }
}

interface KnownBatch {
  readonly lastOffset: Offset
  readonly maxTimestamp: number
}

/** The batches of the log file that belongs to an index. */
async function batchesOf(
  disk: Disk,
  indexPath: string,
  baseOffset: Offset,
): Promise<{ byPosition: Map<number, KnownBatch>; byLastOffset: Map<Offset, KnownBatch> }> {
  const byPosition = new Map<number, KnownBatch>()
  const byLastOffset = new Map<Offset, KnownBatch>()
  const path = indexPath.replace(/\.(index|timeindex)/, LOG_SUFFIX)
  if ((await disk.size(path)) === null) return { byPosition, byLastOffset }
  const file = await disk.open(path, 'read')
  try {
    await scanBatches({
      file,
      start: 0,
      end: await file.size(),
      minOffset: baseOffset,
      visit: (bytes, at, position) => {
        const { lastOffset, maxTimestamp } = readBatchHeader(bytes, at)
        byPosition.set(position, { lastOffset, maxTimestamp })
        byLastOffset.set(lastOffset, { lastOffset, maxTimestamp })
      },
    })
  } finally {
    await file.close()
  }
  return { byPosition, byLastOffset }
}
