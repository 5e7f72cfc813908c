import t from 'tap'
import { createTopics } from '../../broker/api/create-topics.ts'
import { type Broker, createBroker } from '../../broker/broker.ts'
import { BrokerConfig } from '../../broker/config/broker-config.ts'
import { MemoryDisk } from '../../broker/env-memory/disk.ts'
import { createMemoryEnv, type MemoryEnv } from '../../broker/env-memory.ts'
import { openEmbeddedMetaStore } from '../../broker/metastore/embedded.ts'
import { type MetaStore, type Transaction } from '../../broker/metastore/metastore.ts'
import { API } from '../../client/protocol/apis.ts'
import { TestBroker, unfold } from './api/test-broker.ts'

t.test('a restart keeps topics, configs, ids and records', async t => {
  const first = await TestBroker.start()
  const topicId = await first.createTopic('a', 3, { 'retention.ms': '12345' })
  t.equal(await first.produce('a', 2, ['x', 'y']), 0)
  const init = { transactionalId: null, transactionTimeoutMs: 1 }
  const before = await first.client.request(API.InitProducerId, 4, init)
  const { clusterId } = first.broker
  await first.stop()
  t.equal(first.broker.state, 'stopped')

  const second = await TestBroker.start({ disk: first.env.disk })
  t.teardown(() => second.stop())
  t.equal(second.broker.clusterId, clusterId)
  const { topics } = await second.client.request(API.Metadata, 12, { topics: null })
  t.match(topics, [{ name: 'a', topicId, partitions: [{}, {}, {}] }])
  const described = await second.client.request(API.DescribeConfigs, 4, {
    resources: [{ resourceType: 2, resourceName: 'a', configurationKeys: ['retention.ms'] }],
  })
  t.equal(described.results[0]?.configs[0]?.value, '12345')
  t.equal(await second.produce('a', 2, ['z']), 2)
  const after = await second.client.request(API.InitProducerId, 4, init)
  t.ok(after.producerId > before.producerId, 'no producer id is given out twice')
})

t.test('a data folder that is in use is refused, with who holds it', async t => {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  const config = BrokerConfig.of({ listeners: 'PLAINTEXT://127.0.0.1:0', 'log.dirs': '/data' })
  const second = createBroker({ env: createMemoryEnv({ disk: test.env.disk }), config })
  await t.rejects(second.start(), { name: 'DataFolderError', code: 'DATA_FOLDER_LOCKED' })
  t.equal(second.state, 'stopped')
})

t.test('a port that is taken is refused, and nothing is left open', async t => {
  const test = await TestBroker.start()
  t.teardown(() => test.stop())
  const listeners = `PLAINTEXT://127.0.0.1:${test.broker.address.port}`
  const config = BrokerConfig.of({ listeners, 'log.dirs': '/other' })
  const second = createBroker({ env: test.env, config })
  await t.rejects(unfold(test.env, second.start()), { code: 'EADDRINUSE' })
  const third = createBroker({
    env: test.env,
    config: BrokerConfig.of({ listeners: 'PLAINTEXT://:0', 'log.dirs': '/other' }),
  })
  await unfold(test.env, third.start())
  await unfold(test.env, third.stop())
})

t.test('a cut-short creation is swept up by the next start', async t => {
  const test = await TestBroker.start()
  const { disk } = test.env
  await test.createTopic('kept', 2)
  await test.broker.createTopics([{ name: 'large', partitions: 5 }])
  await t.rejects(test.broker.createTopics([{ name: 'large' }]), { code: 'TOPIC_ALREADY_EXISTS' })
  await test.stop()
  const again = await TestBroker.start({ disk })
  t.same(again.broker.topicNames, ['kept', 'large'])
  await unfold(again.env, again.broker.deleteAllTopics())
  t.same(again.broker.topicNames, [])
  await again.stop()
})

t.test('a client is told the address by which it came, or the one that is advertised', async t => {
  const tell = async (settings: Record<string, string>) => {
    const test = await TestBroker.start({ settings })
    const { brokers } = await test.client.request(API.Metadata, 9, { topics: [] })
    const { port } = test.broker.address
    await test.stop()
    return [brokers[0]?.host, brokers[0]!.port === port ? 'own' : brokers[0]!.port]
  }
  t.same(await tell({ listeners: 'PLAINTEXT://127.0.0.1:0' }), ['127.0.0.1', 'own'])
  t.same(await tell({ 'advertised.listeners': 'PLAINTEXT://broker.example:9999' }), ['broker.example', 9999])
})

t.test('configs that do not go together are refused when the broker is made', t => {
  const env = createMemoryEnv()
  t.throws(() => createBroker({ env, config: BrokerConfig.of({ 'log.dirs': './relative' }) }), {
    name: 'ConfigError',
  })
  t.throws(() => createBroker({ env, config: BrokerConfig.of({ listeners: 'x', 'log.dirs': '/d' }) }), {
    name: 'ConfigError',
  })
  t.end()
})

t.test('a failed sync stops the broker: nothing is acknowledged, and the connections are closed', async t => {
  const test = await TestBroker.start()
  await test.createTopic('a')
  test.env.disk.inject({ operation: 'sync', path: /a-0.*\.log$/, code: 'IO_ERROR' })
  await t.rejects(test.produce('a', 0, ['x']))
  t.equal(test.broker.state, 'failed')
  t.match(test.fatal, Error)
  t.equal(test.client.isClosed, true)
  await test.stop()
  t.equal(test.broker.state, 'failed')
})

