import fc from 'fast-check'
import t from 'tap'
import '../../../client/env-node.ts'
import {
  BATCH_HEADER_BYTES,
  readBatchHeader,
  stampChecksum,
  validateBatch,
} from '../../../client/protocol/batch.ts'
import { CODEC_NAMES } from '../../../client/protocol/compression.ts'
import { MalformedError } from '../../../client/protocol/errors.ts'
import {
  BatchBuilder,
  decodeMarker,
  decodeRecords,
  encodeBatch,
  encodeMarkerBatch,
  iterateRecords,
  type LogRecord,
  type RecordInput,
  recordSizeBound,
} from '../../../client/protocol/record.ts'
import {
  type LeaderEpoch,
  type Offset,
  type ProducerEpoch,
  type ProducerId,
} from '../../../client/protocol/types.ts'

const bytes = fc.option(
  fc.uint8Array({ maxLength: 300 }).map(array => Buffer.from(array)),
  { nil: null },
)
const record: fc.Arbitrary<RecordInput & { key: Buffer | null; value: Buffer | null }> = fc.record({
  key: bytes,
  value: bytes,
  headers: fc.array(fc.record({ key: fc.string({ unit: 'grapheme', maxLength: 20 }), value: bytes }), {
    maxLength: 4,
  }),
  timestamp: fc.oneof(
    fc.integer({ min: -1, max: 2 ** 41 }),
    fc.integer({ min: 1_700_000_000_000, max: 1_700_000_001_000 }),
  ),
})

function plain(records: readonly LogRecord[]): unknown[] {
  const hex = (value: Buffer | null): string | null => value?.toString('hex') ?? null
  return records.map(({ offset, timestamp, key, value, headers }) => ({
    offset,
    timestamp,
    key: hex(key),
    value: hex(value),
    headers: headers.map(header => [header.key, hex(header.value)]),
  }))
}

for (const codec of CODEC_NAMES) {
  t.test(`records survive a batch with codec ${codec}`, async t => {
    fc.assert(
      fc.property(
        fc.array(record, { minLength: 1, maxLength: 20 }),
        fc.nat(2 ** 50),
        (records, baseOffset) => {
          const batch = encodeBatch(records, { codec, baseOffset: baseOffset as Offset })
          const expected = records.map((input, index) => ({
            offset: (baseOffset + index) as Offset,
            timestamp: input.timestamp,
            key: input.key,
            value: input.value,
            headers: input.headers as LogRecord['headers'],
          }))
          t.equal(validateBatch(batch, 0, batch.length, 'producer'), null)
          t.strictSame(plain(decodeRecords(batch)), plain(expected))
        },
      ),
      { numRuns: 60 },
    )
  })
}

t.test('records are laid out as the format says', async t => {
  // Two records, the second with a null value and a header; offsets 0 and 1, timestamps 1000 and 1005.
  const batch = encodeBatch([
    { key: 'k', value: 'v', timestamp: 1000 },
    { key: null, value: null, timestamp: 1005, headers: [{ key: 'h', value: null }] },
  ])
  t.equal(batch.subarray(BATCH_HEADER_BYTES).toString('hex'), '10000000026b02760012000a02010102026801')
})

t.test('the header says what the options said', async t => {
  const batch = encodeBatch([{ value: 'x', timestamp: 9 }], {
    baseOffset: 100 as Offset,
    leaderEpoch: 3 as LeaderEpoch,
    producerId: (2n ** 40n) as ProducerId,
    producerEpoch: 7 as ProducerEpoch,
    baseSequence: 2 ** 31 - 1,
    isTransactional: true,
    logAppendTimeMs: 55,
  })
  const header = readBatchHeader(batch, 0)
  t.match(header, {
    baseOffset: 100,
    lastOffset: 100,
    leaderEpoch: 3,
    producerEpoch: 7,
    baseSequence: 2 ** 31 - 1,
    isTransactional: true,
    isControl: false,
    isLogAppendTime: true,
    maxTimestamp: 55,
  })
  t.equal(header.producerId, 2n ** 40n)
  t.equal(decodeRecords(batch)[0]!.timestamp, 55)
})

t.test('null and empty are different', async t => {
  const batch = encodeBatch([
    { key: null, value: null, timestamp: 0 },
    { key: '', value: '', timestamp: 0, headers: [{ key: '', value: '' }] },
  ])
  const [nothing, empty] = decodeRecords(batch)
  t.equal(nothing!.key, null)
  t.equal(nothing!.value, null)
  t.equal(empty!.key!.length, 0)
  t.equal(empty!.value!.length, 0)
  t.equal(empty!.headers[0]!.value!.length, 0)
})

t.test('a builder knows its size before and after each record', async t => {
  const builder = new BatchBuilder(64)
  t.equal(builder.byteLength, BATCH_HEADER_BYTES)
  for (let i = 0; i < 100; i++) {
    const value = 'ä'.repeat(i)
    const bound = recordSizeBound('key', value, [{ key: 'h', value: Buffer.alloc(i) }])
    const before = builder.byteLength
    t.equal(builder.append(1000 + i, 'key', value, [{ key: 'h', value: Buffer.alloc(i) }]), i)
    const size = builder.byteLength - before
    t.ok(size <= bound && size > bound - 20, `${size} of at most ${bound}`)
  }
  t.equal(builder.recordCount, 100)
  const expected = builder.byteLength
  t.equal(builder.seal().length, expected)
})

