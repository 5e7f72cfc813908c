import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { spawnBroker } from '../../helpers/broker-process.ts'
import { sluiceAt } from '../../helpers/sluice.ts'

t.setTimeout(110_000)

t.test('against a broker', async t => {
  await using broker = await spawnBroker()
  const { sluice, text, json } = sluiceAt(broker.bootstrap)
  await text(['topic', 'create', 'orders'])
  await text(['produce', 'orders'], 'a\nb\nc\nd\n')

  await t.test('a group goes on where it has stopped', async t => {
    t.equal(await text(['consume', 'orders', '--group', 'billing', '-n', '1']), 'a\n')
    t.equal(await text(['consume', 'orders', '--group', 'billing', '-e']), 'b\nc\nd\n')
    t.equal(await text(['consume', 'orders', '--group', 'billing', '-e']), '')
    t.match(await sluice(['consume', 'orders', '--group', 'billing', '-o', '2']), { code: 2 })
  })

  await t.test('groups are listed and described, with their lag', async t => {
    t.match(await json(['group', 'list']), [{ groupId: 'billing', state: 'Empty' }])
    t.match(await text(['group', 'describe', 'billing']), /^billing {2}Empty, .*0 members\n$/)
    t.match(await json(['group', 'lag', 'billing']), [{ topic: 'orders', committed: 4, end: 4, lag: 0 }])
    t.match(await sluice(['group', 'lag', 'nobody']), { code: 1, stderr: /sluice group list/ })
  })

  await t.test('groups are watched, one look after another', async t => {
    t.match(
      await text(['group', 'watch', '-n', '2', '--interval', '10ms']),
      /billing +Empty +0 +1 +0 +- +-\n\n[\s\S]*billing +Empty +0 +1 +0 +0 +-\n$/,
    )
    t.match(await text(['group', 'watch', 'billing', '-n', '1']), /orders +0 +4 +4 +0/)
    const lines = (await text(['group', 'watch', 'billing', '-n', '2', '-i', '10ms', '-o', 'json'])).trim()
    t.match(
      lines.split('\n').map(line => JSON.parse(line) as object),
      [{ groups: [{ rate: null }] }, { groups: [{ group: 'billing', lag: 0, rate: 0 }] }],
    )
    t.match(await text(['group', 'watch', 'nobody', '-n', '1']), /no group nobody yet/)
  })

  await t.test('offsets of a topic go with it, and what is said of it helps', async t => {
    await text(['topic', 'create', 'gone'])
    await text(['produce', 'gone'], 'x\n')
    await text(['consume', 'gone', '--group', 'leftover', '-n', '1'])
    await text(['topic', 'delete', 'gone', '--yes'])
    t.match(await sluice(['group', 'lag', 'leftover']), { code: 0, stderr: /Nothing is committed/ })
    t.match(await sluice(['group', 'lag', 'leftover', '--topic', 'gone']), {
      code: 1,
      stderr: /There is no topic gone/,
    })
    t.match(await sluice(['group', 'seek', 'leftover', '--to', 'start', '--yes']), {
      code: 2,
      stderr: /deleted[\s\S]*--topic/,
    })
    await text(['group', 'delete', 'leftover', '--yes'])
  })

  await t.test('a group is moved, after a question', async t => {
    const after = async (...args: string[]) =>
      (await json<{ partitions: { after: number }[] }>(['group', 'seek', 'billing', ...args])).partitions[0]
        ?.after
    t.equal(await after('--by', '-3', '--dry-run'), 1)
    t.match(await json(['group', 'lag', 'billing']), [{ committed: 4 }], 'nothing was changed')
    t.match(await sluice(['group', 'seek', 'billing', '--to', 'start']), { code: 2, stderr: /--yes/ })
    t.equal(await after('--by', '-1h', '--yes'), 0)
    t.equal(await after('--to', '3', '--yes'), 3)
    t.equal(await text(['consume', 'orders', '--group', 'billing', '-e']), 'd\n')
    t.match(await json(['group', 'seek', 'fresh', '--to', 'end', '--topic', 'orders', '--yes']), {
      partitions: [{ before: null, after: 4 }],
    })
  })

  await t.test('a group is measured and reported, and nothing is left of it', async t => {
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

  await t.test('groups are deleted', async t => {
    await text(['group', 'delete', 'billing', 'fresh', '--yes'])
    t.same(await json(['group', 'list']), [])
  })
})
