/**
 * One partition of `__consumer_offsets`: the groups whose hash lands there, their members and their offsets. Decides
 * what becomes of a command, and changes only by what was decided. It knows no sockets, no log and no clock.
 */
import { type Offset } from '../../client/protocol/types.ts'
import { type GroupSurroundings } from './config.ts'
import { type GroupRecord } from './records.ts'
import { type Decision, type GroupCommand, type VolatileChange } from './types.ts'

export class GroupShard {
  readonly #surroundings: GroupSurroundings

  constructor(surroundings: GroupSurroundings) {
    this.#surroundings = surroundings
  }

  /** All groups that have anything in the log, for `resume`. */
  groupIds(): string[] {
    return []
  }

  /** Reads only. `nowMs` is the wall clock. */
  decide(command: GroupCommand, nowMs: number): Decision {
    throw new Error(`${command.kind} ${nowMs} ${this.#surroundings.config.maxSize}`)
  }

  /** The only mutator of what is durable: for replay at load, and for each record of a decision. */
  apply(record: GroupRecord, offset: Offset): void {
    throw new Error(`${record.type} ${offset}`)
  }

  /** The only mutator of what dies with the coordinator. */
  applyVolatile(change: VolatileChange): void {
    throw new Error(change.kind)
  }
}
