import fc from 'fast-check'
import t from 'tap'
import { compileFormat } from '../../../cli/records/format.ts'
import {
  type InputRecord,
  parseDelimiter,
  readJson,
  readLines,
  splitBytes,
} from '../../../cli/records/read.ts'

async function* chunks(...pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces
}

async function all<T>(source: AsyncIterable<readonly T[]>): Promise<T[]> {
  const found: T[] = []
  for await (const each of source) found.push(...each)
  return found
}

const lines = { delimiter: Buffer.from('\n'), keyDelimiter: null, emptyIsNull: false }

t.test('every line is a record, and a last line needs no end', async t => {
  const records = await all(readLines(chunks(Buffer.from('a\n\nb')), lines))
  t.same(
    records.map(record => record.value?.toString()),
    ['a', '', 'b'],
  )
  t.same(await all(readLines(chunks(Buffer.from('a\n')), lines)), [{ key: null, value: Buffer.from('a') }])
})

t.test('however the bytes are cut into chunks, the pieces are those of the whole', async t => {
  const byte = fc.integer({ min: 0, max: 3 })
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ max: 12 }).map(bytes => bytes.map(each => each % 4))),
      fc.array(byte, { minLength: 1, maxLength: 3 }),
      async (pieces, delimiterBytes) => {
        const delimiter = Buffer.from(delimiterBytes)
        const whole = Buffer.concat(pieces)
        const expected = [...split(whole, delimiter)].map(piece => piece.toString('hex'))
        const found = await all(splitBytes(chunks(...pieces), delimiter))
        t.same(
          found.map(piece => piece.toString('hex')),
          expected,
        )
      },
    ),
  )
})

/** The plain way. */
function* split(whole: Buffer, delimiter: Buffer): Generator<Buffer> {
  let rest = whole
  for (let at = rest.indexOf(delimiter); at >= 0; at = rest.indexOf(delimiter)) {
    yield rest.subarray(0, at)
    rest = rest.subarray(at + delimiter.length)
  }
  if (rest.length > 0) yield rest
}

t.test('the first key delimiter of a line ends its key; a line without one has no key', async t => {
  const records = await all(
    readLines(chunks(Buffer.from('k:v:w\nplain\n:empty key\n')), {
      ...lines,
      keyDelimiter: Buffer.from(':'),
    }),
  )
  t.same(records.map(text), [
    ['k', 'v:w'],
    [null, 'plain'],
    ['', 'empty key'],
  ])
})

t.test('an empty value can be sent as null', async t => {
  const options = { ...lines, keyDelimiter: Buffer.from(':'), emptyIsNull: true }
  t.same((await all(readLines(chunks(Buffer.from('k:\n')), options))).map(text), [['k', null]])
})

function text(record: InputRecord): [string | null, string | null] {
  const decode = (bytes: Uint8Array | null): string | null =>
    bytes === null ? null : Buffer.from(bytes).toString()
  return [decode(record.key), decode(record.value)]
}

t.test('what consume prints as JSON is read back byte for byte', async t => {
  const printable = {
    topic: 't',
    partition: 1,
    offset: 5,
    timestamp: 1234,
    keyBytes: Buffer.from([0xff]),
    valueBytes: Buffer.from('text'),
    headers: [
      { key: 'h', value: Buffer.from([0x80]) },
      { key: 'h', value: null },
    ],
  }
  const printed = Buffer.concat(compileFormat('json', { nullText: '' })(printable))
  t.same(await all(readJson(chunks(printed))), [
    {
      key: printable.keyBytes,
      value: printable.valueBytes,
      headers: { h: [Buffer.from([0x80]), null] },
      partition: 1,
      timestamp: 1234,
    },
  ])
})

t.test('a line that is no JSON is named by its number', async t => {
  await t.rejects(all(readJson(chunks(Buffer.from('{"value":"a"}\nnope\n')))), {
    message: /Line 2/,
    exitCode: 2,
  })
})

t.test('a delimiter may be written with escapes', t => {
  t.same(parseDelimiter('\\n\\x00\\\\'), Buffer.from([10, 0, 92]))
  t.throws(() => parseDelimiter(''), /at least one byte/)
  t.end()
})
