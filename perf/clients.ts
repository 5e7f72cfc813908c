/**
 * `npm run bench:clients`: our client beside others on the same broker, in turn, each in a process of its own:
 * records of 1 KiB, idempotent, acks=all, produced and consumed. Medians over the rounds. kafkajs is there always;
 * `--native` also fetches @confluentinc/kafka-javascript (librdkafka) into a temporary folder, where it installs.
 */
import { execFile, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { Kafka } from '../client/index.ts'
import { startBrokerProcess } from './broker-process.ts'
import { loaderArguments, modulePath } from './children.ts'
import type { ClientName, ClientOutcome, ClientTask } from './client-protocol.ts'
import { MEBIBYTE, median, spread } from './statistics.ts'

const JOIN_GROUP_KEY = 11
const NATIVE_PACKAGE = '@confluentinc/kafka-javascript@1'
const INSTALL_TIMEOUT_MS = 300_000
const TASK_TIMEOUT_MS = 120_000

interface Options {
  readonly rounds: number
  readonly durationMs: number
  readonly partitions: number
  readonly recordBytes: number
  readonly fillBytes: number
  /** Runs against this cluster instead of a broker of its own. */
  readonly brokers: string | null
  readonly native: boolean
  readonly synced: boolean
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' },
      seconds: { type: 'string', default: '4' },
      partitions: { type: 'string', default: '1' },
      size: { type: 'string', default: '1024' },
      'fill-mib': { type: 'string', default: '512' },
      brokers: { type: 'string' },
      native: { type: 'boolean', default: false },
      synced: { type: 'boolean', default: false },
    },
  })
  return {
    rounds: Number(values.rounds),
    durationMs: Number(values.seconds) * 1000,
    partitions: Number(values.partitions),
    recordBytes: Number(values.size),
    fillBytes: Number(values['fill-mib']) * MEBIBYTE,
    brokers: values.brokers ?? null,
    native: values.native,
    synced: values.synced,
  }
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

async function runTask(task: ClientTask): Promise<ClientOutcome> {
  const child = fork(modulePath('./client-runner'), [JSON.stringify(task)], { execArgv: loaderArguments() })
  const deadline = setTimeout(() => child.kill('SIGKILL'), TASK_TIMEOUT_MS)
  const gone = once(child, 'exit')
  let outcome: ClientOutcome | null = null
  child.on('message', message => {
    outcome = message as ClientOutcome
  })
  await gone
  clearTimeout(deadline)
  return (
    outcome ?? {
      records: 0,
      durationMs: 0,
      cpu: 0,
      error: `It ended, or did not end within ${TASK_TIMEOUT_MS} ms.`,
    }
  )
}

/** Resolves to the folder it was installed in, or null, having said why. */
async function installNative(directory: string): Promise<string | null> {
  await writeFile(join(directory, 'package.json'), '{"private":true}\n')
  say(`Installing ${NATIVE_PACKAGE} into a temporary folder...`)
  try {
    await promisify(execFile)('npm', ['install', '--no-audit', '--no-fund', NATIVE_PACKAGE], {
      cwd: directory,
      timeout: INSTALL_TIMEOUT_MS,
    })
    return directory
  } catch (error) {
    const line = String((error as { stderr?: unknown }).stderr ?? error)
      .split('\n')
      .find(each => /error/i.test(each))
    say(`${NATIVE_PACKAGE} does not install here, so it is left out: ${line ?? 'no reason was given'}`)
    return null
  }
}

async function fill(kafka: Kafka, topic: string, options: Options): Promise<number> {
  const records = Math.floor(options.fillBytes / options.recordBytes)
  const producer = kafka.producer()
  const value = Buffer.alloc(options.recordBytes, 'sluice ')
  for (let index = 0; index < records; index += 1) {
    const room = producer.enqueue(topic, { value, partition: index % options.partitions })
    if (room !== undefined) await room
  }
  await producer.flush()
  await producer.close()
  return records
}

interface Line {
  readonly client: ClientName
  readonly rates: number[]
  readonly cpu: number[]
  error: string | null
}

