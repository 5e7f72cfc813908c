/**
 * Record batches, whole and mauled: with headers that lie about what follows, codecs that are not what they say, little
 * bytes that decompress to many, and CRCs that are right all the same, because a hostile producer computes them too.
 */
import { readFileSync } from 'node:fs'
import { deflateRawSync, gzipSync } from 'node:zlib'
import {
  BATCH_ATTRIBUTES_AT,
  BATCH_BASE_SEQUENCE_AT,
  BATCH_BASE_TIMESTAMP_AT,
  BATCH_CRC_AT,
  BATCH_HEADER_BYTES,
  BATCH_LAST_OFFSET_DELTA_AT,
  BATCH_LENGTH_AT,
  BATCH_MAGIC_AT,
  BATCH_MAX_TIMESTAMP_AT,
  BATCH_PREFIX_BYTES,
  BATCH_PRODUCER_EPOCH_AT,
  BATCH_PRODUCER_ID_AT,
  BATCH_RECORD_COUNT_AT,
  stampChecksum,
} from '../../client/protocol/batch.ts'
import { provideFileReader } from '../../client/protocol/compression/zstd.ts'
import { type CodecName, compress } from '../../client/protocol/compression.ts'
import { encodeBatch, type RecordInput } from '../../client/protocol/record.ts'
import { type ProducerEpoch, type ProducerId } from '../../client/protocol/types.ts'
import { type Chance } from './chance.ts'

provideFileReader(readFileSync)

const CODECS: readonly CodecName[] = ['none', 'none', 'none', 'gzip', 'snappy', 'lz4', 'zstd']
const NOW_MS = 1_700_000_000_000

/** One whole batch that a log takes. */
export function makeBatch(chance: Chance): Buffer {
  const records: RecordInput[] = []
  for (let left = 1 + chance.size(20); left > 0; left--) {
    records.push({
      key: chance.once(3) ? null : chance.bytes(chance.size(20)),
      value: chance.once(8) ? null : chance.bytes(chance.size(300)),
      timestamp: NOW_MS + chance.int(1000),
      headers: chance.once(4) ? [{ key: 'h', value: chance.bytes(chance.size(10)) }] : [],
    })
  }
  const compression = chance.pick(CODECS)
  if (!chance.once(4)) return Buffer.from(encodeBatch(records, { codec: compression }))
  const producerId = BigInt(chance.int(5)) as ProducerId
  const producer = { producerId, producerEpoch: 0 as ProducerEpoch, baseSequence: chance.int(3) }
  return Buffer.from(encodeBatch(records, { codec: compression, ...producer }))
}

/** What a producer may put into its request: mostly a batch, mostly wrong. */
export function makeRecords(chance: Chance): Buffer {
  if (chance.once(3)) return makeBatch(chance)
  if (chance.once(12)) return chance.bytes(chance.size(400))
  if (chance.once(12)) return Buffer.concat([makeBatch(chance), makeBatch(chance)])
  if (chance.once(12)) return makeBomb(chance)
  return mauled(makeBatch(chance), chance)
}

/** A batch with one to three things wrong; its CRC and length are made right again more often than not. */
export function mauled(batch: Buffer, chance: Chance): Buffer {
  let bytes: Buffer = Buffer.from(batch)
  for (let left = 1 + chance.int(3); left > 0; left--) bytes = maul(bytes, chance)
  if (bytes.length < BATCH_HEADER_BYTES) return bytes
  if (!chance.once(5)) bytes.writeInt32BE(bytes.length - BATCH_PREFIX_BYTES, BATCH_LENGTH_AT)
  const byteLength = bytes.readInt32BE(BATCH_LENGTH_AT) + BATCH_PREFIX_BYTES
  if (!chance.once(5) && byteLength >= BATCH_HEADER_BYTES && byteLength <= bytes.length)
    stampChecksum(bytes, 0)
  return bytes
}

const FIELDS: readonly { readonly at: number; readonly bytes: 1 | 2 | 4 | 8 }[] = [
  { at: 0, bytes: 8 },
  { at: BATCH_LENGTH_AT, bytes: 4 },
  { at: BATCH_MAGIC_AT, bytes: 1 },
  { at: BATCH_CRC_AT, bytes: 4 },
  { at: BATCH_ATTRIBUTES_AT, bytes: 2 },
  { at: BATCH_LAST_OFFSET_DELTA_AT, bytes: 4 },
  { at: BATCH_BASE_TIMESTAMP_AT, bytes: 8 },
  { at: BATCH_MAX_TIMESTAMP_AT, bytes: 8 },
  { at: BATCH_PRODUCER_ID_AT, bytes: 8 },
  { at: BATCH_PRODUCER_EPOCH_AT, bytes: 2 },
  { at: BATCH_BASE_SEQUENCE_AT, bytes: 4 },
  { at: BATCH_RECORD_COUNT_AT, bytes: 4 },
]

