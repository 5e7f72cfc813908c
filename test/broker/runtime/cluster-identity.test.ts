import t from 'tap'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { openEmbeddedMetaStore } from '../../../broker/metastore/embedded.ts'
import { MetaStoreError } from '../../../broker/metastore/metastore.ts'
import { clusterIdIn } from '../../../broker/runtime/cluster-identity.ts'

t.test('brokers that come at once agree on one id, and those that come later take it', async t => {
  const env = createMemoryEnv()
  await env.disk.makeDirectory('/data')
  const store = await openEmbeddedMetaStore({ env, dataFolder: '/data' })
  const ids = await Promise.all([1, 2, 3].map(() => clusterIdIn(store, env.random)))
  t.match(ids[0], /^[\w-]{22}$/)
  t.same(new Set(ids).size, 1)
  t.equal(await clusterIdIn(store, env.random), ids[0])
})

t.test('an outcome that nobody knows is looked up', async t => {
  const env = createMemoryEnv()
  await env.disk.makeDirectory('/data')
  const store = await openEmbeddedMetaStore({ env, dataFolder: '/data' })
  let isFirst = true
  const shaky = new Proxy(store, {
    get(target, name) {
      if (name !== 'txn') return Reflect.get(target, name).bind(target)
      return async (transaction: Parameters<typeof store.txn>[0]) => {
        const result = await target.txn(transaction)
        if (!isFirst) return result
        isFirst = false
        throw new MetaStoreError('UNKNOWN_OUTCOME', 'the answer was lost')
      }
    },
  })
  const id = await clusterIdIn(shaky, env.random)
  t.equal(await clusterIdIn(store, env.random), id)
})
