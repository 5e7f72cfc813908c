/**
 * The bare pipe: what this machine and this Node can do at best with the same bytes and no protocol. A process of its
 * own whose listeners check bytes with CRC-32C, append them to a file and acknowledge them (with and without a sync
 * before the acknowledgement), pass what was appended on to whoever asks for more, as a leader does to its followers,
 * or send bytes from a file or from memory. The benchmarks divide the broker's figures
 * by these, so the pipe is written as well as we know how: owned receive slabs, incremental CRC over the slices as
 * they arrive, one vectored write per turn of the event loop, one sync for all that wait. It must never share code
 * with the broker, because a mistake in both would cancel out of the ratio.
 */
import { closeSync, fdatasync, openSync, readSync, writevSync } from 'node:fs'
import { createServer, type Server, Socket } from 'node:net'
import { crc32c } from '../client/protocol/crc32c.ts'
import { FrameCounter } from './frame-counter.ts'
import { ACK_BYTES, type PipeOptions, type PipePorts, READ_HEADER_BYTES } from './pipe-protocol.ts'

const SLAB_BYTES = 4 << 20
/** A slab with less room than this is given up, because tiny reads cost a system call each. */
const LEAST_ROOM_BYTES = 64 << 10
const PREFIX_BYTES = 4
/** A reader that takes less than comes is given up here: the pipe is measured where everybody keeps up. */
const FARTHEST_BEHIND_BYTES = 64 << 20

/** A receive buffer that is used again when nothing refers to it. */
interface PipeSlab {
  readonly bytes: Buffer
  references: number
}

const idleSlabs: PipeSlab[] = []

function takeSlab(): PipeSlab {
  const slab = idleSlabs.pop() ?? { bytes: Buffer.allocUnsafeSlow(SLAB_BYTES).fill(0), references: 0 }
  slab.references = 1
  return slab
}

function releaseSlab(slab: PipeSlab): void {
  slab.references -= 1
  if (slab.references === 0) idleSlabs.push(slab)
}

/** Where a connection puts its bytes: the shape of `onread` in `net`, with a buffer that changes. */
interface Receiver {
  room(): Uint8Array
  received(length: number): void
  closed(): void
}

interface ListeningHandle {
  onconnection: (error: number, handle: unknown) => void
}

/**
 * Listens on a free port. Accepted sockets are made by hand, because only the constructor takes `onread`, which lets
 * the bytes land in our own slab rather than in a fresh buffer for each read.
 */
function listen(accept: (connection: { socket: Socket | null }) => Receiver): Promise<Server> {
  const server = createServer()
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const listening = (server as unknown as { _handle: ListeningHandle })._handle
      listening.onconnection = (error, handle) => {
        if (error !== 0) return
        const connection: { socket: Socket | null } = { socket: null }
        const receiver = accept(connection)
        const options = {
          handle,
          onread: {
            buffer: () => receiver.room(),
            callback: (length: number) => {
              receiver.received(length)
              return true
            },
          },
        }
        const socket = new Socket(options as unknown as ConstructorParameters<typeof Socket>[0])
        connection.socket = socket
        socket.setNoDelay(true)
        socket.on('error', () => socket.destroy())
        socket.on('end', () => socket.end())
        socket.on('close', () => receiver.closed())
      }
      resolve(server)
    })
  })
}

function portOf(server: Server): number {
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The pipe has no port of its own.')
  return address.port
}

/** Who is given all that is appended from the moment it connects, as much as there is for each request. */
class TailReader {
  private readonly connection: { socket: Socket | null }
  private readonly header = Buffer.alloc(READ_HEADER_BYTES)
  private slices: Uint8Array[] = []
  private slabs: PipeSlab[] = []
  private bytes = 0
  private requests = 0

  constructor(connection: { socket: Socket | null }) {
    this.connection = connection
  }

  asked(requests: number): void {
    this.requests += requests
    this.answer()
  }

  appended(slices: readonly Uint8Array[], slabs: readonly PipeSlab[], byteLength: number): void {
    if (this.bytes + byteLength > FARTHEST_BEHIND_BYTES) {
      this.connection.socket?.destroy()
      return
    }
    for (const slice of slices) this.slices.push(slice)
    for (const slab of slabs) {
      slab.references += 1
      this.slabs.push(slab)
    }
    this.bytes += byteLength
    this.answer()
  }

  closed(): void {
    for (const slab of this.slabs) releaseSlab(slab)
    this.slabs = []
  }

