import fc from 'fast-check'
import t from 'tap'
import { readTxn, readWatchResponse } from '../../../../broker/metastore/etcd/messages.ts'
import { ProtobufError, ProtobufReader, ProtobufWriter } from '../../../../broker/metastore/etcd/protobuf.ts'

t.test('the examples of the encoding guide', async t => {
  t.equal(new ProtobufWriter().integer(1, 150).finish().toString('hex'), '089601')
  t.equal(new ProtobufWriter().text(2, 'testing').finish().toString('hex'), '120774657374696e67')
  const inner = new ProtobufWriter().integer(1, 150)
  t.equal(new ProtobufWriter().message(3, inner).finish().toString('hex'), '1a03089601')
  t.equal(new ProtobufWriter().integer(1, -1).finish().toString('hex'), '08ffffffffffffffffff01')
  t.equal(new ProtobufWriter().integer(1, 0).bytes(2, Buffer.alloc(0)).flag(3, false).finish().length, 0)
  t.equal(new ProtobufWriter().integer(1, 0, true).finish().toString('hex'), '0800')
})

t.test('what is written is read', async t => {
  const number = fc.integer({ min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER })
  const id = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  fc.assert(
    fc.property(number, id, fc.uint8Array({ maxLength: 600 }), fc.string(), (value, lease, bytes, text) => {
      const message = new ProtobufWriter()
        .integer(1, value, true)
        .integer(2, lease, true)
        .bytes(300, bytes, true)
        .text(4, text, true)
        .flag(5, true)
        .finish()
      const reader = new ProtobufReader(message)
      t.equal(reader.next(), 1)
      t.equal(reader.integer(), value)
      t.equal(reader.next(), 2)
      t.equal(reader.integer64(), lease)
      t.equal(reader.next(), 300)
      t.same(reader.bytes(), Buffer.from(bytes))
      t.equal(reader.next(), 4)
      t.equal(reader.text(), Buffer.from(text).toString())
      t.equal(reader.next(), 5)
      t.equal(reader.flag(), true)
      t.equal(reader.next(), 0)
      const skipping = new ProtobufReader(message)
      const fields = []
      for (let field = skipping.next(); field !== 0; field = skipping.next()) fields.push(field)
      t.same(fields, [1, 2, 300, 4, 5], 'what nobody reads is passed over')
    }),
    { numRuns: 200 },
  )
})

t.test('a number beyond what is counted here is refused', async t => {
  const reader = new ProtobufReader(new ProtobufWriter().integer(1, 2n ** 53n).finish())
  reader.next()
  t.throws(() => reader.integer(), ProtobufError)
})

t.test('bytes that are not a message end in an error of ours', async t => {
  const hex = [
    '08',
    '0880',
    `08${'ff'.repeat(10)}`,
    '12ff',
    '0a05aa',
    '07',
    '00',
    '0a8080808010',
    '09ff',
    '0dff',
  ]
  for (const bytes of hex) {
    const reader = new ProtobufReader(Buffer.from(bytes, 'hex'))
    t.throws(() => {
      while (reader.next() !== 0) {
        // Passed over.
      }
    }, ProtobufError)
  }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), bytes => {
      for (const read of [readTxn, readWatchResponse]) {
        try {
          read(bytes)
        } catch (error) {
          if (!(error instanceof ProtobufError)) throw error
        }
      }
    }),
    { numRuns: 2000 },
  )
})
