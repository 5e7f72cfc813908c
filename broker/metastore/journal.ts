/**
 * The files of the embedded store: a log of transactions, and now and then a snapshot that lets the log before it go.
 * Knows bytes, offsets and names; it must never report as durable what is not, nor delete what no durable snapshot
 * covers. What was durable once and cannot be read any more keeps the broker from starting: an older state would be
 * taken for the newest, and topics that exist for strays.
 *
 *   __sluice_metadata-0/
 *     00000000000000000420-0000000000.checkpoint     the state up to offset 420
 *     00000000000000000420.log ...                   transactions from there on
 *     recovery-point-offset-checkpoint               up to here all was durable at the last start or clean stop
 */
import { assert } from '../../client/protocol/assert.ts'
import { forEachBatch } from '../../client/protocol/batch.ts'
import { MalformedError } from '../../client/protocol/errors.ts'
import { type LeaderEpoch, type Offset } from '../../client/protocol/types.ts'
import { type Clock, type Disk, DiskError, type Log } from '../env.ts'
import {
  checkpointKey,
  parentOf,
  RECOVERY_POINT_CHECKPOINT,
  readOffsetCheckpoint,
  writeOffsetCheckpoint,
} from '../storage/checkpoints.ts'
import { PartitionLog } from '../storage/partition-log.ts'
import { SharedStorage } from '../storage/shared-storage.ts'
import { type LogCut } from '../storage/types.ts'
import { witnessedOffset } from './damage.ts'
import { MetaStoreError } from './metastore.ts'
import { decodeChanges, decodeSnapshot, encodeChanges, encodeSnapshot, type Snapshot } from './records.ts'
import { type StateChange } from './state.ts'

export interface JournalOptions {
  readonly disk: Disk
  readonly clock: Clock
  readonly log: Log
  /** Absolute path; made where it is missing. */
  readonly directory: string
}

export interface OpenedJournal {
  readonly journal: Journal
  /** Null when there has been none: the log holds everything. */
  readonly snapshot: Snapshot | null
}

const CHECKPOINT_ENTRY = { topic: '__sluice_metadata', partition: 0 }
const CHECKPOINT_KEY = checkpointKey(CHECKPOINT_ENTRY.topic, CHECKPOINT_ENTRY.partition)
const SNAPSHOT_NAME = /^(\d{20})-\d{10}\.checkpoint$/
const UNFINISHED_SUFFIX = '.part'
const READ_BYTES = 1024 * 1024
/** Transactions are small: segments end with snapshots, and otherwise only when they get out of hand. */
const SEGMENT_BYTES = 256 * 1024 * 1024

export class Journal {
  readonly #options: JournalOptions
  readonly #shared: SharedStorage
  readonly #log: PartitionLog
  readonly #snapshotOffset: Offset
  /** As the checkpoint has it. */
  #recoveryPoint: Offset
  #bytesSinceSnapshot = 0
  /** Size of the last snapshot. */
  #snapshotBytes = 0

  private constructor(
    options: JournalOptions,
    shared: SharedStorage,
    log: PartitionLog,
    snapshotOffset: Offset,
    recoveryPoint: Offset,
  ) {
    this.#options = options
    this.#shared = shared
    this.#log = log
    this.#snapshotOffset = snapshotOffset
    this.#recoveryPoint = recoveryPoint
  }

  /** Opens or makes the folder. Rejects with a `MetaStoreError` where what was stored is damaged, or a `DiskError`. */
  static async open(options: JournalOptions): Promise<OpenedJournal> {
    const { disk, clock, log, directory } = options
    await disk.makeDirectory(directory)
    // Also when it was there: whoever made it may not have come this far.
    await disk.syncDirectory(parentOf(directory))
    const snapshot = await readNewestSnapshot(options)
    const snapshotOffset = snapshot?.logOffset ?? (0 as Offset)
    // Transactions are small and read once: next to nothing is worth keeping in memory.
    const shared = new SharedStorage({
      disk,
      clock,
      log,
      tailCacheBytes: 64 * 1024,
      maxOpenFiles: 4,
      readBufferBytes: 2 * READ_BYTES,
    })
    const path = `${directory}/${RECOVERY_POINT_CHECKPOINT}`
    const recoveryPoint = (await readOffsetCheckpoint(disk, path, log)).get(CHECKPOINT_KEY) ?? (0 as Offset)
    const opened = await PartitionLog.open({
      shared,
      directory,
      config: {
        segmentBytes: SEGMENT_BYTES,
        indexBytes: 1024 * 1024,
        indexIntervalBytes: 64 * 1024,
        preallocate: false,
      },
      logStartOffset: snapshotOffset,
      recoveryPoint: snapshotOffset,
      cleanShutdown: false,
      onCut: cut => refuseLoss(options, cut, recoveryPoint),
    })
    const partition = opened.log
    const problem = problemOf(options, partition, snapshotOffset, recoveryPoint)
    if (problem !== null) {
      await partition.close(false)
      await shared.close()
      throw problem
    }
    // A crash may have kept the snapshot and lost the segment that was to follow it.
    if (partition.endOffset < snapshotOffset) await partition.truncateFullyAndStartAt(snapshotOffset)
    return { journal: new Journal(options, shared, partition, snapshotOffset, recoveryPoint), snapshot }
  }