function maul(bytes: Buffer, chance: Chance): Buffer {
  if (bytes.length < BATCH_HEADER_BYTES) return bytes
  switch (chance.int(7)) {
    case 0:
    case 1: {
      const { at, bytes: width } = chance.pick(FIELDS)
      if (width === 8) bytes.writeBigInt64BE(BigInt(chance.integer(64)), at)
      else if (width === 4) bytes.writeInt32BE(chance.integer(32), at)
      else if (width === 2) bytes.writeInt16BE(chance.integer(16), at)
      else bytes.writeInt8(chance.integer(8), at)
      return bytes
    }
    case 2:
      // A codec that is not the one of the bytes.
      bytes[BATCH_ATTRIBUTES_AT + 1] = (bytes[BATCH_ATTRIBUTES_AT + 1]! & ~7) | chance.int(8)
      return bytes
    case 3:
      bytes[chance.int(bytes.length)]! ^= 1 << chance.int(8)
      return bytes
    case 4:
      return Buffer.from(bytes.subarray(0, chance.int(bytes.length)))
    case 5: {
      // Within the records: where their varints are.
      const at = Math.min(bytes.length, BATCH_HEADER_BYTES + chance.size(bytes.length))
      const length = Math.min(chance.size(8) + 1, bytes.length - at)
      bytes.set(chance.once(2) ? Buffer.alloc(length, 0xff) : chance.bytes(length), at)
      return bytes
    }
    default: {
      const at = BATCH_HEADER_BYTES + chance.int(bytes.length - BATCH_HEADER_BYTES + 1)
      return Buffer.concat([bytes.subarray(0, at), chance.bytes(chance.size(60)), bytes.subarray(at)])
    }
  }
}

/** What a bomb is made of: so much of the same byte that all codecs pack it well. */
const PAYLOADS = new Map<string, Buffer>()

/** Few bytes that decompress to many, in a batch that says so or does not. */
export function makeBomb(chance: Chance): Buffer {
  const codec = chance.pick(['gzip', 'gzip', 'snappy', 'lz4', 'zstd'] as const)
  const megabytes = chance.pick([1, 4, 16])
  const name = `${codec} ${megabytes}`
  let packed = PAYLOADS.get(name)
  if (packed === undefined) {
    const plain = Buffer.alloc(megabytes * 1024 * 1024)
    packed = Buffer.from(codec === 'gzip' ? gzipSync(plain, { level: 9 }) : compress(codec, plain))
    PAYLOADS.set(name, packed)
  }
  // Members of gzip, frames of lz4 and zstd may follow each other.
  const copies = chance.once(3) ? chance.between(2, 8) : 1
  const body = Buffer.concat(Array.from({ length: copies }, () => packed))
  return withBody(
    makeBatch(chance),
    body,
    ['none', 'gzip', 'snappy', 'lz4', 'zstd'].indexOf(codec),
    chance.integer(32),
  )
}

/** Compressed bytes that are broken inside rather than at their header. */
export function makeBrokenCompression(chance: Chance): Buffer {
  const id = 1 + chance.int(4)
  const codec = (['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)[id]!
  const plain = chance.once(2)
    ? chance.bytes(chance.size(5000))
    : Buffer.alloc(chance.size(200_000), chance.int(256))
  let body = chance.once(10) && id === 1 ? deflateRawSync(plain) : Buffer.from(compress(codec, plain))
  for (let left = chance.int(6); left > 0 && body.length > 0; left--) {
    // Sizes and flags stand at the begin.
    body[chance.once(2) ? chance.int(Math.min(24, body.length)) : chance.int(body.length)] = chance.int(256)
  }
  if (chance.once(4)) body = Buffer.from(body.subarray(0, chance.int(body.length + 1)))
  return withBody(makeBatch(chance), body, id, chance.between(1, 2000))
}

function withBody(batch: Buffer, body: Buffer, codecId: number, count: number): Buffer {
  const bytes = Buffer.concat([batch.subarray(0, BATCH_HEADER_BYTES), body])
  bytes.writeInt32BE(bytes.length - BATCH_PREFIX_BYTES, BATCH_LENGTH_AT)
  bytes.writeInt16BE(codecId, BATCH_ATTRIBUTES_AT)
  bytes.writeInt32BE(count, BATCH_RECORD_COUNT_AT)
  bytes.writeInt32BE(Math.max(0, count - 1), BATCH_LAST_OFFSET_DELTA_AT)
  stampChecksum(bytes, 0)
  return bytes
}
