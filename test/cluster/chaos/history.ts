/**
 * What clients were told, and what is wrong with it. Each partition has one writer, which numbers its records: so the
 * log must hold ascending numbers, each at most once, and every acknowledged number at the offset that was told. What a
 * reader was given must be what the log holds in the end.
 */
export interface PartitionHistory {
  readonly name: string
  readonly topic: string
  /** Number by offset, as it was acknowledged. */
  readonly acknowledged: Map<number, number>
  /** Number by offset, as a reader was given it. */
  readonly read: Map<number, number>
  /** Sends that failed for good: they may be in the log or not. */
  failed: number
  lastAckMs: number
  readonly violations: string[]
}

export class History {
  readonly #partitions = new Map<string, PartitionHistory>()

  partition(topic: string, partition: number): PartitionHistory {
    const name = `${topic}-${partition}`
    let history = this.#partitions.get(name)
    if (history === undefined) {
      history = {
        name,
        topic,
        acknowledged: new Map(),
        read: new Map(),
        failed: 0,
        lastAckMs: performance.now(),
        violations: [],
      }
      this.#partitions.set(name, history)
    }
    return history
  }

  get partitions(): readonly PartitionHistory[] {
    return [...this.#partitions.values()]
  }

  get acknowledged(): number {
    return this.partitions.reduce((sum, { acknowledged }) => sum + acknowledged.size, 0)
  }

  get failed(): number {
    return this.partitions.reduce((sum, { failed }) => sum + failed, 0)
  }

  /** A record was acknowledged. */
  acked(history: PartitionHistory, offset: number, number: number): void {
    const before = history.acknowledged.get(offset)
    if (before !== undefined && before !== number) {
      history.violations.push(
        `${history.name}@${offset} was acknowledged for ${before}, and again for ${number}`,
      )
    }
    history.acknowledged.set(offset, number)
    history.lastAckMs = performance.now()
  }

  /** A reader was given a record. */
  wasRead(history: PartitionHistory, offset: number, number: number): void {
    const before = history.read.get(offset)
    if (before !== undefined && before !== number) {
      history.violations.push(`${history.name}@${offset} was read as ${before}, and later as ${number}`)
    }
    history.read.set(offset, number)
  }
}

/** A sentence for each promise that was not kept. `log`: number by offset, as it is in the end. Pure. */
export function judge(history: PartitionHistory, log: ReadonlyMap<number, number>): string[] {
  const { name } = history
  const violations = [...history.violations]
  let last = -1
  for (const [offset, number] of [...log].sort(([a], [b]) => a - b)) {
    if (number === last) violations.push(`${name}@${offset} holds ${number} for the second time`)
    if (number < last) violations.push(`${name}@${offset} holds ${number}, after ${last}`)
    last = number
  }
  for (const [offset, number] of history.acknowledged) {
    const found = log.get(offset)
    if (found !== number)
      violations.push(`${name}@${offset} was acknowledged for ${number} and holds ${found ?? 'nothing'}`)
  }
  for (const [offset, number] of history.read) {
    const found = log.get(offset)
    if (found !== number)
      violations.push(`${name}@${offset} was read as ${number} and holds ${found ?? 'nothing'}`)
  }
  return violations
}
