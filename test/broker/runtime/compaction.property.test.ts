/**
 * A compacted partition under keyed writes, compactions, tombstones that come of age, stops and power cuts at any
 * moment, over many lives of the broker. Whatever was removed was replaced by a later record of its key, or was a
 * tombstone whose time was over; everything else is there, at its offset, in its order; and who reads from the start
 * ends up with the same state as who read everything.
 */
import t from 'tap'
import { MemoryDisk } from '../../../broker/env-memory/disk.ts'
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { errorName } from '../../../client/protocol/errors.ts'
import { encodeBatch, type LogRecord } from '../../../client/protocol/record.ts'
import { type ProducerEpoch, type ProducerId } from '../../../client/protocol/types.ts'
import { assignment, host, type Life, readRecords, start } from './harness.ts'

const FIRST = Number(process.env['FIRST'] ?? 1)
const SEEDS = Number(process.env['SEEDS'] ?? 40)
const ROUNDS = 40
const KEYS = 9
const PRODUCERS = 2
const DELETE_RETENTION_MS = 5_000

interface Written {
  readonly offset: number
  readonly key: string
  readonly value: string | null
  readonly timestamp: number
  /** On the wall clock. */
  readonly writtenMs: number
}

class World {
  readonly #seed: number
  readonly #random: SeededRandom
  readonly #disk = new MemoryDisk({ trackCrashes: true })
  /** Every record that was acknowledged. */
  readonly #written: Written[] = []
  readonly #sequences = new Map<number, number>()
  #life!: Life
  #values = 0
  /** The wall clock goes on from life to life. */
  #wallMs = 0
  readonly figures = { compactions: 0, crashesInside: 0, removed: 0 }

  constructor(seed: number) {
    this.#seed = seed
    this.#random = new SeededRandom(seed)
  }

  async run(): Promise<void> {
    await this.#begin()
    for (let round = 0; round < ROUNDS; round++) await this.#round()
    await this.#settle()
    await this.#life.stop()
  }

  async #begin(): Promise<void> {
    const random = this.#random
    const logConfig = {
      cleanupPolicy: ['compact'] as const,
      segmentBytes: 700 + random.int(1500),
      indexIntervalBytes: 100,
      minCleanableDirtyRatio: random.float() * 0.5,
      deleteRetentionMs: DELETE_RETENTION_MS,
    }
    const slots = random.int(3) === 0 ? 3 + random.int(KEYS) : 1000
    const disk = this.#disk
    const assignments = [assignment({ logConfig })]
    const cleaner = { dedupeBytes: 24 * slots, ioBytes: 200 + random.int(1000), backoffMs: 1e9 }
    this.#life = await start({ disk, seed: random.int(1_000_000), assignments, cleaner })
    const { clock } = this.#life.env
    this.#wallMs = Math.max(this.#wallMs, clock.wallMs())
    clock.jumpWall(this.#wallMs - clock.wallMs())
    this.#complain('error')
  }

