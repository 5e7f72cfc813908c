/**
 * A compacted topic under load on a real broker: SIGKILL at random moments of its compaction, then, when it is clean,
 * exactly the last value of each key. And the other side of it: what compaction of a full topic does to those
 * who produce
 * beside it. Runs as a program (`npm run compaction -- --bytes 2g --keys 1000000`) and, scaled down, as a test.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SeededRandom } from '../../broker/env-memory/random.ts'
import { Kafka, type Kafka as KafkaClient, type Producer } from '../../client/index.ts'
import { type BrokerProcess, spawnBroker } from '../helpers/broker-process.ts'

const KILLED = 'killed'
const MEASURED = 'measured'
const PROBE = 'probe'
const CLEANING_TIMEOUT_MS = 600_000
const PROBE_EVERY_MS = 5

export interface CompactionRunOptions {
  /** Written to each of the two topics. */
  readonly bytes: number
  readonly keys: number
  readonly valueBytes: number
  readonly segmentBytes: number
  readonly kills: number
  /** The broker is killed within twice so long after its start, mostly soon after a compaction has begun. */
  readonly maxUptimeMs: number
  /** Whether latencies are measured beside a compaction, too. */
  readonly measures: boolean
  /** How long they are measured without one. */
  readonly baselineMs: number
  readonly seed: number
  readonly onProgress?: (line: string) => void
}

