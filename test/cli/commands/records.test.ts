import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { spawnBroker } from '../../helpers/broker-process.ts'
import { sluice as offline, sluiceAt } from '../../helpers/sluice.ts'

t.setTimeout(110_000)

t.test('against a broker', async t => {
  await using broker = await spawnBroker()
  const { sluice, text, json } = sluiceAt(broker.bootstrap)

  await t.test('what is produced is consumed, byte for byte', async t => {
    await text(['topic', 'create', 'bytes'])
    const every = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
    await text(['produce', 'bytes', '-d', '\\xff\\xff\\xff', '-H', 'a=1'], every)
    await text(['produce', 'bytes', '-k', ':'], 'key:value\nplain\n')
    const outcome = await sluice(['consume', 'bytes', '-n', '1', '-f', 'raw'])
    t.same(outcome.stdout, every)
    t.equal(await text(['consume', 'bytes', '-e', '-o', '1', '-f', '%o %k=%v\\n']), '1 key=value\n2 =plain\n')
    t.equal(await text(['consume', 'bytes', '-e', '-o', '-1']), 'plain\n')
    t.equal(await text(['consume', 'bytes', '-e', '--grep', '^val']), 'value\n')
    const lines = (await text(['consume', 'bytes', '-e', '-f', 'json'])).trim().split('\n')
    t.match(JSON.parse(lines[0]!), {
      valueEncoding: 'base64',
      value: every.toString('base64'),
      headers: [{ key: 'a' }],
    })
    await text(['topic', 'create', 'copy'])
    await text(['produce', 'copy', '-f', 'json', '-z', 'gzip'], `${lines.join('\n')}\n`)
    t.same((await sluice(['consume', 'copy', '-n', '1', '-f', 'raw'])).stdout, every)
  })

  await t.test('offsets are shown and old records trimmed', async t => {
    await text(['topic', 'trim', 'bytes', '--before', '2', '--yes'])
    t.match(await json(['topic', 'offsets', 'bytes']), [{ start: 2, end: 3, records: 1 }])
    t.match(await text(['topic', 'trim', 'bytes', '--before', 'end', '--dry-run']), /WOULD START AT/)
    t.match(await json(['topic', 'offsets', 'bytes']), [{ start: 2 }])
  })

  await t.test('the folder of the broker is dumped and found sound', async t => {
    const dump = await offline(['log', 'dump', join(broker.dataFolder, 'bytes-0'), '-o', 'json'])
    t.equal(dump.code, 0, dump.stderr)
    t.match(JSON.parse(dump.stdout.toString().split('\n')[0]!), { kind: 'batch', header: { baseOffset: 0 } })
  })

  await t.test('a workload is measured and reported', async t => {
    const report = join(t.testdir(), 'report.html')
    await text([
      'bench',
      'e2e',
      '--rate',
      '200',
      '--duration',
      '500ms',
      '--warmup',
      '100ms',
      '--report',
      report,
    ])
    t.match(readFileSync(report, 'utf8'), 'uPlot')
    const { topic } = (await json<{ topic: string }[]>(['topic', 'list'])).find(each =>
      /^sluice-bench/.test(each.topic),
    ) ?? {
      topic: 'none',
    }
    t.equal(topic, 'none', 'its topic is gone')
  })
})
