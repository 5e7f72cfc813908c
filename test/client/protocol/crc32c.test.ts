import fc from 'fast-check'
import t from 'tap'
import { crc32c, crc32cNative, crc32cPortable } from '../../../client/protocol/crc32c.ts'

// RFC 3720, appendix B.4.
const KNOWN: readonly (readonly [string, Uint8Array, number])[] = [
  ['32 bytes of zeros', new Uint8Array(32), 0x8a9136aa],
  ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
  ['32 bytes rising', Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
  ['32 bytes falling', Uint8Array.from({ length: 32 }, (_, i) => 31 - i), 0x113fdb5c],
  ['the digits 1 to 9', Buffer.from('123456789'), 0xe3069283],
  ['nothing', new Uint8Array(0), 0],
]

t.test('the portable checksum gives the known answers', async t => {
  for (const [name, bytes, expected] of KNOWN) t.equal(crc32cPortable(bytes), expected, name)
})

t.test('the checksum in use gives the known answers', async t => {
  for (const [name, bytes, expected] of KNOWN) t.equal(crc32c(bytes), expected, name)
})

t.test('a checksum can be carried on from slice to slice', async t => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), fc.nat(600), (bytes, cut) => {
      const head = bytes.subarray(0, cut)
      const tail = bytes.subarray(cut)
      const whole = crc32cPortable(bytes)
      return crc32cPortable(tail, crc32cPortable(head)) === whole && crc32c(tail, crc32c(head)) === whole
    }),
  )
  t.pass('for all cuts')
})

t.test(
  'native and portable agree',
  { skip: crc32cNative === null ? 'no native CRC here' : false },
  async t => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 2000 }),
        fc.nat(20),
        fc.nat(0xffffffff),
        (bytes, skip, previous) => {
          // Slices that start anywhere, as in a receive slab.
          const slice = bytes.subarray(skip)
          return crc32cNative!(slice, previous) === crc32cPortable(slice, previous)
        },
      ),
    )
    t.pass('for all slices')
  },
)
