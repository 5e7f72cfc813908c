import t from 'tap'
import { advanceSequence, type ProducedBatch, ProducerState } from '../../../broker/log/producer-state.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { type Offset, type ProducerEpoch, type ProducerId } from '../../../client/protocol/types.ts'

const LAST_SEQUENCE = 2 ** 31 - 1
const DAY_MS = 86_400_000

function batch(baseSequence: number, records = 1, over: Partial<ProducedBatch> = {}): ProducedBatch {
  return {
    producerId: 7n as ProducerId,
    producerEpoch: 0 as ProducerEpoch,
    baseSequence,
    lastOffsetDelta: records - 1,
    isTransactional: false,
    ...over,
  }
}

const epoch = (value: number) => ({ producerEpoch: value as ProducerEpoch })

/** Appends at the end of the log and checks that it may be. */
function append(state: ProducerState, produced: ProducedBatch, wallMs = 0): Offset {
  const check = state.check(produced)
  t.equal(check.kind, 'append')
  const baseOffset = state.endOffset
  state.append(produced, (baseOffset + produced.lastOffsetDelta) as Offset, wallMs)
  return baseOffset
}

function verdict(state: ProducerState, produced: ProducedBatch): unknown {
  const check = state.check(produced)
  if (check.kind === 'refused') return check.error
  return check.kind === 'duplicate' ? check.batch.lastOffset - check.batch.offsetDelta : 'append'
}

