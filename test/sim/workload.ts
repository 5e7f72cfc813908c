/**
 * Applications: producers of all kinds, readers, groups of both protocols, an administrator. They are the real client
 * in processes of their own, work in bursts with pauses between, and tell the history what they did and saw.
 */

import { type SeededRandom } from '../../broker/env-memory/random.ts'
import { KafkaError } from '../../client/errors.ts'
import { type Kafka } from '../../client/kafka.ts'
import { type Producer } from '../../client/producer/producer.ts'
import { type ProducerOptions } from '../../client/producer/types.ts'
import { type History, type ProducerSpec, paddedValue, type SentRecord } from './history.ts'
import { type TopicPlan } from './plan.ts'
import { type ClientMachine } from './world/client.ts'
import { type SimProcess } from './world/process.ts'
import { Violation } from './world/violation.ts'

export interface Membership {
  readonly group: string
  readonly memberId: string
  readonly generation: number
}

export interface Workload {
  readonly history: History
  /** Producers send no more, and administrators change nothing. */
  stopping: boolean
  /** Of classic groups, as members were told. */
  readonly memberships: Membership[]
  /** Ends the run. */
  fail(error: unknown): void
  note(process: string, message: string): void
}

/** Something that runs on a client machine, life after life. */
export interface Actor {
  readonly machine: ClientMachine
  /** Starts a new life of it. */
  start(): void
  /** Nothing is under way any more; asked when the workload is stopping. */
  isAtRest(): boolean
  /** What it still waits for, for who waits for it in vain. */
  waitsFor?(): string
}

/** Errors that no fault explains: the broker has sent something wrong, or the client has lost its way. */
const NEVER = new Set([
  'CORRUPT_BATCH',
  'CORRUPT_MESSAGE',
  'MALFORMED_RESPONSE',
  'LOG_TRUNCATION',
  'INVALID_RECORD',
  'UNKNOWN_SERVER_ERROR',
  'INVALID_REQUEST',
  'UNSUPPORTED_VERSION',
])
/** The same, where it is what the application is told. As a cause it may be the echo of a batch that timed out. */
const NEVER_TOLD = new Set(['OUT_OF_ORDER_SEQUENCE_NUMBER', 'UNKNOWN_PRODUCER_ID', 'INVALID_PRODUCER_EPOCH'])

/** A Violation where the error is one that must not be. */
export function checkError(error: unknown, who: string): void {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof Violation) throw cause
    if (
      cause instanceof KafkaError &&
      (NEVER.has(cause.code) || (cause === error && NEVER_TOLD.has(cause.code)))
    )
      throw new Violation('impossible-error', `${who}: ${cause.code}: ${cause.message}`)
    if (!(cause instanceof KafkaError) && !('code' in cause) && cause.name !== 'AbortError')
      throw new Violation('client-bug', `${who}: ${cause.stack}`)
  }
}

/** Runs a life of an actor: what it throws is looked at. */
export function live(workload: Workload, who: string, life: () => Promise<void>, ended: () => void): void {
  life()
    .catch((error: unknown) => {
      checkError(error, who)
      workload.note(who, `its life ended: ${String(error)}`)
    })
    .then(ended)
    .catch(error => workload.fail(error))
}

// ------------------------------------------------------------------------------------------------ producers

export interface ProducerActorOptions {
  readonly machine: ClientMachine
  readonly spec: ProducerSpec
  readonly workload: Workload
  readonly topics: readonly TopicPlan[]
  /** Between two bursts, on average. */
  readonly pauseMs: number
  /** Bytes of most values beyond what tells them apart; drawn where it is not given. */
  readonly padding?: number
}

export class ProducerActor implements Actor {
  readonly machine: ClientMachine
  readonly spec: ProducerSpec
  readonly #workload: Workload
  readonly #topics: readonly TopicPlan[]
  readonly #pauseMs: number
  /** Mostly alike, so that batches are of a few sizes only. */
  readonly #padding: number
  #n = 0
  #underWay = 0

  constructor(options: ProducerActorOptions) {
    this.machine = options.machine
    this.spec = options.spec
    this.#workload = options.workload
    this.#topics = options.topics
    this.#pauseMs = options.pauseMs
    this.#padding = options.padding ?? options.machine.random.int(200)
  }