t.test('what was acknowledged is there after the power was cut', async t => {
  const disk = new MemoryDisk({ trackCrashes: true })
  const first = await TestBroker.start({ disk })
  const topicId = await first.createTopic('a', 2, { 'retention.ms': '777' })
  for (let i = 0; i < 10; i++) t.equal(await first.produce('a', 0, [`v${i}`]), i)
  disk.crash({ keep: 'none' })
  const second = await TestBroker.start({ disk })
  t.teardown(() => second.stop())
  const { topics } = await second.client.request(API.Metadata, 12, { topics: null })
  t.match(topics, [{ name: 'a', topicId, partitions: [{}, {}] }])
  t.equal(await second.produce('a', 0, ['next']), 10)
})

t.test('a killed broker leads in a new epoch, so that clients notice what is gone', async t => {
  const disk = new MemoryDisk({ trackCrashes: true })
  const first = await TestBroker.start({ disk })
  await first.createTopic('a', 1, { 'flush.before.ack': 'false' })
  const epochOf = async (test: TestBroker) =>
    (await test.client.request(API.Metadata, 12, { topics: null })).topics[0]?.partitions[0]?.leaderEpoch
  t.equal(await epochOf(first), 0)
  t.equal(await first.produce('a', 0, ['kept?', 'lost?']), 0)
  disk.crash({ keep: 'none' })

  const second = await TestBroker.start({ disk })
  t.equal(await epochOf(second), 1)
  t.equal(await second.produce('a', 0, ['other']), 0, 'not synced, so gone: as the config says')
  const { responses } = await second.client.request(API.Fetch, 12, {
    maxWaitMs: 0,
    minBytes: 1,
    topics: [
      {
        topic: 'a',
        partitions: [{ partition: 0, fetchOffset: 1, lastFetchedEpoch: 0, partitionMaxBytes: 1000 }],
      },
    ],
  })
  t.match(responses[0]?.partitions[0], { errorCode: 0, divergingEpoch: { endOffset: 0 } })
  await second.stop()
  const third = await TestBroker.start({ disk })
  t.equal(await epochOf(third), 1, 'after a clean stop nothing is gone')
  await third.stop()
})

t.test('a topic whose folders cannot be made says so, and is whole as soon as they can', async t => {
  const test = await TestBroker.start()
  const heal = test.env.disk.inject({ operation: 'makeDirectory', path: /full-1/, code: 'DISK_FULL' })
  await t.rejects(unfold(test.env, test.broker.createTopics([{ name: 'full', partitions: 2 }])), {
    code: 'KAFKA_STORAGE_ERROR',
  })
  t.equal(await test.produce('full', 0, ['x']), 0)
  t.equal(await test.produce('full', 1, ['x']), -56, 'KAFKA_STORAGE_ERROR, which a client retries')
  heal()
  await test.env.clock.advance(10_000)
  t.equal(await test.produce('full', 1, ['x']), 0)
  await test.stop()
})

t.test(
  'a registration that shows in the metadata before its own broker hears of it is served all the same',
  async t => {
    const env = createMemoryEnv()
    const store = await openEmbeddedMetaStore({ env, dataFolder: '/store' })
    const late = lateStore(store, ({ success = [] }) => success.some(operation => 'lease' in operation))
    const one = await member(env, 1, store)
    const two = await member(env, 2, late.store)
    const assignments = [{ partition: 0, replicas: [2] }]
    const topic = { name: 'a', partitions: -1, replicationFactor: -1, assignments, configs: [] }
    t.match(await unfold(env, createTopics(one.context, [topic], false)), [{ error: 0 }])
    const { metadata, partitions } = two.context
    const led = () => metadata.image.topic('a')!.partitions[0]!
    const role = () => partitions.get(metadata.image.topic('a')!.topicId, 0)?.role
    await passUntil(env, () => role() === 'leader')

    const release = late.hold()
    const { leaderEpoch } = led()
    await unfold(env, store.revokeLease(metadata.image.brokers.get(2)!.lease!))
    await passUntil(env, () => led().leaderEpoch > leaderEpoch && led().leader === 2)
    t.equal(metadata.image.brokers.isActive(2), true)
    t.equal(role(), 'follower', 'it does not know that this registration is its own')
    release()
    await passUntil(env, () => role() === 'leader')
    await unfold(env, two.stop())
    await unfold(env, one.stop())
    await unfold(env, store.close())
  },
)

/** A running broker of a cluster. */
async function member(env: MemoryEnv, id: number, store: MetaStore): Promise<Broker> {
  const settings = { 'node.id': id, listeners: 'PLAINTEXT://127.0.0.1:0', 'log.dirs': `/data-${id}` }
  const broker = createBroker({
    env,
    config: BrokerConfig.of(settings),
    cluster: { store, ownsStore: false },
  })
  await unfold(env, broker.start())
  return broker
}

async function passUntil(env: MemoryEnv, isTrue: () => boolean): Promise<void> {
  for (let ms = 0; !isTrue(); ms += 10) {
    if (ms > 10_000) throw new Error(`not within ten seconds: ${isTrue}`)
    await env.clock.advance(10)
  }
}

/** The same store; from `hold` until the function that it returns is called, the answers to some transactions wait. */
function lateStore(store: MetaStore, isLate: (transaction: Transaction) => boolean) {
  let held = Promise.resolve()
  const late: MetaStore = {
    range: (select, options) => store.range(select, options),
    txn: async transaction => {
      const result = await store.txn(transaction)
      if (isLate(transaction)) await held
      return result
    },
    grantLease: ttlMs => store.grantLease(ttlMs),
    keepAlive: lease => store.keepAlive(lease),
    revokeLease: lease => store.revokeLease(lease),
    watch: (select, fromRevision, listener) => store.watch(select, fromRevision, listener),
    compact: revision => store.compact(revision),
    close: () => store.close(),
  }
  const hold = (): (() => void) => {
    let release = (): void => {}
    held = new Promise(resolve => (release = resolve))
    return () => release()
  }
  return { store: late, hold }
}
