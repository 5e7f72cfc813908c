/**
 * The fuzzer: `npm run fuzz -- --seconds N --seed S`. Runs the cases in a process of its own, which may crash or hang,
 * and starts it anew behind the case that did it. Ends with one line of JSON; exit code 1 when there were findings.
 *
 *   --seconds N      how long (default 60)
 *   --seed S         the same seed gives the same cases (default: the time)
 *   --target NAME    only this one; may be given again
 *   --findings N     give up after so many (default 20)
 *   --case I         run exactly that case of the one target: to replay a finding
 */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { type Job, type Report } from './job.ts'
import { type Finding, replayCommand } from './runner.ts'
import { TARGETS } from './targets.ts'

/** A case takes a second or two; one that takes so long does not end. */
const SILENCE_MS = 60_000

interface Totals {
  iterations: number
  crashes: number
  hangs: number
  violations: number
  /** Of the broker's process where one was attacked, else of the one that ran the cases; after a warm-up. */
  rssStartMb: number
  rssEndMb: number
  /** Heap of the process that ran the cases. */
  heapStartMb: number
  heapEndMb: number
}

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    target: { type: 'string', multiple: true },
    findings: { type: 'string', default: '20' },
    case: { type: 'string' },
  },
})
const seed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed)
const seconds = Number(values.seconds)
const maxFindings = Number(values.findings)
const names = values.target ?? TARGETS.map(target => target.name)
const unknown = names.find(name => !TARGETS.some(target => target.name === name))
if (unknown !== undefined || !Number.isSafeInteger(seed) || !(seconds > 0)) {
  process.stderr.write(
    `Cannot fuzz: ${unknown === undefined ? '--seed and --seconds want numbers' : `there is no target ${unknown}`}. ` +
      `Targets are ${TARGETS.map(target => target.name).join(', ')}.\n`,
  )
  process.exit(2)
}

const totals: Totals = {
  iterations: 0,
  crashes: 0,
  hangs: 0,
  violations: 0,
  rssStartMb: 0,
  rssEndMb: 0,
  heapStartMb: 0,
  heapEndMb: 0,
}
const findings: Finding[] = []
const from: Record<string, number> = {}
if (values.case !== undefined) for (const name of names) from[name] = Number(values.case)
const startedMs = performance.now()
const elapsedSeconds = (): number => (performance.now() - startedMs) / 1000

function found(finding: Finding): void {
  findings.push(finding)
  totals[finding.kind === 'crash' ? 'crashes' : finding.kind === 'hang' ? 'hangs' : 'violations']++
  process.stderr.write(
    `\n${finding.kind.toUpperCase()} in ${finding.target}, case ${finding.case}, input ${finding.input} (${finding.note}), ` +
      `seed ${seed}\n  ${finding.detail}\n  bytes ${finding.hex}\n  replay ${replayCommand(seed, finding)}\n`,
  )
}

function progress(): void {
  if (!process.stderr.isTTY) return
  const { iterations } = totals
  process.stderr.write(
    `\r${elapsedSeconds().toFixed(0)} s of ${seconds} s, ${iterations} inputs, ${findings.length} findings `,
  )
}

/** One life of the worker; resolves when it is over. */
async function life(job: Job): Promise<'done' | 'died'> {
  const child: ChildProcess = fork(
    fileURLToPath(new URL('worker.ts', import.meta.url)),
    [JSON.stringify(job)],
    {
      execArgv: ['--expose-gc', '--import=tsx'],
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    },
  )
  let current: { target: string; case: number } | null = null
  let isDone = false
  let isHanging = false
  let alarm: NodeJS.Timeout | undefined
  const heard = (): void => {
    clearTimeout(alarm)
    alarm = setTimeout(() => {
      isHanging = true
      child.kill('SIGKILL')
    }, SILENCE_MS)
  }
  heard()
  child.on('message', (report: Report) => {
    heard()
    if (report.type === 'begin') {
      current = report
      from[report.target] = report.case + 1
    } else if (report.type === 'end') {
      current = null
      totals.iterations += report.inputs
      if (report.finding !== null) found(report.finding)
      if (findings.length >= maxFindings) child.kill('SIGKILL')
      progress()
    } else if (report.type === 'memory') {
      if (totals.rssStartMb === 0) {
        totals.rssStartMb = Math.round(report.rssMb)
        totals.heapStartMb = Math.round(report.heapMb)
      }
      totals.rssEndMb = Math.round(report.rssMb)
      totals.heapEndMb = Math.round(report.heapMb)
    } else isDone = true
  })
  await new Promise(resolve => child.once('exit', resolve))
  clearTimeout(alarm)
  // A finding that the worker could still tell was counted when it was told.
  const lost = current as { target: string; case: number } | null
  if (!isDone && lost !== null && findings.length < maxFindings) {
    const kind = isHanging ? 'hang' : 'crash'
    const detail = isHanging
      ? `the process was silent for ${SILENCE_MS} ms`
      : `the process ended by ${child.signalCode ?? `code ${child.exitCode}`}`
    found({ kind, target: lost.target, case: lost.case, input: -1, note: 'not known', hex: '', detail })
  }
  return isDone ? 'done' : 'died'
}

for (;;) {
  const job: Job = {
    seed,
    seconds: Math.max(1, seconds - elapsedSeconds()),
    targets: names,
    from,
    cases: values.case === undefined ? null : 1,
  }
  const end = await life(job)
  if (
    end === 'done' ||
    values.case !== undefined ||
    findings.length >= maxFindings ||
    elapsedSeconds() >= seconds
  )
    break
}
if (process.stderr.isTTY) process.stderr.write('\n')
process.stdout.write(`${JSON.stringify({ seconds: Math.round(elapsedSeconds()), seed, ...totals })}\n`)
process.exit(findings.length === 0 ? 0 : 1)
