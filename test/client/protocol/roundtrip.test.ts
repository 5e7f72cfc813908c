/** What holds for every message in every version. */
import assert from 'node:assert'
import fc from 'fast-check'
import t from 'tap'
import { APIS } from '../../../client/protocol/apis.ts'
import { ProtocolError } from '../../../client/protocol/errors.ts'
import { Reader } from '../../../client/protocol/reader.ts'
import { layoutOf, type Message } from '../../../client/protocol/schema.ts'
import { Writer } from '../../../client/protocol/writer.ts'
import { arbitraryStruct } from './arbitrary.ts'

const messages: readonly Message[] = APIS.flatMap(({ request, response }) => [request, response])

function encode(message: Message, version: number, value: unknown): Buffer {
  const writer = new Writer()
  message.at(version).encode(writer, value)
  return writer.concat()
}

for (const message of messages) {
  t.test(`${message.name} comes back as it was, in every version`, async () => {
    for (let version = message.minVersion; version <= message.maxVersion; version++) {
      const codec = message.at(version)
      fc.assert(
        fc.property(arbitraryStruct(layoutOf(message, version)), value => {
          const bytes = encode(message, version, value)
          const decoded = codec.decode(new Reader(bytes))
          assert.deepStrictEqual(decoded, value)
          assert.ok(encode(message, version, decoded).equals(bytes), 'encoded again, the bytes are the same')
        }),
        { numRuns: 10 },
      )
    }
  })
}

t.test('the exact codec loses nothing of 64-bit numbers', async () => {
  for (const message of messages) {
    const codec = message.exactAt(message.maxVersion)
    fc.assert(
      fc.property(arbitraryStruct(layoutOf(message, message.maxVersion, true)), value => {
        const writer = new Writer()
        codec.encode(writer, value)
        assert.deepStrictEqual(codec.decode(new Reader(writer.concat())), value)
      }),
      { numRuns: 5 },
    )
  }
})

/** Where and how bytes are damaged. */
const damage = fc.array(
  fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
    kind: fc.constantFrom('flip', 'cut', 'insert', 'remove', 'huge', 'negative'),
    byte: fc.nat({ max: 255 }),
  }),
  { minLength: 1, maxLength: 4 },
)

type Damage = typeof damage extends fc.Arbitrary<infer T> ? T : never

function damaged(bytes: Buffer, blows: Damage): Buffer {
  let result = bytes
  for (const { at, kind, byte } of blows) {
    const index = Math.floor(at * (result.length + 1))
    const [head, tail] = [result.subarray(0, index), result.subarray(index)]
    switch (kind) {
      case 'flip':
        result = Buffer.concat([head, Buffer.from([byte]), tail.subarray(1)])
        break
      case 'cut':
        result = head
        break
      case 'insert':
        result = Buffer.concat([head, Buffer.from([byte]), tail])
        break
      case 'remove':
        result = Buffer.concat([head, tail.subarray(1)])
        break
      case 'huge':
        result = Buffer.concat([head, Buffer.from('7fffffff', 'hex'), tail.subarray(4)])
        break
      case 'negative':
        result = Buffer.concat([head, Buffer.from('ffffffff0f', 'hex'), tail.subarray(5)])
        break
      default:
        kind satisfies never
    }
  }
  return result
}

t.test('damaged bytes are either another message or malformed, nothing else', async () => {
  for (const message of messages) {
    for (let version = message.minVersion; version <= message.maxVersion; version++) {
      const codec = message.exactAt(version)
      fc.assert(
        fc.property(arbitraryStruct(layoutOf(message, version, true)), damage, (value, blows) => {
          const writer = new Writer()
          codec.encode(writer, value)
          let decoded: unknown
          try {
            decoded = codec.decode(new Reader(damaged(writer.concat(), blows)))
          } catch (error) {
            if (error instanceof ProtocolError) return
            throw error
          }
          codec.encode(new Writer(), decoded)
        }),
        { numRuns: 10 },
      )
    }
  }
})

t.test('noise is malformed or a message, and costs no more memory than its size explains', async t => {
  const noise = Buffer.alloc(4096)
  for (let index = 0; index < noise.length; index++) noise[index] = (index * 2654435761) >>> 13
  for (const message of messages) {
    for (let version = message.minVersion; version <= message.maxVersion; version++) {
      for (const fill of [noise, Buffer.alloc(4096, 0xff), Buffer.alloc(4096, 0x7f), Buffer.alloc(4096, 1)]) {
        try {
          message.at(version).decode(new Reader(fill))
        } catch (error) {
          if (!(error instanceof ProtocolError)) throw error
        }
      }
    }
  }
  t.pass('nothing else was thrown')
})
