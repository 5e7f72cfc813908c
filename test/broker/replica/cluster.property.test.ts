/**
 * Replicas that crash, lag, lead and follow by chance: what is acknowledged is on the disk of everybody in sync, logs
 * agree as far as they are committed, and at rest all have the same.
 */
import fc from 'fast-check'
import t from 'tap'
import { type BrokerId } from '../../../client/protocol/types.ts'
import { ClusterModel, type Step } from './cluster-model.ts'

const broker = fc.integer({ min: 1, max: 3 }).map(id => id as BrokerId)
const share = fc.double({ min: 0, max: 0.999, noNaN: true })

function of<Kind extends string>(weight: number, kind: Kind) {
  return { weight, arbitrary: fc.record({ kind: fc.constant(kind), broker }) }
}

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('produce' as const), records: fc.integer({ min: 1, max: 3 }) }),
  },
  of(6, 'write'),
  of(6, 'sync'),
  of(8, 'fetch'),
  of(8, 'learn'),
  of(2, 'crash'),
  of(1, 'fail'),
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('restart' as const), broker, survives: share }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('elect' as const), choice: share }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('decide' as const), accepts: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'wait' } as const) },
  { weight: 12, arbitrary: fc.constant({ kind: 'round' } as const) },
)

for (const minInSync of [1, 2]) {
  t.test(
    `with min.insync.replicas=${minInSync} nothing acknowledged is lost, and replicas come to agree`,
    t => {
      let acknowledged = 0
      fc.assert(
        fc.property(fc.array(step, { maxLength: 250, size: 'max' }), steps => {
          const model = new ClusterModel(minInSync)
          for (const each of steps) model.step(each)
          acknowledged += model.acknowledged
          model.settle()
        }),
        { numRuns: 250 },
      )
      t.ok(acknowledged > 300, 'most of it is about records that were acknowledged')
      t.end()
    },
  )
}
