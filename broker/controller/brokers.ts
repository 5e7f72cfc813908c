/**
 * Who of the brokers may take part, and what the controller has to say of them next. Reads the image alone; what
 * becomes of their partitions is decided in `partition-change.ts`, and in which order the two are written in
 * `reconcile.ts`.
 */
import { type Placement } from './assignments.ts'
import { type ClusterImage, type TopicImage } from './image.ts'
import { type Circumstances } from './partition-change.ts'
import { type Step } from './records.ts'

/** The configs of a topic that elections depend on. */
export interface TopicPolicy {
  readonly minInsyncReplicas: number
  readonly uncleanElection: boolean
}

export type PolicyOf = (topic: TopicImage) => TopicPolicy

/** The brokers at one moment of the image: made once for many partitions, and not to be kept longer than that. */
export type Standing = Pick<Circumstances, 'isActive' | 'hasLostData'>

const ALONE: Standing = { isActive: () => true, hasLostData: () => false }

export function standingOf({ brokers }: ClusterImage): Standing {
  // A broker that is alone is registered nowhere.
  if (brokers.registered().length === 0 && brokers.states().length === 0) return ALONE
  const active = new Set(brokers.active())
  const lost = new Set<number>()
  for (const { broker, brokerEpoch, cleanEpoch } of brokers.registered()) {
    const known = brokers.state(broker)
    if (known?.brokerEpoch === brokerEpoch) continue
    // What it says to have closed cleanly must be what it was last let in with: all before that is in it.
    if (known === undefined || known.brokerEpoch !== cleanEpoch) lost.add(broker)
  }
  return { isActive: broker => active.has(broker), hasLostData: broker => lost.has(broker) }
}

export function circumstancesOf(standing: Standing, policy: TopicPolicy): Circumstances {
  return { ...standing, ...policy }
}

/**
 * What is to be written of each broker whose registration has changed: one that came is let in, one that went is
 * fenced. A broker that came back must not be let in before its former self is out of every ISR (and, unless it was
 * closed cleanly, out of every ELR): from then on its new epoch is as good as the old one.
 */
export function pendingStates({ brokers }: ClusterImage): { readonly broker: number; readonly step: Step }[] {
  const pending: { readonly broker: number; readonly step: Step }[] = []
  for (const { broker, brokerEpoch, incarnation } of brokers.registered()) {
    const known = brokers.state(broker)
    if (known?.brokerEpoch === brokerEpoch && !known.fenced) continue
    const step: Step = {
      conditions: [
        { type: 'broker-state-unchanged', broker, revision: known?.revision ?? 0 },
        { type: 'broker-epoch', broker, brokerEpoch },
      ],
      records: [
        { type: 'broker-state', broker, brokerEpoch, incarnation, fenced: false, shuttingDown: false },
      ],
    }
    pending.push({ broker, step })
  }
  for (const { revision, ...state } of brokers.states()) {
    const { broker } = state
    if (state.fenced || brokers.get(broker) !== undefined) continue
    const step: Step = {
      conditions: [
        { type: 'broker-state-unchanged', broker, revision },
        { type: 'broker-not-registered', broker },
      ],
      records: [{ type: 'broker-state', ...state, fenced: true, shuttingDown: false }],
    }
    pending.push({ broker, step })
  }
  return pending
}

/**
 * The broker asks to be relieved of what it leads. Null: the controller has not let this registration in, or it has
 * asked already.
 */
export function decideShutdown({ brokers }: ClusterImage, broker: number, brokerEpoch: number): Step | null {
  const known = brokers.state(broker)
  if (known === undefined || known.brokerEpoch !== brokerEpoch || !brokers.isActive(broker)) return null
  const { revision, ...state } = known
  return {
    conditions: [
      { type: 'broker-state-unchanged', broker, revision },
      { type: 'broker-epoch', broker, brokerEpoch },
    ],
    records: [{ type: 'broker-state', ...state, shuttingDown: true }],
  }
}

/** Where partitions can be put: on every broker that was ever let in, as one that is gone may come back. */
export function placementOf({ brokers }: ClusterImage): Placement {
  const registered = brokers.registered()
  const ids = new Set([...registered, ...brokers.states()].map(({ broker }) => broker))
  const active = new Set(brokers.active())
  return {
    brokers: [...ids].sort((a, b) => a - b),
    racks: new Map(registered.map(({ broker, rack }) => [broker, rack])),
    isActive: broker => active.has(broker),
  }
}

/** How many partitions the broker leads. */
export function ledBy(image: ClusterImage, broker: number): number {
  let led = 0
  for (const { partitions } of image.topics()) {
    for (const { leader } of partitions) if (leader === broker) led++
  }
  return led
}
