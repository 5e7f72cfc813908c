/**
 * The report of one `sluice bench`: JSON, Markdown, or one HTML page with charts of throughput and latency over time
 * and of the distribution of latencies; by the file's ending.
 */
import { writeFile } from 'node:fs/promises'
import type { LatencySummary, WorkloadResult } from '../workload/types.ts'
import { groupConditions, groupHeadline, groupRows, PAUSE_HEADING, pauseCells, pauseRows } from './group.ts'
import { embedJson, escapeHtml, renderPage } from './page.ts'
import { milliseconds, number } from './text.ts'

/** Throws where the ending is none of .json, .md, .html. */
export async function writeWorkloadReport(file: string, result: WorkloadResult): Promise<void> {
  const ending = /\.(json|md|html)$/.exec(file)?.[1]
  switch (ending) {
    case 'json':
      return writeFile(file, `${JSON.stringify(result, null, 2)}\n`)
    case 'md':
      return writeFile(file, workloadMarkdown(result))
    case 'html':
      return writeFile(file, await workloadHtml(result))
    default:
      throw new Error(`The report ${file} has an ending that is not known: use .json, .md or .html.`)
  }
}

const TITLES = {
  produce: 'Producing',
  consume: 'Consuming',
  e2e: 'End to end',
  group: 'A group',
  commits: 'Committing offsets',
} as const

/** The one line that counts. */
export function headline(result: WorkloadResult): string {
  switch (result.kind) {
    case 'group':
      return result.group === undefined ? 'nothing measured' : groupHeadline(result.group)
    case 'commits':
      return `${number(result.recordsPerSecond)} partition offsets/s`
    case 'produce':
    case 'consume':
    case 'e2e':
      return `${number(result.recordsPerSecond)} records/s, ${number(result.mebibytesPerSecond, 1)} MiB/s`
    default:
      return result.kind satisfies never
  }
}

/** What was counted, as pairs for a table. */
export function figures(result: WorkloadResult): [string, string][] {
  const { records, errors, recordsPerSecond, mebibytesPerSecond, group } = result
  const flow: [string, string][] = [
    ['records/s', number(recordsPerSecond)],
    ['MiB/s', number(mebibytesPerSecond, 1)],
    ['records', number(records)],
  ]
  const stored: [string, string][] = [
    ['offsets/s', number(recordsPerSecond)],
    ['offsets', number(records)],
    ['commits', number(result.latency?.count ?? 0)],
  ]
  return [
    ...(result.kind === 'group' && group !== undefined ? groupRows(group) : []),
    ...(result.kind === 'commits' ? stored : records === 0 ? [] : flow),
    ['errors', number(errors)],
  ]
}

/** How it was run, as pairs for a table. */
export function conditions(result: WorkloadResult): [string, string][] {
  const { options } = result
  const { group } = options
  const rate = options.rate === null ? 'as fast as it goes' : `${number(options.rate)} records/s`
  const writes: [string, string][] = [
    ['batch', `${number(options.batchBytes)} B, linger ${options.lingerMs} ms`],
    ['acks', String(options.acks)],
    [
      'codec',
      options.compression === 'none'
        ? 'none'
        : `${options.compression}, ${number(options.compressible * 100)}% repeats`,
    ],
    ['producers', String(options.producers)],
    ['rate', rate],
  ]
  return [
    ['broker', result.brokers],
    ['topic', `${options.topic}, ${options.partitions} partition${options.partitions === 1 ? '' : 's'}`],
    ...(group === undefined ? [] : groupConditions(group, dueEveryMs(result))),
    ...(group === undefined ? [['record', `${number(options.recordBytes)} B`] as [string, string]] : []),
    ...(group !== undefined && !group.light
      ? [['records', `${number(options.recordBytes)} B, ${rate}`] as [string, string]]
      : []),
    ...(result.kind === 'consume' || group !== undefined ? [] : writes),
    [
      'measured',
      `${number(result.durationMs / 1000, 1)} s after ${number(options.warmupMs / 1000, 1)} s of warm-up`,
    ],
    ['client', `Node ${result.node}, ${number(result.clientCpu * 100)}% of a core`],
    ['machine', result.machine],
  ]
}

/** Shorter pauses of a partition mean nothing. */
function dueEveryMs({ options, kind }: WorkloadResult): number | null {
  const { group, rate, partitions } = options
  return kind !== 'group' || group?.light !== false || rate === null ? null : (1000 / rate) * partitions
}

export function latencyRows(latency: LatencySummary): [string, number][] {
  return [
    ['mean', latency.mean],
    ['p50', latency.p50],
    ['p90', latency.p90],
    ['p95', latency.p95],
    ['p99', latency.p99],
    ['p99.9', latency.p999],
    ['p99.99', latency.p9999],
    ['max', latency.max],
  ]
}

