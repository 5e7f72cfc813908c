/**
 * One shard of the group coordinator alive: feeds it commands, writes its records into the partition, keeps its timers,
 * and lets an answer leave only when everything that it rests on is committed. So nobody is ever told what a crash can
 * take back: not a commit, and not the offset that somebody else's commit is about to replace.
 *
 *   command -> decide -> apply in memory -> records join the batch of this turn -> append -> committed -> answers
 *
 * What is in memory is ahead of the log by the records that are on their way. Where those cannot be written, memory is
 * wrong: the host ends, everybody who waits is told to look again, and the shard is loaded anew from the log.
 */
import { assert } from '../../client/protocol/assert.ts'
import { ErrorCode } from '../../client/protocol/errors.ts'
import { encodeBatch, type RecordInput } from '../../client/protocol/record.ts'
import { type Offset } from '../../client/protocol/types.ts'
import { type Clock, type Timers } from '../env.ts'
import { type GroupShard } from '../group/group-shard.ts'
import { encodeGroupRecord, type GroupRecord } from '../group/records.ts'
import {
  type AnswerTo,
  type Decision,
  type GroupCommand,
  type GroupReply,
  type GroupRequest,
  type TimerChange,
  type Token,
} from '../group/types.ts'
import { type Deadline, type DeadlineQueue } from './deadline-queue.ts'
import { type PartitionHost } from './partition-host.ts'
import { type ProduceOutcome } from './partition-types.ts'

/** What all shards of a broker share. */
export interface GroupHostServices {
  readonly clock: Clock
  readonly timers: Timers
  readonly deadlines: DeadlineQueue
  /** A bug: the broker must stop. */
  fatal(error: unknown): void
}

/** What became of a request: its answer, or why this coordinator could give none. */
export type Answered<C extends GroupRequest> =
  | { readonly error: typeof ErrorCode.NONE; readonly answer: AnswerTo<C> }
  | { readonly error: ErrorCode; readonly answer: null }

export interface GroupHostOptions {
  readonly services: GroupHostServices
  /** Loaded up to the end of the partition's log. */
  readonly shard: GroupShard
  readonly partition: PartitionHost
  /** Called once when records could not be written. The host has ended by then. */
  readonly onFailed: (outcome: ProduceOutcome) => void
}

/** Records of one turn are one batch up to this size, so that what Kafka's tools read stays as they know it. */
const BATCH_BYTES = 512 * 1024
/** What a record takes beside its key and its value, at most. */
const RECORD_OVERHEAD_BYTES = 32

/** The answers that leave when a batch is committed. */
interface Write {
  readonly replies: GroupReply[]
}

type Waiting = (answered: Answered<GroupRequest>) => void

export class GroupHost {
  readonly shard: GroupShard
  readonly #services: GroupHostServices
  readonly #partition: PartitionHost
  readonly #onFailed: (outcome: ProduceOutcome) => void
  readonly #waiting = new Map<Token, Waiting>()
  readonly #timers = new Map<string, ShardTimer>()
  /** The batch of this turn. */
  #records: RecordInput[] = []
  #recordBytes = 0
  /** Of the batch of this turn, null while it is empty. */
  #open: Write | null = null
  readonly #inFlight: Write[] = []
  /** Of the next record. */
  #nextOffset: Offset
  #isRunning = true

  constructor(options: GroupHostOptions) {
    this.shard = options.shard
    this.#services = options.services
    this.#partition = options.partition
    this.#onFailed = options.onFailed
    this.#nextOffset = options.partition.state.logEndOffset
  }

  /** False after it was closed, or has failed. */
  get isRunning(): boolean {
    return this.#isRunning
  }

  /** Requests that are not answered yet. */
  get waiting(): number {
    return this.#waiting.size
  }

  isWaiting(token: Token): boolean {
    return this.#waiting.has(token)
  }

