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

export type ControllerRecord =
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
  return [...pieces(records), { conditions, records: decisive }]
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
