/**
 * How long writing stands still when the leader of a partition dies or hangs: a writer sends a record every
 * millisecond, the process of the leader is killed or halted, and the longest time between two acknowledgements around
 * that moment is the gap. The cluster must be one to whose brokers the caller can do that, and undo it.
 */
import { cpus } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kafka } from '../../client/index.ts'

export interface FailoverCluster {
  /** As kill -9 does; resolves when the process is gone. */
  kill(broker: number): Promise<void>
  /** Resolves when the broker answers again. */
  restart(broker: number): Promise<void>
  /** Its process does nothing from now on (SIGSTOP), and its connections stay open. */
  halt(broker: number): void
  /** It goes on. */
  resume(broker: number): void
}

/** kill: the kernel closes its connections at once. halt: nothing but silence tells. */
export type FailoverFault = 'kill' | 'halt'

export interface FailoverOptions {
  readonly topic: string
  readonly fault: FailoverFault
  readonly faults: number
  /** Between two records. */
  readonly everyMs: number
  readonly acks: 'all' | 1
  readonly signal: AbortSignal
  readonly onGap: (gap: FailoverGap, index: number) => void
}

export interface FailoverGap {
  /** Broker that was killed or halted. */
  readonly leader: number
  /** Broker that led when writing went on. */
  readonly newLeader: number
  /** From the last acknowledgement before the pause to the first one after it. */
  readonly gapMs: number
  /** Until all replicas were in sync again, since the broker before was back. */
  readonly catchUpMs: number
}

export interface FailoverResult {
  readonly kind: 'failover'
  readonly startedAt: string
  readonly node: string
  readonly machine: string
  readonly options: {
    readonly fault: FailoverFault
    readonly faults: number
    readonly everyMs: number
    readonly acks: 'all' | 1
  }
  readonly gaps: readonly FailoverGap[]
  /** Of the gaps, in milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Acknowledged. */
  readonly records: number
  /** Sends that failed for good. */
  readonly errors: number
}

/** Writing must have gone on for so long before a gap is taken for over. */
const SETTLED_MS = 300
const LOOK_EVERY_MS = 20
const RECOVERY_TIMEOUT_MS = 120_000

export async function failoverWorkload(
  kafka: Kafka,
  cluster: FailoverCluster,
  options: FailoverOptions,
): Promise<FailoverResult> {
  const startedAt = new Date().toISOString()
  const writer = new Writer(kafka, options)
  const admin = kafka.admin()
  const partition = async () => (await admin.describeTopics({ topics: [options.topic] }))[0]!.partitions[0]!
  const gaps: FailoverGap[] = []
  try {
    writer.start()
    for (let index = 0; index < options.faults; index++) {
      const inSync = async (): Promise<boolean> => {
        const { isr, replicas, leader } = await partition()
        return leader >= 0 && isr.length === replicas.length
      }
      const backMs = performance.now()
      await until(inSync, 'all replicas are in sync', options.signal)
      const catchUpMs = performance.now() - backMs
      await writer.flows(options.signal)
      const { leader } = await partition()
      const brokenMs = performance.now()
      if (options.fault === 'kill') await cluster.kill(leader)
      else cluster.halt(leader)
      await writer.flows(options.signal, brokenMs)
      const gapMs = writer.longestGapSince(brokenMs)
      const after = await partition()
      if (options.fault === 'kill') await cluster.restart(leader)
      else cluster.resume(leader)
      const gap = { leader, newLeader: after.leader, gapMs, catchUpMs }
      gaps.push(gap)
      options.onGap(gap, index)
    }
  } finally {
    await writer.stop()
  }
  const sorted = gaps.map(({ gapMs }) => gapMs).sort((a, b) => a - b)
  const { fault, faults, everyMs, acks } = options
  return {
    kind: 'failover',
    startedAt,
    node: process.versions.node,
    machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    options: { fault, faults, everyMs, acks },
    gaps,
    p50: atPercentile(sorted, 50),
    p99: atPercentile(sorted, 99),
    max: sorted.at(-1) ?? Number.NaN,
    records: writer.acknowledged,
    errors: writer.errors,
  }
}

/** Of sorted values: the smallest that so many percent do not exceed. NaN for none. Pure. */
export function atPercentile(sorted: readonly number[], percentile: number): number {
  return sorted[Math.max(0, Math.ceil((percentile / 100) * sorted.length) - 1)] ?? Number.NaN
}

/** The longest time between two of these moments, of those that end after `sinceMs`. Pure. */
export function longestGap(ackedMs: readonly number[], sinceMs: number): number {
  let longest = 0
  for (let index = ackedMs.length - 1; index > 0 && ackedMs[index]! > sinceMs; index--) {
    longest = Math.max(longest, ackedMs[index]! - ackedMs[index - 1]!)
  }
  return longest
}

class Writer {
  readonly #options: FailoverOptions
  readonly #producer: ReturnType<Kafka['producer']>
  readonly #underWay = new Set<Promise<void>>()
  /** Moments of acknowledgements, in order. */
  #ackedMs: number[] = []
  /** When the newest record that is acknowledged was sent. */
  #newestSentMs = 0
  #timer: NodeJS.Timeout | null = null
  acknowledged = 0
  errors = 0

  constructor(kafka: Kafka, options: FailoverOptions) {
    this.#options = options
    this.#producer = kafka.producer({ acks: options.acks, lingerMs: 0 })
  }

  start(): void {
    this.#timer = setInterval(() => this.#send(), this.#options.everyMs)
  }

  #send(): void {
    const sentMs = performance.now()
    const sent: Promise<void> = this.#producer
      .send({ topic: this.#options.topic, messages: [{ partition: 0, value: 'x'.repeat(100) }] })
      .then(
        () => {
          this.#ackedMs.push(performance.now())
          this.#newestSentMs = Math.max(this.#newestSentMs, sentMs)
          this.acknowledged += 1
        },
        () => {
          this.errors += 1
        },
      )
      .finally(() => this.#underWay.delete(sent))
    this.#underWay.add(sent)
  }

  /** Resolves when records that were sent since then are acknowledged, and have been for a while. */
  async flows(signal: AbortSignal, sinceMs = performance.now()): Promise<void> {
    const isSettled = (): Promise<boolean> => Promise.resolve(this.#newestSentMs > sinceMs + SETTLED_MS)
    await until(isSettled, 'records are acknowledged', signal)
  }

  longestGapSince(sinceMs: number): number {
    const gapMs = longestGap(this.#ackedMs, sinceMs)
    this.#ackedMs = this.#ackedMs.slice(-1)
    return gapMs
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await Promise.all(this.#underWay)
    await this.#producer.close()
  }
}

async function until(isSo: () => Promise<boolean>, what: string, signal: AbortSignal): Promise<void> {
  const deadlineMs = performance.now() + RECOVERY_TIMEOUT_MS
  while (!(await isSo())) {
    if (performance.now() > deadlineMs)
      throw new Error(`After ${RECOVERY_TIMEOUT_MS} ms it is not so: ${what}`)
    await sleep(LOOK_EVERY_MS, undefined, { signal })
  }
}
