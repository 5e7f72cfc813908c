import t from 'tap'
import {
  compressLz4Frame,
  decompressLz4Frames,
  lz4BlockCodec,
  lz4BlockCodecs,
} from '../../../../client/protocol/compression/lz4-frame.ts'
import { xxhash32 } from '../../../../client/protocol/compression/xxhash32.ts'
import { MalformedError } from '../../../../client/protocol/errors.ts'

const CAP = 1 << 24
const CODECS = Object.values(lz4BlockCodecs).filter(codec => codec !== null)

/** Frames of this text that the reference implementation (liblz4 1.9) wrote. */
const TEXT = 'the quick brown fox and the quick brown dog and the quick brown cat'
const FRAMES: readonly (readonly [string, string])[] = [
  [
    'independent blocks',
    '04224d1860408229000000fc0974686520717569636b2062726f776e20666f7820616e642018003f646f67180000506e2063617400000000',
  ],
  [
    'independent blocks, block checksums',
    '04224d187040ad29000000fc0974686520717569636b2062726f776e20666f7820616e642018003f646f67180000506e20636174fcefd31500000000',
  ],
  [
    'independent blocks, content checksum, content size',
    '04224d186c4043000000000000007429000000fc0974686520717569636b2062726f776e20666f7820616e642018003f646f67180000506e2063617400000000535956a4',
  ],
  [
    'independent blocks, content checksum, block checksums, content size',
    '04224d187c404300000000000000ce29000000fc0974686520717569636b2062726f776e20666f7820616e642018003f646f67180000506e20636174fcefd31500000000535956a4',
  ],
]
const FRAME = FRAMES[0]![1]

/** 12,000 times `row <0..49>;` in two blocks of 64 KiB, of which the second refers to the first; by the reference. */
const LINKED =
  '04224d184c40c03e010000000000fff301000060726f7720303b060011310600113206001133060011340600113506001136' +
  '060011370600113806001139060013313d00023e0012313f0012314000123141001231420012314300123144001231450012' +
  '3146001232460012324600123246001232460012324600123246001232460012324600123246001232460012334600123346' +
  '0012334600123346001233460012334600123346001233460012334600123346001234460012344600123446001234460012' +
  '3446001234460012344600123446001234460012344600024500024400024300034200013601024000023f00023e00023d00' +
  '023c000f5401ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' +
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' +
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' +
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' +
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff' +
  'ffffffffffffffffffffff5350772033373b480000000f00ffffffffffffffffffffffffffffffffffffffffffffffffffff' +
  'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe650772034393b00000000f039' +
  '3a89'

function linkedText(): Buffer {
  return Buffer.from(Array.from({ length: 12_000 }, (_, i) => `row ${i % 50};`).join(''))
}

/** A frame made by hand: header from its flags, blocks as given, end mark, and what follows. */
function frame(
  flags: number,
  blockSizeCode: number,
  blocks: readonly Buffer[],
  after = Buffer.alloc(0),
): Buffer {
  const descriptor = Buffer.from([flags, blockSizeCode << 4])
  const checksum = Buffer.from([(xxhash32(descriptor) >>> 8) & 0xff])
  return Buffer.concat([
    Buffer.from('04224d18', 'hex'),
    descriptor,
    checksum,
    ...blocks,
    Buffer.alloc(4),
    after,
  ])
}

function block(content: string | Buffer, compressed: boolean): Buffer {
  const bytes = Buffer.from(content as string)
  const size = Buffer.alloc(4)
  size.writeUInt32LE((bytes.length | (compressed ? 0 : 0x80000000)) >>> 0)
  return Buffer.concat([size, bytes])
}

t.test('xxHash32 gives the known answers', async t => {
  t.equal(xxhash32(Buffer.from('')), 0x02cc5d05)
  t.equal(xxhash32(Buffer.from('a')), 0x550d7456)
  t.equal(xxhash32(Buffer.from('abc')), 0x32d153ff)
  t.equal(xxhash32(Buffer.from('Nobody inspects the spammish repetition')), 0xe2293b2f)
})

for (const codec of CODECS) {
  t.test(`frames are read and written by ${codec.name}`, async t => {
    const read = (bytes: Buffer, cap = CAP): Buffer => decompressLz4Frames(bytes, cap, codec)

    for (const [name, hex] of FRAMES) t.equal(read(Buffer.from(hex, 'hex')).toString(), TEXT, name)
    t.ok(read(Buffer.from(LINKED, 'hex')).equals(linkedText()), 'linked blocks')

    const lengths = [0, 1, 4, 5, 12, 13, 100, 65_535, 65_536, 65_537, 300_000]
    for (const length of lengths) {
      const repeating = Buffer.alloc(length, 'abcdefg,')
      t.ok(read(compressLz4Frame(repeating, codec)).equals(repeating), `${length} repeating bytes`)
      const noise = Buffer.from(
        Array.from({ length }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 13) & 0xff),
      )
      const packed = compressLz4Frame(noise, codec)
      t.ok(read(packed).equals(noise), `${length} bytes of noise`)
      t.ok(packed.length <= length + 11 + 4 * Math.ceil(length / 65_536), 'noise hardly grows')
    }

    const half = Buffer.alloc(200_000, 'x')
    t.throws(() => read(compressLz4Frame(half, codec), 100_000), { code: 'DECOMPRESSED_TOO_LARGE' })
    t.throws(() => read(compressLz4Frame(half, codec), 199_999), { code: 'DECOMPRESSED_TOO_LARGE' })
    t.equal(read(compressLz4Frame(half, codec), 200_000).length, 200_000, 'the cap itself is allowed')
  })
}

