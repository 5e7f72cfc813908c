/** What administrators and leaders ask for: moves, elections, ISRs; and what the controller does by itself. */
import t from 'tap'
import { decideShutdown, ledBy, placementOf } from '../../../broker/controller/brokers.ts'
import { balanceLeaders, decideElection, type ElectionType } from '../../../broker/controller/elections.ts'
import { decideIsr, type IsrProposal } from '../../../broker/controller/in-sync.ts'
import { sweepSteps } from '../../../broker/controller/orphans.ts'
import { decideReassignment, movesOf } from '../../../broker/controller/reassignments.ts'
import { reconcile } from '../../../broker/controller/reconcile.ts'
import { type BrokerRegistration } from '../../../broker/controller/records.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { type TopicId } from '../../../client/protocol/types.ts'
import { ModelStore, partitionRecord, show, TERM, TOPIC } from './model-store.ts'

function move(
  store: ModelStore,
  replicas: readonly number[] | null,
  mayChangeReplicationFactor = true,
): string {
  const topic = store.image.topic('t')
  const command = { partition: 0, replicas, mayChangeReplicationFactor }
  const { brokers } = placementOf(store.image)
  const decision = decideReassignment(store.image, topic, 't', command, brokers, store.policyOf)
  if (decision.refusal !== null) return errorName(decision.refusal.error)
  store.carryOut(decision.change)
  return show(store.partition())
}

function propose(store: ModelStore, isr: readonly number[], more: Partial<IsrProposal> = {}): string {
  const current = store.partition()
  const { brokers } = store.image
  const members = isr.map(broker => ({ broker, brokerEpoch: brokers.epochOf(broker) }))
  const self = { broker: 1, brokerEpoch: brokers.epochOf(1) }
  const decision = decideIsr(store.image, { ...current, isr: members, ...more }, self, store.policyOf)
  if (decision.refusal !== null) return errorName(decision.refusal.error)
  if (decision.step === null) return 'as it is'
  return store.perform(decision.step) ? show(store.partition()) : 'failed'
}

function elect(store: ModelStore, type: ElectionType, partition = 0): string {
  const decision = decideElection(store.image, store.image.topic('t'), partition, type, store.policyOf)
  if (decision.refusal !== null) return errorName(decision.refusal.error)
  store.carryOut(decision.change)
  return show(store.partition(partition))
}

t.test(
  'a broker that restarts is taken out, let in, and given back what it may lead: one thing after the other',
  t => {
    const store = ModelStore.withPartitions([1, 2], [{ replicas: [1] }, { replicas: [1, 2] }])
    const { image } = store
    const clean: Partial<BrokerRegistration> = { cleanEpoch: image.brokers.epochOf(1) }
    store.remove(1)
    store.register(1, clean)
    const round = (): unknown => {
      const steps = reconcile(image, new Set(), store.policyOf, TERM)
      for (const step of steps) t.ok(store.perform(step))
      return [steps.length, image.brokers.isActive(1), show(store.partition(0)), show(store.partition(1))]
    }
    t.same(round(), [1, false, '-1 | - | 1 | 1', '2 | 2 | 1 | -'])
    t.same(round(), [1, true, '-1 | - | 1 | 1', '2 | 2 | 1 | -'])
    const steps = reconcile(image, new Set([TOPIC]), store.policyOf, TERM)
    for (const step of steps) t.ok(store.perform(step))
    t.same([show(store.partition(0)), show(store.partition(1))], ['1 | 1 | - | -', '2 | 2 | 1 | -'])
    t.equal(store.partition(0).leaderEpoch, 2)
    t.equal(store.reconcile(), 0)
    t.end()
  },
)

t.test('what the controller writes fails where its term is over, or the partition has changed', t => {
  const store = ModelStore.withPartitions([1, 2, 3], [{}])
  store.remove(1)
  const [late] = reconcile(store.image, 'everything', store.policyOf, TERM + 1)
  t.equal(store.perform(late!), false)
  const [step] = reconcile(store.image, 'everything', store.policyOf, TERM)
  t.ok(store.perform(step!))
  t.equal(store.perform(step!), false)
  t.end()
})

