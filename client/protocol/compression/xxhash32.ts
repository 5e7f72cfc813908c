/** xxHash32 (the checksum of LZ4 frames), after the specification of the algorithm; seed 0. */

const PRIME_1 = 0x9e37_79b1 | 0
const PRIME_2 = 0x85eb_ca77 | 0
const PRIME_3 = 0xc2b2_ae3d | 0
const PRIME_4 = 0x27d4_eb2f
const PRIME_5 = 0x1656_67b1

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

function round(lane: number, input: number): number {
  return Math.imul(rotate((lane + Math.imul(input, PRIME_2)) | 0, 13), PRIME_1)
}

/** The hash of `bytes`: 0 .. 2^32-1. */
export function xxhash32(bytes: Uint8Array): number {
  const length = bytes.length
  let at = 0
  let hash: number
  if (length >= 16) {
    let lane1 = (PRIME_1 + PRIME_2) | 0
    let lane2 = PRIME_2
    let lane3 = 0
    let lane4 = -PRIME_1 | 0
    for (const last = length - 16; at <= last; at += 16) {
      lane1 = round(lane1, word(bytes, at))
      lane2 = round(lane2, word(bytes, at + 4))
      lane3 = round(lane3, word(bytes, at + 8))
      lane4 = round(lane4, word(bytes, at + 12))
    }
    hash = (rotate(lane1, 1) + rotate(lane2, 7) + rotate(lane3, 12) + rotate(lane4, 18)) | 0
  } else {
    hash = PRIME_5
  }
  hash = (hash + length) | 0
  for (; at + 4 <= length; at += 4) {
    hash = Math.imul(rotate((hash + Math.imul(word(bytes, at), PRIME_3)) | 0, 17), PRIME_4)
  }
  for (; at < length; at++) {
    hash = Math.imul(rotate((hash + Math.imul(bytes[at]!, PRIME_5)) | 0, 11), PRIME_1)
  }
  hash = Math.imul(hash ^ (hash >>> 15), PRIME_2)
  hash = Math.imul(hash ^ (hash >>> 13), PRIME_3)
  return (hash ^ (hash >>> 16)) >>> 0
}
