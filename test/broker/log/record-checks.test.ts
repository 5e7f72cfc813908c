import t from 'tap'
import { checkKeys } from '../../../broker/log/record-checks.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'

const record = (key: string | null) => ({ key, value: 'v', timestamp: 1 })

t.test('a batch whose records all have keys passes, compressed or not', t => {
  for (const codec of ['none', 'gzip', 'snappy', 'lz4'] as const) {
    t.equal(checkKeys(encodeBatch([record('a'), record(''), record('b')], { codec })), null)
  }
  t.end()
})

t.test('records without a key are named by their place', t => {
  for (const codec of ['none', 'gzip'] as const) {
    const refusal = checkKeys(encodeBatch([record('a'), record(null), record('b'), record(null)], { codec }))
    t.equal(refusal?.error, ErrorCode.INVALID_RECORD)
    t.match(refusal?.message, /^2 of 4 records have no key.*compacted/)
    t.same(
      refusal?.recordErrors.map(error => error.batchIndex),
      [1, 3],
    )
  }
  t.end()
})

t.test('not more records are named than a client can use', t => {
  const refusal = checkKeys(encodeBatch(Array.from({ length: 3000 }, () => record(null))))
  t.match(refusal?.message, /^3000 of 3000/)
  t.equal(refusal?.recordErrors.length, 1000)
  t.end()
})

t.test('records that cannot be read are refused', t => {
  const batch = encodeBatch([record('a'), record('b')], { codec: 'gzip' })
  batch[batch.length - 12]! ^= 0xff
  t.equal(checkKeys(batch)?.error, ErrorCode.INVALID_RECORD)
  const plain = encodeBatch([record('a')])
  plain[61] = 0x7f
  t.match(checkKeys(plain), { error: ErrorCode.INVALID_RECORD, message: /cannot be read/ })
  t.end()
})
