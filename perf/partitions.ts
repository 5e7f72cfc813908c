/**
 * `npm run bench:partitions`: how a cluster of three brokers bears many partitions. Makes them, kills the broker that
 * leads them all with SIGKILL, and starts it again; tells how long each takes, and the longest time for which a broker
 * answered nobody meanwhile. Each broker, and their etcd, is a process of its own on this machine.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Admin, Kafka } from '../client/index.ts'
import {
  CLUSTER_FLAGS,
  type ClusterOptions,
  type ClusterProcesses,
  clusterOptions,
  startClusterProcesses,
} from './cluster-processes.ts'
import { MEBIBYTE } from './statistics.ts'

const USAGE = `npm run bench:partitions -- [options]
  --partitions N   led by one broker, with three replicas each (5000)
  --topics N       over which they are spread (10)
  --samples N      partitions that must accept a record after the leader was killed (50)
  --dir DIR        where the data goes (a new folder in ${tmpdir()})
  --cpu-prof DIR   write CPU profiles of the brokers there
  --set NAME=VALUE a config of the brokers; may be repeated
`

interface Options extends ClusterOptions {
  readonly partitions: number
  readonly topics: number
  readonly samples: number
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      partitions: { type: 'string', default: '5000' },
      topics: { type: 'string', default: '10' },
      samples: { type: 'string', default: '50' },
      ...CLUSTER_FLAGS,
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    process.stdout.write(USAGE)
    process.exit(0)
  }
  return {
    partitions: Number(values.partitions),
    topics: Number(values.topics),
    samples: Number(values.samples),
    ...clusterOptions(values),
  }
}

/** The broker that leads everything, and is killed. */
const LEADER = 1
const OPERATION_TIMEOUT_MS = 600_000

// ----------------------------------------------------------------------------------------------- stalls

const PING_MS = 5
/** ApiVersions 0 without a client id: answered from memory, whatever else goes on. */
const PING = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 0, 255, 255])
const PREFIX_BYTES = 4

/** Asks a broker again and again, and notes how long it took to answer: its event loop was busy with something. */
class StallWatch {
  longestMs = 0
  #sentAt = 0
  #stopped = false

