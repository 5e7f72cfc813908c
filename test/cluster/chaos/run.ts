/**
 * Breaks a cluster of real processes again and again while clients write to it and read from it, and judges what they
 * were promised: no acknowledged record is lost, out of order or doubled, nothing that was read is taken back, every
 * partition takes records within 10 s of a fault's end, and without a break where a fault leaves a majority alone.
 */
import { SeededRandom } from '../../../broker/env-memory/random.ts'
import { until } from '../../helpers/until.ts'
import { drawFault, type Fault, type FaultKind, suffer } from './faults.ts'
import { History, judge } from './history.ts'
import { Load, OWN_TOPIC, PARTITIONS } from './load.ts'
import { ChaosCluster } from './nodes.ts'

const BROKERS = 3
/** After a fault has ended, or under one that leaves a majority alone. */
const WRITABLE_WITHIN_MS = 10_000
const LOOK_EVERY_MS = 100

export interface ChaosOptions {
  readonly faults: number
  readonly seed: number
  readonly longestFaultMs?: number
  /** Default: all. */
  readonly kinds?: readonly FaultKind[] | undefined
  readonly onProgress?: (line: string) => void
}

export interface ChaosResult {
  readonly faults: number
  readonly seed: number
  readonly acknowledged: number
  readonly read: number
  /** Sends that failed for good. */
  readonly failed: number
  /** From the end of a fault to the first acknowledgement of the last partition. */
  readonly slowestRecoveryMs: number
  /** Longest time without an acknowledgement of one partition, under faults that leave a majority alone. */
  readonly longestMinorGapMs: number
  /** What could not be done here, and why. */
  readonly limits: string | null
  readonly violations: readonly string[]
}

export async function chaos(options: ChaosOptions): Promise<ChaosResult> {
  const { faults, seed, onProgress = () => {} } = options
  const random = new SeededRandom(seed)
  const cluster = await ChaosCluster.start(BROKERS)
  const { limits, slowLimits } = cluster.network
  if (limits !== null) onProgress(`no links are cut: ${limits}`)
  if (slowLimits !== null) onProgress(`no links are slow: ${slowLimits}`)
  onProgress(`logs in ${cluster.folder}`)
  const history = new History()
  const load = new Load(history, cluster.bootstrap)
  const violations: string[] = []
  let slowestRecoveryMs = 0
  let longestMinorGapMs = 0
  try {
    await load.start()
    await writable(history, performance.now())
    for (let number = 1; number <= faults; number++) {
      const fault = drawFault(cluster, random, { kinds: options.kinds, longestMs: options.longestFaultMs })
      onProgress(`${new Date().toISOString()} ${number}/${faults}: ${fault.name}`)
      const gaps = new Gaps(history)
      await suffer(fault)
      const { gapMs, name } = gaps.stop()
      if (fault.isMinor) {
        longestMinorGapMs = Math.max(longestMinorGapMs, gapMs)
        if (gapMs > WRITABLE_WITHIN_MS) violations.push(gapOf(fault, gapMs, name))
      }
      const recoveryMs = await writable(history, performance.now())
      slowestRecoveryMs = Math.max(slowestRecoveryMs, recoveryMs)
      if (recoveryMs > WRITABLE_WITHIN_MS) {
        violations.push(
          `after "${fault.name}" the last partition took records after ${Math.round(recoveryMs)} ms`,
        )
      }
      onProgress(
        `  longest gap ${Math.round(gapMs)} ms (${name}), all partitions write after ${Math.round(recoveryMs)} ms; ` +
          `${history.acknowledged} acknowledged, ${history.failed} failed`,
      )
    }
    await load.stop()
    for (const topic of Object.keys(PARTITIONS)) {
      const logs = await load.finalLog(topic)
      for (const [partition, log] of logs.entries()) {
        violations.push(...judge(history.partition(topic, partition), log))
      }
    }
  } finally {
    await load.close()
    await cluster.stop(violations.length > 0)
  }
  return {
    faults,
    seed,
    acknowledged: history.acknowledged,
    read: history.partitions.reduce((sum, { read }) => sum + read.size, 0),
    failed: history.failed,
    slowestRecoveryMs: Math.round(slowestRecoveryMs),
    longestMinorGapMs: Math.round(longestMinorGapMs),
    limits: limits ?? slowLimits,
    violations,
  }
}

/** Resolves when every partition has acknowledged something since `sinceMs`; to the time that it took. */
async function writable(history: History, sinceMs: number): Promise<number> {
  const late = (): string[] =>
    history.partitions.filter(({ lastAckMs }) => lastAckMs <= sinceMs).map(({ name }) => name)
  try {
    await until(() => late().length === 0, 'every partition takes records', 120_000)
  } catch (cause) {
    throw new Error(`nothing is acknowledged any more in ${late().join(', ')}`, { cause })
  }
  return performance.now() - sinceMs
}

/** The longest time for which a partition that our own client writes to acknowledged nothing. */
class Gaps {
  readonly #history: History
  readonly #timer: NodeJS.Timeout
  #longestMs = 0
  #name = 'none'

  constructor(history: History) {
    this.#history = history
    const beganMs = performance.now()
    this.#timer = setInterval(() => this.#look(beganMs), LOOK_EVERY_MS)
  }

  #look(beganMs: number): void {
    const nowMs = performance.now()
    for (const { name, topic, lastAckMs } of this.#history.partitions) {
      // Kafkajs waits for a broker that stands still for as long as the connection to it is open.
      if (topic !== OWN_TOPIC) continue
      const gapMs = nowMs - Math.max(lastAckMs, beganMs)
      if (gapMs <= this.#longestMs) continue
      this.#longestMs = gapMs
      this.#name = name
    }
  }

  /** The gap, and the partition that had it. */
  stop(): { readonly gapMs: number; readonly name: string } {
    clearInterval(this.#timer)
    return { gapMs: this.#longestMs, name: this.#name }
  }
}

function gapOf({ name }: Fault, gapMs: number, partition: string): string {
  return `under "${name}" ${partition} took no records for ${Math.round(gapMs)} ms`
}
