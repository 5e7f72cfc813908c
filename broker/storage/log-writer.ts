/**
 * The way of appended batches to disk: they gather, go out in one vectored write, and are made durable by a sync
 * that all who wait share. It alone says what is written and what is durable. After a write that failed the log is
 * as if the batches had never come; after a sync that failed, or where the cut after a failed write fails too, it
 * is over.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type DiskFile } from '../env.ts'
import { type Retained } from '../slab.ts'
import { parentOf } from './checkpoints.ts'
import { type Segment, type SegmentMark, writeIndexes } from './segment.ts'
import { type SharedStorage } from './shared-storage.ts'
import { AppendError, type StoredBatch } from './types.ts'

/**
 * Follows the last batch where the file goes on behind it (preallocated, or recycled with old batches in it): the
 * start of a batch longer than any file. Whoever reads the file, Kafka and its tools too, takes it for a batch that
 * was not written completely, and stops.
 */
export const END_MARK: Buffer = Buffer.from('00000000000000007fffffff', 'hex')

/** Batches that go to one segment with one write. */
interface Group {
  readonly segment: Segment
  /** Of the segment before the first batch. */
  readonly before: SegmentMark
  readonly chunks: Uint8Array[]
  readonly owners: Retained[]
  byteLength: number
  endOffset: Offset
}

export interface LogWriterOptions {
  readonly shared: SharedStorage
  readonly directory: string
  readonly endOffset: Offset
  /** Size to which the file of a new segment is extended at once; 0 for not. */
  readonly preallocateBytes: () => number
  /** Everything from this offset on is gone: forget it. Called before the failed write is reported. */
  readonly onCut: (endOffset: Offset) => void
  /** A file of this partition that is no longer needed and may be renamed to be written over; null: there is none. */
  readonly takeSpare: () => string | null
}

export class LogWriter {
  readonly #shared: SharedStorage
  readonly #directory: string
  readonly #preallocateBytes: () => number
  readonly #onCut: (endOffset: Offset) => void
  readonly #takeSpare: () => string | null
  #pending: Group[] = []
  #pendingBytes = 0
  #writing: Promise<void> | null = null
  #nextWrite: Promise<void> | null = null
  /** The cut after a failed write is under way. */
  #cutting: Promise<void> | null = null
  #syncing: Promise<Offset> | null = null
  #nextSync: Promise<Offset> | null = null
  /** Runs what must not overlap: syncs, truncations, deletions, closing. */
  #lock: Promise<unknown> = Promise.resolve()
  readonly #dirty = new Set<Segment>()
  /** Rolled segments whose indexes are not on disk yet. */
  readonly #sealed = new Set<Segment>()
  #namesDirty = false
  #parentDirty = false
  #writtenOffset: Offset
  #durableOffset: Offset
  #failure: Error | null = null

  constructor(options: LogWriterOptions) {
    this.#shared = options.shared
    this.#directory = options.directory
    this.#preallocateBytes = options.preallocateBytes
    this.#onCut = options.onCut
    this.#takeSpare = options.takeSpare
    this.#writtenOffset = options.endOffset
    this.#durableOffset = options.endOffset
  }

  get writtenOffset(): Offset {
    return this.#writtenOffset
  }

  get durableOffset(): Offset {
    return this.#durableOffset
  }

  get failure(): Error | null {
    return this.#failure
  }

  /** Appended and not handed to the system yet. */
  get pendingBytes(): number {
    return this.#pendingBytes
  }

  get hasPending(): boolean {
    return this.#pending.length > 0 || this.#writing !== null
  }

  /** The log is over: everything that changes it fails with `error` from now on. */
  poison(error: Error): Error {
    this.#failure ??= error
    return this.#failure
  }

  /** New names in the folder are made durable by the next sync; `withFolder`: the folder's own name too. */
  namesChanged(withFolder = false): void {
    this.#namesDirty = true
    if (withFolder) this.#parentDirty = true
  }