t.test('what one implementation writes, every other reads', async t => {
  const text = linkedText()
  for (const writer of CODECS) {
    for (const reader of CODECS) {
      const read = decompressLz4Frames(compressLz4Frame(text, writer), CAP, reader)
      t.ok(read.equals(text), `${writer.name} to ${reader.name}`)
    }
  }
})

t.test('frames are written as Java clients write them: version 1, independent blocks of 64 KiB', async t => {
  t.equal(compressLz4Frame(Buffer.from('x')).subarray(0, 7).toString('hex'), '04224d18604082')
})

t.test('every legal kind of frame is read', async t => {
  const one = Buffer.from(FRAME, 'hex')
  const skippable = Buffer.from('5f2a4d1803000000aabbcc', 'hex')
  t.equal(decompressLz4Frames(Buffer.concat([one, one]), CAP).toString(), TEXT + TEXT, 'one after another')
  t.equal(
    decompressLz4Frames(Buffer.concat([skippable, one, skippable]), CAP).toString(),
    TEXT,
    'skippable ones',
  )
  t.equal(decompressLz4Frames(frame(0x60, 4, []), CAP).length, 0, 'an empty one')
  t.equal(
    decompressLz4Frames(frame(0x60, 7, [block('raw', false)]), CAP).toString(),
    'raw',
    'uncompressed blocks',
  )

  // The second block: a match of 4 bytes, 4 back (into the first block), and one literal.
  const second = Buffer.from([0x00, 0x04, 0x00, 0x10, 0x21])
  const linked = frame(0x40, 4, [block('abcd', false), block(second, true)])
  t.equal(
    decompressLz4Frames(linked, CAP).toString(),
    'abcdabcd!',
    'a block that refers to an uncompressed one',
  )
  const independent = frame(0x60, 4, [block('abcd', false), block(second, true)])
  t.throws(
    () => decompressLz4Frames(independent, CAP),
    MalformedError,
    'but not where blocks are independent',
  )
  const next = Buffer.concat([frame(0x40, 4, [block('abcd', false)]), frame(0x40, 4, [block(second, true)])])
  t.throws(() => decompressLz4Frames(next, CAP), MalformedError, 'nor across frames')

  const dictionary = Buffer.from([0x61, 0x40, 1, 2, 3, 4])
  const withId = Buffer.concat([
    Buffer.from('04224d18', 'hex'),
    dictionary,
    Buffer.from([(xxhash32(dictionary) >>> 8) & 0xff]),
    block('text', false),
    Buffer.alloc(4),
  ])
  t.equal(decompressLz4Frames(withId, CAP).toString(), 'text', 'a dictionary id that is not needed')
})

t.test('what is no legal frame is malformed', async t => {
  const change = (at: number, value: number, hex = FRAME): Buffer => {
    const bytes = Buffer.from(hex, 'hex')
    bytes[at < 0 ? bytes.length + at : at] = value
    return bytes
  }
  const checked = FRAMES.find(([name]) => name.includes('block checksums') && name.includes('size'))![1]
  const cases: readonly (readonly [string, Buffer])[] = [
    ['nothing', Buffer.alloc(0)],
    ['another magic number', change(0, 5)],
    ['a legacy frame', Buffer.from('02214c1803000000616263', 'hex')],
    ['another version', frame(0xa0, 4, [])],
    ['a reserved flag', frame(0x62, 4, [])],
    ['a block size that is not defined', frame(0x60, 3, [])],
    ['a wrong header checksum', change(6, 0)],
    ['a wrong content size', change(6, 0x44, checked)],
    ['a wrong content checksum', change(-1, 0, checked)],
    ['a changed byte under a block checksum', change(40, 0, checked)],
    ['a block larger than allowed', frame(0x60, 4, [block(Buffer.alloc(65_537), false)])],
    [
      'a block that decodes to more than allowed',
      frame(0x60, 4, [block(Buffer.from(`1f610100${'ff'.repeat(300)}0010`, 'hex'), true)]),
    ],
    ['a match at distance 0', frame(0x60, 4, [block(Buffer.from('106100001062', 'hex'), true)])],
    ['a match before the start', frame(0x60, 4, [block(Buffer.from('106105001062', 'hex'), true)])],
    ['something after the last frame', Buffer.concat([Buffer.from(FRAME, 'hex'), Buffer.from('junk')])],
    ['a skippable frame beyond the end', Buffer.from('502a4d18ffffffff00', 'hex')],
  ]
  for (const [name, bytes] of cases) {
    for (const codec of CODECS) t.throws(() => decompressLz4Frames(bytes, CAP, codec), MalformedError, name)
  }
})

t.test('a frame cut anywhere is malformed', async t => {
  for (const [, hex] of FRAMES) {
    const whole = Buffer.from(hex, 'hex')
    for (let length = 0; length < whole.length; length++) {
      t.throws(() => decompressLz4Frames(whole.subarray(0, length), CAP), MalformedError)
    }
  }
})

t.test('memory follows what was received, not what is declared', async t => {
  // A content size of 2^40 and blocks of up to 4 MiB, in a frame of a few bytes.
  const descriptor = Buffer.from([0x68, 0x70, 0, 0, 0, 0, 0, 1, 0, 0])
  const bytes = Buffer.concat([
    Buffer.from('04224d18', 'hex'),
    descriptor,
    Buffer.from([(xxhash32(descriptor) >>> 8) & 0xff]),
    block('abc', false),
    Buffer.alloc(4),
  ])
  const before = process.memoryUsage().arrayBuffers
  t.throws(() => decompressLz4Frames(bytes, 1 << 30), MalformedError)
  t.ok(process.memoryUsage().arrayBuffers - before < 1 << 20)
})

t.test('the fastest implementation that loads is in use', async t => {
  t.equal(lz4BlockCodec, CODECS[0])
})
