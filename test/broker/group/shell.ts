/**
 * A shell without a log and without sockets: it carries out the decisions of a shard in virtual time, keeps the records
 * as the bytes that would be in the log, and lets a test say when they become durable and when the broker crashes.
 */
import {
  type GroupCoordinatorConfig,
  type GroupOverrides,
  type TopicInfo,
} from '../../../broker/group/config.ts'
import { GroupShard } from '../../../broker/group/group-shard.ts'
import { decodeGroupRecord, encodeGroupRecord, type GroupRecord } from '../../../broker/group/records.ts'
import {
  type GroupAnswers,
  type GroupCommand,
  type GroupReply,
  type GroupRequest,
} from '../../../broker/group/types.ts'
import { type Offset, type TopicId } from '../../../client/protocol/types.ts'

export const CONFIG: GroupCoordinatorConfig = {
  minSessionTimeoutMs: 1000,
  maxSessionTimeoutMs: 1_800_000,
  maxSize: 10_000,
  initialRebalanceDelayMs: 0,
  newMemberJoinTimeoutMs: 300_000,
  consumerSessionTimeoutMs: 45_000,
  consumerHeartbeatIntervalMs: 5000,
  consumerMaxSize: 10_000,
  consumerAssignmentIntervalMs: 0,
  consumerAssignors: ['uniform', 'range'],
  consumerMigrationPolicy: 'bidirectional',
  offsetMetadataMaxBytes: 4096,
  offsetsRetentionMs: 7 * 24 * 3_600_000,
  offsetsRetentionCheckIntervalMs: 600_000,
}

export function topicId(name: string): TopicId {
  return Buffer.from(name).toString('hex').padEnd(32, '0').slice(0, 32) as TopicId
}

export class TestTopics {
  version = 1
  readonly #byName = new Map<string, TopicInfo>()
  readonly #byId = new Map<string, TopicInfo>()

  set(name: string, partitionCount: number, racks: string[][] | null = null): void {
    const topic = { name, topicId: topicId(name), partitionCount, racks }
    this.#byName.set(name, topic)
    this.#byId.set(topic.topicId, topic)
    this.version++
  }

  delete(name: string): void {
    this.#byName.delete(name)
    this.#byId.delete(topicId(name))
    this.version++
  }

  byName(name: string): TopicInfo | undefined {
    return this.#byName.get(name)
  }

  byId(id: TopicId): TopicInfo | undefined {
    return this.#byId.get(id)
  }

  names(): Iterable<string> {
    return this.#byName.keys()
  }
}

type Sent<C> = C extends GroupRequest ? Omit<C, 'token'> : never
export type Reaction = (reply: GroupReply) => void

export class TestShell {
  readonly config: GroupCoordinatorConfig
  readonly topics = new TestTopics()
  readonly overrides = new Map<string, GroupOverrides>()
  nowMs = 1_000_000
  shard: GroupShard
  readonly log: GroupRecord[] = []
  /** Records below this one survive a crash. */
  durable = 0
  /** False: `flush` says when. */
  syncsAtOnce = true
  /** Where decisions end in the log: the records of one are in one batch, which is there or not. */
  #batchEnds: number[] = []
  readonly #timers = new Map<string, number>()
  readonly #waiting = new Map<number, Reaction>()
  #held: { readonly end: number; readonly reply: GroupReply }[] = []
  #nextToken = 1

  constructor(config: Partial<GroupCoordinatorConfig> = {}) {
    this.config = { ...CONFIG, ...config }
    this.shard = this.#newShard()
  }

