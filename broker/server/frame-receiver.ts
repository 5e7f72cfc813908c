/**
 * Bytes of one connection in, whole frames out, each contiguous. It gives the room into which the socket reads, and
 * moves bytes only where it must:
 *
 * - A quiet connection reads into the scratch room that all share; its small frames are copied out, and the
 *   beginning of a frame waits in a little plain memory.
 * - A busy connection reads into a region of a slab, and its frames are slices of it. When a frame does not fit what
 *   is left of the region, the part of it that has arrived is moved to the next one.
 *
 * A region is never larger than a small multiple of what the connection has sent, whatever lengths it declares.
 * Knows nothing of sockets and nothing of what is in a frame.
 */
import { MalformedError } from '../../client/protocol/errors.ts'
import { PLAIN_MEMORY, type Retained } from '../slab.ts'
import { type ReceiveMemory, type Region, type Ticket } from './receive-memory.ts'

/** A connection that sends so much at once gets a region. */
const BUSY_BYTES = 16 * 1024
const MIN_REGION_BYTES = 64 * 1024
/** A read into less room than this is not worth the call. */
const MIN_ROOM_BYTES = 4 * 1024
/**
 * What is read at once stays in the processor's cache until its checksum has been taken: larger reads make fewer calls,
 * and then everything twice as slow.
 */
const MAX_ROOM_BYTES = 256 * 1024
/** How much memory a byte received earns while a frame is incomplete. */
const GROWTH = 4
const LENGTH_BYTES = 4
/** How a TLS record of a handshake begins: its type, and the major version. */
const TLS_HANDSHAKE = 0x1603

/** One frame without its length field. The reference to `owner` belongs to whoever takes the frame. */
export interface Frame {
  readonly bytes: Buffer
  readonly owner: Retained
}

const NOTHING = Buffer.alloc(0)

export class FrameReceiver {
  /** May be raised while the connection lives: it is lower before authentication. */
  maxFrameBytes: number
  readonly #memory: ReceiveMemory
  /** What has arrived and was not taken yet is `#bytes[#start, #fill)`; it lies in scratch, plain memory or a region. */
  #bytes: Buffer = NOTHING
  #start = 0
  #fill = 0
  #inScratch = false
  #region: Region | null = null
  /** The room that the socket has now is in the region. */
  #direct = false
  #appetite = MIN_REGION_BYTES
  #largestFrame = 0
  #ticket: Ticket | null = null
  #starved = false

  constructor(memory: ReceiveMemory, maxFrameBytes: number) {
    this.#memory = memory
    this.maxFrameBytes = maxFrameBytes
  }

  /** Bytes that have arrived and were not taken as frames. */
  get heldBytes(): number {
    return this.#fill - this.#start
  }

  /** True when no memory could be had for the next read: stop reading, and call `feed` when there is some again. */
  get starved(): boolean {
    return this.#starved
  }

  /** Size with its length field of the frame that has begun, or 0 while it is not known. */
  get begunFrameBytes(): number {
    if (this.heldBytes < LENGTH_BYTES) return 0
    return LENGTH_BYTES + this.#bytes.readInt32BE(this.#start)
  }