  /** One beyond the last record appended. */
  get endOffset(): Offset {
    return this.#log.endOffset
  }

  /** One beyond the last record that survives a power cut. */
  get durableOffset(): Offset {
    return this.#log.durableOffset
  }

  /**
   * A snapshot would let go of at least `leastBytes` of transactions, and of no less than it takes itself: so at most as
   * much is written for snapshots as for transactions.
   */
  isSnapshotDue(leastBytes: number): boolean {
    return this.#bytesSinceSnapshot >= Math.max(leastBytes, this.#snapshotBytes)
  }

  /** Gives every transaction after the snapshot to `visit`, in order. Only at the start, before the first append. */
  async replay(visit: (changes: StateChange[]) => void): Promise<void> {
    let offset = this.#snapshotOffset
    while (offset < this.#log.endOffset) {
      const slices = await this.#log.read(offset, READ_BYTES, this.#log.endOffset, true)
      try {
        if (slices.byteLength === 0)
          throw damaged(this.#options.directory, `no record can be read at offset ${offset}`)
        this.#bytesSinceSnapshot += slices.byteLength
        this.#replaySlices(slices.slices, visit)
        offset = slices.nextOffset
      } finally {
        slices.release()
      }
    }
  }

  #replaySlices(slices: readonly Uint8Array[], visit: (changes: StateChange[]) => void): void {
    try {
      for (const slice of slices) forEachBatch(slice, position => visit(decodeChanges(slice, position)))
    } catch (error) {
      if (!(error instanceof MalformedError)) throw error
      throw damaged(this.#options.directory, error.message, error)
    }
  }

  /** Joins the next `flush`; returns the offset that is durable once this transaction is. At least one change. */
  append(changes: readonly StateChange[]): Offset {
    const baseOffset = this.#log.endOffset
    const active = this.#log.segments.at(-1)!
    if (active.indexFull || active.sizeBytes >= SEGMENT_BYTES) this.#log.roll(baseOffset)
    const timestamp = this.#options.clock.wallMs()
    const bytes = encodeChanges(changes, baseOffset, timestamp, this.#log.durableOffset)
    this.#log.append({
      bytes,
      owner: null,
      baseOffset,
      lastOffset: (baseOffset + changes.length - 1) as Offset,
      maxTimestamp: timestamp,
      leaderEpoch: 0 as LeaderEpoch,
    })
    this.#bytesSinceSnapshot += bytes.length
    return this.#log.endOffset
  }

  /**
   * Makes all that was appended durable: one write and one sync for all. Rejects with `AppendError` when the disk did
   * not take it (it is gone from the log), with another error when nothing can be known any more.
   */
  async flush(): Promise<void> {
    await this.#log.writePending()
    await this.#log.sync()
  }

