import t from 'tap'
import { createMemoryEnv, type MemoryEnv } from '../../../broker/env-memory.ts'
import { DataFolder } from '../../../broker/runtime/data-folder.ts'
import { type BrokerId } from '../../../client/protocol/types.ts'

const PATH = '/data'

function open(env: MemoryEnv, over: { clusterId?: string; nodeId?: number } = {}): Promise<DataFolder> {
  return DataFolder.open({
    env,
    path: PATH,
    clusterId: over.clusterId ?? null,
    nodeId: (over.nodeId ?? 1) as BrokerId,
  })
}

t.test('a new folder gets an id of its cluster and keeps it', async t => {
  const env = createMemoryEnv()
  const first = await open(env)
  t.match(first.clusterId, /^[\w-]{22}$/)
  t.notMatch(first.clusterId, /^-/)
  t.equal(first.cleanShutdown, false)
  await first.close(true)
  const second = await open(env)
  t.equal(second.clusterId, first.clusterId)
  t.equal(second.directoryId, first.directoryId)
  await second.close(true)
})

t.test('the mark of a clean stop is used once', async t => {
  const env = createMemoryEnv()
  await (await open(env)).close(true)
  const clean = await open(env)
  t.equal(clean.cleanShutdown, true)
  await clean.close(false)
  const unclean = await open(env)
  t.equal(unclean.cleanShutdown, false)
  unclean.markUnclean()
  await unclean.close(true)
  const objected = await open(env)
  t.equal(objected.cleanShutdown, false, 'nor is it made when somebody objects')
  await objected.close(false)
})

t.test('a folder of another cluster or node is refused', async t => {
  const env = createMemoryEnv()
  await (await open(env, { clusterId: 'cluster-a' })).close(true)
  await t.rejects(open(env, { clusterId: 'cluster-b' }), { code: 'WRONG_CLUSTER', message: /cluster-a/ })
  await t.rejects(open(env, { nodeId: 2 }), { code: 'WRONG_NODE', message: /broker 1/ })
  const own = await open(env, { clusterId: 'cluster-a' })
  t.equal(own.cleanShutdown, true, 'a refusal leaves everything as it was')
  await own.close(true)
})

t.test('a folder is used by one at a time', async t => {
  const env = createMemoryEnv()
  const first = await open(env)
  await t.rejects(open(env), { code: 'DATA_FOLDER_LOCKED' })
  await first.close(true)
  await (await open(env)).close(true)
})

t.test('a damaged meta.properties is not guessed at', async t => {
  const env = createMemoryEnv()
  await (await open(env)).close(true)
  const file = await env.disk.open(`${PATH}/meta.properties`, 'write')
  await file.truncate(5)
  await file.close()
  await t.rejects(open(env), { code: 'DAMAGED_META_PROPERTIES' })
})
