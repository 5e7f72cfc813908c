/**
 * The decoders of requests, responses and record batches alone, at full speed: bytes end in a value or in a
 * ProtocolError, in a time and in a memory that the length of the bytes bounds; and what was read can be written and
 * read again.
 */
import { getHeapStatistics } from 'node:v8'
import { type Api } from '../../client/protocol/apis.ts'
import { BATCH_HEADER_BYTES, forEachBatch, validateBatch } from '../../client/protocol/batch.ts'
import { CodecUnavailableError } from '../../client/protocol/compression/errors.ts'
import { ProtocolError } from '../../client/protocol/errors.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { decodeMarker, decodeRecords } from '../../client/protocol/record.ts'
import { layoutOf, type Message } from '../../client/protocol/schema.ts'
import { Writer } from '../../client/protocol/writer.ts'
import { makeBatch, makeBomb, makeBrokenCompression, makeRecords } from './batches.ts'
import { type Chance } from './chance.ts'
import { mutate, mutateRaw } from './mutate.ts'
import { anyApi, anyVersion } from './requests.ts'
import { SiteWriter } from './site-writer.ts'
import { demand, type Probe, type Target } from './target.ts'
import { makeValue, type Vocabulary } from './values.ts'

const WORDS: Vocabulary = { topics: ['alpha', 'beta'], topicIds: ['a'.repeat(32)] }
const INPUTS = 200
/** A structure of two bytes on the wire is an object of some fields. */
const MEMORY_PER_BYTE = 400
const FREE_MEMORY = 8 * 1024 * 1024
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024

export const codecTarget: Target = {
  name: 'codec',
  share: 2,
  run: async (chance, probe) => {
    for (let left = INPUTS; left > 0; left--) {
      if (chance.once(3)) tryBatch(chance, probe)
      else tryMessage(chance, probe)
    }
  },
}

function tryMessage(chance: Chance, probe: Probe): void {
  const api: Api = anyApi(chance)
  const version = anyVersion(api, chance)
  const isRequest = chance.once(2)
  const message = (isRequest ? api.request : api.response) as Message
  const writer = new SiteWriter()
  message.at(version).encode(writer, makeValue(layoutOf(message, version), chance, WORDS))
  const good = writer.concat()
  const bytes = chance.once(10)
    ? chance.bytes(chance.size(4000))
    : mutate({ bytes: good, sites: writer.sites }, chance.bytes(chance.size(100)), chance)
  probe.input(bytes, `${message.name} version ${version}`)
  const before = heapBytes()
  const value = decode(message, version, bytes)
  demandLittle(heapBytes() - before, bytes)
  probe.pause()
  if (value !== undefined) demandSame(message, version, value, bytes)
}

/** What was read is written, and read again it is written to the same bytes. */
function demandSame(message: Message, version: number, value: unknown, input: Buffer): void {
  const first = encode(message, version, value)
  // What could not be written was said in words; else it must be stable.
  if (first === null) return
  const again = decode(message, version, first)
  demand(
    again !== undefined,
    `${message.name} version ${version}: what was written cannot be read, from ${hex(input)}`,
  )
  const second = encode(message, version, again)
  demand(
    second?.equals(first) === true,
    `${message.name} version ${version}: what was written and read is written otherwise, from ${hex(input)}`,
  )
}

function encode(message: Message, version: number, value: unknown): Buffer | null {
  const writer = new Writer()
  try {
    message.at(version).encode(writer, value)
    return writer.concat()
  } catch (error) {
    if (error instanceof ProtocolError) return null
    throw error
  }
}

function decode(message: Message, version: number, bytes: Buffer): unknown {
  try {
    return message.at(version).decode(new Reader(bytes))
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

function tryBatch(chance: Chance, probe: Probe): void {
  const bytes = hostileBatch(chance)
  probe.input(bytes, 'record batch')
  const before = heapBytes()
  forEachBatch(bytes, (position, byteLength) => {
    demand(position + byteLength <= bytes.length && byteLength > 0, 'a batch reaches beyond the bytes')
    validateBatch(bytes, position, bytes.length, 'producer')
    validateBatch(bytes, position, bytes.length, 'log')
  })
  if (bytes.length < BATCH_HEADER_BYTES) return
  try {
    const records = decodeRecords(bytes, 0, { maxDecompressedBytes: MAX_OUTPUT_BYTES })
    for (const record of records.slice(0, 3)) if (record.key !== null) decodeMarker(record)
  } catch (error) {
    if (!(error instanceof ProtocolError) && !(error instanceof CodecUnavailableError)) throw error
  }
  demandLittle(heapBytes() - before - 4 * MAX_OUTPUT_BYTES, bytes)
  probe.pause()
}

function hostileBatch(chance: Chance): Buffer {
  switch (chance.int(8)) {
    case 0:
      return makeBatch(chance)
    case 1:
    case 2:
      return makeBrokenCompression(chance)
    case 3:
      return chance.once(10) ? makeBomb(chance) : makeBrokenCompression(chance)
    case 4:
      return mutateRaw(makeBatch(chance), makeBatch(chance), chance)
    default:
      return makeRecords(chance)
  }
}

function heapBytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics()
  return used_heap_size + external_memory
}

function demandLittle(grown: number, bytes: Buffer): void {
  const allowed = FREE_MEMORY + MEMORY_PER_BYTE * bytes.length
  demand(grown <= allowed, `${bytes.length} bytes took ${grown} bytes of memory: ${hex(bytes)}`)
}

function hex(bytes: Buffer): string {
  return bytes.toString('hex', 0, Math.min(bytes.length, 4000))
}
