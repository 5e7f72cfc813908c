/**
 * Requests that the load generator prepares before it measures: Produce with one uncompressed batch of an exact
 * length, and Fetch from one partition. Encoded by hand for one version each, so that the generator does not lean on
 * the code whose speed is in question. It must never be used by anything but the benchmarks.
 */
import { crc32c } from '../client/protocol/crc32c.ts'

import { errorName } from '../client/protocol/errors.ts'

import type { FetchJob, ProduceJob } from './driver-protocol.ts'

const PRODUCE_KEY = 0
const PRODUCE_VERSION = 9
const FETCH_KEY = 1
const FETCH_VERSION = 12
const CLIENT_ID = 'sluice-bench'
const BATCH_HEADER_BYTES = 61
const CRC_AT = 17
const ATTRIBUTES_AT = 21
const TIMEOUT_MS = 30_000

/** Supplies requests in the order in which they are to be sent, and judges the answers. */
export interface RequestSource {
  /** The pieces of the next request; they stay valid and unchanged for as long as the job runs. */
  next(): readonly Uint8Array[]
  /** What is wrong with an answer, or null. `head` begins with the length prefix and holds up to 256 bytes. */
  check(head: Buffer, frameBytes: number): string | null
}

// ------------------------------------------------------------------------------------- primitives

