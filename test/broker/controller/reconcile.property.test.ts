/**
 * Brokers die, come back with or without their data, leave in order and lose their registration; leaders change their
 * ISRs, partitions are moved, limits change, and the controller gets to do some of its work in between. Whatever
 * happens: the rules hold, nothing committed is lost by an election that is not known to be a guess, and once the
 * controller may do all its work the cluster is at rest and led wherever it can be.
 */
import fc from 'fast-check'
import t from 'tap'
import { decideShutdown } from '../../../broker/controller/brokers.ts'
import { decideElection } from '../../../broker/controller/elections.ts'
import { decideIsr } from '../../../broker/controller/in-sync.ts'
import { decideReassignment } from '../../../broker/controller/reassignments.ts'
import { reconcile } from '../../../broker/controller/reconcile.ts'
import { type PartitionRecord } from '../../../broker/controller/records.ts'
import { ModelStore, TERM } from './model-store.ts'

const BROKERS = [1, 2, 3, 4]
const PARTITIONS = 2

const broker = fc.constantFrom(...BROKERS)
const partition = fc.nat({ max: PARTITIONS - 1 })
const event = fc.oneof(
  { weight: 4, arbitrary: fc.record({ type: fc.constant('die' as const), broker, loses: fc.boolean() }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('come' as const), broker }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('restart' as const), broker, loses: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('register anew' as const), broker }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('shut down' as const), broker }) },
  { weight: 12, arbitrary: fc.record({ type: fc.constant('write' as const), partition }) },
  { weight: 16, arbitrary: fc.record({ type: fc.constant('fetch' as const), partition, broker }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant('join' as const), partition, broker }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('drop' as const), partition, broker }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('limit' as const), min: fc.integer({ min: 1, max: 3 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('move' as const),
      partition,
      replicas: fc.option(fc.uniqueArray(broker, { minLength: 1, maxLength: 4 })),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('elect' as const),
      partition,
      how: fc.constantFrom('preferred' as const, 'unclean' as const),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('round' as const),
      picks: fc.array(fc.nat({ max: 11 }), { maxLength: 4 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('work' as const) }) },
)
type Event = typeof event extends fc.Arbitrary<infer E> ? E : never

class Cluster {
  readonly store = ModelStore.withPartitions(
    BROKERS,
    Array.from({ length: PARTITIONS }, (_, index) => ({
      replicas: [1, 2, 3].map(id => ((id + index) % 4) + 1),
    })),
  )
  /** Records that each broker has of each partition, and records that were committed. */
  readonly ends = Array.from({ length: PARTITIONS }, () => new Map<number, number>())
  readonly committed: number[] = Array<number>(PARTITIONS).fill(0)
  /** Epochs that what a broker has is known to be complete for. */
  readonly intact = new Map<number, Set<number>>(
    BROKERS.map(id => [id, new Set([this.store.image.brokers.epochOf(id)])]),
  )

  happen(event: Event): void {
    const { store } = this
    const { brokers } = store.image
    switch (event.type) {
      case 'die':
        this.#die(event.broker, event.loses)
        return
      case 'come':
        this.#come(event.broker)
        return
      case 'restart':
        this.#die(event.broker, event.loses)
        this.#come(event.broker)
        return
      case 'register anew':
        if (brokers.get(event.broker) === undefined) return
        store.remove(event.broker)
        this.#come(event.broker)
        return
      case 'shut down': {
        const step = decideShutdown(store.image, event.broker, brokers.epochOf(event.broker))
        if (step !== null) store.perform(step)
        return
      }
      case 'write':
      case 'fetch':
      case 'join':
      case 'drop':
        this.#replicate(event)
        return
      case 'limit':
        store.policy = { ...store.policy, minInsyncReplicas: event.min }
        return
      case 'move':
      case 'elect':
        this.#administer(event)
        return
      case 'round': {
        const steps = reconcile(store.image, 'everything', store.policyOf, TERM, 1)
        for (const pick of event.picks) {
          const step = steps[pick]
          if (step !== undefined) this.#watching(() => void store.perform(step))
        }
        return
      }
      case 'work':
        this.work()
        return
      default:
        event satisfies never
    }
  }

