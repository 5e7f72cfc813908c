/**
 * The messages of etcd's v3 API that a metadata store exchanges, between the types of the store and bytes. It decides
 * nothing: what an answer means is said elsewhere. Field numbers are those of etcd's rpc.proto and kv.proto.
 */
import { compareKeys } from '../keys.ts'
import {
  type Compare,
  type CompareOp,
  type KeySelector,
  type KeyValue,
  type LeaseId,
  type Operation,
  type OperationResult,
  type RangeOptions,
  type RangeResult,
  type Revision,
  type Transaction,
  type TransactionResult,
  type WatchEvent,
} from '../metastore.ts'
import { ProtobufError, ProtobufReader, ProtobufWriter } from './protobuf.ts'

export const METHODS = {
  range: '/etcdserverpb.KV/Range',
  txn: '/etcdserverpb.KV/Txn',
  compact: '/etcdserverpb.KV/Compact',
  watch: '/etcdserverpb.Watch/Watch',
  leaseGrant: '/etcdserverpb.Lease/LeaseGrant',
  leaseRevoke: '/etcdserverpb.Lease/LeaseRevoke',
  leaseKeepAlive: '/etcdserverpb.Lease/LeaseKeepAlive',
  status: '/etcdserverpb.Maintenance/Status',
  authenticate: '/etcdserverpb.Auth/Authenticate',
} as const

export interface Header {
  readonly clusterId: bigint
  readonly revision: Revision
}

// ----------------------------------------------------------------------------------------- keys

interface Interval {
  readonly start: Uint8Array
  /** Absent: `start` alone. A zero byte: everything from `start` on. */
  readonly end: Uint8Array
}

const NOTHING = new Uint8Array()
const FROM_THERE_ON = Uint8Array.of(0)

/** Etcd knows a half-open interval of keys where we say "prefix" and "after". */
function intervalOf(select: KeySelector, after?: string): Interval {
  if ('key' in select) {
    const key = Buffer.from(select.key)
    // From the key to itself there is nothing.
    return { start: key, end: after !== undefined && compareKeys(select.key, after) <= 0 ? key : NOTHING }
  }
  const start = Buffer.from(select.prefix)
  const end = Buffer.from(start)
  // No byte of UTF-8 is 0xff, so the last one can always be counted up.
  if (end.length > 0) end[end.length - 1]!++
  const following = after === undefined ? null : Buffer.from(`${after}\0`)
  const first = following !== null && Buffer.compare(following, start) > 0 ? following : start
  return {
    start: first.length === 0 ? FROM_THERE_ON : first,
    end: end.length === 0 ? FROM_THERE_ON : end,
  }
}

// ----------------------------------------------------------------------------------------- requests

export function rangeRequest(select: KeySelector, options: RangeOptions = {}): ProtobufWriter {
  const { start, end } = intervalOf(select, options.after)
  return new ProtobufWriter()
    .bytes(1, start)
    .bytes(2, end)
    .integer(3, options.limit ?? 0)
    .integer(4, options.revision ?? 0)
    .flag(9, options.countOnly ?? false)
}

export function txnRequest(transaction: Transaction): ProtobufWriter {
  const request = new ProtobufWriter()
  for (const compare of transaction.compare ?? []) request.message(1, compareMessage(compare))
  for (const operation of transaction.success ?? []) request.message(2, operationMessage(operation))
  for (const operation of transaction.failure ?? []) request.message(3, operationMessage(operation))
  return request
}

const COMPARE_RESULTS: Record<CompareOp, number> = { '=': 0, '>': 1, '<': 2, '!=': 3 }
const COMPARE_TARGETS: Record<Compare['target'], number> = {
  version: 0,
  createRevision: 1,
  modRevision: 2,
  value: 3,
  lease: 4,
}

