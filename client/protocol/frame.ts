/**
 * Frames and headers: a frame is a size of four bytes and as many bytes behind it, which are a header and the body of
 * a request or of a response. Works on bytes in memory, both ways; knows no sockets and keeps nothing.
 */
import { type Api, apiByKey } from './apis.ts'
import { MalformedError, UnencodableError } from './errors.ts'
import { type Reader } from './reader.ts'
import { Writer } from './writer.ts'

/** Bytes of the size in front of a frame. */
export const FRAME_SIZE_BYTES = 4

const MAX_INT32 = 0x7fff_ffff

/**
 * How many bytes the frame that begins at `start` takes, its size field included; 0 where the size field is not
 * complete before `end`. The frame itself is complete when it is not longer than `end - start`; its header then begins
 * at `start + FRAME_SIZE_BYTES`. Throws MalformedError for a negative size, and for one above `maxFrameBytes` (which
 * counts what follows the size field): there is no way to find the next frame then.
 */
export function frameLength(bytes: Uint8Array, start: number, end: number, maxFrameBytes: number): number {
  if (end - start < FRAME_SIZE_BYTES) return 0
  const size =
    (bytes[start]! << 24) | (bytes[start + 1]! << 16) | (bytes[start + 2]! << 8) | bytes[start + 3]!
  if (size < 0)
    throw new MalformedError(`A frame has the size ${size}: the peer does not speak this protocol`)
  if (size > maxFrameBytes) {
    throw new MalformedError(
      `A frame of ${size} bytes is larger than the ${maxFrameBytes} bytes that are allowed`,
    )
  }
  return FRAME_SIZE_BYTES + size
}

/** What goes before every request. */
export interface RequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  readonly correlationId: number
  /** What the client calls itself; null also where key and version are not known here. */
  readonly clientId: string | null
}

/**
 * Reads a request's header and leaves the reader at its body. Where the key has no schema, or not in this version,
 * nobody can tell how the header goes on: the reader is left behind the correlation id, which is all that an
 * UNSUPPORTED_VERSION answer to ApiVersions needs.
 */
export function decodeRequestHeader(reader: Reader): RequestHeader {
  const apiKey = reader.int16()
  const apiVersion = reader.int16()
  const correlationId = reader.int32()
  const api = apiByKey(apiKey)
  if (api === undefined || apiVersion < api.minVersion || apiVersion > api.maxVersion) {
    return { apiKey, apiVersion, correlationId, clientId: null }
  }
  // The client id keeps its 16-bit length in the flexible header, so that it can be read whatever the version.
  const clientId = reader.nullableString()
  if (api.requestHeaderVersion(apiVersion) === 2) reader.unknownTaggedFields()
  return { apiKey, apiVersion, correlationId, clientId }
}

/** Reads a response's header, leaves the reader at its body, and returns the correlation id. */
export function decodeResponseHeader(reader: Reader, api: Api, version: number): number {
  const correlationId = reader.int32()
  if (api.responseHeaderVersion(version) === 1) reader.unknownTaggedFields()
  return correlationId
}

/** A frame ready to be sent. Records in it are the slices that were given: they must not change until it is sent. */
export interface EncodedFrame {
  readonly chunks: Uint8Array[]
  /** Of all chunks together, the size field included. */
  readonly byteLength: number
}

/** All frames are written by one, each in one go: nothing that encodes a message encodes another on the way. */
const frames = new Writer()

/** A whole request. Throws as `Codec.encode` does. */
export function encodeRequest<RequestInput>(
  api: Api<unknown, unknown, RequestInput, unknown>,
  version: number,
  correlationId: number,
  clientId: string | null,
  request: RequestInput,
): EncodedFrame {
  return encodeFrame(writer => {
    writer.int16(api.key)
    writer.int16(version)
    writer.int32(correlationId)
    writer.nullableString(clientId)
    if (api.requestHeaderVersion(version) === 2) writer.uvarint(0)
    api.request.at(version).encode(writer, request)
  })
}

/** A whole response. Throws as `Codec.encode` does. */
export function encodeResponse<ResponseInput>(
  api: Api<unknown, unknown, unknown, ResponseInput>,
  version: number,
  correlationId: number,
  response: ResponseInput,
): EncodedFrame {
  return encodeFrame(writer => {
    writer.int32(correlationId)
    if (api.responseHeaderVersion(version) === 1) writer.uvarint(0)
    api.response.at(version).encode(writer, response)
  })
}

function encodeFrame(encode: (writer: Writer) => void): EncodedFrame {
  try {
    const setSize = frames.reserveInt32()
    encode(frames)
    const { byteLength } = frames
    const size = byteLength - FRAME_SIZE_BYTES
    if (size > MAX_INT32) {
      throw new UnencodableError(`A message of ${size} bytes is larger than a frame can be`)
    }
    setSize(size)
    return { chunks: frames.take(), byteLength }
  } catch (error) {
    frames.discard()
    throw error
  }
}
