/**
 * `npm run bench`: how near the broker comes to the bare pipe. Starts the broker, the pipe and one load generator as
 * processes of their own, drives broker and pipe in turn with the same bytes, and prints each figure as a ratio of the
 * two, the median over the rounds. The order within a round alternates, so that a drift of the machine hits both. It
 * must never compare figures of different runs.
 */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Kafka } from '../client/index.ts'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'
import { type Driver, startDriver, startPipe } from './children.ts'
import type { DriverJob, DriverResult } from './driver-protocol.ts'
import { recordsPerBatch } from './frames.ts'
import { appendHistory } from './history.ts'
import type { PipePorts } from './pipe-protocol.ts'
import { writeRatioReport } from './report/ratio.ts'
import { type BenchRun, type Measured } from './results.ts'
import { type FetchScenario, READ_BYTES, RECORD_BYTES, SCENARIOS, type Scenario } from './scenarios.ts'
import { MEBIBYTE, mebibytesPerSecond, median, spread } from './statistics.ts'

const PIPE_FILE_BYTES = 256 * MEBIBYTE
const PIPE_MEMORY_BYTES = 16 * MEBIBYTE
const BATCH_OVERHEAD_ROOM = 4096

const USAGE = `npm run bench -- [options]
  --only NAME[,NAME]   cases to run (${SCENARIOS.map(scenario => scenario.name).join(', ')})
  --rounds N           rounds of each case, broker and pipe once in each (7)
  --seconds S          measured time of one side of a round (1.5)
  --warmup S           time before it that is not counted (0.4)
  --connections N      connections, each with a partition of its own (1)
  --in-flight N        requests under way on a connection (by case)
  --dir DIR            where the data goes (a new folder in ${tmpdir()})
  --set NAME=VALUE     a config of the broker; may be repeated
  --cpu-prof DIR       write CPU profiles of the broker there
  --pipe-only          measure the pipe alone
  --report FILE        .json, .md or .html; may be repeated
  --record             append the figures to perf/HISTORY.md
`

interface Options {
  readonly scenarios: readonly Scenario[]
  readonly rounds: number
  readonly durationMs: number
  readonly warmupMs: number
  readonly connections: number
  readonly inFlight: number | null
  readonly directory: string | null
  readonly properties: Readonly<Record<string, string>>
  readonly cpuProfile: string | null
  readonly pipeOnly: boolean
  readonly reports: readonly string[]
  readonly record: boolean
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      rounds: { type: 'string', default: '7' },
      seconds: { type: 'string', default: '1.5' },
      warmup: { type: 'string', default: '0.4' },
      connections: { type: 'string', default: '1' },
      'in-flight': { type: 'string' },
      dir: { type: 'string' },
      set: { type: 'string', multiple: true, default: [] },
      'cpu-prof': { type: 'string' },
      'pipe-only': { type: 'boolean', default: false },
      report: { type: 'string', multiple: true, default: [] },
      record: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    process.exit(0)
  }
  const wanted = values.only?.split(',')
  const unknown = wanted?.filter(name => !SCENARIOS.some(scenario => scenario.name === name)) ?? []
  if (unknown.length > 0) {
    process.stderr.write(`There is no case ${unknown.join(', ')}.\n\n${USAGE}`)
    process.exit(2)
  }
  return {
    scenarios: SCENARIOS.filter(scenario => wanted?.includes(scenario.name) ?? true),
    rounds: positive('rounds', values.rounds),
    durationMs: positive('seconds', values.seconds) * 1000,
    warmupMs: positive('warmup', values.warmup) * 1000,
    connections: positive('connections', values.connections),
    inFlight: values['in-flight'] === undefined ? null : positive('in-flight', values['in-flight']),
    directory: values.dir ?? null,
    properties: Object.fromEntries(values.set.map(setting => splitOnce(setting, '='))),
    cpuProfile: values['cpu-prof'] === undefined ? null : resolve(values['cpu-prof']),
    pipeOnly: values['pipe-only'],
    reports: values.report,
    record: values.record,
  }
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (value > 0) return value
  process.stderr.write(`--${name} is ${JSON.stringify(text)}; it wants a number above 0.\n`)
  process.exit(2)
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)]
}

let lastJob = 0

function job(scenario: Scenario, port: number, broker: boolean, options: Options): DriverJob {
  lastJob += 1
  const common = {
    id: lastJob,
    port,
    broker,
    topic: scenario.name,
    connections: options.connections,
    partitions: options.connections,
    firstPartition: 0,
    inFlight: options.inFlight ?? scenario.inFlight,
    batchBytes: scenario.batchBytes,
    recordBytes: RECORD_BYTES,
    warmupMs: options.warmupMs,
    durationMs: options.durationMs,
    limitBytes: null,
  }
  if (scenario.kind === 'produce') return { ...common, kind: 'produce', acks: -1 }
  const [fromOffset, toOffset] = offsetRange(scenario)
  return { ...common, kind: 'fetch', readBytes: READ_BYTES, fromOffset, toOffset }
}

function offsetRange(scenario: FetchScenario): [number, number] {
  const perBatch = recordsPerBatch(scenario.batchBytes, RECORD_BYTES)
  const total = (scenario.fillBytes / scenario.batchBytes) * perBatch
  const range = (scenario.rangeBytes / scenario.batchBytes) * perBatch
  return scenario.range === 'first' ? [0, range] : [total - range, total]
}

async function createTopic(broker: BrokerProcess, scenario: Scenario, partitions: number): Promise<void> {
  await using kafka = new Kafka({ brokers: `${broker.host}:${broker.port}`, clientId: 'sluice-bench' })
  const configs = { ...scenario.topicConfigs, 'max.message.bytes': String(MEBIBYTE + BATCH_OVERHEAD_ROOM) }
  await kafka.admin().createTopics({ topics: [{ topic: scenario.name, partitions, configs }] })
}

