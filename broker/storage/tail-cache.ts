/**
 * The newest batches of all partitions, kept as the very slices that came in, so that a reader at the tail costs no
 * read from disk. Bounded by the memory that the slices keep from being used again (whole slabs, not only the
 * slices), oldest out first over all partitions. It must never keep a batch that the log has given up.
 */
import { assert } from '../../client/protocol/assert.ts'
import { NO_LEADER_EPOCH, type Offset } from '../../client/protocol/types.ts'
import { type Retained, Slab } from '../slab.ts'
import { type LogSlices, type StoredBatch } from './types.ts'

/** What an entry costs beside its bytes. */
const ENTRY_OVERHEAD_BYTES = 128
/** A batch this small is copied, so that it does not keep a slab a thousand times its size from being used again. */
const COPY_BELOW_BYTES = 1024

/** Stands in for the batch of an entry that is still queued, so that the bytes can go. */
const GONE: StoredBatch = {
  bytes: new Uint8Array(0),
  owner: null,
  baseOffset: 0 as Offset,
  lastOffset: 0 as Offset,
  maxTimestamp: -1,
  leaderEpoch: NO_LEADER_EPOCH,
}

/** A batch in the cache; a member of its partition's queue and of the one queue of all in order of arrival. */
interface Entry {
  batch: StoredBatch
  readonly tail: PartitionTail
  /** Memory that this entry alone is charged with. */
  readonly ownBytes: number
  isGone: boolean
}

export class TailCache {
  readonly maxBytes: number
  readonly #entries = new Queue<Entry>()
  /** How many entries keep each owner; an owner is charged once, in full. */
  readonly #owners = new Map<Retained, number>()
  #bytes = 0

  constructor(options: { maxBytes: number }) {
    this.maxBytes = options.maxBytes
  }

  /** Memory kept alive. */
  get bytes(): number {
    return this.#bytes
  }

  partition(): PartitionTail {
    return new PartitionTail(this)
  }

  /** Lets go of at least `bytes`, where there are as many: fits `SlabPool.onPressure`. */
  shrink(bytes: number): void {
    this.#evictTo(Math.max(0, this.#bytes - bytes))
  }

  /** For `PartitionTail` alone. Null where the batch alone exceeds the whole cache. */
  admit(tail: PartitionTail, batch: StoredBatch): Entry | null {
    if (batch.bytes.length > this.maxBytes) return null
    const isCopied = batch.owner !== null && batch.bytes.length < COPY_BELOW_BYTES
    const kept: StoredBatch = isCopied ? { ...batch, bytes: Buffer.from(batch.bytes), owner: null } : batch
    const bytes = kept.owner instanceof Slab ? 0 : kept.bytes.length
    const entry: Entry = { batch: kept, tail, ownBytes: bytes + ENTRY_OVERHEAD_BYTES, isGone: false }
    this.#bytes += entry.ownBytes
    if (kept.owner !== null) this.#retain(kept.owner)
    this.#entries.push(entry)
    this.#evictTo(this.maxBytes)
    return entry.isGone ? null : entry
  }

  /** For `PartitionTail` alone: the entry stays in the common queue until its turn comes, empty. */
  discard(entry: Entry): void {
    assert(!entry.isGone, 'an entry leaves the cache once')
    entry.isGone = true
    this.#bytes -= entry.ownBytes
    if (entry.batch.owner !== null) this.#release(entry.batch.owner)
    entry.batch = GONE
    // Entries that left early must not pile up behind one that stays.
    while (this.#entries.first?.isGone) this.#entries.shift()
  }

  #evictTo(bytes: number): void {
    while (this.#bytes > bytes) {
      const oldest = this.#entries.first
      if (oldest === undefined) return
      this.#entries.shift()
      if (!oldest.isGone) oldest.tail.evict(oldest)
    }
  }

  #retain(owner: Retained): void {
    const count = this.#owners.get(owner) ?? 0
    if (count === 0) this.#bytes += chargeOf(owner)
    this.#owners.set(owner, count + 1)
    owner.retain()
  }

  #release(owner: Retained): void {
    const count = this.#owners.get(owner)
    assert(count !== undefined, 'an owner in the cache is counted')
    if (count > 1) {
      this.#owners.set(owner, count - 1)
    } else {
      this.#owners.delete(owner)
      this.#bytes -= chargeOf(owner)
    }
    owner.release()
  }
}

/** A slab is charged as a whole; other owners say nothing about their size, so their slices are charged. */
function chargeOf(owner: Retained): number {
  return owner instanceof Slab ? owner.bytes.length : 0
}

/** One partition's part of the cache: consecutive batches up to the end of its log. */
export class PartitionTail {
  readonly #cache: TailCache
  readonly #entries = new Queue<Entry>()

