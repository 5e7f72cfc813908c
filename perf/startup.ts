/**
 * `npm run bench:footprint`: how soon a broker answers and what it costs to keep. Process start to the first answer,
 * `startBroker()` inside a process, resident memory at rest, after gigabytes went through, and with thousands of
 * partitions and silent connections. Prints each figure beside its limit; ends with code 1 when one is over it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { startBrokerProcess } from './broker-process.ts'
import { type Driver, loaderArguments, modulePath, startDriver } from './children.ts'
import { recordsPerBatch } from './frames.ts'
import { MEBIBYTE, median } from './statistics.ts'

const STARTS = 5
const BATCH_BYTES = 64 << 10
const RECORD_BYTES = 1 << 10
const GIBIBYTE = 1024 * MEBIBYTE

interface Figure {
  readonly title: string
  readonly value: number
  readonly unit: string
  readonly limit: number
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
}

/** ApiVersions version 0: the first request of every client. */
function apiVersionsRequest(): Buffer {
  const body = Buffer.from([0, 18, 0, 0, 0, 0, 0, 1, 0, 1, 0x62])
  const size = Buffer.alloc(4)
  size.writeInt32BE(body.length)
  return Buffer.concat([size, body])
}

/** Resolves when the request was answered; null when nobody listens yet. */
function ask(port: number): Promise<true | null> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', () => resolve(null))
    socket.once('connect', () => socket.write(apiVersionsRequest()))
    socket.once('data', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

/** From the spawn of the process to its first answer, asked as often as the machine allows. */
async function processStart(): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-startup-'))
  const port = await freePort()
  const startedAt = performance.now()
  const child = spawn(
    process.execPath,
    [
      ...loaderArguments(),
      modulePath('../broker/main'),
      '--data',
      directory,
      '--listen',
      `127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  )
  const gone = once(child, 'exit')
  while ((await ask(port)) === null) {
    if (child.exitCode !== null) throw new Error(`The broker ended with code ${child.exitCode}.`)
    await new Promise(resolve => setTimeout(resolve, 2))
  }
  const elapsedMs = performance.now() - startedAt
  child.kill('SIGTERM')
  await gone
  await rm(directory, { recursive: true, force: true })
  return elapsedMs
}

/** A fresh process imports `sluice/testing`, and reports how long `startBroker()` took after that. */
async function embeddedStart(): Promise<number> {
  const script = `
    const { startBroker } = await import(${JSON.stringify(modulePath('../broker/testing'))})
    const at = performance.now()
    const broker = await startBroker()
    process.stdout.write(String(performance.now() - at))
    await broker[Symbol.asyncDispose]()`
  const child = spawn(process.execPath, [...loaderArguments(), '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let printed = ''
  child.stdout.on('data', (chunk: Buffer) => {
    printed += chunk.toString('utf8')
  })
  await once(child, 'exit')
  return Number(printed === '' ? Number.NaN : printed)
}

async function repeated(measure: () => Promise<number>): Promise<number> {
  const values: number[] = []
  for (let round = 0; round < STARTS; round += 1) values.push(await measure())
  return median(values)
}

/** Produces and consumes `bytes` and resolves to the broker's resident memory after that. */
async function pumpThrough(driver: Driver, port: number, bytes: number): Promise<void> {
  const job = {
    port,
    broker: true,
    topic: 'footprint',
    connections: 1,
    partitions: 1,
    firstPartition: 0,
    batchBytes: BATCH_BYTES,
    recordBytes: RECORD_BYTES,
    warmupMs: 0,
    durationMs: 0,
  }
  await driver.run({ ...job, kind: 'produce', id: 1, inFlight: 16, acks: -1, limitBytes: bytes })
  const records = (bytes / BATCH_BYTES) * recordsPerBatch(BATCH_BYTES, RECORD_BYTES)
  await driver.run({
    ...job,
    kind: 'fetch',
    id: 2,
    inFlight: 2,
    readBytes: 16 * BATCH_BYTES,
    fromOffset: 0,
    toOffset: records,
    limitBytes: bytes,
  })
}

async function openSilent(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = []
  for (let index = 0; index < count; index += 1) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    sockets.push(socket)
    await once(socket, 'connect')
  }
  return sockets
}

async function memory(gibibytes: number, many: number): Promise<Figure[]> {
  const { Kafka } = await import('../client/index.ts')
  const directory = await mkdtemp(join(tmpdir(), 'sluice-footprint-'))
  const properties = { 'log.segment.bytes': 256 * MEBIBYTE, 'log.flush.before.ack': false }
  const broker = await startBrokerProcess({ directory, properties })
  const driver = startDriver()
  const kafka = new Kafka({ brokers: `127.0.0.1:${broker.port}`, clientId: 'sluice-bench' })
  const sockets: Socket[] = []
  try {
    await ask(broker.port)
    const idle = broker.residentBytes()
    const admin = kafka.admin()
    await admin.createTopics({ topics: [{ topic: 'footprint', partitions: 1 }] })
    await pumpThrough(driver, broker.port, gibibytes * GIBIBYTE)
    const pumped = broker.residentBytes()
    await admin.createTopics({ topics: [{ topic: 'many', partitions: many }], timeoutMs: 120_000 })
    sockets.push(...(await openSilent(broker.port, many)))
    await ask(broker.port)
    const crowded = broker.residentBytes()
    return [
      { title: 'Resident at rest', value: idle / MEBIBYTE, unit: 'MiB', limit: 90 },
      {
        title: `Resident after ${gibibytes} GiB in and out`,
        value: pumped / MEBIBYTE,
        unit: 'MiB',
        limit: 250,
      },
      {
        title: `More with ${many} partitions and ${many} connections`,
        value: (crowded - pumped) / MEBIBYTE,
        unit: 'MiB',
        limit: 300,
      },
    ]
  } finally {
    for (const socket of sockets) socket.destroy()
    await kafka.close()
    await driver.stop()
    await broker.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

function print(figure: Figure): void {
  const verdict = figure.value <= figure.limit ? 'within' : 'over'
  const value = `${figure.value.toFixed(0)} ${figure.unit}`.padStart(10)
  process.stdout.write(
    `${figure.title.padEnd(52)}${value}   limit ${figure.limit} ${figure.unit}, ${verdict}\n`,
  )
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { gib: { type: 'string', default: '4' }, many: { type: 'string', default: '2000' } },
  })
  const figures: Figure[] = []
  const note = (figure: Figure): void => {
    figures.push(figure)
    print(figure)
  }
  note({
    title: 'Process start to the first answer',
    value: await repeated(processStart),
    unit: 'ms',
    limit: 250,
  })
  note({
    title: 'startBroker() to ready, after the import',
    value: await repeated(embeddedStart),
    unit: 'ms',
    limit: 50,
  })
  for (const figure of await memory(Number(values.gib), Number(values.many))) note(figure)
  process.exitCode = figures.every(figure => figure.value <= figure.limit) ? 0 : 1
}

await main()
