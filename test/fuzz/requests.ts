/**
 * What a peer sends to a broker: whole requests, mauled ones, and bytes that never were a request. Each comes with what
 * an honest reader of the protocol makes of it, so that the answer can be judged.
 */
import { APIS, type Api, ApiKey } from '../../client/protocol/apis.ts'
import { MalformedError } from '../../client/protocol/errors.ts'
import { decodeRequestHeader } from '../../client/protocol/frame.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { layoutOf } from '../../client/protocol/schema.ts'
import { type Chance } from './chance.ts'
import { type Marked, mutate, mutateRaw } from './mutate.ts'
import { SiteWriter } from './site-writer.ts'
import { makeValue, type Value, type Vocabulary } from './values.ts'

export interface Input {
  readonly bytes: Buffer
  /** False: what is sent after it on the same connection has no meaning any more. */
  readonly framed: boolean
  /** For reports. */
  readonly note: string
}

const FAVOURITES: readonly string[] = [
  'Produce',
  'Produce',
  'Fetch',
  'Fetch',
  'ListOffsets',
  'Metadata',
  'CreateTopics',
]

export function anyApi(chance: Chance): Api {
  if (chance.once(2)) return chance.pick(APIS)
  const name = chance.pick(FAVOURITES)
  return APIS.find(api => api.name === name)!
}

export function anyVersion(api: Api, chance: Chance): number {
  // The newest ones are used most, and have most to get wrong.
  return chance.once(3) ? api.maxVersion : chance.between(api.minVersion, api.maxVersion)
}

/** Header and body, without the size in front. */
export function encodeMarked(api: Api, version: number, correlationId: number, value: Value): Marked {
  const writer = new SiteWriter()
  writer.int16(api.key)
  writer.int16(version)
  writer.int32(correlationId)
  writer.nullableString('fuzz')
  if (api.requestHeaderVersion(version) === 2) writer.uvarint(0)
  api.request.at(version).encode(writer, value)
  return { bytes: writer.concat(), sites: writer.sites }
}

/** A request of any API and version, all of it well. */
export function makeRequest(
  chance: Chance,
  words: Vocabulary,
  correlationId: number,
): Marked & { note: string } {
  const api = anyApi(chance)
  const version = anyVersion(api, chance)
  const value = makeValue(layoutOf(api.request, version), chance, words)
  return { ...encodeMarked(api, version, correlationId, value), note: `${api.name} v${version}` }
}

export function withSize(frame: Uint8Array, size = frame.length): Buffer {
  const bytes = Buffer.allocUnsafe(4 + frame.length)
  bytes.writeInt32BE(size | 0, 0)
  bytes.set(frame, 4)
  return bytes
}

/** Anything at all. */
export function makeInput(chance: Chance, words: Vocabulary, correlationId: number): Input {
  const request = makeRequest(chance, words, correlationId)
  const draw = chance.int(100)
  if (draw < 35) return { bytes: withSize(request.bytes), framed: true, note: request.note }
  const other = makeRequest(chance, words, correlationId).bytes
  if (draw < 75) {
    return { bytes: withSize(mutate(request, other, chance)), framed: true, note: `${request.note}, mauled` }
  }
  if (draw < 85) return oddHeader(request, chance)
  if (draw < 90) {
    const size = chance.once(2) ? chance.integer(32) : request.bytes.length + chance.pick([-1, 1, 2, -4])
    return { bytes: withSize(request.bytes, size), framed: false, note: `${request.note}, size ${size}` }
  }
  if (draw < 95) {
    const bytes = mutateRaw(withSize(request.bytes), other, chance)
    return { bytes, framed: false, note: `${request.note}, raw` }
  }
  return { bytes: foreign(chance), framed: false, note: 'another protocol' }
}

function oddHeader(request: Marked & { note: string }, chance: Chance): Input {
  const bytes = Buffer.from(request.bytes)
  const note = `${request.note}, odd header`
  switch (chance.int(4)) {
    case 0:
      bytes.writeInt16BE(chance.integer(16), 0)
      break
    case 1:
      bytes.writeInt16BE(chance.integer(16), 2)
      break
    case 2:
      bytes.writeInt16BE(chance.integer(16), 8)
      break
    default:
      return { bytes: withSize(bytes.subarray(0, chance.int(14))), framed: true, note }
  }
  return { bytes: withSize(bytes), framed: true, note }
}

function foreign(chance: Chance): Buffer {
  switch (chance.int(4)) {
    case 0:
      return Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    case 1:
      return Buffer.concat([
        Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        chance.bytes(chance.size(300)),
      ])
    case 2:
      return Buffer.from('*1\r\n$4\r\nPING\r\n')
    default:
      return chance.bytes(chance.size(2000))
  }
}

/** What an honest reader makes of a frame (without its size). */
export type Expectation =
  /** Nobody has to answer: the connection may be closed. */
  | { readonly kind: 'refusal' }
  /** An answer of this shape; none where the producer wants none. */
  | { readonly kind: 'answer'; readonly api: Api; readonly version: number; readonly correlationId: number }
  | { readonly kind: 'silence' }

/** `served` are the keys that the broker advertises. */
export function expectationOf(frame: Buffer, served: ReadonlySet<number>): Expectation {
  try {
    const reader = new Reader(frame)
    const { apiKey, apiVersion, correlationId } = decodeRequestHeader(reader)
    const api = APIS.find(({ key }) => key === apiKey)
    if (api === undefined || !served.has(apiKey)) return { kind: 'refusal' }
    if (apiKey === ApiKey.ApiVersions && apiVersion > api.maxVersion) {
      return { kind: 'answer', api, version: 0, correlationId }
    }
    if (apiVersion < api.minVersion || apiVersion > api.maxVersion) return { kind: 'refusal' }
    const request = api.request.at(apiVersion).decode(reader) as Value
    if (apiKey === ApiKey.Produce && request['acks'] === 0) return { kind: 'silence' }
    return { kind: 'answer', api, version: apiVersion, correlationId }
  } catch (error) {
    if (error instanceof MalformedError) return { kind: 'refusal' }
    throw error
  }
}
