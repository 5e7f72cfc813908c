import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { spawnBroker } from '../../helpers/broker-process.ts'
import { sluiceAt } from '../../helpers/sluice.ts'

t.setTimeout(110_000)

t.test('against a broker', async t => {
  await using broker = await spawnBroker()
  const { sluice, text, json } = sluiceAt(broker.bootstrap)

  await t.test('topics are made, listed, described, changed and deleted', async t => {
    await text(['topic', 'create', 'orders', '-p', '2', '-c', 'retention.ms=3600000'])
    t.match(await json(['topic', 'list']), [{ topic: 'orders', partitions: 2 }])
    t.match(await text(['topic', 'list']), /^TOPIC\s+PARTITIONS\s+REPLICAS\norders\s+2\s+1\n$/)
    t.match(await json(['topic', 'describe', 'orders']), [{ configs: { 'retention.ms': '3600000' } }])
    await text(['topic', 'alter', 'orders', '--unset', 'retention.ms', '-c', 'segment.bytes=2097152'])
    t.match(await json(['topic', 'describe', 'orders']), [{ configs: { 'segment.bytes': '2097152' } }])
    await text(['config', 'set', 'topic', 'orders', 'retention.ms=1000000'])
    t.match(await json(['config', 'get', 'topic', 'orders', 'retention.ms']), [
      { value: '1000000', source: 'topic' },
    ])
    await text(['topic', 'add-partitions', 'orders', '--to', '3'])
    t.match(await json(['topic', 'list']), [{ partitions: 3 }])
    const refused = await sluice(['topic', 'delete', 'orders'])
    t.match(refused, { code: 2, stderr: /--yes/ }, 'without a terminal nobody can be asked')
    await text(['topic', 'delete', 'orders', '--yes'])
    t.same(await json(['topic', 'list']), [])
    t.match(await sluice(['topic', 'describe', 'orders']), { code: 1, stderr: /There is no topic orders/ })
  })

  await t.test('the cluster tells about itself', async t => {
    t.match(await json(['cluster', 'info']), { brokers: [{ controller: true }] })
    const [versions] = await json<{ apis: { name: string }[] }[]>(['api-versions'])
    t.ok(versions?.apis.some(api => api.name === 'Produce'))
  })
})

t.test('a partition whose files are out of order is described as one without a leader', async t => {
  await using broker = await spawnBroker()
  const { text, json } = sluiceAt(broker.bootstrap)
  await text(['topic', 'create', 'orders', '-p', '2'])
  t.equal(await broker.stop(), 0)
  const log = join(broker.dataFolder, 'orders-0', '00000000000000000000.log')
  await rm(log)
  await mkdir(log)
  await broker.restart()
  t.match(broker.output(), /ERROR A partition cannot be opened and is offline.*folder=orders-0/)
  t.match(await json(['topic', 'describe', 'orders']), [
    {
      partitions: [
        { partition: 0, leader: -1, start: null, end: null },
        { partition: 1, leader: 1, start: 0, end: 0 },
      ],
    },
  ])
})
