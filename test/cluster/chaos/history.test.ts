import t from 'tap'
import { History, judge } from './history.ts'

function numbers(...log: number[]): Map<number, number> {
  return new Map(log.map((number, offset) => [offset, number]))
}

t.test('a history that was kept has nothing wrong with it', async t => {
  const history = new History()
  const partition = history.partition('orders', 0)
  history.acked(partition, 0, 0)
  history.acked(partition, 2, 5)
  history.wasRead(partition, 1, 3)
  t.same(judge(partition, numbers(0, 3, 5, 6)), [], 'what was not acknowledged may be there')
})

t.test('what is lost, doubled, out of order or taken back is found', async t => {
  const history = new History()
  const partition = history.partition('orders', 0)
  history.acked(partition, 1, 1)
  t.match(judge(partition, numbers(0)), ['orders-0@1 was acknowledged for 1 and holds nothing'])
  t.match(judge(partition, numbers(0, 2)), ['orders-0@1 was acknowledged for 1 and holds 2'])
  t.match(judge(partition, numbers(1, 1)), [/holds 1 for the second time/])
  t.match(judge(partition, numbers(2, 1)), [/orders-0@1 holds 1, after 2/])
  history.wasRead(partition, 0, 7)
  t.match(judge(partition, numbers(0, 1)), ['orders-0@0 was read as 7 and holds 0'])
  history.wasRead(partition, 0, 8)
  history.acked(partition, 1, 2)
  t.match(
    judge(partition, numbers(8, 2)),
    [/acknowledged for 1, and again for 2/, /was read as 7, and later as 8/].toReversed(),
  )
})
