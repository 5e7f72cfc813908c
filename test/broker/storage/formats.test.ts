import t from 'tap'
import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { CollectingLog } from '../../../broker/env-memory/log.ts'
import {
  readLeaderEpochs,
  readOffsetCheckpoint,
  writeLeaderEpochs,
  writeOffsetCheckpoint,
} from '../../../broker/storage/checkpoints.ts'
import {
  deletedFolderName,
  fileName,
  parseFileName,
  parseFolderName,
} from '../../../broker/storage/file-names.ts'
import {
  readCleanShutdown,
  readMetaProperties,
  readPartitionMetadata,
  writeCleanShutdown,
  writeMetaProperties,
  writePartitionMetadata,
} from '../../../broker/storage/metadata-files.ts'
import { OffsetIndex } from '../../../broker/storage/offset-index.ts'
import { encodeProducerSnapshot, parseProducerSnapshot } from '../../../broker/storage/producer-snapshot.ts'
import { TimeIndex } from '../../../broker/storage/time-index.ts'
import { encodeAbortedTransaction, parseTransactionIndex } from '../../../broker/storage/transaction-index.ts'
import {
  type BrokerId,
  type LeaderEpoch,
  type ProducerEpoch,
  type ProducerId,
  type TopicId,
} from '../../../client/protocol/types.ts'
import { at } from './helpers.ts'

// The bytes below are Kafka's formats, written down by hand: they must never change.

async function put(disk: MemoryDisk, path: string, content: string): Promise<void> {
  const file = await disk.open(path, 'create')
  await file.truncate(0)
  await file.write([Buffer.from(content)], 0)
}

async function text(disk: MemoryDisk, path: string): Promise<string> {
  return (await disk.readFile(path)).toString('utf8')
}

t.test('offset index', async t => {
  const index = new OffsetIndex(at(100))
  index.append(at(105), 4200)
  index.append(at(300), 9000)
  t.equal(index.encode().toString('hex'), '0000000500001068' + '000000c800002328')
  t.equal(index.lookup(at(104)), 0)
  t.equal(index.lookup(at(105)), 4200)
  t.equal(index.lookup(at(299)), 4200)
  t.equal(index.lookup(at(9999)), 9000)
  const preallocated = Buffer.concat([index.encode(), Buffer.alloc(80)])
  const read = OffsetIndex.parse(preallocated, at(100))
  t.ok(read instanceof OffsetIndex && read.count === 2, 'zeros of a preallocated file are no entries')
  t.type(OffsetIndex.parse(Buffer.alloc(12), at(0)), 'string')
  t.type(OffsetIndex.parse(Buffer.from('0000000500001068' + '0000000400002328', 'hex'), at(0)), 'string')
  t.type(OffsetIndex.parse(Buffer.concat([Buffer.alloc(8), index.encode()]), at(0)), OffsetIndex)
  t.type(OffsetIndex.parse(Buffer.concat([index.encode(), Buffer.alloc(8), index.encode()]), at(0)), 'string')
  index.truncateTo(at(300))
  t.equal(index.count, 1)
})

t.test('time index', async t => {
  const index = new TimeIndex(at(100))
  index.maybeAppend(-1, at(101))
  index.maybeAppend(1000, at(105))
  index.maybeAppend(1000, at(110))
  index.maybeAppend(2000, at(120))
  t.equal(index.encode().toString('hex'), '00000000000003e800000005' + '00000000000007d000000014')
  t.equal(index.lookup(999), 100)
  t.equal(index.lookup(1000), 105)
  t.equal(index.lookup(5000), 120)
  const read = TimeIndex.parse(Buffer.concat([index.encode(), Buffer.alloc(24)]), at(100))
  t.ok(read instanceof TimeIndex && read.count === 2)
  t.type(TimeIndex.parse(Buffer.alloc(13), at(0)), 'string')
})

