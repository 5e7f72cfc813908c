import t from 'tap'
import '../../../client/env-node.ts'
import {
  CODEC_AVAILABILITY,
  CODEC_NAMES,
  Codec,
  compress,
  decompress,
} from '../../../client/protocol/compression.ts'
import { MalformedError } from '../../../client/protocol/errors.ts'

t.test('codecs have the numbers of the record batch', async t => {
  t.same(Codec, { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 })
  for (const name of CODEC_NAMES) t.equal(CODEC_NAMES[Codec[name]], name)
})

t.test('every codec is there, and says by what', async t => {
  for (const name of CODEC_NAMES) t.match(CODEC_AVAILABILITY[name], { available: true, by: String })
})

for (const codec of CODEC_NAMES) {
  t.test(`${codec} gives back what it was given`, async t => {
    for (const length of [0, 1, 1000, 500_000]) {
      const bytes = Buffer.alloc(length, 'some text, ')
      t.ok(decompress(codec, compress(codec, bytes), length + 1).equals(bytes), `${length} bytes`)
    }
  })
  if (codec === 'none') continue

  t.test(`${codec} stops at the cap`, async t => {
    const bomb = compress(codec, Buffer.alloc(5_000_000))
    t.throws(() => decompress(codec, bomb, 100_000), { code: 'DECOMPRESSED_TOO_LARGE', maxBytes: 100_000 })
  })

  t.test(`${codec} refuses nothing and nonsense`, async t => {
    t.throws(() => decompress(codec, Buffer.alloc(0), 100), MalformedError)
    t.throws(
      () => decompress(codec, Buffer.from('\xff\xff\xff\xff\xffnonsense', 'latin1'), 100),
      MalformedError,
    )
  })
}

t.test('levels are passed on', async t => {
  const text = Buffer.from(
    Array.from({ length: 20_000 }, (_, i) => `${i % 977} and ${(i * 31) % 1013}\n`).join(''),
  )
  t.ok(compress('gzip', text, 9).length < compress('gzip', text, 1).length)
  t.ok(compress('zstd', text, 12).length < compress('zstd', text, 1).length)
})
