/**
 * Idempotent producers against a replica whose disk fails and whose broker crashes, by chance, and a model of what must
 * come out: nothing acknowledged is lost, nothing is there twice, and each producer's records stand in its order.
 */
import fc from 'fast-check'
import t from 'tap'
import { DEFAULT_LOG_CONFIG } from '../../../broker/log/config.ts'
import { LeaderEpochCache } from '../../../broker/log/leader-epochs.ts'
import { LogState, replayBatch } from '../../../broker/log/log-state.ts'
import { type ProducerRow, ProducerState } from '../../../broker/log/producer-state.ts'
import { type ProduceReply } from '../../../broker/replica/events.ts'
import { Replica } from '../../../broker/replica/replica.ts'
import { readBatchHeader } from '../../../client/protocol/batch.ts'
import { ErrorCode } from '../../../client/protocol/errors.ts'
import { encodeBatch } from '../../../client/protocol/record.ts'
import {
  type BrokerId,
  type LeaderEpoch,
  type Offset,
  type ProducerEpoch,
  type ProducerId,
} from '../../../client/protocol/types.ts'

const WALL_MS = 1_700_000_000_000
const MAX_IN_FLIGHT = 5
const DAY_MS = 86_400_000

/** A batch that a producer has sent and not seen acknowledged. */
interface Sent {
  readonly producer: number
  readonly sequence: number
  readonly records: number
}

interface Stored {
  readonly sent: Sent
  readonly bytes: Buffer
  readonly baseOffset: number
}

type Step =
  | { readonly kind: 'send'; readonly producer: number; readonly records: number }
  | { readonly kind: 'retry'; readonly producer: number }
  | { readonly kind: 'write'; readonly share: number }
  /** `heard`: the answers reach the clients; else their connections break first. */
  | { readonly kind: 'sync'; readonly heard: boolean }
  | { readonly kind: 'fail'; readonly share: number }
  | { readonly kind: 'crash'; readonly survives: number; readonly snapshotAt: number }

/** The disk, the clients and the model in one. */
class World {
  /** The files: what was appended, in order. */
  log: Stored[] = []
  writtenOffset = 0
  durableOffset = 0
  readonly snapshots: { offset: number; rows: ProducerRow[] }[] = []
  readonly outstanding = new Map<number, Sent[]>()
  readonly nextSequence = new Map<number, number>()
  readonly acknowledged = new Map<string, number>()
  #epoch = 0
  #heard = true
  #replica = this.#open(new ProducerState(0 as Offset))

