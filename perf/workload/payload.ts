/**
 * Values for the records of a workload: noise with a repeating part of a chosen size, made once and used again, so
 * that making them does not take the time that is to be measured. Pure.
 */

const POOL = 64
const PHRASE = Buffer.from('{"order":1,"state":"paid","currency":"EUR","note":"the quick brown fox"} ')

/** `compressible` is the share of each value that repeats, 0 .. 1. */
export function makeValues(recordBytes: number, compressible: number): Buffer[] {
  let noise = 0x2545f491
  return Array.from({ length: POOL }, () => {
    const value = Buffer.alloc(recordBytes)
    const repeated = Math.round(recordBytes * compressible)
    for (let at = 0; at < repeated; at += 1) value[at] = PHRASE[at % PHRASE.length]!
    for (let at = repeated; at < recordBytes; at += 1) {
      noise ^= noise << 13
      noise ^= noise >>> 17
      noise ^= noise << 5
      value[at] = noise
    }
    return value
  })
}
