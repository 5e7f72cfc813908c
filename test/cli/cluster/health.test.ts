import t from 'tap'
import { healthOf } from '../../../cli/cluster/health.ts'
import type { PartitionDescription } from '../../../client/index.ts'

function partition(given: Partial<PartitionDescription>): PartitionDescription {
  return {
    partition: 0,
    leader: 1,
    leaderEpoch: 0,
    replicas: [1, 2, 3],
    isr: [1, 2, 3],
    offlineReplicas: [],
    elr: [],
    lastKnownElr: [],
    error: null,
    ...given,
  }
}

function health(partitions: readonly Partial<PartitionDescription>[], fenced: readonly number[] = []) {
  return healthOf({
    brokers: [1, 2, 3].map(id => ({ id, fenced: fenced.includes(id) })),
    topics: [
      {
        topic: 'orders',
        topicId: null,
        internal: false,
        partitions: partitions.map((each, index) => partition({ partition: index, ...each })),
      },
    ],
    minIsr: new Map([['orders', 2]]),
  })
}

t.test('a cluster is healthy when every partition has a leader and all its replicas are in sync', async t => {
  t.match(health([{}, {}]), { healthy: true, partitions: 2, brokers: 3, findings: [], notPreferred: 0 })
  t.match(health([{ leader: 2 }]), { healthy: true, notPreferred: 1 }, 'any leader will do')
})

t.test('a partition counts under the worst that is true of it, and the worst comes first', async t => {
  const { healthy, findings } = health(
    [{ isr: [1, 2] }, { isr: [1] }, { leader: -1, isr: [], elr: [3] }],
    [2],
  )
  t.notOk(healthy)
  t.match(findings, [
    { problem: 'offline', what: 'orders-2', detail: /nobody leads it; in sync none of 1,2,3; eligible 3/ },
    { problem: 'under-min-isr', what: 'orders-1', detail: /in sync 1 of 1,2,3, needs 2/ },
    { problem: 'under-replicated', what: 'orders-0', detail: 'in sync 1,2 of 1,2,3' },
    { problem: 'fenced-broker', what: 'broker 2' },
  ])
})

t.test('more replicas in sync than there are cannot be asked for', async t => {
  t.ok(health([{ replicas: [1], isr: [1] }]).healthy)
})
