import t from 'tap'
import { compileFormat, type PrintableRecord } from '../../../cli/records/format.ts'

const record: PrintableRecord = {
  topic: 'orders',
  partition: 2,
  offset: 41,
  timestamp: 1_700_000_000_000,
  keyBytes: Buffer.from('k'),
  valueBytes: Buffer.from('value'),
  headers: [
    { key: 'a', value: Buffer.from('1') },
    { key: 'a', value: null },
  ],
}

function print(format: string, over: Partial<PrintableRecord> = {}, nullText = ''): Buffer {
  return Buffer.concat(compileFormat(format, { nullText })({ ...record, ...over }))
}

function thrown(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  return null
}

t.test('a format puts the parts of a record where its letters stand', t => {
  t.equal(print('%t %p %o %T %k=%v %s%%\\n').toString(), 'orders 2 41 1700000000000 k=value value%\n')
  t.equal(print('%K %V %S').toString(), '1 5 5')
  t.equal(print('%D').toString(), '2023-11-14T22:13:20.000Z')
  t.equal(print('%h').toString(), 'a=1,a=')
  t.end()
})

t.test('escapes stand for the characters and bytes that cannot be typed', t => {
  t.same(print('\\t\\n\\r\\0\\\\\\xff'), Buffer.from([9, 10, 13, 0, 92, 0xff]))
  t.end()
})

t.test('bytes that are not UTF-8 pass through text formats as they are', t => {
  const valueBytes = Buffer.from([0xff, 0xfe, 0x00])
  t.same(print('%v', { valueBytes }), valueBytes)
  t.same(print('raw', { valueBytes }), valueBytes)
  t.end()
})

t.test('null is shown as what was asked for, and has length -1', t => {
  t.equal(print('%k|%v|%K|%V', { keyBytes: null, valueBytes: null }, 'NULL').toString(), 'NULL|NULL|-1|-1')
  t.equal(print('raw', { valueBytes: null }).length, 0)
  t.end()
})

t.test('JSON is one line, and marks what is base64', t => {
  const line = print('json', { valueBytes: Buffer.from([0xff]) }).toString()
  t.ok(line.endsWith('}\n'))
  t.same(JSON.parse(line), {
    topic: 'orders',
    partition: 2,
    offset: 41,
    timestamp: 1_700_000_000_000,
    key: 'k',
    value: '/w==',
    valueEncoding: 'base64',
    headers: [
      { key: 'a', value: '1' },
      { key: 'a', value: null },
    ],
  })
  t.end()
})

t.test('a letter that is not known is a usage error that lists those that are', t => {
  for (const format of ['%x', '%', '\\q']) {
    const error = thrown(() => print(format))
    t.match(error, { exitCode: 2, advice: [/%t topic/] }, format)
  }
  t.end()
})
