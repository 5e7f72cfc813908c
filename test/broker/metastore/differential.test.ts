/**
 * One behaviour of all metadata stores: the embedded one in memory against a real etcd, and against the simulated
 * store. SLUICE_SEED and SLUICE_OPERATIONS choose another run; with SLUICE_CONCURRENCY=1 a seed gives the same run each
 * time.
 */
import t, { type Test } from 'tap'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { createNodeLog } from '../../../broker/env-node/log.ts'
import { createNodeEnv, loadNodeRpc } from '../../../broker/env-node.ts'
import { openEmbeddedMetaStore } from '../../../broker/metastore/embedded.ts'
import { openEtcdMetaStore } from '../../../broker/metastore/etcd.ts'
import { type MetaStore } from '../../../broker/metastore/metastore.ts'
import { spawnEtcd, withoutEtcd } from '../../helpers/etcd.ts'
import { MetaStoreWorld } from '../../sim/world/meta-world.ts'
import { compareStores } from './differential.ts'

const SEED = Number(process.env['SLUICE_SEED'] ?? 1)
const OPERATIONS = Number(process.env['SLUICE_OPERATIONS'] ?? 100_000)
const CONCURRENCY = Number(process.env['SLUICE_CONCURRENCY'] ?? 24)

t.test(
  'etcd gives the same answers as the embedded store',
  { skip: withoutEtcd, timeout: 900_000 },
  async t => {
    await using etcd = await spawnEtcd()
    const tested = await openEtcdMetaStore({
      env: createNodeEnv({ log: createNodeLog({ level: 'error' }) }),
      rpc: await loadNodeRpc(),
      endpoints: [etcd.endpoint],
      requestTimeoutMs: 20_000,
    })
    await compare(t, tested)
  },
)

t.test('the simulated store gives the same answers as the embedded store', { timeout: 300_000 }, async t => {
  const world = new MetaStoreWorld(SEED)
  const stop = world.keepGoing()
  try {
    await compare(t, world.store(world.process('broker-1')))
  } finally {
    stop()
  }
})

async function compare(t: Test, tested: MetaStore): Promise<void> {
  const reference = await openEmbeddedMetaStore({
    env: createMemoryEnv(),
    dataFolder: '/data',
    historyRevisions: 1_000_000,
    snapshotBytes: 1024 ** 3,
  })
  const startedMs = performance.now()
  try {
    const report = await compareStores({
      reference,
      tested,
      seed: SEED,
      operations: OPERATIONS,
      concurrency: CONCURRENCY,
    })
    const seconds = (performance.now() - startedMs) / 1000
    t.comment(
      `seed ${SEED}: ${report.operations} operations in ${report.transactions} transactions, ${report.events} events ` +
        `of ${report.watches} watches, ${report.compactions} compactions in ${seconds.toFixed(1)} s`,
    )
    t.ok(report.operations >= OPERATIONS)
  } finally {
    await tested.close()
    await reference.close()
  }
}
