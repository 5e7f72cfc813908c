/**
 * What the benchmark's processes agree on: how the bare pipe is started and how long its answers are. Types and
 * numbers only, so that reading it starts nothing.
 */

export interface PipeOptions {
  /** An existing folder; the pipe makes its files there and leaves removing them to the parent. */
  readonly directory: string
  /** Size of each file; writes start over at its beginning, as a broker does that recycles segments. */
  readonly fileBytes: number
  /** Bytes of one answer to a read. */
  readonly readBytes: number
  /** Bytes held in memory for reads at the tail. */
  readonly memoryBytes: number
}

export interface PipePorts {
  readonly append: number
  /** Answers each request with all that was appended (without a sync) since the last one; see `tail-reader.ts`. */
  readonly tail: number
  readonly appendSynced: number
  readonly readFile: number
  readonly readMemory: number
}

/** Length of an acknowledgement on the wire, near that of a Produce response. */
export const ACK_BYTES = 64
/** Length of what precedes the bytes of a read's answer, near that of a Fetch response. */
export const READ_HEADER_BYTES = 96
