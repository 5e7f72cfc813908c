import t from 'tap'
import { parseBrokers, parsePartitions, placeOn, progressBar, progressOf } from '../../cli/partitions.ts'

t.test('partitions are named by topic and numbers', async t => {
  t.same(parsePartitions('orders'), { topic: 'orders', partitions: null })
  t.same(parsePartitions('a.b-c_d:0,12'), { topic: 'a.b-c_d', partitions: [0, 12] })
  for (const wrong of ['', 'orders:', 'orders:x', 'a b', 'orders:1,']) {
    t.throws(() => parsePartitions(wrong), { message: /names no partitions/ })
  }
  t.same(parseBrokers('3,1'), [3, 1])
  t.throws(() => parseBrokers('1,1'), { message: /names a broker twice/ })
  t.throws(() => parseBrokers('1;2'), { message: /no list of brokers/ })
})

t.test('one partition gets the brokers in order, of several each begins one further', async t => {
  t.same(placeOn([3, 1, 2], 3, 0), [3, 1, 2])
  t.same(placeOn([3, 1, 2], 2, 1), [1, 2])
  t.same(placeOn([3, 1, 2], 2, 2), [2, 3])
})

t.test('a move is as far as the new replicas are, measured by the largest', async t => {
  const move = { topic: 'orders', partition: 0, replicas: [1, 2, 3], adding: [2, 3], removing: [1] }
  const on = (broker: number, sizeBytes: number) => ({
    broker,
    path: '/',
    error: null,
    totalBytes: 0,
    usableBytes: 0,
    replicas: [{ topic: 'orders', partition: 0, sizeBytes, offsetLag: 0, isFuture: false }],
  })
  t.same(progressOf(move, [on(1, 100), on(2, 50)]), { copiedBytes: 50, totalBytes: 200 })
  t.same(progressOf(move, []), { copiedBytes: null, totalBytes: null })
  t.equal(progressBar(50, 200), '[######------------------] 25 %')
  t.equal(progressBar(0, 0), '[########################] 100 %')
  t.equal(progressBar(null, null), '')
})
