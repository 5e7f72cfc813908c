/**
 * A cluster under test: an etcd and some brokers, each a process of its own on this machine, with folders and ports
 * that they keep when they are killed and started again; and what the benchmarks let their user say of it. Needs `etcd`
 * in PATH (Debian: `etcd-server`).
 */
import { mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type BrokerProcess, startBrokerProcess } from './broker-process.ts'
import { etcdArguments, startEtcd } from './etcd-process.ts'
import { freePorts } from './free-ports.ts'

/** For `parseArgs`, beside the options of the benchmark's own. */
export const CLUSTER_FLAGS = {
  dir: { type: 'string', default: tmpdir() },
  'cpu-prof': { type: 'string' },
  set: { type: 'string', multiple: true, default: [] as string[] },
} as const

export interface ClusterOptions {
  /** Where the folder with the data is made. */
  readonly directory: string
  /** Where CPU profiles of the brokers go; null: none are written. */
  readonly cpuProfile: string | null
  /** Configs of the brokers. */
  readonly properties: Readonly<Record<string, string>>
}

export function clusterOptions(values: {
  readonly dir: string
  readonly 'cpu-prof'?: string | undefined
  readonly set: readonly string[]
}): ClusterOptions {
  const profile = values['cpu-prof']
  return {
    directory: values.dir,
    cpuProfile: profile === undefined ? null : resolve(profile),
    properties: Object.fromEntries(values.set.map(setting => setting.split('=', 2) as [string, string])),
  }
}

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
  /** Where a broker that stops in order leaves a CPU profile: `broker-<id>.<start>.cpuprofile`. Null: nowhere. */
  readonly cpuProfile: string | null
}

/** Rejects where etcd or a broker does not start; then nothing of it is left. */
export async function startClusterProcesses(options: ClusterProcessesOptions): Promise<ClusterProcesses> {
  const { directory, properties = {}, cpuProfile } = options
  const [clientPort, peerPort, ...ports] = await freePorts(2 + options.brokers)
  const client = `http://127.0.0.1:${clientPort}`
  const peer = `http://127.0.0.1:${peerPort}`
  const etcd = await startEtcd(
    etcdArguments({ name: 'default', folder: join(directory, 'etcd'), client, peer }),
  )
  const brokers: BrokerProcess[] = []
  const starts: number[] = []
  const nodeArguments = (id: number): string[] => {
    if (cpuProfile === null) return []
    const start = (starts[id] = (starts[id] ?? 0) + 1)
    return ['--cpu-prof', `--cpu-prof-dir=${cpuProfile}`, `--cpu-prof-name=broker-${id}.${start}.cpuprofile`]
  }
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