function unsignedVarint(value: number): number[] {
  const bytes: number[] = []
  let rest = value >>> 0
  while (rest > 0x7f) {
    bytes.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  bytes.push(rest)
  return bytes
}

function varint(value: number): number[] {
  return unsignedVarint((value << 1) ^ (value >> 31))
}

function int16(value: number): number[] {
  return [(value >> 8) & 0xff, value & 0xff]
}

function int32(value: number): number[] {
  return [(value >> 24) & 0xff, (value >> 16) & 0xff, (value >> 8) & 0xff, value & 0xff]
}

function compactString(value: string): number[] {
  const bytes = Buffer.from(value)
  return [...unsignedVarint(bytes.length + 1), ...bytes]
}

function requestHeader(apiKey: number, version: number, correlationId: number): number[] {
  const clientId = Buffer.from(CLIENT_ID)
  return [
    ...int16(apiKey),
    ...int16(version),
    ...int32(correlationId),
    ...int16(clientId.length),
    ...clientId,
    0,
  ]
}

// ------------------------------------------------------------------------------------------ batches

/** Everything of a record but its value, without key and headers. */
function recordPrefix(offsetDelta: number, valueBytes: number): number[] {
  const afterLength = [0, ...varint(0), ...varint(offsetDelta), ...varint(-1), ...varint(valueBytes)]
  return [...varint(afterLength.length + valueBytes + 1), ...afterLength]
}

function recordLength(offsetDelta: number, valueBytes: number): number {
  return recordPrefix(offsetDelta, valueBytes).length + valueBytes + 1
}

/**
 * Lengths of the values of a batch that is exactly `batchBytes` long: all `recordBytes` but the last, which takes
 * the rest, and where a length is out of a varint's reach the one before it gives way.
 */
function valueLengths(batchBytes: number, recordBytes: number): number[] {
  const lengths: number[] = []
  let left = batchBytes - BATCH_HEADER_BYTES
  while (left >= 2 * recordLength(lengths.length, recordBytes)) {
    left -= recordLength(lengths.length, recordBytes)
    lengths.push(recordBytes)
  }
  for (let shrink = 0; ; shrink += 1) {
    const overhead = recordLength(lengths.length, 0)
    for (let value = left - overhead; value >= Math.max(0, left - overhead - 8); value -= 1) {
      if (recordLength(lengths.length, value) === left) return [...lengths, value]
    }
    if (lengths.length === 0 || shrink > 8)
      throw new Error(`A batch of exactly ${batchBytes} bytes cannot be made.`)
    const last = lengths.length - 1
    left += recordLength(last, lengths[last]!) - recordLength(last, lengths[last]! - 1)
    lengths[last] = lengths[last]! - 1
  }
}

export function recordsPerBatch(batchBytes: number, recordBytes: number): number {
  return valueLengths(batchBytes, recordBytes).length
}

/** A record batch v2 without compression and producer id, `batchBytes` long, of values that do not compress. */
export function makeBatch(batchBytes: number, recordBytes: number): Buffer {
  const lengths = valueLengths(batchBytes, recordBytes)
  const batch = Buffer.alloc(batchBytes)
  const timestamp = BigInt(Date.now())
  batch.writeInt32BE(batchBytes - 12, 8)
  batch.writeInt8(2, 16)
  batch.writeInt32BE(lengths.length - 1, 23)
  batch.writeBigInt64BE(timestamp, 27)
  batch.writeBigInt64BE(timestamp, 35)
  batch.writeBigInt64BE(-1n, 43)
  batch.writeInt16BE(-1, 51)
  batch.writeInt32BE(-1, 53)
  batch.writeInt32BE(lengths.length, 57)
  let at = BATCH_HEADER_BYTES
  let noise = 0x9e3779b9
  for (const [offsetDelta, valueBytes] of lengths.entries()) {
    const prefix = recordPrefix(offsetDelta, valueBytes)
    batch.set(prefix, at)
    at += prefix.length
    for (let index = 0; index < valueBytes; index += 1) {
      noise ^= noise << 13
      noise ^= noise >>> 17
      noise ^= noise << 5
      batch[at + index] = noise
    }
    at += valueBytes + 1
  }
  batch.writeUInt32BE(crc32c(batch.subarray(ATTRIBUTES_AT)) >>> 0, CRC_AT)
  return batch
}

// ----------------------------------------------------------------------------------------- requests

function describe(code: number): string {
  return `The broker answered with error ${code} (${errorName(code)}).`
}

/**
 * Produce of always the same batch. The frames differ in their correlation ids only; there are as many of them as
 * requests can be under way, and they share the batch's bytes.
 */
export function produceRequests(job: ProduceJob, partition: number): RequestSource {
  const batch = makeBatch(job.batchBytes, job.recordBytes)
  const heads = Array.from({ length: job.inFlight }, (_, correlationId) => {
    const body = [
      ...requestHeader(PRODUCE_KEY, PRODUCE_VERSION, correlationId),
      ...[0, ...int16(job.acks), ...int32(TIMEOUT_MS)],
      ...[2, ...compactString(job.topic), 2, ...int32(partition), ...unsignedVarint(batch.length + 1)],
    ]
    return Buffer.from([...int32(body.length + batch.length + 3), ...body])
  })
  const tail = Buffer.alloc(3)
  const requests = heads.map(head => [Buffer.concat([head, batch, tail])])
  const errorAt = 4 + 4 + 1 + 1 + compactString(job.topic).length + 1 + 4
  let next = 0
  return {
    next: () => {
      const request = requests[next]!
      next = (next + 1) % requests.length
      return request
    },
    check: head => {
      const code = head.readInt16BE(errorAt)
      return code === 0 ? null : describe(code)
    },
  }
}

/** Fetch of `job.readBytes` after `job.readBytes`, round and round. */
export function fetchRequests(job: FetchJob, partition: number): RequestSource {
  const recordsPerRead = recordsPerBatch(job.batchBytes, job.recordBytes) * (job.readBytes / job.batchBytes)
  const topic = compactString(job.topic)
  const before = [
    ...requestHeader(FETCH_KEY, FETCH_VERSION, 0),
    ...[...int32(-1), ...int32(500), ...int32(1), ...int32(Math.max(job.readBytes, 64 << 20)), 0],
    ...[...int32(0), ...int32(-1), 2, ...topic, 2, ...int32(partition), ...int32(-1)],
  ]
  const after = [...int32(-1), ...int32(-1), ...int32(-1), ...int32(job.readBytes), 0, 0, 1, 1, 0]
  const template = Buffer.from([
    ...int32(before.length + 8 + after.length),
    ...before,
    ...int32(0),
    ...int32(0),
    ...after,
  ])
  const offsetAt = 4 + before.length
  const topErrorAt = 4 + 4 + 1 + 4
  const partitionErrorAt = topErrorAt + 2 + 4 + 1 + topic.length + 1 + 4
  let offset = job.fromOffset
  return {
    next: () => {
      if (offset + recordsPerRead > job.toOffset) offset = job.fromOffset
      const request = Buffer.from(template)
      request.writeBigInt64BE(BigInt(offset), offsetAt)
      offset += recordsPerRead
      return [request]
    },
    check: (head, frameBytes) => {
      const top = head.readInt16BE(topErrorAt)
      if (top !== 0) return describe(top)
      const code = head.readInt16BE(partitionErrorAt)
      if (code !== 0) return describe(code)
      return frameBytes < job.batchBytes ? 'The broker answered a read without a single batch.' : null
    },
  }
}
