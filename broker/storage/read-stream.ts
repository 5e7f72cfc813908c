/**
 * One reader's way through a segment: where it stands, the window it reads from, and the one that was read ahead.
 * Used by one read at a time; between reads it is parked in the log's list.
 */
import { assert } from '../../client/protocol/assert.ts'
import {
  BATCH_HEADER_BYTES,
  batchBaseOffset,
  batchByteLength,
  batchLastOffset,
  describeBatchProblem,
  validateFrame,
} from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type Collected, type Wanted } from './log-reader.ts'
import { type Parked, SMALL_WINDOW_BYTES, WINDOW_BYTES, type Window } from './read-buffers.ts'
import { type Segment } from './segment.ts'
import { type SharedStorage } from './shared-storage.ts'
import { CorruptLogError } from './types.ts'

/**
 * Why collecting has stopped: the next batch reaches `limit`; it does not fit into `maxBytes`; or the windows have
 * no further whole batch, whether or not the segment has.
 */
export type Stop = 'limit' | 'bytes' | 'windows'

export class ReadStream implements Parked {
  segment: Segment
  nextOffset: Offset
  /** Start of a batch, at or before the one that holds `nextOffset`. */
  #position: number
  /** At most two, the second begins where the last whole batch of the first ends. */
  #windows: Window[] = []
  /** Where the last `collect` has ended, for `advance`. */
  #reached: number
  /** Bytes of the batch at `#reached`, as far as known: it was cut off by the end of the windows. */
  #neededBytes = 0
  #lastBatchBytes = 0
  #stop: Stop = 'windows'

  constructor(segment: Segment, position: number, nextOffset: Offset) {
    this.segment = segment
    this.#position = position
    this.#reached = position
    this.nextOffset = nextOffset
  }

  get heldBytes(): number {
    return this.#windows.reduce((sum, window) => sum + window.heldBytes, 0)
  }

  /** A window is being filled. */
  get isFilling(): boolean {
    return this.#windows.some(window => window.bytes === null)
  }

  letGo(): void {
    for (const window of this.#windows) window.owner.release()
    this.#windows = []
  }

  moveTo(segment: Segment, position: number): void {
    this.letGo()
    this.segment = segment
    this.#position = position
    this.#reached = position
  }

  /** Gathers whole batches from the windows that are filled. Nothing is settled until `advance`. */
  collect(wanted: Wanted, into: Collected): Stop {
    this.#stop = this.#collect(wanted, into)
    return this.#stop
  }

  #collect(wanted: Wanted, into: Collected): Stop {
    let position = this.#position
    this.#neededBytes = 0
    for (const window of this.#windows) {
      const { bytes } = window
      if (bytes === null) break
      this.#neededBytes = 0
      if (position >= window.start + bytes.length) continue
      assert(position >= window.start, 'windows of a stream follow each other')
      let at = position - window.start
      let sliceStart = at
      let stop: Stop | null = null
      while (stop === null) {
        const byteLength = this.#wholeBatch(bytes, at, window.start)
        if (byteLength === 0) break
        const lastOffset = batchLastOffset(bytes, at)
        if (lastOffset < wanted.offset) {
          sliceStart = at + byteLength
        } else {
          stop = this.#stopBefore(byteLength, lastOffset, wanted, into)
          if (stop !== null) break
          if (into.byteLength === 0) into.firstOffset = batchBaseOffset(bytes, at)
          into.byteLength += byteLength
          into.nextOffset = (lastOffset + 1) as Offset
        }
        at += byteLength
        this.#lastBatchBytes = byteLength
      }
      if (at > sliceStart) {
        into.slices.push(bytes.subarray(sliceStart, at))
        window.owner.retain()
        into.owners.push(window.owner)
      }
      position = window.start + at
      this.#reached = position
      if (stop === null) stop = this.#stopAtCut(wanted, into)
      if (stop !== null) return stop
    }
    this.#reached = position
    return 'windows'
  }