  start(): void {
    const { process, kafka } = this.machine.start()
    this.#underWay = 0
    live(
      this.#workload,
      this.spec.name,
      () => this.#live(process, kafka),
      () => {},
    )
  }

  isAtRest(): boolean {
    return this.#underWay === 0
  }

  async #live(process: SimProcess, kafka: Kafka): Promise<void> {
    const { random } = this.machine
    const { acks, idempotent } = this.spec
    const producer = kafka.producer({
      acks,
      idempotent,
      allowAutoTopicCreation: false,
      ...this.settings(random),
    })
    while (!this.isStopping) {
      await process.sleep(this.#pauseMs * 2 * random.float())
      await this.burst(producer, process)
    }
  }

  protected get isStopping(): boolean {
    return this.#workload.stopping
  }

  /** Of its next life. */
  protected settings(random: SeededRandom): ProducerOptions {
    return {
      lingerMs: random.int(3) * 5,
      deliveryTimeoutMs: random.int(3) === 0 ? 500 + random.int(3000) : 5000 + random.int(60_000),
      requestTimeoutMs: 3000 + random.int(10_000),
      maxInFlightRequests: 1 + random.int(5),
      compression: random.int(6) === 0 ? 'gzip' : 'none',
      batchBytes: random.int(2) === 0 ? 512 : 16 * 1024,
    }
  }

  /** What it does between two pauses. */
  protected async burst(producer: Producer, process: SimProcess): Promise<void> {
    const { random } = this.machine
    for (let left = 1 + random.int(12); left > 0 && !this.isStopping; left--) {
      this.send(producer)
      if (random.int(2) === 0) await process.sleep(random.int(20))
    }
  }

