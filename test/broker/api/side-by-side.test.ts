import t from 'tap'
import { sideBySide } from '../../../broker/api/side-by-side.ts'
import { createMemoryEnv } from '../../../broker/env-memory.ts'

t.test('results come in order, a slice at a time, with turns for others in between', async t => {
  const { timers } = createMemoryEnv()
  let underWay = 0
  let most = 0
  let turns = 0
  const items = Array.from({ length: 230 }, (_, i) => i)
  const results = sideBySide(timers, items, async (item, index) => {
    most = Math.max(most, ++underWay)
    for (let hops = 230 - item; hops > 0; hops--) await Promise.resolve()
    underWay--
    return item * 2 + index
  })
  let isOver = false
  void results.then(() => {
    isOver = true
  })
  while (!isOver) {
    await new Promise<void>(resolve => timers.endOfTurn(resolve))
    turns++
  }
  t.same(
    await results,
    items.map(item => item * 3),
  )
  t.equal(most, 50)
  t.ok(turns >= 4, `${turns} turns`)
})

t.test('one that fails fails all, and nothing is begun for nobody', async t => {
  const { timers } = createMemoryEnv()
  t.same(await sideBySide(timers, [], () => t.fail('there is nothing to do')), [])
  await t.rejects(
    sideBySide(timers, [1, 2, 3], item => (item === 2 ? Promise.reject(new Error('two')) : item)),
    { message: 'two' },
  )
})
