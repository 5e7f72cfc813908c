/**
 * A cluster under test: an etcd and some brokers, each a process of its own on this machine, with folders and ports
 * that they keep when they are killed and started again. Needs `etcd` in PATH (Debian: `etcd-server`).
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'
import { etcdArguments, startEtcd } from './etcd-process.ts'
import { freePorts } from './free-ports.ts'

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
  const client = `http://127.0.0.1:${clientPort}`
  const peer = `http://127.0.0.1:${peerPort}`
  const etcd = await startEtcd(
    etcdArguments({ name: 'default', folder: join(directory, 'etcd'), client, peer }),
  )
  const brokers: BrokerProcess[] = []
  const start = async (id: number): Promise<BrokerProcess> => {
    const folder = join(directory, `broker-${id}`)
    await mkdir(folder, { recursive: true })
    const broker = await startBrokerProcess({
      directory: folder,
      properties,
      nodeArguments: nodeArguments(id),
      flags: ['--broker-id', String(id), '--etcd', client],
      port: ports[id - 1]!,
      logFile: join(folder, 'broker.log'),
    })
    brokers[id - 1] = broker
    return broker
  }
  const stop = async (): Promise<void> => {
    await Promise.all(brokers.map(broker => broker.stop()))
    await etcd.kill()
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