  #newShard(): GroupShard {
    return new GroupShard({
      config: this.config,
      topics: this.topics,
      overridesOf: groupId => this.overrides.get(groupId) ?? {},
      compilePattern: pattern => {
        try {
          const expression = new RegExp(`^(?:${pattern})$`)
          return name => expression.test(name)
        } catch {
          return null
        }
      },
    })
  }

  get waitingCount(): number {
    return this.#waiting.size
  }

  /** Sends a request; its answer comes to `react`, now or later. Returns its token. */
  send(command: Sent<GroupRequest>, react: Reaction): number {
    const token = this.#nextToken++
    this.#waiting.set(token, react)
    this.run({ ...command, token } as GroupRequest)
    return token
  }

  /** Sends a request that is answered at once. */
  ask<Kind extends keyof GroupAnswers>(
    command: Sent<Extract<GroupRequest, { kind: Kind }>> & { kind: Kind },
  ): GroupAnswers[Kind] {
    let answer: unknown
    this.send(command as Sent<GroupRequest>, reply => {
      answer = reply.answer
    })
    if (answer === undefined) throw new Error(`${command.kind} is not answered at once`)
    return answer as GroupAnswers[Kind]
  }

  run(command: GroupCommand): void {
    const decision = this.shard.decide(command, this.nowMs)
    for (const record of decision.records) {
      this.shard.apply(record, this.log.length as Offset)
      this.log.push(record)
    }
    if (decision.records.length > 0) this.#batchEnds.push(this.log.length)
    for (const change of decision.volatile) this.shard.applyVolatile(change)
    for (const { key, afterMs } of decision.timers) {
      if (afterMs === null) this.#timers.delete(key)
      else this.#timers.set(key, this.nowMs + afterMs)
    }
    for (const reply of decision.replies) this.#held.push({ end: this.log.length, reply })
    if (this.syncsAtOnce) this.flush()
  }

  /** Everything appended so far is durable: its answers leave. */
  flush(): void {
    this.durable = this.log.length
    this.#batchEnds = []
    const held = this.#held
    this.#held = []
    for (const { reply } of held) {
      const react = this.#waiting.get(reply.token)
      if (react === undefined) throw new Error(`nobody waits for the answer to ${reply.token}`)
      this.#waiting.delete(reply.token)
      react(reply)
    }
  }

  /** When the next timer runs out; Infinity for never. */
  nextTimerMs(): number {
    let next = Number.POSITIVE_INFINITY
    for (const atMs of this.#timers.values()) next = Math.min(next, atMs)
    return next
  }

  hasTimer(prefix: string): boolean {
    return [...this.#timers.keys()].some(key => key.startsWith(prefix))
  }

  /** Lets time pass, and timers run out on the way. */
  advance(ms: number): void {
    const untilMs = this.nowMs + ms
    for (let next = this.nextTimerMs(); next <= untilMs; next = this.nextTimerMs()) {
      this.nowMs = Math.max(this.nowMs, next)
      const due = [...this.#timers].filter(([, atMs]) => atMs <= this.nowMs)
      for (const [key, atMs] of due) {
        if (this.#timers.get(key) !== atMs) continue
        this.#timers.delete(key)
        this.run({ kind: 'timer', key })
      }
    }
    this.nowMs = untilMs
  }

  /** The broker dies, with what was not durable but for `kept` decisions, and starts anew from the bytes of its log. */
  crash(kept = 0): void {
    this.log.length = this.#batchEnds.slice(0, kept).at(-1) ?? this.durable
    this.durable = this.log.length
    this.#batchEnds = []
    this.#held = []
    this.#waiting.clear()
    this.#timers.clear()
    this.shard = this.replayed()
    for (const groupId of this.shard.groupIds()) this.run({ kind: 'resume', groupId })
    this.run({ kind: 'loaded' })
  }

  /** A shard that has read the log and nothing else. */
  replayed(): GroupShard {
    const shard = this.#newShard()
    for (const [offset, record] of this.log.entries()) {
      const { key, value } = encodeGroupRecord(record)
      const decoded = decodeGroupRecord(key, value)
      if (decoded === null) throw new Error(`a ${record.type} record is not known again`)
      shard.apply(decoded, offset as Offset)
    }
    return shard
  }
}