  /** What was collected was taken. */
  advance(nextOffset: Offset): void {
    this.nextOffset = nextOffset
    this.#position = this.#reached
    // A window stays only while it has a whole batch that is not taken yet.
    const isUsedUp = (window: Window, next: Window | undefined): boolean =>
      window.bytes !== null &&
      (this.#stop === 'windows' ||
        this.#position >= window.start + window.bytes.length ||
        (next !== undefined && next.start <= this.#position))
    while (this.#windows[0] !== undefined && isUsedUp(this.#windows[0], this.#windows[1])) this.#dropFirst()
  }

  /** What was collected was not taken. */
  rewind(nextOffset: Offset): void {
    this.nextOffset = nextOffset
    this.#reached = this.#position
  }

  /** Waits for a window that goes further than the present ones; false at the end of what is written. */
  async fill(shared: SharedStorage, wanted: Wanted): Promise<boolean> {
    const filling = this.#windows.find(window => window.bytes === null)
    if (filling !== undefined) {
      await filling.ready
      return true
    }
    // Nothing was collected, so all whole batches in the windows lie before the offset. One cut off is read anew.
    const start = this.#endOfWhole()
    this.letGo()
    this.#position = start
    this.#reached = start
    const left = this.segment.writtenBytes - start
    if (left <= 0) return false
    const { files, readBuffers } = shared
    const file = await files.pin(this.segment.path)
    try {
      const length = Math.max(this.#neededBytes, this.#windowBytes(wanted.maxBytes))
      const window = readBuffers.read(file, start, Math.min(left, length), Math.min(left, this.#neededBytes))
      assert(window !== null, 'a read that somebody waits for always gets memory')
      this.#windows.push(window)
      await window.ready
      if (window.bytes!.length < Math.min(left, BATCH_HEADER_BYTES)) {
        throw this.#corrupt(start, 'the file is shorter than what was written to it')
      }
      return true
    } finally {
      files.unpin(this.segment.path, file)
    }
  }

  /** Begins to read the window behind the present one. */
  readAhead(shared: SharedStorage): void {
    if (this.#windows.length > 1 || this.isFilling) return
    const start = this.#endOfWhole()
    const left = this.segment.writtenBytes - start
    const file = shared.files.opened(this.segment.path)
    // The little that was written lately comes from the tail cache.
    if (left <= BATCH_HEADER_BYTES || file === null) return
    const length = Math.max(this.#neededBytes, this.#windowBytes(WINDOW_BYTES))
    if (length > WINDOW_BYTES) return
    shared.files.pinOpened(this.segment.path)
    const window = shared.readBuffers.read(file, start, Math.min(left, length), null)
    const { path } = this.segment
    if (window === null) {
      shared.files.unpin(path, file)
      return
    }
    this.#windows.push(window)
    const unpin = (): void => shared.files.unpin(path, file)
    window.ready.then(unpin, unpin)
  }

  /**
   * Bytes of the batch at `at`, or 0 where it is not whole in `bytes`: then `#neededBytes` says what is known of
   * it.
   */
  #wholeBatch(bytes: Uint8Array, at: number, start: number): number {
    const left = this.segment.writtenBytes - (start + at)
    if (bytes.length - at < Math.min(left, BATCH_HEADER_BYTES)) {
      this.#neededBytes = BATCH_HEADER_BYTES
      return 0
    }
    if (left === 0) return 0
    const problem = validateFrame(bytes, at, at + left)
    if (problem !== null) throw this.#corrupt(start + at, describeBatchProblem(problem))
    const byteLength = batchByteLength(bytes, at)
    if (at + byteLength <= bytes.length) return byteLength
    this.#neededBytes = byteLength
    return 0
  }

  #stopBefore(byteLength: number, lastOffset: Offset, wanted: Wanted, into: Collected): Stop | null {
    if (lastOffset >= wanted.limit) return 'limit'
    if (into.byteLength + byteLength <= wanted.maxBytes) return null
    return into.byteLength === 0 && wanted.atLeastOne ? null : 'bytes'
  }

  /** A batch that is not whole in the windows need not be read when it would not fit anyhow. */
  #stopAtCut(wanted: Wanted, into: Collected): Stop | null {
    if (this.#neededBytes === 0 || into.byteLength === 0) return null
    return into.byteLength + this.#neededBytes <= wanted.maxBytes ? null : 'bytes'
  }

  /** Where the last whole batch of the windows ends. */
  #endOfWhole(): number {
    let position = this.#position
    for (const window of this.#windows) {
      const { bytes } = window
      if (bytes === null) break
      this.#neededBytes = 0
      let at = position - window.start
      for (let byteLength = 1; byteLength > 0 && at < bytes.length; at += byteLength) {
        byteLength = this.#wholeBatch(bytes, at, window.start)
      }
      position = window.start + at
    }
    return position
  }

  #dropFirst(): void {
    this.#windows.shift()?.owner.release()
  }

  /**
   * Length of the next window. Where batches are so large that a cut-off one would be a good part of a window read
   * in vain, as many as fit are read and the header that tells the next one's size: mostly they are all alike.
   */
  #windowBytes(wantedBytes: number): number {
    if (wantedBytes <= SMALL_WINDOW_BYTES) return SMALL_WINDOW_BYTES
    const each = this.#lastBatchBytes
    if (each < WINDOW_BYTES / 16 || each > WINDOW_BYTES - BATCH_HEADER_BYTES) return WINDOW_BYTES
    return Math.floor((WINDOW_BYTES - BATCH_HEADER_BYTES) / each) * each + BATCH_HEADER_BYTES
  }

  #corrupt(position: number, reason: string): CorruptLogError {
    return new CorruptLogError(
      this.segment.path,
      position,
      `the log is damaged on disk and cannot be read further: ${reason}. Look at the file with "sluice log dump"`,
    )
  }
}