  /**
   * Writes a snapshot and deletes the transactions that it covers. `image` is the state at `endOffset`, which is
   * durable. The log is rolled before the first wait: transactions that come meanwhile go to a new segment.
   */
  async takeSnapshot(image: Snapshot['image']): Promise<void> {
    const logOffset = this.#log.endOffset
    assert(this.#log.durableOffset === logOffset, 'a snapshot is taken when all that it holds is durable')
    const pieces = encodeSnapshot({ image, logOffset }, this.#options.clock.wallMs())
    this.#snapshotBytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
    if (this.#log.segments.at(-1)!.sizeBytes > 0) this.#log.roll(logOffset)
    this.#bytesSinceSnapshot = 0
    await writeSnapshot(this.#options, logOffset, pieces)
    await this.#log.deleteSegmentsBefore(logOffset)
    await this.#log.purgeDeleted(0)
    await removeSnapshotsBut(this.#options, snapshotName(logOffset))
  }

  /**
   * Remembers that all is durable up to here: what is damaged later on can then be told from what was never
   * promised.
   */
  async saveRecoveryPoint(): Promise<void> {
    const { disk, directory } = this.#options
    const offset = this.durableOffset
    if (offset === this.#recoveryPoint) return
    const entries = [{ ...CHECKPOINT_ENTRY, offset }]
    await writeOffsetCheckpoint(disk, `${directory}/${RECOVERY_POINT_CHECKPOINT}`, entries)
    this.#recoveryPoint = offset
  }

  /** `clean`: what is pending is written and synced first. */
  async close(clean: boolean): Promise<void> {
    await this.#log.close(clean)
    if (clean) await this.saveRecoveryPoint()
    await this.#shared.close()
  }
}

/** What is missing although every batch that is there is sound. */
function problemOf(
  { directory }: JournalOptions,
  log: PartitionLog,
  snapshotOffset: Offset,
  recoveryPoint: Offset,
): MetaStoreError | null {
  if (log.endOffset < recoveryPoint && snapshotOffset < recoveryPoint) {
    return lost(directory, log.endOffset, recoveryPoint)
  }
  if (log.firstOffset <= snapshotOffset) return null
  const what = `the log begins at offset ${log.firstOffset}, after its snapshot (${snapshotOffset})`
  return damaged(directory, what)
}

/** Rejects where what is to be cut off was durable once: that is no torn tail. */
async function refuseLoss(options: JournalOptions, cut: LogCut, recoveryPoint: Offset): Promise<void> {
  const witnessed = Math.max(recoveryPoint, await witnessedOffset(options.disk, cut))
  if (witnessed > cut.endOffset) throw lost(`${cut.path}, position ${cut.position}`, cut.endOffset, witnessed)
}

function lost(where: string, endOffset: Offset, durable: number): MetaStoreError {
  const what = `changes ${endOffset} to ${durable - 1} were acknowledged and cannot be read any more`
  return damaged(where, what)
}

// --------------------------------------------------------------------------------------- snapshot files

function snapshotName(offset: Offset): string {
  return `${String(offset).padStart(20, '0')}-0000000000.checkpoint`
}

async function readNewestSnapshot(options: JournalOptions): Promise<Snapshot | null> {
  const { disk, directory } = options
  const names = (await disk.list(directory)).map(entry => entry.name)
  for (const name of names) {
    if (name.endsWith(`.checkpoint${UNFINISHED_SUFFIX}`)) await disk.remove(`${directory}/${name}`)
  }
  const newest = names
    .filter(name => SNAPSHOT_NAME.test(name))
    .sort()
    .at(-1)
  if (newest === undefined) return null
  // An older one does not help: the log that leads from it to the newest is deleted when that is in place.
  const bytes = await disk.readFile(`${directory}/${newest}`)
  try {
    const snapshot = decodeSnapshot(bytes)
    if (newest !== snapshotName(snapshot.logOffset))
      throw new MalformedError('its name is not that of its content')
    return snapshot
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error
    throw damaged(`${directory}/${newest}`, error.message, error)
  }
}

/** Under its final name it is whole and durable, or not there. */
async function writeSnapshot(
  options: JournalOptions,
  offset: Offset,
  pieces: readonly Buffer[],
): Promise<void> {
  const { disk, directory } = options
  const path = `${directory}/${snapshotName(offset)}`
  const unfinished = `${path}${UNFINISHED_SUFFIX}`
  const file = await disk.open(unfinished, 'create')
  try {
    await file.truncate(0)
    await file.write(pieces, 0)
    await file.sync()
  } finally {
    await file.close()
  }
  await disk.rename(unfinished, path)
  await disk.syncDirectory(directory)
}

async function removeSnapshotsBut(options: JournalOptions, kept: string): Promise<void> {
  const { disk, directory } = options
  for (const { name } of await disk.list(directory)) {
    if (name === kept || !SNAPSHOT_NAME.test(name)) continue
    try {
      await disk.remove(`${directory}/${name}`)
    } catch (error) {
      if (!(error instanceof DiskError)) throw error
      options.log.warn('an old metadata snapshot could not be removed', { name, error })
    }
  }
}

function damaged(where: string, what: string, cause?: unknown): MetaStoreError {
  return new MetaStoreError(
    'STORAGE_FAILED',
    `The metadata of this node is damaged: ${what} (${where}). Topics and their settings cannot be read from it, and an ` +
      'older state would be wrong without anybody noticing. Nothing was changed. Check the disk, and restore the folder ' +
      'from a copy. Where there is none, move the folder away: the broker then takes over the topics whose records lie in ' +
      'the other folders, without their settings.',
    { cause },
  )
}
