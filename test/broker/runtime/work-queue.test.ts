/** Work that is done one piece after the other. */
import t from 'tap'
import { WorkQueue } from '../../../broker/runtime/work-queue.ts'

t.test('one at a time, in order, but for those that somebody waits for', async t => {
  const queue = new WorkQueue()
  const done: string[] = []
  const keys = ['first', 'second', 'third', 'fourth'].map(name => ({ name }))
  let finish = (): void => {}
  for (const key of keys) {
    queue.add(key, async () => {
      if (key.name === 'first') await new Promise<void>(resolve => (finish = resolve))
      done.push(key.name)
    })
  }
  t.equal(queue.size, 3, 'the first has begun')
  queue.hurry(keys[3]!)
  queue.hurry({})
  queue.cancel(keys[1]!)
  queue.cancel(keys[0]!)
  finish()
  while (done.length < 3) await Promise.resolve()
  t.same(done, ['first', 'fourth', 'third'])
})
