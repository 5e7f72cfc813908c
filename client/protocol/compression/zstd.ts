/**
 * Zstandard: through `node:zlib` where Node has it (22.15 and later), else through libzstd compiled to WebAssembly. The
 * WebAssembly module is instantiated at first use, synchronously, so that nobody has to wait for it beforehand. Its
 * bytes are read through whoever may touch files: this room does not.
 */

import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import * as zlib from 'node:zlib'
import { assert } from '../assert.ts'
import { MalformedError } from '../errors.ts'
import { DecompressionLimitError } from './errors.ts'

export interface ZstdCodec {
  readonly name: string
  compress(bytes: Uint8Array, level: number): Buffer
  decompress(bytes: Uint8Array, maxOutputBytes: number): Buffer
}

const FRAME_MAGIC = 0xfd2f_b528
const SKIPPABLE_MAGIC = 0x184d_2a50
const MAX_BLOCK_BYTES = 128 * 1024

// --------------------------------------------------------------------------------------- frame walk

interface ZstdFrame {
  readonly start: number
  readonly end: number
  /** The most that it can decode to, as its block headers tell. */
  readonly bound: number
}

/**
 * The frames in `bytes`, at least one, without the skippable ones. They are found by walking their block headers: so
 * room is made for what the blocks can hold, not for what a header declares. Throws MalformedError where the structure
 * does not hold.
 */
function zstdFrames(bytes: Uint8Array): ZstdFrame[] {
  const input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  const frames: ZstdFrame[] = []
  let at = 0
  do {
    const magic = uint32(input, at)
    if ((magic & 0xffff_fff0) === SKIPPABLE_MAGIC) {
      at = advance(input, at + 8, uint32(input, at + 4))
    } else if (magic === FRAME_MAGIC) {
      const { bound, end } = walkFrame(input, at + 4)
      frames.push({ start: at, end, bound })
      at = end
    } else {
      throw new MalformedError('the compressed records are no zstd frame (wrong magic number)')
    }
  } while (at < input.length)
  return frames
}

function walkFrame(input: Buffer, start: number): { bound: number; end: number } {
  advance(input, start, 1)
  const descriptor = input[start]!
  if ((descriptor & 0x08) !== 0) throw new MalformedError('the header of a zstd frame has a reserved bit')
  const singleSegment = (descriptor & 0x20) !== 0
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3]!
  const contentSizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!
  let at = advance(input, start + 1, (singleSegment ? 0 : 1) + dictionaryIdBytes + contentSizeBytes)
  let bound = 0
  for (;;) {
    advance(input, at, 3)
    const header = input.readUIntLE(at, 3)
    const size = header >> 3
    const type = (header >> 1) & 3
    if (type === 3) throw new MalformedError('a zstd block has a reserved type')
    if (size > MAX_BLOCK_BYTES) throw new MalformedError('a zstd block is larger than 128 KiB')
    at = advance(input, at + 3, type === 1 ? 1 : size)
    bound += type === 2 ? MAX_BLOCK_BYTES : size
    if ((header & 1) !== 0) break
  }
  const end = (descriptor & 0x04) !== 0 ? advance(input, at, 4) : at
  return { bound, end }
}

function uint32(input: Buffer, at: number): number {
  if (at + 4 > input.length) throw new MalformedError('a zstd frame ends early')
  return input.readUInt32LE(at)
}

function advance(input: Buffer, at: number, count: number): number {
  if (count > input.length - at) throw new MalformedError('a zstd frame ends early')
  return at + count
}

// --------------------------------------------------------------------------------------- node:zlib

interface ZlibWithZstd {
  zstdCompressSync(bytes: Uint8Array, options: object): Buffer
  zstdDecompressSync(bytes: Uint8Array, options: object): Buffer
  constants: { ZSTD_c_compressionLevel: number }
}

function nodeZstd(): ZstdCodec | null {
  const candidate = zlib as unknown as Partial<ZlibWithZstd>
  if (
    typeof candidate.zstdCompressSync !== 'function' ||
    typeof candidate.zstdDecompressSync !== 'function'
  ) {
    return null
  }
  const native = candidate as ZlibWithZstd
  return {
    name: 'node:zlib',
    compress: (bytes, level) =>
      native.zstdCompressSync(bytes, { params: { [native.constants.ZSTD_c_compressionLevel]: level } }),
    decompress(bytes, maxOutputBytes) {
      // Node stops, without an error, at the end of the first frame: each is decoded on its own.
      const parts: Buffer[] = []
      let left = maxOutputBytes
      for (const { start, end, bound } of zstdFrames(bytes)) {
        if (bound === 0) continue
        if (left === 0) throw new DecompressionLimitError(maxOutputBytes)
        try {
          const chunkSize = Math.min(Math.max(bound, 1024), 1024 * 1024)
          const options = { maxOutputLength: left, chunkSize }
          const part = native.zstdDecompressSync(bytes.subarray(start, end), options)
          left -= part.length
          parts.push(part)
        } catch (error) {
          throw decompressError(error, maxOutputBytes)
        }
      }
      return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
    },
  }
}

