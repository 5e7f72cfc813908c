/**
 * SipHash-2-4 with 128 bits of output: what record keys are told apart by while a log is compacted. It is keyed with
 * fresh chance for every compaction, and that is why it stands where Kafka has MD5: two keys that share their hash
 * would cost one of them its last value without anybody noticing. By accident that does not happen with either (a
 * billion keys: once in 10^20 compactions), but with MD5 such keys can be made on purpose, while nobody can make them
 * for a secret that is chosen after they were written.
 *
 * Aumasson and Bernstein, "SipHash: a fast short-input PRF", with the 128-bit output of the reference code. 64-bit
 * words are pairs of 32-bit halves, because bigints cost a hundred times as much.
 */
import { assert } from '../../../client/protocol/assert.ts'

export const SIPHASH_KEY_BYTES = 16

/** Four 32-bit words, the last hash that was computed. */
export type HashWords = Int32Array

/** A key for `siphash`, ready for use. */
export type SipKey = Int32Array

export function sipKey(bytes: Uint8Array): SipKey {
  assert(bytes.length === SIPHASH_KEY_BYTES, 'the key of a SipHash has 16 bytes')
  return Int32Array.from([0, 4, 8, 12], at => word(bytes, at))
}

/** Hashes `bytes` from `start` to `end` into `into`. */
export function siphash(key: SipKey, bytes: Uint8Array, start: number, end: number, into: HashWords): void {
  const [k0l, k0h, k1l, k1h] = key as unknown as [number, number, number, number]
  let v0l = k0l ^ 0x70736575
  let v0h = k0h ^ 0x736f6d65
  let v1l = k1l ^ 0x6e646f6d ^ 0xee
  let v1h = k1h ^ 0x646f7261
  let v2l = k0l ^ 0x6e657261
  let v2h = k0h ^ 0x6c796765
  let v3l = k1l ^ 0x79746573
  let v3h = k1h ^ 0x74656462

  const length = end - start
  const words = length >>> 3
  // All whole words, the rest with the length in its last byte, and the two halves of the output.
  for (let step = 0; step <= words + 2; step++) {
    let ml = 0
    let mh = 0
    let rounds = 2
    if (step < words) {
      const at = start + 8 * step
      ml = bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
      mh = bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24)
    } else if (step === words) {
      const at = start + 8 * words
      for (let i = 0; at + i < end; i++) {
        if (i < 4) ml |= bytes[at + i]! << (8 * i)
        else mh |= bytes[at + i]! << (8 * (i - 4))
      }
      mh |= length << 24
    } else {
      rounds = 4
      if (step === words + 1) {
        v2l ^= 0xee
      } else {
        into[0] = v0l ^ v1l ^ v2l ^ v3l
        into[1] = v0h ^ v1h ^ v2h ^ v3h
        v1l ^= 0xdd
      }
    }
    v3l ^= ml
    v3h ^= mh
    for (let round = 0; round < rounds; round++) {
      // v0 += v1; v1 <<<= 13; v1 ^= v0; v0 <<<= 32
      let low = (v0l >>> 0) + (v1l >>> 0)
      v0h = (v0h + v1h + (low > 0xffff_ffff ? 1 : 0)) | 0
      v0l = low | 0
      let t = v1l
      v1l = ((v1l << 13) | (v1h >>> 19)) ^ v0l
      v1h = ((v1h << 13) | (t >>> 19)) ^ v0h
      t = v0l
      v0l = v0h
      v0h = t
      // v2 += v3; v3 <<<= 16; v3 ^= v2
      low = (v2l >>> 0) + (v3l >>> 0)
      v2h = (v2h + v3h + (low > 0xffff_ffff ? 1 : 0)) | 0
      v2l = low | 0
      t = v3l
      v3l = ((v3l << 16) | (v3h >>> 16)) ^ v2l
      v3h = ((v3h << 16) | (t >>> 16)) ^ v2h
      // v0 += v3; v3 <<<= 21; v3 ^= v0
      low = (v0l >>> 0) + (v3l >>> 0)
      v0h = (v0h + v3h + (low > 0xffff_ffff ? 1 : 0)) | 0
      v0l = low | 0
      t = v3l
      v3l = ((v3l << 21) | (v3h >>> 11)) ^ v0l
      v3h = ((v3h << 21) | (t >>> 11)) ^ v0h
      // v2 += v1; v1 <<<= 17; v1 ^= v2; v2 <<<= 32
      low = (v2l >>> 0) + (v1l >>> 0)
      v2h = (v2h + v1h + (low > 0xffff_ffff ? 1 : 0)) | 0
      v2l = low | 0
      t = v1l
      v1l = ((v1l << 17) | (v1h >>> 15)) ^ v2l
      v1h = ((v1h << 17) | (t >>> 15)) ^ v2h
      t = v2l
      v2l = v2h
      v2h = t
    }
    v0l ^= ml
    v0h ^= mh
  }
  into[2] = v0l ^ v1l ^ v2l ^ v3l
  into[3] = v0h ^ v1h ^ v2h ^ v3h
}

function word(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