t.test('thousands of partitions go in steps that a store takes, those without a leader first', t => {
  const partitions = Array.from({ length: 1000 }, (_, index) => ({
    replicas: index % 2 === 0 ? [1, 2] : [2, 1],
  }))
  const store = ModelStore.withPartitions([1, 2], partitions)
  store.remove(2)
  const steps = reconcile(store.image, 'everything', store.policyOf, TERM)
  t.ok(steps.every(({ conditions, records }) => conditions.length <= 120 && records.length < 120))
  const changed = steps.flatMap(({ records }) =>
    records.flatMap(record => (record.type === 'partition' ? [record] : [])),
  )
  t.equal(changed.length, 1000)
  t.ok(changed.slice(0, 500).every(({ partition }) => partition % 2 === 1))
  t.end()
})

t.test('a broker that is to stop leads nothing any more once the controller has seen it', t => {
  const store = ModelStore.withPartitions([1, 2, 3], [{}, {}, { replicas: [1] }])
  const { image } = store
  const epoch = image.brokers.epochOf(1)
  t.equal(decideShutdown(image, 1, epoch + 1), null, 'an older self has nothing to say')
  store.perform(decideShutdown(image, 1, epoch)!)
  t.equal(decideShutdown(image, 1, epoch), null)
  t.equal(ledBy(image, 1), 3)
  store.reconcile()
  t.equal(ledBy(image, 1), 0)
  t.equal(show(store.partition()), '2 | 2 3 | - | -')
  t.equal(show(store.partition(2)), '-1 | - | 1 | 1')
  store.remove(1)
  store.register(1, { cleanEpoch: epoch })
  store.reconcile()
  t.equal(ledBy(image, 1), 1, 'what nobody else has')
  t.end()
})

t.test('a leader changes its ISR as long as it is what it thinks it is, and the others are too', t => {
  const store = ModelStore.withPartitions([1, 2, 3, 4], [{ isr: [1] }])
  t.equal(propose(store, [1, 2]), '1 | 1 2 | - | -')
  t.equal(propose(store, [2, 1]), 'as it is')
  t.equal(propose(store, [1]), '1 | 1 | 2 | -')
  t.equal(propose(store, [1, 2], { revision: 1 }), 'INVALID_UPDATE_VERSION')
  t.equal(propose(store, [1, 2], { leaderEpoch: 7 as never }), 'FENCED_LEADER_EPOCH')
  t.equal(propose(store, [1, 2], { topicId: 'gone' as TopicId }), 'UNKNOWN_TOPIC_ID')
  t.equal(propose(store, [2]), 'INVALID_REQUEST')
  t.equal(propose(store, [1, 4]), 'INVALID_REQUEST', 'no replica')
  const stale = [
    { broker: 1, brokerEpoch: store.image.brokers.epochOf(1) },
    { broker: 2, brokerEpoch: 1 },
  ]
  t.equal(propose(store, [], { isr: stale }), 'INELIGIBLE_REPLICA', 'a former self of 2 has caught up')
  store.perform(decideShutdown(store.image, 3, store.image.brokers.epochOf(3))!)
  t.equal(propose(store, [1, 3]), 'INELIGIBLE_REPLICA')
  store.remove(1)
  t.equal(propose(store, [1, 2]), 'STALE_BROKER_EPOCH')
  store.reconcile()
  t.equal(propose(store, [1, 2]), 'NOT_LEADER_OR_FOLLOWER')
  t.end()
})

t.test('a partition is moved, moved elsewhere in between, and a move is cancelled', t => {
  const store = ModelStore.withPartitions([1, 2, 3, 4, 5], [{}])
  t.equal(move(store, null), 'NO_REASSIGNMENT_IN_PROGRESS')
  t.equal(move(store, [1, 2, 3]), '1 | 1 2 3 | - | -')
  t.equal(store.partition().partitionEpoch, 0, 'where it is to be it is')
  t.equal(move(store, [4, 1, 2]), '1 | 1 2 3 | - | - (4 1 2 3 +4 -3)')
  t.equal(movesOf(store.image.topic('t')!).length, 1)
  t.equal(move(store, [5, 1, 2]), '1 | 1 2 3 | - | - (5 1 2 3 +5 -3)', '4 is wanted no longer')
  t.equal(move(store, null), '1 | 1 2 3 | - | -')
  t.same(store.partition().replicas, [1, 2, 3])
  t.equal(move(store, [3, 1, 2]), '1 | 1 2 3 | - | -', 'another preferred leader is no move')
  t.equal(elect(store, 'preferred'), '3 | 1 2 3 | - | -')
  t.equal(move(store, [1, 2]), '1 | 1 2 | - | -', 'fewer: at once')
  t.equal(move(store, [1, 4]), '1 | 1 2 | - | - (1 4 2 +4 -2)')
  t.equal(propose(store, [1, 2, 4]), '1 | 1 4 | - | -')
  t.same(movesOf(store.image.topic('t')!), [])
  t.end()
})