  work(): void {
    for (let rounds = 0; ; rounds++) {
      if (rounds > 30) throw new Error('it does not come to rest')
      const steps = reconcile(this.store.image, 'everything', this.store.policyOf, TERM, 1)
      if (steps.length === 0) return
      for (const step of steps) this.#watching(() => void this.store.perform(step))
    }
  }

  partitions(): PartitionRecord[] {
    return Array.from({ length: PARTITIONS }, (_, index) => this.store.partition(index))
  }

  #die(broker: number, loses: boolean): void {
    if (this.store.image.brokers.get(broker) === undefined) return
    this.store.remove(broker)
    if (!loses) return
    this.intact.get(broker)!.clear()
    for (const ends of this.ends) ends.set(broker, (ends.get(broker) ?? 0) >> 1)
  }

  #come(broker: number): void {
    const { brokers } = this.store.image
    if (brokers.get(broker) !== undefined) return
    const known = brokers.state(broker)?.brokerEpoch ?? -1
    const intact = this.intact.get(broker)!
    intact.add(this.store.register(broker, { cleanEpoch: intact.has(known) ? known : -1 }))
  }

  /** What leaders and followers do, on their own, while they may. */
  #replicate(event: Event & { type: 'write' | 'fetch' | 'join' | 'drop' }): void {
    const { store } = this
    const { image } = store
    const current = store.partition(event.partition)
    const { leader, isr, elr } = current
    if (leader === -1 || !image.brokers.isActive(leader)) return
    const ends = this.ends[event.partition]!
    if (event.type === 'write') ends.set(leader, (ends.get(leader) ?? 0) + 1)
    else if (event.type === 'fetch') {
      if (image.brokers.isUnfenced(event.broker) && current.replicas.includes(event.broker)) {
        ends.set(event.broker, ends.get(leader) ?? 0)
      }
    } else {
      const members = isr.filter(id => id !== event.broker || event.type === 'join')
      const caughtUp = (ends.get(event.broker) ?? 0) >= this.committed[event.partition]!
      if (event.type === 'join' && !isr.includes(event.broker) && caughtUp) members.push(event.broker)
      const proposal = {
        ...current,
        isr: members.map(id => ({ broker: id, brokerEpoch: image.brokers.epochOf(id) })),
      }
      const self = { broker: leader, brokerEpoch: image.brokers.epochOf(leader) }
      const decision = decideIsr(image, proposal, self, store.policyOf)
      if (decision.refusal === null && decision.step !== null) {
        const { step } = decision
        this.#watching(() => {
          if (!store.perform(step)) throw new Error('a decision on the newest image holds')
        })
      }
      return
    }
    // Nothing is committed while there are eligible replicas, nor by too few.
    const needed = Math.min(store.policy.minInsyncReplicas, current.replicas.length)
    if (isr.length < needed || elr.length > 0) return
    const reached = Math.min(...isr.map(id => ends.get(id) ?? 0))
    this.committed[event.partition] = Math.max(this.committed[event.partition]!, reached)
  }

  #administer(event: Event & { type: 'move' | 'elect' }): void {
    const { store } = this
    const topic = store.image.topic('t')!
    const decision =
      event.type === 'elect'
        ? decideElection(store.image, topic, event.partition, event.how, store.policyOf)
        : decideReassignment(
            store.image,
            topic,
            't',
            { partition: event.partition, replicas: event.replicas, mayChangeReplicationFactor: true },
            BROKERS,
            store.policyOf,
          )
    if (decision.refusal === null) this.#watching(() => void store.carryOut(decision.change))
  }

  /** Carries out a change of partitions, and holds what came of it against the rules. */
  #watching(change: () => void): void {
    const before = this.partitions()
    change()
    for (const [index, now] of this.partitions().entries()) {
      const then = before[index]!
      if (now.partitionEpoch === then.partitionEpoch) continue
      checkChange(then, now)
      if (now.leader === -1 || now.leader === then.leader) continue
      const end = this.ends[index]!.get(now.leader) ?? 0
      const wasSafe = then.isr.includes(now.leader) || then.elr.includes(now.leader)
      if (wasSafe && end < this.committed[index]!) {
        throw new Error(`${now.leader} has ${end} of ${this.committed[index]} committed records`)
      }
      // A guess, of which everybody is told: what it lacks is gone.
      if (!wasSafe) this.committed[index] = Math.min(this.committed[index]!, end)
    }
  }
}

