/** The ways in which compression fails that are not simply malformed bytes. */

import { MalformedError } from '../errors.ts'

/** The output would exceed the caller's cap: a decompression bomb, or a limit that is too low for honest data. */
export class DecompressionLimitError extends MalformedError {
  readonly code = 'DECOMPRESSED_TOO_LARGE'
  readonly maxBytes: number

  constructor(maxBytes: number) {
    super(
      `the compressed records grow beyond the limit of ${maxBytes} bytes and were not decompressed further`,
    )
    this.maxBytes = maxBytes
  }
}

/** The codec cannot be used in this installation; the message says how to add it. */
export class CodecUnavailableError extends Error {
  override readonly name = 'CodecUnavailableError'
  readonly code = 'CODEC_UNAVAILABLE'
}
