import t from 'tap'
import { lastSequences } from '../../../../broker/log/compaction/last-sequences.ts'
import { ProducerState } from '../../../../broker/log/producer-state.ts'
import { readBatchHeader } from '../../../../client/protocol/batch.ts'
import { type Offset, type ProducerEpoch, type ProducerId } from '../../../../client/protocol/types.ts'
import { batch, marker } from './script.ts'

const id = 7n as ProducerId
const epoch = (n: number): ProducerEpoch => n as ProducerEpoch
const header = (offset: number, producerEpoch = 0) =>
  readBatchHeader(batch(offset, 'a=1', { producer: 7, epoch: producerEpoch }), 0)

/** Batches of one record at these offsets. */
function producerOf(offsets: readonly number[], producerEpoch = 0): ProducerState {
  const producers = new ProducerState(0 as Offset)
  for (const [i, offset] of offsets.entries()) {
    const produced = {
      producerId: id,
      producerEpoch: epoch(producerEpoch),
      baseSequence: i,
      lastOffsetDelta: 0,
    }
    producers.append({ ...produced, isTransactional: false }, offset as Offset, 0)
  }
  return producers
}

t.test('a producer is known by its last batch', t => {
  const keeps = lastSequences(producerOf([10, 20, 30]), 100 as Offset)
  t.same(
    [10, 20, 30, 40].map(offset => keeps(header(offset))),
    [false, false, true, false],
  )
  t.notOk(keeps(readBatchHeader(batch(30, 'a=1', { producer: 8 }), 0)), 'another one is not known at all')
  t.end()
})

t.test('what a power cut may take does not count', t => {
  const keeps = lastSequences(producerOf([10, 20, 30]), 30 as Offset)
  t.same(
    [10, 20, 30].map(offset => keeps(header(offset))),
    [false, true, false],
  )
  t.end()
})

t.test('where none of the batches remembered is durable, any older one may be the one', t => {
  const keeps = lastSequences(producerOf([10, 20, 30, 40, 50, 60]), 20 as Offset)
  t.ok(keeps(header(10)))
  t.end()
})

t.test('a producer that wrote nothing in its epoch is known by the marker that began it', t => {
  const producers = producerOf([10])
  producers.endTransaction(id, epoch(1), 3, 11 as Offset, 0)
  const keeps = lastSequences(producers, 100 as Offset)
  t.notOk(keeps(header(10)))
  t.ok(keeps(readBatchHeader(marker(11, 'abort', 7, 1), 0)))
  t.notOk(keeps(readBatchHeader(marker(5, 'abort', 7, 0), 0)))
  t.end()
})
