/**
 * Gathers what becomes of one command.
 */
import { type GroupRecord } from './records.ts'
import {
  type Decision,
  type GroupAnswers,
  type GroupReply,
  type Token,
  type VolatileChange,
} from './types.ts'

export class DecisionBuilder {
  /** The wall clock, for records. */
  readonly nowMs: number
  readonly #records: GroupRecord[] = []
  readonly #volatile: VolatileChange[] = []
  readonly #replies: GroupReply[] = []
  /** The last setting counts. */
  readonly #timers = new Map<string, number | null>()

  constructor(nowMs: number) {
    this.nowMs = nowMs
  }

  record(record: GroupRecord): void {
    this.#records.push(record)
  }

  change(change: VolatileChange): void {
    this.#volatile.push(change)
  }

  reply<Kind extends keyof GroupAnswers>(kind: Kind, token: Token, answer: GroupAnswers[Kind]): void {
    this.#replies.push({ kind, token, answer } as GroupReply)
  }

  setTimer(key: string, afterMs: number): void {
    this.#timers.set(key, Math.max(0, afterMs))
  }

  cancelTimer(key: string): void {
    this.#timers.set(key, null)
  }

  build(): Decision {
    return {
      records: this.#records,
      volatile: this.#volatile,
      replies: this.#replies,
      timers: Array.from(this.#timers, ([key, afterMs]) => ({ key, afterMs })),
    }
  }
}
