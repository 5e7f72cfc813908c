/**
 * LZ4 blocks (the format of the sequences, without a frame), in JavaScript. Decoding here is the only one that knows
 * linked blocks, because the native binding cannot see history; encoding is what is left when nothing native loads.
 */

import { MalformedError } from '../errors.ts'
import { copyBytes, copyMatch } from './copy.ts'

const MIN_MATCH = 4
/** The format's end rules: the last match starts 12 bytes before the end at the latest, the last 5 are literals. */
const LAST_MATCH_DISTANCE = 12
const LAST_LITERALS = 5
const MAX_DISTANCE = 0xffff

/**
 * Decodes the block `input[start, end)` into `output[at, limit)`. Matches may reach back to `historyStart` in the
 * output: `at` for an independent block, the start of the frame for a linked one. Returns where the output ends.
 */
export function decodeLz4Block(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  at: number,
  limit: number,
  historyStart: number,
): number {
  let from = start
  let to = at
  for (;;) {
    if (from >= end) throw new MalformedError('an LZ4 block ends within a sequence')
    const token = input[from++]!
    let literals = token >> 4
    if (literals === 15) {
      let more: number
      do {
        if (from >= end) throw new MalformedError('an LZ4 block ends within a length')
        more = input[from++]!
        literals += more
      } while (more === 255)
    }
    if (literals > end - from) throw new MalformedError('an LZ4 block ends within its literals')
    if (literals > limit - to) throw new MalformedError('an LZ4 block decodes to more than its frame allows')
    copyBytes(input, from, output, to, literals)
    from += literals
    to += literals
    // Only the last sequence has no match.
    if (from === end) return to

    if (end - from < 2) throw new MalformedError('an LZ4 block ends within an offset')
    const distance = input[from]! | (input[from + 1]! << 8)
    from += 2
    if (distance === 0 || distance > to - historyStart) {
      throw new MalformedError('an LZ4 block refers to bytes before its history')
    }
    let match = (token & 15) + MIN_MATCH
    if (match === 15 + MIN_MATCH) {
      let more: number
      do {
        if (from >= end) throw new MalformedError('an LZ4 block ends within a length')
        more = input[from++]!
        match += more
      } while (more === 255)
    }
    if (match > limit - to) throw new MalformedError('an LZ4 block decodes to more than its frame allows')
    copyMatch(output, to, distance, match)
    to += match
  }
}

const HASH_BITS = 13
/** Position + 1 of the last four bytes with that hash, 0 for none; shared, as encoding never waits. */
const positions = new Int32Array(1 << HASH_BITS)

function fourBytes(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

/**
 * Encodes `input` as one independent block into `output[at, limit)`; returns the block's bytes, or 0 when they do not
 * fit (incompressible input).
 */
export function encodeLz4Block(input: Uint8Array, output: Uint8Array, at: number, limit: number): number {
  positions.fill(0)
  const length = input.length
  const lastMatchStart = length - LAST_MATCH_DISTANCE
  const matchEnd = length - LAST_LITERALS
  let from = 0
  let literalStart = 0
  let to = at
  // Steps grow where nothing matches, so that incompressible input does not cost a look-up per byte.
  let misses = 0
  while (from <= lastMatchStart) {
    const sequence = fourBytes(input, from)
    const slot = Math.imul(sequence, 0x9e37_79b1) >>> (32 - HASH_BITS)
    const candidate = positions[slot]! - 1
    positions[slot] = from + 1
    if (candidate < 0 || from - candidate > MAX_DISTANCE || fourBytes(input, candidate) !== sequence) {
      from += 1 + (misses++ >> 6)
      continue
    }
    misses = 0
    let match = MIN_MATCH
    while (from + match < matchEnd && input[from + match] === input[candidate + match]) match++
    to = putSequence(input, literalStart, from - literalStart, output, to, limit, from - candidate, match)
    if (to === 0) return 0
    from += match
    literalStart = from
  }
  to = putSequence(input, literalStart, length - literalStart, output, to, limit, 0, 0)
  return to === 0 ? 0 : to - at
}

/** Writes literals and, unless `match` is 0, a match. Returns the end of the output, or 0 where there is no room. */
function putSequence(
  input: Uint8Array,
  literalStart: number,
  literals: number,
  output: Uint8Array,
  at: number,
  limit: number,
  distance: number,
  match: number,
): number {
  const worst = 1 + Math.ceil(literals / 255) + 1 + literals + 2 + Math.ceil(match / 255) + 1
  if (worst > limit - at) return 0
  let to = at
  const matchCode = match === 0 ? 0 : match - MIN_MATCH
  output[to++] = (Math.min(literals, 15) << 4) | Math.min(matchCode, 15)
  if (literals >= 15) to = putLength(output, to, literals - 15)
  copyBytes(input, literalStart, output, to, literals)
  to += literals
  if (match === 0) return to
  output[to++] = distance & 0xff
  output[to++] = distance >> 8
  return matchCode >= 15 ? putLength(output, to, matchCode - 15) : to
}

function putLength(output: Uint8Array, at: number, length: number): number {
  let to = at
  let rest = length
  for (; rest >= 255; rest -= 255) output[to++] = 255
  output[to++] = rest
  return to
}
