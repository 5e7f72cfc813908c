import t from 'tap'
import { withoutEtcd } from '../../helpers/etcd.ts'
import { chaos } from './run.ts'

t.test(
  'a cluster that is broken loses, reorders and doubles no acknowledged record',
  { timeout: 180_000, skip: withoutEtcd },
  async t => {
    const result = await chaos({ faults: 3, seed: 7, longestFaultMs: 3000 })
    t.same(result.violations.slice(0, 10), [])
    t.ok(result.acknowledged > 0, `${result.acknowledged} records were acknowledged`)
    t.equal(result.failed, 0, 'every record was delivered in the end')
  },
)
