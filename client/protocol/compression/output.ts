/**
 * The room that decompressed bytes go to: it grows with what has really come out, never with a size that the input
 * declares, and it ends at a cap. Every codec that learns the size of its output only by making it uses this.
 */

import { DecompressionLimitError } from './errors.ts'

export class Output {
  bytes: Buffer
  /** Bytes filled so far. */
  length = 0
  readonly #maxBytes: number

  /** `expectedBytes` is a guess that may be absurd; `maxBytes` is the cap. */
  constructor(expectedBytes: number, maxBytes: number) {
    this.bytes = Buffer.allocUnsafe(Math.min(expectedBytes, maxBytes))
    this.#maxBytes = maxBytes
  }

  /** Makes room for `count` more bytes; throws DecompressionLimitError where that is beyond the cap. */
  reserve(count: number): void {
    const wanted = this.length + count
    if (wanted <= this.bytes.length) return
    if (wanted > this.#maxBytes) throw new DecompressionLimitError(this.#maxBytes)
    const grown = Buffer.allocUnsafeSlow(Math.min(this.#maxBytes, Math.max(wanted, this.bytes.length * 2)))
    this.bytes.copy(grown, 0, 0, this.length)
    this.bytes = grown
  }

  /** The most that may still come out. */
  get left(): number {
    return this.#maxBytes - this.length
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length)
    this.bytes.set(bytes, this.length)
    this.length += bytes.length
  }

  filled(): Buffer {
    return this.bytes.subarray(0, this.length)
  }
}
