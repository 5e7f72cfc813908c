/**
 * A cluster on one machine, for development: etcd and brokers as processes of their own, each with a folder below one
 * folder. Nothing of it is fit for production: a machine that dies takes all of it along.
 */
import { spawnSync } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { etcdArguments } from '../../perf/etcd-process.ts'
import { freePorts } from '../../perf/free-ports.ts'
import { CliError } from '../errors.ts'
import { Child } from './child.ts'

export interface ClusterPlan {
  readonly brokers: number
  /** Absolute. */
  readonly folder: string
  /** Of the first broker; the others follow. 0: any. */
  readonly port: number
  /** Null: one is started. */
  readonly etcd: string | null
  /** For every broker. */
  readonly settings: Readonly<Record<string, string>>
  readonly onLine: (who: string, line: string) => void
}

/** What was restarted is another one. */
export interface BrokerHandle {
  readonly id: number
  readonly port: number
  readonly address: string
  readonly child: Child
}

const HOST = '127.0.0.1'
const REPLICAS = 3
const START_TIMEOUT_MS = 30_000
const LOOK_EVERY_MS = 50

export class DevelopmentCluster {
  readonly #plan: ClusterPlan
  #etcd: Child | null = null
  #etcdUrl: string
  readonly #brokers: BrokerHandle[] = []

  constructor(plan: ClusterPlan) {
    this.#plan = plan
    this.#etcdUrl = plan.etcd ?? ''
  }

  get brokers(): readonly BrokerHandle[] {
    return this.#brokers
  }

  get etcd(): { readonly url: string; readonly child: Child | null } {
    return { url: this.#etcdUrl, child: this.#etcd }
  }

  get bootstrap(): string {
    return this.#brokers.map(({ address }) => address).join(',')
  }

  /** Resolves when all brokers answer. Rejects with a CliError; then `stop` ends what was started. */
  async start(): Promise<void> {
    const { brokers, etcd } = this.#plan
    if (etcd === null) await this.#startEtcd()
    const ports = await portsFor(this.#plan)
    const started = Array.from({ length: brokers }, (_, index) => this.#startBroker(index + 1, ports[index]!))
    await Promise.all(started)
  }

  /** SIGKILL. Resolves when the process is gone. */
  async kill(id: number): Promise<void> {
    await this.#handle(id).child.kill()
  }

  /** Starts a broker that has ended again. Resolves when it answers. */
  async restart(id: number): Promise<void> {
    const { port } = this.#handle(id)
    this.#brokers.splice(id - 1, 1)
    await this.#startBroker(id, port)
  }

  halt(id: number): void {
    this.#handle(id).child.halt()
  }

  resume(id: number): void {
    this.#handle(id).child.resume()
  }

  #handle(id: number): BrokerHandle {
    const handle = this.#brokers.find(each => each.id === id)
    if (handle === undefined) throw new Error(`there is no broker ${id}`)
    return handle
  }

  /** Brokers first: they leave the cluster in order, for which they need etcd. */
  async stop(): Promise<void> {
    await Promise.all(this.#brokers.map(({ child }) => child.stop()))
    await this.#etcd?.stop()
  }

  async #startEtcd(): Promise<void> {
    requireEtcd()
    const folder = join(this.#plan.folder, 'etcd')
    await mkdir(folder, { recursive: true })
    const [client, peer] = (await freePorts(2)).map(port => `http://${HOST}:${port}`) as [string, string]
    this.#etcdUrl = client
    const last: string[] = []
    const args = [...etcdArguments({ name: 'sluice', folder, client, peer }), '--log-level', 'warn']
    const child = new Child({
      command: 'etcd',
      args,
      onLine: line => void last.splice(0, last.length - 9, ...last.slice(-9), line),
    })
    this.#etcd = child
    await untilReady(child, 'etcd', last, async () => {
      const answer = await fetch(`${client}/health`).catch(() => null)
      return answer?.ok === true
    })
  }

  async #startBroker(id: number, port: number): Promise<void> {
    const { folder, onLine, settings, brokers } = this.#plan
    const who = `broker ${id}`
    const replicas = Math.min(REPLICAS, brokers)
    const all = {
      'default.replication.factor': String(replicas),
      'min.insync.replicas': String(replicas === REPLICAS ? 2 : 1),
      'offsets.topic.replication.factor': String(replicas),
      ...settings,
    }
    const args = [
      ...process.execArgv,
      ...[
        process.argv[1]!,
        'broker',
        'start',
        '--broker-id',
        String(id),
        '--data',
        join(folder, `broker-${id}`),
      ],
      ...['--listen', `${HOST}:${port}`, '--etcd', this.#etcdUrl],
      ...Object.entries(all).flatMap(([name, value]) => ['--set', `${name}=${value}`]),
    ]
    const last: string[] = []
    let isReady = false
    const child = new Child({
      command: process.execPath,
      args,
      onLine: (line, from) => {
        // What it prints is for who starts one broker; its log is worth seeing.
        if (from === 'stdout') isReady ||= line.includes(' listens on ')
        else {
          last.push(line)
          if (last.length > 20) last.shift()
          onLine(who, line)
        }
      },
    })
    this.#brokers.push({ id, port, address: `${HOST}:${port}`, child })
    this.#brokers.sort((a, b) => a.id - b.id)
    await untilReady(child, who, last, () => Promise.resolve(isReady))
  }
}

async function untilReady(
  child: Child,
  who: string,
  printed: readonly string[],
  isReady: () => Promise<boolean>,
): Promise<void> {
  let ending: string | null = null
  void child.ended.then(how => {
    ending = how
  })
  const deadlineMs = performance.now() + START_TIMEOUT_MS
  while (!(await isReady())) {
    if (ending === null && performance.now() < deadlineMs) {
      await sleep(LOOK_EVERY_MS)
      continue
    }
    throw new CliError({
      what:
        ending === null
          ? `${who} is not ready after ${START_TIMEOUT_MS} ms.`
          : `${who} ended (${String(ending)}).`,
      means: printed.length === 0 ? 'It printed nothing.' : `Its last words:\n${printed.join('\n')}`,
    })
  }
}

function requireEtcd(): void {
  if (spawnSync('etcd', ['--version'], { stdio: 'ignore' }).error === undefined) return
  throw new CliError({
    what: 'There is no etcd on this machine.',
    means: 'The brokers of a cluster keep their metadata in etcd, and elect leaders by it.',
    advice: [
      'Install it: apt-get install etcd-server (Debian, Ubuntu), brew install etcd (macOS)',
      'Or name one that runs: sluice cluster start --etcd http://HOST:2379',
      'For trying things one broker will do: sluice dev',
    ],
  })
}

async function portsFor({ brokers, port }: ClusterPlan): Promise<number[]> {
  return port === 0 ? freePorts(brokers) : Array.from({ length: brokers }, (_, index) => port + index)
}
