import t from 'tap'
import { spawnBroker } from '../../../helpers/broker-process.ts'
import { sluiceAt } from '../../../helpers/sluice.ts'

t.setTimeout(110_000)

t.test('against a broker', async t => {
  await using broker = await spawnBroker()
  const { sluice, text, json } = sluiceAt(broker.bootstrap)
  await text(['topic', 'create', 'orders'])
  await text(['produce', 'orders'], 'a\nb\nc\nd\n')

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
    await text(['consume', 'orders', '--group', 'billing', '-n', '4'])
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
})