function checkChange(then: PartitionRecord, now: PartitionRecord): void {
  const demand = (holds: boolean, what: string): void => {
    if (!holds) throw new Error(`${what}: ${JSON.stringify({ then, now })}`)
  }
  const { leader, isr, elr, lastKnownElr, replicas, adding, removing } = now
  demand(now.partitionEpoch === then.partitionEpoch + 1, 'the partition epoch counts changes')
  const hasNewTerm = leader !== then.leader || then.replicas.some(id => !replicas.includes(id))
  demand(now.leaderEpoch === then.leaderEpoch + (hasNewTerm ? 1 : 0), 'the leader epoch counts terms')
  demand(new Set(replicas).size === replicas.length && replicas.length > 0, 'replicas are a list of brokers')
  demand(new Set(isr).size === isr.length, 'the ISR is a set')
  for (const set of [isr, elr, lastKnownElr, adding, removing]) {
    demand(
      set.every(id => replicas.includes(id)),
      'all are replicas',
    )
  }
  demand(!isr.some(id => elr.includes(id)), 'ISR and ELR have nobody in common')
  demand(leader === -1 ? isr.length === 0 : isr.includes(leader), 'the leader is in sync')
  demand(leader === -1 || lastKnownElr.length === 0, 'a guess is kept only while nobody leads')
  const stillHas = then.isr.some(id => replicas.includes(id))
  demand(isr.length + elr.length + lastKnownElr.length > 0 || !stillHas, 'somebody is remembered')
}

t.test('whatever happens the rules hold, and then the cluster comes to rest', t => {
  fc.assert(
    fc.property(fc.array(event, { minLength: 1, maxLength: 80, size: 'max' }), events => {
      const cluster = new Cluster()
      for (const happens of events) cluster.happen(happens)
      cluster.work()
      const { image } = cluster.store
      for (const { leader, isr, elr, replicas, lastKnownElr } of cluster.partitions()) {
        if (!isr.every(id => image.brokers.isActive(id))) throw new Error('who is not active is in sync')
        const candidates = elr.length > 0 ? elr : lastKnownElr
        if (leader === -1 && candidates.some(id => image.brokers.isActive(id)))
          throw new Error('nobody leads')
        const min = Math.min(cluster.store.policy.minInsyncReplicas, replicas.length)
        if (isr.length >= min && elr.length > 0) throw new Error('the ELR is kept too long')
      }
      for (const id of BROKERS) {
        if ((image.brokers.get(id) === undefined) === image.brokers.isUnfenced(id))
          throw new Error('fenced wrongly')
      }
    }),
    { numRuns: 3000 },
  )
  t.end()
})

t.test('when all brokers have come back, everything is led again', t => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60, size: 'max' }), events => {
      const cluster = new Cluster()
      for (const happens of events) cluster.happen(happens)
      for (const id of BROKERS) {
        cluster.happen({ type: 'die', broker: id, loses: false })
        cluster.happen({ type: 'come', broker: id })
      }
      cluster.work()
      for (const { leader } of cluster.partitions()) if (leader === -1) throw new Error('nobody leads')
    }),
    { numRuns: 1000 },
  )
  t.end()
})
