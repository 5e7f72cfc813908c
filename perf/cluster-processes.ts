/**
 * A cluster under test: an etcd and some brokers, each a process of its own on this machine, with folders and ports
 * that they keep when they are killed and started again. Needs `etcd` in PATH (Debian: `etcd-server`).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'

const ETCD_START_TIMEOUT_MS = 30_000

export interface ClusterProcesses {
  /** By id: the first is broker 1. What was restarted is replaced. */
  readonly brokers: readonly BrokerProcess[]
  /** As a client takes them. */
  readonly bootstrap: string
  broker(id: number): BrokerProcess
  /** Starts the broker again, in its folder and on its port. It must be gone. */
  restart(id: number): Promise<BrokerProcess>
  stop(): Promise<void>
}

export interface ClusterProcessesOptions {
  /** An existing folder. */
  readonly directory: string
  readonly brokers: number
  readonly properties?: Readonly<Record<string, string | number | boolean>>
  /** Options of Node for a broker, as `--cpu-prof`. */
  readonly nodeArguments?: (id: number) => readonly string[]
}

/** Rejects where etcd or a broker does not start; then nothing of it is left. */
export async function startClusterProcesses(options: ClusterProcessesOptions): Promise<ClusterProcesses> {
  const { directory, properties = {}, nodeArguments = () => [] } = options
  const [clientPort, peerPort, ...ports] = await freePorts(2 + options.brokers)
  const etcd = await startEtcd(join(directory, 'etcd'), clientPort!, peerPort!)
  const brokers: BrokerProcess[] = []
  const start = async (id: number): Promise<BrokerProcess> => {
    const folder = join(directory, `broker-${id}`)
    await mkdir(folder, { recursive: true })
    const broker = await startBrokerProcess({
      directory: folder,
      properties,
      nodeArguments: nodeArguments(id),
      flags: ['--broker-id', String(id), '--etcd', `http://127.0.0.1:${clientPort}`],
      port: ports[id - 1]!,
      logFile: join(folder, 'broker.log'),
    })
    brokers[id - 1] = broker
    return broker
  }
  const stop = async (): Promise<void> => {
    await Promise.all(brokers.map(broker => broker.stop()))
    await end(etcd)
  }
  try {
    for (let id = 1; id <= options.brokers; id += 1) await start(id)
  } catch (error) {
    await stop()
    throw error
  }
  return {
    brokers,
    bootstrap: ports.map(port => `127.0.0.1:${port}`).join(),
    broker: id => brokers[id - 1]!,
    restart: start,
    stop,
  }
}

async function startEtcd(folder: string, clientPort: number, peerPort: number): Promise<ChildProcess> {
  const client = `http://127.0.0.1:${clientPort}`
  const peer = `http://127.0.0.1:${peerPort}`
  const args = [
    ...['--data-dir', folder, '--log-outputs', 'stderr', '--logger', 'zap'],
    ...['--listen-client-urls', client, '--advertise-client-urls', client],
    ...['--listen-peer-urls', peer, '--initial-advertise-peer-urls', peer],
    ...['--initial-cluster', `default=${peer}`],
  ]
  const child = spawn('etcd', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const endWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', endWithUs)
  child.once('exit', () => process.off('exit', endWithUs))
  let printed = ''
  try {
    await new Promise<void>((resolve, reject) => {
      const deadline = setTimeout(
        () => reject(new Error(`etcd does not serve:\n${printed}`)),
        ETCD_START_TIMEOUT_MS,
      )
      child.stderr?.on('data', (chunk: Buffer) => {
        if (printed.length < 100_000) printed += chunk.toString('utf8')
        if (!/serving (insecure )?client (requests|traffic)/.test(printed)) return
        clearTimeout(deadline)
        resolve()
      })
      child.once('error', error => {
        clearTimeout(deadline)
        reject(new Error('etcd cannot be run. Debian: apt-get install etcd-server.', { cause: error }))
      })
      child.once('close', code => {
        clearTimeout(deadline)
        reject(new Error(`etcd ended with code ${code} before it served:\n${printed}`))
      })
    })
  } catch (error) {
    await end(child)
    throw error
  }
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}

/** Ports that were free a moment ago, all different. */
async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer())
  const ports: number[] = []
  for (const server of servers) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('No port is free.')
    ports.push(address.port)
  }
  for (const server of servers) {
    server.close()
    await once(server, 'close')
  }
  return ports
}
