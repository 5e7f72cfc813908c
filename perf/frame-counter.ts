/**
 * Finds where frames end in a byte stream that is thrown away: a length of four bytes, then as many bytes, which are
 * not looked at. For the bare pipe and its readers.
 */

const PREFIX_BYTES = 4

export class FrameCounter {
  #left = 0
  #prefix = 0
  #prefixBytes = 0

  /** How many frames end in the first `length` bytes, which follow those of the last call. */
  count(bytes: Uint8Array, length: number): number {
    let at = 0
    let frames = 0
    while (at < length) {
      if (this.#left === 0) {
        this.#prefix = (this.#prefix << 8) | bytes[at]!
        at += 1
        this.#prefixBytes += 1
        if (this.#prefixBytes < PREFIX_BYTES) continue
        this.#left = this.#prefix
        this.#prefix = 0
        this.#prefixBytes = 0
      }
      const take = Math.min(this.#left, length - at)
      at += take
      this.#left -= take
      if (this.#left === 0) frames += 1
    }
    return frames
  }
}
