/**
 * `npm run profile`: a broker under load, with a profiler. `--tool cpu` (the default) writes a .cpuprofile with Node
 * itself, `heap` a .heapprofile; `flame` and `doctor` fetch clinic by npx when they are asked for, because it brings
 * hundreds of packages. perf/README.md says what to look at.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { Kafka } from '../client/index.ts'
import { loaderArguments, modulePath, startDriver } from './children.ts'
import { recordsPerBatch } from './frames.ts'
import { READ_BYTES, RECORD_BYTES, SCENARIOS } from './scenarios.ts'
import { mebibytesPerSecond } from './statistics.ts'

const TOOLS = ['cpu', 'heap', 'flame', 'doctor'] as const
type Tool = (typeof TOOLS)[number]
const CLINIC = 'clinic@13'
const START_TIMEOUT_MS = 120_000

const USAGE = `npm run profile -- [options]
  --tool TOOL     ${TOOLS.join(', ')} (cpu)
  --case NAME     ${SCENARIOS.map(scenario => scenario.name).join(', ')} (produce-64k)
  --seconds S     how long the load lasts (10)
  --out DIR       where the profile goes (./profiles)
  --set N=V       a config of the broker; may be repeated
`

function command(tool: Tool, out: string, broker: readonly string[]): [string, string[]] {
  switch (tool) {
    case 'cpu':
      return [process.execPath, ['--cpu-prof', `--cpu-prof-dir=${out}`, ...broker]]
    case 'heap':
      return [process.execPath, ['--heap-prof', `--heap-prof-dir=${out}`, ...broker]]
    case 'flame':
    case 'doctor':
      return [
        'npx',
        ['--yes', CLINIC, tool, '--open=false', `--dest=${out}`, '--', process.execPath, ...broker],
      ]
    default:
      return tool satisfies never
  }
}

function freePort(): Promise<number> {
  return new Promise((fulfil, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => fulfil(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** Resolves when the broker says where it listens. */
function listening(child: ChildProcess): Promise<void> {
  let printed = ''
  return new Promise((fulfil, reject) => {
    const deadline = setTimeout(
      () => reject(new Error(`The broker did not start:\n${printed}`)),
      START_TIMEOUT_MS,
    )
    const read = (chunk: Buffer): void => {
      printed += chunk.toString('utf8')
      if (!/\b127\.0\.0\.1:\d+\b/.test(printed)) return
      clearTimeout(deadline)
      fulfil()
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.once('exit', code => {
      clearTimeout(deadline)
      reject(new Error(`The broker ended with code ${code} before it listened:\n${printed}`))
    })
  })
}

async function load(port: number, name: string, durationMs: number): Promise<void> {
  const scenario = SCENARIOS.find(each => each.name === name)
  if (scenario === undefined) throw new Error(`There is no case ${name}.\n\n${USAGE}`)
  await using kafka = new Kafka({ brokers: `127.0.0.1:${port}`, clientId: 'sluice-profile' })
  const configs = { ...scenario.topicConfigs, 'max.message.bytes': String(2 << 20) }
  await kafka.admin().createTopics({ topics: [{ topic: name, partitions: 1, configs }] })
  const driver = startDriver()
  const { batchBytes, inFlight } = scenario
  const common = {
    port,
    broker: true,
    topic: name,
    connections: 1,
    partitions: 1,
    firstPartition: 0,
    batchBytes,
    recordBytes: RECORD_BYTES,
  }
  const timed = { ...common, inFlight, warmupMs: 500, durationMs, limitBytes: null }
  const produce = { kind: 'produce', acks: -1 } as const
  const { fillBytes } = scenario
  if (fillBytes > 0) {
    await driver.run({
      ...common,
      ...produce,
      id: 1,
      inFlight: 16,
      warmupMs: 0,
      durationMs: 0,
      limitBytes: fillBytes,
    })
  }
  const perBatch = recordsPerBatch(batchBytes, RECORD_BYTES)
  const toOffset = (fillBytes / batchBytes) * perBatch
  const fromOffset =
    scenario.kind === 'fetch' && scenario.range === 'last'
      ? toOffset - (scenario.rangeBytes / batchBytes) * perBatch
      : 0
  const result = await driver.run(
    scenario.kind === 'produce'
      ? { ...timed, ...produce, id: 2 }
      : { ...timed, kind: 'fetch', id: 2, readBytes: READ_BYTES, fromOffset, toOffset },
  )
  process.stdout.write(
    `${name}: ${mebibytesPerSecond(result.bytes, result.durationMs).toFixed(0)} MiB/s with the profiler\n`,
  )
  await driver.stop()
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      tool: { type: 'string', default: 'cpu' },
      case: { type: 'string', default: 'produce-64k' },
      seconds: { type: 'string', default: '10' },
      out: { type: 'string', default: 'profiles' },
      set: { type: 'string', multiple: true, default: [] },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const tool = TOOLS.find(each => each === values.tool)
  if (values.help || tool === undefined) {
    process.stdout.write(USAGE)
    process.exit(values.help ? 0 : 2)
  }
  const out = resolve(values.out)
  await mkdir(out, { recursive: true })
  const before = new Set(await readdir(out))
  const directory = await mkdtemp(join(tmpdir(), 'sluice-profile-'))
  const port = await freePort()
  const settings = values.set.flatMap(setting => ['--set', setting])
  const broker = [
    modulePath('../broker/main'),
    '--data',
    directory,
    '--listen',
    `127.0.0.1:${port}`,
    ...settings,
  ]
  const [program, args] = command(tool, out, [...loaderArguments(), ...broker])
  // A group of its own, so that Ctrl-C reaches the broker through us: first the load ends, then the broker.
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const gone = once(child, 'exit')
  try {
    await listening(child)
    await load(port, values.case, Number(values.seconds) * 1000)
  } finally {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGINT')
    await gone
    await rm(directory, { recursive: true, force: true })
  }
  const made = (await readdir(out)).filter(name => !before.has(name))
  process.stdout.write(`Profile: ${made.map(name => join(out, name)).join(', ') || 'none was written'}\n`)
}

await main()
