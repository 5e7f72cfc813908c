/**
 * The broker as a process: reads flags, environment and file, starts a broker, prints where it is, and stops it on
 * SIGTERM or SIGINT. Also what `sluice broker start` runs. Kept light: what is imported here is what the time from
 * start to the first answer is made of.
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { type Broker, createBroker } from './broker.ts'
import { etcdAccessOf } from './config/cluster.ts'
import { ConfigError } from './config/definition.ts'
import { type LoadedConfig, loadConfig } from './config.ts'
import { type Address, DiskError, type Env, NetworkError } from './env.ts'
import { createNodeEnv, loadNodeRpc } from './env-node.ts'
import { type MetaStore, MetaStoreError } from './metastore/metastore.ts'
import { DataFolderError } from './runtime/data-folder.ts'
import { CorruptLogError } from './storage/types.ts'

const USAGE = `Usage: sluice broker start [flags]

  --config FILE          a server.properties with Kafka's names
  --data DIR             where the data is kept (log.dirs; default ./data)
  --listen HOST:PORT     where to listen (listeners; default 127.0.0.1:9092, port 0 takes a free one)
  --broker-id N          id of this broker (node.id; default 1)
  --rack NAME            where it stands: a rack, a zone (broker.rack)
  --advertise HOST:PORT  what clients and other brokers are told to connect to (advertised.listeners)
  --set NAME=VALUE       any other config; may be given again
  --help

As one broker of a cluster:

  --etcd URL[,URL]            members of etcd, as http://10.0.0.1:2379 (etcd.endpoints)
  --etcd-user NAME            for etcd with authentication (etcd.user), with one of
  --etcd-password-file FILE   the file that holds the password (etcd.password.file)
  --etcd-password PASSWORD    the password itself, which other users of the host can see (etcd.password)
  --etcd-ca FILE              authorities of an https etcd, PEM (etcd.ca.file)
  --etcd-cert FILE            certificate of this broker for etcd (etcd.cert.file), with
  --etcd-key FILE             its key (etcd.key.file)
  --cluster-id ID             cluster to be part of, where etcd has several (cluster.id)

A flag wins over the environment (KAFKA_* and SLUICE_*, as SLUICE_LOG_RETENTION_MS), which wins over the file.
`

/** Bad flags; exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export interface Arguments {
  readonly help: boolean
  readonly configFile: string | null
  /** Names and values as in a file. */
  readonly settings: Readonly<Record<string, string>>
}

const FLAGS: Readonly<Record<string, string>> = {
  '--data': 'log.dirs',
  '--broker-id': 'node.id',
  '--rack': 'broker.rack',
  '--cluster-id': 'cluster.id',
  '--etcd': 'etcd.endpoints',
  '--etcd-user': 'etcd.user',
  '--etcd-password': 'etcd.password',
  '--etcd-password-file': 'etcd.password.file',
  '--etcd-ca': 'etcd.ca.file',
  '--etcd-cert': 'etcd.cert.file',
  '--etcd-key': 'etcd.key.file',
}

/** Flags for a list of listeners, of which one is named by its address alone. */
const LISTENER_FLAGS: Readonly<Record<string, string>> = {
  '--listen': 'listeners',
  '--advertise': 'advertised.listeners',
}

/** Throws UsageError. */
export function parseArguments(argv: readonly string[]): Arguments {
  const settings: Record<string, string> = {}
  let help = false
  let configFile: string | null = null
  for (let i = 0; i < argv.length; i++) {
    const [flag, inline] = splitFlag(argv[i]!)
    if (flag === '--help' || flag === '-h') {
      help = true
      continue
    }
    const isListener = Object.hasOwn(LISTENER_FLAGS, flag)
    const known = flag === '--config' || flag === '--set' || isListener || Object.hasOwn(FLAGS, flag)
    if (!known) throw new UsageError(`Unknown flag ${flag}.\n\n${USAGE}`)
    const value = inline ?? argv[++i]
    if (value === undefined || value === '') throw new UsageError(`${flag} wants a value.\n\n${USAGE}`)
    if (flag === '--config') configFile = value
    else if (isListener) settings[LISTENER_FLAGS[flag]!] = `PLAINTEXT://${value}`
    else if (flag === '--set') {
      const [name, text] = splitFlag(value)
      if (text === null) throw new UsageError(`--set wants NAME=VALUE, and not ${value}.`)
      settings[name] = text
    } else settings[FLAGS[flag]!] = value
  }
  return { help, configFile, settings }
}

