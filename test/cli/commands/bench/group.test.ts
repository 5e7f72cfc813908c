import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { spawnBroker } from '../../../helpers/broker-process.ts'
import { sluiceAt } from '../../../helpers/sluice.ts'

t.setTimeout(110_000)

t.test('a group is measured and reported, and nothing is left of it', async t => {
  await using broker = await spawnBroker()
  const { sluice, text, json } = sluiceAt(broker.bootstrap)
  await text(['topic', 'create', 'orders'])
  const report = join(t.testdir(), 'group.md')
  const bench = ['bench', 'group', '--protocol', 'consumer', '--members', '3', '-p', '6']
  const flags = ['--duration', '500ms', '--warmup', '10ms', '--rate', '100']
  t.match(await json([...bench, ...flags, '--churn', '4', '--report', report]), {
    kind: 'group',
    records: Number,
    group: { changes: 2, reread: 0, skipped: 0 },
  })
  t.match(readFileSync(report, 'utf8'), /## Pauses, ms/)
  t.match(await text([...bench, '--light']), /^stable in [\d.]+ s\n/)
  t.match(await text([...bench, '--commits', '-n', '60']), /^[\d,]+ partition offsets\/s\n/)
  t.match(await sluice([...bench, '--churn', 'x']), { code: 2, stderr: /--churn/ })
  t.match(await sluice([...bench, '--protocol', 'classic', '--assignor', 'x']), { code: 2 })
  t.match(await sluice([...bench, '-t', 'orders']), { code: 1, stderr: /^error: .*partitions/ })
  t.notMatch(await json(['group', 'list']), [{ groupId: /bench/ }])
  t.notMatch(await text(['topic', 'list']), /bench/)
})
