import t from 'tap'
import { OFFSET_MAP_SLOT_BYTES, OffsetMap } from '../../../../broker/log/compaction/offset-map.ts'
import { siphash, sipKey } from '../../../../broker/log/compaction/siphash.ts'
import { type Offset } from '../../../../client/protocol/types.ts'

const HASH_KEY = Uint8Array.from({ length: 16 }, (_, i) => i)

function map(options: { slots?: number; maxKeys?: number; loadFactor?: number } = {}): OffsetMap {
  const { slots = 1000, maxKeys = Infinity, loadFactor = 0.9 } = options
  return new OffsetMap({ maxBytes: slots * OFFSET_MAP_SLOT_BYTES, maxKeys, loadFactor, hashKey: HASH_KEY })
}

function put(into: OffsetMap, key: string, offset: number): boolean {
  const bytes = Buffer.from(`<${key}>`)
  return into.put(bytes, 1, bytes.length - 1, offset as Offset)
}

function get(from: OffsetMap, key: string): number {
  const bytes = Buffer.from(`--${key}`)
  return from.get(bytes, 2, bytes.length)
}

t.test('the hash is SipHash-2-4 with 128 bits, by the vectors of its authors', t => {
  const input = Uint8Array.from({ length: 64 }, (_, i) => i)
  const hashOf = (length: number): string => {
    const words = new Int32Array(4)
    siphash(sipKey(HASH_KEY), input, 0, length, words)
    const bytes = Buffer.alloc(16)
    for (const [i, word] of words.entries()) bytes.writeInt32LE(word, 4 * i)
    return bytes.toString('hex')
  }
  t.equal(hashOf(0), 'a3817f04ba25a8e66df67214c7550293')
  t.equal(hashOf(1), 'da87c1d86b99af44347659119b22fc45')
  t.equal(hashOf(2), '8177228da4a45dc7fca38bdef60affe4')
  t.equal(hashOf(15), '5493e99933b0a8117e08ec0f97cfc3d9')
  t.end()
})

t.test('a key has the offset that it was last written at', t => {
  const offsets = map()
  t.equal(offsets.latestOffset, -1)
  t.equal(get(offsets, 'a'), -1)
  put(offsets, 'a', 0)
  put(offsets, 'b', 1)
  put(offsets, '', 2)
  put(offsets, 'a', 7)
  t.same([get(offsets, 'a'), get(offsets, 'b'), get(offsets, ''), get(offsets, 'c')], [7, 1, 2, -1])
  t.equal(offsets.size, 3)
  t.equal(offsets.latestOffset, 7)
  offsets.seen(20)
  t.equal(offsets.latestOffset, 20)
  t.throws(() => put(offsets, 'a', 20), /in its order/)
  t.end()
})

t.test('a full map takes known keys and no others, and still answers', t => {
  const offsets = map({ slots: 10, loadFactor: 0.5 })
  t.equal(offsets.maxSize, 5)
  for (let i = 0; i < 5; i++) t.ok(put(offsets, `k${i}`, i))
  t.notOk(put(offsets, 'k5', 5))
  t.equal(offsets.latestOffset, 4, 'what was not taken was not seen')
  t.ok(put(offsets, 'k0', 6))
  t.equal(get(offsets, 'k0'), 6)
  t.equal(get(offsets, 'k5'), -1)
  t.end()
})

t.test('with a load factor of 1 one slot stays free, so that every search ends', t => {
  const offsets = map({ slots: 8, loadFactor: 1 })
  let taken = 0
  for (let i = 0; i < 20; i++) if (put(offsets, `k${i}`, i)) taken++
  t.equal(taken, 7)
  t.equal(get(offsets, 'nobody'), -1)
  t.end()
})

t.test('no more memory is taken than the keys that can come need', t => {
  const offsets = map({ slots: 1_000_000, maxKeys: 3 })
  t.ok(offsets.maxSize >= 3 && offsets.maxSize < 6, String(offsets.maxSize))
  for (let i = 0; i < 3; i++) t.ok(put(offsets, `k${i}`, i))
  t.end()
})

t.test('many keys are told apart', t => {
  const offsets = map({ slots: 60_000 })
  for (let i = 0; i < 50_000; i++) put(offsets, `key-${i}`, i)
  for (let i = 0; i < 50_000; i++) {
    if (get(offsets, `key-${i}`) !== i) t.fail(`key-${i}`)
  }
  t.equal(offsets.size, 50_000)
  t.end()
})
