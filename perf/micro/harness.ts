/** Times a small piece of work: warms it up, repeats it, and prints the median with its rate. */
import { performance } from 'node:perf_hooks'
import { MEBIBYTE, median, spread } from '../statistics.ts'

const ROUNDS = 9
const ROUND_MS = 80

export interface Measured {
  readonly nanoseconds: number
  /** Half the interquartile range, as a share of the median. */
  readonly spread: number
}

function timed(work: () => void, repetitions: number): number {
  const startedAt = performance.now()
  for (let index = 0; index < repetitions; index += 1) work()
  return performance.now() - startedAt
}

/** Time of one call of `work`. */
export function measure(work: () => void): Measured {
  let repetitions = 1
  while (timed(work, repetitions) < ROUND_MS) repetitions = Math.ceil(repetitions * 1.7)
  const rounds: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) rounds.push((timed(work, repetitions) / repetitions) * 1e6)
  return { nanoseconds: median(rounds), spread: spread(rounds) }
}

/**
 * Prints one line. `bytes` are those that one call deals with, and `items` the pieces (records, lookups) in it; either
 * adds a rate.
 */
export function bench(title: string, work: () => void, per: { bytes?: number; items?: number } = {}): void {
  const { nanoseconds, spread: noise } = measure(work)
  const seconds = nanoseconds / 1e9
  const cells = [
    title.padEnd(46),
    (nanoseconds < 10_000
      ? `${nanoseconds.toFixed(0)} ns`
      : `${(nanoseconds / 1000).toFixed(1)} us`
    ).padStart(12),
    `±${(noise * 100).toFixed(0)}%`.padStart(6),
    per.bytes === undefined ? '' : `${(per.bytes / MEBIBYTE / seconds).toFixed(0)} MiB/s`.padStart(14),
    per.items === undefined ? '' : `${(per.items / seconds / 1e6).toFixed(2)} M/s`.padStart(12),
  ]
  process.stdout.write(`${cells.join('').trimEnd()}\n`)
}
