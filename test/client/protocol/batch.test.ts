import fc from 'fast-check'
import t from 'tap'
import {
  ATTRIBUTE_CONTROL,
  ATTRIBUTE_DELETE_HORIZON,
  ATTRIBUTE_TRANSACTIONAL,
  BATCH_ATTRIBUTES_AT,
  BATCH_BASE_SEQUENCE_AT,
  BATCH_BASE_TIMESTAMP_AT,
  BATCH_HEADER_BYTES,
  BATCH_LAST_OFFSET_DELTA_AT,
  BATCH_LENGTH_AT,
  BATCH_MAGIC_AT,
  BATCH_RECORD_COUNT_AT,
  type BatchProblem,
  batchBaseOffset,
  batchByteLength,
  batchHasProducerId,
  batchLastOffset,
  batchLeaderEpoch,
  batchMaxTimestamp,
  batchProducerId,
  describeBatchProblem,
  forEachBatch,
  readBatchHeader,
  setLogAppendTime,
  stampBatch,
  stampChecksum,
  validateBatch,
} from '../../../client/protocol/batch.ts'
import { decodeRecords, encodeBatch, encodeMarkerBatch } from '../../../client/protocol/record.ts'
import {
  type LeaderEpoch,
  type Offset,
  type ProducerEpoch,
  type ProducerId,
} from '../../../client/protocol/types.ts'

function sample(): Buffer {
  const records = [1, 2, 3].map(n => ({ key: `key ${n}`, value: `value ${n}`, timestamp: 1000 + n }))
  return encodeBatch(records, {
    producerId: 77n as ProducerId,
    producerEpoch: 5 as ProducerEpoch,
    baseSequence: 40,
  })
}

/** A batch with one change whose CRC is right all the same: what a hostile producer would send. */
function forged(change: (batch: Buffer) => void): Buffer {
  const batch = sample()
  change(batch)
  stampChecksum(batch, 0)
  return batch
}

function problemOf(batch: Buffer, origin: 'producer' | 'log' = 'producer'): BatchProblem | null {
  return validateBatch(batch, 0, batch.length, origin)
}

t.test('the header of a batch is read where it lies', async t => {
  const batch = sample()
  const shifted = Buffer.concat([Buffer.alloc(13), batch])
  const header = readBatchHeader(shifted, 13)
  t.match(header, {
    baseOffset: 0,
    byteLength: batch.length,
    leaderEpoch: -1,
    magic: 2,
    codecId: 0,
    isLogAppendTime: false,
    isTransactional: false,
    isControl: false,
    lastOffsetDelta: 2,
    lastOffset: 2,
    baseTimestamp: 1001,
    maxTimestamp: 1003,
    producerEpoch: 5,
    baseSequence: 40,
    recordCount: 3,
  })
  t.equal(header.producerId, 77n)
  t.equal(header.crc, batch.readUInt32BE(17))
})

t.test('64-bit fields keep their sign and their low half', async t => {
  fc.assert(
    fc.property(fc.maxSafeInteger(), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), (timestamp, producerId) => {
      const batch = sample()
      batch.writeBigInt64BE(BigInt(timestamp), 35)
      batch.writeBigInt64BE(producerId, 43)
      return (
        batchMaxTimestamp(batch, 0) === timestamp &&
        batchProducerId(batch, 0) === producerId &&
        batchHasProducerId(batch, 0) === producerId >= 0n
      )
    }),
  )
  t.pass('for all values')
})

t.test('stamping base offset and leader epoch leaves the checksum valid', async t => {
  const batch = sample()
  stampBatch(batch, 0, (2 ** 40 + 7) as Offset, 12 as LeaderEpoch)
  t.equal(batchBaseOffset(batch, 0), 2 ** 40 + 7)
  t.equal(batchLastOffset(batch, 0), 2 ** 40 + 9)
  t.equal(batchLeaderEpoch(batch, 0), 12)
  t.equal(problemOf(batch, 'log'), null)
})

t.test('log append time is the time of every record', async t => {
  const batch = sample()
  setLogAppendTime(batch, 0, 1_700_000_000_123)
  t.equal(problemOf(batch), null)
  t.ok(readBatchHeader(batch, 0).isLogAppendTime)
  t.same(
    decodeRecords(batch).map(record => record.timestamp),
    [1_700_000_000_123, 1_700_000_000_123, 1_700_000_000_123],
  )
})