async function compare(tasks: readonly ClientTask[], rounds: number): Promise<Line[]> {
  const lines = tasks.map((task): Line => ({ client: task.client, rates: [], cpu: [], error: null }))
  for (let round = 0; round < rounds; round += 1) {
    // The order turns around, so that a drift of the machine does not favour one.
    const order = round % 2 === 0 ? tasks : [...tasks].reverse()
    for (const task of order) {
      const line = lines.find(each => each.client === task.client)!
      if (line.error !== null) continue
      const outcome = await runTask(task)
      line.error = outcome.error
      if (outcome.error !== null) continue
      line.rates.push(outcome.records / (outcome.durationMs / 1000))
      line.cpu.push(outcome.cpu)
    }
  }
  return lines
}

function print(title: string, lines: readonly Line[], recordBytes: number): void {
  say(`\n${title}`)
  const ours = median(lines.find(line => line.client === 'sluice')?.rates ?? [])
  for (const line of lines) {
    if (line.error !== null) {
      say(`  ${line.client.padEnd(12)} failed: ${line.error}`)
      continue
    }
    const rate = median(line.rates)
    const cells = [
      `  ${line.client.padEnd(12)}`,
      `${Math.round(rate).toLocaleString('en-US')} records/s`.padStart(22),
      `${((rate * recordBytes) / MEBIBYTE).toFixed(0)} MiB/s`.padStart(12),
      `±${(spread(line.rates) * 100).toFixed(0)}%`.padStart(6),
      `${(median(line.cpu) * 100).toFixed(0)}% of a core`.padStart(16),
      line.client === 'sluice' ? '' : `   sluice is ${(ours / rate).toFixed(1)} times as fast`,
    ]
    say(cells.join(''))
  }
}

async function main(): Promise<void> {
  const options = readOptions()
  const directory = await mkdtemp(join(tmpdir(), 'sluice-clients-'))
  const properties = { 'log.flush.before.ack': options.synced, 'log.segment.bytes': 256 * MEBIBYTE }
  const broker = options.brokers === null ? await startBrokerProcess({ directory, properties }) : null
  const brokers = options.brokers ?? `127.0.0.1:${broker?.port}`
  const kafka = new Kafka({ brokers })
  try {
    const modules = options.native ? await installNative(directory) : null
    const names: ClientName[] = ['sluice', 'kafkajs', ...(modules === null ? [] : (['confluent'] as const))]
    const admin = kafka.admin()
    const topic = (kind: string): string => `bench-clients-${kind}`
    const task = (client: ClientName, kind: 'produce' | 'consume', records: number): ClientTask => ({
      ...{
        client,
        kind,
        brokers,
        records,
        topic: topic(kind),
        warmupMs: 1500,
        durationMs: options.durationMs,
      },
      ...{ partitions: options.partitions, recordBytes: options.recordBytes },
      modules: client === 'confluent' ? modules : null,
    })
    const configs = { 'retention.bytes': String(1024 * MEBIBYTE) }
    await admin.createTopics({
      topics: [
        { topic: topic('produce'), partitions: options.partitions, configs },
        { topic: topic('consume'), partitions: options.partitions },
      ],
    })
    say(
      `Records of ${options.recordBytes} B, idempotent, acks=all, ${options.partitions} partition(s), broker ${brokers}`,
    )
    print(
      'Producing',
      await compare(
        names.map(name => task(name, 'produce', 0)),
        options.rounds,
      ),
      options.recordBytes,
    )
    const records = await fill(kafka, topic('consume'), options)
    const [versions] = await admin.apiVersions()
    const groups = versions?.apis.some(api => api.apiKey === JOIN_GROUP_KEY) ?? false
    const readers = groups ? names : names.filter(name => name === 'sluice')
    print(
      'Consuming',
      await compare(
        readers.map(name => task(name, 'consume', records)),
        options.rounds,
      ),
      options.recordBytes,
    )
    if (!groups) {
      say(
        '  The others consume in groups only, and this broker serves none yet: they cannot be compared here.',
      )
      say('  Name a cluster that serves groups to compare them: --brokers HOST:PORT')
    }
    if (options.brokers !== null) await admin.deleteTopics({ topics: [topic('produce'), topic('consume')] })
  } finally {
    await kafka.close()
    await broker?.stop()
    await rm(directory, { recursive: true, force: true })
  }
}

await main()
