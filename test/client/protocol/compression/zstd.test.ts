import t from 'tap'
import '../../../../client/env-node.ts'
import { zstdCodecs } from '../../../../client/protocol/compression/zstd.ts'
import { MalformedError } from '../../../../client/protocol/errors.ts'

const CAP = 1 << 24
const CODECS = Object.values(zstdCodecs).filter(codec => codec !== null)
const TEXT = 'the quick brown fox and the quick brown dog and the quick brown cat'
/** As the reference implementation wrote them: with content size, and as a stream without it but with a checksum. */
const FRAME = Buffer.from(
  '28b52ffd2043350100f074686520717569636b2062726f776e20666f7820616e6420646f676361740200e01b2c32c7',
  'hex',
)
const STREAM = Buffer.from(
  '28b52ffd0458350100f074686520717569636b2062726f776e20666f7820616e6420646f676361740200e01b2c32c704cb604f',
  'hex',
)
const SKIPPABLE = Buffer.from('502a4d1802000000ffff', 'hex')

t.test('zstd works on every supported Node', async t => {
  t.ok(CODECS.length > 0)
})

for (const codec of CODECS) {
  t.test(`zstd is read and written by ${codec.name}`, async t => {
    t.equal(codec.decompress(FRAME, CAP).toString(), TEXT, 'with content size')
    t.equal(codec.decompress(STREAM, CAP).toString(), TEXT, 'a stream')
    t.equal(codec.decompress(Buffer.concat([STREAM, FRAME]), CAP).toString(), TEXT + TEXT, 'several frames')
    t.equal(
      codec.decompress(Buffer.concat([SKIPPABLE, FRAME, SKIPPABLE]), CAP).toString(),
      TEXT,
      'skippable frames',
    )
    t.equal(codec.decompress(SKIPPABLE, CAP).length, 0, 'nothing but a skippable frame')

    for (const length of [0, 1, 100, 131_072, 131_073, 1_000_000]) {
      const repeating = Buffer.alloc(length, 'abcdefg')
      t.ok(codec.decompress(codec.compress(repeating, 3), CAP).equals(repeating), `${length} repeating bytes`)
      const noise = Buffer.from(
        Array.from({ length }, (_, i) => (Math.imul(i + 1, 0x9e3779b1) >>> 13) & 0xff),
      )
      t.ok(codec.decompress(codec.compress(noise, 1), CAP).equals(noise), `${length} bytes of noise`)
    }

    const bomb = codec.compress(Buffer.alloc(10_000_000), 3)
    t.ok(bomb.length < 10_000)
    t.throws(() => codec.decompress(bomb, 1_000_000), { code: 'DECOMPRESSED_TOO_LARGE' })
    t.throws(() => codec.decompress(STREAM, TEXT.length - 1), { code: 'DECOMPRESSED_TOO_LARGE' })
    t.equal(codec.decompress(STREAM, TEXT.length).toString(), TEXT, 'the cap itself is allowed')
    t.throws(() => codec.decompress(Buffer.concat([FRAME, FRAME]), TEXT.length), {
      code: 'DECOMPRESSED_TOO_LARGE',
    })
  })

  t.test(`bad zstd is malformed to ${codec.name}`, async t => {
    const cases: readonly (readonly [string, Buffer])[] = [
      ['nothing', Buffer.alloc(0)],
      ['another magic number', Buffer.from('no zstd at all')],
      ['a reserved bit', Buffer.from('28b52ffd0858010000', 'hex')],
      ['a reserved block type', Buffer.from('28b52ffd0058070000', 'hex')],
      ['a wrong checksum', Buffer.concat([STREAM.subarray(0, -1), Buffer.from([0])])],
      ['something after the frame', Buffer.concat([FRAME, Buffer.from('junk')])],
      // Single segment, a content size of 2^60, and an empty last block.
      ['a declared size that is a lie', Buffer.from('28b52ffde0000000000000001001000000', 'hex')],
    ]
    for (const [name, bytes] of cases) t.throws(() => codec.decompress(bytes, CAP), MalformedError, name)
    for (let length = 0; length < STREAM.length; length++) {
      t.throws(() => codec.decompress(STREAM.subarray(0, length), CAP), MalformedError, `cut at ${length}`)
    }
    t.equal(codec.decompress(STREAM, CAP).toString(), TEXT, 'and good input is read as before')
  })
}