t.test('transaction index', async t => {
  const transaction = {
    producerId: 7n as ProducerId,
    firstOffset: at(10),
    lastOffset: at(20),
    lastStableOffset: at(15),
  }
  const bytes = encodeAbortedTransaction(transaction)
  t.equal(
    bytes.toString('hex'),
    '00000000000000000007' + '000000000000000a' + '0000000000000014' + '000000000000000f',
  )
  t.same(parseTransactionIndex(bytes), [transaction])
  t.type(parseTransactionIndex(bytes.subarray(1)), 'string')
})

t.test('producer snapshot', async t => {
  const entries = [
    {
      producerId: 5n as ProducerId,
      producerEpoch: 2 as ProducerEpoch,
      lastSequence: 9,
      lastOffset: at(100),
      offsetDelta: 3,
      timestamp: 1000,
      coordinatorEpoch: -1,
      currentTransactionFirstOffset: -1 as const,
    },
  ]
  const bytes = encodeProducerSnapshot(entries)
  t.equal(bytes.subarray(0, 2).toString('hex'), '0001')
  t.equal(
    bytes.subarray(6).toString('hex'),
    '00000001' +
      '0000000000000005' +
      '0002' +
      '00000009' +
      '0000000000000064' +
      '00000003' +
      '00000000000003e8' +
      'ffffffff' +
      'ffffffffffffffff',
  )
  t.same(parseProducerSnapshot(bytes), entries)
  bytes[20]! ^= 1
  t.match(parseProducerSnapshot(bytes), /CRC/)
})

t.test('checkpoints', async t => {
  const disk = new MemoryDisk()
  const log = new CollectingLog()
  await disk.makeDirectory('/data')
  await writeOffsetCheckpoint(disk, '/data/recovery-point-offset-checkpoint', [
    { topic: 'orders', partition: 0, offset: at(12) },
    { topic: 'a.b-c', partition: 3, offset: at(0) },
  ])
  t.equal(await text(disk, '/data/recovery-point-offset-checkpoint'), '0\n2\norders 0 12\na.b-c 3 0\n')
  const read = await readOffsetCheckpoint(disk, '/data/recovery-point-offset-checkpoint', log)
  t.same(
    [...read],
    [
      ['orders 0', 12],
      ['a.b-c 3', 0],
    ],
  )
  await writeLeaderEpochs(disk, '/data', [{ epoch: 1 as LeaderEpoch, startOffset: at(0) }])
  t.equal(await text(disk, '/data/leader-epoch-checkpoint'), '0\n1\n1 0\n')
  t.same(await readLeaderEpochs(disk, '/data', log), [{ epoch: 1, startOffset: 0 }])
  t.same(log.lines, [])
})

t.test('a torn or foreign checkpoint is reported and counts as absent', async t => {
  const disk = new MemoryDisk()
  await disk.makeDirectory('/data')
  const torn = [
    '0\n',
    '0\n2\norders 0 12\n',
    '1\n0\n',
    '0\nx\n',
    '0\n1\norders 0 1',
    '0\n1\norders 0\n',
    '0\n1\nt 0 -1\n',
  ]
  for (const content of torn) {
    const log = new CollectingLog()
    await put(disk, '/data/c', content)
    t.equal((await readOffsetCheckpoint(disk, '/data/c', log)).size, 0, JSON.stringify(content))
    t.equal(log.of('error').length, 1)
  }
  const log = new CollectingLog()
  t.equal((await readOffsetCheckpoint(disk, '/data/none', log)).size, 0)
  t.same(log.lines, [], 'a missing one is nothing to report')
  await put(disk, '/data/leader-epoch-checkpoint', '0\n2\n5 10\n4 20\n')
  t.equal(await readLeaderEpochs(disk, '/data', log), null)
})

t.test(
  'a checkpoint without entries is none that is damaged, be it of no bytes as Kafka makes them',
  async t => {
    const disk = new MemoryDisk()
    const log = new CollectingLog()
    await disk.makeDirectory('/data')
    for (const content of ['', '0\n0\n']) {
      await put(disk, '/data/cleaner-offset-checkpoint', content)
      t.equal((await readOffsetCheckpoint(disk, '/data/cleaner-offset-checkpoint', log)).size, 0)
      await put(disk, '/data/leader-epoch-checkpoint', content)
      t.same(await readLeaderEpochs(disk, '/data', log), [])
    }
    t.same(log.lines, [])
  },
)

