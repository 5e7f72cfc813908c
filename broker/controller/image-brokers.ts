/**
 * The brokers of the cluster as the image has them: who is registered, whom the controller lets take part, who
 * controls. Changed by `apply` alone. Empty where a broker is alone: there is nobody to know of.
 */
import { type BrokerRegistration, type BrokerState, type ControllerRecord } from './records.ts'

/** What the controller said of a broker, and the revision at which it did. */
export type BrokerStateImage = BrokerState & { readonly revision: number }

export interface ControllerImage {
  readonly broker: number
  /** Higher with every election; the fencing token of what the controller writes. */
  readonly term: number
  readonly lease: string | null
}

export type BrokerRecord = Extract<
  ControllerRecord,
  {
    type:
      | 'broker-registered'
      | 'broker-gone'
      | 'broker-state'
      | 'broker-forgotten'
      | 'controller'
      | 'controller-gone'
      | 'controller-epoch'
  }
>

export class ClusterBrokers {
  readonly #registered = new Map<number, BrokerRegistration>()
  readonly #states = new Map<number, BrokerStateImage>()
  #controller: ControllerImage | null = null
  #controllerEpoch = { epoch: 0, revision: 0 }
  /** Built when asked for; any record undoes it. */
  #active: readonly number[] | null = null

  /** Every broker that is registered, in order of their ids. */
  registered(): BrokerRegistration[] {
    return [...this.#registered.values()].sort((a, b) => a.broker - b.broker)
  }

  /** The registration of a broker; undefined: it is not there. */
  get(broker: number): BrokerRegistration | undefined {
    return this.#registered.get(broker)
  }

  /** What the controller last said of a broker, also of one that is gone. */
  state(broker: number): BrokerStateImage | undefined {
    return this.#states.get(broker)
  }

  states(): BrokerStateImage[] {
    return [...this.#states.values()].sort((a, b) => a.broker - b.broker)
  }

  /** -1: not registered. */
  epochOf(broker: number): number {
    return this.#registered.get(broker)?.brokerEpoch ?? -1
  }

  /** Registered, and the controller has let this very registration in. It may still be about to leave. */
  isUnfenced(broker: number): boolean {
    const registration = this.#registered.get(broker)
    const state = this.#states.get(broker)
    return registration !== undefined && state?.brokerEpoch === registration.brokerEpoch && !state.fenced
  }

  /** May lead, and be in sync: unfenced, and not about to leave. */
  isActive(broker: number): boolean {
    return this.isUnfenced(broker) && this.#states.get(broker)!.shuttingDown === false
  }

  /** Ids of those that are active, in order. Another array after every record about brokers. */
  active(): readonly number[] {
    this.#active ??= this.registered()
      .map(({ broker }) => broker)
      .filter(broker => this.isActive(broker))
    return this.#active
  }

  get controller(): ControllerImage | null {
    return this.#controller
  }

  /** How often a controller was elected, for the wire; revision 0: never yet. */
  get controllerEpoch(): { readonly epoch: number; readonly revision: number } {
    return this.#controllerEpoch
  }

  apply(record: BrokerRecord, revision: number): void {
    this.#active = null
    switch (record.type) {
      case 'broker-registered': {
        const { type: _type, ...registration } = record
        this.#registered.set(record.broker, registration)
        return
      }
      case 'broker-gone':
        this.#registered.delete(record.broker)
        return
      case 'broker-state': {
        const { type: _type, ...state } = record
        this.#states.set(record.broker, { ...state, revision })
        return
      }
      case 'broker-forgotten':
        this.#states.delete(record.broker)
        return
      case 'controller': {
        const { broker, term, lease } = record
        this.#controller = { broker, term, lease }
        return
      }
      case 'controller-gone':
        this.#controller = null
        return
      case 'controller-epoch':
        this.#controllerEpoch = { epoch: record.epoch, revision }
        return
      default:
        record satisfies never
    }
  }
}