function splitFlag(text: string): [string, string | null] {
  const at = text.indexOf('=')
  return at === -1 ? [text, null] : [text.slice(0, at), text.slice(at + 1)]
}

/**
 * The configuration that these arguments make, with the data folder as an absolute path. Rejects with a ConfigError
 * or a UsageError; warnings name what was ignored.
 */
export async function readConfig(
  env: Env,
  { configFile, settings }: Arguments,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Promise<LoadedConfig> {
  const file = configFile === null ? undefined : { path: configFile, text: await readText(env, configFile) }
  const flags = { ...settings }
  const first = loadConfig({ file, environment, flags })
  const folder = first.config.values['log.dirs'][0]!
  const { config } = loadConfig({ file, environment, flags: { ...flags, 'log.dirs': resolve(folder) } })
  return { config, warnings: first.warnings }
}

async function readText(env: Env, path: string): Promise<string> {
  try {
    return (await env.disk.readFile(resolve(path))).toString('utf8')
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const why = error.code === 'NOT_FOUND' ? 'there is no such file' : error.message
    throw new ConfigError(
      '--config',
      `The configuration ${path} cannot be read: ${why}. Check the path after --config.`,
    )
  }
}

export interface RunOptions {
  readonly env?: Env
  readonly environment?: Readonly<Record<string, string | undefined>>
  readonly print?: (text: string) => void
  readonly printError?: (text: string) => void
  /** Called when the broker answers requests. */
  readonly onReady?: (broker: Broker) => void
}

/** Runs a broker until it is told to stop; resolves to the exit code. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<number> {
  const env = options.env ?? createNodeEnv()
  const print = options.print ?? ((text: string) => void process.stdout.write(text))
  const printError = options.printError ?? ((text: string) => void process.stderr.write(text))
  try {
    const parsed = parseArguments(argv)
    if (parsed.help) {
      print(USAGE)
      return 0
    }
    const { config, warnings } = await readConfig(env, parsed, options.environment)
    for (const warning of warnings) env.log.warn(warning)
    const ends = await createBrokerAndEnd(env, config)
    return await serve(env, ends, config.values['log.dirs'][0]!, print, options.onReady)
  } catch (error) {
    const { text, exitCode } = explain(error)
    printError(`${text}\n`)
    return exitCode
  }
}

interface BrokerAndEnd {
  readonly broker: Broker
  /** Resolves when the broker has failed for good. */
  readonly failed: Promise<void>
}

async function createBrokerAndEnd(env: Env, config: LoadedConfig['config']): Promise<BrokerAndEnd> {
  let fail = (): void => {}
  const failed = new Promise<void>(resolveFailed => {
    fail = resolveFailed
  })
  const store = await openStore(env, config)
  try {
    const cluster = store === null ? {} : { cluster: { store, ownsStore: true } }
    return { broker: createBroker({ env, config, onFatal: () => fail(), ...cluster }), failed }
  } catch (error) {
    await store?.close()
    throw error
  }
}

/** Null: the broker is alone, and has none of the code for a cluster's store in its memory either. */
async function openStore(env: Env, { values }: LoadedConfig['config']): Promise<MetaStore | null> {
  const access = etcdAccessOf(values)
  if (access === null) return null
  const [{ openClusterStore }, rpc] = await Promise.all([import('./cluster-store.ts'), loadNodeRpc()])
  return openClusterStore(env, rpc, access)
}