t.test('sequences follow one another, and after the largest comes 0', t => {
  t.equal(advanceSequence(LAST_SEQUENCE, 1), 0)
  t.equal(advanceSequence(LAST_SEQUENCE - 1, 3), 1)
  const state = new ProducerState(0 as Offset)
  append(state, batch(LAST_SEQUENCE - 1, 4))
  t.equal(verdict(state, batch(1)), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
  t.equal(verdict(state, batch(2)), 'append')
  t.equal(verdict(state, batch(LAST_SEQUENCE - 1, 4)), 0, 'a retry across the wrap is recognised')
  t.end()
})

t.test('a producer of whom nothing is known may begin with any sequence (KIP-360)', t => {
  const state = new ProducerState(0 as Offset)
  t.equal(verdict(state, batch(1234)), 'append')
  t.end()
})

t.test('the last five batches are recognised, an older one is out of order', t => {
  const state = new ProducerState(0 as Offset)
  for (let sequence = 0; sequence < 6; sequence++) append(state, batch(sequence * 2, 2))
  t.equal(verdict(state, batch(0, 2)), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
  for (let sequence = 1; sequence < 6; sequence++)
    t.equal(verdict(state, batch(sequence * 2, 2)), sequence * 2)
  t.equal(
    verdict(state, batch(2, 3)),
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    'the same start with another count is no duplicate',
  )
  t.end()
})

t.test('epochs fence', t => {
  const state = new ProducerState(0 as Offset)
  append(state, batch(0, 1, epoch(3)))
  t.equal(verdict(state, batch(1, 1, epoch(2))), ErrorCode.INVALID_PRODUCER_EPOCH)
  t.equal(
    verdict(state, batch(1, 1, epoch(4))),
    ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
    'a new epoch starts with 0',
  )
  append(state, batch(0, 1, epoch(4)))
  t.equal(
    verdict(state, batch(0, 1, epoch(3))),
    ErrorCode.INVALID_PRODUCER_EPOCH,
    'also a retry of the old epoch',
  )
  t.end()
})

t.test('an append is undone as if it had never been', t => {
  const state = new ProducerState(0 as Offset)
  append(state, batch(0))
  const before = state.snapshot()
  const previous = state.append(batch(1), 1 as Offset, 0)
  const stranger = batch(5, 1, { producerId: 8n as ProducerId, isTransactional: true })
  const unknown = state.append(stranger, 2 as Offset, 0)
  t.equal(state.transactions.firstUnstableOffset, 2)
  state.restore(stranger, unknown)
  state.restore(batch(1), previous)
  state.rewindTo(1 as Offset)
  t.same(state.snapshot(), before)
  t.equal(state.transactions.firstUnstableOffset, null)
  t.equal(verdict(state, batch(1)), 'append')
  t.end()
})

t.test('when the very first batch of a producer is undone, its second must not overtake it', t => {
  const state = new ProducerState(0 as Offset)
  const previous = state.append(batch(0), 0 as Offset, 0)
  state.restore(batch(0), previous)
  state.rewindTo(0 as Offset)
  t.equal(verdict(state, batch(1)), ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER)
  t.equal(verdict(state, batch(0)), 'append')
  t.end()
})

t.test('who is silent for long is forgotten, but not with a transaction open', t => {
  const state = new ProducerState(0 as Offset)
  append(state, batch(0), 1000)
  append(state, batch(0, 1, { producerId: 8n as ProducerId, isTransactional: true }), 1000)
  t.equal(state.expire(1000 + DAY_MS - 1, DAY_MS), 0)
  t.equal(state.expire(1000 + DAY_MS, DAY_MS), 1)
  t.equal(verdict(state, batch(99)), 'append')
  t.ok(state.entry(8n as ProducerId))
  t.end()
})

t.test('a snapshot brings back what a retry needs', t => {
  const state = new ProducerState(0 as Offset)
  for (let sequence = 0; sequence < 7; sequence++) append(state, batch(sequence), 5000)
  append(state, batch(0, 3, { producerId: 9n as ProducerId, isTransactional: true }), 5000)
  const rows = state.snapshot()
  t.equal(rows.length, 6, 'one row for each remembered batch')
  t.match(
    rows[4],
    { producerId: 7n, lastSequence: 6, lastOffset: 6 },
    "the last row of a producer is Kafka's row",
  )

  const loaded = new ProducerState(0 as Offset)
  loaded.load(rows, state.endOffset, 6000, DAY_MS)
  t.same(loaded.snapshot(), rows)
  t.equal(loaded.endOffset, 10)
  t.equal(verdict(loaded, batch(2)), 2, 'the oldest of the five')
  t.equal(verdict(loaded, batch(7)), 'append')
  t.equal(loaded.transactions.firstUnstableOffset, 7)

  loaded.load(rows, state.endOffset, 5000 + DAY_MS, DAY_MS)
  t.equal(loaded.entry(7n as ProducerId), undefined, 'expired ones are left out')
  t.end()
})

t.test('transactions keep the last stable offset until their marker is committed', t => {
  const state = new ProducerState(0 as Offset)
  const transactional = (producerId: bigint, sequence: number) =>
    batch(sequence, 1, { producerId: producerId as ProducerId, isTransactional: true })
  append(state, transactional(1n, 0))
  append(state, transactional(2n, 0))
  append(state, transactional(1n, 1))
  t.equal(state.transactions.firstUnstableOffset, 0)
  t.equal(
    verdict(state, batch(2, 1, { producerId: 1n as ProducerId })),
    ErrorCode.INVALID_TXN_STATE,
    'no record outside an open transaction',
  )
  state.endTransaction(1n as ProducerId, 0 as ProducerEpoch, 0, 3 as Offset, 0)
  t.equal(state.transactions.firstUnstableOffset, 0, 'the marker is written but not committed')
  t.equal(state.transactions.firstOpenOffset(1n as ProducerId), 1)
  state.transactions.highWatermarkMoved(4 as Offset)
  t.equal(state.transactions.firstUnstableOffset, 1, 'the next open one')
  t.equal(verdict(state, transactional(1n, 2)), 'append', 'sequences go on after a marker of the same epoch')
  state.endTransaction(2n as ProducerId, 1 as ProducerEpoch, 0, 4 as Offset, 0)
  state.transactions.highWatermarkMoved(5 as Offset)
  t.equal(state.transactions.firstUnstableOffset, null)
  t.equal(
    verdict(state, batch(0, 1, { producerId: 2n as ProducerId, ...epoch(1) })),
    'append',
    'a marker may bump the epoch',
  )
  t.end()
})