  /** The file of a segment was written or cut by somebody else. */
  fileChanged(segment: Segment): void {
    this.#markDirty(segment)
  }

  segmentSealed(segment: Segment): void {
    this.#sealed.add(segment)
  }

  /** All of it is written and durable, its indexes too: nobody here will touch its files again. */
  isSettled(segment: Segment): boolean {
    const isWritten = segment.exists && segment.writtenBytes === segment.sizeBytes
    return isWritten && !this.#sealed.has(segment) && !this.#dirty.has(segment)
  }

  segmentGone(segment: Segment): void {
    this.#sealed.delete(segment)
    this.#dirty.delete(segment)
    this.#unpin(segment)
  }

  /** Runs `action` while neither a sync nor another such action is under way. */
  async exclusive<T>(action: () => Promise<T>): Promise<T> {
    const run = this.#lock.then(action)
    this.#lock = run.catch(() => {})
    return run
  }

  /** After a truncation or recovery: the log ends here, and up to `durable` it is known to be durable. */
  resetTo(endOffset: Offset, durable: Offset): void {
    assert(!this.hasPending, 'a log is cut only while nothing is pending')
    this.#writtenOffset = endOffset
    this.#durableOffset = Math.min(durable, endOffset) as Offset
  }

  /** Joins the pending write. `before` is the segment's state without the batch. */
  enqueue(segment: Segment, before: SegmentMark, batch: StoredBatch): void {
    let group = this.#pending.at(-1)
    if (group === undefined || group.segment !== segment) {
      group = { segment, before, chunks: [], owners: [], byteLength: 0, endOffset: before.endOffset }
      this.#pending.push(group)
    }
    group.chunks.push(batch.bytes)
    group.byteLength += batch.bytes.length
    this.#pendingBytes += batch.bytes.length
    group.endOffset = (batch.lastOffset + 1) as Offset
    if (batch.owner !== null) {
      batch.owner.retain()
      group.owners.push(batch.owner)
    }
  }

  // ------------------------------------------------------------------------------------- writing

  write(): undefined | Promise<void> {
    if (this.#failure !== null) throw this.#failure
    if (this.#writing !== null) return this.#writeNext()
    const groups = this.#pending
    if (groups.length === 0) return undefined
    this.#pending = []
    this.#pendingBytes = 0
    const [first] = groups
    if (groups.length === 1 && first !== undefined && this.#cutting === null && this.#writeOnLoop(first)) {
      return undefined
    }
    this.#writing = this.#writeInPool(groups).finally(() => {
      this.#writing = null
    })
    return this.#writing
  }

  /** All who come while a write is under way share the next one. */
  #writeNext(): Promise<void> {
    assert(this.#writing !== null, 'a write is under way')
    this.#nextWrite ??= this.#writing
      .finally(() => {
        this.#nextWrite = null
      })
      .then(() => this.write())
    return this.#nextWrite
  }

