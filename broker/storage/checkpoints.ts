/**
 * Small text files that say where things stand, in Kafka's formats: version line, count line, one line for each
 * entry. They are replaced as a whole (temporary file, sync, rename, folder sync) and checked on reading: a torn or
 * foreign file is reported and treated as absent, never half believed; a file of no bytes has no entries. Absent is
 * always safe: more is scanned, nothing lost.
 */
import { type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type Disk, DiskError, type Log } from '../env.ts'

export const RECOVERY_POINT_CHECKPOINT = 'recovery-point-offset-checkpoint'
export const REPLICATION_OFFSET_CHECKPOINT = 'replication-offset-checkpoint'
export const LOG_START_CHECKPOINT = 'log-start-offset-checkpoint'
export const CLEANER_OFFSET_CHECKPOINT = 'cleaner-offset-checkpoint'
export const LEADER_EPOCH_CHECKPOINT = 'leader-epoch-checkpoint'

export interface OffsetCheckpointEntry {
  readonly topic: string
  readonly partition: number
  readonly offset: Offset
}

export interface EpochEntry {
  readonly epoch: LeaderEpoch
  /** First offset written in that epoch. */
  readonly startOffset: Offset
}

/** `topic` and `partition` as one key; topic names have no spaces. */
export function checkpointKey(topic: string, partition: number): string {
  return `${topic} ${partition}`
}

/** All offsets of one of the data folder's checkpoints by `checkpointKey`; empty where there is no (whole) file. */
export async function readOffsetCheckpoint(
  disk: Disk,
  path: string,
  log: Log,
): Promise<ReadonlyMap<string, Offset>> {
  const lines = await readCheckpoint(disk, path, log, 3)
  const offsets = new Map<string, Offset>()
  for (const [topic, partition, offset] of lines ?? []) {
    offsets.set(`${topic} ${Number(partition)}`, Number(offset) as Offset)
  }
  return offsets
}

export async function writeOffsetCheckpoint(
  disk: Disk,
  path: string,
  entries: Iterable<OffsetCheckpointEntry>,
): Promise<void> {
  const lines = Array.from(entries, ({ topic, partition, offset }) => `${topic} ${partition} ${offset}`)
  await writeCheckpoint(disk, path, lines)
}

/** The epochs of a partition in order; null where there is no (whole) file. */
export async function readLeaderEpochs(
  disk: Disk,
  directory: string,
  log: Log,
): Promise<EpochEntry[] | null> {
  const path = `${directory}/${LEADER_EPOCH_CHECKPOINT}`
  const lines = await readCheckpoint(disk, path, log, 2)
  if (lines === null) return null
  const entries = lines.map(([epoch, offset]) => ({
    epoch: Number(epoch) as LeaderEpoch,
    startOffset: Number(offset) as Offset,
  }))
  const ordered = entries.every((entry, i) => {
    const before = entries[i - 1]
    return before === undefined || (before.epoch < entry.epoch && before.startOffset <= entry.startOffset)
  })
  if (ordered) return entries
  reportDamage(log, path, 'its epochs are not in order')
  return null
}

export async function writeLeaderEpochs(
  disk: Disk,
  directory: string,
  entries: readonly EpochEntry[],
): Promise<void> {
  const lines = entries.map(({ epoch, startOffset }) => `${epoch} ${startOffset}`)
  await writeCheckpoint(disk, `${directory}/${LEADER_EPOCH_CHECKPOINT}`, lines)
}

/**
 * Fields of each line, the last `fields - (fields > 2 ? 1 : 0)` of them numbers; null where the file is absent or
 * damaged.
 */
async function readCheckpoint(
  disk: Disk,
  path: string,
  log: Log,
  fields: number,
): Promise<string[][] | null> {
  const text = await readOptional(disk, path)
  if (text === null) return null
  const parsed = parseCheckpoint(text.toString('utf8'), fields)
  if (typeof parsed !== 'string') return parsed
  reportDamage(log, path, parsed)
  return null
}

function parseCheckpoint(text: string, fields: number): string[][] | string {
  // Kafka makes the file of its cleaner before it has anything to put into it.
  if (text === '') return []
  const lines = text.split('\n')
  // Every line is ended: a file that does not end so was cut off, perhaps inside a number.
  if (lines.pop() !== '') return 'it does not end with a line end'
  const [version, count, ...rest] = lines
  if (version !== '0') return `its version is not 0`
  if (count === undefined || !/^\d+$/.test(count)) return 'its count line is no number'
  if (rest.length !== Number(count)) return `it has ${rest.length} entries and announces ${count}`
  const entries = rest.map(line => line.split(/\s+/))
  const numbersFrom = fields > 2 ? 1 : 0
  for (const [i, entry] of entries.entries()) {
    const numbers = entry.slice(numbersFrom)
    const whole =
      entry.length === fields && numbers.every(n => /^\d+$/.test(n) && Number.isSafeInteger(Number(n)))
    if (!whole) return `its entry ${i + 1} is malformed`
  }
  return entries
}

function reportDamage(log: Log, path: string, reason: string): void {
  log.error(
    'checkpoint file is damaged and is ignored: what it spared will be found out by reading the log',
    {
      path,
      reason,
    },
  )
}

async function writeCheckpoint(disk: Disk, path: string, lines: readonly string[]): Promise<void> {
  const text = `0\n${lines.length}\n${lines.map(line => `${line}\n`).join('')}`
  await replaceFile(disk, path, Buffer.from(text, 'utf8'))
}

// ------------------------------------------------------------------------------------- whole small files

/** The content of a small file, or null where there is none. */
export async function readOptional(disk: Disk, path: string): Promise<Buffer | null> {
  try {
    return await disk.readFile(path)
  } catch (error) {
    if (error instanceof DiskError && error.code === 'NOT_FOUND') return null
    throw error
  }
}

/** Puts `content` at `path` so that after a crash either the old or the new file is there, whole. */
export async function replaceFile(disk: Disk, path: string, content: Uint8Array): Promise<void> {
  const temporary = `${path}.tmp`
  const file = await disk.open(temporary, 'create')
  try {
    await file.truncate(0)
    await file.write([content], 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(temporary, path)
  await disk.syncDirectory(parentOf(path))
}

export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/'
}

export function baseNameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
