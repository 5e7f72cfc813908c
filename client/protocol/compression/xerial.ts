/**
 * Snappy as it occurs in record batches: Java clients frame it in blocks the way the library snappy-java (xerial.org)
 * does, librdkafka and others send one raw block. Both are read; the framed form is written, as every client reads it.
 *
 *   | 0x82 "SNAPPY" 0x00 | version int32 | lowest compatible version int32 | { length int32 | raw block } ...
 */

import { createRequire } from 'node:module'
import { MalformedError } from '../errors.ts'
import { Output } from './output.ts'
import { decodeSnappyBlock, encodeSnappyBlock, readSnappyLength } from './snappy-block.ts'

const MAGIC = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00])
const HEADER_BYTES = MAGIC.length + 8
const WRITTEN_HEADER = Buffer.concat([MAGIC, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])])
/** The first four bytes of the magic as a length would be negative: so it can be told from a block. */
const MAGIC_AS_LENGTH = MAGIC.readInt32BE(0)
/** Block size of snappy-java's own stream. */
const WRITTEN_BLOCK_BYTES = 32 * 1024

interface SnappyCodec {
  readonly name: string
  readonly encode: (input: Uint8Array) => Uint8Array
  /** Null: JavaScript decodes. Throws on bad input. */
  readonly decode: ((block: Uint8Array) => Uint8Array) | null
}

const javaScript: SnappyCodec = { name: 'JavaScript', encode: encodeSnappyBlock, decode: null }

function loadNative(): SnappyCodec | null {
  try {
    const native = createRequire(import.meta.url)('snappy') as {
      compressSync(input: Uint8Array, options: { copyOutputData: true }): Buffer
      uncompressSync(input: Uint8Array, options: { asBuffer: true; copyOutputData: true }): Buffer
    }
    if (typeof native.compressSync !== 'function' || typeof native.uncompressSync !== 'function') return null
    return {
      name: 'snappy',
      encode: input => native.compressSync(input, { copyOutputData: true }),
      decode: block => native.uncompressSync(block, { asBuffer: true, copyOutputData: true }),
    }
  } catch {
    return null
  }
}

/** `native` is null where it does not load. For tests of both. */
export const snappyCodecs: { readonly native: SnappyCodec | null; readonly javaScript: SnappyCodec } = {
  native: loadNative(),
  javaScript,
}

/** The faster one that loads. */
export const snappyCodec: SnappyCodec = snappyCodecs.native ?? javaScript

/** Framed snappy. The result belongs to the caller. */
export function compressXerial(bytes: Uint8Array, codec: SnappyCodec = snappyCodec): Buffer {
  const chunks: Uint8Array[] = [WRITTEN_HEADER]
  for (let start = 0; start < bytes.length; start += WRITTEN_BLOCK_BYTES) {
    const block = codec.encode(bytes.subarray(start, start + WRITTEN_BLOCK_BYTES))
    const length = Buffer.allocUnsafe(4)
    length.writeInt32BE(block.length)
    chunks.push(length, block)
  }
  return Buffer.concat(chunks)
}

/** Reads framed or raw snappy. Throws MalformedError, and DecompressionLimitError before the cap is exceeded. */
export function decompressSnappy(
  bytes: Uint8Array,
  maxOutputBytes: number,
  codec: SnappyCodec = snappyCodec,
): Buffer {
  const input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const output = new Output(Math.min(input.length * 4, 1024 * 1024), maxOutputBytes)
  if (!isHeader(input, 0)) {
    readBlock(input, output, codec)
    return output.filled()
  }
  let at = HEADER_BYTES
  while (at < input.length) {
    if (input.length - at < 4) throw new MalformedError('framed snappy ends within a length')
    const length = input.readInt32BE(at)
    // Streams may follow each other, each with its header.
    if (length === MAGIC_AS_LENGTH && isHeader(input, at)) {
      at += HEADER_BYTES
      continue
    }
    at += 4
    if (length <= 0 || length > input.length - at) {
      throw new MalformedError(
        `a framed snappy block of ${length} bytes does not fit the ${input.length - at} left`,
      )
    }
    readBlock(input.subarray(at, at + length), output, codec)
    at += length
  }
  return output.filled()
}

function isHeader(input: Buffer, at: number): boolean {
  return (
    input.length - at >= HEADER_BYTES && input.compare(MAGIC, 0, MAGIC.length, at, at + MAGIC.length) === 0
  )
}

function readBlock(block: Buffer, output: Output, codec: SnappyCodec): void {
  const { length, elementsStart } = readSnappyLength(block)
  output.reserve(length)
  const end = output.length + length
  if (codec.decode === null) {
    decodeSnappyBlock(block, elementsStart, output.bytes, output.length, end)
    output.length = end
    return
  }
  let content: Uint8Array
  try {
    content = codec.decode(block)
  } catch (error) {
    throw new MalformedError('a snappy block is damaged', { cause: error })
  }
  if (content.length !== length)
    throw new MalformedError('a snappy block decodes to another length than it says')
  output.append(content)
}