export function workloadMarkdown(result: WorkloadResult): string {
  const table = (rows: readonly (readonly [string, string])[]): string =>
    ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n')
  const latency =
    result.latency === null
      ? ''
      : `\n## Latency, ms\n\n${result.latencyOf}\n\n${table(latencyRows(result.latency).map(([name, value]) => [name, milliseconds(value)]))}\n`
  const notes = result.notes.map(note => `- ${note}\n`).join('')
  return `# ${TITLES[result.kind]}, ${result.startedAt.slice(0, 16).replace('T', ' ')} UTC

${table(figures(result))}
${pauseMarkdown(result)}${latency}
## Conditions

${table(conditions(result))}
${notes === '' ? '' : `\n${notes}`}`
}

function pauseMarkdown({ group }: WorkloadResult): string {
  const rows = group === undefined ? [] : pauseRows(group)
  if (rows.length === 0) return ''
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`
  const rule = line(PAUSE_HEADING.map(() => '---'))
  return `\n## Pauses, ms\n\n${line(PAUSE_HEADING)}${rule}${rows.map(row => line(pauseCells(row))).join('')}`
}

function card(value: string, unit: string, label: string): string {
  return `<div class="card"><b>${value}<small>${unit}</small></b><span>${label}</span></div>`
}

function htmlTable(rows: readonly (readonly string[])[], heading: readonly string[]): string {
  const head = heading.map(text => `<th>${escapeHtml(text)}</th>`).join('')
  const body = rows.map(cells => `<tr>${cells.map(text => `<td>${escapeHtml(text)}</td>`).join('')}</tr>`)
  return `<table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table>`
}

function cards(result: WorkloadResult): string[] {
  const { latency, group, kind } = result
  const flow =
    kind === 'commits'
      ? [card(number(result.recordsPerSecond), '', 'partition offsets per second')]
      : [
          card(number(result.recordsPerSecond), '', 'records per second'),
          card(number(result.mebibytesPerSecond, 1), 'MiB/s', 'of values'),
        ]
  const firstStable = group?.firstStableMs ?? null
  const moved = group?.pauses.moved ?? null
  return [
    ...(firstStable === null ? [] : [card(number(firstStable / 1000, 2), 's', 'until stable')]),
    ...(moved === null ? [] : [card(milliseconds(moved.p50), 'ms', 'median pause, moved')]),
    ...(kind === 'group' && group !== undefined
      ? [card(number(group.reread), '', 'records read again')]
      : []),
    ...(result.records === 0 ? [] : flow),
    ...(latency === null
      ? []
      : [
          card(milliseconds(latency.p50), 'ms', 'median latency'),
          card(milliseconds(latency.p99), 'ms', '99th percentile'),
          card(milliseconds(latency.max), 'ms', 'largest'),
        ]),
    card(number(result.errors), '', 'errors'),
  ]
}

function chart(id: string, title: string, note: string): string {
  return `<section><h2>${title}</h2><p class="note">${escapeHtml(note)}</p><div class="chart" id="${id}"></div></section>`
}

const RATE_NOTES = { 'MiB/s': 'MiB of values', 'records/s': 'Records', 'offsets/s': 'Offsets' } as const

function rateUnit({ kind }: WorkloadResult): keyof typeof RATE_NOTES {
  return kind === 'group' ? 'records/s' : kind === 'commits' ? 'offsets/s' : 'MiB/s'
}

export function workloadHtml(result: WorkloadResult): Promise<string> {
  const { latency, group } = result
  const unit = rateUnit(result)
  const charts = [
    ...(result.records === 0
      ? []
      : [chart('throughput', 'Throughput', `${RATE_NOTES[unit]} per second, by half second`)]),
    ...(latency === null
      ? []
      : [
          chart('latency', 'Latency over time', `Milliseconds, ${result.latencyOf ?? ''}`),
          chart(
            'curve',
            'Distribution of latency',
            'Milliseconds by percentile; to the right each step is a tenth of what is left',
          ),
        ]),
  ]
  const pauses = group === undefined ? [] : pauseRows(group)
  if (pauses.length > 0) {
    const note = 'Milliseconds without a record, though records were due all the time'
    charts.unshift(
      `<section><h2>Pauses</h2><p class="note">${note}</p>${htmlTable(pauses.map(pauseCells), PAUSE_HEADING)}</section>`,
    )
  }
  const tables = `<section class="columns">
${
  latency === null
    ? ''
    : `<div><h2>Latency</h2>${htmlTable(
        latencyRows(latency).map(([name, value]) => [name, milliseconds(value)]),
        ['', 'ms'],
      )}</div>`
}
${group === undefined ? '' : `<div><h2>Figures</h2>${htmlTable(figures(result), ['', ''])}</div>`}
<div><h2>Conditions</h2>${htmlTable(conditions(result), ['', ''])}</div>
</section>`
  const notes = result.notes.map(note => `<p class="note">${escapeHtml(note)}</p>`).join('')
  return renderPage({
    title: `${TITLES[result.kind]}: ${result.options.topic}`,
    subtitle: `${result.startedAt.slice(0, 19).replace('T', ' ')} UTC, ${result.brokers}`,
    body: `<div class="cards">${cards(result).join('')}</div>\n${charts.join('\n')}\n${tables}\n${notes}`,
    script: `const result = ${embedJson({ samples: result.samples, curve: latency?.curve ?? [], unit })};\n${CHARTS}`,
  })
}

