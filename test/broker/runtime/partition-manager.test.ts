import t from 'tap'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { RecoveryReport } from '../../../broker/runtime/recovery-report.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import { type LeaderEpoch, type TopicId } from '../../../client/protocol/types.ts'
import {
  assignment,
  clusterServices,
  crashDisk,
  DATA,
  files,
  host,
  produce,
  readAll,
  start,
  TOPIC_ID,
} from './harness.ts'

const OTHER_ID = 'b'.repeat(32) as TopicId
const HOUR_MS = 3_600_000

t.test('a clean stop and start keeps everything and scans nothing', async t => {
  const disk = crashDisk()
  const two = [assignment(), assignment({ partition: 1 })]
  const life = await start({ disk, assignments: two })
  await produce(host(life), ['a'], { producer: 7n })
  await produce(host(life, 1), ['x', 'y'])
  await host(life, 1).deleteRecords(1)
  await life.stop()
  t.same(await files(life, DATA, /checkpoint|clean|meta/), [
    '.kafka_cleanshutdown',
    'log-start-offset-checkpoint',
    'meta.properties',
    'recovery-point-offset-checkpoint',
    'replication-offset-checkpoint',
  ])
  t.same(await files(life, `${DATA}/orders-0`), [
    '00000000000000000000.index',
    '00000000000000000000.log',
    '00000000000000000000.timeindex',
    '00000000000000000001.snapshot',
    'leader-epoch-checkpoint',
    'partition.metadata',
  ])

  disk.crash({ keep: 'none' })
  const next = await start({ disk, assignments: two })
  t.equal(next.folder.cleanShutdown, true)
  t.same(await readAll(host(next)), ['0:a'])
  t.same(await readAll(host(next, 1)), ['1:y'])
  t.equal(await produce(host(next), ['a'], { producer: 7n }), 'offset 0')
  t.same(next.env.log.of('error'), [])
  await next.stop()
})

t.test('after a crash the log is recovered, producers and all', async t => {
  const disk = crashDisk()
  const options = { disk, assignments: [assignment({ logConfig: { segmentBytes: 1500 } })] }
  const life = await start(options)
  for (let sequence = 0; sequence < 40; sequence++) {
    await produce(host(life), [`value ${sequence}`], { producer: 7n, sequence })
  }
  t.ok(host(life).describe().segments > 1)
  disk.crash({ keep: 'none' })
  const next = await start(options)
  t.equal((await readAll(host(next))).length, 40)
  t.equal(await produce(host(next), ['value 36'], { producer: 7n, sequence: 36 }), 'offset 36')
  t.equal(
    await produce(host(next), ['value 41'], { producer: 7n, sequence: 41 }),
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
  )
  await next.stop()
})

t.test('a topic that was made anew never shows the records of the old one', async t => {
  const disk = crashDisk()
  const life = await start({ disk })
  await produce(host(life), ['old'])
  await life.stop()
  const next = await start({ disk, assignments: [assignment({ topicId: OTHER_ID })] })
  t.same(await readAll(host(next, 0, OTHER_ID)), [])
  const [aside] = await files(next, DATA, /-stray$/)
  t.match(aside, /^orders-0\.[0-9a-f]{32}-stray$/)
  t.match(next.env.log.of('error'), [{ fields: { folder: 'orders-0', nowNamed: aside } }])
  t.ok((await files(next, `${DATA}/${aside}`)).includes('00000000000000000000.log'), 'but they are kept')
  await next.stop()
})

t.test(
  'a folder that does not say whose it is keeps the broker from starting, and says what to do',
  async t => {
    const disk = crashDisk()
    const life = await start({ disk })
    await produce(host(life), ['kept'])
    await life.stop()
    const path = `${DATA}/orders-0/partition.metadata`
    const file = await disk.open(path, 'write')
    await file.truncate(5)
    await file.close()
    await t.rejects(start({ disk }), {
      code: 'DAMAGED_PARTITION_METADATA',
      message: /Restore the file .* or remove it/,
    })
    await disk.remove(path)
    disk.crash({ keep: 'all' })
    const next = await start({ disk })
    t.same(await readAll(host(next)), ['0:kept'], 'and what it says works')
    await next.stop()
  },
)