  #complain(level: 'error' | 'warn'): void {
    const lines = this.#life.env.log.of(level)
    if (lines.length > 0) t.fail(`${this.#seed}: ${JSON.stringify(lines)}`)
  }

  async #round(): Promise<void> {
    const random = this.#random
    for (let batches = random.int(12); batches > 0; batches--) await this.#produce()
    await this.#pass(random.int(3000))
    if (random.float() < 0.5) await this.#compact()
    if (random.float() < 0.15) await this.#crash()
    else if (random.float() < 0.1) {
      await this.#life.stop()
      await this.#begin()
      if (!this.#life.folder.cleanShutdown) t.fail(`${this.#seed}: a clean stop was not clean`)
      await this.#check()
    }
  }

  async #pass(ms: number): Promise<void> {
    await this.#life.env.clock.advance(ms)
    this.#wallMs = this.#life.env.clock.wallMs()
  }

  async #produce(): Promise<void> {
    const random = this.#random
    const timestamp = this.#wallMs - random.int(100)
    const records = Array.from({ length: 1 + random.int(4) }, (_, i) => ({
      key: `k${random.int(KEYS)}`,
      value: random.int(5) === 0 ? null : `${this.#values++}${'.'.repeat(random.int(60))}`,
      timestamp: timestamp + i,
    }))
    const producer = random.int(PRODUCERS + 1)
    const sequence = this.#sequences.get(producer) ?? 0
    const codec = (['none', 'none', 'gzip', 'lz4', 'snappy'] as const)[random.int(5)]!
    const options =
      producer === PRODUCERS
        ? { codec }
        : {
            codec,
            producerId: BigInt(producer + 1) as ProducerId,
            producerEpoch: 0 as ProducerEpoch,
            baseSequence: sequence,
          }
    const offset = await this.#send(encodeBatch(records, options))
    if (offset === null) return
    this.#sequences.set(producer, sequence + records.length)
    for (const [i, { key, value, timestamp: time }] of records.entries()) {
      this.#written.push({ offset: offset + i, key, value, timestamp: time, writtenMs: this.#wallMs })
    }
    // A retry of what the broker has already is answered with the first offset, compacted or not.
    if (producer === PRODUCERS || random.int(4) > 0) return
    const again = await this.#send(encodeBatch(records, options))
    if (again !== offset) t.fail(`${this.#seed}: a retry of ${offset} was answered with ${again}`)
  }

  /** The offset, or null when the power was cut before there was an answer. */
  async #send(batch: Buffer): Promise<number | null> {
    const outcome = await new Promise<{ error: number; baseOffset: number; errorMessage: string | null }>(
      resolve => host(this.#life).produce(batch, null, -1, 30_000, resolve),
    )
    if (outcome.error === 0) return outcome.baseOffset
    t.fail(`${this.#seed}: ${errorName(outcome.error as 0)} ${outcome.errorMessage}`)
    return null
  }

  async #compact(): Promise<void> {
    const random = this.#random
    const compacting = this.#life.manager.compact()
    this.figures.compactions++
    if (random.float() < 0.4) return this.#crashInside()
    const readers = Array.from({ length: random.int(3) }, () => this.#check())
    await this.#hops(random.int(300))
    for (let batches = random.int(4); batches > 0; batches--) await this.#produce()
    await this.#finish(Promise.all([compacting, ...readers]))
    this.#complain('warn')
    await this.#check()
  }

  async #crashInside(): Promise<void> {
    this.figures.crashesInside++
    await this.#hops(this.#random.int(1500))
    await this.#crash()
  }

  /** Time passes while the compaction is at work, so that it has to let others have their turn. */
  async #hops(count: number): Promise<void> {
    for (let hop = 0; hop < count; hop++) {
      if (this.#random.int(20) === 0) this.#life.env.clock.skip(2)
      await Promise.resolve()
    }
    this.#wallMs = this.#life.env.clock.wallMs()
  }

  async #crash(): Promise<void> {
    const keep = (['none', 'all', 'random'] as const)[this.#random.int(3)]!
    this.#disk.crash({ keep, random: this.#random })
    await this.#life.env.clock.settle()
    if (this.#random.int(3) === 0) await this.#loseSnapshots()
    await this.#begin()
    await this.#check()
    for (const producer of host(this.#life).describeProducers()) {
      const expected = this.#sequences.get(Number(producer.producerId) - 1)! - 1
      if (producer.lastSequence !== expected)
        t.fail(
          `${this.#seed}: producer ${producer.producerId} is at ${producer.lastSequence}, not ${expected}`,
        )
    }
  }

  /** Then only what compaction has left in the log says what the producers' last sequences were. */
  async #loseSnapshots(): Promise<void> {
    for (const { name } of await this.#disk.list('/data/orders-0')) {
      if (name.endsWith('.snapshot')) await this.#disk.remove(`/data/orders-0/${name}`)
    }
    await this.#disk.syncDirectory('/data/orders-0')
  }

  /** Compaction pauses while others write: time has to pass for it. */
  async #finish(work: Promise<unknown>): Promise<void> {
    let isOver = false
    void work.finally(() => {
      isOver = true
    })
    while (!isOver) await this.#pass(1)
    await work
  }

  /** Everything is rolled, compacted, and old: nothing is left that could be compacted away. */
  async #settle(): Promise<void> {
    const partition = host(this.#life)
    for (let i = 0; i < 40; i++) await this.#produce()
    for (let round = 0; round < 30; round++) {
      await this.#finish(this.#life.manager.compact())
      await this.#pass(DELETE_RETENTION_MS + 1)
    }
    const log = await this.#check()
    const clean = log.filter(record => record.offset < partition.compaction.cleanedTo)
    const lastOffsets = new Map(clean.map(record => [String(record.key), record.offset]))
    for (const record of clean) {
      if (record.value === null) t.fail(`${this.#seed}: the tombstone at ${record.offset} is still there`)
      if (lastOffsets.get(String(record.key)) !== record.offset)
        t.fail(`${this.#seed}: the record at ${record.offset} was replaced and is still there`)
    }
    if (partition.compaction.cleanedTo === 0) t.fail(`${this.#seed}: nothing was compacted`)
    this.figures.removed = this.#written.length - log.length
  }

  /** Reads everything, as a consumer that begins at the start, and holds it against what was written. */
  async #check(): Promise<LogRecord[]> {
    // Later ones may or may not be read.
    const until = this.#written.length
    const endOffset = this.#written.at(-1)?.offset ?? -1
    const log = await readKeyed(this.#life)
    const found = new Map(log.map(record => [record.offset as number, record]))
    const fail = (text: string): boolean => t.fail(`${this.#seed}: ${text}`)
    for (const [i, record] of log.entries()) {
      if (i > 0 && log[i - 1]!.offset >= record.offset) fail(`offset ${record.offset} is out of order`)
    }
    const lastOf = new Map(this.#written.map(written => [written.key, written.offset]))
    const state = new Map<string, string>()
    for (const written of this.#written.slice(0, until)) {
      const record = found.get(written.offset)
      if (record !== undefined) {
        const isSame =
          String(record.key) === written.key &&
          (record.value?.toString() ?? null) === written.value &&
          record.timestamp === written.timestamp
        if (!isSame) fail(`the record at ${written.offset} is not what was written`)
      } else if (lastOf.get(written.key) === written.offset) {
        const isOver = written.value === null && this.#wallMs >= written.writtenMs + DELETE_RETENTION_MS
        if (!isOver) fail(`the last record of ${written.key}, at ${written.offset}, is gone`)
      }
      if (written.value === null) state.delete(written.key)
      else state.set(written.key, written.value)
    }
    const folded = new Map<string, string>()
    for (const record of log) {
      if (record.offset > endOffset) break
      if (record.value === null) folded.delete(String(record.key))
      else folded.set(String(record.key), record.value.toString())
    }
    for (const key of new Set([...state.keys(), ...folded.keys()])) {
      // What replaced it may have been written, and compacted, while we read.
      if (lastOf.get(key)! > endOffset) continue
      if (state.get(key) !== folded.get(key))
        fail(`${key} is ${folded.get(key)} to a reader, not ${state.get(key)}`)
    }
    return log
  }
}

function readKeyed(life: Life): Promise<LogRecord[]> {
  return readRecords(host(life), 0, () => 1 + life.env.random.int(3000))
}

for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
  t.test(`seed ${seed}`, async t => {
    const world = new World(seed)
    await world.run()
    t.pass(JSON.stringify(world.figures))
  })
}