function compareMessage(compare: Compare): ProtobufWriter {
  const op = compare.op ?? '='
  if (compare.target === 'lease' && (op === '<' || op === '>')) {
    // Etcd would order leases by their number; here they have no order, and such a condition is never true.
    return compareMessage({ key: compare.key, target: 'version', op: '<', value: 0 })
  }
  const message = new ProtobufWriter()
    .integer(1, COMPARE_RESULTS[op])
    .integer(2, COMPARE_TARGETS[compare.target])
    .text(3, compare.key)
  switch (compare.target) {
    case 'version':
      return message.integer(4, compare.value, true)
    case 'createRevision':
      return message.integer(5, compare.value, true)
    case 'modRevision':
      return message.integer(6, compare.value, true)
    case 'value':
      return message.bytes(7, compare.value, true)
    case 'lease':
      return message.integer(8, BigInt(compare.value ?? 0), true)
    default:
      return compare satisfies never
  }
}

function operationMessage(operation: Operation): ProtobufWriter {
  const message = new ProtobufWriter()
  switch (operation.type) {
    case 'range':
      return message.message(1, rangeRequest(operation.select, operation.options))
    case 'put':
      return message.message(
        2,
        new ProtobufWriter()
          .text(1, operation.key)
          .bytes(2, operation.value)
          .integer(3, BigInt(operation.lease ?? 0)),
      )
    case 'delete':
      return message.message(3, new ProtobufWriter().text(1, operation.key))
    case 'delete-prefix': {
      const { start, end } = intervalOf(operation)
      return message.message(3, new ProtobufWriter().bytes(1, start).bytes(2, end))
    }
    default:
      return operation satisfies never
  }
}

export function compactionRequest(revision: Revision): ProtobufWriter {
  return new ProtobufWriter().integer(1, revision)
}

/** Etcd counts whole seconds and chooses the id. */
export function leaseGrantRequest(ttlMs: number): ProtobufWriter {
  return new ProtobufWriter().integer(1, Math.ceil(ttlMs / 1000))
}

/** To renew as well as to revoke. */
export function leaseRequest(lease: LeaseId): ProtobufWriter {
  return new ProtobufWriter().integer(1, BigInt(lease))
}

export function authenticateRequest(user: string, password: string): ProtobufWriter {
  return new ProtobufWriter().text(1, user).text(2, password)
}

/** Large answers come in fragments, and the previous value with each event. */
export function watchCreateRequest(select: KeySelector, from: Revision): ProtobufWriter {
  const { start, end } = intervalOf(select)
  const request = new ProtobufWriter()
    .bytes(1, start)
    .bytes(2, end)
    .integer(3, from)
    .flag(4, true)
    .flag(6, true)
    .flag(8, true)
  return new ProtobufWriter().message(1, request)
}

export function watchProgressRequest(): ProtobufWriter {
  return new ProtobufWriter().message(3, new ProtobufWriter())
}

// ----------------------------------------------------------------------------------------- answers

export function readRange(bytes: Uint8Array): RangeResult {
  return rangeOf(new ProtobufReader(bytes))
}

export function readTxn(bytes: Uint8Array): TransactionResult {
  const reader = new ProtobufReader(bytes)
  const results: OperationResult[] = []
  let succeeded = false
  let revision = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) revision = headerOf(reader.message()).revision
    else if (field === 2) succeeded = reader.flag()
    else if (field === 3) results.push(resultOf(reader.message()))
  }
  return { succeeded, results, revision }
}

export function readLeaseGrant(bytes: Uint8Array): { readonly id: LeaseId; readonly ttlMs: number } {
  const reader = new ProtobufReader(bytes)
  let id = 0n
  let ttl = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 2) id = reader.integer64()
    else if (field === 3) ttl = reader.integer()
  }
  return { id: String(id), ttlMs: ttl * 1000 }
}

/** `ttlMs` 0: there is no such lease any more. */
export function readLeaseKeepAlive(bytes: Uint8Array): { readonly id: LeaseId; readonly ttlMs: number } {
  return readLeaseGrant(bytes)
}

export interface Status {
  readonly header: Header
  readonly version: string
  /** False: this member is cut off from the majority. */
  readonly hasLeader: boolean
}

