/**
 * The LZ4 frame format (its specification, version 1.6): reads every legal frame, writes the plain one that all Kafka
 * clients read (independent blocks of 64 KiB, no checksums). Blocks go through the native `lz4` where it was built, but
 * only as slices whose bounds were checked here: handed a bad index, that binding reads outside of the buffer.
 */

import { createRequire } from 'node:module'
import { MalformedError } from '../errors.ts'
import { DecompressionLimitError } from './errors.ts'
import { decodeLz4Block, encodeLz4Block } from './lz4-block.ts'
import { Output } from './output.ts'
import { xxhash32 } from './xxhash32.ts'

const FRAME_MAGIC = 0x184d_2204
const SKIPPABLE_MAGIC = 0x184d_2a50
const FLAG_VERSION_MASK = 0xc0
const FLAG_VERSION = 0x40
const FLAG_INDEPENDENT = 0x20
const FLAG_BLOCK_CHECKSUM = 0x10
const FLAG_CONTENT_SIZE = 0x08
const FLAG_CONTENT_CHECKSUM = 0x04
const FLAG_RESERVED = 0x02
const FLAG_DICTIONARY_ID = 0x01
const UNCOMPRESSED_BLOCK = 0x8000_0000
/** A byte of a compressed block stands for at most 255 of output. */
const LARGEST_RATIO = 255

const WRITTEN_BLOCK_BYTES = 64 * 1024
/** Magic, FLG 0x60 (version 1, independent blocks), BD 0x40 (64 KiB), and the checksum of those two. */
const WRITTEN_HEADER = Buffer.from([0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82])

interface BlockCodec {
  readonly name: string
  /** Null: this implementation decodes no blocks; JavaScript does. */
  readonly decode: ((input: Uint8Array, output: Uint8Array) => number) | null
  /** Bytes written to `output`, 0 where they do not fit. */
  readonly encode: (input: Uint8Array, output: Uint8Array) => number
}

const javaScript: BlockCodec = {
  name: 'JavaScript',
  decode: null,
  encode: (input, output) => encodeLz4Block(input, output, 0, output.length),
}

/** The native binding `lz4` alone wants Buffers, and answers a negative number to bad input. */
function loadLz4(): BlockCodec | null {
  try {
    const native = createRequire(import.meta.url)('lz4') as {
      decodeBlock(input: Buffer, output: Buffer): number
      encodeBlock(input: Buffer, output: Buffer): number
    }
    if (typeof native.decodeBlock !== 'function' || typeof native.encodeBlock !== 'function') return null
    return {
      name: 'lz4',
      decode: (input, output) => native.decodeBlock(asBuffer(input), asBuffer(output)),
      encode: (input, output) => native.encodeBlock(asBuffer(input), asBuffer(output)),
    }
  } catch {
    return null
  }
}

