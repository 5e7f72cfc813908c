/**
 * What the controller decides in: records, each the new state of one thing, and changes, each a series of steps that
 * are carried out one after the other. How a record is stored (which key, which bytes) is the shell's business.
 */
import { type ErrorCode } from '../../client/protocol/errors.ts'
import { type TopicId } from '../../client/protocol/types.ts'

/** A topic as it is configured. It exists for others once its name leads to its id. */
export interface TopicRecord {
  readonly topicId: TopicId
  readonly name: string
  /** Partitions 0 .. count-1 belong to the topic; higher ones that exist are being made, and are not to be seen yet. */
  readonly partitionCount: number
  readonly configs: Readonly<Record<string, string>>
}

/** Who has a partition and who leads it. */
export interface PartitionRecord {
  readonly topicId: TopicId
  readonly partition: number
  readonly leader: number
  readonly leaderEpoch: number
  readonly partitionEpoch: number
  readonly replicas: readonly number[]
  readonly isr: readonly number[]
  readonly elr: readonly number[]
  readonly lastKnownElr: readonly number[]
  readonly adding: readonly number[]
  readonly removing: readonly number[]
}

/** Where a broker can be reached on one of its listeners. */
export interface BrokerEndpoint {
  readonly listener: string
  readonly host: string
  readonly port: number
}

/** A broker that is there: what it says of itself, for as long as its lease lives. */
export interface BrokerRegistration {
  readonly broker: number
  /**
   * Given by the store when the broker registers: higher with every registration (KIP-903). In a record that is to be
   * written it means nothing.
   */
  readonly brokerEpoch: number
  /** What the registration dies with, so that who knows the broker to be dead can end it at once; null: it does not. */
  readonly lease: string | null
  /** Drawn anew by every start of the process. */
  readonly incarnation: string
  /** Of the data folder: who has the folder's lock knows that its former owner is gone. */
  readonly folder: string
  readonly endpoints: readonly BrokerEndpoint[]
  readonly rack: string | null
  /** The broker epoch that the folder was closed cleanly under; -1: it was not, and may lack what it once had. */
  readonly cleanEpoch: number
}

/** What the controller has made of a broker's registration. */
export interface BrokerState {
  readonly broker: number
  /** The registration that this is about. */
  readonly brokerEpoch: number
  readonly incarnation: string
  /** It leads nothing and is in sync with nothing. */
  readonly fenced: boolean
  /** It has asked to be relieved of what it leads (controlled shutdown). */
  readonly shuttingDown: boolean
}

export type ControllerRecord =
  | ({ readonly type: 'broker-registered' } & BrokerRegistration)
  | { readonly type: 'broker-gone'; readonly broker: number }
  | ({ readonly type: 'broker-state' } & BrokerState)
  | { readonly type: 'broker-forgotten'; readonly broker: number }
  /** `term`: given by the store, the fencing token of everything that this controller writes. */
  | {
      readonly type: 'controller'
      readonly broker: number
      readonly term: number
      readonly lease: string | null
    }
  | { readonly type: 'controller-gone' }
  /** Counts the terms, for the wire. */
  | { readonly type: 'controller-epoch'; readonly epoch: number }
  | ({ readonly type: 'topic' } & TopicRecord)
  | { readonly type: 'topic-removed'; readonly topicId: TopicId }
  | { readonly type: 'topic-name'; readonly name: string; readonly topicId: TopicId }
  | { readonly type: 'topic-name-removed'; readonly name: string }
  | ({ readonly type: 'partition' } & PartitionRecord)
  | { readonly type: 'partition-removed'; readonly topicId: TopicId; readonly partition: number }
  /** `broker` null: for all brokers. Replaces what was set there; an empty object removes it. */
  | {
      readonly type: 'broker-configs'
      readonly broker: number | null
      readonly configs: Readonly<Record<string, string>>
    }
  /** The same for a group. */
  | {
      readonly type: 'group-configs'
      readonly group: string
      readonly configs: Readonly<Record<string, string>>
    }
  /** Producer ids below this one are given out, or may have been. */
  | { readonly type: 'next-producer-id'; readonly next: bigint }

/** What must still hold when a step is carried out; else the decision was made on a state that is gone. */
export type Condition =
  | { readonly type: 'name-is-free'; readonly name: string }
  | { readonly type: 'topic-unchanged'; readonly topicId: TopicId; readonly revision: number }
  | { readonly type: 'broker-configs-unchanged'; readonly broker: number | null; readonly revision: number }
  | { readonly type: 'group-configs-unchanged'; readonly group: string; readonly revision: number }
  | { readonly type: 'producer-ids-unchanged'; readonly revision: number }
  | {
      readonly type: 'partition-unchanged'
      readonly topicId: TopicId
      readonly partition: number
      readonly revision: number
    }
  | { readonly type: 'partition-exists'; readonly topicId: TopicId; readonly partition: number }
  /** The broker is registered, under this very epoch. */
  | { readonly type: 'broker-epoch'; readonly broker: number; readonly brokerEpoch: number }
  | { readonly type: 'broker-not-registered'; readonly broker: number }
  | { readonly type: 'broker-state-unchanged'; readonly broker: number; readonly revision: number }
  /** Whoever was elected under this term still is. */
  | { readonly type: 'controller-term'; readonly term: number }
  | { readonly type: 'no-controller' }
  | { readonly type: 'controller-epoch-unchanged'; readonly revision: number }

/** Carried out at one moment or not at all. */
export interface Step {
  readonly conditions: readonly Condition[]
  readonly records: readonly ControllerRecord[]
}

/**
 * Steps in order. One whose conditions fail ends the change; what the steps before it have left behind is swept up at
 * start.
 */
export interface Change {
  readonly steps: readonly Step[]
}

/** Conditions and records of one step together: etcd takes 128 in one transaction. */
export const MAX_STEP_SIZE = 120

/** Why a command is refused. */
export interface Refusal {
  readonly error: ErrorCode
  readonly message: string
}

export function refuse(error: ErrorCode, message: string): Refusal {
  return { error, message }
}

/**
 * Steps that lead to `decisive`, carried out last and under `conditions`: everything in one step where it fits, so that
 * it happens at one moment; else in pieces, which nobody sees before the decisive records are there.
 */
export function stepsBefore(
  records: readonly ControllerRecord[],
  decisive: readonly ControllerRecord[],
  conditions: readonly Condition[],
): Step[] {
  if (records.length + decisive.length + conditions.length <= MAX_STEP_SIZE) {
    return [{ conditions, records: [...records, ...decisive] }]
  }
  const [first] = records
  // What sweeps up after others begins with the first piece.
  const isWhole: Condition[] =
    first?.type === 'partition'
      ? [{ type: 'partition-exists', topicId: first.topicId, partition: first.partition }]
      : []
  return [...pieces(records), { conditions: [...conditions, ...isWhole], records: decisive }]
}

/** The same with `decisive` first: what follows is only swept up. */
export function stepsAfter(
  records: readonly ControllerRecord[],
  decisive: readonly ControllerRecord[],
  conditions: readonly Condition[],
): Step[] {
  if (records.length + decisive.length + conditions.length <= MAX_STEP_SIZE) {
    return [{ conditions, records: [...decisive, ...records] }]
  }
  return [{ conditions, records: decisive }, ...pieces(records)]
}

/** Splits records that need not change together. */
export function pieces(records: readonly ControllerRecord[]): Step[] {
  const steps: Step[] = []
  for (let from = 0; from < records.length; from += MAX_STEP_SIZE) {
    steps.push({ conditions: [], records: records.slice(from, from + MAX_STEP_SIZE) })
  }
  return steps
}