async function serve(
  env: Env,
  { broker, failed }: BrokerAndEnd,
  folder: string,
  print: (text: string) => void,
  onReady?: (broker: Broker) => void,
): Promise<number> {
  const signals = new Signals()
  try {
    await broker.start()
    print(welcome(broker, folder))
    onReady?.(broker)
    const end = await Promise.race([
      signals.first.then(() => 'stop' as const),
      failed.then(() => 'failed' as const),
    ])
    if (end === 'failed') {
      await Promise.race([broker.stop(), signals.second])
      return 1
    }
    env.log.info('Stopping: finishing what is under way. A second signal forces it.')
    const stopped = broker.stop().then(() => 'stopped' as const)
    const forced = signals.second.then(() => 'forced' as const)
    if ((await Promise.race([stopped, forced])) === 'forced') {
      env.log.warn('Forced to stop: the next start will check what was not closed cleanly')
      return 1
    }
    env.log.info('Stopped cleanly')
    return broker.state === 'failed' ? 1 : 0
  } finally {
    signals.dispose()
  }
}

/** SIGTERM and SIGINT, counted. */
class Signals {
  readonly first: Promise<void>
  readonly second: Promise<void>
  readonly #onSignal: () => void

  constructor() {
    const resolvers: (() => void)[] = []
    const next = (): Promise<void> => new Promise(resolveSignal => resolvers.push(resolveSignal))
    this.first = next()
    this.second = next()
    this.#onSignal = () => resolvers.shift()?.()
    process.on('SIGTERM', this.#onSignal)
    process.on('SIGINT', this.#onSignal)
  }

  dispose(): void {
    process.off('SIGTERM', this.#onSignal)
    process.off('SIGINT', this.#onSignal)
  }
}

function welcome(broker: Broker, folder: string): string {
  const [first, ...others] = broker.addresses.map(({ address }) => addressText(address))
  const also = others.length === 0 ? '' : ` and ${others.join(', ')}`
  const { brokers } = broker.context.metadata.image
  const among = brokers.active().length
  const part = broker.context.metadata.isAlone
    ? ''
    : `\nPart of cluster ${broker.clusterId}, in which ${among === 1 ? '1 broker is' : `${among} brokers are`} active now`
  return `Sluice broker ${broker.brokerId} listens on ${first}${also}, with its data in ${folder}${part}

Try, in another terminal:
  echo hello | npx sluice produce demo --brokers ${first}
  npx sluice consume demo --brokers ${first} -o start -n 1
  kcat -b ${first} -L

Ctrl-C stops it.
`
}

function addressText({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** What happened, what it means, and what to do. */
function explain(error: unknown): { text: string; exitCode: number } {
  if (error instanceof UsageError) return { text: error.message, exitCode: 2 }
  if (error instanceof ConfigError) {
    return {
      text: `The broker did not start because its configuration cannot be:\n${error.message}`,
      exitCode: 2,
    }
  }
  if (error instanceof DataFolderError || error instanceof MetaStoreError || error instanceof CorruptLogError)
    return { text: `The broker did not start. ${error.message}`, exitCode: 1 }
  if (error instanceof NetworkError) {
    return { text: `The broker did not start. ${error.message}${networkAdvice(error.code)}`, exitCode: 1 }
  }
  if (error instanceof DiskError) {
    return {
      text: `The broker did not start, because its data folder cannot be used. ${error.message}`,
      exitCode: 1,
    }
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return { text: `The broker did not start.\n${text}`, exitCode: 1 }
}

function networkAdvice(code: string): string {
  if (code === 'EADDRINUSE') return ' As in --listen 127.0.0.1:9093; port 0 takes a free one.'
  return code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND'
    ? ' See --listen HOST:PORT.'
    : ''
}

const entry = process.argv[1]
if (entry !== undefined && import.meta.url === pathToFileURL(entry).href) {
  process.exit(await run(process.argv.slice(2)))
}