  #writeOnLoop(group: Group): boolean {
    const { files, writePolicy } = this.#shared
    const file = files.opened(group.segment.path)
    if (file === null || !group.segment.exists || !writePolicy.takesLoop(group.byteLength)) return false
    const startedMs = writePolicy.begin()
    try {
      file.writeSync(withEndMark(group), group.segment.writtenBytes)
    } catch (error) {
      throw this.#fail([group], error)
    } finally {
      writePolicy.wroteOnLoop(startedMs)
    }
    this.#finish(group)
    return true
  }

  async #writeInPool(groups: Group[]): Promise<void> {
    while (groups.length > 0) {
      const group = groups[0]!
      const { segment } = group
      try {
        await this.#cutting
        if (this.#failure !== null) throw this.#failure
        const file = segment.exists
          ? await this.#shared.files.pin(segment.path)
          : await this.createFile(segment)
        try {
          const startedMs = this.#shared.writePolicy.begin()
          await file.write(withEndMark(group), segment.writtenBytes)
          this.#shared.writePolicy.wroteInPool(startedMs)
          this.#finish(group)
        } finally {
          this.#shared.files.unpin(segment.path, file)
        }
      } catch (error) {
        throw this.#fail(groups, error)
      }
      groups.shift()
    }
  }

  #finish(group: Group): void {
    const { segment } = group
    segment.writtenBytes += group.byteLength
    segment.fileBytes = Math.max(segment.fileBytes, segment.writtenBytes)
    this.#markDirty(segment)
    this.#writtenOffset = group.endOffset
    for (const owner of group.owners) owner.release()
  }

  #markDirty(segment: Segment): void {
    segment.isDirty = true
    this.#dirty.add(segment)
    if (segment.pinned !== null) return
    // A file that was closed with unsynced bytes could hide the error of their write-back from the sync.
    segment.pinned = this.#shared.files.opened(segment.path)
    if (segment.pinned !== null) this.#shared.files.pinOpened(segment.path)
  }

  /** Makes the segment's file; pinned for the caller. */
  async createFile(segment: Segment): Promise<DiskFile> {
    const { files } = this.#shared
    const isRecycled = await this.#recycle(segment)
    const file = await files.pin(segment.path, 'create')
    try {
      segment.fileBytes = await file.size()
      if (!isRecycled) {
        // What is there was left from a creation that failed half-way.
        const preallocateBytes = this.#preallocateBytes()
        if (segment.fileBytes > 0) await file.truncate(0)
        if (preallocateBytes > 0) await file.truncate(preallocateBytes)
        segment.fileBytes = preallocateBytes
      }
      if (segment.fileBytes > END_MARK.length) await file.write([END_MARK], 0)
    } catch (error) {
      files.unpin(segment.path, file)
      throw error
    }
    segment.exists = true
    this.#namesDirty = true
    return file
  }

  /**
   * Renames a spare file to the segment's: its blocks and pages exist, which makes writing it several times faster
   * than a file that grows. Old batches in it can never be taken for new ones: their offsets lie below the
   * segment's.
   */
  async #recycle(segment: Segment): Promise<boolean> {
    const spare = this.#takeSpare()
    if (spare === null) return false
    try {
      await this.#shared.disk.rename(spare, segment.path)
      return true
    } catch (error) {
      this.#shared.log.warn('a file could not be recycled, a new one is made', { path: spare, error })
      return false
    }
  }

  /** Takes everything back that was not written: `groups`, and what came since. */
  #fail(groups: readonly Group[], cause: unknown): Error {
    const dropped = [...groups, ...this.#pending]
    this.#pending = []
    this.#pendingBytes = 0
    const first = dropped[0]!
    for (const group of dropped.toReversed()) {
      group.segment.restore(group.before)
      for (const owner of group.owners) owner.release()
    }
    const endOffset = this.#writtenOffset
    this.#onCut(endOffset)
    if (this.#failure !== null) return this.#failure
    this.#cutting ??= this.#cutFile(first.segment).finally(() => {
      this.#cutting = null
    })
    const reason = cause instanceof Error ? cause.message : String(cause)
    return new AppendError(
      endOffset,
      `the log cannot be written, nothing of the append was kept: ${reason}`,
      cause,
    )
  }

  /**
   * What reached the file must go from it, or a crash would bring back batches that were refused. Where it will not
   * go, the log takes no more writes.
   */
  async #cutFile(segment: Segment): Promise<void> {
    if (!segment.exists) return
    try {
      await this.#shared.files.with(segment.path, async file => {
        await file.truncate(segment.writtenBytes)
        segment.fileBytes = segment.writtenBytes
        this.#markDirty(segment)
      })
    } catch (error) {
      this.poison(error as Error)
    }
  }

  // ------------------------------------------------------------------------------------- syncing

  sync(): Promise<Offset> {
    if (this.#failure !== null) return Promise.reject(this.#failure)
    if (this.#syncing !== null) {
      this.#nextSync ??= this.#syncing
        .finally(() => {
          this.#nextSync = null
        })
        .then(() => this.sync())
      return this.#nextSync
    }
    const nothingToDo =
      this.#dirty.size === 0 && this.#sealed.size === 0 && !this.#namesDirty && !this.#parentDirty
    if (nothingToDo && this.#durableOffset === this.#writtenOffset)
      return Promise.resolve(this.#durableOffset)
    this.#syncing = this.exclusive(() => this.syncNow()).finally(() => {
      this.#syncing = null
    })
    return this.#syncing
  }

  /** Only from within `exclusive`. */
  async syncNow(): Promise<Offset> {
    if (this.#failure !== null) throw this.#failure
    const target = this.#writtenOffset
    const dirty = [...this.#dirty]
    this.#dirty.clear()
    try {
      await Promise.all(dirty.map(segment => this.#syncSegment(segment)))
      // Before the names are synced, so that those of the indexes are among them.
      for (const segment of [...this.#sealed]) await this.#settle(segment)
      await this.#syncFolders()
    } catch (error) {
      throw this.poison(error as Error)
    }
    this.#durableOffset = Math.max(this.#durableOffset, Math.min(target, this.#writtenOffset)) as Offset
    return this.#durableOffset
  }

  /** Makes the names of the files durable, not what is in them. Only from within `exclusive`. */
  async syncNames(): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    try {
      await this.#syncFolders()
    } catch (error) {
      throw this.poison(error as Error)
    }
  }

  async #syncFolders(): Promise<void> {
    if (this.#namesDirty) {
      this.#namesDirty = false
      await this.#shared.disk.syncDirectory(this.#directory)
    }
    if (this.#parentDirty) {
      this.#parentDirty = false
      await this.#shared.disk.syncDirectory(parentOf(this.#directory))
    }
  }

  async #syncSegment(segment: Segment): Promise<void> {
    segment.isDirty = false
    if (segment.pinned === null) {
      await this.#shared.files.with(segment.path, file => file.sync())
      return
    }
    await segment.pinned.sync()
    // It may have been written again in the meantime: then it stays open.
    if (!segment.isDirty) this.#unpin(segment)
  }

  #unpin(segment: Segment): void {
    if (segment.pinned === null) return
    this.#shared.files.unpin(segment.path, segment.pinned)
    segment.pinned = null
  }

  /** A rolled segment gets its index files and loses what was preallocated; its indexes leave the memory. */
  async #settle(segment: Segment): Promise<void> {
    if (segment.writtenBytes !== segment.sizeBytes || !segment.exists) return
    // Where this fails the log fails: recovery relies on it that a segment before the recovery point has been
    // trimmed.
    if (segment.fileBytes > segment.writtenBytes) await this.trim(segment)
    try {
      if (segment.indexesDirty) await writeIndexes(this.#shared, segment, true)
    } catch (error) {
      // The index stays in memory, and can be rebuilt from the log after a crash: no reason to stop.
      this.#shared.log.warn('index cannot be written now, the next sync tries again', {
        path: segment.path,
        error,
      })
      return
    }
    this.#namesDirty = true
    this.#sealed.delete(segment)
    segment.indexes = null
  }

  async trim(segment: Segment): Promise<void> {
    await this.#shared.files.with(segment.path, async file => {
      await file.truncate(segment.writtenBytes)
      await file.sync()
      segment.fileBytes = segment.writtenBytes
    })
  }
}

function withEndMark(group: Group): readonly Uint8Array[] {
  const end = group.segment.writtenBytes + group.byteLength
  // An odd rest is too short to be read as a batch.
  return end + END_MARK.length <= group.segment.fileBytes ? [...group.chunks, END_MARK] : group.chunks
}
