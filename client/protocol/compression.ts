/**
 * The five codecs of record batches. Everything is synchronous, every output has a cap, and no size that the input
 * declares is believed: bytes that make no sense end in MalformedError, whatever they are.
 */

import { gunzipSync, gzipSync } from 'node:zlib'
import { CodecUnavailableError } from './compression/errors.ts'
import { compressLz4Frame, decompressLz4Frames, lz4BlockCodec } from './compression/lz4-frame.ts'
import { compressXerial, decompressSnappy, snappyCodec } from './compression/xerial.ts'
import { decompressError, type ZstdCodec, zstdCodec } from './compression/zstd.ts'
import { MalformedError } from './errors.ts'

/** Name of a codec -> the number in a batch's attributes. */
export const Codec = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const
export type CodecName = keyof typeof Codec
export type CodecId = (typeof Codec)[CodecName]

/** The names by their numbers. */
export const CODEC_NAMES: readonly CodecName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

export interface CodecAvailability {
  readonly available: boolean
  /** What does the work, as `node:zlib` or `JavaScript`; null when nothing does. */
  readonly by: string | null
  /** What to do to have it, or to have it faster; null when there is nothing to gain. */
  readonly advice: string | null
}

/** What this installation can do, and how to add what is missing. */
export const CODEC_AVAILABILITY: Readonly<Record<CodecName, CodecAvailability>> = {
  none: { available: true, by: 'nothing', advice: null },
  gzip: { available: true, by: 'node:zlib', advice: null },
  snappy: {
    available: true,
    by: snappyCodec.name,
    advice:
      snappyCodec.name === 'JavaScript'
        ? 'for more speed install the package "snappy": npm install snappy'
        : null,
  },
  lz4: {
    available: true,
    by: lz4BlockCodec.name,
    advice:
      lz4BlockCodec.name === 'lz4'
        ? null
        : 'for more speed install the package "lz4" where a C++ compiler is present: npm install lz4',
  },
  zstd: {
    get available() {
      return zstdCodec() !== null
    },
    get by() {
      return zstdCodec()?.name ?? null
    },
    get advice() {
      const name = zstdCodec()?.name
      if (name === 'node:zlib') return null
      return name === undefined
        ? 'use Node.js 22.15 or later, which has zstd built in, or install the package: npm install @bokuweb/zstd-wasm'
        : 'for more speed use Node.js 22.15 or later, which has zstd built in'
    },
  },
}

const ZSTD_DEFAULT_LEVEL = 3

/**
 * Compresses as a Java client would. `level` is in the codec's own scale (gzip 1-9, zstd 1-22; lz4 and snappy have
 * none). The result belongs to the caller. Throws CodecUnavailableError.
 */
export function compress(codec: CodecName, bytes: Uint8Array, level?: number): Uint8Array {
  switch (codec) {
    case 'none':
      return bytes
    case 'gzip':
      return gzipSync(bytes, level === undefined ? {} : { level })
    case 'snappy':
      return compressXerial(bytes)
    case 'lz4':
      return compressLz4Frame(bytes)
    case 'zstd':
      return zstd().compress(bytes, level ?? ZSTD_DEFAULT_LEVEL)
    default:
      return codec satisfies never
  }
}

/**
 * Decompresses; the result is at most `maxOutputBytes` long, and memory stays within a small multiple of that.
 * Throws MalformedError, of which DecompressionLimitError is one, and CodecUnavailableError.
 */
export function decompress(codec: CodecName, bytes: Uint8Array, maxOutputBytes: number): Buffer {
  switch (codec) {
    case 'none':
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    case 'gzip':
      return gunzip(bytes, maxOutputBytes)
    case 'snappy':
      return decompressSnappy(bytes, maxOutputBytes)
    case 'lz4':
      return decompressLz4Frames(bytes, maxOutputBytes)
    case 'zstd':
      return zstd().decompress(bytes, maxOutputBytes)
    default:
      return codec satisfies never
  }
}

function gunzip(bytes: Uint8Array, maxOutputBytes: number): Buffer {
  if (bytes.length === 0) throw new MalformedError('the compressed records are empty')
  // Output comes in chunks that are joined at the end: chunks of about the whole size save the join.
  const chunkSize = Math.min(Math.max(bytes.length * 4, 16 * 1024), 1024 * 1024)
  try {
    return gunzipSync(bytes, { maxOutputLength: Math.max(maxOutputBytes, 1), chunkSize })
  } catch (error) {
    throw decompressError(error, maxOutputBytes)
  }
}

function zstd(): ZstdCodec {
  const codec = zstdCodec()
  if (codec !== null) return codec
  throw new CodecUnavailableError(`zstd is not available here: ${CODEC_AVAILABILITY.zstd.advice ?? ''}`)
}
