import t from 'tap'
import { spawnBroker } from '../../../helpers/broker-process.ts'
import { sluiceAt } from '../../../helpers/sluice.ts'

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

  await t.test('groups are deleted', async t => {
    await text(['group', 'delete', 'billing', '--yes'])
    t.same(await json(['group', 'list']), [])
  })
})
