/**
 * The processes of a cluster under test: etcd and brokers, each on its node of the network, with what can be done to
 * it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, mkdirSync, type WriteStream } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../../helpers/until.ts'
import { type ChaosNetwork, openNetwork } from './network.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))
const READY_TIMEOUT_MS = 60_000
const ETCD_PEER_PORT = 2380

/** Short, so that a run sees many elections. */
const SETTINGS: Readonly<Record<string, string | number>> = {
  'default.replication.factor': 3,
  'min.insync.replicas': 2,
  'offsets.topic.replication.factor': 3,
  'offsets.topic.num.partitions': 3,
  'broker.session.timeout.ms': 4000,
  'replica.lag.time.max.ms': 4000,
  'leader.imbalance.check.interval.seconds': 5,
}

class Node {
  readonly name: string
  readonly #start: () => { program: string; args: string[] }
  readonly #isReady: (output: string) => boolean
  readonly #log: WriteStream
  #child: ChildProcess | null = null
  #printed = ''

  constructor(options: {
    name: string
    logFile: string
    start: () => { program: string; args: string[] }
    isReady: (output: string) => boolean
  }) {
    this.name = options.name
    this.#start = options.start
    this.#isReady = options.isReady
    this.#log = createWriteStream(options.logFile, { flags: 'a' })
  }

  get isRunning(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Resolves when the process says that it serves. */
  async start(): Promise<void> {
    const { program, args } = this.#start()
    const child = spawn(program, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.#printed = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#printed += chunk.toString('utf8')
        this.#log.write(chunk)
      })
    }
    const killWithUs = (): void => void child.kill('SIGKILL')
    process.once('exit', killWithUs)
    child.once('exit', () => process.off('exit', killWithUs))
    await until(
      () => this.#isReady(this.#printed) || !this.isRunning,
      `${this.name} serves`,
      READY_TIMEOUT_MS,
    )
    if (!this.isRunning) throw new Error(`${this.name} ended before it served:\n${this.#printed}`)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** Resolves when the process is gone. */
  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === null || !this.isRunning) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }

  close(): void {
    this.#log.end()
  }
}

export class ChaosCluster implements AsyncDisposable {
  readonly network: ChaosNetwork
  readonly etcd: Node
  readonly brokers: readonly Node[]
  /** Logs lie here; it is kept where the run has failed. */
  readonly folder: string

  private constructor(network: ChaosNetwork, folder: string, brokers: number) {
    this.network = network
    this.folder = folder
    this.etcd = this.#etcdNode()
    this.brokers = Array.from({ length: brokers }, (_, index) => this.#brokerNode(index + 1))
  }

  static async start(brokers: number): Promise<ChaosCluster> {
    const names = ['etcd', ...Array.from({ length: brokers }, (_, index) => `b${index + 1}`)]
    const network = await openNetwork(names)
    const cluster = new ChaosCluster(network, await mkdtemp(join(tmpdir(), 'sluice-chaos-')), brokers)
    try {
      await cluster.etcd.start()
      await Promise.all(cluster.brokers.map(broker => broker.start()))
      return cluster
    } catch (error) {
      await cluster[Symbol.asyncDispose]()
      throw error
    }
  }

  get bootstrap(): string[] {
    return this.brokers.map(({ name }) => `${this.network.host(name)}:${this.network.port(name)}`)
  }

  #etcdNode(): Node {
    const name = 'etcd'
    const url = `http://${this.network.host(name)}:${this.network.port(name)}`
    const peerPort = this.network.limits === null ? ETCD_PEER_PORT : 0
    const peer = `http://127.0.0.1:${peerPort}`
    const args = [
      ...[
        '--name',
        'chaos',
        '--data-dir',
        join(this.folder, 'etcd'),
        '--logger',
        'zap',
        '--log-outputs',
        'stderr',
      ],
      ...['--listen-client-urls', url, '--advertise-client-urls', url],
      ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', 'http://127.0.0.1:2380'],
      ...['--initial-cluster', 'chaos=http://127.0.0.1:2380'],
    ]
    return new Node({
      name,
      logFile: join(this.folder, 'etcd.log'),
      start: () => this.network.command(name, 'etcd', args),
      isReady: output => /serving (insecure )?client (requests|traffic)/.test(output),
    })
  }

  #brokerNode(id: number): Node {
    const name = `b${id}`
    const dataFolder = join(this.folder, name)
    mkdirSync(dataFolder, { recursive: true })
    const etcd = `http://${this.network.host('etcd')}:${this.network.port('etcd')}`
    const listen = `${this.network.host(name)}:${this.network.port(name)}`
    const args = [
      ...['--import=tsx', join(root, 'broker/main.ts'), '--broker-id', String(id), '--data', dataFolder],
      ...['--listen', listen, '--etcd', etcd],
      ...Object.entries(SETTINGS).flatMap(([config, value]) => ['--set', `${config}=${value}`]),
    ]
    return new Node({
      name,
      logFile: join(this.folder, `${name}.log`),
      start: () => this.network.command(name, process.execPath, args),
      isReady: output => output.includes(' listens on '),
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop(false)
  }

  /** `keep`: the folder stays, for who wants to know what happened. */
  async stop(keep: boolean): Promise<void> {
    const all = [...this.brokers, this.etcd]
    await Promise.all(all.map(node => node.end('SIGKILL')))
    for (const node of all) node.close()
    this.network.close()
    if (!keep) await rm(this.folder, { recursive: true, force: true })
  }
}