export interface Latencies {
  readonly count: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export interface CompactionRunResult {
  readonly records: number
  readonly kills: number
  /** Kills that met a compaction, by the files that they left. */
  readonly killsInside: number
  readonly bytesBefore: number
  readonly bytesAfter: number
  readonly recordsAfter: number
  readonly keysFound: number
  /** Of one undisturbed compaction. */
  readonly cleaningMs: number | null
  readonly baseline: Latencies | null
  readonly besideCompaction: Latencies | null
  /** What was promised and not kept, a sentence each. */
  readonly violations: readonly string[]
}

/** The last sequence that was sent for each key; -1: none. */
interface Ledger {
  readonly last: Int32Array
  records: number
}

export async function compactionRun(options: CompactionRunOptions): Promise<CompactionRunResult> {
  const progress = options.onProgress ?? ((): void => {})
  await using broker = await spawnBroker({
    properties: {
      'log.cleaner.backoff.ms': 50,
      'log.flush.offset.checkpoint.interval.ms': 2000,
      'log.segment.bytes': options.segmentBytes,
    },
  })
  await using kafka = new Kafka({
    brokers: [broker.bootstrap],
    clientId: 'compaction',
    requestTimeoutMs: 10_000,
  })
  const violations: string[] = []
  const killed = await killPhase(options, broker, kafka, violations, progress)
  const measured = options.measures ? await measurePhase(options, broker, kafka, violations, progress) : null
  const { cleaningMs = null, baseline = null, besideCompaction = null } = measured ?? {}
  return { ...killed, cleaningMs, baseline, besideCompaction, violations }
}

// ----------------------------------------------------------------------------------------------- kills

async function killPhase(
  options: CompactionRunOptions,
  broker: BrokerProcess,
  kafka: KafkaClient,
  violations: string[],
  progress: (line: string) => void,
): Promise<
  Pick<
    CompactionRunResult,
    'records' | 'kills' | 'killsInside' | 'bytesBefore' | 'bytesAfter' | 'recordsAfter' | 'keysFound'
  >
> {
  const random = new SeededRandom(options.seed)
  await createTopic(kafka, KILLED, 'compact', 0.05)
  await using producer = kafka.producer({ deliveryTimeoutMs: CLEANING_TIMEOUT_MS })
  const ledger = newLedger(options.keys)
  const total = Math.floor(options.bytes / options.valueBytes)
  let killsInside = 0
  for (let kill = 1; kill <= options.kills; kill++) {
    const loading = fill(producer, KILLED, options, ledger, random, Math.ceil((kill * total) / options.kills))
    await compacting(broker, KILLED, options.maxUptimeMs)
    await sleep(random.float() * (kill % 2 === 0 ? 20 : options.maxUptimeMs))
    await broker.kill()
    const left = files(broker, KILLED, /\.(cleaned|swap)$/)
    if (left.length > 0) killsInside++
    progress(
      `kill ${kill}/${options.kills}: ${ledger.records} records sent, left: ${left.join(' ') || 'nothing'}`,
    )
    await broker.restart()
    await loading
  }
  const bytesBefore = ledger.records * options.valueBytes
  await seal(producer, KILLED, options)
  await setRatio(kafka, KILLED, '0')
  await cleaned(broker, KILLED)
  await broker.restart()
  const { recordsAfter, keysFound } = await judge(kafka, broker, KILLED, ledger, violations)
  const bytesAfter = sizeOf(broker, KILLED)
  progress(
    `after ${options.kills} kills: ${recordsAfter} records of ${ledger.records} are left, ${keysFound} keys`,
  )
  return {
    records: ledger.records,
    kills: options.kills,
    killsInside,
    bytesBefore,
    bytesAfter,
    recordsAfter,
    keysFound,
  }
}

// ------------------------------------------------------------------------------------------- latencies

async function measurePhase(
  options: CompactionRunOptions,
  broker: BrokerProcess,
  kafka: KafkaClient,
  violations: string[],
  progress: (line: string) => void,
): Promise<{ cleaningMs: number; baseline: Latencies; besideCompaction: Latencies }> {
  await setRatio(kafka, KILLED, '1')
  await createTopic(kafka, MEASURED, 'delete', 0)
  await using admin = kafka.admin()
  await admin.createTopics({ topics: [{ topic: PROBE, partitions: 1 }] })
  await using producer = kafka.producer()
  const ledger = newLedger(options.keys)
  const total = Math.floor(options.bytes / options.valueBytes)
  await fill(producer, MEASURED, options, ledger, new SeededRandom(options.seed + 1), total)
  await seal(producer, MEASURED, options)
  await using probe = kafka.producer({ lingerMs: 0 })
  await measure(probe, sleep(1000))
  const baseline = await measure(probe, sleep(options.baselineMs))
  progress(`alone: p50 ${baseline.p50Ms.toFixed(2)} ms, p99 ${baseline.p99Ms.toFixed(2)} ms`)
  await admin.incrementalAlterConfigs({
    resources: [
      { type: 'topic', name: MEASURED, changes: [{ name: 'cleanup.policy', op: 'set', value: 'compact' }] },
    ],
  })
  const started = performance.now()
  const besideCompaction = await measure(probe, cleaned(broker, MEASURED))
  const cleaningMs = performance.now() - started
  progress(
    `beside compaction: p50 ${besideCompaction.p50Ms.toFixed(2)} ms, p99 ${besideCompaction.p99Ms.toFixed(2)} ms`,
  )
  await judge(kafka, broker, MEASURED, ledger, violations)
  return { cleaningMs, baseline, besideCompaction }
}

/** One small record every few milliseconds, each waiting for its acknowledgement by all; until `until`. */
async function measure(probe: Producer, until: Promise<unknown>): Promise<Latencies> {
  let isOver = false
  void until.finally(() => {
    isOver = true
  })
  const latencies: number[] = []
  const underWay = new Set<Promise<void>>()
  let next = performance.now()
  while (!isOver) {
    const sentMs = performance.now()
    const sent: Promise<void> = probe
      .send({ topic: PROBE, messages: [{ key: 'probe', value: 'x'.repeat(1000) }] })
      .then(() => void latencies.push(performance.now() - sentMs))
      .finally(() => underWay.delete(sent))
    underWay.add(sent)
    next += PROBE_EVERY_MS
    await sleep(Math.max(0, next - performance.now()))
  }
  await Promise.all(underWay)
  await until
  latencies.sort((a, b) => a - b)
  const at = (share: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0
  return { count: latencies.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

// ------------------------------------------------------------------------------------------------ load

async function createTopic(kafka: KafkaClient, topic: string, policy: string, ratio: number): Promise<void> {
  await using admin = kafka.admin()
  const configs = {
    'cleanup.policy': policy,
    'min.cleanable.dirty.ratio': String(ratio),
    'retention.ms': '-1',
  }
  await admin.createTopics({ topics: [{ topic, partitions: 1, configs }] })
}

async function setRatio(kafka: KafkaClient, topic: string, value: string): Promise<void> {
  await using admin = kafka.admin()
  await admin.incrementalAlterConfigs({
    resources: [
      { type: 'topic', name: topic, changes: [{ name: 'min.cleanable.dirty.ratio', op: 'set', value }] },
    ],
  })
}

function newLedger(keys: number): Ledger {
  return { last: new Int32Array(keys).fill(-1), records: 0 }
}

/** Sends until `total` records have been sent in all. Random keys; the value begins with the number of the record. */
async function fill(
  producer: Producer,
  topic: string,
  { keys, valueBytes }: CompactionRunOptions,
  ledger: Ledger,
  random: SeededRandom,
  total: number,
): Promise<void> {
  const padding = 'v'.repeat(valueBytes)
  const underWay = new Set<Promise<void>>()
  while (ledger.records < total) {
    const messages = Array.from({ length: Math.min(500, total - ledger.records) }, () => {
      const key = random.int(keys)
      const sequence = ledger.records++
      ledger.last[key] = sequence
      return { key: `key-${key}`, value: `${sequence}:${padding}`.slice(0, valueBytes) }
    })
    const sent: Promise<void> = producer.send({ topic, messages }).then(() => void underWay.delete(sent))
    underWay.add(sent)
    if (underWay.size >= 16) await Promise.race(underWay)
  }
  await Promise.all(underWay)
}

/** Fills the last segment with something else, so that all the rest can be compacted. */
async function seal(
  producer: Producer,
  topic: string,
  { segmentBytes }: CompactionRunOptions,
): Promise<void> {
  const value = 's'.repeat(Math.min(256 * 1024, Math.floor(segmentBytes / 4)))
  for (let bytes = 0; bytes <= segmentBytes; bytes += value.length) {
    await producer.send({ topic, messages: [{ key: 'seal', value }] })
  }
}

/** Resolves when a compaction is at work, or after `timeoutMs`. */
async function compacting(broker: BrokerProcess, topic: string, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (performance.now() < deadline && files(broker, topic, /\.(cleaned|swap)$/).length === 0)
    await sleep(2)
}

/** Resolves when all but the last segment of the topic's one partition is clean. */
async function cleaned(broker: BrokerProcess, topic: string): Promise<void> {
  const deadline = performance.now() + CLEANING_TIMEOUT_MS
  while (cleanedTo(broker, topic) < activeBase(broker, topic)) {
    if (performance.now() > deadline) {
      throw new Error(
        `${topic} is clean up to ${cleanedTo(broker, topic)} only:\n${broker.output().slice(-4000)}`,
      )
    }
    await sleep(20)
  }
}

function cleanedTo(broker: BrokerProcess, topic: string): number {
  const path = join(broker.dataFolder, 'cleaner-offset-checkpoint')
  if (!existsSync(path)) return 0
  const line = readFileSync(path, 'utf8')
    .split('\n')
    .find(text => text.startsWith(`${topic} 0 `))
  return Number(line?.split(' ')[2] ?? 0)
}

function activeBase(broker: BrokerProcess, topic: string): number {
  return Math.max(...files(broker, topic, /\.log$/).map(name => Number.parseInt(name, 10)))
}

function files(broker: BrokerProcess, topic: string, pattern: RegExp): string[] {
  return readdirSync(join(broker.dataFolder, `${topic}-0`)).filter(name => pattern.test(name))
}

function sizeOf(broker: BrokerProcess, topic: string): number {
  const folder = join(broker.dataFolder, `${topic}-0`)
  return files(broker, topic, /\.log$/).reduce(
    (sum, name) => sum + readFileSync(join(folder, name)).length,
    0,
  )
}

// --------------------------------------------------------------------------------------------- judging

/** Reads the topic from its start and holds it against what was sent. */
async function judge(
  kafka: KafkaClient,
  broker: BrokerProcess,
  topic: string,
  ledger: Ledger,
  violations: string[],
): Promise<{ recordsAfter: number; keysFound: number }> {
  const clean = cleanedTo(broker, topic)
  const endOffset = await endOf(kafka, topic)
  const found = new Int32Array(ledger.last.length).fill(-1)
  let recordsAfter = 0
  let previous = -1
  await using consumer = kafka.consumer()
  await consumer.assign([{ topic, partition: 0, offset: 'earliest' }])
  for await (const message of consumer.messages({ signal: AbortSignal.timeout(CLEANING_TIMEOUT_MS) })) {
    recordsAfter++
    if (message.offset <= previous)
      violations.push(`${topic}: offset ${message.offset} comes after ${previous}`)
    previous = message.offset
    const name = message.keyBytes?.toString('latin1') ?? ''
    if (name !== 'seal') {
      const key = Number(name.slice(4))
      const sequence = Number.parseInt(message.valueBytes?.toString('latin1', 0, 12) ?? '', 10)
      if (found[key]! >= sequence)
        violations.push(`${topic}: ${name} goes back from ${found[key]} to ${sequence}`)
      if (found[key]! >= 0 && message.offset < clean) {
        violations.push(`${topic}: ${name} is there twice in the clean part, at ${message.offset} again`)
      }
      found[key] = sequence
    }
    if (message.offset >= endOffset - 1) break
  }
  let keysFound = 0
  for (const [key, sequence] of ledger.last.entries()) {
    if (found[key]! >= 0) keysFound++
    if (found[key] !== sequence)
      violations.push(`${topic}: key-${key} is ${found[key]}, last sent was ${sequence}`)
  }
  return { recordsAfter, keysFound }
}

async function endOf(kafka: KafkaClient, topic: string): Promise<number> {
  await using admin = kafka.admin()
  const [end] = await admin.listOffsets({ partitions: [{ topic, partition: 0, spec: 'latest' }] })
  return Number(end?.offset ?? 0)
}