  constructor(cache: TailCache) {
    this.#cache = cache
  }

  /** First offset that can be read from here; Infinity when nothing can. */
  get firstOffset(): number {
    return this.#entries.first?.batch.baseOffset ?? Infinity
  }

  /** Retains the owner of the batch until it is evicted. */
  add(batch: StoredBatch): void {
    const last = this.#entries.last?.batch
    assert(last === undefined || batch.baseOffset > last.lastOffset, 'batches join the cache in order')
    // A gap in the offsets would make a reader skip over what lies on disk between.
    if (last !== undefined && batch.baseOffset !== last.lastOffset + 1) this.clear()
    const entry = this.#cache.admit(this, batch)
    if (entry === null) this.clear()
    else this.#entries.push(entry)
  }

  /** Null where `offset` is not in the cache. The slices are retained for the caller. */
  read(offset: Offset, maxBytes: number, limit: Offset, atLeastOne: boolean): LogSlices | null {
    const entries = this.#entries
    const first = entries.first
    if (first === undefined || offset < first.batch.baseOffset || offset > entries.last!.batch.lastOffset)
      return null
    const start = this.#find(offset)
    const slices: Uint8Array[] = []
    const owners: Retained[] = []
    let byteLength = 0
    let nextOffset = offset
    for (let i = start; i < entries.length; i++) {
      const { batch } = entries.at(i)
      if (batch.lastOffset >= limit) break
      const fits = byteLength + batch.bytes.length <= maxBytes || (slices.length === 0 && atLeastOne)
      if (!fits) break
      slices.push(batch.bytes)
      byteLength += batch.bytes.length
      nextOffset = (batch.lastOffset + 1) as Offset
      if (batch.owner !== null) {
        batch.owner.retain()
        owners.push(batch.owner)
      }
    }
    const firstOffset = slices.length === 0 ? offset : entries.at(start).batch.baseOffset
    return makeSlices(slices, byteLength, firstOffset, nextOffset, owners)
  }

  /** Forgets every batch that reaches `offset`. */
  truncateTo(offset: Offset): void {
    while (this.#entries.last !== undefined && this.#entries.last.batch.lastOffset >= offset) {
      this.#cache.discard(this.#entries.pop()!)
    }
  }

  /** Forgets every batch that ends before `offset`: on disk they are not what they were. */
  forgetBelow(offset: Offset): void {
    while (this.#entries.first !== undefined && this.#entries.first.batch.lastOffset < offset) {
      const { first } = this.#entries
      this.#entries.shift()
      this.#cache.discard(first)
    }
  }

  clear(): void {
    while (this.#entries.last !== undefined) this.#cache.discard(this.#entries.pop()!)
  }

  /** For `TailCache` alone: eviction goes in order of arrival, so it is always the first one. */
  evict(entry: Entry): void {
    // It may be evicted while it is being added, before it has joined.
    if (this.#entries.first === entry) this.#entries.shift()
    else assert(this.#entries.length === 0, 'the oldest entry of a partition is evicted first')
    this.#cache.discard(entry)
  }

  /** Number of the entry that holds `offset`, which lies within the cache. */
  #find(offset: Offset): number {
    let low = 0
    let high = this.#entries.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#entries.at(middle).batch.lastOffset >= offset) high = middle
      else low = middle + 1
    }
    return low
  }
}

export function makeSlices(
  slices: readonly Uint8Array[],
  byteLength: number,
  firstOffset: Offset,
  nextOffset: Offset,
  owners: readonly Retained[],
): LogSlices {
  let isReleased = false
  return {
    slices,
    byteLength,
    firstOffset,
    nextOffset,
    release: () => {
      assert(!isReleased, 'slices are released once')
      isReleased = true
      for (const owner of owners) owner.release()
    },
  }
}

export function emptySlices(offset: Offset): LogSlices {
  return makeSlices([], 0, offset, offset, [])
}

/** A queue over an array that neither shifts the array for each item nor grows for ever. */
class Queue<T> {
  #items: T[] = []
  #head = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  get first(): T | undefined {
    return this.#items[this.#head]
  }

  get last(): T | undefined {
    return this.length === 0 ? undefined : this.#items[this.#items.length - 1]
  }

  at(index: number): T {
    return this.#items[this.#head + index]!
  }

  push(item: T): void {
    this.#items.push(item)
  }

  pop(): T | undefined {
    return this.length === 0 ? undefined : this.#items.pop()
  }

  shift(): void {
    // The slot is emptied so that the item can be collected before the array is cut.
    this.#items[this.#head] = undefined as T
    this.#head++
    if (this.#head === this.#items.length) {
      this.#items = []
      this.#head = 0
    } else if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
  }
}
