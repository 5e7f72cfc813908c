import t from 'tap'
import { createMemoryEnv } from '../../../broker/env-memory.ts'
import { Isolation } from '../../../broker/runtime/isolation.ts'
import { type PeerCondition } from '../../../broker/runtime/peer-judge.ts'

function isolation(conditions: PeerCondition[]) {
  const env = createMemoryEnv()
  const calls: string[] = []
  const self = new Isolation({
    env,
    conditions: () => conditions.map(condition => ({ condition })),
    withdraw: () => calls.push('withdraw'),
    resume: () => calls.push('resume'),
  })
  /** Says what the conditions are now, and lets every doubt pass. */
  const now = async (...next: PeerCondition[]): Promise<string[]> => {
    conditions.splice(0, conditions.length, ...next)
    self.judge()
    await env.clock.advance(1000)
    return calls.splice(0)
  }
  return { env, self, now, calls, conditions }
}

t.test(
  'a broker that hears nobody while all are registered withdraws, and comes back when it hears half of them',
  async t => {
    const { now } = isolation([])
    t.same(await now('well', 'well'), [])
    t.same(await now('link-failed', 'well'), [], 'one link that fails is that link')
    t.same(await now('link-failed', 'link-failed'), ['withdraw'])
    t.same(await now('link-failed', 'unknown'), [], 'silence alone does not bring it back')
    t.same(await now('link-failed', 'well'), ['resume'])
    t.same(await now('well', 'well'), [])
  },
)

t.test('of two brokers nobody can say which is cut off', async t => {
  const { now } = isolation([])
  t.same(await now('link-failed'), [])
})

t.test('a dead site is not a failed link', async t => {
  const { now } = isolation([])
  t.same(await now('site-failed', 'dead', 'well'), [])
})

t.test(
  'it withdraws only if that still holds after a moment: somebody else may have done so first',
  async t => {
    const { self, env, calls, conditions } = isolation(['link-failed', 'link-failed'])
    self.judge()
    conditions.pop()
    await env.clock.advance(1000)
    t.same(calls, [])
    t.equal(self.isWithdrawn, false)
  },
)

t.test('one that has withdrawn comes back when the others are gone', async t => {
  const { now } = isolation([])
  t.same(await now('link-failed', 'link-failed'), ['withdraw'])
  t.same(await now('link-failed'), ['resume'])
})