  /** Room for the next read. Valid until `received`; a scratch room is shared, so the two follow each other directly. */
  room(): Buffer {
    // Between two frames the scratch room will do, so that a connection that falls silent here keeps no region busy.
    this.#direct = this.#region !== null && this.heldBytes > 0 && this.#makeRoom(0, this.begunFrameBytes)
    if (!this.#direct) return this.#memory.scratch()
    return this.#bytes.subarray(this.#fill, Math.min(this.#region!.end, this.#fill + MAX_ROOM_BYTES))
  }

  /** The first `length` bytes of the last room are there. Followed by `next` until it is null, then by `settle`. */
  received(length: number): void {
    if (this.#direct) {
      this.#direct = false
      this.#fill += length
      return
    }
    const arrived = this.#memory.arrivedInScratch(length)
    if (this.#region === null && this.heldBytes + length < BUSY_BYTES) {
      if (this.heldBytes > 0) this.#appendToPlain(arrived)
      else this.#lookAt(arrived)
      return
    }
    // The length of the frame that begins here is in what has just arrived.
    const begins = this.heldBytes === 0 && length >= LENGTH_BYTES
    if (!this.#makeRoom(length, begins ? LENGTH_BYTES + arrived.readInt32BE(0) : this.begunFrameBytes)) {
      this.#appendToPlain(arrived)
      return
    }
    this.#bytes.set(arrived, this.#fill)
    this.#fill += length
  }

  /** The next whole frame, or null when it is not complete. Throws MalformedError for a length that makes no sense. */
  next(): Frame | null {
    const held = this.#fill - this.#start
    if (held < LENGTH_BYTES) return null
    const length = this.#bytes.readInt32BE(this.#start)
    if (length < 0 || length > this.maxFrameBytes) throw this.#absurd(length)
    if (held < LENGTH_BYTES + length) return null
    const from = this.#start + LENGTH_BYTES
    this.#start = from + length
    this.#largestFrame = Math.max(this.#largestFrame, LENGTH_BYTES + length)
    const bytes = this.#bytes.subarray(from, this.#start)
    if (this.#inScratch) return { bytes: this.#memory.copy(bytes), owner: PLAIN_MEMORY }
    if (this.#region === null) return { bytes, owner: PLAIN_MEMORY }
    this.#endTicket()
    this.#region.slab.retain()
    return { bytes, owner: this.#region.slab }
  }

  /** Takes what is left out of the shared scratch room. To be called before anybody else reads. */
  settle(): void {
    if (this.#inScratch) {
      const rest = this.#bytes.subarray(this.#start, this.#fill)
      this.#lookAt(NOTHING)
      this.#inScratch = false
      if (rest.byteLength > 0) this.#appendToPlain(rest)
    } else if (this.#region === null && this.#start === this.#fill) {
      this.#bytes = NOTHING
      this.#start = this.#fill = 0
    }
  }

  /** Tries again to get the memory that was refused; true when reading may go on. */
  feed(): boolean {
    if (!this.#starved) return true
    return this.#makeRoom(0, this.begunFrameBytes)
  }

  /** To be called when nothing has arrived for a while: gives memory back that is kept for more of the same. */
  relax(): void {
    if (this.heldBytes === 0 && !this.#direct) this.#leaveRegion()
    this.#appetite = MIN_REGION_BYTES
    this.#largestFrame = 0
  }

  /** Gives everything back; nothing may be called afterwards but `room` and `received`, whose bytes are lost. */
  dispose(): void {
    this.#start = this.#fill
    this.#leaveRegion()
    this.#endTicket()
    this.#bytes = NOTHING
    this.#inScratch = false
    this.#starved = false
  }

  #lookAt(scratch: Buffer): void {
    this.#bytes = scratch
    this.#start = 0
    this.#fill = scratch.byteLength
    this.#inScratch = true
  }

  #appendToPlain(arrived: Uint8Array): void {
    const held = this.heldBytes
    const needed = held + arrived.byteLength
    if (this.#region !== null || this.#bytes.byteLength - this.#fill < arrived.byteLength) {
      const larger = Buffer.allocUnsafe(Math.max(needed * 2, 64))
      this.#bytes.copy(larger, 0, this.#start, this.#fill)
      this.#leaveRegion()
      this.#bytes = larger
      this.#start = 0
      this.#fill = held
    }
    this.#bytes.set(arrived, this.#fill)
    this.#fill += arrived.byteLength
  }

  /** Sees to a region with room for `arriving` bytes after what is held, and for the frame that has begun as far as it is earned. */
  #makeRoom(arriving: number, begunFrameBytes: number): boolean {
    const held = this.heldBytes
    const frameBytes = Math.min(begunFrameBytes, LENGTH_BYTES + this.maxFrameBytes)
    const earned = Math.max(MIN_REGION_BYTES, GROWTH * (held + arriving), this.#largestFrame)
    const needed = Math.max(held + arriving, Math.min(frameBytes, earned))
    if (this.#region !== null) {
      const free = this.#region.end - this.#fill
      const fits = needed <= this.#region.end - this.#start
      // The end of the frame may well fill the region to its last byte; without one, a little room is as good as none.
      if (fits && free > 0 && (free >= arriving + MIN_ROOM_BYTES || needed > held + arriving)) return true
    }
    return this.#moveToRegion(needed)
  }

  #moveToRegion(needed: number): boolean {
    const { pool } = this.#memory
    const { slabBytes } = pool
    // Larger regions mean fewer moves; but when memory is short, everybody gets a little rather than a few a lot.
    const generous = pool.bytesInUse * 2 < pool.maxBytes
    if (this.#region !== null && generous) this.#appetite = Math.min(this.#appetite * 2, slabBytes)
    const appetite = generous ? this.#appetite : MIN_REGION_BYTES
    const size = Math.min(Math.max(needed + MIN_ROOM_BYTES, appetite), slabBytes)
    // A frame larger than a slab gets memory of its own, in which nothing follows it; and so does a frame when
    // everybody waits for memory, because waiting frames hold some, and somebody has to get on.
    const region = (needed <= slabBytes ? this.#memory.lease(size) : null) ?? this.#leaseAlone(needed)
    this.#starved = region === null
    if (region === null) return false
    const held = this.heldBytes
    this.#bytes.copy(region.slab.bytes, region.start, this.#start, this.#fill)
    this.#leaveRegion()
    this.#region = region
    this.#bytes = region.slab.bytes
    this.#inScratch = false
    this.#start = region.start
    this.#fill = region.start + held
    return true
  }

  #leaseAlone(needed: number): Region | null {
    this.#ticket ??= this.#memory.beginTicket()
    if (this.#ticket === null) return null
    return this.#memory.leaseAlone(Math.max(needed, MIN_ROOM_BYTES), this.#ticket)
  }

  #leaveRegion(): void {
    if (this.#region === null) return
    this.#memory.giveBack(this.#region, this.#fill)
    this.#region = null
    this.#bytes = NOTHING
    this.#start = this.#fill = 0
  }

  #endTicket(): void {
    const ticket = this.#ticket
    this.#ticket = null
    if (ticket !== null) this.#memory.endTicket(ticket)
  }

  #absurd(length: number): MalformedError {
    const seen = this.#bytes.toString('latin1', this.#start, Math.min(this.#fill, this.#start + LENGTH_BYTES))
    if (/^(GET |POST|PUT |HEAD|OPTI|DELE|PATC|CONN)$/.test(seen)) {
      return new MalformedError('An HTTP request came in; this port speaks the Kafka protocol')
    }
    if (length >>> 16 === TLS_HANDSHAKE) {
      return new MalformedError('A TLS handshake came in; this listener does not use TLS')
    }
    if (length < 0) return new MalformedError(`A frame announces a length of ${length} bytes`)
    return new MalformedError(
      `A frame announces ${length} bytes, more than the ${this.maxFrameBytes} that are allowed (socket.request.max.bytes)`,
    )
  }
}