/** Runs in the page, with uPlot and `result` at hand. */
const CHARTS = `
const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const fade = name => 'color-mix(in srgb, ' + colour(name) + ' 16%, transparent)';
const axis = (more = {}) => ({ stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 },
  ticks: { stroke: colour('--line'), width: 1, size: 5 }, font: '12px system-ui, sans-serif', ...more });
const ms = value => value == null ? '-' : value < 1 ? value.toFixed(3) : value < 10 ? value.toFixed(2) : value.toFixed(1);
const powers = values => values.map(value =>
  !isPower(value) ? '' : value >= 1 ? value.toLocaleString('en-US') : String(value));
const isPower = value => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9;
const majors = (_, splits) => splits.map(value => isPower(value) ? value : null);
const logAxis = more => {
  const made = axis(more);
  made.grid.filter = made.ticks.filter = majors;
  return made;
};
const draw = (id, height, options, data) => {
  const place = document.getElementById(id);
  if (!place || data[0].length === 0) return;
  const cursor = { y: false, points: { size: 6 } };
  const plot = new uPlot({ width: place.clientWidth, height, cursor, ...options }, data, place);
  addEventListener('resize', () => plot.setSize({ width: place.clientWidth, height }));
};
// What is left at the end is too short to be a rate.
const samples = result.samples.filter((sample, index) => index === 0 || sample.lengthMs > 250);
// The first interval begins at zero: its value stands there too.
if (samples.length) samples.unshift({ ...samples[0], atMs: 0 });
const times = samples.map(sample => sample.atMs / 1000);
const time = { time: false };
const seconds = { label: 'time', value: (_, value) => value == null ? '-' : value.toFixed(1) + ' s' };
const last = samples.length ? samples[samples.length - 1].atMs / 1000 : 1;
const whole = { x: { ...time, range: [0, last] } };
const secondsAxis = axis({ values: (_, values) => values.map(value => value + ' s') });
draw('throughput', 260, {
  scales: { ...whole, y: { range: (_, min, max) => [0, (max || 1) * 1.12] } },
  axes: [secondsAxis, axis({ size: 64 })],
  series: [seconds,
    { label: result.unit, stroke: colour('--accent'), fill: fade('--accent'), width: 2, points: { show: false },
      value: (_, value) => value == null ? '-' : value.toFixed(1) }],
}, [times, samples.map(sample =>
  (result.unit === 'MiB/s' ? sample.bytes / 1048576 : sample.records) / (sample.lengthMs / 1000))]);
draw('latency', 280, {
  scales: { ...whole, y: { distr: 3, log: 10 } },
  axes: [secondsAxis, logAxis({ size: 64, values: (_, values) => powers(values) })],
  series: [seconds,
    { label: 'median', stroke: colour('--accent'), width: 2, points: { show: false }, value: (_, value) => ms(value) },
    { label: 'p99', stroke: colour('--second'), width: 2, points: { show: false }, value: (_, value) => ms(value) },
    { label: 'max', stroke: colour('--third'), width: 1.5, dash: [4, 4], points: { show: false },
      value: (_, value) => ms(value) }],
}, [times, ...['p50', 'p99', 'max'].map(key => samples.map(sample => sample[key]))]);
const points = result.curve.filter(point => point.percentile < 100);
const nines = point => 100 / (100 - point.percentile);
const share = value => {
  const left = 100 / value;
  return (100 - left).toFixed(Math.max(0, Math.round(-Math.log10(left)))) + '%';
};
draw('curve', 280, {
  scales: { x: { time: false, distr: 3, log: 10, range: (_, min, max) => [1, Math.max(10, max)] },
    y: { range: (_, min, max) => [0, (max || 1) * 1.08] } },
  axes: [logAxis({ values: (_, values) => values.map(value => isPower(value) ? share(value) : '') }),
    axis({ size: 64 })],
  series: [{ label: 'percentile', value: (_, value) => value == null ? '-' : share(value) },
    { label: 'ms', stroke: colour('--accent'), fill: fade('--accent'), width: 2, points: { show: false },
      value: (_, value) => ms(value) }],
}, [points.map(nines), points.map(point => point.value)]);
`