  step(step: Step): void {
    switch (step.kind) {
      case 'send': {
        const waiting = this.#outstandingOf(step.producer)
        if (waiting.length >= MAX_IN_FLIGHT) return
        const sequence = this.nextSequence.get(step.producer) ?? 0
        const sent: Sent = { producer: step.producer, sequence, records: step.records }
        this.nextSequence.set(step.producer, sequence + step.records)
        waiting.push(sent)
        this.#produce(sent)
        return
      }
      case 'retry':
        // As a client does after its connection broke: all that is in flight, in order.
        for (const sent of [...this.#outstandingOf(step.producer)]) this.#produce(sent)
        return
      case 'write':
        this.writtenOffset = this.#boundary(this.writtenOffset, step.share)
        this.#feed({ type: 'written', endOffset: this.writtenOffset as Offset })
        return
      case 'sync':
        this.durableOffset = this.writtenOffset
        this.#heard = step.heard
        this.#feed({ type: 'synced', endOffset: this.durableOffset as Offset })
        this.#heard = true
        // Only what is durable may be counted by a snapshot: the rest may yet be lost and written anew.
        if (this.durableOffset === this.#end()) {
          this.snapshots.push({ offset: this.#end(), rows: this.#replica.log.producers.snapshot() })
        }
        if (!step.heard) this.#retryAll()
        return
      case 'fail': {
        const end = this.#boundary(this.writtenOffset, step.share)
        if (end === this.#end()) return
        this.log = this.log.filter(stored => stored.baseOffset < end)
        this.writtenOffset = end
        this.#feed({ type: 'written', endOffset: end as Offset })
        this.#feed({ type: 'write-failed', endOffset: end as Offset, message: 'disk full' })
        return
      }
      case 'crash':
        this.#crash(step.survives, step.snapshotAt)
        this.#retryAll()
        return
      default:
        step satisfies never
    }
  }

  /**
   * Connections broke: clients send what is in flight again, in order, before anything new. Else more than five batches
   * could follow one that is sent again, and the broker remembers no more.
   */
  #retryAll(): void {
    for (const id of this.outstanding.keys()) this.step({ kind: 'retry', producer: id })
  }

  /** What must hold at any time, for what a reader or a restart would find. */
  check(): void {
    const seen = new Set<string>()
    const lastSequence = new Map<number, number>()
    for (const { sent } of this.log) {
      const key = `${sent.producer}/${sent.sequence}`
      if (seen.has(key)) throw new Error(`${key} is in the log twice`)
      seen.add(key)
      if (sent.sequence !== (lastSequence.get(sent.producer) ?? 0)) throw new Error(`${key} is out of order`)
      lastSequence.set(sent.producer, sent.sequence + sent.records)
    }
    for (const [key, offset] of this.acknowledged) {
      const stored = this.log.find(({ sent }) => `${sent.producer}/${sent.sequence}` === key)
      if (stored === undefined) throw new Error(`${key} was acknowledged and is lost`)
      if (stored.baseOffset !== offset)
        throw new Error(`${key} was answered with an offset that is not its own`)
      if (stored.baseOffset + stored.sent.records > this.durableOffset)
        throw new Error(`${key} was acknowledged early`)
    }
  }

  #open(producers: ProducerState): Replica<Sent> {
    const log = new LogState({
      config: DEFAULT_LOG_CONFIG,
      logStartOffset: 0 as Offset,
      logEndOffset: this.#end() as Offset,
      epochs: [],
      producers,
      rollJitter: 0,
    })
    const replica = new Replica<Sent>({
      brokerId: 1 as BrokerId,
      log,
      highWatermark: 0 as Offset,
      lagTimeMaxMs: () => Infinity,
    })
    replica.step(
      {
        type: 'become-leader',
        epoch: ++this.#epoch as LeaderEpoch,
        partitionEpoch: 0,
        revision: 0,
        replicas: [1 as BrokerId],
        isr: [1 as BrokerId],
      },
      0,
    )
    return replica
  }

  /** What is not durable survives as far as chance has it; memory is built anew from some snapshot and the files. */
  #crash(survives: number, snapshotAt: number): void {
    const end = this.#boundary(this.durableOffset, survives)
    this.log = this.log.filter(stored => stored.baseOffset < end)
    this.writtenOffset = this.durableOffset = end
    const producers = new ProducerState(0 as Offset)
    const usable = this.snapshots.filter(snapshot => snapshot.offset <= end)
    this.snapshots.splice(0, this.snapshots.length, ...usable)
    const snapshot = usable[Math.floor(snapshotAt * usable.length)]
    if (snapshot !== undefined) producers.load(snapshot.rows, snapshot.offset as Offset, WALL_MS, DAY_MS)
    const epochs = new LeaderEpochCache()
    for (const stored of this.log) replayBatch(producers, epochs, readBatchHeader(stored.bytes, 0), WALL_MS)
    this.#replica = this.#open(producers)
  }

  #produce(sent: Sent): void {
    const records = encodeBatch(
      Array.from({ length: sent.records }, () => ({ value: null, timestamp: WALL_MS })),
      {
        producerId: BigInt(sent.producer) as ProducerId,
        producerEpoch: 0 as ProducerEpoch,
        baseSequence: sent.sequence,
      },
    )
    this.#feed({
      type: 'produce',
      token: sent,
      records,
      acks: -1,
      timeoutMs: 1000,
      wallMs: WALL_MS,
      active: {
        baseOffset: 0 as Offset,
        sizeBytes: 0,
        largestTimestamp: -1,
        firstTimestamp: -1,
        createdMs: WALL_MS,
        indexFull: false,
      },
      transactionVerified: false,
    })
  }

  #feed(event: Parameters<Replica<Sent>['step']>[0]): void {
    for (const effect of this.#replica.step(event, 0)) {
      if (effect.type === 'reply') this.#replied(effect)
      if (effect.type !== 'append' || event.type !== 'produce') continue
      const { bytes, baseOffset } = effect.batch
      this.log.push({ sent: event.token, bytes: Buffer.from(bytes), baseOffset })
    }
  }

  #replied(reply: ProduceReply<Sent>): void {
    const { token, error } = reply
    const key = `${token.producer}/${token.sequence}`
    if (error === ErrorCode.NONE) {
      const before = this.acknowledged.get(key)
      if (before !== undefined && before !== reply.baseOffset) throw new Error(`${key} was answered two ways`)
      this.acknowledged.set(key, reply.baseOffset)
      if (!this.#heard) return
      const waiting = this.#outstandingOf(token.producer)
      const at = waiting.indexOf(token)
      if (at !== -1) waiting.splice(at, 1)
      return
    }
    // A later batch of a producer whose earlier one was lost is out of order until that one is sent again.
    const expected = [ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER] as ErrorCode[]
    if (!expected.includes(error)) throw new Error(`${key} got error ${error}`)
  }

  /** The end of some batch at or after `from`. */
  #boundary(from: number, share: number): number {
    const ends = this.log.map(stored => stored.baseOffset + stored.sent.records).filter(end => end > from)
    return [from, ...ends][Math.floor(share * (ends.length + 1))]!
  }

  #end(): number {
    const last = this.log.at(-1)
    return last === undefined ? 0 : last.baseOffset + last.sent.records
  }

  #outstandingOf(producer: number): Sent[] {
    let waiting = this.outstanding.get(producer)
    if (waiting === undefined) this.outstanding.set(producer, (waiting = []))
    return waiting
  }
}

const producer = fc.integer({ min: 1, max: 3 })
const share = fc.double({ min: 0, max: 0.999, noNaN: true })

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      producer,
      records: fc.integer({ min: 1, max: 4 }),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('retry' as const), producer }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('write' as const), share }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('sync' as const), heard: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fail' as const), share }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('crash' as const), survives: share, snapshotAt: share }),
  },
)

t.test('no record of an idempotent producer is lost, doubled or reordered', t => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: 'max' }), steps => {
      const world = new World()
      for (const each of steps) {
        world.step(each)
        world.check()
      }
      // At rest everything gets through: the clients go on until they are answered.
      for (let round = 0; round < MAX_IN_FLIGHT; round++) {
        for (const id of [1, 2, 3]) world.step({ kind: 'retry', producer: id })
        world.step({ kind: 'write', share: 0.999 })
        world.step({ kind: 'sync', heard: true })
        world.check()
      }
      for (const waiting of world.outstanding.values()) {
        if (waiting.length > 0) throw new Error(`${waiting.length} batches are never acknowledged`)
      }
    }),
    { numRuns: 400 },
  )
  t.end()
})
