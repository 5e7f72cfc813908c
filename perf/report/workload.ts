/**
 * The report of one `sluice bench`: JSON, Markdown, or one HTML page with charts of throughput and latency over time
 * and of the distribution of latencies; by the file's ending.
 */
import { writeFile } from 'node:fs/promises'
import type { LatencySummary, WorkloadResult } from '../workload/types.ts'
import { embedJson, escapeHtml, renderPage } from './page.ts'

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

const TITLES = { produce: 'Producing', consume: 'Consuming', e2e: 'End to end' } as const

function number(value: number, digits = 0): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** Milliseconds with as many digits as mean something. */
export function milliseconds(value: number): string {
  return number(value, value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0)
}

/** How it was run, as pairs for a table. */
export function conditions(result: WorkloadResult): [string, string][] {
  const { options } = result
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
    ['rate', options.rate === null ? 'as fast as it goes' : `${number(options.rate)} records/s`],
  ]
  return [
    ['broker', result.brokers],
    ['topic', `${options.topic}, ${options.partitions} partition${options.partitions === 1 ? '' : 's'}`],
    ['record', `${number(options.recordBytes)} B`],
    ...(result.kind === 'consume' ? [] : writes),
    [
      'measured',
      `${number(result.durationMs / 1000, 1)} s after ${number(options.warmupMs / 1000, 1)} s of warm-up`,
    ],
    ['client', `Node ${result.node}, ${number(result.clientCpu * 100)}% of a core`],
    ['machine', result.machine],
  ]
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
  const figures: [string, string][] = [
    ['records/s', number(result.recordsPerSecond)],
    ['MiB/s', number(result.mebibytesPerSecond, 1)],
    ['records', number(result.records)],
    ['errors', number(result.errors)],
  ]
  const latency =
    result.latency === null
      ? ''
      : `\n## Latency, ms\n\n${result.latencyOf}\n\n${table(latencyRows(result.latency).map(([name, value]) => [name, milliseconds(value)]))}\n`
  const notes = result.notes.map(note => `- ${note}\n`).join('')
  return `# ${TITLES[result.kind]}, ${result.startedAt.slice(0, 16).replace('T', ' ')} UTC

${table(figures)}
${latency}
## Conditions

${table(conditions(result))}
${notes === '' ? '' : `\n${notes}`}`
}

function card(value: string, unit: string, label: string): string {
  return `<div class="card"><b>${value}<small>${unit}</small></b><span>${label}</span></div>`
}

function htmlTable(rows: readonly (readonly [string, string])[], heading: readonly string[]): string {
  const head = heading.map(text => `<th>${escapeHtml(text)}</th>`).join('')
  const body = rows.map(
    ([name, value]) => `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`,
  )
  return `<table><thead><tr>${head}</tr></thead><tbody>${body.join('')}</tbody></table>`
}

export function workloadHtml(result: WorkloadResult): Promise<string> {
  const { latency } = result
  const cards = [
    card(number(result.recordsPerSecond), '', 'records per second'),
    card(number(result.mebibytesPerSecond, 1), 'MiB/s', 'of values'),
    ...(latency === null
      ? []
      : [
          card(milliseconds(latency.p50), 'ms', 'median latency'),
          card(milliseconds(latency.p99), 'ms', '99th percentile'),
          card(milliseconds(latency.max), 'ms', 'largest'),
        ]),
    card(number(result.errors), '', 'errors'),
  ]
  const charts = [
    '<section><h2>Throughput</h2><p class="note">MiB of values per second, by half second</p><div class="chart" id="throughput"></div></section>',
    ...(latency === null
      ? []
      : [
          `<section><h2>Latency over time</h2><p class="note">Milliseconds, ${escapeHtml(result.latencyOf ?? '')}</p><div class="chart" id="latency"></div></section>`,
          '<section><h2>Distribution of latency</h2><p class="note">Milliseconds by percentile; to the right each step is a tenth of what is left</p><div class="chart" id="curve"></div></section>',
        ]),
  ]
  const tables = `<section class="columns">
${
  latency === null
    ? ''
    : `<div><h2>Latency</h2>${htmlTable(
        latencyRows(latency).map(([name, value]) => [name, milliseconds(value)]),
        ['', 'ms'],
      )}</div>`
}
<div><h2>Conditions</h2>${htmlTable(conditions(result), ['', ''])}</div>
</section>`
  const notes = result.notes.map(note => `<p class="note">${escapeHtml(note)}</p>`).join('')
  return renderPage({
    title: `${TITLES[result.kind]}: ${result.options.topic}`,
    subtitle: `${result.startedAt.slice(0, 19).replace('T', ' ')} UTC, ${result.brokers}`,
    body: `<div class="cards">${cards.join('')}</div>\n${charts.join('\n')}\n${tables}\n${notes}`,
    script: `const result = ${embedJson({ samples: result.samples, curve: latency?.curve ?? [] })};\n${CHARTS}`,
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
    { label: 'MiB/s', stroke: colour('--accent'), fill: fade('--accent'), width: 2, points: { show: false },
      value: (_, value) => value == null ? '-' : value.toFixed(1) }],
}, [times, samples.map(sample => sample.bytes / 1048576 / (sample.lengthMs / 1000))]);
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
