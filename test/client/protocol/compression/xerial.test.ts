import fc from 'fast-check'
import t from 'tap'
import {
  compressXerial,
  decompressSnappy,
  snappyCodecs,
} from '../../../../client/protocol/compression/xerial.ts'
import { MalformedError } from '../../../../client/protocol/errors.ts'

const CAP = 1 << 24
const CODECS = Object.values(snappyCodecs).filter(codec => codec !== null)
const TEXT = 'the quick brown fox and the quick brown dog and the quick brown cat'
/** As another implementation wrote it. */
const RAW = Buffer.from(
  '435c74686520717569636b2062726f776e20666f7820616e64203e180008646f6752180008636174',
  'hex',
)
const HEADER = Buffer.from('82534e41505059000000000100000001', 'hex')

function framed(...blocks: readonly Buffer[]): Buffer {
  const chunks: Buffer[] = [HEADER]
  for (const block of blocks) {
    const length = Buffer.alloc(4)
    length.writeInt32BE(block.length)
    chunks.push(length, block)
  }
  return Buffer.concat(chunks)
}

for (const codec of CODECS) {
  t.test(`snappy is read and written by ${codec.name}`, async t => {
    const read = (bytes: Buffer, cap = CAP): Buffer => decompressSnappy(bytes, cap, codec)

    t.equal(read(RAW).toString(), TEXT, 'one raw block, as librdkafka writes')
    t.equal(read(framed(RAW)).toString(), TEXT, 'a framed block, as Java writes')
    t.equal(read(framed(RAW, RAW)).toString(), TEXT + TEXT, 'several blocks')
    t.equal(
      read(Buffer.concat([framed(RAW), framed(RAW)])).toString(),
      TEXT + TEXT,
      'streams one after another',
    )
    t.equal(read(framed()).length, 0, 'a stream without blocks')
    t.equal(read(Buffer.from([0])).length, 0, 'an empty raw block')

    for (const length of [0, 1, 3, 4, 5, 60, 61, 300, 32_768, 32_769, 65_536, 200_000]) {
      const repeating = Buffer.alloc(length, 'abcdefghij')
      t.ok(read(compressXerial(repeating, codec)).equals(repeating), `${length} repeating bytes`)
      const noise = Buffer.from(
        Array.from({ length }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 13) & 0xff),
      )
      t.ok(read(compressXerial(noise, codec)).equals(noise), `${length} bytes of noise`)
      t.ok(read(Buffer.from(codec.encode(noise))).equals(noise), `${length} bytes of noise in one raw block`)
    }

    const long = compressXerial(Buffer.alloc(200_000, 'x'), codec)
    t.throws(() => read(long, 199_999), { code: 'DECOMPRESSED_TOO_LARGE' })
    t.equal(read(long, 200_000).length, 200_000, 'the cap itself is allowed')
  })

  t.test(`bad snappy is malformed to ${codec.name}`, async t => {
    const cases: readonly (readonly [string, Buffer])[] = [
      ['nothing', Buffer.alloc(0)],
      ['a length without an end', Buffer.from('ffffffffff', 'hex')],
      ['a length of 4 GiB in five bytes', Buffer.from('ffffffff0f', 'hex')],
      ['a length that the bytes cannot hold', Buffer.from('ffff030061', 'hex')],
      ['literals cut', Buffer.from('0410616263', 'hex')],
      ['a copy cut', Buffer.from('0800610e01', 'hex')],
      ['a copy from before the start', Buffer.from('0800611a0500', 'hex')],
      ['a copy at distance 0', Buffer.from('0800611a0000', 'hex')],
      ['more than declared', Buffer.from('010461626364', 'hex')],
      ['less than declared', Buffer.from('05086162', 'hex')],
      ['a frame with a length beyond its end', Buffer.concat([HEADER, Buffer.from('0000ffff00', 'hex')])],
      ['a frame with a negative length', Buffer.concat([HEADER, Buffer.from('ffffffff00', 'hex')])],
      ['a frame with an empty block', framed(Buffer.alloc(0))],
      ['a frame cut in a length', Buffer.concat([HEADER, Buffer.from('0000', 'hex')])],
      ['half a header', HEADER.subarray(0, 12)],
    ]
    for (const [name, bytes] of cases)
      t.throws(() => decompressSnappy(bytes, CAP, codec), MalformedError, name)
    const whole = framed(RAW)
    for (let length = HEADER.length + 1; length < whole.length; length++) {
      t.throws(
        () => decompressSnappy(whole.subarray(0, length), CAP, codec),
        MalformedError,
        `cut at ${length}`,
      )
    }
  })
}

t.test('what one implementation writes, the other reads', async t => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', 'bc', 'the ', 'quick', '\0'), { maxLength: 3000 }), words => {
      const text = Buffer.from(words.join(''))
      for (const writer of CODECS) {
        for (const reader of CODECS) {
          if (!decompressSnappy(compressXerial(text, writer), CAP, reader).equals(text)) return false
        }
      }
      return true
    }),
    { numRuns: 50 },
  )
  t.pass('both ways')
})
