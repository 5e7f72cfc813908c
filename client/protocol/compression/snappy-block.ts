/**
 * Snappy blocks (the raw format: a varint of the decoded length, then literals and copies), in JavaScript: what is left
 * when the native `snappy` does not load.
 */

import { MalformedError } from '../errors.ts'
import { copyBytes, copyMatch } from './copy.ts'

/** Matches never cross a fragment, so that a position fits the hash table's 16-bit world. */
const FRAGMENT_BYTES = 64 * 1024
const HASH_BITS = 13
/** The longest copy element: 3 bytes that stand for 64. Nothing in the format makes more of its input. */
const LARGEST_RATIO = 22

/**
 * The decoded length that a block declares, and where its elements start. Refused when the block could never hold
 * as much: so memory follows what was received.
 */
export function readSnappyLength(block: Uint8Array): { length: number; elementsStart: number } {
  let length = 0
  for (let at = 0; at < 5 && at < block.length; at++) {
    const byte = block[at]!
    if (at === 4 && byte > 0x0f) break
    length += (byte & 0x7f) * 2 ** (7 * at)
    if (byte < 0x80) {
      if (length > block.length * LARGEST_RATIO) {
        throw new MalformedError(`a snappy block of ${block.length} bytes cannot hold ${length} bytes`)
      }
      return { length, elementsStart: at + 1 }
    }
  }
  throw new MalformedError('a snappy block starts with no valid length')
}

/** Decodes a whole block into `output[at, limit)`, which must be just as long as the block declares. */
export function decodeSnappyBlock(
  block: Uint8Array,
  elementsStart: number,
  output: Uint8Array,
  at: number,
  limit: number,
): void {
  const end = block.length
  let from = elementsStart
  let to = at
  while (from < end) {
    const tag = block[from++]!
    let count = (tag >> 2) + 1
    let distance = 0
    switch (tag & 3) {
      case 0:
        if (count > 60) {
          const lengthBytes = count - 60
          if (lengthBytes > end - from) throw new MalformedError('a snappy block ends within a length')
          count = littleEndian(block, from, lengthBytes) + 1
          from += lengthBytes
        }
        if (count > end - from) throw new MalformedError('a snappy block ends within its literals')
        break
      case 1:
        count = ((tag >> 2) & 7) + 4
        distance = ((tag >> 5) << 8) | block[from]!
        from += 1
        break
      case 2:
        distance = block[from]! | (block[from + 1]! << 8)
        from += 2
        break
      default:
        distance = littleEndian(block, from, 4)
        from += 4
    }
    if (from > end) throw new MalformedError('a snappy block ends within a copy')
    if (count > limit - to) throw new MalformedError('a snappy block decodes to more than it says')
    if ((tag & 3) === 0) {
      copyBytes(block, from, output, to, count)
      from += count
    } else {
      if (distance === 0 || distance > to - at) {
        throw new MalformedError('a snappy block refers to bytes before its start')
      }
      copyMatch(output, to, distance, count)
    }
    to += count
  }
  if (to !== limit) throw new MalformedError('a snappy block decodes to less than it says')
}

function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0
  // Bytes beyond the end count as nothing: the caller finds out that there were none.
  for (let i = count - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0)
  return value
}

/** Position in the fragment + 1 of the last four bytes with that hash; shared, as encoding never waits. */
const positions = new Int32Array(1 << HASH_BITS)

function fourBytes(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

/** Encodes `input` as one block. */
export function encodeSnappyBlock(input: Uint8Array): Buffer {
  // The format's own bound for what incompressible input grows to.
  const output = Buffer.allocUnsafe(32 + input.length + Math.ceil(input.length / 6))
  let to = 0
  let rest = input.length
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) output[to++] = (rest & 0x7f) | 0x80
  output[to++] = rest
  for (let start = 0; start < input.length; start += FRAGMENT_BYTES) {
    to = encodeFragment(input, start, Math.min(input.length, start + FRAGMENT_BYTES), output, to)
  }
  return output.subarray(0, to)
}

function encodeFragment(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  at: number,
): number {
  positions.fill(0)
  let from = start
  let literalStart = start
  let to = at
  let misses = 0
  while (from + 4 <= end) {
    const sequence = fourBytes(input, from)
    const slot = Math.imul(sequence, 0x1e35_a7bd) >>> (32 - HASH_BITS)
    const candidate = start + positions[slot]! - 1
    positions[slot] = from - start + 1
    if (candidate < start || fourBytes(input, candidate) !== sequence) {
      from += 1 + (misses++ >> 5)
      continue
    }
    misses = 0
    let match = 4
    while (from + match < end && input[from + match] === input[candidate + match]) match++
    to = putLiteral(input, literalStart, from - literalStart, output, to)
    to = putCopy(output, to, from - candidate, match)
    from += match
    literalStart = from
  }
  return putLiteral(input, literalStart, end - literalStart, output, to)
}

function putLiteral(input: Uint8Array, start: number, count: number, output: Uint8Array, at: number): number {
  if (count === 0) return at
  let to = at
  const code = count - 1
  if (code < 60) {
    output[to++] = code << 2
  } else if (code < 256) {
    output[to++] = 60 << 2
    output[to++] = code
  } else {
    // A fragment has 64 KiB, so two bytes are always enough.
    output[to++] = 61 << 2
    output[to++] = code & 0xff
    output[to++] = code >> 8
  }
  copyBytes(input, start, output, to, count)
  return to + count
}

function putCopy(output: Uint8Array, at: number, distance: number, match: number): number {
  let to = at
  let rest = match
  while (rest > 0) {
    // Never leaves less than four: shorter copies are legal, but some decoders are slow with them.
    const count = rest >= 68 ? 64 : rest > 64 ? 60 : rest
    output[to++] = ((count - 1) << 2) | 2
    output[to++] = distance & 0xff
    output[to++] = distance >> 8
    rest -= count
  }
  return to
}
