/**
 * Puts a compacted segment in the place of those it was made from, so that after a crash at any moment either they are
 * there or it is, never both and never neither:
 *
 *   1  *.cleaned is renamed to *.swap, synced      from here on a restart completes what is left
 *   2  the old segments but the first are removed, synced
 *   3  *.swap takes the names of the first, synced
 *
 * Readers are never shown one file by the positions of the other: those who read while it happens begin anew.
 */
import { type Offset } from '../../../client/protocol/types.ts'
import { DiskError } from '../../env.ts'
import { CLEANED_SUFFIX, SWAP_SUFFIX, TRANSACTION_INDEX_SUFFIX } from '../file-names.ts'
import { type LogReader } from '../log-reader.ts'
import { type LogWriter } from '../log-writer.ts'
import { type Segment } from '../segment.ts'
import { type SharedStorage } from '../shared-storage.ts'
import { type CleanedSegment } from './cleaned-segment.ts'

export interface SegmentExchangeOptions {
  readonly shared: SharedStorage
  readonly directory: string
  /** The log's own list, which is changed here. */
  readonly segments: Segment[]
  readonly writer: LogWriter
  readonly reader: LogReader
  /** Below this offset the log has changed. */
  readonly onExchanged: (endOffset: Offset) => void
}

export class SegmentExchange {
  readonly #options: SegmentExchangeOptions

  constructor(options: SegmentExchangeOptions) {
    this.#options = options
  }

  /**
   * False, and nothing is done, where one of `sources` is not a part of the log any more. Rejects when the disk
   * fails; where files and log may disagree then, the log takes no more writes.
   */
  exchange(sources: readonly Segment[], cleaned: CleanedSegment): Promise<boolean> {
    const { segments, writer, reader } = this.#options
    return writer.exclusive(async () => {
      if (writer.failure !== null) throw writer.failure
      const first = segments.indexOf(sources[0]!)
      if (first < 0 || sources.some((source, i) => segments[first + i] !== source)) return false
      await this.#commit(cleaned)
      try {
        await reader.exchange(async () => {
          await this.#replace(sources, cleaned)
          segments.splice(first, sources.length, cleaned.segment)
          for (const source of sources) this.#forget(source)
        })
      } catch (error) {
        throw writer.poison(error as Error)
      }
      this.#options.onExchanged(cleaned.segment.endOffset)
      return true
    })
  }

  async #commit(cleaned: CleanedSegment): Promise<void> {
    const { disk } = this.#options.shared
    const renamed: string[] = []
    try {
      // The log comes last: without it the others are nothing.
      for (const suffix of cleaned.suffixes.toReversed()) {
        const path = cleaned.segment.pathOf(suffix)
        await disk.rename(`${path}${CLEANED_SUFFIX}`, `${path}${SWAP_SUFFIX}`)
        renamed.push(path)
      }
    } catch (error) {
      await this.#undo(renamed)
      throw error
    }
    try {
      await disk.syncDirectory(this.#options.directory)
    } catch (error) {
      throw this.#options.writer.poison(error as Error)
    }
  }

  /** A restart must not find them: by then the segments may have gone on without them. */
  async #undo(renamed: readonly string[]): Promise<void> {
    const { disk } = this.#options.shared
    try {
      for (const path of renamed) await disk.remove(`${path}${SWAP_SUFFIX}`)
      await disk.syncDirectory(this.#options.directory)
    } catch (error) {
      throw this.#options.writer.poison(error as Error)
    }
  }

  async #replace(sources: readonly Segment[], cleaned: CleanedSegment): Promise<void> {
    const { directory } = this.#options
    const { disk } = this.#options.shared
    const [first, ...others] = sources
    const gone = others.flatMap(source => source.paths)
    if (!cleaned.suffixes.includes(TRANSACTION_INDEX_SUFFIX))
      gone.push(first!.pathOf(TRANSACTION_INDEX_SUFFIX))
    let removed = 0
    for (const path of gone) removed += await this.#removeIfThere(path)
    // Else a power cut might bring one back beside the segment that has taken its records over.
    if (removed > 0) await disk.syncDirectory(directory)
    for (const suffix of cleaned.suffixes) {
      const path = cleaned.segment.pathOf(suffix)
      await disk.rename(`${path}${SWAP_SUFFIX}`, path)
    }
    await disk.syncDirectory(directory)
  }

  #forget(source: Segment): void {
    const { shared, writer } = this.#options
    writer.segmentGone(source)
    shared.indexes.forget(source)
    // Who reads the old file has it open still; the path may name the new one by now.
    shared.files.forget(source.path)
  }

  async #removeIfThere(path: string): Promise<number> {
    try {
      await this.#options.shared.disk.remove(path)
      return 1
    } catch (error) {
      if (error instanceof DiskError && error.code === 'NOT_FOUND') return 0
      throw error
    }
  }
}
