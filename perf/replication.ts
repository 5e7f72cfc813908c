/**
 * `npm run bench:replication`: what replication costs. Three brokers, an etcd, a load generator and the bare pipe, each
 * a process of its own, in one run:
 *
 * - throughput of Produce with acks=all, on three replicas beside one, and beside the pipe;
 * - processor time of the leader for each follower at a fixed load, beside that of the pipe for each reader;
 * - latency of a single request under way, on three replicas beside one, and beside many idle partitions;
 * - processor time of a cluster that has many partitions and nothing to do.
 *
 * All of it shares the processors of one machine: five busy processes on two of them. So the throughput of three
 * replicas is that of the machine and not of a cluster; the costs mean the same anywhere.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Admin, Kafka } from '../client/index.ts'
import { cpuMs } from './broker-process.ts'
import { type Driver, startDriver, startPipe, startTailReader } from './children.ts'
import {
  CLUSTER_FLAGS,
  type ClusterOptions,
  type ClusterProcesses,
  clusterOptions,
  startClusterProcesses,
} from './cluster-processes.ts'
import type { DriverResult, ProduceJob } from './driver-protocol.ts'
import type { PipePorts } from './pipe-protocol.ts'
import { RECORD_BYTES } from './scenarios.ts'
import { MEBIBYTE, mebibytesPerSecond, median } from './statistics.ts'

const KIBIBYTE = 1 << 10
const PARTS = ['throughput', 'cost', 'latency', 'idle', 'crowd'] as const
type Part = (typeof PARTS)[number]
const BATCHES = [
  { name: '1m', batchBytes: MEBIBYTE, inFlight: 8 },
  { name: '64k', batchBytes: 64 * KIBIBYTE, inFlight: 32 },
  { name: '16k', batchBytes: 16 * KIBIBYTE, inFlight: 64 },
] as const

const USAGE = `npm run bench:replication -- [options]
  --only PART[,PART]  ${PARTS.join(', ')} (all)
  --rounds N          of each case of throughput and cost (3)
  --seconds S         measured time of one figure (3)
  --load MIB          MiB/s of the fixed load (100)
  --batch NAME        batches of the fixed load: ${BATCHES.map(({ name }) => name).join(', ')} (64k)
  --partitions N      idle partitions (1000)
  --dir DIR           where the data goes (a new folder in ${tmpdir()})
  --cpu-prof DIR      write CPU profiles of the brokers there
  --set NAME=VALUE    a config of the brokers; may be repeated
`

interface Options extends ClusterOptions {
  readonly parts: ReadonlySet<Part>
  readonly rounds: number
  readonly durationMs: number
  readonly loadMebibytes: number
  readonly batch: (typeof BATCHES)[number]
  readonly partitions: number
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: PARTS.join() },
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '3' },
      load: { type: 'string', default: '100' },
      batch: { type: 'string', default: '64k' },
      partitions: { type: 'string', default: '1000' },
      ...CLUSTER_FLAGS,
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  const parts = new Set(PARTS.filter(part => values.only.split(',').includes(part)))
  const batch = BATCHES.find(({ name }) => name === values.batch)
  if (values.help || parts.size === 0 || batch === undefined) {
    process.stdout.write(USAGE)
    process.exit(values.help ? 0 : 2)
  }
  return {
    parts,
    rounds: Number(values.rounds),
    durationMs: Number(values.seconds) * 1000,
    loadMebibytes: Number(values.load),
    batch,
    partitions: Number(values.partitions),
    ...clusterOptions(values),
  }
}

/** What every part works with. */
interface Bench {
  readonly options: Options
  readonly cluster: ClusterProcesses
  readonly admin: Admin
  readonly driver: Driver
  readonly pipe: { readonly ports: PipePorts; readonly pid: number }
}

/** The leader of every topic that is measured. */
const LEADER = 1
const FILL_BYTES = 768 * MEBIBYTE

/**
 * One partition, led by broker 1, whose segments are used again once `FILL_BYTES` have been there: files and pages that
 * exist, as the pipe has them. On a virtual machine the first touch of a page may cost more than all else.
 */
