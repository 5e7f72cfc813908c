/**
 * What lies in a partition's folder, brought into order before anybody looks into the files: left-overs of
 * deletions, compactions and splits are removed or completed as Kafka does it, files that belong to no segment go.
 */
import { type Offset } from '../../client/protocol/types.ts'
import { type Disk, DiskError, type Log } from '../env.ts'
import {
  CLEANED_SUFFIX,
  DELETED_SUFFIX,
  LOG_SUFFIX,
  parseFileName,
  type SegmentFileName,
  SNAPSHOT_SUFFIX,
  SWAP_SUFFIX,
} from './file-names.ts'
import { scanBatches } from './scan.ts'

export interface FolderContent {
  /** The folder was made. */
  readonly isNew: boolean
  /** Base offsets of the segments, ascending. */
  readonly bases: readonly Offset[]
  /** Offsets of the producer snapshots, ascending. */
  readonly snapshots: readonly Offset[]
}

/** Names that have changed are durable when it resolves. */
export async function prepareFolder(disk: Disk, directory: string, log: Log): Promise<FolderContent> {
  const names = await listOrMake(disk, directory)
  if (names === null) return { isNew: true, bases: [], snapshots: [] }
  const files = names.flatMap(name => parseFileName(name) ?? [])
  const marked = files.filter(file => file.mark !== '')
  if (marked.length > 0) {
    await finishInterrupted(disk, directory, log, files)
    return prepareFolder(disk, directory, log)
  }
  const bases = files.filter(file => file.suffix === LOG_SUFFIX).map(file => file.baseOffset)
  const known = new Set(bases)
  for (const { name, suffix, baseOffset } of files) {
    if (suffix === LOG_SUFFIX || suffix === SNAPSHOT_SUFFIX || known.has(baseOffset)) continue
    log.warn('index without a log file is removed', { path: `${directory}/${name}` })
    await disk.remove(`${directory}/${name}`)
  }
  const snapshots = files.filter(file => file.suffix === SNAPSHOT_SUFFIX).map(file => file.baseOffset)
  return { isNew: false, bases: bases.sort(ascending), snapshots: snapshots.sort(ascending) }
}

async function listOrMake(disk: Disk, directory: string): Promise<string[] | null> {
  try {
    const entries = await disk.list(directory)
    return entries.filter(entry => entry.kind === 'file').map(entry => entry.name)
  } catch (error) {
    if (!(error instanceof DiskError && error.code === 'NOT_FOUND')) throw error
    await disk.makeDirectory(directory)
    return null
  }
}

/**
 * `.deleted` and `.cleaned` files are removed. So are `.swap` files at or above the lowest `.cleaned` one: they are
 * parts of a split that has not finished (KAFKA-6264). What `.swap` remains is complete: the segments that it
 * covers are removed, then it takes their place.
 */
async function finishInterrupted(
  disk: Disk,
  directory: string,
  log: Log,
  files: readonly SegmentFileName[],
): Promise<void> {
  const of = (mark: string): SegmentFileName[] => files.filter(file => file.mark === mark)
  const lowestCleaned = Math.min(...of(CLEANED_SUFFIX).map(file => file.baseOffset))
  const swaps = of(SWAP_SUFFIX).filter(file => file.baseOffset < lowestCleaned)
  const worthless = [
    ...of(DELETED_SUFFIX),
    ...of(CLEANED_SUFFIX),
    ...of(SWAP_SUFFIX).filter(file => file.baseOffset >= lowestCleaned),
  ]
  for (const { name } of worthless) await disk.remove(`${directory}/${name}`)

  const covered = await coveredRange(disk, directory, swaps)
  for (const { name, baseOffset, suffix, mark } of files) {
    // Producer snapshots belong to no segment: they stay.
    const isOfSegment = mark === '' && suffix !== SNAPSHOT_SUFFIX
    if (!isOfSegment || baseOffset < covered.start || baseOffset >= covered.end) continue
    log.info('segment file is replaced by its compacted one', { path: `${directory}/${name}` })
    await disk.remove(`${directory}/${name}`)
  }
  for (const { name } of swaps) {
    await disk.rename(`${directory}/${name}`, `${directory}/${name.slice(0, -SWAP_SUFFIX.length)}`)
  }
  await disk.syncDirectory(directory)
}

async function coveredRange(
  disk: Disk,
  directory: string,
  swaps: readonly SegmentFileName[],
): Promise<{ start: number; end: number }> {
  let start = Infinity
  let end = -1
  for (const { name, baseOffset, suffix } of swaps) {
    if (suffix !== LOG_SUFFIX) continue
    const file = await disk.open(`${directory}/${name}`, 'read')
    try {
      const scan = await scanBatches({
        file,
        start: 0,
        end: await file.size(),
        minOffset: baseOffset,
        visit: () => {},
      })
      start = Math.min(start, baseOffset)
      end = Math.max(end, scan.nextOffset)
    } finally {
      await file.close()
    }
  }
  return { start, end }
}

function ascending(a: number, b: number): number {
  return a - b
}