export function readStatus(bytes: Uint8Array): Status {
  const reader = new ProtobufReader(bytes)
  let header: Header = { clusterId: 0n, revision: 0 }
  let version = ''
  let leader = 0n
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) header = headerOf(reader.message())
    else if (field === 2) version = reader.text()
    else if (field === 4) leader = reader.integer64()
  }
  return { header, version, hasLeader: leader !== 0n }
}

export function readAuthenticate(bytes: Uint8Array): string {
  const reader = new ProtobufReader(bytes)
  let token = ''
  for (let field = reader.next(); field !== 0; field = reader.next()) if (field === 2) token = reader.text()
  return token
}

export interface WatchResponse {
  readonly revision: Revision
  /** -1: it is about all watches of the stream. */
  readonly id: number
  readonly created: boolean
  readonly canceled: boolean
  readonly compactRevision: Revision
  readonly cancelReason: string
  /** More of the same answer follows. */
  readonly fragment: boolean
  readonly events: readonly WatchEvent[]
}

export function readWatchResponse(bytes: Uint8Array): WatchResponse {
  const reader = new ProtobufReader(bytes)
  const events: WatchEvent[] = []
  const response = {
    revision: 0,
    id: 0,
    created: false,
    canceled: false,
    compactRevision: 0,
    cancelReason: '',
    fragment: false,
    events,
  }
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) response.revision = headerOf(reader.message()).revision
    else if (field === 2) response.id = reader.integer()
    else if (field === 3) response.created = reader.flag()
    else if (field === 4) response.canceled = reader.flag()
    else if (field === 5) response.compactRevision = reader.integer()
    else if (field === 6) response.cancelReason = reader.text()
    else if (field === 7) response.fragment = reader.flag()
    else if (field === 11) events.push(eventOf(reader.message()))
  }
  return response
}

// ----------------------------------------------------------------------------------------- parts

function headerOf(reader: ProtobufReader): Header {
  let clusterId = 0n
  let revision = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) clusterId = reader.integer64()
    else if (field === 3) revision = reader.integer()
  }
  return { clusterId, revision }
}

function rangeOf(reader: ProtobufReader): RangeResult {
  const entries: KeyValue[] = []
  let count = 0
  let revision = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) revision = headerOf(reader.message()).revision
    else if (field === 2) entries.push(keyValueOf(reader.message()))
    else if (field === 4) count = reader.integer()
  }
  return { entries, count, revision }
}

function keyValueOf(reader: ProtobufReader): KeyValue {
  let key = ''
  let value: Uint8Array = Buffer.alloc(0)
  let createRevision = 0
  let modRevision = 0
  let version = 0
  let lease = 0n
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) key = reader.text()
    else if (field === 2) createRevision = reader.integer()
    else if (field === 3) modRevision = reader.integer()
    else if (field === 4) version = reader.integer()
    else if (field === 5) value = reader.bytes()
    else if (field === 6) lease = reader.integer64()
  }
  return { key, value, createRevision, modRevision, version, lease: lease === 0n ? null : String(lease) }
}

function resultOf(reader: ProtobufReader): OperationResult {
  let result: OperationResult | null = null
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) result = { type: 'range', ...rangeOf(reader.message()) }
    else if (field === 2) result = { type: 'put' }
    else if (field === 3) result = { type: 'delete', deleted: deletedOf(reader.message()) }
  }
  if (result === null) throw new ProtobufError('an operation has no result')
  return result
}

function deletedOf(reader: ProtobufReader): number {
  let deleted = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 2) deleted = reader.integer()
  }
  return deleted
}

function eventOf(reader: ProtobufReader): WatchEvent {
  let isDelete = false
  let entry: KeyValue | null = null
  let previous: KeyValue | null = null
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) isDelete = reader.integer() === 1
    else if (field === 2) entry = keyValueOf(reader.message())
    else if (field === 3) previous = keyValueOf(reader.message())
  }
  if (entry === null) throw new ProtobufError('an event has no key')
  return isDelete
    ? { type: 'delete', key: entry.key, modRevision: entry.modRevision, previous }
    : { type: 'put', entry, previous }
}
