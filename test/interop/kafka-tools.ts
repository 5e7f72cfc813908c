/**
 * Apache Kafka's own programs, as tests run them: its jars are fetched by `npm run kafka-tools`, and the tests that
 * want them skip, and say so, where they or a JVM are missing.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePorts } from '../../perf/free-ports.ts'
import { missing, type Outcome, run } from '../helpers/foreign.ts'

/** The main classes of tools that several tests run. */
export const TOPICS = 'org.apache.kafka.tools.TopicCommand'
export const CONFIGS = 'kafka.admin.ConfigCommand'
export const CONSOLE_PRODUCER = 'org.apache.kafka.tools.ConsoleProducer'
export const CONSOLE_CONSUMER = 'org.apache.kafka.tools.consumer.ConsoleConsumer'
export const VERIFIABLE_PRODUCER = 'org.apache.kafka.tools.VerifiableProducer'
export const LOG_DIRS = 'org.apache.kafka.tools.LogDirsCommand'

const libs = process.env['SLUICE_KAFKA_LIBS'] ?? join(homedir(), '.cache/sluice/kafka-tools')
const START_TIMEOUT_MS = 60_000

/** False when the programs can be run; else the sentence with which a test skips. */
export const withoutKafkaTools: string | false =
  missing('java', ['-version'], 'apt-get install default-jre-headless') ||
  (existsSync(libs) && readdirSync(libs).some(name => name.startsWith('kafka-tools'))
    ? false
    : `Apache Kafka's jars are not in ${libs}: npm run kafka-tools`)

// A tool lives for a second: what a JVM does for the long run is wasted on it.
const JVM = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', '-Xshare:auto', '-Xmx384m']

/** `home` gets what a JVM unpacks, the libraries of its codecs for one, and does not remove when it is killed. */
function jvmArguments(home: string, mainClass: string, args: readonly string[]): string[] {
  return [...JVM, `-Djava.io.tmpdir=${home}`, '-cp', join(libs, '*'), mainClass, ...args]
}

/** Runs one of Kafka's classes to its end. */
export async function runKafka(
  mainClass: string,
  args: readonly string[],
  input: string | Uint8Array = '',
): Promise<Outcome> {
  const home = await mkdtemp(join(tmpdir(), 'sluice-java-'))
  try {
    return await run('java', jvmArguments(home, mainClass, args), input)
  } finally {
    await rm(home, { recursive: true, force: true, maxRetries: 5 })
  }
}

/** What a tool printed; rejects, with its complaints, when it failed. */
export async function kafkaTool(mainClass: string, args: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await runKafka(mainClass, args, input)
  if (code !== 0) throw new Error(`${mainClass} ${args.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`)
  return stdout.toString()
}

export interface KafkaBroker extends AsyncDisposable {
  /** `127.0.0.1:<port>` */
  readonly bootstrap: string
  readonly dataFolder: string
  /** SIGTERM: a clean stop. */
  stop(): Promise<void>
  /** Again, after a stop, on the same folder and port. */
  start(): Promise<void>
}

export interface KafkaBrokerOptions {
  /** Lines of server.properties beyond those that one node needs. */
  readonly properties?: Readonly<Record<string, string | number | boolean>>
}

/** Apache Kafka itself: one node, broker and controller, in a folder of its own that goes with it. */
export async function spawnKafka({ properties = {} }: KafkaBrokerOptions = {}): Promise<KafkaBroker> {
  const home = await mkdtemp(join(tmpdir(), 'sluice-kafka-'))
  const dataFolder = join(home, 'data')
  const [port, controllerPort] = await freePorts(2)
  const bootstrap = `127.0.0.1:${port}`
  const settings = {
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://${bootstrap},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://${bootstrap}`,
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': dataFolder,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    ...properties,
  }
  const file = join(home, 'server.properties')
  await writeFile(
    file,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  )
  const remove = (): Promise<void> => rm(home, { recursive: true, force: true, maxRetries: 5 })
  let child: ChildProcess | null = null
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    if (child !== null) await end(child, signal)
  }
  try {
    const clusterId = 'QdZp2KGlTxa5qgcUqOen7A'
    await kafkaTool('kafka.tools.StorageTool', ['format', '-t', clusterId, '-c', file])
    const start = async (): Promise<void> => {
      child = spawn('java', jvmArguments(home, 'kafka.Kafka', [file]), {
        cwd: home,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      await answering(child, bootstrap)
    }
    await start()
    return {
      bootstrap,
      dataFolder,
      start,
      stop: () => kill('SIGTERM'),
      [Symbol.asyncDispose]: async () => {
        await kill('SIGKILL')
        await remove()
      },
    }
  } catch (error) {
    await kill('SIGKILL')
    await remove()
    throw error
  }
}

/** Its logging is silent, so that it is up is learnt by asking: one tool that waits for it by itself. */
async function answering(child: ChildProcess, bootstrap: string): Promise<void> {
  let printed = ''
  const listen = (chunk: Buffer): void => {
    printed += chunk.toString()
  }
  child.stdout?.on('data', listen)
  child.stderr?.on('data', listen)
  const deadline = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT_MS)
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`Apache Kafka ended with ${code} before it answered:\n${printed}`)
  })
  ended.catch(() => {})
  try {
    await Promise.race([
      ended,
      kafkaTool('org.apache.kafka.tools.TopicCommand', ['--bootstrap-server', bootstrap, '--list']),
    ])
  } finally {
    clearTimeout(deadline)
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}
