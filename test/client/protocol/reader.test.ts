import t from 'tap'
import { MalformedError } from '../../../client/protocol/errors.ts'
import { Reader } from '../../../client/protocol/reader.ts'

function over(hex: string): Reader {
  return new Reader(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
}

t.test('integers are big-endian, in two’s complement', async t => {
  const reader = over('80 8000 ffff 80000000 ffffffff ffffffffffffffff')
  t.equal(reader.int8(), -128)
  t.equal(reader.int16(), -32768)
  t.equal(reader.uint16(), 65535)
  t.equal(reader.int32(), -2147483648)
  t.equal(reader.uint32(), 4294967295)
  t.equal(reader.int64(), -1)
  reader.finish()
})

t.test('64-bit numbers are exact up to 2^53-1, and malformed beyond', async t => {
  t.equal(over('001fffffffffffff').int64(), Number.MAX_SAFE_INTEGER)
  t.equal(over('ffe0000000000001').int64(), Number.MIN_SAFE_INTEGER)
  t.equal(over('0000000100000000').int64(), 2 ** 32)
  t.throws(() => over('0020000000000000').int64(), MalformedError)
  t.throws(() => over('ffe0000000000000').int64(), MalformedError)
  t.throws(() => over('7fffffffffffffff').int64(), MalformedError)
  t.equal(over('7fffffffffffffff').bigInt64(), 2n ** 63n - 1n)
})

t.test('varints have up to 32 bits in up to five bytes', async t => {
  t.equal(over('00').uvarint(), 0)
  t.equal(over('7f').uvarint(), 127)
  t.equal(over('8001').uvarint(), 128)
  t.equal(over('ffffffff0f').uvarint(), 0xffffffff)
  t.equal(over('8080808000').uvarint(), 0, 'padding is read, as Kafka reads it')
  t.throws(() => over('ffffffff10').uvarint(), MalformedError, 'a 33rd bit')
  t.throws(() => over('808080808000').uvarint(), MalformedError, 'a sixth byte')
  t.throws(() => over('8080').uvarint(), MalformedError, 'cut short')
})

t.test('strings and bytes carry their length, compact ones plus one', async t => {
  t.equal(over('0002 c3a4').string(), 'ä')
  t.equal(over('ffff').nullableString(), null)
  t.equal(over('0000').nullableString(), '')
  t.equal(over('03 c3a4').compactString(), 'ä')
  t.equal(over('00').compactNullableString(), null)
  t.equal(over('01').compactNullableString(), '')
  t.same(over('00000002 0102').bytes(), Buffer.from([1, 2]))
  t.equal(over('ffffffff').nullableBytes(), null)
  t.same(over('03 0102').compactBytes(), Buffer.from([1, 2]))
  t.equal(over('00').compactNullableBytes(), null)
})

t.test('a null where none may be is malformed', async t => {
  t.throws(() => over('ffff').string(), MalformedError)
  t.throws(() => over('00').compactString(), MalformedError)
  t.throws(() => over('ffffffff').bytes(), MalformedError)
  t.throws(() => over('00').compactBytes(), MalformedError)
  t.throws(() => over('ffffffff').arrayLength(1), MalformedError)
  t.throws(() => over('00').compactArrayLength(1), MalformedError)
})

t.test('a length below that of null is malformed', async t => {
  t.throws(() => over('fffe').nullableString(), MalformedError)
  t.throws(() => over('fffffffe').nullableBytes(), MalformedError)
  t.throws(() => over('fffffffe').nullableArrayLength(1), MalformedError)
  t.throws(() => over('02').present(), MalformedError)
})

t.test('a length beyond the end is malformed before anything is allocated', async t => {
  t.throws(() => over('7fff 00').string(), MalformedError)
  t.throws(() => over('7fffffff 00').bytes(), MalformedError)
  t.throws(() => over('ffffffff0f 00').compactBytes(), MalformedError)
  t.throws(() => over('7fffffff').arrayLength(1), MalformedError)
  t.throws(() => over('00000002 000000').arrayLength(2), MalformedError, 'two elements of two bytes in three')
  t.equal(over('00000002 00000000').arrayLength(2), 2)
  t.throws(() => over('ff01 00').taggedFieldCount(), MalformedError)
})

t.test('one message holds a bounded number of elements, however small they are', async t => {
  const bytes = Buffer.alloc(4096)
  bytes.writeInt32BE(600, 0)
  bytes.writeInt32BE(600, 4)
  const reader = new Reader(bytes, 0, bytes.length, 1000)
  t.equal(reader.arrayLength(1), 600)
  t.throws(() => reader.arrayLength(1), /More than 1000 elements/)
  const million = Buffer.alloc(4 + 1_000_000)
  million.writeInt32BE(1_000_000)
  t.throws(() => new Reader(million).arrayLength(1), MalformedError, 'a stranger gets less by default')
})

t.test('tags ascend', async t => {
  t.same(over('02 0001aa 0500').unknownTaggedFields(), [
    { tag: 0, data: Buffer.from([0xaa]) },
    { tag: 5, data: Buffer.alloc(0) },
  ])
  t.equal(over('00').unknownTaggedFields(), undefined)
  t.throws(() => over('02 0500 0001aa').unknownTaggedFields(), MalformedError, 'descending')
  t.throws(() => over('02 0500 0500').unknownTaggedFields(), MalformedError, 'twice')
})

t.test('a reader stays within its range, and byte fields are slices of it', async t => {
  const bytes = Buffer.from([9, 1, 2, 3, 9])
  const reader = new Reader(bytes, 1, 4)
  const slice = reader.slice(2)
  bytes[1] = 7
  t.same(slice, Buffer.from([7, 2]))
  t.equal(reader.remaining, 1)
  t.throws(() => reader.int16(), MalformedError)
  t.throws(() => reader.finish(), MalformedError)
  t.equal(reader.int8(), 3)
  reader.finish()
  t.throws(() => new Reader(bytes, 0, 6), RangeError)
})