t.test('folders that nobody knows are moved aside, those that are no partitions stay', async t => {
  const disk = crashDisk()
  const life = await start({ disk })
  await life.stop()
  for (const name of ['ghost-3', '__cluster_metadata-0', '__sluice_metadata-0', 'metastore', 'a-01'])
    await disk.makeDirectory(`${DATA}/${name}`)
  await disk.makeDirectory(`${DATA}/gone-0.${'0'.repeat(32)}-delete`)
  const next = await start({ disk })
  await next.env.clock.settle()
  const names = (await files(next, DATA)).map(name => name.replace(/[0-9a-f]{32}/, 'unique'))
  t.strictSame(
    names.filter(name => !/checkpoint|meta\.properties/.test(name)),
    ['__cluster_metadata-0', '__sluice_metadata-0', 'a-01', 'ghost-3.unique-stray', 'metastore', 'orders-0'],
  )
  await next.stop()
})

t.test('in a cluster folders of partitions that have gone meanwhile are deleted', async t => {
  const disk = crashDisk()
  const gone = assignment({ topicId: 'b'.repeat(32) as TopicId, topicName: 'gone' })
  const life = await start({ disk, assignments: [assignment(), assignment({ partition: 1 }), gone] })
  await life.stop()
  await disk.makeDirectory(`${DATA}/ghost-3`)
  const next = await start({ disk, cluster: clusterServices() })
  const names = (await files(next, DATA)).map(name => name.replace(/[0-9a-f]{32}/, 'unique'))
  t.strictSame(
    names.filter(name => !/checkpoint|meta\.properties/.test(name)),
    ['ghost-3.unique-stray', 'orders-0'],
    'one that does not say whose it is is kept',
  )
  t.equal(host(next).role, 'none')
  await next.stop()
})

t.test('partitions are made and deleted while the broker runs', async t => {
  const disk = crashDisk()
  const life = await start({ disk, assignments: [] })
  const { manager } = life
  const [made, again] = await Promise.all([manager.create(assignment()), manager.create(assignment())])
  t.equal(made, again, 'twice is once')
  t.equal(await produce(made, ['a']), 'offset 0')
  let woken = 0
  made.onReadable(() => {
    woken += 1
  })
  const deleting = manager.delete(assignment().topicId, 0)
  t.equal(manager.get(assignment().topicId, 0), undefined, 'it is gone at once')
  t.equal(woken, 1, 'and its readers are told')
  t.equal(await produce(made, ['b']), 'UNKNOWN_TOPIC_OR_PARTITION')
  t.equal(made.describe().online, false)
  const recreated = manager.create(assignment({ topicId: OTHER_ID }))
  await deleting
  t.same(await readAll(await recreated), [], 'a new one of the same name waits for the old one to go')
  await life.stop()
  const next = await start({ disk, assignments: [assignment({ topicId: OTHER_ID })] })
  t.same(next.env.log.of('error'), [])
  await next.stop()
})

t.test('who waits for a partition that is deleted is told', async t => {
  const life = await start()
  const release = life.env.disk.hold('sync', /\.log$/)
  const answer = produce(host(life), ['a'])
  await life.env.clock.settle()
  const deleting = life.manager.delete(assignment().topicId, 0)
  t.equal(await answer, 'UNKNOWN_TOPIC_OR_PARTITION')
  release()
  await deleting
  t.same(await files(life, DATA, /orders/), [])
  t.same(life.fatal, [])
  await life.stop()
})

t.test('retention deletes whole segments by size and by time', async t => {
  const logConfig = {
    segmentBytes: 1000,
    retentionBytes: 2000,
    retentionMs: HOUR_MS,
    fileDeleteDelayMs: 60_000,
  }
  const life = await start({
    assignments: [assignment({ logConfig })],
    config: { retentionCheckMs: 300_000 },
  })
  const value = 'x'.repeat(400)
  const timestamp = life.env.clock.wallMs()
  for (let count = 0; count < 20; count++) await produce(host(life), [value], { timestamp })
  await life.env.clock.settle()
  const bySize = host(life).describe()
  t.ok(
    bySize.sizeBytes >= 2000 && bySize.sizeBytes < 3000,
    `${bySize.sizeBytes} bytes, without waiting for a round`,
  )
  t.equal((await readAll(host(life)))[0], `${bySize.logStartOffset}:${value}`)
  t.ok((await files(life, `${DATA}/orders-0`, /\.deleted$/)).length > 0, 'files are only renamed')
  await life.env.clock.advance(120_000)
  t.same(await files(life, `${DATA}/orders-0`, /\.deleted$/), [], 'and removed later')

  await life.env.clock.advance(2 * HOUR_MS)
  t.match(host(life).describe(), { logStartOffset: 20, logEndOffset: 20, sizeBytes: 0 })
  t.equal(await produce(host(life), ['new']), 'offset 20')
  t.same(life.env.log.of('error'), [])
  await life.stop()
})