  constructor(port: number) {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    const ask = (): void => {
      if (this.#stopped) {
        socket.destroy()
        return
      }
      this.#sentAt = performance.now()
      socket.write(PING)
    }
    let due = 0
    let prefix = Buffer.alloc(0)
    socket.on('connect', ask)
    socket.on('error', () => (this.#stopped = true))
    socket.on('data', chunk => {
      prefix = due > 0 ? prefix : Buffer.concat([prefix, chunk])
      if (due === 0 && prefix.length < PREFIX_BYTES) return
      due = due > 0 ? due - chunk.length : PREFIX_BYTES + prefix.readInt32BE(0) - prefix.length
      if (due > 0) return
      prefix = Buffer.alloc(0)
      due = 0
      this.longestMs = Math.max(this.longestMs, performance.now() - this.#sentAt)
      setTimeout(ask, PING_MS)
    })
  }

  stop(): void {
    this.#stopped = true
  }
}

// ------------------------------------------------------------------------------------------------ steps

interface Bench {
  readonly options: Options
  readonly cluster: ClusterProcesses
  readonly admin: Admin
  readonly topics: readonly string[]
}

/** Runs `work` and prints what it took: time, processor time of each broker, the longest stall of each. */
async function step(cluster: ClusterProcesses, title: string, work: () => Promise<string>): Promise<void> {
  const watched = cluster.brokers.map(broker => ({
    broker,
    cpuMs: broker.cpuMs(),
    watch: new StallWatch(broker.port),
  }))
  await pause(20)
  const startedAt = performance.now()
  const remark = await work()
  const ms = performance.now() - startedAt
  const cpu = watched.map(({ broker, cpuMs }) => seconds(broker.cpuMs() - cpuMs)).join(' ')
  const stalls = watched.map(({ watch }) => watch.longestMs.toFixed(0)).join(' ')
  for (const { watch } of watched) watch.stop()
  const cells = [title.padEnd(46), seconds(ms).padStart(7), cpu.padStart(20), stalls.padStart(18)]
  process.stdout.write(`${cells.join(' ')}  ${remark}\n`)
}

function seconds(ms: number): string {
  return Number.isNaN(ms) ? '-' : (ms / 1000).toFixed(2)
}

/** Every partition is led by a broker that is not `without`, and where it is asked for all its replicas are in sync. */
async function led({ admin, topics }: Bench, without: number | null, inSync: boolean): Promise<void> {
  for (;;) {
    const described = await admin.describeTopics({ topics })
    const partitions = described.flatMap(topic => topic.partitions)
    const isDone = partitions.every(
      ({ leader, isr, replicas }) =>
        leader >= 0 && leader !== without && (!inSync || isr.length === replicas.length),
    )
    if (isDone) return
    await pause(50)
  }
}

async function create({ options, admin, topics }: Bench): Promise<string> {
  const perTopic = Math.ceil(options.partitions / options.topics)
  const assignments = Array.from({ length: perTopic }, (_, partition) => ({
    partition,
    replicas: partition % 2 === 0 ? [LEADER, 2, 3] : [LEADER, 3, 2],
  }))
  for (const topic of topics) {
    await admin.createTopics({ topics: [{ topic, assignments }], timeoutMs: OPERATION_TIMEOUT_MS })
  }
  return ''
}

/** One record to each of some partitions, over all topics; resolves when all are committed. */
async function produceSome({ options, cluster, topics }: Bench): Promise<void> {
  await using kafka = new Kafka({ brokers: cluster.bootstrap, clientId: 'sluice-bench' })
  const producer = kafka.producer({ acks: 'all', deliveryTimeoutMs: 60_000 })
  const perTopic = Math.ceil(options.partitions / options.topics)
  const sends = Array.from({ length: options.samples }, (_, index) => {
    const topic = topics[index % topics.length]!
    const partition = Math.floor((index * perTopic) / options.samples)
    return producer.send({ topic, messages: [{ value: 'x', partition }] })
  })
  await Promise.all(sends)
  await producer.close()
}

async function main(): Promise<void> {
  const options = readOptions()
  const directory = await mkdtemp(join(options.directory, 'sluice-partitions-'))
  let failed = true
  const cluster = await startClusterProcesses({
    directory,
    brokers: 3,
    properties: { 'auto.leader.rebalance.enable': false, 'min.insync.replicas': 2, ...options.properties },
    cpuProfile: options.cpuProfile,
  })
  try {
    await using kafka = new Kafka({ brokers: cluster.bootstrap, clientId: 'sluice-bench' })
    const topics = Array.from({ length: options.topics }, (_, index) => `many-${index}`)
    const bench: Bench = { options, cluster, admin: kafka.admin(), topics }
    while ((await bench.admin.describeCluster()).brokers.length < cluster.brokers.length) await pause(50)
    const head = [`${options.partitions} partitions, 3 replicas`.padEnd(46), 's'.padStart(7)]
    process.stdout.write(
      `${head.join(' ')} ${'CPU s by broker'.padStart(20)} ${'longest stall ms'.padStart(18)}\n`,
    )
    await run(bench)
    failed = false
  } finally {
    await cluster.stop()
    if (failed) process.stderr.write(`What the brokers said is in ${directory}.\n`)
    else await rm(directory, { recursive: true, force: true })
  }
}

async function run(bench: Bench): Promise<void> {
  const { options, cluster } = bench
  await step(cluster, 'made', () => create(bench))
  await step(cluster, 'then all replicas in sync', () => led(bench, null, true).then(() => ''))
  await step(cluster, `${options.samples} of them take a record`, () => produceSome(bench).then(() => ''))
  await step(cluster, 'nothing to do for 5 s', () => pause(5000).then(() => ''))
  await step(cluster, 'all described (Metadata)', async () => {
    await led(bench, null, false)
    return ''
  })
  await step(cluster, `killed: until all are led and ${options.samples} take a record`, async () => {
    const startedAt = performance.now()
    await cluster.broker(LEADER).kill()
    await led(bench, LEADER, false)
    const ledMs = performance.now() - startedAt
    await produceSome(bench)
    return `led again after ${seconds(ledMs)} s`
  })
  await step(cluster, 'started again: until it answers', async () => {
    const { startMs } = await cluster.restart(LEADER)
    return `of which the process says ${seconds(startMs)} s`
  })
  await step(cluster, 'then all replicas in sync', () => led(bench, null, true).then(() => ''))
  await step(cluster, 'stopped in order', async () => {
    await cluster.broker(LEADER).stop()
    return ''
  })
  await step(cluster, 'started after that: until it answers', async () => {
    const { startMs } = await cluster.restart(LEADER)
    return `${seconds(startMs)} s; ${(cluster.broker(LEADER).residentBytes() / MEBIBYTE).toFixed(0)} MiB RSS`
  })
}

await main()
