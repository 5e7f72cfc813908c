import t from 'tap'
import { createNodeLog, type NodeLogOptions } from '../../../broker/env-node/log.ts'

function logOf(options: NodeLogOptions = {}) {
  const lines: string[] = []
  return { lines, log: createNodeLog({ ...options, write: line => void lines.push(line) }) }
}

t.test('text is one line with time, level, message and fields', t => {
  const { lines, log } = logOf()
  log
    .child({ broker: 1 })
    .info('Started', { address: '127.0.0.1:9092', topics: 3, note: 'two words', gone: undefined })
  t.match(lines, [
    /^\d{4}-\d\d-\d\dT[\d:.]+Z INFO {2}Started broker=1 address=127\.0\.0\.1:9092 topics=3 note="two words"\n$/,
  ])
  t.end()
})

t.test('json is one object a line', t => {
  const { lines, log } = logOf({ format: 'json' })
  log.warn('Slow', {
    offset: 5n,
    peer: { host: 'a' },
    bytes: new Uint8Array(3),
    error: new Error('no', { cause: new Error('why') }),
  })
  t.equal(lines.length, 1)
  t.match(JSON.parse(lines[0]!), {
    level: 40,
    msg: 'Slow',
    offset: '5',
    peer: { host: 'a' },
    bytes: '3 bytes',
    error: { type: 'Error', message: 'no', cause: { message: 'why' } },
  })
  t.end()
})

t.test('what is less important than the level is dropped', t => {
  const { lines, log } = logOf({ level: 'warn' })
  log.debug('a')
  log.info('b')
  log.warn('c')
  log.error('d')
  t.equal(lines.length, 2)
  const silent = logOf({ level: 'silent' })
  silent.log.error('e')
  t.equal(silent.lines.length, 0)
  t.end()
})

t.test('nothing from outside starts a line, reaches the terminal, or fills the disk', t => {
  for (const format of ['text', 'json'] as const) {
    const { lines, log } = logOf({ format })
    const hostile = 'a\nb\r\u001b[31mc\u0000\u202ed\u2028'
    log.info(`Message ${hostile}`, {
      [hostile]: hostile,
      nested: { [hostile]: [hostile] },
      long: 'x'.repeat(100_000),
    })
    t.equal(lines.length, 1)
    const line = lines[0]!.slice(0, -1)
    t.ok(
      [...line].every(character => character >= ' ' && !'\u202e\u2028'.includes(character)),
      format,
    )
    t.ok(line.length < 3000)
  }
  t.end()
})

t.test('an error shows its causes and, indented, its stack', t => {
  const { lines, log } = logOf()
  log.error('Failed', { error: new Error('write failed', { cause: new Error('no space left') }) })
  t.match(lines[0], /error="write failed: no space left"\n( {4}at .+\n)+$/)
  t.end()
})
