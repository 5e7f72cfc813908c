import t from 'tap'
import { crashLoop } from './crash-loop.ts'

t.test(
  'kill -9 under load loses, reorders and doubles no acknowledged record',
  { timeout: 180_000 },
  async t => {
    const result = await crashLoop({ kills: 5, seed: 42 })
    t.same(result.violations.slice(0, 10), [])
    t.ok(result.acknowledged > 0, `${result.acknowledged} records were acknowledged`)
    t.equal(result.failed, 0, 'every record was delivered in the end')
  },
)