async function createTopic(
  bench: Bench,
  topic: string,
  replicas: number,
  synced: boolean,
  segmentBytes = 256 * MEBIBYTE,
): Promise<void> {
  const configs = {
    'segment.bytes': String(segmentBytes),
    'retention.bytes': String(segmentBytes),
    'flush.before.ack': String(synced),
    'max.message.bytes': String(2 * MEBIBYTE),
    'min.insync.replicas': String(Math.min(2, replicas)),
  }
  const assignments = [{ partition: 0, replicas: [LEADER, 2, 3].slice(0, replicas) }]
  await bench.admin.createTopics({ topics: [{ topic, assignments, configs }] })
  await settled(bench, [topic])
}

/** Until every partition is led and all its replicas are in sync. */
async function settled({ admin }: Bench, topics: readonly string[]): Promise<void> {
  for (;;) {
    const described = await admin.describeTopics({ topics })
    const partitions = described.flatMap(topic => topic.partitions)
    if (partitions.every(({ leader, isr, replicas }) => leader >= 0 && isr.length === replicas.length)) return
    await pause(100)
  }
}

let lastJob = 0

function produceJob(port: number, topic: string, job: Partial<ProduceJob>): ProduceJob {
  lastJob += 1
  return {
    kind: 'produce',
    id: lastJob,
    port,
    broker: true,
    topic,
    connections: 1,
    partitions: 1,
    firstPartition: 0,
    inFlight: 16,
    batchBytes: 64 * KIBIBYTE,
    recordBytes: RECORD_BYTES,
    warmupMs: 500,
    durationMs: 0,
    limitBytes: null,
    acks: -1,
    ...job,
  }
}

function print(cells: readonly (string | number)[]): void {
  const [first, ...rest] = cells.map(cell =>
    typeof cell === 'number' ? cell.toFixed(cell < 10 ? 2 : 0) : cell,
  )
  process.stdout.write(`${first!.padEnd(44)} ${rest.map(cell => cell.padStart(12)).join(' ')}\n`)
}