  private answer(): void {
    const { socket } = this.connection
    if (socket === null || this.requests === 0 || this.bytes === 0) return
    const { header, slices, slabs, bytes } = this
    this.requests -= 1
    this.slices = []
    this.slabs = []
    this.bytes = 0
    header.writeInt32BE(READ_HEADER_BYTES - PREFIX_BYTES + bytes, 0)
    socket.cork()
    socket.write(header)
    for (const [index, slice] of slices.entries()) {
      if (index < slices.length - 1) socket.write(slice)
      else socket.write(slice, () => slabs.forEach(releaseSlab))
    }
    socket.uncork()
  }
}

/** Acks one connection is owed once the pending bytes are written. */
interface AckDebt {
  readonly connection: { socket: Socket | null }
  count: number
}

/** Socket -> CRC-32C -> append -> ack. All connections share one file, written over from the start when it is full. */
class AppendPipe {
  private readonly fd: number
  private readonly fileBytes: number
  private readonly synced: boolean
  private position = 0
  private slices: Uint8Array[] = []
  private pendingBytes = 0
  private usedSlabs: PipeSlab[] = []
  private debts: AckDebt[] = []
  private turnScheduled = false
  private syncing = false
  private readonly acks = Buffer.alloc(ACK_BYTES * 1024)
  private readonly readers = new Set<TailReader>()

  constructor(fd: number, fileBytes: number, synced: boolean) {
    this.fd = fd
    this.fileBytes = fileBytes
    this.synced = synced
    for (let at = 0; at < this.acks.length; at += ACK_BYTES)
      this.acks.writeInt32BE(ACK_BYTES - PREFIX_BYTES, at)
  }

  readonly accept = (connection: { socket: Socket | null }): Receiver => {
    const debt: AckDebt = { connection, count: 0 }
    let slab = takeSlab()
    let fill = 0
    let left = 0
    let prefixBytes = 0
    let prefix = 0
    let crc = 0
    return {
      room: () => {
        if (SLAB_BYTES - fill < LEAST_ROOM_BYTES) {
          releaseSlab(slab)
          slab = takeSlab()
          fill = 0
        }
        return slab.bytes.subarray(fill)
      },
      received: length => {
        const end = fill + length
        let at = fill
        slab.references += 1
        this.usedSlabs.push(slab)
        while (at < end) {
          if (left === 0) {
            prefix = (prefix << 8) | slab.bytes[at]!
            at += 1
            prefixBytes += 1
            if (prefixBytes < PREFIX_BYTES) continue
            left = prefix
            prefixBytes = 0
            prefix = 0
            crc = 0
          }
          const take = Math.min(left, end - at)
          if (take === 0) continue
          const slice = slab.bytes.subarray(at, at + take)
          crc = crc32c(slice, crc)
          this.slices.push(slice)
          this.pendingBytes += take
          at += take
          left -= take
          if (left === 0) {
            if (debt.count === 0) this.debts.push(debt)
            debt.count += 1
          }
        }
        fill = end
        this.schedule()
      },
      closed: () => releaseSlab(slab),
    }
  }

  readonly acceptReader = (connection: { socket: Socket | null }): Receiver => {
    const reader = new TailReader(connection)
    this.readers.add(reader)
    const receiver = requestCounter(requests => reader.asked(requests))
    return {
      ...receiver,
      closed: () => {
        this.readers.delete(reader)
        reader.closed()
      },
    }
  }

  private schedule(): void {
    if (this.turnScheduled || this.syncing) return
    this.turnScheduled = true
    setImmediate(this.carryOut)
  }

  private readonly carryOut = (): void => {
    this.turnScheduled = false
    if (this.pendingBytes === 0) return
    if (this.position + this.pendingBytes > this.fileBytes) this.position = 0
    writevSync(this.fd, this.slices, this.position)
    this.position += this.pendingBytes
    for (const reader of this.readers) reader.appended(this.slices, this.usedSlabs, this.pendingBytes)
    const { debts, usedSlabs } = this
    this.slices = []
    this.pendingBytes = 0
    this.debts = []
    this.usedSlabs = []
    for (const slab of usedSlabs) releaseSlab(slab)
    const owed = debts.map(debt => ({ connection: debt.connection, count: debt.count }))
    for (const debt of debts) debt.count = 0
    if (!this.synced) {
      this.answer(owed)
      return
    }
    this.syncing = true
    fdatasync(this.fd, error => {
      if (error !== null) throw error
      this.syncing = false
      this.answer(owed)
      if (this.pendingBytes > 0) this.schedule()
    })
  }