t.test(
  'a log whose every record has expired is empty after a restart too, and knows its producers',
  async t => {
    const disk = crashDisk()
    const options = { disk, assignments: [assignment({ logConfig: { retentionMs: 1000 } })] }
    const life = await start(options)
    await produce(host(life), ['a', 'b'], { producer: 7n, timestamp: life.env.clock.wallMs() })
    await life.env.clock.advance(2000)
    await life.manager.applyRetention()
    t.match(host(life).describe(), { logStartOffset: 2, logEndOffset: 2 })
    disk.crash({ keep: 'all' })
    const next = await start(options)
    t.match(host(next).describe(), { logStartOffset: 2, logEndOffset: 2 })
    t.equal(await produce(host(next), ['a', 'b'], { producer: 7n }), 'offset 0', 'a late retry')
    t.equal(await produce(host(next), ['c'], { producer: 7n, sequence: 2 }), 'offset 2')
    await next.stop()
  },
)

t.test('silent producers are forgotten', async t => {
  const life = await start({
    config: { producerIdExpirationMs: 3_600_000, producerIdExpirationCheckMs: 600_000 },
  })
  await produce(host(life), ['a'], { producer: 7n })
  await life.env.clock.advance(3_000_000)
  t.equal(host(life).describeProducers().length, 1)
  await life.env.clock.advance(1_200_000)
  t.equal(host(life).describeProducers().length, 0)
  await life.stop()
})

t.test('checkpoints are written in their rhythm and never ahead', async t => {
  const life = await start()
  await produce(host(life), ['a'])
  const content = async (name: string) => (await life.env.disk.readFile(`${DATA}/${name}`)).toString()
  await life.env.clock.advance(5_000)
  t.equal(await content('replication-offset-checkpoint'), '0\n1\norders 0 1\n')
  t.equal(await content('recovery-point-offset-checkpoint'), '0\n1\norders 0 0\n')
  await life.env.clock.advance(55_000)
  t.equal(await content('recovery-point-offset-checkpoint'), '0\n1\norders 0 1\n')
  t.equal(await content('orders-0/leader-epoch-checkpoint'), '0\n1\n0 0\n')
  await life.stop()
})

t.test('each start of a new leader epoch is remembered', async t => {
  const disk = crashDisk()
  const life = await start({ disk })
  await produce(host(life), ['a', 'b'])
  await life.stop()
  const next = await start({ disk, assignments: [assignment({ leaderEpoch: 4 as LeaderEpoch })] })
  await produce(host(next), ['c'])
  disk.crash({ keep: 'none' })
  const third = await start({ disk, assignments: [assignment({ leaderEpoch: 5 as LeaderEpoch })] })
  t.match(host(third).offsetForLeaderEpoch(-1, 0), { leaderEpoch: 0, endOffset: 2 })
  t.match(host(third).offsetForLeaderEpoch(-1, 4), { leaderEpoch: 4, endOffset: 3 })
  t.match(host(third).offsetForLeaderEpoch(5, 5), { leaderEpoch: 5, endOffset: 3 })
  await third.stop()
})

t.test('epochs that only the scan after a crash has found outlive the next crash', async t => {
  const disk = crashDisk()
  const config = { recoveryPointCheckpointMs: 1000 }
  const life = await start({ disk, config })
  await produce(host(life), ['a', 'b'])
  await life.env.clock.advance(1000)
  host(life).becomeLeader(4 as LeaderEpoch)
  await produce(host(life), ['c'])
  disk.crash({ keep: 'none' })
  const small = { segmentBytes: 1500 }
  const assignments = [assignment({ leaderEpoch: 4 as LeaderEpoch, logConfig: small })]
  const next = await start({ disk, assignments, config })
  t.match(host(next).offsetForLeaderEpoch(4, 0), { leaderEpoch: 0, endOffset: 2 })
  // Behind the snapshot that comes with a new segment nothing is read again.
  for (let n = 0; n < 40; n++) await produce(host(next), [`value ${n}`])
  await next.env.clock.advance(1000)
  disk.crash({ keep: 'none' })
  const third = await start({ disk, assignments, config })
  t.match(host(third).offsetForLeaderEpoch(4, 0), { leaderEpoch: 0, endOffset: 2 })
  await third.stop()
})

