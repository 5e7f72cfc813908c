import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const TOOL = fileURLToPath(new URL('../../broker/protocol.ts', import.meta.url))

/** Runs the tool as others do: as a process, by its input and output. */
async function run(
  command: string,
  input: string | Buffer,
): Promise<{ lines: string[]; status: number | null }> {
  const child = spawn(process.execPath, ['--import=tsx', TOOL, command], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', piece => (output += piece))
  child.stdin.end(input)
  const status = await new Promise<number | null>(resolve => child.on('close', resolve))
  return { lines: output.split('\n').slice(0, -1), status }
}

function line(apiKey: number, type: string, version: number, hex: string): string {
  return JSON.stringify({ apiKey, type, version, hex })
}

t.test('list names what the broker serves, in the order of the keys', async t => {
  const { lines, status } = await run('list', '')
  t.equal(status, 0)
  t.equal(lines[0], '{"apiKey":0,"name":"Produce","min":0,"max":13}')
  const keys = lines.map(each => JSON.parse(each).apiKey)
  t.same(
    keys,
    keys.toSorted((a, b) => a - b),
  )
  t.ok(keys.includes(18))
})

t.test('every line is answered, in order, whatever is in it', async t => {
  const lines: [string, RegExp][] = [
    [line(18, 'request', 0, ''), /^\{"hex":""\}$/],
    ['', /error/],
    ['not json', /error/],
    ['null', /JSON object/],
    ['[1]', /apiKey/],
    ['[[[['.repeat(50_000), /error/],
    [line(999, 'request', 0, ''), /no API with the key 999/],
    [line(0.5, 'request', 0, ''), /no API/],
    [line(0, 'neither', 0, ''), /type/],
    [line(18, 'request', 99, ''), /versions 0 to 5, not 99/],
    [line(18, 'request', -1, ''), /not -1/],
    ['{"apiKey":18,"type":"request","version":"0","hex":""}', /version/],
    ['{"__proto__":{"apiKey":18},"type":"request","version":0,"hex":""}', /apiKey/],
    [line(18, 'request', 0, '0'), /even number/],
    [line(18, 'request', 0, 'zz'), /hexadecimal/],
    [line(18, 'request', 0, '00'), /1 bytes are left/],
    [line(3, 'request', 1, '7fffffff'), /elements/],
    [line(3, 'request', 1, 'FFFFFFFF'), /^\{"hex":"ffffffff"\}$/],
    [line(12, 'response', 0, '0000'), /^\{"hex":"0000"\}$/],
  ]
  const { lines: answers, status } = await run('roundtrip', lines.map(([input]) => input).join('\n'))
  t.equal(status, 0)
  t.equal(answers.length, lines.length)
  lines.forEach(([input, expected], index) => {
    t.match(answers[index], expected, input.slice(0, 100))
  })
})

t.test('64-bit numbers and floats come back bit for bit', async t => {
  const offsets = line(
    2,
    'request',
    1,
    'ffffffff'.concat('00000001', '0001', '74', '00000001', '00000000', '7fffffffffffffff'),
  )
  const quota = '00000000'.concat(
    '0000',
    '00',
    '02',
    '02',
    '0275',
    '00',
    '00',
    '02',
    '0276',
    '7ff8dead0000beef',
    '00',
    '00',
    '00',
  )
  const { lines } = await run('roundtrip', `${offsets}\n${line(48, 'response', 1, quota)}\n`)
  t.equal(JSON.parse(lines[0] ?? '').hex, JSON.parse(offsets).hex)
  t.equal(JSON.parse(lines[1] ?? '').hex, quota)
})

t.test('lines of megabytes, and bytes that are no text, are answered too', async t => {
  const records = 'ab'.repeat(4 * 1024 * 1024)
  const topic = '00000001'.concat('0001', '74', '00000001', '00000000', '00400000', records)
  const input = Buffer.concat([
    Buffer.from(`${line(0, 'request', 0, `ffff0000001e${topic}`)}\n`),
    Buffer.from([0xff, 0xfe, 0x00, 0x0a]),
    Buffer.from(line(18, 'request', 0, '')),
  ])
  const { lines } = await run('roundtrip', input)
  t.equal(lines.length, 3)
  t.equal(lines[0]?.length, `{"hex":"ffff0000001e${topic}"}`.length)
  t.match(lines[1], /error/)
  t.equal(lines[2], '{"hex":""}')
})

t.test('another word is a mistake of the caller', async t => {
  const child = spawn(process.execPath, ['--import=tsx', TOOL, 'dance'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', piece => (complaint += piece))
  t.equal(await new Promise(resolve => child.on('close', resolve)), 2)
  t.match(complaint, /list \| roundtrip/)
})
