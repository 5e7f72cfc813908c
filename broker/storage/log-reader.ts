/**
 * Reads of what is on disk: find the place, read a large window once, hand out whole batches as slices of it. A
 * reader that goes on where an earlier read has ended is known by that offset: what is left of its window is served
 * at once, and the next window is read before it is asked for, so that a file streams to a socket without waiting
 * for the disk.
 */
import { BATCH_HEADER_BYTES } from '../../client/protocol/batch.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { DiskError } from '../env.ts'
import { type Retained } from '../slab.ts'
import { ReadStream } from './read-stream.ts'
import { loadIndexes, type Segment } from './segment.ts'
import { type SharedStorage } from './shared-storage.ts'
import { emptySlices, makeSlices } from './tail-cache.ts'
import { type LogSlices, type SegmentConfig } from './types.ts'

/** Readers that are remembered, each at its place. */
const MAX_STREAMS = 16

/** What a read wants, as `PartitionLog.read` says. */
export interface Wanted {
  readonly offset: Offset
  readonly maxBytes: number
  readonly limit: Offset
  readonly atLeastOne: boolean
}

/** Slices in the making. */
export interface Collected {
  readonly slices: Uint8Array[]
  readonly owners: Retained[]
  byteLength: number
  firstOffset: Offset
  nextOffset: Offset
}

export interface LogReaderOptions {
  readonly shared: SharedStorage
  readonly segments: () => readonly Segment[]
  readonly config: () => SegmentConfig
}

export class LogReader {
  readonly #shared: SharedStorage
  readonly #segments: () => readonly Segment[]
  readonly #config: () => SegmentConfig
  /** The one used longest ago is first. */
  #streams: ReadStream[] = []
  /** Raised when the log is cut: a read that is under way does not leave its place behind. */
  #generation = 0
  /** How often segments got other files. */
  #exchanges = 0
  /** Resolves, whatever comes of it, when the exchange is over that is under way. */
  #exchanging: Promise<void> | null = null

  constructor(options: LogReaderOptions) {
    this.#shared = options.shared
    this.#segments = options.segments
    this.#config = options.config
  }

  /** The log was cut, or segments are gone: no place is remembered. */
  forget(): void {
    this.#generation++
    for (const stream of this.#streams) {
      this.#shared.readBuffers.unpark(stream)
      stream.letGo()
    }
    this.#streams = []
  }

  /** Counts up when compaction has changed what is read. */
  get exchanges(): number {
    return this.#exchanges
  }

  /**
   * Runs `action`, which gives other files to the paths of segments and changes the list of segments accordingly.
   * Look-ups that are under way may have seen both: they begin anew when it is over, as do those that come meanwhile.
   */
  async exchange(action: () => Promise<void>): Promise<void> {
    this.#exchanges++
    this.forget()
    const exchanging = action()
    this.#exchanging = exchanging.catch(() => {})
    try {
      await exchanging
    } finally {
      this.#exchanging = null
      this.forget()
    }
  }