t.test('thousands of partitions share a timer or two', async t => {
  const assignments = Array.from({ length: 500 }, (_, partition) => assignment({ partition }))
  const life = await start({ assignments })
  t.ok(life.env.clock.pendingTimers <= 2, `${life.env.clock.pendingTimers} timers`)
  await Promise.all(assignments.map((_, partition) => produce(host(life, partition), ['a'])))
  t.ok(life.env.clock.pendingTimers <= 3, `${life.env.clock.pendingTimers} timers`)
  await life.stop()
})

t.test('a start that takes long says how far it is', async t => {
  const memory = createMemoryEnv()
  const report = new RecoveryReport(memory, 2_000, false)
  report.opened()
  report.scanned({ directory: 'orders-0', scannedBytes: 50, totalBytes: 100 })
  await memory.clock.advance(6_000)
  report.end()
  t.match(memory.log.of('info'), [
    { fields: { partitions: 1, of: 2_000, percent: 0, scannedBytes: 50, bytesToScan: 100 } },
    {},
    { message: /opened/, fields: { clean: false, tookMs: 6_000 } },
  ])
  t.equal(memory.clock.pendingTimers, 0)
})

t.test(
  'what was known of a deleted topic is not believed of one that is made anew with its name',
  async t => {
    const disk = crashDisk()
    const life = await start({ disk })
    for (let count = 0; count < 10; count++) await produce(host(life), ['old'])
    await host(life).deleteRecords(8)
    await life.env.clock.advance(60_000)
    await life.manager.delete(assignment().topicId, 0)
    const again = await life.manager.create(assignment({ topicId: OTHER_ID }))
    await produce(again, ['new'])
    disk.crash({ keep: 'all' })
    const next = await start({ disk, assignments: [assignment({ topicId: OTHER_ID })] })
    t.same(await readAll(host(next, 0, OTHER_ID)), ['0:new'])
    t.same(next.env.log.of('error'), [])
    await next.stop()
  },
)

t.test(
  'a partition that is deleted while its leader epochs are saved leaves them to no later one',
  async t => {
    const disk = crashDisk()
    const life = await start({ disk, assignments: [assignment({ leaderEpoch: 7 as LeaderEpoch })] })
    for (const operation of ['sync', 'rename'] as const) {
      const [topicId, nextId] = operation === 'sync' ? [TOPIC_ID, OTHER_ID] : [OTHER_ID, TOPIC_ID]
      await produce(host(life, 0, topicId), ['old'])
      const release = disk.hold(operation, /orders-0\/leader-epoch/)
      await life.env.clock.advance(60_000)
      const deleted = life.manager.delete(topicId, 0)
      const created = life.manager.create(assignment({ topicId: nextId, leaderEpoch: 3 as LeaderEpoch }))
      await life.env.clock.settle()
      release()
      await Promise.all([deleted, created])
      await life.env.clock.settle()
      t.same(await files(life, `${DATA}/orders-0`, /leader-epoch/), [])
      t.match(host(life, 0, nextId).state.epochs.entries, [{ epoch: 3, startOffset: 0 }])
    }
    t.same(life.env.log.of('warn'), [])
    await life.stop()
  },
)

t.test('leader epochs that two want saved at once are written one after the other', async t => {
  const disk = crashDisk()
  const logConfig = { cleanupPolicy: ['compact'] as const, segmentBytes: 100 }
  const life = await start({ disk, assignments: [assignment({ logConfig })], cleaner: { backoffMs: 1e9 } })
  for (const value of ['1', '2', '3']) {
    const records = encodeBatch([{ key: 'a', value, timestamp: 1 }])
    await new Promise(resolve => host(life).produce(records, null, -1, 1000, resolve))
  }
  host(life).becomeLeader(1 as LeaderEpoch)
  const release = disk.hold('sync', /leader-epoch/)
  await life.env.clock.advance(60_000)
  const compacted = life.manager.compact()
  await life.env.clock.settle()
  release()
  await life.env.clock.advance(1000)
  await compacted
  t.same(await readAll(host(life)), ['1:2', '2:3'])
  t.same(life.env.log.of('warn'), [])
  await life.stop()
})
