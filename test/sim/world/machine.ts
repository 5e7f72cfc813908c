/**
 * A machine that runs one broker: its disk outlives its processes, and a supervisor starts the broker again when it
 * has ended. The broker is composed here and nowhere else: what it shares with others, which is the metadata store of
 * a cluster, comes in through here.
 */
import { type Broker, type BrokerOptions, createBroker } from '../../../broker/broker.ts'
import { BrokerConfig } from '../../../broker/config/broker-config.ts'
import { DiskError, type Env } from '../../../broker/env.ts'
import { type SeededRandom } from '../../../broker/env-memory/random.ts'
import { type MetaStore, MetaStoreError } from '../../../broker/metastore/metastore.ts'
import { type DiskPace, SimDisk } from './disk.ts'
import { brokerEnv, type Trace } from './envs.ts'
import { type MetaServer } from './meta-server.ts'
import { SimMetaStore } from './meta-store.ts'
import { type SimNetwork } from './network.ts'
import { SimProcess, type Skew } from './process.ts'
import { KIND, type Scheduler } from './scheduler.ts'

export interface MachineOptions {
  readonly brokerId: number
  readonly host: string
  readonly scheduler: Scheduler
  readonly network: SimNetwork
  readonly random: SeededRandom
  readonly diskPace: DiskPace
  readonly skew: Skew
  readonly turnMs: number
  readonly settings: Readonly<Record<string, string | number | boolean>>
  /** The store of the cluster; null for a broker that is alone. */
  readonly metaServer: MetaServer | null
  readonly trace: Trace | null
  /** Stand between the broker and its world; for planted bugs. */
  readonly wrapEnv: (env: Env) => Env
  readonly wrapStore: (store: MetaStore) => MetaStore
  /** A bug: the broker says itself that it must stop, or cannot start, and no fault explains it. */
  readonly onBug: (error: Error) => void
}

export const BROKER_PORT = 9092
/** How long the supervisor waits before it starts a broker again. */
const RESTART_MS = 2000

export class Machine {
  readonly host: string
  readonly brokerId: number
  readonly disk: SimDisk
  readonly skew: Skew
  readonly #options: MachineOptions
  #process: SimProcess | null = null
  #broker: Broker | null = null
  #isUp = true
  #lives = 0
  #startedMs = 0

  constructor(options: MachineOptions) {
    this.#options = options
    this.host = options.host
    this.brokerId = options.brokerId
    this.skew = options.skew
    this.disk = new SimDisk(options.random.fork(), options.diskPace)
  }

  get process(): SimProcess | null {
    return this.#process
  }

  /** While it answers. */
  get running(): Broker | null {
    return this.#broker?.state === 'running' ? this.#broker : null
  }

  /** Of its own on each machine, so that a path names the broker too. */
  get dataFolder(): string {
    return `/data-${this.brokerId}`
  }

  get isUp(): boolean {
    return this.#isUp
  }

  /** Starts of the broker so far. */
  get lives(): number {
    return this.#lives
  }

  /** Since when this life of the broker has been starting or running. */
  get startedMs(): number {
    return this.#startedMs
  }

  // ------------------------------------------------------------------------------------------ life and death

  start(): void {
    if (this.#process !== null || !this.#isUp) return
    const { scheduler, network, random, settings, trace, host } = this.#options
    this.#lives++
    this.#startedMs = scheduler.nowMs
    const process = new SimProcess({ ...this.#options, name: `broker-${this.brokerId}` })
    this.#process = process
    const env = this.#options.wrapEnv(brokerEnv(process, network, this.disk, random.fork(), trace))
    const config = BrokerConfig.of({
      ...settings,
      'node.id': this.brokerId,
      listeners: `PLAINTEXT://${host}:${BROKER_PORT}`,
      'log.dirs': this.dataFolder,
    })
    const onFatal = (error: Error): void => this.#failed(process, error)
    const broker = createBroker({ env, config, onFatal, ...this.#cluster(process) })
    this.#broker = broker
    trace?.(process.name, 'sim', 'the broker starts', {})
    broker.start().then(
      () => trace?.(process.name, 'sim', 'the broker runs', {}),
      (error: Error) => this.#failed(process, error),
    )
  }

  #cluster(process: SimProcess): Pick<BrokerOptions, 'cluster'> {
    const { metaServer, wrapStore } = this.#options
    if (metaServer === null) return {}
    return { cluster: { store: wrapStore(new SimMetaStore(metaServer, process)), ownsStore: true } }
  }

  /** SIGTERM, and a new start when it has ended. */
  restart(): void {
    const { process } = this
    const broker = this.running
    if (process === null || broker === null) return
    broker.stop().then(
      () => this.#exit(process),
      (error: Error) => this.#failed(process, error),
    )
  }

  /** SIGKILL, and a new start. */
  kill(): void {
    if (this.#process !== null) this.#exit(this.#process)
  }

  /** Power comes back after `forMs`. */
  cutPower(forMs: number): void {
    if (!this.#isUp) return
    const { network, scheduler } = this.#options
    this.#isUp = false
    this.#process?.kill()
    this.#process = null
    this.#broker = null
    network.hostDown(this.host)
    this.disk.cutPower()
    scheduler.in(forMs, KIND.fault, () => {
      this.#isUp = true
      network.hostUp(this.host)
      this.start()
    })
  }

  #failed(process: SimProcess, error: Error): void {
    if (!process.isAlive) return
    this.#options.trace?.(process.name, 'sim', 'the broker gave up', { error })
    if (!isOperational(error)) {
      this.#options.onBug(error)
      return
    }
    // Its code ends first: what it still has to say it says.
    process.after(0, KIND.process, () => this.#exit(process))
  }

  #exit(process: SimProcess): void {
    if (!process.isAlive || this.#process !== process) return
    const { network, scheduler } = this.#options
    process.kill()
    network.processEnded(process)
    this.disk.processEnded()
    this.#process = null
    this.#broker = null
    scheduler.in(RESTART_MS, KIND.process, () => this.start())
  }
}

/**
 * Whether a failure goes back to the disk or to the store being away, which the simulation has brought about itself.
 */
function isOperational(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof DiskError && (cause.code === 'IO_ERROR' || cause.code === 'DISK_FULL')) return true
    if (cause instanceof MetaStoreError && (cause.code === 'UNAVAILABLE' || cause.code === 'UNKNOWN_OUTCOME'))
      return true
  }
  return false
}
