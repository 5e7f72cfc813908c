/**
 * What lies between the position and the fetch offset of a partition.
 */
import t from 'tap'
import { type BufferedBatch, ConsumerPartition } from '../../../client/consumer/partition.ts'
import { encodeBatch, encodeMarkerBatch } from '../../../client/protocol/record.ts'
import { type Offset, type ProducerEpoch, type ProducerId } from '../../../client/protocol/types.ts'

const WRITER = 5n as ProducerId
const OTHER = 6n as ProducerId
const producerEpoch = 0 as ProducerEpoch

function batch(baseOffset: number, count: number, producerId?: ProducerId): Buffer {
  return encodeBatch(
    Array.from({ length: count }, () => ({ value: 'x', timestamp: 0 })),
    {
      baseOffset: baseOffset as Offset,
      ...(producerId === undefined
        ? {}
        : { producerId, producerEpoch, baseSequence: 0, isTransactional: true }),
    },
  )
}

function marker(baseOffset: number, type: 'abort' | 'commit', producerId: ProducerId): Buffer {
  return encodeMarkerBatch({
    type,
    producerId,
    producerEpoch,
    coordinatorEpoch: 0,
    timestamp: 0,
    baseOffset: baseOffset as Offset,
  })
}

function drain(partition: ConsumerPartition): number[] {
  const lastOffsets: number[] = []
  for (let next: BufferedBatch | null = partition.peek(); next !== null; next = partition.peek()) {
    lastOffsets.push(next.lastOffset)
    partition.shift()
  }
  return lastOffsets
}

t.test('a batch that was cut off is asked for again', async t => {
  const partition = new ConsumerPartition('orders', 0, 1000)
  partition.moveTo(0)
  const whole = Buffer.concat([batch(0, 2), batch(2, 3)])
  t.equal(partition.add(whole.subarray(0, whole.length - 5), null), 'INCOMPLETE')
  t.equal(partition.fetchOffset, 2)
  t.same(drain(partition), [1])
  t.equal(partition.position, 2)
})

t.test('batches before the fetch offset are dropped, as brokers send whole ones', async t => {
  const partition = new ConsumerPartition('orders', 0, 1000)
  partition.moveTo(3)
  partition.add(Buffer.concat([batch(0, 2), batch(2, 3)]), null)
  t.same(drain(partition), [4])
})

t.test('control batches are never shown, but the position passes them', async t => {
  const partition = new ConsumerPartition('orders', 0, 1000)
  partition.moveTo(0)
  partition.add(Buffer.concat([batch(0, 2, WRITER), marker(2, 'commit', WRITER)]), null)
  t.same(drain(partition), [1])
  t.equal(partition.position, 3)
  partition.add(marker(3, 'commit', OTHER), null)
  t.equal(partition.position, 4)
})

t.test('read_committed leaves out what was aborted, and only that', async t => {
  const records = Buffer.concat([
    batch(0, 1, WRITER),
    batch(1, 1, OTHER),
    marker(2, 'abort', WRITER),
    batch(3, 1, WRITER),
    marker(4, 'commit', OTHER),
    marker(5, 'commit', WRITER),
    batch(6, 1),
  ])
  const committed = new ConsumerPartition('orders', 0, 1000)
  committed.moveTo(0)
  committed.add(records, [{ producerId: WRITER, firstOffset: 0 }])
  t.same(drain(committed), [1, 3, 6])
  const all = new ConsumerPartition('orders', 0, 1000)
  all.moveTo(0)
  all.add(records, null)
  t.same(drain(all), [0, 1, 3, 6])
})
