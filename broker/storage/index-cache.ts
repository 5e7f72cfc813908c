/**
 * Indexes of older segments that look-ups have read lately, bounded in bytes over all partitions.
 */
import { type Indexes, type Segment } from './segment.ts'

export class IndexCache {
  readonly #maxBytes: number
  /** The least recently used first. */
  readonly #cached = new Map<Segment, Indexes>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  async get(segment: Segment, load: () => Promise<Indexes>): Promise<Indexes> {
    const cached = this.#cached.get(segment)
    if (cached !== undefined) {
      this.#cached.delete(segment)
      this.#cached.set(segment, cached)
      return cached
    }
    const indexes = await load()
    // Indexes that the segment keeps itself are not counted twice.
    if (segment.indexes === null && !this.#cached.has(segment)) {
      this.#cached.set(segment, indexes)
      this.#bytes += bytesOf(indexes)
      this.#evict()
    }
    return indexes
  }

  forget(segment: Segment): void {
    const cached = this.#cached.get(segment)
    if (cached === undefined) return
    this.#cached.delete(segment)
    this.#bytes -= bytesOf(cached)
  }

  #evict(): void {
    for (const segment of this.#cached.keys()) {
      if (this.#bytes <= this.#maxBytes) return
      this.forget(segment)
    }
  }
}

function bytesOf(indexes: Indexes): number {
  return indexes.offsets.byteLength + indexes.times.byteLength
}