/** Prebuilt; it puts four bytes of length before a block, which makes it a poor decoder and a good encoder. */
function loadLz4Napi(): BlockCodec | null {
  try {
    const native = createRequire(import.meta.url)('lz4-napi') as { compressSync(input: Buffer): Buffer }
    if (typeof native.compressSync !== 'function') return null
    return {
      name: 'lz4-napi',
      decode: null,
      encode: (input, output) => {
        const block = native.compressSync(asBuffer(input)).subarray(4)
        if (block.length > output.length) return 0
        output.set(block)
        return block.length
      },
    }
  } catch {
    return null
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** `lz4` and `lz4-napi` are null where they do not load; JavaScript is always there. For tests of all three. */
export const lz4BlockCodecs: {
  readonly lz4: BlockCodec | null
  readonly lz4Napi: BlockCodec | null
  readonly javaScript: BlockCodec
} = { lz4: loadLz4(), lz4Napi: loadLz4Napi(), javaScript }

/** The fastest that loads. */
export const lz4BlockCodec: BlockCodec = lz4BlockCodecs.lz4 ?? lz4BlockCodecs.lz4Napi ?? javaScript

// --------------------------------------------------------------------------------------- writing

/** One frame of independent blocks. The result belongs to the caller. */
export function compressLz4Frame(bytes: Uint8Array, codec: BlockCodec = lz4BlockCodec): Buffer {
  const blocks = Math.ceil(bytes.length / WRITTEN_BLOCK_BYTES)
  const frame = Buffer.allocUnsafe(WRITTEN_HEADER.length + blocks * 4 + bytes.length + 4)
  frame.set(WRITTEN_HEADER)
  let at = WRITTEN_HEADER.length
  for (let start = 0; start < bytes.length; start += WRITTEN_BLOCK_BYTES) {
    const block = bytes.subarray(start, start + WRITTEN_BLOCK_BYTES)
    // One byte less than the block: what does not get smaller is stored as it is.
    const packed = codec.encode(block, frame.subarray(at + 4, at + 4 + block.length - 1))
    if (packed > 0) {
      frame.writeUInt32LE(packed, at)
      at += 4 + packed
    } else {
      frame.writeUInt32LE((block.length | UNCOMPRESSED_BLOCK) >>> 0, at)
      frame.set(block, at + 4)
      at += 4 + block.length
    }
  }
  frame.writeUInt32LE(0, at)
  return frame.subarray(0, at + 4)
}

// --------------------------------------------------------------------------------------- reading

interface FrameDescriptor {
  readonly blocksStart: number
  readonly independent: boolean
  readonly blockChecksums: boolean
  readonly contentChecksum: boolean
  readonly contentSize: number | null
  readonly maxBlockBytes: number
}

/**
 * The content of all frames in `bytes`, one after another; at least one. Throws MalformedError, and
 * DecompressionLimitError before the output exceeds `maxOutputBytes`.
 */
export function decompressLz4Frames(
  bytes: Uint8Array,
  maxOutputBytes: number,
  codec: BlockCodec = lz4BlockCodec,
): Buffer {
  const input = asBuffer(bytes)
  const output = new Output(Math.max(64 * 1024, input.length * 4), maxOutputBytes)
  let at = 0
  do {
    const magic = uint32(input, at)
    if ((magic & 0xffff_fff0) === SKIPPABLE_MAGIC) {
      at = advance(input, at + 8, uint32(input, at + 4))
    } else if (magic === FRAME_MAGIC) {
      at = readFrame(input, readDescriptor(input, at + 4), output, codec)
    } else {
      throw new MalformedError('the compressed records are no LZ4 frame (wrong magic number)')
    }
  } while (at < input.length)
  return output.filled()
}

function uint32(input: Buffer, at: number): number {
  if (at + 4 > input.length) throw new MalformedError('an LZ4 frame ends early')
  return input.readUInt32LE(at)
}

function advance(input: Buffer, at: number, count: number): number {
  if (count > input.length - at) throw new MalformedError('an LZ4 frame ends early')
  return at + count
}

function readDescriptor(input: Buffer, start: number): FrameDescriptor {
  advance(input, start, 3)
  const flags = input[start]!
  const blockDescriptor = input[start + 1]!
  if ((flags & FLAG_VERSION_MASK) !== FLAG_VERSION)
    throw new MalformedError('unknown version of an LZ4 frame')
  const sizeCode = (blockDescriptor >> 4) & 7
  if ((flags & FLAG_RESERVED) !== 0 || (blockDescriptor & 0x8f) !== 0 || sizeCode < 4) {
    throw new MalformedError('the header of an LZ4 frame has reserved bits or an unknown block size')
  }
  let end = start + 2
  let contentSize: number | null = null
  if ((flags & FLAG_CONTENT_SIZE) !== 0) {
    contentSize = uint32(input, end + 4) * 0x1_0000_0000 + uint32(input, end)
    end += 8
  }
  // An id without its dictionary: whatever refers to the dictionary is found out by its offset.
  if ((flags & FLAG_DICTIONARY_ID) !== 0) end = advance(input, end, 4)
  advance(input, end, 1)
  if (((xxhash32(input.subarray(start, end)) >>> 8) & 0xff) !== input[end]) {
    throw new MalformedError('the header of an LZ4 frame does not match its checksum')
  }
  return {
    blocksStart: end + 1,
    independent: (flags & FLAG_INDEPENDENT) !== 0,
    blockChecksums: (flags & FLAG_BLOCK_CHECKSUM) !== 0,
    contentChecksum: (flags & FLAG_CONTENT_CHECKSUM) !== 0,
    contentSize,
    maxBlockBytes: 1 << (8 + 2 * sizeCode),
  }
}

/** Returns where the frame ends in the input. */
function readFrame(input: Buffer, frame: FrameDescriptor, output: Output, codec: BlockCodec): number {
  const contentStart = output.length
  let at = frame.blocksStart
  for (;;) {
    const sizeField = uint32(input, at)
    at += 4
    if (sizeField === 0) break
    const size = sizeField & 0x7fff_ffff
    if (size > frame.maxBlockBytes) throw new MalformedError('an LZ4 block is larger than its frame allows')
    const end = advance(input, at, size)
    if (frame.blockChecksums && uint32(input, end) !== xxhash32(input.subarray(at, end))) {
      throw new MalformedError('an LZ4 block does not match its checksum')
    }
    if (sizeField >= UNCOMPRESSED_BLOCK) output.append(input.subarray(at, end))
    else readBlock(input.subarray(at, end), frame, contentStart, output, codec)
    at = frame.blockChecksums ? end + 4 : end
  }
  const content = output.bytes.subarray(contentStart, output.length)
  if (frame.contentSize !== null && frame.contentSize !== content.length) {
    throw new MalformedError('an LZ4 frame has another length than it says')
  }
  if (frame.contentChecksum) {
    if (uint32(input, at) !== xxhash32(content))
      throw new MalformedError('an LZ4 frame does not match its checksum')
    at += 4
  }
  return at
}

function readBlock(
  block: Buffer,
  frame: FrameDescriptor,
  contentStart: number,
  output: Output,
  codec: BlockCodec,
): void {
  const wanted = Math.min(frame.maxBlockBytes, block.length * LARGEST_RATIO)
  const room = Math.min(wanted, output.left)
  output.reserve(room)
  const start = output.length
  try {
    if (frame.independent && codec.decode !== null && room > 0) {
      const count = codec.decode(block, output.bytes.subarray(start, start + room))
      if (count < 0 || count > room) throw new MalformedError('an LZ4 block is damaged')
      output.length = start + count
    } else {
      const historyStart = frame.independent ? start : contentStart
      const limit = start + room
      output.length = decodeLz4Block(block, 0, block.length, output.bytes, start, limit, historyStart)
    }
  } catch (error) {
    // With less room than the frame allows, "does not fit" means the cap rather than damage.
    if (room < wanted) throw new DecompressionLimitError(output.length + output.left)
    throw error
  }
}
