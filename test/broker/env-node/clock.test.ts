import t from 'tap'
import { createNodeClock, createNodeTimers } from '../../../broker/env-node/clock.ts'
import { createNodeRandom } from '../../../broker/env-node/random.ts'

t.test('a timer never fires early, and a cleared one never', async t => {
  const clock = createNodeClock()
  const timers = createNodeTimers()
  const keepAlive = setInterval(() => {}, 1000)
  const early: number[] = []
  await Promise.all(
    [0, 0.4, 1, 3.7, 10].map(delayMs => {
      const startMs = clock.monotonicMs()
      return new Promise<void>(resolve => {
        timers.set(delayMs, () => {
          if (clock.monotonicMs() - startMs < delayMs) early.push(delayMs)
          resolve()
        })
      })
    }),
  )
  clearInterval(keepAlive)
  t.same(early, [])
  timers.clear(timers.set(0, () => t.fail('it was cleared')))
})

t.test('the end of the turn comes after promises that are ready', async t => {
  const order: string[] = []
  const turned = new Promise<void>(resolve => {
    createNodeTimers().endOfTurn(() => {
      order.push('end')
      resolve()
    })
  })
  void Promise.resolve()
    .then(() => {})
    .then(() => order.push('promise'))
  process.nextTick(() => order.push('tick'))
  await turned
  t.same(order.at(-1), 'end')
  t.equal(order.length, 3)
})

t.test('chance stays within its bounds', t => {
  const random = createNodeRandom()
  for (let draw = 0; draw < 1000; draw++) {
    t.ok(random.float() < 1)
    const value = random.int(3)
    if (!(Number.isInteger(value) && value >= 0 && value < 3)) t.fail(`${value}`)
  }
  t.equal(random.bytes(16).byteLength, 16)
  t.notSame(random.bytes(16), random.bytes(16))
  t.end()
})
