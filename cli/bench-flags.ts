/** What the `sluice bench` commands share: their flags, the run with progress, the outcome and the reports. */
import { boolean, integer, string } from '@oclif/core/flags'
import type { Snapshot, WorkloadOptions, WorkloadResult } from '../perf/workload/types.ts'
import { usageError } from './errors.ts'
import { renderTable } from './output/present.ts'
import { writeOut } from './output/writer.ts'
import { parseDuration, parseSize } from './settings.ts'
import { count, type Progress, paint } from './terminal.ts'

export const benchFlags = {
  topic: string({
    char: 't',
    helpValue: 'NAME',
    description: 'topic to use [one made for the run, and deleted after it]',
  }),
  partitions: integer({ char: 'p', min: 1, default: 1, description: 'partitions to use' }),
  size: string({ char: 's', default: '1k', helpValue: '1k', description: 'value of each record' }),
  duration: string({ default: '10s', helpValue: '10s', description: 'measured time' }),
  count: integer({ char: 'n', min: 1, description: 'stop after so many records' }),
  warmup: string({ default: '2s', helpValue: '2s', description: 'time before the measured time' }),
  report: string({
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'FILE',
    description: 'write a report: .json, .md, or .html with charts; may be repeated',
  }),
  keep: boolean({ description: 'do not delete the topic that was made for the run' }),
} as const

export const producingFlags = {
  batch: string({ default: '256k', helpValue: '256k', description: 'largest batch' }),
  linger: string({ default: '5ms', helpValue: '5ms', description: 'how long a batch waits for more' }),
  acks: string({
    char: 'a',
    options: ['all', '1', '0'],
    default: 'all',
    description: 'who must have a record',
  }),
  compression: string({
    char: 'z',
    options: ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
    default: 'none',
    description: 'codec',
  }),
  compressible: string({
    default: '0.5',
    helpValue: '0..1',
    description: 'share of each value that repeats',
  }),
  producers: integer({ min: 1, default: 1, description: 'producers, each with its own connections' }),
  rate: integer({
    char: 'r',
    min: 1,
    helpValue: 'N',
    description: 'records per second in all [as fast as it goes]',
  }),
} as const

interface BenchFlagValues {
  readonly topic?: string | undefined
  readonly partitions: number
  readonly size: string
  readonly duration: string
  readonly count?: number | undefined
  readonly warmup: string
  readonly batch?: string
  readonly linger?: string
  readonly acks?: string
  readonly compression?: string
  readonly compressible?: string
  readonly producers?: number
  readonly rate?: number | undefined
}

/** Throws CliError for values that make no sense. */
export function workloadOptions(flags: BenchFlagValues, topic: string): WorkloadOptions {
  const recordBytes = parseSize(flags.size)
  if (recordBytes < 16) throw usageError('--size must be at least 16 bytes.')
  const compressible = Number(flags.compressible ?? '0.5')
  if (!(compressible >= 0 && compressible <= 1))
    throw usageError('--compressible is a share between 0 and 1.')
  return {
    topic,
    partitions: flags.partitions,
    recordBytes,
    batchBytes: parseSize(flags.batch ?? '256k'),
    lingerMs: parseDuration(flags.linger ?? '5ms'),
    acks: flags.acks === '0' ? 0 : flags.acks === '1' ? 1 : 'all',
    compression: (flags.compression ?? 'none') as WorkloadOptions['compression'],
    compressible,
    producers: flags.producers ?? 1,
    rate: flags.rate ?? null,
    durationMs: parseDuration(flags.duration),
    count: flags.count ?? null,
    warmupMs: parseDuration(flags.warmup),
  }
}

export function checkReports(files: readonly string[]): void {
  const wrong = files.find(file => !/\.(json|md|html)$/.test(file))
  if (wrong !== undefined) throw usageError(`--report ${wrong}: the name must end in .json, .md or .html.`)
}

const BAR_CELLS = 20

export function showSnapshot(progress: Progress, snapshot: Snapshot): void {
  progress.update(() => {
    const filled = Math.round((snapshot.done ?? 0) * BAR_CELLS)
    const bar = snapshot.done === null ? '' : `[${'#'.repeat(filled)}${'.'.repeat(BAR_CELLS - filled)}] `
    const latency =
      snapshot.p50 === null
        ? ''
        : `  p50 ${snapshot.p50.toFixed(1)} ms, p99 ${(snapshot.p99 ?? 0).toFixed(1)} ms`
    const flow = `${count(Math.round(snapshot.recordsPerSecond))} records/s, ${snapshot.mebibytesPerSecond.toFixed(1)} MiB/s`
    const said = [
      ...(snapshot.note === undefined ? [] : [snapshot.note]),
      // A group that reads nothing has no flow to show.
      ...(snapshot.note === undefined || snapshot.recordsPerSecond > 0 ? [`${flow}${latency}`] : []),
    ]
    return `${bar}${snapshot.phase}: ${said.join('; ')}`
  })
}

/** For people. */
export async function printResult(result: WorkloadResult): Promise<void> {
  const { conditions, figures, headline, latencyRows } = await import('../perf/report/workload.ts')
  const { PAUSE_HEADING, pauseCells, pauseRows } = await import('../perf/report/group.ts')
  const { milliseconds } = await import('../perf/report/text.ts')
  const total =
    result.group === undefined
      ? [
          `${count(result.records)} records in ${(result.durationMs / 1000).toFixed(1)} s, ${count(result.errors)} errors`,
        ]
      : []
  await writeOut(`${[paint(process.stdout, 'bold', headline(result)), ...total, ''].join('\n')}\n`)
  const pair = [
    { title: '', value: (row: readonly [string, string]) => row[0] },
    { title: '', value: (row: readonly [string, string]) => row[1] },
  ]
  const print = (rows: readonly (readonly [string, string])[]): Promise<void> | undefined =>
    writeOut(renderTable(pair, rows).replace(/^\n/, ''))
  if (result.group !== undefined) {
    await print(figures(result).map(([name, value]) => [`  ${name}`, value] as const))
    const pauses = pauseRows(result.group).map(pauseCells)
    const columns = PAUSE_HEADING.map((title, index) => ({
      title: index === 0 ? '  pause of, ms' : title,
      align: index === 0 ? ('left' as const) : ('right' as const),
      value: (row: readonly string[]) => (index === 0 ? `  ${row[0]!}` : row[index]!),
    }))
    if (pauses.length > 0) await writeOut(`\n${renderTable(columns, pauses)}`)
    await writeOut('\n')
  }
  if (result.latency !== null) {
    await writeOut(`latency, ms: ${result.latencyOf ?? ''}\n`)
    await print(
      latencyRows(result.latency).map(([name, value]) => [`  ${name}`, milliseconds(value)] as const),
    )
    await writeOut('\n')
  }
  await print(conditions(result))
  for (const note of result.notes) await writeOut(`\n${note}\n`)
}
