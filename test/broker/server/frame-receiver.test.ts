import fc from 'fast-check'
import t from 'tap'
import { type Frame, FrameReceiver } from '../../../broker/server/frame-receiver.ts'
import { ReceiveMemory } from '../../../broker/server/receive-memory.ts'
import { SlabPool } from '../../../broker/slab.ts'

const KIB = 1024
const MIB = 1024 * KIB

function frameOf(length: number, seed = length): Buffer {
  const frame = Buffer.alloc(4 + length)
  frame.writeInt32BE(length)
  for (let index = 0; index < length; index++) frame[4 + index] = (seed + index * 31) & 0xff
  return frame
}

/** Plays the socket: puts bytes into the rooms, and takes the frames that come out. */
class Feed {
  readonly receiver: FrameReceiver
  readonly frames: Buffer[] = []
  /** Frames that are held, as a handler holds them. */
  readonly held: Frame[] = []
  reads = 0
  constructor(memory: ReceiveMemory, maxFrameBytes = 100 * MIB) {
    this.receiver = new FrameReceiver(memory, maxFrameBytes)
  }
  /** One read of at most `length` bytes of `bytes`; returns how many it took. */
  read(bytes: Buffer, length = bytes.byteLength): number {
    const room = this.receiver.room()
    const taken = Math.min(room.byteLength, length, bytes.byteLength)
    room.set(bytes.subarray(0, taken))
    this.reads++
    this.receiver.received(taken)
    for (let frame = this.receiver.next(); frame !== null; frame = this.receiver.next()) {
      this.frames.push(Buffer.from(frame.bytes))
      this.held.push(frame)
    }
    this.receiver.settle()
    return taken
  }
  write(bytes: Buffer, pieceBytes = Number.POSITIVE_INFINITY): void {
    for (let offset = 0; offset < bytes.byteLength; ) {
      offset += this.read(bytes.subarray(offset), Math.min(pieceBytes, bytes.byteLength - offset))
    }
  }
  release(): void {
    for (const { owner } of this.held.splice(0)) owner.release()
  }
}

function memoryOf(options: { slabBytes?: number; maxBytes?: number } = {}) {
  const pool = new SlabPool({ slabBytes: 4 * MIB, maxIdleSlabs: 4, ...options })
  return { pool, memory: new ReceiveMemory(pool) }
}

t.test('frames come out whole, however the bytes come in', t => {
  const piece = fc.integer({ min: 1, max: 200_000 })
  const length = fc.oneof(
    fc.integer({ min: 0, max: 100 }),
    fc.integer({ min: 0, max: 70_000 }),
    fc.integer({ min: 0, max: 700_000 }),
  )
  const stream = fc.record({
    lengths: fc.array(length, { maxLength: 12 }),
    pieces: fc.array(piece, { minLength: 1, maxLength: 20 }),
  })
  fc.assert(
    fc.property(
      fc.array(stream, { minLength: 1, maxLength: 3 }),
      fc.array(fc.nat({ max: 5 }), { minLength: 1 }),
      fc.boolean(),
      (streams, turns, holds) => {
        const { pool, memory } = memoryOf({ slabBytes: 256 * KIB })
        const feeds = streams.map(() => new Feed(memory))
        const sent = streams.map(({ lengths }) => Buffer.concat(lengths.map(length => frameOf(length))))
        const rest = [...sent]
        const pieces = streams.map(() => 0)
        for (let turn = 0; rest.some(bytes => bytes.byteLength > 0); turn++) {
          const unfinished = [...rest.keys()].filter(index => rest[index]!.byteLength > 0)
          const who = unfinished[turns[turn % turns.length]! % unfinished.length]!
          const { pieces: sizes } = streams[who]!
          // Not so small that a large stream takes a hundred thousand reads.
          const smallest = Math.ceil(sent[who]!.byteLength / 1000)
          const length = Math.max(smallest, sizes[pieces[who]!++ % sizes.length]!)
          const taken = feeds[who]!.read(rest[who]!, length)
          rest[who] = rest[who]!.subarray(taken)
          if (turn % 7 === 6) for (const feed of feeds) feed.receiver.relax()
          if (!holds) for (const feed of feeds) feed.release()
        }
        for (const [index, feed] of feeds.entries()) {
          const expected = streams[index]!.lengths.map(length => frameOf(length).subarray(4))
          if (feed.frames.length !== expected.length) return false
          if (!feed.frames.every((frame, at) => frame.equals(expected[at]!))) return false
          // What a handler held meanwhile was not overwritten by what came later.
          if (holds && !feed.held.every(({ bytes }, at) => bytes.equals(expected[at]!))) return false
          if (feed.receiver.heldBytes !== 0) return false
          feed.release()
          feed.receiver.dispose()
        }
        memory.rest()
        return pool.slabsInUse === 0 && pool.bytesInUse === 0
      },
    ),
    { numRuns: 150 },
  )
  t.end()
})

t.test('one byte at a time, as many frames at once, and anything between', t => {
  const { pool, memory } = memoryOf()
  const lengths = [0, 1, 3, 100, 5000, 20_000, 70_000]
  const bytes = Buffer.concat(lengths.map(length => frameOf(length)))
  for (const pieceBytes of [1, 2, 3, 5, 1000, 65_536, bytes.byteLength]) {
    const feed = new Feed(memory)
    feed.write(bytes, pieceBytes)
    t.same(
      feed.frames.map(frame => frame.byteLength),
      lengths,
    )
    feed.release()
    feed.receiver.dispose()
  }
  memory.rest()
  t.equal(pool.slabsInUse, 0)
  t.end()
})

