/**
 * Runs cases, one after another, and turns whatever breaks a promise into a finding. An input that took too long is not
 * believed at once: the machine may have been busy, so its case is run again, alone, and only what is slow each time
 * counts.
 */
import { Chance } from './chance.ts'
import { Stopwatch } from './probe.ts'
import { describeError, Hang, type Target, Violation } from './target.ts'

/** No input may keep the event loop longer. */
export const LONGEST_MS = 100
const REPEATS = 3
const MAX_HEX_BYTES = 4 * 1024

export type FindingKind = 'crash' | 'hang' | 'violation'

export interface Finding {
  readonly kind: FindingKind
  readonly target: string
  readonly case: number
  readonly input: number
  readonly note: string
  readonly hex: string
  readonly detail: string
}

export interface CaseResult {
  readonly inputs: number
  readonly finding: Finding | null
}

export async function runCase(target: Target, seed: number, index: number): Promise<CaseResult> {
  const watch = new Stopwatch(LONGEST_MS)
  const finding = (kind: FindingKind, seen: typeof watch.last, detail: string): CaseResult => ({
    inputs: watch.inputs,
    finding: {
      kind,
      target: target.name,
      case: index,
      input: seen.number,
      note: seen.note,
      hex: seen.bytes.toString('hex', 0, MAX_HEX_BYTES),
      detail,
    },
  })
  try {
    await target.run(Chance.of(seed, target.name, index), watch)
    watch.pause()
  } catch (error) {
    const kind = error instanceof Hang ? 'hang' : error instanceof Violation ? 'violation' : 'crash'
    return finding(kind, watch.last, describeError(error))
  }
  for (const slow of watch.slow) {
    const times = [slow.tookMs]
    while (times.length <= REPEATS && Math.min(...times) > LONGEST_MS) {
      times.push(await timeOf(target, seed, index, slow.number))
    }
    if (Math.min(...times) > LONGEST_MS) {
      return finding('hang', slow, `took ${times.map(ms => `${ms.toFixed(0)} ms`).join(', ')}`)
    }
  }
  return { inputs: watch.inputs, finding: null }
}

/** How long input `number` of the case takes when the case is run again. */
async function timeOf(target: Target, seed: number, index: number, number: number): Promise<number> {
  ;(globalThis as { gc?: () => void }).gc?.()
  const watch = new Stopwatch(LONGEST_MS)
  await target.run(Chance.of(seed, target.name, index), watch)
  watch.pause()
  return watch.slow.find(slow => slow.number === number)?.tookMs ?? 0
}

export function replayCommand(seed: number, { target, case: index }: Finding): string {
  return `npm run fuzz -- --seed ${seed} --target ${target} --case ${index}`
}
