/**
 * Which cluster a broker belongs to when nobody has said so: the one whose id lies in the metadata store. The first
 * broker that comes puts one there; all others take it.
 */
import { type Random } from '../env.ts'
import { type MetaStore, MetaStoreError } from '../metastore/metastore.ts'
import { freshId } from './fresh-ids.ts'

/** Beside the prefixes of clusters: it is asked before the cluster is known. */
const CLUSTER_ID_KEY = '/sluice/v1/cluster-id'

/** Rejects with a `MetaStoreError`. */
export async function clusterIdIn(store: MetaStore, random: Random): Promise<string> {
  for (;;) {
    const { entries } = await store.range({ key: CLUSTER_ID_KEY })
    const [known] = entries
    if (known !== undefined) return Buffer.from(known.value).toString('utf8')
    try {
      await store.txn({
        compare: [{ key: CLUSTER_ID_KEY, target: 'version', value: 0 }],
        success: [{ type: 'put', key: CLUSTER_ID_KEY, value: Buffer.from(freshId(random)) }],
      })
    } catch (error) {
      // Whether it was this broker or another one that put it there: it is read again.
      if (!(error instanceof MetaStoreError) || error.code !== 'UNKNOWN_OUTCOME') throw error
    }
  }
}
