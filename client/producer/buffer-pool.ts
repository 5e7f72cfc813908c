/**
 * Memory of full batches, used again. A fresh buffer for every batch costs more than filling it: the pages are
 * touched for the first time, and the garbage collector is driven by the bytes.
 *
 * A buffer comes back only from a batch that was delivered at its first attempt: then the broker has read all of its
 * bytes, and no socket can hold them any more. All others are left to the garbage collector; to give them out again
 * while an old write is still pending would send one topic's records to another.
 */
export class BufferPool {
  readonly #bufferBytes: number
  readonly #maxIdle: number
  readonly #idle: Buffer[] = []

  constructor(bufferBytes: number, maxIdle: number) {
    this.#bufferBytes = bufferBytes
    this.#maxIdle = maxIdle
  }

  take(): Buffer {
    return this.#idle.pop() ?? Buffer.allocUnsafeSlow(this.#bufferBytes)
  }

  /** `batch` begins where its buffer begins. Buffers of other sizes are not kept. */
  give(batch: Buffer): void {
    const { buffer, byteOffset } = batch
    if (byteOffset !== 0 || buffer.byteLength !== this.#bufferBytes || this.#idle.length >= this.#maxIdle)
      return
    this.#idle.push(Buffer.from(buffer, 0, this.#bufferBytes))
  }

  /** Gives the memory back to the process. */
  clear(): void {
    this.#idle.length = 0
  }
}