t.test('moves that cannot be are refused', t => {
  const store = ModelStore.withPartitions([1, 2, 3, 4], [{}])
  t.equal(move(store, []), 'INVALID_REPLICA_ASSIGNMENT')
  t.equal(move(store, [1, 1]), 'INVALID_REPLICA_ASSIGNMENT')
  t.equal(move(store, [1, 9]), 'INVALID_REPLICA_ASSIGNMENT')
  t.equal(move(store, [1, 2], false), 'INVALID_REPLICATION_FACTOR')
  t.equal(move(store, [1, 2, 4], false), '1 | 1 2 3 | - | - (1 2 4 3 +4 -3)')
  const unknown = decideReassignment(
    store.image,
    undefined,
    'x',
    { partition: 0, replicas: null, mayChangeReplicationFactor: true },
    [],
    store.policyOf,
  )
  t.equal(unknown.refusal?.message, 'Unable to find a topic named x.')
  const alone = ModelStore.withPartitions(
    [1, 2, 3, 4],
    [{ replicas: [4, 1, 2], isr: [4], adding: [4], removing: [1] }],
  )
  t.equal(move(alone, null), 'INVALID_REPLICA_ASSIGNMENT', 'only the new replica has all records')
  t.end()
})

t.test('elections are held where they are needed and can be', t => {
  const store = ModelStore.withPartitions(
    [1, 2, 3],
    [{}, { leader: 2 }, { replicas: [3, 2], isr: [2], leader: 2 }],
  )
  t.equal(elect(store, 'preferred'), 'ELECTION_NOT_NEEDED')
  t.equal(elect(store, 'preferred', 1), '1 | 1 2 3 | - | -')
  t.equal(elect(store, 'preferred', 2), 'PREFERRED_LEADER_NOT_AVAILABLE')
  t.equal(elect(store, 'unclean', 2), 'ELECTION_NOT_NEEDED')
  t.equal(elect(store, 'unclean', 7), 'UNKNOWN_TOPIC_OR_PARTITION')
  store.remove(2)
  store.reconcile()
  t.equal(show(store.partition(2)), '-1 | - | 2 | 2')
  t.equal(elect(store, 'preferred', 2), 'PREFERRED_LEADER_NOT_AVAILABLE')
  t.equal(elect(store, 'unclean', 2), '3 | 3 | - | -')
  store.remove(3)
  store.reconcile()
  t.equal(elect(store, 'unclean', 2), 'ELIGIBLE_LEADERS_NOT_AVAILABLE')
  t.end()
})

t.test('leadership goes back where a broker lacks more of it than is allowed', t => {
  const led = (leader: number, more = {}) => ({ replicas: [1, 2, 3], leader, ...more })
  const store = ModelStore.withPartitions(
    [1, 2, 3],
    [led(2), led(2, { isr: [2, 3] }), led(2, { adding: [3] }), ...Array.from({ length: 7 }, () => led(1))],
  )
  const moved = (percentage: number): number[] =>
    balanceLeaders(store.image, percentage, store.policyOf).map(({ to }) => to.partition)
  t.same(moved(10), [0])
  t.same(moved(30), [], '3 of 10 is not more than 30 %')
  store.remove(1)
  t.same(moved(0), [], 'nor to one that is gone')
  t.end()
})

t.test('what is swept up was not being made any more, or can no longer be', t => {
  const store = ModelStore.withPartitions([1], [{ replicas: [1] }])
  const other = '000000000000000000000000000000bb' as TopicId
  for (const topicId of [other, TOPIC]) {
    const records = [1, 2].map(partition => ({
      type: 'partition' as const,
      ...partitionRecord({ topicId, partition, replicas: [1] }),
    }))
    store.perform({ conditions: [], records })
  }
  const steps = sweepSteps(store.image, store.image.orphans(), TERM)
  const { revision } = store.image.topic('t')!
  t.same(
    steps.map(({ conditions, records }) => [
      conditions.map(condition => ('revision' in condition ? condition.revision : condition.type)),
      records.map(record => ('partition' in record ? record.partition : record.type)),
    ]),
    [
      [['controller-term', revision], [1]],
      [['controller-term'], [2]],
      [['controller-term', 0], [1]],
      [['controller-term'], [2]],
    ],
  )
  for (const step of steps) t.ok(store.perform(step))
  t.same(store.image.orphans(), [])
  t.equal(store.image.topic('t')?.partitions.length, 1)
  t.end()
})
