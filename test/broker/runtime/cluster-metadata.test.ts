import t from 'tap'
import {
  decideCreateTopics,
  type Surroundings,
  type TopicCommand,
} from '../../../broker/controller/topics.ts'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { openEmbeddedMetaStore } from '../../../broker/metastore/embedded.ts'
import { type MetaStore } from '../../../broker/metastore/metastore.ts'
import { ClusterMetadata } from '../../../broker/runtime/cluster-metadata.ts'
import { ProducerIds } from '../../../broker/runtime/producer-ids.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { type TopicId } from '../../../client/protocol/types.ts'

const surroundings: Surroundings = {
  brokers: [1],
  defaultPartitions: 1,
  defaultReplicationFactor: 1,
  configProblem: () => null,
}

let lastId = 0
const command = (name: string, partitions = 1): TopicCommand => ({
  name,
  topicId: (++lastId).toString(16).padStart(32, '0') as TopicId,
  partitions,
  replicationFactor: 1,
  assignments: [],
  configs: [],
})

/** Creates a topic through this view of the cluster; the error's name. */
async function create(metadata: ClusterMetadata, name: string, partitions = 1): Promise<string> {
  const wanted = command(name, partitions)
  const outcome = await metadata.change(() => {
    const [decision] = decideCreateTopics(metadata.image, [wanted], surroundings)
    return decision!.refusal !== null ? decision! : { refusal: null, change: decision!.change, result: null }
  })
  return outcome.refusal === null ? 'NONE' : errorName(outcome.refusal.error)
}

async function start() {
  const env = createMemoryEnv()
  await env.disk.makeDirectory('/data')
  const store = await openEmbeddedMetaStore({ env, dataFolder: '/data' })
  const open = (from: MetaStore = store): Promise<ClusterMetadata> =>
    ClusterMetadata.open({
      store: from,
      clusterId: 'c',
      log: env.log,
      isAlone: true,
      onFatal: error => t.fail(error.message),
    })
  return { env, store, open }
}

t.test('what one broker changes all of them see, and one of two that want the same wins', async t => {
  const { store, open } = await start()
  const [a, b] = [await open(), await open()]
  const outcomes = await Promise.all([
    create(a, 'x', 300),
    create(b, 'x', 300),
    create(a, 'y'),
    create(b, 'z'),
  ])
  t.same(outcomes.slice(0, 2).sort(), ['NONE', 'TOPIC_ALREADY_EXISTS'])
  t.same(outcomes.slice(2), ['NONE', 'NONE'])
  const late = await open()
  for (const metadata of [a, b, late]) {
    t.same(metadata.image.topicNames(), ['x', 'y', 'z'])
    t.equal(metadata.image.topic('x')?.topicId, a.image.topic('x')?.topicId)
    t.equal(metadata.image.topic('x')?.partitions.length, 300)
  }
  t.same(late.image.orphans(), [], 'what the loser had begun is swept up')
  for (const metadata of [a, b, late]) metadata.close()
  await store.close()
})

t.test('a change resolves when the image shows it, and listeners were told by then', async t => {
  const { store, open } = await start()
  const metadata = await open()
  const told: string[] = []
  metadata.onChange(records => told.push(...records.map(record => record.type)))
  t.equal(await create(metadata, 'x'), 'NONE')
  t.same(told.sort(), ['partition', 'topic', 'topic-name'])
  t.ok(metadata.image.topic('x'))
  metadata.close()
  await store.close()
})

t.test('producer ids are never given out twice, by many at once and by many brokers', async t => {
  const { store, open } = await start()
  const brokers = [new ProducerIds(await open()), new ProducerIds(await open())]
  const ids = await Promise.all(Array.from({ length: 2500 }, (_, i) => brokers[i % 2]!.allocate()))
  t.equal(new Set(ids).size, 2500)
  const later = new ProducerIds(await open())
  const next = (await later.allocate())!
  t.ok(ids.every(id => id !== null && id < next))
  await store.close()
})

t.test('a value that no broker has written is refused by the name of its key', async t => {
  const { store, open } = await start()
  const metadata = await open()
  t.equal(await create(metadata, 'orders'), 'NONE')
  metadata.close()
  const { entries } = await store.range({ prefix: '' })
  const { key } = entries.find(entry => entry.key.includes('/topic/'))!
  const value = Buffer.from('{"name":"orders"')
  await store.txn({ success: [{ type: 'put', key, value }] })
  await t.rejects(open(), { code: 'DAMAGED_CLUSTER_METADATA', message: new RegExp(`under "${key}"`) })
})