  /** Resolves to the answer of the shard, or to `error` when this host ends before. */
  request<C extends GroupRequest>(command: C): Promise<Answered<C>> {
    return new Promise(resolve => {
      assert(this.#isRunning, 'a host that has ended is asked nothing')
      this.#waiting.set(command.token, resolve as Waiting)
      this.tell(command)
    })
  }

  /** Carries out a command that nobody waits for. */
  tell(command: GroupCommand): void {
    if (this.#isRunning) this.#carryOut(this.shard.decide(command, this.#services.clock.wallMs()))
  }

  /** Nobody waits for this answer any more. */
  forget(token: Token): void {
    this.#answer(token, { error: ErrorCode.NOT_COORDINATOR, answer: null })
  }

  /**
   * Takes no more commands. Records on their way are written all the same, and answered when they are; whoever waits
   * for something else is answered with `error`.
   */
  close(error: ErrorCode): void {
    if (!this.#isRunning) return
    this.#flush()
    this.#end()
    const written = new Set(this.#inFlight.flatMap(({ replies }) => replies.map(({ token }) => token)))
    for (const token of [...this.#waiting.keys()]) {
      if (!written.has(token)) this.#answer(token, { error, answer: null })
    }
  }

  #end(): void {
    this.#isRunning = false
    for (const timer of this.#timers.values()) this.#services.deadlines.remove(timer)
    this.#timers.clear()
  }

  // ---------------------------------------------------------------------------------------------- deciding

  #carryOut(decision: Decision): void {
    if (decision.records.length > 0) this.#add(decision.records)
    for (const change of decision.volatile) this.shard.applyVolatile(change)
    for (const change of decision.timers) this.#setTimer(change)
    const write = this.#open ?? this.#inFlight.at(-1)
    if (write !== undefined) write.replies.push(...decision.replies)
    else for (const reply of decision.replies) this.#reply(reply)
  }

  /** All records of a decision are in one batch: after a crash there are all of them or none. */
  #add(records: readonly GroupRecord[]): void {
    const timestamp = this.#services.clock.wallMs()
    const encoded = records.map(record => ({ ...encodeGroupRecord(record), timestamp }))
    let bytes = 0
    for (const { key, value } of encoded) {
      bytes += key.byteLength + (value?.byteLength ?? 0) + RECORD_OVERHEAD_BYTES
    }
    if (this.#recordBytes > 0 && this.#recordBytes + bytes > BATCH_BYTES) this.#flush()
    if (this.#open === null) {
      this.#open = { replies: [] }
      this.#services.timers.endOfTurn(() => this.#guard(() => this.#flush()))
    }
    this.#recordBytes += bytes
    for (const record of encoded) this.#records.push(record)
    for (const record of records) {
      this.shard.apply(record, this.#nextOffset)
      this.#nextOffset = (this.#nextOffset + 1) as Offset
    }
  }

  #setTimer({ key, afterMs }: TimerChange): void {
    const { clock, deadlines } = this.#services
    let timer = this.#timers.get(key)
    if (timer !== undefined) deadlines.remove(timer)
    if (afterMs === null) {
      this.#timers.delete(key)
      return
    }
    if (timer === undefined) this.#timers.set(key, (timer = new ShardTimer(this, key)))
    timer.deadlineMs = clock.monotonicMs() + afterMs
    deadlines.add(timer)
  }

  /** For the timers. */
  timedOut(key: string): void {
    this.#timers.delete(key)
    this.#guard(() => this.tell({ kind: 'timer', key }))
  }

  // ----------------------------------------------------------------------------------------------- writing

  #flush(): void {
    const write = this.#open
    if (write === null) return
    const baseOffset = (this.#nextOffset - this.#records.length) as Offset
    const batch = encodeBatch(this.#records)
    this.#open = null
    this.#records = []
    this.#recordBytes = 0
    this.#inFlight.push(write)
    this.#partition.append(batch, baseOffset, outcome => this.#written(write, outcome))
  }

  #written(write: Write, outcome: ProduceOutcome): void {
    if (outcome.error !== ErrorCode.NONE) {
      this.#failed(outcome)
      return
    }
    // After a failure what was in flight has been answered already.
    if (this.#inFlight.length === 0) return
    assert(this.#inFlight.shift() === write, 'batches are committed in order')
    for (const reply of write.replies) this.#reply(reply)
  }

  /** Memory holds what the log does not. */
  #failed(outcome: ProduceOutcome): void {
    this.#inFlight.length = 0
    this.#open = null
    this.#records = []
    const wasRunning = this.#isRunning
    this.#end()
    for (const token of [...this.#waiting.keys()]) {
      this.#answer(token, { error: ErrorCode.NOT_COORDINATOR, answer: null })
    }
    if (wasRunning) this.#onFailed(outcome)
  }

  // --------------------------------------------------------------------------------------------- answering

  #reply({ token, answer }: GroupReply): void {
    this.#answer(token, { error: ErrorCode.NONE, answer })
  }

  /** Runs what no request has asked for: what it throws concerns everybody. */
  #guard(run: () => void): void {
    try {
      run()
    } catch (error) {
      this.#services.fatal(error)
    }
  }

  #answer(token: Token, answered: Answered<GroupRequest>): void {
    const waiting = this.#waiting.get(token)
    if (waiting === undefined) return
    this.#waiting.delete(token)
    waiting(answered)
  }
}

class ShardTimer implements Deadline {
  deadlineMs = Infinity
  heapIndex = -1
  readonly #host: GroupHost
  readonly #key: string

  constructor(host: GroupHost, key: string) {
    this.#host = host
    this.#key = key
  }

  reached(): void {
    this.#host.timedOut(this.#key)
  }
}
