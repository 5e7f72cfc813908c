/**
 * A compacted segment in the making: its files have the suffix `.cleaned`, which says that they are worth nothing
 * unless somebody comes and renames them.
 */
import { batchLastOffset } from '../../../client/protocol/batch.ts'
import { type Offset } from '../../../client/protocol/types.ts'
import { type Disk, DiskError, type DiskFile } from '../../env.ts'
import {
  CLEANED_SUFFIX,
  INDEX_SUFFIX,
  LOG_SUFFIX,
  TIME_INDEX_SUFFIX,
  TRANSACTION_INDEX_SUFFIX,
} from '../file-names.ts'
import { recordTimestamp, Segment } from '../segment.ts'
import { type AbortedTransaction, encodeAbortedTransaction } from '../transaction-index.ts'
import { type SegmentConfig } from '../types.ts'

/** The pages of a long file are not left to one sync at its end, behind which all others would wait. */
const SYNC_EVERY_BYTES = 1024 * 1024

export class CleanedSegment {
  /** What the segment is going to be; its paths are those of the end. */
  readonly segment: Segment
  readonly #disk: Disk
  readonly #file: DiskFile
  readonly #config: SegmentConfig
  #pending: { readonly bytes: Buffer; readonly start: number; end: number }[] = []
  #unsyncedBytes = 0
  /** Suffixes of the files that are there. */
  readonly #suffixes = [LOG_SUFFIX]
  #isOpen = true

  private constructor(disk: Disk, segment: Segment, file: DiskFile, config: SegmentConfig) {
    this.#disk = disk
    this.segment = segment
    this.#file = file
    this.#config = config
  }

  /** Takes the place of `first` and what follows it. */
  static async create(disk: Disk, first: Segment, config: SegmentConfig): Promise<CleanedSegment> {
    const segment = new Segment(first.directory, first.baseOffset, first.createdMs)
    const file = await disk.open(`${segment.path}${CLEANED_SUFFIX}`, 'create')
    // Left from a compaction that failed.
    await file.truncate(0)
    return new CleanedSegment(disk, segment, file, config)
  }

  get suffixes(): readonly string[] {
    return this.#suffixes
  }

  /** The batch in `bytes` from `at` to `end` joins the pending write; it must stay as it is until `flush`. */
  add(bytes: Buffer, at: number, end: number): void {
    this.segment.add(batchLastOffset(bytes, at), recordTimestamp(bytes, at), end - at, this.#config)
    const last = this.#pending.at(-1)
    if (last?.bytes === bytes && last.end === at) last.end = end
    else this.#pending.push({ bytes, start: at, end })
  }

  /** Writes what is pending; resolves to its bytes. */
  async flush(): Promise<number> {
    const { segment } = this
    const byteLength = segment.sizeBytes - segment.writtenBytes
    if (byteLength === 0) return 0
    const pending = this.#pending
    this.#pending = []
    const pieces = pending.map(({ bytes, start, end }) => bytes.subarray(start, end))
    await this.#file.write(pieces, segment.writtenBytes)
    segment.writtenBytes += byteLength
    segment.fileBytes = segment.writtenBytes
    this.#unsyncedBytes += byteLength
    return byteLength
  }

  /** So much is written and not durable that it is time for `sync`. */
  get isSyncDue(): boolean {
    return this.#unsyncedBytes >= SYNC_EVERY_BYTES
  }

  async sync(): Promise<void> {
    this.#unsyncedBytes = 0
    await this.#file.sync()
  }

  /** All its files are durable when it resolves, their names too. `endOffset`: where the next segment begins. */
  async finish(endOffset: Offset, aborted: readonly AbortedTransaction[]): Promise<void> {
    const { segment } = this
    await this.flush()
    await this.sync()
    await this.#close()
    segment.seal()
    segment.endOffset = endOffset
    segment.exists = true
    const { offsets, times } = segment.indexes!
    await this.#writeWhole(INDEX_SUFFIX, offsets.encode())
    await this.#writeWhole(TIME_INDEX_SUFFIX, times.encode())
    if (aborted.length > 0) {
      await this.#writeWhole(TRANSACTION_INDEX_SUFFIX, Buffer.concat(aborted.map(encodeAbortedTransaction)))
    }
    segment.indexes = null
    segment.indexesDirty = false
    await this.#disk.syncDirectory(segment.directory)
  }

  /** Removes what there is of it; content where there is nothing. */
  async discard(): Promise<void> {
    await this.#close()
    for (const suffix of this.#suffixes) {
      try {
        await this.#disk.remove(`${this.segment.pathOf(suffix)}${CLEANED_SUFFIX}`)
      } catch (error) {
        if (!(error instanceof DiskError && error.code === 'NOT_FOUND')) throw error
      }
    }
  }

  async #close(): Promise<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    await this.#file.close()
  }

  async #writeWhole(suffix: string, content: Buffer): Promise<void> {
    this.#suffixes.push(suffix)
    const file = await this.#disk.open(`${this.segment.pathOf(suffix)}${CLEANED_SUFFIX}`, 'create')
    try {
      await file.truncate(0)
      if (content.length > 0) await file.write([content], 0)
      await file.sync()
    } finally {
      await file.close()
    }
  }
}