t.test('a quiet connection owns nothing', t => {
  const { pool, memory } = memoryOf()
  const feed = new Feed(memory)
  feed.write(frameOf(300))
  feed.write(frameOf(2000))
  t.equal(pool.slabsInUse, 0)
  t.equal(feed.frames.length, 2)
  t.end()
})

t.test('large frames are slices of a slab, read with few reads and hardly moved', t => {
  const { memory } = memoryOf()
  const feed = new Feed(memory)
  const frame = frameOf(MIB)
  for (let count = 0; count < 16; count++) {
    feed.write(frame)
    feed.release()
  }
  const before = feed.reads
  feed.write(Buffer.concat([frame, frame, frame, frame]))
  t.ok(
    feed.reads - before < 20,
    `${feed.reads - before} reads for four frames, no more at once than a cache holds`,
  )
  t.ok(feed.frames.every(bytes => bytes.equals(frame.subarray(4))))
  t.end()
})

t.test('a connection that falls silent gives its memory back', t => {
  const { pool, memory } = memoryOf()
  const feed = new Feed(memory)
  feed.write(frameOf(300_000))
  feed.release()
  t.not(pool.slabsInUse, 0)
  feed.receiver.relax()
  memory.rest()
  t.equal(pool.slabsInUse, 0)
  feed.write(frameOf(300_000))
  t.equal(feed.frames.length, 2)
  t.end()
})

t.test('memory grows with the bytes received, never with the length declared', t => {
  const { pool, memory } = memoryOf({ slabBytes: MIB })
  const frame = frameOf(50 * MIB)
  const feed = new Feed(memory)
  let sent = 0
  for (const target of [4, 100, 10 * KIB, 100 * KIB, MIB, 3 * MIB, 10 * MIB, 40 * MIB]) {
    while (sent < target) sent += feed.read(frame.subarray(sent, target))
    t.ok(pool.bytesInUse <= 2 * MIB + 4 * sent, `${pool.bytesInUse} bytes for ${sent} received`)
  }
  feed.write(frame.subarray(sent))
  t.ok(feed.frames[0]!.equals(frame.subarray(4)))
  feed.release()
  feed.receiver.dispose()
  memory.rest()
  t.equal(pool.bytesInUse, 0)
  t.end()
})

t.test('only a few connections at a time may receive a frame larger than a slab', t => {
  const { memory } = memoryOf({ slabBytes: 256 * KIB })
  const frame = frameOf(2 * MIB)
  const feeds = [1, 2, 3].map(() => new Feed(memory))
  const sent = feeds.map(() => 0)
  const step = (index: number): void => {
    sent[index]! += feeds[index]!.read(frame.subarray(sent[index]))
  }
  for (let turn = 0; turn < 100 && !feeds[2]!.receiver.starved; turn++) {
    for (const index of [0, 1, 2]) if (sent[index]! < MIB) step(index)
  }
  t.ok(feeds[2]!.receiver.starved)
  t.equal(feeds[2]!.receiver.feed(), false)
  let woken = false
  memory.whenAvailable(() => {
    woken = true
  })
  while (feeds[0]!.frames.length === 0) step(0)
  t.equal(feeds[2]!.receiver.feed(), false, 'the memory of the first is still in use')
  feeds[0]!.receiver.relax()
  feeds[0]!.release()
  t.ok(woken)
  t.ok(feeds[2]!.receiver.feed())
  for (const index of [1, 2]) while (feeds[index]!.frames.length === 0) step(index)
  t.ok(feeds.every(feed => feed.frames[0]!.equals(frame.subarray(4))))
  t.end()
})

t.test('when the pool is used up two may go on, the others starve until memory comes back', t => {
  const { pool, memory } = memoryOf({ slabBytes: 128 * KIB, maxBytes: 256 * KIB })
  const frame = frameOf(100 * KIB)
  const feeds = [1, 2, 3, 4, 5].map(() => new Feed(memory))
  for (const feed of feeds) feed.write(frame.subarray(0, 60 * KIB))
  t.same(
    feeds.map(feed => feed.receiver.starved),
    [false, false, false, false, true],
  )
  t.ok(pool.bytesInUse < 256 * KIB + 2 * 104 * KIB)
  const starved = feeds[4]!
  t.notOk(starved.receiver.feed())
  for (const feed of feeds) {
    if (feed === starved) continue
    feed.write(frame.subarray(60 * KIB))
    feed.release()
    feed.receiver.relax()
  }
  t.ok(starved.receiver.feed())
  starved.write(frame.subarray(60 * KIB))
  t.ok(feeds.every(feed => feed.frames[0]!.equals(frame.subarray(4))))
  for (const feed of feeds) {
    feed.release()
    feed.receiver.dispose()
  }
  memory.rest()
  t.equal(pool.bytesInUse, 0)
  t.end()
})

t.test('lengths that make no sense are refused in words that help', t => {
  const { memory } = memoryOf()
  const cases: [string, Buffer, RegExp][] = [
    ['negative', Buffer.from('ffffffff', 'hex'), /-1/],
    ['most negative', Buffer.from('80000000', 'hex'), /-2147483648/],
    ['too large', Buffer.from('06400001', 'hex'), /104857601.*socket.request.max.bytes/],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n'), /HTTP/],
    ['TLS', Buffer.from('160301020001', 'hex'), /TLS/],
  ]
  for (const [name, bytes, message] of cases) {
    t.throws(() => new Feed(memory).write(bytes), { name: 'MalformedError', message }, name)
  }
  const feed = new Feed(memory, 512)
  feed.write(frameOf(512))
  t.throws(() => feed.write(frameOf(513)), { message: /513/ })
  t.end()
})