function progress(line: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}`)
}

// ------------------------------------------------------------------------------------------ throughput

async function throughput(bench: Bench): Promise<void> {
  print(['Produce, acks=all, MiB/s', 'pipe', '1 replica', '3 replicas', '3 : 1', 'driver'])
  for (const synced of [false, true]) {
    for (const batch of BATCHES) await throughputOf(bench, batch, synced)
  }
}

async function throughputOf(bench: Bench, batch: Options['batch'], synced: boolean): Promise<void> {
  const { options, cluster, driver, pipe } = bench
  const { port } = cluster.broker(LEADER)
  const topics = [1, 3].map(replicas => `${synced ? 'synced' : 'produce'}-${batch.name}-${replicas}`)
  const inFlight = synced ? 2 * batch.inFlight : batch.inFlight
  const size = { batchBytes: batch.batchBytes, inFlight }
  for (const [index, replicas] of [1, 3].entries()) {
    await createTopic(bench, topics[index]!, replicas, synced)
    await driver.run(produceJob(port, topics[index]!, { ...size, warmupMs: 0, limitBytes: FILL_BYTES }))
  }
  const figures: number[][] = [[], [], []]
  let busy = 0
  for (let round = 0; round < options.rounds; round += 1) {
    const timed = { ...size, durationMs: options.durationMs }
    const results: DriverResult[] = []
    const pipePort = synced ? pipe.ports.appendSynced : pipe.ports.append
    results.push(await driver.run(produceJob(pipePort, topics[0]!, { ...timed, broker: false })))
    for (const topic of topics) results.push(await driver.run(produceJob(port, topic, timed)))
    for (const [index, { bytes, durationMs, busyMs }] of results.entries()) {
      figures[index]!.push(mebibytesPerSecond(bytes, durationMs))
      busy = Math.max(busy, busyMs / durationMs)
    }
    progress(`${topics[1]}: ${figures.map(list => list.at(-1)!.toFixed(0)).join(', ')} MiB/s`)
  }
  progress('')
  const [ofPipe, ofOne, ofThree] = figures.map(median)
  const title = `${batch.name}, ${synced ? 'synced before the ack' : 'no sync'}`
  print([title, ofPipe!, ofOne!, ofThree!, (ofThree! / ofOne!).toFixed(2), `${(busy * 100).toFixed(0)}%`])
  await bench.admin.deleteTopics({ topics })
}

// ------------------------------------------------------------------------------------------------ cost

/**
 * Milliseconds of processor time for each GiB that is produced. What a GiB costs depends on who else is on the machine
 * at the time, so the pipe and each number of replicas take turns, and it is within a round that they are compared.
 *
 * A follower is compared with a reader of the pipe: who is sent what was just appended, and asks again. And with the
 * pipe sending the same few bytes over and over, which never leave the processor's cache.
 */
async function cost(bench: Bench): Promise<void> {
  const { loadMebibytes, batch } = bench.options
  const heading = `CPU at ${loadMebibytes} MiB/s in ${batch.name}, ms per GiB`
  print([heading, 'MiB/s', 'leader', 'follower 2', 'follower 3'])
  for (const synced of [false, true]) await costOf(bench, synced)
}

async function costOf(bench: Bench, synced: boolean): Promise<void> {
  const { options, admin, cluster, driver } = bench
  const { batchBytes, inFlight } = options.batch
  const { port } = cluster.broker(LEADER)
  const topics = COST_REPLICAS.map(replicas => `cost-${synced}-${replicas}`)
  for (const [index, topic] of topics.entries()) {
    await createTopic(bench, topic, COST_REPLICAS[index]!, synced, COST_SEGMENT_BYTES)
    await driver.run(produceJob(port, topic, { batchBytes, inFlight, warmupMs: 0, limitBytes: FILL_BYTES }))
  }
  const cases = [
    () => costOfMemory(bench),
    ...COST_REPLICAS.map(replicas => () => costOfPipe(bench, replicas - 1)),
    ...topics.map(topic => () => costOfLeader(bench, topic)),
  ]
  const costs: Cost[][] = cases.map(() => [])
  for (let round = 0; round < options.rounds; round += 1) {
    const order = [...cases.keys()]
    if (round % 2 === 1) order.reverse()
    for (const index of order) costs[index]!.push(await cases[index]!())
    progress(`${topics[0]}: ${costs.map(list => list.at(-1)!.perGibibyte[0]!.toFixed(0)).join(', ')}`)
  }
  progress('')
  printCosts(synced ? 'synced' : 'no sync', costs)
  await admin.deleteTopics({ topics })
}

function printCosts(suffix: string, [memory, ...rest]: readonly Cost[][]): void {
  const pipe = rest.slice(0, COST_REPLICAS.length)
  const leader = rest.slice(COST_REPLICAS.length)
  const row = (title: string, list: readonly Cost[], processes: readonly number[]): void => {
    const figures = processes.map(at => median(list.map(({ perGibibyte }) => perGibibyte[at]!)))
    print([title, median(list.map(({ mebibytesPerSecond: each }) => each)), ...figures])
  }
  for (const [index, replicas] of COST_REPLICAS.entries())
    row(`${replicas} replica${replicas === 1 ? '' : 's'}, ${suffix}`, leader[index]!, [0, 1, 2])
  for (const [index, replicas] of COST_REPLICAS.entries())
    row(`the pipe, no sync, readers: ${replicas - 1}`, pipe[index]!, [0])
  row('the pipe sending the same bytes from memory', memory!, [0])
  for (const followers of [1, 2]) {
    const each = followers === 1 ? 'the first follower' : 'each of two'
    const ofLeader = moreForEach(leader, followers)
    const ofPipe = moreForEach(pipe, followers)
    printRange(`more for ${each}, ${suffix}`, ofLeader)
    printRange(`more for ${followers === 1 ? 'the first reader' : each}, the pipe`, ofPipe)
    print([`${each}, ${suffix}, in readers of the pipe`, '', median(ofLeader) / median(ofPipe)])
    print([
      `${each}, ${suffix}, in bytes sent from memory`,
      '',
      median(ofLeader) / median(memory!.map(ofFirst)),
    ])
  }
}

/** By rounds; `costs` has none, one and two followers. */
function moreForEach(costs: readonly (readonly Cost[])[], followers: number): number[] {
  const [none, some] = [costs[0]!, costs[followers]!]
  return none.map((cost, round) => (ofFirst(some[round]!) - ofFirst(cost)) / followers)
}

function printRange(title: string, figures: readonly number[]): void {
  const [least, most] = [Math.min(...figures), Math.max(...figures)].map(figure => figure.toFixed(0))
  print([title, '', median(figures), `${least} to ${most}`])
}

const COST_REPLICAS = [1, 2, 3]
/** A few of them are rolled in each round: in one that is longer than a round the last file would be cold. */
const COST_SEGMENT_BYTES = 64 * MEBIBYTE

/** What a GiB has cost the processes that were watched, the one that matters first. */
interface Cost {
  readonly perGibibyte: readonly number[]
  readonly mebibytesPerSecond: number
}

function ofFirst({ perGibibyte }: Cost): number {
  return perGibibyte[0]!
}

function costOfLeader({ options, driver, cluster }: Bench, topic: string): Promise<Cost> {
  const pids = cluster.brokers.map(({ pid }) => pid)
  return costFor(pids, () => driver.run(produceJob(cluster.broker(LEADER).port, topic, paced(options))))
}

async function costOfPipe({ options, driver, pipe }: Bench, readers: number): Promise<Cost> {
  const { append, tail } = pipe.ports
  const reading = await Promise.all(Array.from({ length: readers }, () => startTailReader(tail)))
  const produced = produceJob(append, 'pipe', { broker: false, ...paced(options) })
  const figure = await costFor([pipe.pid], () => driver.run(produced))
  for (const reader of reading) await reader.stop()
  return figure
}

function costOfMemory({ options, driver, pipe }: Bench): Promise<Cost> {
  const { acks: _, ...job } = produceJob(pipe.ports.readMemory, 'pipe', { broker: false, ...paced(options) })
  const reads = { kind: 'fetch', readBytes: options.batch.batchBytes, fromOffset: 0, toOffset: 1 } as const
  return costFor([pipe.pid], () => driver.run({ ...job, ...reads, inFlight: 4 }))
}

function paced({ batch: { batchBytes, inFlight }, loadMebibytes, durationMs }: Options): Partial<ProduceJob> {
  return { batchBytes, inFlight, bytesPerSecond: loadMebibytes * MEBIBYTE, durationMs, warmupMs: 0 }
}

async function costFor(pids: readonly number[], work: () => Promise<DriverResult>): Promise<Cost> {
  const { spent, result } = await cpuOf(pids, work)
  return {
    perGibibyte: spent.map(ms => (ms / result.totalBytes) * 1024 * MEBIBYTE),
    mebibytesPerSecond: mebibytesPerSecond(result.bytes, result.durationMs),
  }
}

async function cpuOf(
  pids: readonly number[],
  work: () => Promise<DriverResult>,
): Promise<{ spent: number[]; result: DriverResult }> {
  const before = pids.map(cpuMs)
  const result = await work()
  return { spent: pids.map((pid, index) => cpuMs(pid) - before[index]!), result }
}

// --------------------------------------------------------------------------------------------- latency

async function latency(bench: Bench): Promise<void> {
  print(['Latency of one request at a time, 1 KiB, ms', 'p50', 'p99', 'max', 'requests/s'])
  for (const synced of [false, true]) {
    for (const replicas of [1, 2, 3]) {
      const topic = `latency-${synced}-${replicas}`
      await createTopic(bench, topic, replicas, synced)
      const title = `${replicas} replica${replicas === 1 ? '' : 's'}, ${synced ? 'synced' : 'no sync'}`
      await latencyOf(bench, topic, title)
      await bench.admin.deleteTopics({ topics: [topic] })
    }
  }
}

async function latencyOf({ options, cluster, driver }: Bench, topic: string, title: string): Promise<void> {
  const { durationMs } = options
  const one = { batchBytes: KIBIBYTE, inFlight: 1, timeEach: true, durationMs }
  const before = cluster.brokers.map(({ cpuMs: spent }) => spent())
  const result = await driver.run(produceJob(cluster.broker(LEADER).port, topic, one))
  const cpu = cluster.brokers.map(({ cpuMs: spent }, index) => spent() - before[index]!)
  const { p50, p99, max } = result.latency!
  const rate = (result.requests / result.durationMs) * 1000
  const busy = cpu.map(ms => `${((ms / (durationMs + 500)) * 100).toFixed(0)}%`).join('/')
  print([title, p50.toFixed(2), p99.toFixed(2), max.toFixed(2), rate, `CPU ${busy}`])
}

// ---------------------------------------------------------------------------------------- idle and crowd

async function createCrowd(bench: Bench): Promise<void> {
  const { partitions } = bench.options
  await bench.admin.createTopics({
    topics: [{ topic: 'crowd', partitions, replicationFactor: 3 }],
    timeoutMs: 300_000,
  })
  await settled(bench, ['crowd'])
  await pause(1000)
}

async function idle({ options, cluster }: Bench): Promise<void> {
  print([`CPU of ${options.partitions} idle partitions, %`, 'broker 1', 'broker 2', 'broker 3', 'MiB RSS'])
  const before = cluster.brokers.map(({ cpuMs: spent }) => spent())
  const ms = options.durationMs * 3
  await pause(ms)
  const cells = cluster.brokers.map(({ cpuMs: spent }, index) =>
    (((spent() - before[index]!) / ms) * 100).toFixed(1),
  )
  print(['3 replicas each', ...cells, cluster.broker(LEADER).residentBytes() / MEBIBYTE])
}

async function crowd(bench: Bench): Promise<void> {
  print([
    `The same beside ${bench.options.partitions} idle partitions, ms`,
    'p50',
    'p99',
    'max',
    'requests/s',
  ])
  for (const synced of [false, true]) {
    const topic = `crowded-${synced}`
    await createTopic(bench, topic, 3, synced)
    await latencyOf(bench, topic, `3 replicas, ${synced ? 'synced' : 'no sync'}`)
  }
}

async function main(): Promise<void> {
  const options = readOptions()
  const directory = await mkdtemp(join(options.directory, 'sluice-replication-'))
  const stops: (() => Promise<void>)[] = []
  let failed = true
  try {
    const pipe = await startPipe({
      directory,
      fileBytes: 256 * MEBIBYTE,
      readBytes: options.batch.batchBytes,
      memoryBytes: 16 * MEBIBYTE,
    })
    stops.push(pipe.stop)
    const driver = startDriver()
    stops.push(driver.stop)
    const cluster = await startClusterProcesses({
      directory,
      brokers: 3,
      properties: options.properties,
      cpuProfile: options.cpuProfile,
    })
    stops.push(cluster.stop)
    await using kafka = new Kafka({ brokers: cluster.bootstrap, clientId: 'sluice-bench' })
    const { parts } = options
    const pid = pipe.process.pid ?? -1
    const bench: Bench = { options, cluster, admin: kafka.admin(), driver, pipe: { ports: pipe.ports, pid } }
    while ((await bench.admin.describeCluster()).brokers.length < cluster.brokers.length) await pause(100)
    if (parts.has('throughput')) await throughput(bench)
    if (parts.has('cost')) await cost(bench)
    if (parts.has('latency')) await latency(bench)
    if (parts.has('idle') || parts.has('crowd')) await createCrowd(bench)
    if (parts.has('idle')) await idle(bench)
    if (parts.has('crowd')) await crowd(bench)
    failed = false
  } finally {
    for (const stop of stops.reverse()) await stop()
    if (failed) process.stderr.write(`What the brokers said is in ${directory}.\n`)
    else await rm(directory, { recursive: true, force: true })
  }
}

await main()
