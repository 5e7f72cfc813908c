/**
 * Keys are placed as Kafka's Java client places them.
 */
import t from 'tap'
import { defaultPartitioner, murmur2, partitionOfKey } from '../../client/partitioner.ts'

t.test('murmur2 gives the values of the Java client', async t => {
  const known: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ]
  for (const [text, hash] of known) t.equal(murmur2(Buffer.from(text)), hash, text)
  t.equal(partitionOfKey(Buffer.from('21'), 100), (-973932308 & 0x7fff_ffff) % 100)
})

t.test('records without a key stay in one partition until their batch is full', async t => {
  let next = 0
  const partitioner = defaultPartitioner({ float: () => 0, int: below => next++ % below })
  const input = {
    topic: 'orders',
    key: null,
    message: { value: null },
    partitionCount: 4,
    availablePartitions: [1, 3],
  }
  t.same(
    [1, 2, 3].map(() => partitioner.partition(input)),
    [1, 1, 1],
  )
  partitioner.onNewBatch?.('orders', 2)
  t.equal(partitioner.partition(input), 1, 'the batch of another partition changes nothing')
  partitioner.onNewBatch?.('orders', 1)
  t.equal(partitioner.partition(input), 3)
  t.equal(
    partitioner.partition({ ...input, topic: 'others', availablePartitions: [] }),
    2,
    'no leader at all',
  )
})
