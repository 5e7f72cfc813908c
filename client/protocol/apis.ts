/**
 * The table of all APIs that have a schema here: key, name, versions, messages, and which header goes before them.
 * Having a schema does not mean being served: a broker advertises what it has handlers for, nothing else.
 */
import { ApiVersionsRequest, ApiVersionsResponse } from './messages/api-versions.ts'
import { FetchRequest, FetchResponse } from './messages/fetch.ts'
import { ListOffsetsRequest, ListOffsetsResponse } from './messages/list-offsets.ts'
import { MetadataRequest, MetadataResponse } from './messages/metadata.ts'
import { ProduceRequest, ProduceResponse } from './messages/produce.ts'
import { type Message } from './schema.ts'

/**
 * One API. `Request` and `Response` are what is decoded, `RequestInput` and `ResponseInput` what may be encoded, with
 * defaults left out. A handler that answers with an input may call itself `ApiHandler<ProduceRequest, Input<typeof
 * ProduceResponse>>`: the types allow it.
 */
export interface Api<
  Request = unknown,
  Response = unknown,
  RequestInput = Request,
  ResponseInput = Response,
> {
  readonly key: number
  /** Kafka's name, as `CreateTopics`. */
  readonly name: string
  readonly minVersion: number
  readonly maxVersion: number
  /** The first flexible version; Infinity where there is none. */
  readonly firstFlexibleVersion: number
  readonly request: Message<Request, RequestInput>
  readonly response: Message<Response, ResponseInput>
  /** 2 (with tagged fields) or 1. */
  requestHeaderVersion(version: number): 1 | 2
  /** 1 (with tagged fields) or 0. */
  responseHeaderVersion(version: number): 0 | 1
}

function api<Request, Response, RequestInput, ResponseInput>(
  key: number,
  request: Message<Request, RequestInput>,
  response: Message<Response, ResponseInput>,
): Api<Request, Response, RequestInput, ResponseInput> {
  return {
    key,
    name: request.name.slice(0, -'Request'.length),
    minVersion: request.minVersion,
    maxVersion: request.maxVersion,
    firstFlexibleVersion: request.flexibleSince,
    request,
    response,
    requestHeaderVersion: version => (version >= request.flexibleSince ? 2 : 1),
    // Whoever asks with a version that the broker does not know must be able to read the answer (KIP-511).
    responseHeaderVersion: version => (key !== API_VERSIONS_KEY && version >= request.flexibleSince ? 1 : 0),
  }
}

const API_VERSIONS_KEY = 18

/** Every API, by name: `API.Produce`. */
export const API = {
  Produce: api(0, ProduceRequest, ProduceResponse),
  Fetch: api(1, FetchRequest, FetchResponse),
  ListOffsets: api(2, ListOffsetsRequest, ListOffsetsResponse),
  Metadata: api(3, MetadataRequest, MetadataResponse),
  ApiVersions: api(API_VERSIONS_KEY, ApiVersionsRequest, ApiVersionsResponse),
}

export type ApiName = keyof typeof API

/** The key of every API, by name: `ApiKey.Produce`. */
export const ApiKey = Object.fromEntries(Object.entries(API).map(([name, { key }]) => [name, key])) as {
  readonly [Name in ApiName]: number
}

/** Every API in the order of the keys. */
export const APIS: readonly Api[] = (Object.values(API) as readonly Api[]).toSorted(
  (left, right) => left.key - right.key,
)

const BY_KEY: readonly (Api | undefined)[] = APIS.reduce<(Api | undefined)[]>((table, each) => {
  table[each.key] = each
  return table
}, [])

/** Undefined for a key that has no schema here; any number may be asked for. */
export function apiByKey(key: number): Api | undefined {
  return BY_KEY[key]
}
