/**
 * The content of a file in memory: bytes by position, sparse, growing without copying what is there once it is
 * large.
 */

/** Large enough that a big file is few pieces, small enough that two thousand small ones cost little. */
const CHUNK_BYTES = 256 * 1024
const SMALLEST_CHUNK_BYTES = 512

export class MemoryBytes {
  /** A missing chunk is zeros. Only the first chunk may be shorter than CHUNK_BYTES. */
  #chunks: (Buffer | undefined)[] = []
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Returns the bytes read, fewer than wanted only at the end. */
  read(into: Uint8Array, position: number): number {
    const length = Math.max(0, Math.min(into.length, this.#size - position))
    for (let done = 0; done < length; ) {
      const at = position + done
      const within = at % CHUNK_BYTES
      const piece = Math.min(length - done, CHUNK_BYTES - within)
      const chunk = this.#chunks[(at - within) / CHUNK_BYTES]
      const isThere = chunk !== undefined && within < chunk.length
      const copied = isThere ? chunk.copy(into, done, within, Math.min(chunk.length, within + piece)) : 0
      if (copied < piece) into.fill(0, done + copied, done + piece)
      done += piece
    }
    return length
  }

  write(bytes: Uint8Array, position: number): void {
    for (let done = 0; done < bytes.length; ) {
      const at = position + done
      const within = at % CHUNK_BYTES
      const piece = Math.min(bytes.length - done, CHUNK_BYTES - within)
      this.#chunk((at - within) / CHUNK_BYTES, within + piece).set(bytes.subarray(done, done + piece), within)
      done += piece
    }
    this.#size = Math.max(this.#size, position + bytes.length)
  }

  resize(size: number): void {
    if (size < this.#size) {
      const within = size % CHUNK_BYTES
      const index = (size - within) / CHUNK_BYTES
      // What is cut off must read as zeros when the file grows again.
      const last = this.#chunks[index]
      if (last !== undefined && within < last.length) last.fill(0, within)
      this.#chunks.length = Math.min(this.#chunks.length, within === 0 ? index : index + 1)
    }
    this.#size = size
  }

  clone(): MemoryBytes {
    const copy = new MemoryBytes()
    copy.#chunks = this.#chunks.map(chunk => (chunk === undefined ? undefined : Buffer.from(chunk)))
    copy.#size = this.#size
    return copy
  }

  #chunk(index: number, neededBytes: number): Buffer {
    const chunk = this.#chunks[index]
    if (chunk !== undefined && chunk.length >= neededBytes) return chunk
    const isFirst = index === 0 && this.#size <= CHUNK_BYTES
    const grown = Buffer.alloc(isFirst ? Math.min(CHUNK_BYTES, roundUp(neededBytes)) : CHUNK_BYTES)
    chunk?.copy(grown)
    this.#chunks[index] = grown
    return grown
  }
}

function roundUp(bytes: number): number {
  let size = SMALLEST_CHUNK_BYTES
  while (size < bytes) size *= 2
  return size
}
