/**
 * The process that runs the cases. It tells its parent what it is about to do before it does it: when it falls silent
 * or dies, the parent knows over which case.
 */

import { type Job, type Report } from './job.ts'
import { type Finding, runCase } from './runner.ts'
import { describeError } from './target.ts'
import { TARGETS } from './targets.ts'

/** Until then compilers and caches warm up: memory is compared from there on. */
const WARM_UP_SHARE = 0.2

const job = JSON.parse(process.argv[2] ?? '{}') as Job
let current = { target: '', case: -1 }

function tell(report: Report): void {
  process.send?.(report)
}

function giveUp(error: unknown): void {
  const finding: Finding = {
    kind: 'crash',
    ...current,
    input: -1,
    note: 'an error that nobody caught',
    hex: '',
    detail: describeError(error),
  }
  process.send?.({ type: 'end', ...current, inputs: 0, finding } satisfies Report, () => process.exit(3))
}

process.on('uncaughtException', giveUp)
process.on('unhandledRejection', giveUp)
process.on('disconnect', () => process.exit(0))

async function tellMemory(): Promise<void> {
  for (let round = 0; round < 3; round++) {
    ;(globalThis as { gc?: () => void }).gc?.()
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  const brokers = await Promise.all(targets.map(async target => (await target.memoryMb?.()) ?? null))
  const broker = brokers.find(megabytes => megabytes !== null) ?? null
  tell({ type: 'memory', rssMb: broker ?? rss / 2 ** 20, heapMb: (heapUsed + external) / 2 ** 20 })
}

const targets = TARGETS.filter(target => job.targets.includes(target.name))
const spentMs = new Map(targets.map(target => [target, 0]))
const next = new Map(targets.map(target => [target, job.from[target.name] ?? 0]))
const left = new Map(targets.map(target => [target, job.cases ?? Number.POSITIVE_INFINITY]))
const startedMs = performance.now()
let isWarm = false
for (;;) {
  const elapsed = (performance.now() - startedMs) / 1000
  const open = targets.filter(target => left.get(target)! > 0)
  if (open.length === 0 || (job.cases === null && elapsed >= job.seconds)) break
  if (!isWarm && elapsed >= job.seconds * WARM_UP_SHARE) {
    isWarm = true
    await tellMemory()
  }
  // Whoever has had the least of its share goes on.
  const target = open.reduce((least, each) =>
    spentMs.get(each)! / each.share < spentMs.get(least)! / least.share ? each : least,
  )
  const index = next.get(target)!
  next.set(target, index + 1)
  left.set(target, left.get(target)! - 1)
  current = { target: target.name, case: index }
  tell({ type: 'begin', ...current })
  const before = performance.now()
  const { inputs, finding } = await runCase(target, job.seed, index)
  spentMs.set(target, spentMs.get(target)! + performance.now() - before)
  tell({ type: 'end', ...current, inputs, finding })
}
await tellMemory()
for (const target of targets) await target.close?.()
process.send?.({ type: 'done' } satisfies Report, () => process.exit(0))
