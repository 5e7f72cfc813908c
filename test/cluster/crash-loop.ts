/**
 * Kills a broker with SIGKILL at random moments under load, starts it again, and judges what clients were promised:
 * every acknowledged record is in the log at the offset that was acknowledged, in the order in which it was sent, and
 * (the producers are idempotent) exactly once. Runs as a program (`npm run crash -- --kills 50 --seed 1`) and, shorter,
 * as a test.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { SeededRandom } from '../../broker/env-memory/random.ts'
import { Kafka, type Kafka as KafkaClient } from '../../client/index.ts'
import { type BrokerProcess, spawnBroker } from '../helpers/broker-process.ts'

const TOPIC = 'crash'
const PARTITIONS = 4
const MAX_UPTIME_MS = 600
const DRAIN_TIMEOUT_MS = 120_000

export interface CrashLoopOptions {
  readonly kills: number
  /** Decides the moments of the kills and the sizes of the records. */
  readonly seed: number
  readonly onProgress?: (line: string) => void
}

export interface CrashLoopResult {
  readonly kills: number
  readonly acknowledged: number
  readonly inLog: number
  /** Sends that failed for good; they may or may not be in the log. */
  readonly failed: number
  readonly slowestRestartMs: number
  /** What was promised and not kept, a sentence each. */
  readonly violations: readonly string[]
}

interface Acknowledged {
  readonly partition: number
  readonly sequence: number
  readonly offset: number
}

export async function crashLoop(options: CrashLoopOptions): Promise<CrashLoopResult> {
  const random = new SeededRandom(options.seed)
  await using broker = await spawnBroker({ properties: { 'num.partitions': PARTITIONS } })
  await using kafka = new Kafka({
    brokers: [broker.bootstrap],
    clientId: 'crash-loop',
    requestTimeoutMs: 5000,
  })
  await using admin = kafka.admin()
  await admin.createTopics({ topics: [{ topic: TOPIC, partitions: PARTITIONS }] })

  const acknowledged: Acknowledged[] = []
  const load = { stopped: false, failed: 0 }
  const writers = Array.from({ length: PARTITIONS }, (_, partition) =>
    write(kafka, partition, random, load, acknowledged),
  )
  let slowestRestartMs = 0
  for (let kill = 1; kill <= options.kills; kill++) {
    // The load runs for a while: the one place where time itself is what is being varied.
    await sleep(random.float() * MAX_UPTIME_MS)
    const started = performance.now()
    await broker.restart()
    slowestRestartMs = Math.max(slowestRestartMs, performance.now() - started)
    options.onProgress?.(
      `kill ${kill}/${options.kills}: ${acknowledged.length} acknowledged, ${load.failed} failed`,
    )
  }
  load.stopped = true
  await Promise.all(writers)
  const { violations, inLog } = await judge(kafka, broker, acknowledged)
  return {
    kills: options.kills,
    acknowledged: acknowledged.length,
    inLog,
    failed: load.failed,
    slowestRestartMs,
    violations,
  }
}

/** One producer per partition, several batches in flight, values that say their sequence. */
async function write(
  kafka: KafkaClient,
  partition: number,
  random: SeededRandom,
  load: { stopped: boolean; failed: number },
  acknowledged: Acknowledged[],
): Promise<void> {
  await using producer = kafka.producer({ deliveryTimeoutMs: DRAIN_TIMEOUT_MS })
  const underWay = new Set<Promise<void>>()
  for (let sequence = 0; !load.stopped; ) {
    const count = 1 + random.int(5)
    const first = sequence
    sequence += count
    const messages = Array.from({ length: count }, (_, index) => ({
      partition,
      value: `${first + index}:${'x'.repeat(random.int(2000))}`,
    }))
    const sent: Promise<void> = producer
      .send({ topic: TOPIC, messages })
      .then(([range]) => {
        const base = range?.baseOffset ?? -1
        for (let index = 0; index < count; index++) {
          acknowledged.push({ partition, sequence: first + index, offset: base + index })
        }
      })
      .catch(() => {
        load.failed += count
      })
      .finally(() => underWay.delete(sent))
    underWay.add(sent)
    if (underWay.size >= 8) await Promise.race(underWay)
  }
  await Promise.all(underWay)
}

/** Reads everything back, once from the running broker and once more after a last restart. */
async function judge(
  kafka: KafkaClient,
  broker: BrokerProcess,
  acknowledged: readonly Acknowledged[],
): Promise<{ violations: string[]; inLog: number }> {
  const violations: string[] = []
  await broker.restart()
  const log = await readAll(kafka)
  let inLog = 0
  for (const [partition, sequences] of log.entries()) {
    inLog += sequences.length
    for (let offset = 1; offset < sequences.length; offset++) {
      const [before = -1, now = -1] = [sequences[offset - 1], sequences[offset]]
      if (now === before)
        violations.push(`partition ${partition}: record ${now} is there twice, at offset ${offset}`)
      if (now < before)
        violations.push(`partition ${partition}: record ${now} stands after ${before}, at offset ${offset}`)
    }
  }
  for (const { partition, sequence, offset } of acknowledged) {
    const found = log[partition]?.[offset]
    if (found !== sequence) {
      violations.push(
        `partition ${partition}: offset ${offset} was acknowledged for record ${sequence} and holds ${found}`,
      )
    }
  }
  return { violations, inLog }
}

/** The sequence at each offset, by partition. */
async function readAll(kafka: KafkaClient): Promise<number[][]> {
  await using admin = kafka.admin()
  const ends = await admin.listOffsets({
    partitions: Array.from({ length: PARTITIONS }, (_, partition) => ({
      topic: TOPIC,
      partition,
      spec: 'latest' as const,
    })),
  })
  const log: number[][] = Array.from({ length: PARTITIONS }, () => [])
  let missing = 0
  for (const { offset } of ends) missing += Number(offset)
  if (missing === 0) return log
  await using consumer = kafka.consumer()
  await consumer.assign(log.map((_, partition) => ({ topic: TOPIC, partition, offset: 'earliest' as const })))
  for await (const message of consumer.messages({ signal: AbortSignal.timeout(DRAIN_TIMEOUT_MS) })) {
    const sequences = log[message.partition]
    if (sequences === undefined || message.offset !== sequences.length) {
      throw new Error(
        `partition ${message.partition} hands out offset ${message.offset} after ${sequences?.length} records`,
      )
    }
    sequences.push(Number.parseInt(message.valueBytes?.toString('latin1') ?? '', 10))
    if (--missing === 0) break
  }
  return log
}
