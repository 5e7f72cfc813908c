/**
 * CRC-32C (Castagnoli, RFC 3720 appendix B.4), the checksum of record batches. Uses the processor's own instruction
 * through `@node-rs/crc32` where that loads; otherwise the same result comes from tables, about ten times slower.
 */

import { createRequire } from 'node:module'

/** `previous` is the CRC of the bytes before: crc(a + b) = crc(b, crc(a)). The result is 0 .. 2^32-1. */
export type Crc32c = (bytes: Uint8Array, previous?: number) => number

/** Reversed Castagnoli polynomial. */
const POLYNOMIAL = 0x82f6_3b78

/**
 * Eight tables of 256 entries, "slicing by 8": table k advances the register by a byte that is followed by k others,
 * so eight bytes are taken in one step of eight independent look-ups.
 */
function makeTables(): Int32Array {
  const tables = new Int32Array(8 * 256)
  for (let byte = 0; byte < 256; byte++) {
    let register = byte
    for (let bit = 0; bit < 8; bit++) register = (register >>> 1) ^ (register & 1 ? POLYNOMIAL : 0)
    tables[byte] = register
  }
  for (let entry = 256; entry < tables.length; entry++) {
    const shorter = tables[entry - 256]!
    tables[entry] = (shorter >>> 8) ^ tables[shorter & 0xff]!
  }
  return tables
}

let tables: Int32Array | null = null

/** The table-driven implementation; works everywhere. */
export function crc32cPortable(bytes: Uint8Array, previous = 0): number {
  const table = (tables ??= makeTables())
  const length = bytes.length
  const wholeEnd = length - (length % 8)
  let register = ~previous
  let at = 0
  while (at < wholeEnd) {
    const low =
      register ^ (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24))
    register =
      table[0x700 | (low & 0xff)]! ^
      table[0x600 | ((low >>> 8) & 0xff)]! ^
      table[0x500 | ((low >>> 16) & 0xff)]! ^
      table[0x400 | (low >>> 24)]! ^
      table[0x300 | bytes[at + 4]!]! ^
      table[0x200 | bytes[at + 5]!]! ^
      table[0x100 | bytes[at + 6]!]! ^
      table[bytes[at + 7]!]!
    at += 8
  }
  while (at < length) register = (register >>> 8) ^ table[(register ^ bytes[at++]!) & 0xff]!
  return ~register >>> 0
}

function loadNative(): Crc32c | null {
  try {
    const native: unknown = createRequire(import.meta.url)('@node-rs/crc32')
    const candidate = (native as { crc32c?: unknown }).crc32c
    if (typeof candidate !== 'function') return null
    // One known answer (RFC 3720: 32 zero bytes), so that a build for another machine does not slip in silently.
    return (candidate as Crc32c)(new Uint8Array(32)) === 0x8a91_36aa ? (candidate as Crc32c) : null
  } catch {
    return null
  }
}

/** The native implementation, or null where it does not load. */
export const crc32cNative: Crc32c | null = loadNative()

/** Below this many bytes the way into native code costs more than the tables do. */
const SHORT_BYTES = 128

/** The faster of the two. */
export const crc32c: Crc32c =
  crc32cNative === null
    ? crc32cPortable
    : (bytes, previous = 0) =>
        bytes.length < SHORT_BYTES ? crc32cPortable(bytes, previous) : crc32cNative(bytes, previous)
