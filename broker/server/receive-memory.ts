/**
 * Where received bytes go. Connections that say little share one scratch room and own nothing; a busy one leases
 * regions, which are cut one after another from slabs of the pool:
 *
 *     slab  |  region of A  |  region of B       | region of A |  still free          |
 *                                                              ^ next
 *
 * A slab returns to the pool when its regions and all slices of them have been let go. Memory here grows with bytes
 * that have arrived, never with a length that a peer has merely declared.
 */
import { assert } from '../../client/protocol/assert.ts'
import { type Slab, type SlabPool } from '../slab.ts'

/** Also the most that one read takes from a connection that has no region. */
const SCRATCH_BYTES = 64 * 1024
/** What a read may take while the pool is used up: it ends in plain memory, so it had better be little. */
const SCRATCH_BYTES_UNDER_PRESSURE = 4 * 1024
/** Small frames are copied one after another into plain pieces of this size. */
const PIECE_BYTES = 64 * 1024
/** Frames at one time that may have memory of their own, beyond the pool; the others wait for their turn. */
const MAX_TICKETS = 2

/** The right to fill `slab.bytes` from `start` up to `end`, with one reference to the slab. */
export interface Region {
  readonly slab: Slab
  readonly start: number
  readonly end: number
}

/**
 * The right to memory of one's own for one frame: because it is larger than a slab, or because the pool is used up and
 * what is in it can only be let go of when somebody gets on. It ends when its memory has come back.
 */
export interface Ticket {
  /** Pieces of memory, and the connection while it is receiving. */
  holders: number
}

export class ReceiveMemory {
  readonly pool: SlabPool
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)
  readonly #littleScratch = this.#scratch.subarray(0, SCRATCH_BYTES_UNDER_PRESSURE)
  /** The slab from which regions are being cut, with a reference of its own. */
  #open: Slab | null = null
  #next = 0
  #exhausted = false
  #piece = Buffer.alloc(0)
  #tickets = 0
  readonly #waiting = new Set<() => void>()
  #stopWaiting: (() => void) | null = null

  constructor(pool: SlabPool) {
    this.pool = pool
  }

  /** Room for a read whose bytes are looked at, and moved elsewhere where needed, before the next read of anybody. */
  scratch(): Buffer {
    return this.#exhausted ? this.#littleScratch : this.#scratch
  }

  /** What a read has left in the scratch room. */
  arrivedInScratch(byteLength: number): Buffer {
    return this.#scratch.subarray(0, byteLength)
  }

  /** A copy of `bytes` in memory that the garbage collector looks after; for small pieces. */
  copy(bytes: Uint8Array): Buffer {
    if (bytes.byteLength > PIECE_BYTES / 4) return Buffer.from(bytes)
    if (bytes.byteLength > this.#piece.byteLength) this.#piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
    const copy = this.#piece.subarray(0, bytes.byteLength)
    copy.set(bytes)
    this.#piece = this.#piece.subarray(bytes.byteLength)
    return copy
  }

  /** A region of `byteLength` bytes, at most a slab; or null while the pool is used up: see `whenAvailable`. */
  lease(byteLength: number): Region | null {
    const region = this.#cut(byteLength)
    this.#exhausted = region === null
    return region
  }

  /** A region of any size, on a ticket. */
  leaseAlone(byteLength: number, ticket: Ticket): Region {
    ticket.holders++
    const slab = this.pool.acquireOversized(byteLength, () => this.endTicket(ticket))
    return { slab, start: 0, end: byteLength }
  }

  /** A ticket for one frame, or null when all are taken. Answered by `endTicket` when the frame has been received. */
  beginTicket(): Ticket | null {
    if (this.#tickets >= MAX_TICKETS) return null
    this.#tickets++
    return { holders: 1 }
  }

  endTicket(ticket: Ticket): void {
    assert(ticket.holders > 0, 'a ticket ends once for each of its holders')
    if (--ticket.holders > 0) return
    this.#tickets--
    this.wakeOne()
  }

  /** Ends a lease. What lies from `usedUpTo` on was never filled, and may be leased again. */
  giveBack(region: Region, usedUpTo: number): void {
    assert(usedUpTo >= region.start && usedUpTo <= region.end, 'a region is used within its bounds')
    // Only the latest cut can be taken back; behind another one the rest is lost until the slab returns.
    if (region.slab === this.#open && region.end === this.#next) this.#next = usedUpTo
    region.slab.release()
  }

  /** Calls `listener` once, when a lease that was refused may be tried again. Returns the way to give up. */
  whenAvailable(listener: () => void): () => void {
    const entry = (): void => listener()
    this.#waiting.add(entry)
    this.#watchPool()
    return () => {
      this.#waiting.delete(entry)
      if (this.#waiting.size === 0) this.#ignorePool()
    }
  }

  /** Lets the longest waiting connection try again. */
  wakeOne(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      next()
      break
    }
    if (this.#waiting.size === 0) this.#ignorePool()
  }

  /** Lets go of the slab that is kept for the next region. To be called when nothing has been received for a while. */
  rest(): void {
    this.#open?.release()
    this.#open = null
  }

  #watchPool(): void {
    this.#stopWaiting ??= this.pool.whenAvailable(() => {
      this.#stopWaiting = null
      this.#exhausted = false
      this.wakeOne()
      if (this.#waiting.size > 0) this.#watchPool()
    })
  }

  #ignorePool(): void {
    this.#stopWaiting?.()
    this.#stopWaiting = null
  }

  #cut(byteLength: number): Region | null {
    // When nobody holds a slice of it any more, the open slab is as good as new, and warmer.
    if (this.#open?.references === 1) this.#next = 0
    if (this.#open === null || this.#open.bytes.byteLength - this.#next < byteLength) {
      this.rest()
      this.#open = this.pool.acquire()
      if (this.#open === null) return null
      this.#next = 0
    }
    const start = this.#next
    this.#next += byteLength
    this.#open.retain()
    return { slab: this.#open, start, end: this.#next }
  }
}