/** Writes what is to be there before the case is measured, to one partition after another. */
async function fill(driver: Driver, port: number, scenario: Scenario, options: Options): Promise<void> {
  for (let partition = 0; partition < options.connections; partition += 1) {
    lastJob += 1
    await driver.run({
      kind: 'produce',
      id: lastJob,
      port,
      broker: true,
      topic: scenario.name,
      connections: 1,
      partitions: options.connections,
      firstPartition: partition,
      inFlight: 16,
      batchBytes: scenario.batchBytes,
      recordBytes: RECORD_BYTES,
      warmupMs: 0,
      durationMs: 0,
      acks: -1,
      limitBytes: scenario.fillBytes,
    })
  }
}

async function measure(
  scenario: Scenario,
  driver: Driver,
  ports: PipePorts,
  broker: BrokerProcess | null,
  options: Options,
): Promise<Measured> {
  const pipePort = ports[scenario.pipe]
  const figures = { broker: [] as number[], pipe: [] as number[] }
  let driverBusy = 0
  const side = async (name: 'broker' | 'pipe'): Promise<void> => {
    if (name === 'broker' && broker === null) return
    const port = name === 'broker' ? broker!.port : pipePort
    const result: DriverResult = await driver.run(job(scenario, port, name === 'broker', options))
    figures[name].push(mebibytesPerSecond(result.bytes, result.durationMs))
    driverBusy = Math.max(driverBusy, result.busyMs / result.durationMs)
    progress(`${scenario.name}: ${name} ${figures[name].at(-1)!.toFixed(0)} MiB/s`)
  }
  for (let round = 0; round < options.rounds; round += 1) {
    const order = round % 2 === 0 ? (['pipe', 'broker'] as const) : (['broker', 'pipe'] as const)
    for (const name of order) await side(name)
  }
  const ratios = figures.broker.map((value, round) => value / figures.pipe[round]!)
  return {
    name: scenario.name,
    title: scenario.title,
    broker: figures.broker,
    pipe: figures.pipe,
    brokerMedian: median(figures.broker),
    pipeMedian: median(figures.pipe),
    ratio: median(ratios),
    spread: spread(broker === null ? figures.pipe : ratios),
    target: scenario.target,
    driverBusy,
    brokerResidentBytes: broker?.residentBytes() ?? Number.NaN,
  }
}

function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`)
}

function commitNow(): string {
  try {
    const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim()
    const changes = execFileSync('git', ['status', '--porcelain', '--untracked-files=no'], {
      encoding: 'utf8',
    })
    return changes === '' ? commit : `${commit}+`
  } catch {
    return 'unknown'
  }
}

function row(measured: Measured): string {
  const figure = (value: number): string => (Number.isNaN(value) ? '-' : value.toFixed(0)).padStart(8)
  const ratio = Number.isNaN(measured.ratio) ? '-' : measured.ratio.toFixed(2)
  const verdict = Number.isNaN(measured.ratio) ? '' : measured.ratio >= measured.target ? 'reached' : 'below'
  const cells = [
    measured.title.padEnd(48),
    figure(measured.brokerMedian),
    figure(measured.pipeMedian),
    ratio.padStart(7),
    `±${(measured.spread * 100).toFixed(0)}%`.padStart(6),
    measured.target.toFixed(1).padStart(7),
    `${(measured.driverBusy * 100).toFixed(0)}%`.padStart(7),
    figure(measured.brokerResidentBytes / MEBIBYTE),
  ]
  return `${cells.join(' ')}  ${verdict}`
}

function heading(): string {
  const cells = ['broker', 'pipe'].map(name => name.padStart(8))
  return `${'MiB/s'.padEnd(48)} ${cells.join(' ')}   ratio spread  target  driver      RSS`
}

async function main(): Promise<void> {
  const options = readOptions()
  const directory = await mkdtemp(join(options.directory ?? tmpdir(), 'sluice-bench-'))
  const stops: (() => Promise<void>)[] = []
  const results: Measured[] = []
  try {
    const pipe = await startPipe({
      directory,
      fileBytes: PIPE_FILE_BYTES,
      readBytes: READ_BYTES,
      memoryBytes: PIPE_MEMORY_BYTES,
    })
    stops.push(pipe.stop)
    const driver = startDriver()
    stops.push(driver.stop)
    const broker = options.pipeOnly ? null : await startBroker(directory, options)
    if (broker !== null) stops.push(broker.stop)
    process.stdout.write(`${heading()}\n`)
    for (const scenario of options.scenarios) {
      if (broker !== null) {
        await createTopic(broker, scenario, options.connections)
        await fill(driver, broker.port, scenario, options)
      }
      const measured = await measure(scenario, driver, pipe.ports, broker, options)
      progress('')
      results.push(measured)
      process.stdout.write(`${row(measured)}\n`)
    }
  } finally {
    for (const stop of stops.reverse()) await stop()
    await rm(directory, { recursive: true, force: true })
  }
  const run: BenchRun = {
    date: new Date().toISOString(),
    commit: commitNow(),
    node: process.version,
    machine: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
    rounds: options.rounds,
    seconds: options.durationMs / 1000,
    connections: options.connections,
    results,
  }
  for (const file of options.reports) await writeRatioReport(file, run)
  if (options.record) await appendHistory(run)
}

function startBroker(directory: string, options: Options): Promise<BrokerProcess> {
  return startBrokerProcess({
    directory,
    properties: { 'log.retention.check.interval.ms': 100, ...options.properties },
    nodeArguments: options.cpuProfile === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.cpuProfile}`],
  })
}

await main()
