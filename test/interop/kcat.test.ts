/**
 * kcat (librdkafka) against a broker in a process of its own: what goes in comes out, byte for byte, over a
 * kill -9.
 */
import t from 'tap'
import { spawnBroker } from '../helpers/broker-process.ts'
import { run, withoutKcat } from '../helpers/foreign.ts'

const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const

t.test('kcat with every codec, over a kill -9 and a restart', { skip: withoutKcat }, async t => {
  await using broker = await spawnBroker()
  const lines = Array.from(
    { length: 500 },
    (_, index) => `key-${index}\tvalue ${index} äöü ${'x'.repeat(index)}`,
  )
  const input = `${lines.join('\n')}\n`

  const list = await run('kcat', ['-b', broker.bootstrap, '-L'])
  t.equal(list.code, 0, list.stderr)
  t.match(list.stdout.toString(), /1 brokers/)

  for (const codec of codecs) {
    const produced = await run(
      'kcat',
      ['-b', broker.bootstrap, '-P', '-t', `kcat-${codec}`, '-K', '\t', '-z', codec],
      input,
    )
    t.equal(produced.code, 0, `${codec}: ${produced.stderr}`)
  }
  await broker.restart()
  for (const codec of codecs) {
    const consumed = await run('kcat', [
      '-b',
      broker.bootstrap,
      '-C',
      '-t',
      `kcat-${codec}`,
      '-K',
      '\t',
      '-e',
      '-q',
      '-o',
      'beginning',
    ])
    t.equal(consumed.code, 0, `${codec}: ${consumed.stderr}`)
    t.equal(consumed.stdout.toString(), input, `${codec}: byte for byte`)
  }
})

t.test('an idempotent kcat, headers and null values', { skip: withoutKcat }, async t => {
  await using broker = await spawnBroker()
  const produced = await run(
    'kcat',
    [
      '-b',
      broker.bootstrap,
      '-P',
      '-t',
      'events',
      '-K',
      ':',
      '-Z',
      '-H',
      'trace=abc',
      '-X',
      'enable.idempotence=true',
    ],
    'a:1\nb:\nc:3\n',
  )
  t.equal(produced.code, 0, produced.stderr)
  const consumed = await run('kcat', [
    ...['-b', broker.bootstrap, '-C', '-t', 'events', '-e', '-q', '-o', 'beginning'],
    ...['-f', '%o %k %S %h\n'],
  ])
  t.equal(consumed.stdout.toString(), '0 a 1 trace=abc\n1 b -1 trace=abc\n2 c 1 trace=abc\n')
})

t.test('kcat asks for offsets by time', { skip: withoutKcat }, async t => {
  await using broker = await spawnBroker()
  await run('kcat', ['-b', broker.bootstrap, '-P', '-t', 'times'], 'one\ntwo\n')
  const first = await run('kcat', ['-b', broker.bootstrap, '-Q', '-t', 'times:0:1'])
  t.match(first.stdout.toString(), /times \[0\] offset 0/)
  const consumed = await run('kcat', [
    '-b',
    broker.bootstrap,
    '-C',
    '-t',
    'times',
    '-e',
    '-q',
    '-o',
    's@1',
    '-c',
    '1',
  ])
  t.equal(consumed.stdout.toString(), 'one\n')
})
