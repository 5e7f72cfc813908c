/**
 * From a frame to the handler of what it asks for. What is refused is said in words for the log, because the protocol
 * has no answer for it.
 */
import { API, apiByKey } from '../../client/protocol/apis.ts'
import { ErrorCode, ProtocolError } from '../../client/protocol/errors.ts'
import {
  decodeRequestHeader,
  type EncodedFrame,
  encodeResponse,
  type RequestHeader,
} from '../../client/protocol/frame.ts'
import { Reader } from '../../client/protocol/reader.ts'
import { type AnyApiHandler, type HandlerRegistry } from './handler.ts'

/** What is to be done with a frame. */
export type Dispatched =
  | {
      readonly kind: 'handle'
      readonly header: RequestHeader
      readonly handler: AnyApiHandler
      readonly request: unknown
    }
  /** An ApiVersions request of a version not known yet: its body cannot be read, its answer is always the same. */
  | { readonly kind: 'answer'; readonly header: RequestHeader; readonly response: EncodedFrame }
  /** Nothing that could be answered. `header` is null where even that made no sense. */
  | { readonly kind: 'refuse'; readonly header: RequestHeader | null; readonly reason: string }

/** Reads the request in `frame`, which has no length field. Slices of `frame` are in what it returns. */
export function dispatch(registry: HandlerRegistry, frame: Buffer): Dispatched {
  const reader = new Reader(frame)
  let header: RequestHeader | null = null
  try {
    header = decodeRequestHeader(reader)
    const { apiKey, apiVersion } = header
    const handler = registry.get(apiKey)
    if (handler === undefined) return { kind: 'refuse', header, reason: unknownApi(apiKey) }
    const { api } = handler
    if (apiVersion >= api.minVersion && apiVersion <= api.maxVersion) {
      return { kind: 'handle', header, handler, request: api.request.at(apiVersion).decode(reader) }
    }
    if (apiKey === API.ApiVersions.key && apiVersion > api.maxVersion) {
      return { kind: 'answer', header, response: tooNewApiVersions(header) }
    }
    const reason = `version ${apiVersion} is not served, but ${api.minVersion} to ${api.maxVersion}`
    return { kind: 'refuse', header, reason }
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return { kind: 'refuse', header, reason: error.message }
  }
}

/** Whoever asks with too new a version is told, in the oldest one, which versions it may use (KIP-511). */
function tooNewApiVersions(header: RequestHeader): EncodedFrame {
  const { key, minVersion, maxVersion } = API.ApiVersions
  return encodeResponse(API.ApiVersions, 0, header.correlationId, {
    errorCode: ErrorCode.UNSUPPORTED_VERSION,
    apiKeys: [{ apiKey: key, minVersion, maxVersion }],
  })
}

function unknownApi(apiKey: number): string {
  return apiByKey(apiKey) === undefined ? 'this API is not known' : 'this API is not served'
}

/** The name of an API for people: `Fetch`, or its number where it has none. */
export function apiName(apiKey: number): string {
  return apiByKey(apiKey)?.name ?? String(apiKey)
}