t.test('a producer’s batch is checked', async t => {
  t.equal(problemOf(sample()), null)
  const cases: readonly (readonly [string, BatchProblem, Buffer])[] = [
    ['an empty one', 'INCOMPLETE', Buffer.alloc(0)],
    ['one cut in its header', 'INCOMPLETE', sample().subarray(0, 40)],
    ['one cut in its records', 'INCOMPLETE', sample().subarray(0, -1)],
    ['format 0', 'OLD_FORMAT', forged(b => b.writeInt8(0, BATCH_MAGIC_AT))],
    ['format 1', 'OLD_FORMAT', forged(b => b.writeInt8(1, BATCH_MAGIC_AT))],
    ['format 3', 'UNKNOWN_FORMAT', forged(b => b.writeInt8(3, BATCH_MAGIC_AT))],
    ['a negative format', 'UNKNOWN_FORMAT', forged(b => b.writeInt8(-1, BATCH_MAGIC_AT))],
    ['no checksum', 'BAD_CHECKSUM', Buffer.from(sample().fill(0, 17, 21))],
    ['codec 5', 'UNKNOWN_ATTRIBUTES', forged(b => b.writeInt16BE(5, BATCH_ATTRIBUTES_AT))],
    ['an unknown attribute', 'UNKNOWN_ATTRIBUTES', forged(b => b.writeInt16BE(0x80, BATCH_ATTRIBUTES_AT))],
    [
      'a delete horizon',
      'UNKNOWN_ATTRIBUTES',
      forged(b => b.writeInt16BE(ATTRIBUTE_DELETE_HORIZON, BATCH_ATTRIBUTES_AT)),
    ],
    ['a control batch', 'CONTROL_BATCH', forged(b => b.writeInt16BE(ATTRIBUTE_CONTROL, BATCH_ATTRIBUTES_AT))],
    ['no records', 'BAD_COUNT', forged(b => b.writeInt32BE(0, BATCH_RECORD_COUNT_AT))],
    ['fewer records than offsets', 'BAD_COUNT', forged(b => b.writeInt32BE(2, BATCH_RECORD_COUNT_AT))],
    ['more records than offsets', 'BAD_COUNT', forged(b => b.writeInt32BE(4, BATCH_RECORD_COUNT_AT))],
    ['a negative count', 'BAD_COUNT', forged(b => b.writeInt32BE(-3, BATCH_RECORD_COUNT_AT))],
    [
      'more records than fit the bytes',
      'BAD_COUNT',
      forged(b => {
        b.writeInt32BE(2 ** 30, BATCH_RECORD_COUNT_AT)
        b.writeInt32BE(2 ** 30 - 1, BATCH_LAST_OFFSET_DELTA_AT)
      }),
    ],
    ['a negative last offset', 'BAD_OFFSETS', forged(b => b.writeInt32BE(-1, BATCH_LAST_OFFSET_DELTA_AT))],
    [
      'a timestamp beyond 2^53',
      'BAD_TIMESTAMPS',
      forged(b => b.writeInt32BE(0x7fffffff, BATCH_BASE_TIMESTAMP_AT)),
    ],
    [
      'a producer id without sequence',
      'BAD_PRODUCER',
      forged(b => b.writeInt32BE(-1, BATCH_BASE_SEQUENCE_AT)),
    ],
    [
      'a transaction without producer id',
      'BAD_PRODUCER',
      forged(b => {
        b.writeBigInt64BE(-1n, 43)
        b.writeInt16BE(ATTRIBUTE_TRANSACTIONAL, BATCH_ATTRIBUTES_AT)
      }),
    ],
  ]
  for (const [name, problem, batch] of cases) {
    t.equal(problemOf(batch), problem, name)
    t.ok(describeBatchProblem(problem).length > 20, `${problem} is explained`)
  }
})

t.test('a length that lies is refused before it is followed', async t => {
  for (const length of [-1, 0, 48, -(2 ** 31)]) {
    t.equal(problemOf(lengthForged(length)), 'BAD_LENGTH', String(length))
  }
  t.equal(problemOf(lengthForged(0x7fffffff)), 'INCOMPLETE')
})

function lengthForged(length: number): Buffer {
  const batch = sample()
  batch.writeInt32BE(length, BATCH_LENGTH_AT)
  return batch
}

t.test('a log may hold what a producer may not send', async t => {
  const marker = encodeMarkerBatch({
    type: 'commit',
    coordinatorEpoch: 3,
    producerId: 9n as ProducerId,
    producerEpoch: 1 as ProducerEpoch,
    timestamp: 5,
  })
  t.equal(problemOf(marker, 'log'), null, 'a marker')
  t.equal(problemOf(marker, 'producer'), 'CONTROL_BATCH')
  const compacted = forged(b => b.writeInt32BE(900, BATCH_LAST_OFFSET_DELTA_AT))
  t.equal(problemOf(compacted, 'log'), null, 'gaps from compaction')
  const negative = sample()
  stampBatch(negative, 0, -5 as Offset, 0 as LeaderEpoch)
  t.equal(problemOf(negative, 'log'), 'BAD_OFFSETS', 'but no negative offset')
})

t.test('any changed byte within the checksum is noticed', async t => {
  const batch = sample()
  for (let at = BATCH_ATTRIBUTES_AT; at < batch.length; at++) {
    const damaged = Buffer.from(batch)
    damaged[at]! ^= 1 << (at % 8)
    if (problemOf(damaged) !== 'BAD_CHECKSUM') t.fail(`byte ${at}`)
  }
  t.pass('all bytes')
})

t.test('a walk visits whole batches and reports the partial tail', async t => {
  const batch = sample()
  const log = Buffer.concat([batch, batch, batch.subarray(0, 30)])
  const seen: number[] = []
  const walk = forEachBatch(log, (position, byteLength) => {
    t.equal(byteLength, batchByteLength(log, position))
    seen.push(position)
  })
  t.same(seen, [0, batch.length])
  t.same(walk, { end: batch.length * 2, problem: 'INCOMPLETE' })

  t.same(
    forEachBatch(batch, () => {}),
    { end: batch.length, problem: null },
  )
  t.same(
    forEachBatch(log, () => false),
    { end: batch.length, problem: null },
    'ends where the visitor says',
  )
  t.same(
    forEachBatch(Buffer.alloc(BATCH_HEADER_BYTES), () => {}),
    { end: 0, problem: 'OLD_FORMAT' },
    'zeros',
  )
})

t.test('no bytes make the checks throw', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.nat(3), (bytes, magic) => {
      if (bytes.length > BATCH_MAGIC_AT) bytes[BATCH_MAGIC_AT] = magic
      validateBatch(bytes, 0, bytes.length, 'log')
      forEachBatch(bytes, () => {})
      return true
    }),
  )
  t.pass('whatever they are')
})
