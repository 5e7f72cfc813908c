/**
 * Where `produce` gets its records from: lines of standard input or of files, whole files, or the JSON that `consume
 * -f json` prints. Bytes stay bytes; nothing is decoded but JSON. Memory is bounded by the longest record.
 */
import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { usageError } from '../errors.ts'

const READ_BYTES = 256 * 1024

/** A record to be sent. */
export interface InputRecord {
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers?: Readonly<Record<string, Uint8Array | null | readonly (Uint8Array | null)[]>>
  readonly partition?: number
  readonly timestamp?: number
}

export interface ReadOptions {
  /** Ends a record; at least one byte. */
  readonly delimiter: Buffer
  /** Stands between key and value; null where records have no keys. */
  readonly keyDelimiter: Buffer | null
  /** Whether an empty value is sent as null, a tombstone. */
  readonly emptyIsNull: boolean
}

/**
 * Pieces of a stream cut at a delimiter, without it; as many at a time as one chunk brings. A last piece without
 * delimiter counts unless it is empty.
 */
export async function* splitBytes(
  source: AsyncIterable<Uint8Array>,
  delimiter: Buffer,
): AsyncGenerator<Buffer[]> {
  let rest: Buffer = Buffer.alloc(0)
  let pieces: Buffer[] = []
  for await (const chunk of source) {
    const bytes = Buffer.isBuffer(chunk)
      ? chunk
      : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    // Only the chunk and as much before it as a delimiter can reach back is searched, so that a record of many
    // chunks costs what it is long, and not the square.
    const overlap = Math.min(delimiter.length - 1, rest.length)
    let buffer = overlap > 0 ? Buffer.concat([rest.subarray(rest.length - overlap), bytes]) : bytes
    if (rest.length > overlap) pieces.push(rest.subarray(0, rest.length - overlap))
    const found: Buffer[] = []
    for (let at = buffer.indexOf(delimiter); at >= 0; at = buffer.indexOf(delimiter)) {
      const head = buffer.subarray(0, at)
      found.push(pieces.length === 0 ? head : Buffer.concat([...pieces, head]))
      pieces = []
      buffer = buffer.subarray(at + delimiter.length)
    }
    rest = buffer
    if (found.length > 0) yield found
  }
  if (rest.length > 0) pieces.push(rest)
  if (pieces.length > 0) yield [Buffer.concat(pieces)]
}

/** One record for each piece of the stream. */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  options: ReadOptions,
): AsyncGenerator<readonly InputRecord[]> {
  for await (const lines of splitBytes(source, options.delimiter))
    yield lines.map(line => toRecord(line, options))
}

function toRecord(line: Buffer, { keyDelimiter, emptyIsNull }: ReadOptions): InputRecord {
  const at = keyDelimiter === null ? -1 : line.indexOf(keyDelimiter)
  const key = at < 0 ? null : line.subarray(0, at)
  const value = at < 0 ? line : line.subarray(at + keyDelimiter!.length)
  return { key, value: value.length === 0 && emptyIsNull ? null : value }
}

/** One record for each line of JSON, as `consume -f json` prints them; topic and offset are not read. */
export async function* readJson(source: AsyncIterable<Uint8Array>): AsyncGenerator<readonly InputRecord[]> {
  let number = 0
  for await (const lines of splitBytes(source, Buffer.from('\n'))) {
    const records: InputRecord[] = []
    for (const line of lines) {
      number += 1
      if (line.length > 0) records.push(fromJson(line.toString('utf8'), number))
    }
    yield records
  }
}

interface JsonRecord {
  readonly key?: unknown
  readonly keyEncoding?: unknown
  readonly value?: unknown
  readonly valueEncoding?: unknown
  readonly partition?: unknown
  readonly timestamp?: unknown
  readonly headers?: unknown
}

function fromJson(text: string, line: number): InputRecord {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    throw usageError(`Line ${line} is no JSON: ${(error as Error).message}`)
  }
  if (typeof parsed !== 'object' || parsed === null) throw usageError(`Line ${line} is no JSON object.`)
  const record = parsed as JsonRecord
  const headers = new Map<string, (Uint8Array | null)[]>()
  for (const header of Array.isArray(record.headers)
    ? (record.headers as (JsonRecord & { key: string })[])
    : []) {
    headers.set(header.key, [
      ...(headers.get(header.key) ?? []),
      fromField(header.value, header.valueEncoding),
    ])
  }
  return {
    key: fromField(record.key, record.keyEncoding),
    value: fromField(record.value, record.valueEncoding),
    headers: Object.fromEntries(headers),
    ...(typeof record.partition === 'number' ? { partition: record.partition } : {}),
    ...(typeof record.timestamp === 'number' && record.timestamp >= 0 ? { timestamp: record.timestamp } : {}),
  }
}

/** Text, base64 where it is marked so, null; anything else is sent as the JSON that it is. */
function fromField(value: unknown, encoding: unknown): Buffer | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return Buffer.from(value, encoding === 'base64' ? 'base64' : 'utf8')
  return Buffer.from(JSON.stringify(value))
}

/** Standard input where no files are named; `-` is standard input too. */
export function openInputs(files: readonly string[]): AsyncIterable<Uint8Array>[] {
  return files.length === 0 ? [process.stdin] : files.map(readInput)
}

/** Opened when its turn comes: a stream that fails before anyone reads it would end the process. */
async function* readInput(file: string): AsyncGenerator<Uint8Array> {
  if (file === '-') yield* process.stdin as AsyncIterable<Buffer>
  else yield* createReadStream(file, { highWaterMark: READ_BYTES }) as AsyncIterable<Buffer>
}

/** Each file as one record, with its name as key where keys are asked for. */
export async function* readWhole(
  files: readonly string[],
  named: boolean,
): AsyncGenerator<readonly InputRecord[]> {
  for (const [index, source] of openInputs(files).entries()) {
    const pieces: Uint8Array[] = []
    for await (const piece of source) pieces.push(piece)
    const name = files[index]
    const key = named && name !== undefined ? Buffer.from(basename(name)) : null
    yield [{ key, value: Buffer.concat(pieces) }]
  }
}

/** `\n`, `\t`, `\0`, `\xHH` and `\\` in a delimiter that was written on a command line. */
export function parseDelimiter(text: string): Buffer {
  const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', '0': '\0', '\\': '\\' }
  const latin1 = Buffer.from(text, 'utf8')
    .toString('latin1')
    .replace(
      /\\(?:x([0-9a-fA-F]{2})|([ntr0\\]))/g,
      (_match, hex: string | undefined, letter: string | undefined) =>
        hex === undefined ? escapes[letter!]! : String.fromCharCode(Number.parseInt(hex, 16)),
    )
  if (latin1 === '') throw usageError('A delimiter must be at least one byte long.')
  return Buffer.from(latin1, 'latin1')
}
