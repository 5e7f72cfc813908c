import t from 'tap'
import {
  type Circumstances,
  changePartition,
  type WantedChange,
} from '../../../broker/controller/partition-change.ts'
import { type PartitionRecord } from '../../../broker/controller/records.ts'
import { partitionRecord, show } from './model-store.ts'

interface Given extends Partial<PartitionRecord> {
  readonly active?: readonly number[]
  readonly lost?: readonly number[]
  readonly min?: number
  readonly unclean?: boolean
}

function change(given: Given, wanted: WantedChange = {}): PartitionRecord | null {
  const { active = [1, 2, 3, 4, 5], lost = [], min = 2, unclean = false, ...record } = given
  const circumstances: Circumstances = {
    isActive: broker => active.includes(broker),
    hasLostData: broker => lost.includes(broker),
    minInsyncReplicas: min,
    uncleanElection: unclean,
  }
  return changePartition(partitionRecord(record), wanted, circumstances)
}

function outcome(given: Given, wanted: WantedChange = {}): string {
  const next = change(given, wanted)
  return next === null ? 'as it is' : show(next)
}

t.test('brokers die one after the other, and come back', t => {
  t.equal(outcome({}), 'as it is')
  t.equal(outcome({ active: [1, 2] }), '1 | 1 2 | - | -')
  t.equal(outcome({ active: [2, 3] }), '2 | 2 3 | - | -', 'the first replica that is in sync')
  t.equal(outcome({ active: [1], isr: [1, 2] }), '1 | 1 | 2 | -')
  t.equal(outcome({ active: [], isr: [1], elr: [2] }), '-1 | - | 2 1 | 1')
  const nobody = { leader: -1, isr: [], elr: [2, 1], lastKnownElr: [1] }
  t.equal(outcome({ ...nobody, active: [3] }), 'as it is', 'who may lack records does not lead')
  t.equal(outcome({ ...nobody, active: [2] }), '2 | 2 | 1 | -')
  t.equal(outcome({ ...nobody, active: [1, 2] }), '1 | 1 | 2 | -')
  t.equal(outcome({ leader: 2, isr: [2], elr: [1] }, { isr: [2, 1] }), '2 | 2 1 | - | -')
  t.end()
})

t.test('who came back without its data is not relied upon', t => {
  t.equal(outcome({ active: [2], lost: [1], isr: [1, 2] }), '2 | 2 | - | -')
  t.equal(outcome({ active: [], lost: [1], isr: [1], elr: [2] }), '-1 | - | 2 | 1')
  t.equal(outcome({ active: [], lost: [2], isr: [1], elr: [2] }), '-1 | - | 1 | 1')
  t.equal(outcome({ active: [], lost: [1, 2], isr: [1], elr: [2] }), '-1 | - | - | 1')
  const nobody = { leader: -1, isr: [], elr: [], lastKnownElr: [1] }
  t.equal(outcome({ ...nobody, active: [2, 3] }), 'as it is')
  t.equal(outcome({ ...nobody, active: [1, 2, 3] }), '1 | 1 | - | -', 'the best guess')
  t.end()
})

t.test('any replica leads only where that is allowed, or asked for', t => {
  const nobody = { leader: -1, isr: [], elr: [1], lastKnownElr: [1], active: [3] }
  t.equal(outcome(nobody), 'as it is')
  t.equal(outcome({ ...nobody, unclean: true }), '3 | 3 | - | -')
  t.equal(outcome(nobody, { election: 'unclean' }), '3 | 3 | - | -')
  t.equal(
    outcome({ ...nobody, active: [1, 3], unclean: true }),
    '1 | 1 | - | -',
    'without loss where that can be; alone it is not enough for 2, but nobody else is known',
  )
  t.equal(outcome({ unclean: true, active: [2, 3] }, { election: 'unclean' }), '2 | 2 3 | - | -')
  t.end()
})

t.test('the preferred leader leads again when asked for, if it is in sync', t => {
  t.equal(outcome({ leader: 2 }), 'as it is')
  t.equal(outcome({ leader: 2 }, { election: 'preferred' }), '1 | 1 2 3 | - | -')
  t.equal(outcome({ leader: 2, isr: [2, 3] }, { election: 'preferred' }), 'as it is')
  t.end()
})

t.test('the number that must be in sync is never more than there are replicas', t => {
  t.equal(outcome({ replicas: [1], active: [] }), '-1 | - | 1 | 1')
  t.equal(outcome({ replicas: [1], leader: -1, isr: [], elr: [1], lastKnownElr: [1] }), '1 | 1 | - | -')
  t.equal(outcome({ replicas: [1, 2], isr: [1], elr: [2], min: 1 }), '1 | 1 | - | -', 'the limit was lowered')
  t.equal(
    outcome({ isr: [1, 2], active: [], elr: [3], min: 2 }),
    '-1 | - | 1 2 | 1',
    'and 3 may have missed records',
  )
  t.end()
})

t.test('epochs count changes and terms', t => {
  const epochs = (given: Given, wanted: WantedChange = {}): unknown => {
    const next = change({ leaderEpoch: 5, partitionEpoch: 9, ...given }, wanted)
    return next === null ? null : [next.leaderEpoch, next.partitionEpoch]
  }
  t.same(epochs({ active: [1, 2] }), [5, 10], 'a smaller ISR is no new term')
  t.same(epochs({ active: [2, 3] }), [6, 10])
  t.same(epochs({ active: [] }), [6, 10], 'nobody leads: that is one too')
  t.same(epochs({}, { isr: [3, 2, 1] }), null, 'a set has no order')
  t.same(epochs({ replicas: [1, 2, 3, 4], isr: [1, 2, 3], adding: [4] }, { isr: [1, 2, 3, 4] }), [5, 10])
  t.same(
    epochs({ replicas: [1, 2, 3], removing: [3] }),
    [6, 10],
    'who no longer has the partition must be told from who has',
  )
  t.end()
})

t.test('a move ends when all that are to come are in sync, in one change', t => {
  const moving = { replicas: [4, 5, 1, 2, 3], leader: 1, isr: [1, 2, 3], adding: [4, 5], removing: [2, 3] }
  t.equal(outcome(moving), 'as it is')
  t.equal(outcome(moving, { isr: [1, 2, 3, 4] }), '1 | 1 2 3 4 | - | - (4 5 1 2 3 +4 5 -2 3)')
  t.equal(outcome(moving, { isr: [1, 2, 3, 4, 5] }), '1 | 1 4 5 | - | -')
  t.equal(
    outcome({ ...moving, leader: 2 }, { isr: [1, 2, 3, 4, 5] }),
    '4 | 1 4 5 | - | -',
    'the leader goes too',
  )
  t.equal(
    outcome({ ...moving, active: [1, 2, 3, 4] }, { isr: [1, 2, 3, 4] }),
    '1 | 1 2 3 4 | - | - (4 5 1 2 3 +4 5 -2 3)',
  )
  const fewer = { replicas: [1, 2, 3], isr: [1, 3], removing: [3] }
  t.equal(outcome(fewer), 'as it is', 'it would leave too few to write')
  t.equal(outcome({ ...fewer, isr: [3], leader: 3, elr: [1] }), 'as it is', 'it would leave nobody')
  t.equal(outcome({ ...fewer, isr: [1], elr: [3] }), '1 | 1 | - | -')
  t.end()
})