t.test('a checkpoint is replaced whole: after a crash it is the old or the new one', async t => {
  const disk = new MemoryDisk({ trackCrashes: true })
  await disk.makeDirectory('/data')
  await disk.syncDirectory('/')
  const path = '/data/recovery-point-offset-checkpoint'
  const log = new CollectingLog()
  await writeOffsetCheckpoint(disk, path, [{ topic: 't', partition: 0, offset: at(1) }])
  for (const operation of ['write', 'sync', 'rename'] as const) {
    disk.inject({ operation, code: 'IO_ERROR', times: 1 })
    await t.rejects(writeOffsetCheckpoint(disk, path, [{ topic: 't', partition: 0, offset: at(2) }]))
    disk.crash({ keep: 'none' })
    t.same([...(await readOffsetCheckpoint(disk, path, log))], [['t 0', 1]], operation)
  }
  await writeOffsetCheckpoint(disk, path, [{ topic: 't', partition: 0, offset: at(2) }])
  disk.crash({ keep: 'none' })
  t.same([...(await readOffsetCheckpoint(disk, path, log))], [['t 0', 2]])
})

t.test('meta.properties, partition.metadata and the clean-shutdown marker', async t => {
  const disk = new MemoryDisk()
  await disk.makeDirectory('/data')
  t.equal(await readMetaProperties(disk, '/data'), null)
  const meta = {
    clusterId: 'Q1Sh-9_8Rb-7jTcL_qrSLg',
    nodeId: 3 as BrokerId,
    directoryId: 'oYzG3EsZTPiUvzTgRPgN1w',
  }
  await writeMetaProperties(disk, '/data', meta)
  t.same(await readMetaProperties(disk, '/data'), meta)
  t.match(await text(disk, '/data/meta.properties'), /^version=1\n/)
  await put(
    disk,
    '/data/meta.properties',
    '#\n#Mon Jan 01 00:00:00 UTC 2024\nnode.id=1\nversion=1\ncluster.id=abc\\:def\n',
  )
  t.same(await readMetaProperties(disk, '/data'), { clusterId: 'abc:def', nodeId: 1, directoryId: null })
  await put(disk, '/data/meta.properties', 'version=7\n')
  await t.rejects(readMetaProperties(disk, '/data'), { name: 'MetadataFileError' })

  const topicId = '0123456789abcdef0123456789abcdef' as TopicId
  await writePartitionMetadata(disk, '/data', topicId)
  t.equal(await text(disk, '/data/partition.metadata'), 'version: 0\ntopic_id: ASNFZ4mrze8BI0VniavN7w')
  t.equal(await readPartitionMetadata(disk, '/data'), topicId)

  t.equal(await readCleanShutdown(disk, '/data'), null)
  await writeCleanShutdown(disk, '/data', 17)
  t.equal(await text(disk, '/data/.kafka_cleanshutdown'), '{"version":0,"brokerEpoch":17}')
  t.same(await readCleanShutdown(disk, '/data'), { brokerEpoch: 17 })
})

t.test('names', async t => {
  t.equal(fileName(at(42), '.log'), '00000000000000000042.log')
  t.match(parseFileName('00000000000000000042.timeindex.deleted'), {
    baseOffset: 42,
    suffix: '.timeindex',
    mark: '.deleted',
  })
  t.equal(parseFileName('leader-epoch-checkpoint'), null)
  t.same(parseFolderName('a-b.c_d-12'), { topic: 'a-b.c_d', partition: 12 })
  t.equal(parseFolderName('orders'), null)
  t.equal(parseFolderName('../x-1'), null)
  t.equal(deletedFolderName('orders-0', 'abc'), 'orders-0.abc-delete')
  t.equal(deletedFolderName('t'.repeat(300), 'abc').length, 255)
})
