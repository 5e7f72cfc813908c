/**
 * Appends the figures of a benchmark to perf/HISTORY.md: one line per run, so that a change that costs throughput is
 * seen beside the commit that made it. Ratios to the bare pipe are kept first, because they mean the same on another
 * machine; MiB/s do not.
 */
import { appendFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { BenchRun, Measured } from './results.ts'

/** The build lies one folder deeper than the sources; the history is kept with the sources. */
function historyFile(): string {
  const built = /\/dist\/perf\/[^/]*$/.test(import.meta.url)
  return fileURLToPath(new URL(built ? '../../perf/HISTORY.md' : './HISTORY.md', import.meta.url))
}

function cell(measured: Measured): string {
  return `${measured.name} ${measured.ratio.toFixed(2)} (${measured.brokerMedian.toFixed(0)} of ${measured.pipeMedian.toFixed(0)})`
}

export async function appendHistory(run: BenchRun): Promise<void> {
  const figures = run.results.map(cell).join(', ')
  const line = `| ${run.date.slice(0, 16)} | ${run.commit} | ${run.node} | ${run.machine} | ${figures} |\n`
  await appendFile(historyFile(), line)
}