  /** Runs a look-up that opens files by their path, again if what these are was exchanged meanwhile. */
  async undisturbed<T>(lookUp: () => Promise<T>, release: (result: T) => void = () => {}): Promise<T> {
    for (;;) {
      while (this.#exchanging !== null) await this.#exchanging
      const exchanges = this.#exchanges
      try {
        const result = await lookUp()
        if (exchanges === this.#exchanges) return result
        release(result)
      } catch (error) {
        if (exchanges === this.#exchanges) throw error
      }
    }
  }

  read(wanted: Wanted): LogSlices | Promise<LogSlices> {
    const stream = this.#take(wanted.offset)
    if (stream === null) return this.#readUndisturbed(null, wanted)
    const collected = collect(wanted)
    const stop = stream.collect(wanted, collected)
    const isWorthIt = stop === 'limit' || stop === 'bytes' || 2 * collected.byteLength >= wanted.maxBytes
    if (isWorthIt) return this.#finish(stream, wanted, collected, true)
    for (const owner of collected.owners) owner.release()
    stream.rewind(wanted.offset)
    return this.#readUndisturbed(stream, wanted)
  }

  #readUndisturbed(stream: ReadStream | null, wanted: Wanted): Promise<LogSlices> {
    let known = stream
    return this.undisturbed(
      () => {
        const first = known
        known = null
        return this.#readFromDisk(first, wanted)
      },
      slices => slices.release(),
    )
  }

  async #readFromDisk(known: ReadStream | null, wanted: Wanted): Promise<LogSlices> {
    const generation = this.#generation
    const isSequential = known !== null
    const stream = known ?? (await this.#openStream(wanted.offset))
    if (stream === null) return emptySlices(wanted.offset)
    try {
      for (;;) {
        const collected = collect(wanted)
        const stop = stream.collect(wanted, collected)
        const isEnough =
          stop === 'limit' || stop === 'bytes' || (collected.byteLength > 0 && !stream.isFilling)
        if (isEnough) return this.#finish(stream, wanted, collected, isSequential, generation)
        for (const owner of collected.owners) owner.release()
        stream.rewind(wanted.offset)
        if (!(await stream.fill(this.#shared, wanted)) && !this.#toNextSegment(stream, wanted)) {
          return this.#finish(stream, wanted, collect(wanted), isSequential, generation)
        }
      }
    } catch (error) {
      stream.letGo()
      const isGone = error instanceof DiskError && error.code === 'NOT_FOUND'
      // The segment was deleted on the way: whoever reads there is out of range now, and is told so when he asks
      // again.
      if (isGone && !this.#segments().includes(stream.segment)) return emptySlices(wanted.offset)
      throw error
    }
  }

  /** All batches of the segment lie before the offset: compaction has left a gap at its end. */
  #toNextSegment(stream: ReadStream, wanted: Wanted): boolean {
    const segments = this.#segments()
    const next = segments[segments.indexOf(stream.segment) + 1]
    if (next === undefined || next.baseOffset >= wanted.limit) return false
    stream.moveTo(next, 0)
    return true
  }

  #finish(
    stream: ReadStream,
    wanted: Wanted,
    collected: Collected,
    isSequential: boolean,
    generation = this.#generation,
  ): LogSlices {
    stream.advance(collected.nextOffset)
    if (isSequential && collected.byteLength > 0) stream.readAhead(this.#shared)
    if (generation === this.#generation) this.#putBack(stream)
    else stream.letGo()
    const { slices, byteLength, firstOffset, nextOffset, owners } = collected
    if (byteLength === 0) return emptySlices(wanted.offset)
    return makeSlices(slices, byteLength, firstOffset, nextOffset, owners)
  }

  async #openStream(offset: Offset): Promise<ReadStream | null> {
    const segment = this.#segments()[segmentNumber(this.#segments(), offset)]
    if (segment === undefined) return null
    return new ReadStream(segment, await this.positionOf(segment, offset), offset)
  }

  /** A position in the segment at or before the batch that holds `offset`, at most an index interval before. */
  async positionOf(segment: Segment, offset: Offset): Promise<number> {
    if (offset <= segment.baseOffset || segment.writtenBytes <= BATCH_HEADER_BYTES) return 0
    const indexes = segment.indexes ?? (await this.indexesOf(segment))
    return indexes.offsets.lookup(offset)
  }

  indexesOf(segment: Segment): ReturnType<typeof loadIndexes> {
    return this.#shared.indexes.get(segment, () => loadIndexes(this.#shared, segment, this.#config()))
  }

  #take(offset: Offset): ReadStream | null {
    const at = this.#streams.findIndex(stream => stream.nextOffset === offset)
    if (at < 0) return null
    const [stream] = this.#streams.splice(at, 1)
    this.#shared.readBuffers.unpark(stream!)
    return stream!
  }

  #putBack(stream: ReadStream): void {
    if (this.#streams.length >= MAX_STREAMS) {
      const oldest = this.#streams.shift()!
      this.#shared.readBuffers.unpark(oldest)
      oldest.letGo()
    }
    this.#streams.push(stream)
    this.#shared.readBuffers.park(stream)
  }
}

function collect(wanted: Wanted): Collected {
  return { slices: [], owners: [], byteLength: 0, firstOffset: wanted.offset, nextOffset: wanted.offset }
}

/** Number of the segment that holds `offset`: the last one that does not begin behind it. -1 where all do. */
export function segmentNumber(segments: readonly Segment[], offset: Offset): number {
  let low = 0
  let high = segments.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (segments[middle]!.baseOffset <= offset) low = middle + 1
    else high = middle
  }
  return low - 1
}
