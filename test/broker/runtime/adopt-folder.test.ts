import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { API } from '../../../client/protocol/apis.ts'
import { batchLastOffset } from '../../../client/protocol/batch.ts'
import { TestBroker } from '../api/test-broker.ts'

const GOLDEN = fileURLToPath(new URL('../../golden/kafka-4.1-data/', import.meta.url))
const KAFKA_SETTINGS = { 'node.id': 1 }

/** A disk with the folder that Apache Kafka wrote. */
async function goldenDisk(): Promise<MemoryDisk> {
  const disk = new MemoryDisk()
  await disk.makeDirectory('/data/golden-0')
  for (const entry of readdirSync(GOLDEN, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const folder = entry.parentPath.slice(GOLDEN.length - 1).replace(/\/$/, '')
    await write(disk, `/data${folder}/${entry.name}`, readFileSync(`${entry.parentPath}/${entry.name}`))
  }
  return disk
}

async function write(disk: MemoryDisk, path: string, content: Uint8Array): Promise<void> {
  const file = await disk.open(path, 'create')
  await file.write([content], 0)
  await file.close()
}

t.test('a folder that Apache Kafka wrote is taken over: topic, id, records, producers', async t => {
  const disk = await goldenDisk()
  const test = await TestBroker.start({ disk, settings: KAFKA_SETTINGS })
  t.equal(test.broker.clusterId, 'QdZp2KGlTxa5qgcUqOen7A')
  const { topics } = await test.client.request(API.Metadata, 12, { topics: null })
  t.match(topics, [{ name: 'golden', topicId: 'd245d4b6d4a24c759dc7a273a355f6ae' }], 'its own id')
  const { responses } = await test.client.request(API.Fetch, 13, {
    maxWaitMs: 0,
    minBytes: 1,
    topics: [
      {
        topicId: topics[0]!.topicId,
        partitions: [{ partition: 0, fetchOffset: 1499, partitionMaxBytes: 1 << 20 }],
      },
    ],
  })
  const [partition] = responses[0]!.partitions
  t.match(partition, { errorCode: 0, highWatermark: 1500, logStartOffset: 0 })
  t.equal(batchLastOffset(partition!.records!, 0), 1499)
  t.equal(await test.produce('golden', 0, ['more']), 1500)
  const { producerId } = await test.client.request(API.InitProducerId, 4, {
    transactionalId: null,
    transactionTimeoutMs: 1,
  })
  t.ok(producerId > 1_000_000n, 'no id that the log may know')
  const { results } = await test.client.request(API.DescribeConfigs, 4, {
    resources: [{ resourceType: 2, resourceName: 'golden', configurationKeys: ['retention.ms'] }],
  })
  t.equal(results[0]?.configs[0]?.value, '-1', 'nothing is deleted whose retention is not known')
  await test.stop()
})

t.test('it happens once: a stray folder is not taken for a topic later on', async t => {
  const disk = await goldenDisk()
  const first = await TestBroker.start({ disk, settings: KAFKA_SETTINGS })
  await first.client.request(API.DeleteTopics, 5, { topicNames: ['golden'], timeoutMs: 1000 })
  await first.stop()
  await disk.makeDirectory('/data/stray-0')
  const second = await TestBroker.start({ disk, settings: KAFKA_SETTINGS })
  t.same(second.broker.topicNames, [])
  await second.stop()
})

t.test("Kafka's own cluster metadata stays as it is, and ours lies beside it", async t => {
  const disk = await goldenDisk()
  const kafkas = '/data/__cluster_metadata-0'
  await disk.makeDirectory(kafkas)
  await write(disk, `${kafkas}/quorum-state`, Buffer.from('{}'))
  await write(disk, `${kafkas}/00000000000000000000.log`, Buffer.from('none of ours'))
  for (let life = 0; life < 2; life++) {
    const test = await TestBroker.start({ disk, settings: KAFKA_SETTINGS })
    t.same(test.broker.topicNames, ['golden'])
    await test.stop()
  }
  t.same(
    (await disk.list(kafkas)).map(({ name }) => name),
    ['00000000000000000000.log', 'quorum-state'],
  )
  t.equal(String(await disk.readFile(`${kafkas}/00000000000000000000.log`)), 'none of ours')
  t.ok((await disk.list('/data')).some(({ name }) => name === '__sluice_metadata-0'))
})

t.test('an odd folder does not make a topic of millions of partitions', async t => {
  const disk = await goldenDisk()
  for (const name of ['huge-2147483647', '..-0', '__sluice_metadata-1'])
    await disk.makeDirectory(`/data/${name}`)
  const test = await TestBroker.start({ disk, settings: KAFKA_SETTINGS })
  t.same(test.broker.topicNames, ['golden'])
  t.match(
    test.env.log.of('error').map(({ fields }) => fields),
    [{ topic: '..' }, { topic: '__sluice_metadata' }, { topic: 'huge', reason: /partition 2147483647/ }],
  )
  await test.stop()
})

t.test(
  'damaged metadata keeps the broker from starting; without it the topics come back by their folders',
  async t => {
    const disk = new MemoryDisk()
    const first = await TestBroker.start({ disk })
    const topicId = await first.createTopic('orders', 2)
    for (const value of ['a', 'b']) await first.produce('orders', 1, [value])
    await first.stop()
    const folder = '/data/__sluice_metadata-0'
    disk.damage(`${folder}/00000000000000000000.log`, 100)
    await t.rejects(TestBroker.start({ disk }), { code: 'STORAGE_FAILED', message: /move the folder away/ })
    await disk.rename(folder, '/elsewhere')
    const second = await TestBroker.start({ disk })
    const { topics } = await second.client.request(API.Metadata, 12, { topics: null })
    t.match(topics, [{ name: 'orders', topicId, partitions: [{}, {}] }])
    t.equal(await second.produce('orders', 1, ['c']), 2, 'behind the records that were there')
    await second.stop()
  },
)