/** The error of a `node:zlib` call as ours. */
export function decompressError(error: unknown, maxOutputBytes: number): MalformedError {
  if (error instanceof RangeError && (error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE') {
    return new DecompressionLimitError(maxOutputBytes)
  }
  return new MalformedError('the compressed records are damaged', { cause: error })
}

// --------------------------------------------------------------------------------------- WebAssembly

/** The part of the global that is used here; its types come with the DOM's, which do not belong in Node. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => CompiledModule
  readonly Instance: new (module: CompiledModule, imports: object) => object
}
interface CompiledModule {
  readonly compiledModule: unique symbol
}

/** What is used of the module; all of C's pointers and sizes are numbers. */
interface WasmModule {
  HEAPU8: Uint8Array
  instantiateWasm?: (imports: object, receive: (instance: object) => object) => object
  init(path: string): void
  _malloc(bytes: number): number
  _free(pointer: number): void
  _ZSTD_compressBound(bytes: number): number
  _ZSTD_compress(to: number, capacity: number, from: number, bytes: number, level: number): number
  _ZSTD_decompress(to: number, capacity: number, from: number, bytes: number): number
  _ZSTD_isError(code: number): number
}

/** Memory of a WebAssembly instance never shrinks: one that has grown beyond this is given up after the call. */
const KEEP_WASM_BYTES = 64 * 1024 * 1024
/** ZSTD_error_dstSize_tooSmall. */
const ERROR_OUTPUT_TOO_SMALL = -70

let readFile: ((path: string) => Uint8Array) | null = null

/** Gives this room the way to read the one file that it needs, the WebAssembly module; the environments call it. */
export function provideFileReader(read: (path: string) => Uint8Array): void {
  readFile = read
}

let compiled: CompiledModule | null = null
let instance: WasmModule | null = null

function wasmFolder(): string | null {
  try {
    return dirname(createRequire(import.meta.url).resolve('@bokuweb/zstd-wasm'))
  } catch {
    return null
  }
}

function wasm(folder: string): WasmModule {
  if (instance !== null) return instance
  const require = createRequire(import.meta.url)
  const glue = join(folder, 'zstd.js')
  assert(readFile !== null, 'zstd is used only where its file can be read')
  compiled ??= new WebAssembly.Module(readFile(join(folder, 'zstd.wasm')))
  const module = compiled
  // The glue keeps one instance in module scope; a fresh one wants a fresh copy of it.
  delete require.cache[require.resolve(glue)]
  const loaded = (require(glue) as { Module: WasmModule }).Module
  loaded.instantiateWasm = (imports, receive) => receive(new WebAssembly.Instance(module, imports))
  loaded.init('')
  instance = loaded
  return loaded
}

/** Runs `work` with `bytes` copied into the instance's memory and room for `capacity` bytes of output. */
function withMemory(
  folder: string,
  bytes: Uint8Array,
  capacity: number,
  work: (module: WasmModule, from: number, to: number) => number,
): Buffer | number {
  const module = wasm(folder)
  const from = module._malloc(Math.max(bytes.length, 1))
  const to = module._malloc(Math.max(capacity, 1))
  try {
    if (from === 0 || to === 0) throw new DecompressionLimitError(capacity)
    module.HEAPU8.set(bytes, from)
    const result = work(module, from, to)
    if (module._ZSTD_isError(result) !== 0) return result
    return Buffer.from(module.HEAPU8.subarray(to, to + result))
  } catch (error) {
    // After a trap the instance's memory is anyone's guess.
    instance = null
    throw error
  } finally {
    if (instance !== null) {
      module._free(to)
      module._free(from)
      if (module.HEAPU8.length > KEEP_WASM_BYTES) instance = null
    }
  }
}

function wasmZstd(): ZstdCodec | null {
  const folder = wasmFolder()
  if (folder === null) return null
  return {
    name: '@bokuweb/zstd-wasm',
    compress(bytes, level) {
      const capacity = wasm(folder)._ZSTD_compressBound(bytes.length)
      const result = withMemory(folder, bytes, capacity, (module, from, to) =>
        module._ZSTD_compress(to, capacity, from, bytes.length, level),
      )
      if (typeof result === 'number')
        throw new Error(`zstd could not compress ${bytes.length} bytes (code ${result})`)
      return result
    },
    decompress(bytes, maxOutputBytes) {
      let bound = 0
      for (const frame of zstdFrames(bytes)) bound += frame.bound
      const capacity = Math.min(bound, maxOutputBytes)
      let result: Buffer | number
      try {
        result = withMemory(folder, bytes, capacity, (module, from, to) =>
          module._ZSTD_decompress(to, capacity, from, bytes.length),
        )
      } catch (error) {
        throw error instanceof MalformedError ? error : decompressError(error, maxOutputBytes)
      }
      if (typeof result !== 'number') return result
      if (result === ERROR_OUTPUT_TOO_SMALL && capacity === maxOutputBytes) {
        throw new DecompressionLimitError(maxOutputBytes)
      }
      throw new MalformedError(`the compressed records are damaged (zstd code ${result})`)
    },
  }
}

const node = nodeZstd()
const webAssembly = wasmZstd()

/** Null where it is not there. For tests of both. */
export const zstdCodecs = {
  node,
  get wasm(): ZstdCodec | null {
    return readFile === null ? null : webAssembly
  },
}

/** The faster one that is there, or null. */
export function zstdCodec(): ZstdCodec | null {
  return zstdCodecs.node ?? zstdCodecs.wasm
}