t.test('a builder can be used again, whatever the codec', async t => {
  for (const codec of CODEC_NAMES) {
    const builder = new BatchBuilder(64)
    builder.append(1, 'first', 'one')
    const first = builder.seal({ codec })
    builder.append(2, 'second', 'two')
    const second = builder.seal({ codec })
    t.equal(decodeRecords(first)[0]!.value!.toString(), 'one', codec)
    t.equal(decodeRecords(second)[0]!.value!.toString(), 'two', codec)
    t.equal(decodeRecords(second)[0]!.timestamp, 2, codec)
  }
})

t.test('keys and values are slices of an uncompressed batch', async t => {
  const batch = encodeBatch([{ key: 'key', value: 'value', timestamp: 0 }])
  const [read] = decodeRecords(batch)
  t.equal(read!.value!.buffer, batch.buffer)
})

t.test('records can be read one at a time', async t => {
  const batch = encodeBatch(Array.from({ length: 5 }, (_, i) => ({ value: `${i}`, timestamp: i })))
  for (const read of iterateRecords(batch)) {
    if (read.offset === 2) break
    t.equal(read.value!.toString(), `${read.offset}`)
  }
})

t.test('markers say how a transaction ended', async t => {
  for (const type of ['commit', 'abort'] as const) {
    const batch = encodeMarkerBatch({
      type,
      coordinatorEpoch: 11,
      producerId: 5n as ProducerId,
      producerEpoch: 2 as ProducerEpoch,
      timestamp: 77,
    })
    t.match(readBatchHeader(batch, 0), {
      isControl: true,
      isTransactional: true,
      recordCount: 1,
      baseSequence: -1,
    })
    t.same(decodeMarker(decodeRecords(batch)[0]!), { type, coordinatorEpoch: 11 })
  }
  const other = encodeBatch([{ key: Buffer.from([0, 0, 0, 2]), value: null, timestamp: 0 }], {
    isControl: true,
  })
  t.equal(decodeMarker(decodeRecords(other)[0]!), null, 'other kinds are passed over')
  const short = encodeBatch([{ key: 'x', value: null, timestamp: 0 }], { isControl: true })
  t.throws(() => decodeMarker(decodeRecords(short)[0]!), MalformedError)
})

t.test('records that lie are malformed', async t => {
  const lies: readonly (readonly [string, string])[] = [
    ['a length beyond the batch', '7e000000010100'],
    ['a negative length', '01000000010100'],
    ['a length too short', '0a00000001010000'],
    ['a key beyond the record', '0c0000007e0100'],
    ['a negative key length', '0c000000030100'],
    ['a million headers', '1200000001018092f40100'],
    ['a header without key', '1000000001010201010000'.slice(0, 18)],
    ['an offset outside of the batch', '0c000004010100'],
    ['a negative offset', '0c000001010100'],
    ['a number without an end', 'ffffffffffffffffffffff'],
    ['a timestamp without an end', '1e00ffffffffffffffffffff010000'],
    ['bytes after the headers', '0e00000001010000'],
    ['bytes after the last record', '0c000000010100ff'],
  ]
  for (const [name, hex] of lies) {
    const body = Buffer.from(hex, 'hex')
    const header = encodeBatch([{ value: 'x', timestamp: 0 }]).subarray(0, BATCH_HEADER_BYTES)
    const batch = Buffer.concat([header, body])
    batch.writeInt32BE(batch.length - 12, 8)
    t.throws(() => decodeRecords(batch), MalformedError, name)
  }
})

t.test('a count that cannot be is refused before anything is read', async t => {
  const batch = encodeBatch([{ value: 'x', timestamp: 0 }])
  for (const count of [-1, 2, 2 ** 31 - 1]) {
    batch.writeInt32BE(count, 57)
    t.throws(() => decodeRecords(batch), MalformedError, String(count))
  }
})

t.test('an unknown codec and an old format are malformed', async t => {
  const batch = encodeBatch([{ value: 'x', timestamp: 0 }])
  batch[22] = 7
  t.throws(() => decodeRecords(batch), MalformedError)
  batch[16] = 1
  t.throws(() => decodeRecords(batch), MalformedError)
})

t.test('a batch that decompresses beyond the limit is refused', async t => {
  for (const codec of CODEC_NAMES) {
    if (codec === 'none') continue
    const batch = encodeBatch([{ value: Buffer.alloc(1_000_000), timestamp: 0 }], { codec })
    t.equal(decodeRecords(batch).length, 1)
    t.throws(
      () => decodeRecords(batch, 0, { maxDecompressedBytes: 100_000 }),
      { code: 'DECOMPRESSED_TOO_LARGE' },
      codec,
    )
  }
})

t.test('whatever is done to a batch, reading it ends in records or MalformedError', async t => {
  const change = fc.record({ at: fc.nat(2000), value: fc.integer({ min: 0, max: 255 }) })
  const codecs = fc.constantFrom(...CODEC_NAMES)
  fc.assert(
    fc.property(
      codecs,
      fc.array(record, { minLength: 1, maxLength: 6 }),
      fc.array(change, { maxLength: 4 }),
      fc.nat(500),
      (codec, records, changes, cut) => {
        const batch = encodeBatch(records, { codec })
        for (const { at, value } of changes)
          batch[BATCH_HEADER_BYTES - 4 + (at % (batch.length - BATCH_HEADER_BYTES + 4))] = value
        const length = Math.max(BATCH_HEADER_BYTES, batch.length - cut)
        const hostile = batch.subarray(0, length)
        hostile.writeInt32BE(length - 12, 8)
        stampChecksum(hostile, 0)
        try {
          decodeRecords(hostile, 0, { maxDecompressedBytes: 1 << 20 })
        } catch (error) {
          if (!(error instanceof MalformedError)) throw error
        }
      },
    ),
    { numRuns: 1500 },
  )
  t.pass('nothing else came out')
})
