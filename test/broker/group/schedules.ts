/**
 * What random schedules of a coordinator are made of: a seeded source of chance, and the watch over offsets that every
 * schedule keeps.
 */
import { type TestShell } from './shell.ts'

/** Mulberry32: small, and the same on every machine. */
export class Chance {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  float(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }

  below(bound: number): number {
    return Math.floor(this.float() * bound)
  }

  oneIn(count: number): boolean {
    return this.below(count) === 0
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!
  }
}

/** A violated property, with what is needed to see it again. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

export function check(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Violation(message)
}

/** What schedules have met, so that a test can tell that nothing of it was left to chance. */
export class Tally {
  readonly #counts = new Map<string, number>()

  count(what: string): void {
    this.#counts.set(what, this.of(what) + 1)
  }

  of(what: string): number {
    return this.#counts.get(what) ?? 0
  }
}

/** Commits only ever grow here, so an acknowledged offset may never be followed by a smaller one. */
export class OffsetWatch {
  readonly #acknowledged = new Map<string, number>()
  #next = 1

  /** An offset larger than any before. */
  next(): number {
    return this.#next++
  }

  acknowledge(partition: string, offset: number): void {
    this.#acknowledged.set(partition, Math.max(offset, this.#acknowledged.get(partition) ?? -1))
  }

  /** What the coordinator says now is at least what it has acknowledged. */
  verify(shell: TestShell, groupId: string): void {
    const answer = shell.shard.decide(
      {
        kind: 'offset-fetch',
        token: 0,
        groupId,
        memberId: null,
        memberEpoch: -1,
        topics: null,
        requireStable: true,
      },
      shell.nowMs,
    ).replies[0]
    const found = new Map<string, number>()
    if (answer?.kind === 'offset-fetch') {
      for (const { topicId, partitions } of answer.answer.topics ?? []) {
        for (const { partitionIndex, committedOffset } of partitions) {
          found.set(`${topicId}/${partitionIndex}`, committedOffset)
        }
      }
    }
    for (const [partition, offset] of this.#acknowledged) {
      const now = found.get(partition) ?? -1
      check(now >= offset, `the offset of ${partition} went back from ${offset} to ${now}`)
    }
  }
}

/** Runs `schedule` for each seed; the first failure names its seed. */
export function runSchedules(count: number, firstSeed: number, schedule: (chance: Chance) => void): void {
  for (let seed = firstSeed; seed < firstSeed + count; seed++) {
    try {
      schedule(new Chance(seed))
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }
}
