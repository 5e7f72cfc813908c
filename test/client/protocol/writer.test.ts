import fc from 'fast-check'
import t from 'tap'
import { UnencodableError } from '../../../client/protocol/errors.ts'
import { Reader } from '../../../client/protocol/reader.ts'
import { uvarintBytes, Writer } from '../../../client/protocol/writer.ts'

function written(write: (writer: Writer) => void): string {
  const writer = new Writer()
  write(writer)
  const bytes = writer.concat()
  t.equal(writer.byteLength, bytes.length, 'byteLength is what was written')
  return bytes.toString('hex')
}

t.test('every primitive is read back as it was written', async () => {
  fc.assert(
    fc.property(
      fc.record({
        int8: fc.integer({ min: -128, max: 127 }),
        int16: fc.integer({ min: -32768, max: 32767 }),
        uint16: fc.integer({ min: 0, max: 65535 }),
        int32: fc.integer(),
        uint32: fc.nat({ max: 0xffffffff }),
        int64: fc.maxSafeInteger(),
        bigInt64: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
        float64: fc.double(),
        bool: fc.boolean(),
        uvarint: fc.nat({ max: 0xffffffff }),
        string: fc.string({ unit: 'grapheme', maxLength: 300 }),
      }),
      values => {
        const writer = new Writer()
        for (const name of Object.keys(values))
          (writer[name as 'string'] as (value: unknown) => void)(values[name as 'string'])
        writer.compactString(values.string)
        const reader = new Reader(writer.concat())
        for (const [name, value] of Object.entries(values)) {
          if (!Object.is(reader[name as 'string'](), value)) throw new Error(name)
        }
        if (reader.compactString() !== values.string) throw new Error('compactString')
        reader.finish()
      },
    ),
  )
})

t.test('a value that does not fit is refused, never cut', async t => {
  const refused: ((writer: Writer) => void)[] = [
    w => w.int8(128),
    w => w.int16(-32769),
    w => w.uint16(-1),
    w => w.uint16(65536),
    w => w.int32(2 ** 31),
    w => w.int32(1.5),
    w => w.int32(Number.NaN),
    w => w.int32(undefined as never),
    w => w.int32('1' as never),
    w => w.uint32(-1),
    w => w.int64(2 ** 53),
    w => w.int64(1n as never),
    w => w.bigInt64(2n ** 63n),
    w => w.bigInt64(1 as never),
    w => w.float64('1' as never),
    w => w.bool(1 as never),
    w => w.uuid('not-a-uuid'),
    w => w.uuid('0123456789abcdef0123456789abcdeg'),
    w => w.uvarint(-1),
    w => w.string('x'.repeat(32768)),
    w => w.compactString('x'.repeat(32768)),
    w => w.string(null as never),
    w => w.bytes('text' as never),
    w => w.records(['text'] as never),
    w => w.arrayLength(null as never),
    w => w.compactArrayLength({ length: 1 } as never),
  ]
  for (const write of refused) t.throws(() => write(new Writer()), UnencodableError, write.toString())
})

t.test('strings are measured in bytes of UTF-8', async t => {
  t.equal(
    written(w => w.string('ä')),
    '0002c3a4',
  )
  t.equal(
    written(w => w.compactString('ä')),
    '03c3a4',
  )
  t.equal(
    written(w => w.nullableString(null)),
    'ffff',
  )
  t.equal(
    written(w => w.compactNullableString(null)),
    '00',
  )
  const long = 'ü'.repeat(16383)
  t.equal(
    written(w => w.string(long)),
    `7ffe${Buffer.from(long).toString('hex')}`,
  )
})

t.test('large slices are taken by reference, small ones are copied', async t => {
  const large = Buffer.alloc(4096, 1)
  const small = Buffer.alloc(16, 2)
  const writer = new Writer()
  writer.int32(7)
  writer.records([large, small])
  writer.int32(8)
  const chunks = writer.chunks()
  t.equal(chunks.length, 3)
  t.equal(chunks[1], large)
  t.equal(writer.byteLength, 4 + 4 + 4096 + 16 + 4)
  t.same(writer.concat().subarray(4, 8).readInt32BE(), 4096 + 16)
})

t.test('a writer goes on after its chunks were asked for', async t => {
  const writer = new Writer()
  writer.int16(1)
  t.same(Buffer.concat(writer.chunks()).toString('hex'), '0001')
  writer.int16(2)
  t.same(Buffer.concat(writer.chunks()).toString('hex'), '00010002')
})

t.test('messages follow each other in one block, and each is handed out alone', async t => {
  const writer = new Writer()
  const large = Buffer.alloc(4096, 1)
  writer.int16(1)
  const first = writer.take()
  t.equal(writer.byteLength, 0)
  writer.int16(2)
  writer.raw(large)
  const second = writer.take()
  writer.int16(3)
  writer.discard()
  writer.int16(4)
  t.same(Buffer.concat(writer.take()).toString('hex'), '0004')
  t.same(Buffer.concat(first).toString('hex'), '0001', 'what was handed out stays as it is')
  t.equal(second[1], large)
  t.equal(first[0]!.buffer, second[0]!.buffer)
})

t.test('a short message does not keep the block of a long one alive', async t => {
  const writer = new Writer()
  for (let index = 0; index < 50_000; index++) writer.int32(index)
  writer.take()
  writer.int32(7)
  t.ok(writer.take()[0]!.buffer.byteLength <= 8192)
})

t.test('what has been written never moves, however much follows', async t => {
  const writer = new Writer()
  const setSize = writer.reserveInt32()
  for (let index = 0; index < 100_000; index++) writer.int32(index)
  setSize(writer.byteLength - 4)
  const bytes = writer.concat()
  t.equal(bytes.readInt32BE(0), 400_000)
  t.equal(bytes.readInt32BE(4 + 4 * 99_999), 99_999)
})

t.test('the size of a varint is known before it is written', async t => {
  for (const value of [0, 127, 128, 16383, 16384, 2097151, 2097152, 268435455, 268435456, 0xffffffff]) {
    t.equal(written(w => w.uvarint(value)).length / 2, uvarintBytes(value), String(value))
  }
})

t.test('unknown tagged fields ascend and stay clear of the known ones', async t => {
  const field = (tag: number) => ({ tag, data: Buffer.from([tag]) })
  t.equal(
    written(w => w.unknownTaggedFields([field(1), field(3)])),
    '02010101030103',
  )
  t.throws(() => new Writer().unknownTaggedFields([field(3), field(1)]), UnencodableError)
  t.throws(() => new Writer().unknownTaggedFields([field(3), field(3)]), UnencodableError)
  t.throws(() => new Writer().unknownTaggedFieldsBelow([field(3)], 0, 3), UnencodableError)
})