  protected send(producer: Producer): void {
    const { random } = this.machine
    const { topic, partitions, compacted } = this.#topics[random.int(this.#topics.length)]!
    const partition = random.int(partitions)
    const records: SentRecord[] = []
    for (let left = 1 + random.int(4); left > 0; left--) {
      const n = this.#n++
      const key = compacted ? `k${random.int(12)}` : random.int(2) === 0 ? null : `k${n}`
      // Where nobody is told whether a tombstone is in the log, nobody can tell a lost record from a deleted one.
      const mayDelete = compacted && this.spec.acks === 'all'
      const isTombstone = mayDelete && random.int(8) === 0
      const value = isTombstone
        ? null
        : paddedValue(this.spec.name, n, random.int(10) === 0 ? random.int(3000) : this.#padding)
      records.push({ producer: this.spec, n, topic, partition, key, value })
    }
    for (const record of records) this.#workload.history.sent(record)
    this.#underWay++
    const messages = records.map(({ key, value }) => ({ key, value, partition }))
    const { machine } = this
    const { process } = machine
    producer
      .send({ topic, messages })
      .then(
        ranges => {
          this.#workload.note(this.spec.name, `acked ${records[0]?.n}.. ${JSON.stringify(ranges)}`)
          let index = 0
          for (const range of ranges) {
            for (let i = 0; i < range.count; i++) {
              const offset = range.baseOffset < 0 ? -1 : range.baseOffset + i
              this.#workload.history.acked(records[index++]!, topic, range.partition, offset)
            }
          }
        },
        (error: unknown) => {
          this.#workload.note(this.spec.name, `failed ${records[0]?.n}.. ${String(error)}`)
          checkError(error, this.spec.name)
        },
      )
      .then(() => {
        if (machine.process === process) this.#underWay--
      })
      .catch(error => this.#workload.fail(error))
  }
}

// -------------------------------------------------------------------------------------------------- readers

/** Reads all partitions from the beginning, without a group; a new life begins anew. */
export class ReaderActor implements Actor {
  readonly machine: ClientMachine
  readonly #workload: Workload
  readonly #topics: readonly TopicPlan[]
  readonly #positions = new Map<string, number>()

  constructor(machine: ClientMachine, workload: Workload, topics: readonly TopicPlan[]) {
    this.machine = machine
    this.#workload = workload
    this.#topics = topics
  }

  start(): void {
    const { process, kafka } = this.machine.start()
    const again = (): void => {
      if (process.isAlive)
        void process.after(1000, 1, () => live(this.#workload, this.machine.name, life, again))
    }
    const life = (): Promise<void> => this.#live(kafka)
    live(this.#workload, this.machine.name, life, again)
  }

  isAtRest(): boolean {
    return this.waitsFor() === ''
  }

  waitsFor(): string {
    const { history } = this.#workload
    const lags: string[] = []
    for (const { topic, partitions } of this.#topics) {
      for (let partition = 0; partition < partitions; partition++) {
        const name = `${topic}-${partition}`
        const [position, end] = [this.#positions.get(name) ?? 0, history.promisedEnd(name) ?? 0]
        if (position < end) lags.push(`${name} at ${position} of ${end}`)
      }
    }
    return lags.join(', ')
  }

  async #live(kafka: Kafka): Promise<void> {
    const { random } = this.machine
    const consumer = kafka.consumer({
      fetchMaxWaitMs: 15_000 + random.int(15_000),
      fetchMaxBytes: random.int(2) === 0 ? 4096 : 1 << 20,
      fetchPartitionMaxBytes: random.int(2) === 0 ? 1024 : 1 << 20,
      maxBytes: 64 * 1024,
      onOffsetOutOfRange: 'earliest',
    })
    this.#positions.clear()
    try {
      await consumer.assign(
        this.#topics.flatMap(({ topic, partitions }) =>
          Array.from({ length: partitions }, (_, partition) => ({
            topic,
            partition,
            offset: 'earliest' as const,
          })),
        ),
      )
      for (const { topic, partition, position } of consumer.assignment)
        this.#positions.set(`${topic}-${partition}`, position ?? 0)
      for await (const batch of consumer.batches()) {
        for (const message of batch) {
          const name = `${message.topic}-${message.partition}`
          const next = this.#workload.history.read(message, this.#positions.get(name) ?? 0, this.machine.name)
          this.#positions.set(name, next)
        }
      }
    } finally {
      await consumer.close()
    }
  }
}

// --------------------------------------------------------------------------------------------------- groups

/** One member of a group. */
export class MemberActor implements Actor {
  readonly machine: ClientMachine
  readonly group: string
  readonly #workload: Workload
  readonly #topics: readonly TopicPlan[]
  readonly #protocol: 'classic' | 'consumer'
  readonly #instance: string | null

  constructor(options: {
    machine: ClientMachine
    workload: Workload
    topics: readonly TopicPlan[]
    group: string
    protocol: 'classic' | 'consumer'
    instance: string | null
  }) {
    this.machine = options.machine
    this.#workload = options.workload
    this.#topics = options.topics
    this.group = options.group
    this.#protocol = options.protocol
    this.#instance = options.instance
  }

  start(): void {
    const { process, kafka } = this.machine.start()
    const life = (): Promise<void> => this.#live(process, kafka)
    const again = (): void => {
      if (process.isAlive)
        void process.after(1000, 1, () => live(this.#workload, this.machine.name, life, again))
    }
    live(this.#workload, this.machine.name, life, again)
  }

  isAtRest(): boolean {
    return true
  }

  async #live(process: SimProcess, kafka: Kafka): Promise<void> {
    const { random } = this.machine
    const { history } = this.#workload
    const consumer = kafka.consumer({
      groupId: this.group,
      protocol: this.#protocol,
      ...(this.#instance === null ? {} : { groupInstanceId: this.#instance }),
      sessionTimeoutMs: 10_000,
      heartbeatIntervalMs: 3000,
      rebalanceTimeoutMs: 15_000,
      autoCommitIntervalMs: 5000,
      fetchMaxWaitMs: 15_000 + random.int(15_000),
      maxBytes: 64 * 1024,
      onOffsetOutOfRange: 'earliest',
    })
    consumer.on('joined', ({ protocol, memberId, generation }) => {
      if (protocol !== 'classic') return
      this.#workload.memberships.push({ group: this.group, memberId, generation })
    })
    try {
      await consumer.subscribe({ topics: this.#topics.map(({ topic }) => topic), from: 'earliest' })
      await consumer.run({
        concurrency: 1 + random.int(3),
        eachBatch: async batch => {
          const messages = batch.messages()
          if (random.int(3) === 0) await process.sleep(random.int(random.int(10) === 0 ? 2000 : 50))
          for (const message of messages) {
            history.read(message, message.offset, this.machine.name)
            history.processed(this.group, message)
          }
        },
      })
    } finally {
      await consumer.close()
    }
  }
}