  private answer(owed: readonly { connection: { socket: Socket | null }; count: number }[]): void {
    for (const { connection, count } of owed)
      connection.socket?.write(this.acks.subarray(0, count * ACK_BYTES))
  }
}

/** Counts complete requests of a connection; their bytes are not looked at. */
function requestCounter(onRequests: (count: number) => void): Receiver {
  const scratch = Buffer.allocUnsafeSlow(64 << 10)
  const frames = new FrameCounter()
  return {
    room: () => scratch,
    received: length => {
      const requests = frames.count(scratch, length)
      if (requests > 0) onRequests(requests)
    },
    closed: () => undefined,
  }
}

/** One answer to a read: a header as long as a Fetch response's, then the bytes, in one vectored write. */
function sendAnswer(socket: Socket, header: Buffer, bytes: Uint8Array, done: () => void): void {
  socket.cork()
  socket.write(header)
  socket.write(bytes, done)
  socket.uncork()
}

function readHeader(readBytes: number): Buffer {
  const header = Buffer.alloc(READ_HEADER_BYTES)
  header.writeInt32BE(READ_HEADER_BYTES - PREFIX_BYTES + readBytes, 0)
  return header
}

/** File -> socket: a read from the page cache into a pooled buffer, which comes back when the socket has sent it. */
function fileReader(
  fd: number,
  fileBytes: number,
  readBytes: number,
): (connection: { socket: Socket | null }) => Receiver {
  const pool: Buffer[] = []
  const header = readHeader(readBytes)
  return connection => {
    let position = 0
    return requestCounter(count => {
      for (let index = 0; index < count; index += 1) {
        const buffer = pool.pop() ?? Buffer.allocUnsafeSlow(readBytes)
        if (position + readBytes > fileBytes) position = 0
        readSync(fd, buffer, 0, readBytes, position)
        position += readBytes
        sendAnswer(connection.socket!, header, buffer, () => pool.push(buffer))
      }
    })
  }
}

/** Memory -> socket: slices of slabs that stay where they are. */
function memoryReader(
  memoryBytes: number,
  readBytes: number,
): (connection: { socket: Socket | null }) => Receiver {
  const header = readHeader(readBytes)
  const perSlab = Math.max(1, Math.floor(SLAB_BYTES / readBytes))
  const slices: Buffer[] = []
  for (let filled = 0; filled < memoryBytes; filled += perSlab * readBytes) {
    const slab = Buffer.allocUnsafeSlow(perSlab * readBytes).fill(filled & 0xff)
    for (let at = 0; at < perSlab; at += 1) slices.push(slab.subarray(at * readBytes, (at + 1) * readBytes))
  }
  return connection => {
    let next = 0
    return requestCounter(count => {
      for (let index = 0; index < count; index += 1) {
        sendAnswer(connection.socket!, header, slices[next]!, () => undefined)
        next = (next + 1) % slices.length
      }
    })
  }
}

/** Writes the file once, so that the measured writes meet pages and blocks that exist, as in a recycled segment. */
function warmFile(path: string, fileBytes: number): number {
  const fd = openSync(path, 'w+')
  const piece = Buffer.alloc(1 << 20, 0x5a)
  for (let at = 0; at < fileBytes; at += piece.length) writevSync(fd, [piece.subarray(0, fileBytes - at)], at)
  return fd
}

async function main(): Promise<void> {
  const options = JSON.parse(process.argv[2] ?? '{}') as PipeOptions
  const { directory, fileBytes, readBytes, memoryBytes } = options
  const plain = warmFile(`${directory}/pipe-append`, fileBytes)
  const synced = warmFile(`${directory}/pipe-append-synced`, fileBytes)
  const unsynced = new AppendPipe(plain, fileBytes, false)
  const servers = {
    append: await listen(unsynced.accept),
    tail: await listen(unsynced.acceptReader),
    appendSynced: await listen(new AppendPipe(synced, fileBytes, true).accept),
    readFile: await listen(fileReader(plain, fileBytes, readBytes)),
    readMemory: await listen(memoryReader(memoryBytes, readBytes)),
  }
  const ports: PipePorts = {
    append: portOf(servers.append),
    tail: portOf(servers.tail),
    appendSynced: portOf(servers.appendSynced),
    readFile: portOf(servers.readFile),
    readMemory: portOf(servers.readMemory),
  }
  process.on('disconnect', () => {
    closeSync(plain)
    closeSync(synced)
    process.exit(0)
  })
  process.send?.(ports)
}

await main()
