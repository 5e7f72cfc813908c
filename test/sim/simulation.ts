/**
 * One seed: a world, a workload and its misfortune, from the first start to the last check. Everything is a function
 * of the seed; the streams of chance are split by concern, so that one more draw in one does not shift the others.
 */
import { type Env } from '../../broker/env.ts'
import { SeededRandom } from '../../broker/env-memory/random.ts'
import { type MetaStore } from '../../broker/metastore/metastore.ts'
import { AdministratorActor } from './administrator.ts'
import { planAmbushes } from './ambush.ts'
import { ClusterState } from './cluster-state.ts'
import { Faults } from './faults.ts'
import { HastyActor } from './hasty.ts'
import { History } from './history.ts'
import { Inspection } from './inspection.ts'
import { Invariants } from './invariants.ts'
import { MoverActor } from './mover.ts'
import { ObserverActor } from './observer.ts'
import { type ClusterPlan, planCluster, type TopicPlan } from './plan.ts'
import { Replicas } from './replicas.ts'
import { SoundBytes } from './sound-bytes.ts'
import { type Actor, MemberActor, ProducerActor, ReaderActor, type Workload } from './workload.ts'
import { ClientMachine } from './world/client.ts'
import { type Trace } from './world/envs.ts'
import { BROKER_PORT, Machine } from './world/machine.ts'
import { MetaServer } from './world/meta-server.ts'
import { SimNetwork } from './world/network.ts'
import { KIND, Scheduler } from './world/scheduler.ts'
import { Violation } from './world/violation.ts'
import { ZombieActor } from './zombie.ts'

export interface SimulationOptions {
  readonly seed: number
  /** Told everything that happens, with the virtual time. */
  readonly trace?: (line: string) => void
  /** Stand between a broker and its world: for planted bugs. */
  readonly wrapEnv?: (env: Env) => Env
  readonly wrapStore?: (store: MetaStore) => MetaStore
  /** So many brokers instead of what the seed says. */
  readonly brokers?: number
}

export interface SimulationResult {
  readonly seed: number
  readonly violation: Violation | null
  readonly events: number
  readonly hash: string
  readonly simulatedMs: number
  readonly brokers: number
  readonly recordsAcked: number
  readonly recordsRead: number
}

/** Misfortune ends then, and a little later the workload. */
const FAULTS_UNTIL_MS = 580_000
const WORK_UNTIL_MS = 600_000
/** After the faults have stopped, all that was promised must be there within so long. */
const PROGRESS_WITHIN_MS = 180_000
const START_WITHIN_MS = 60_000
const LOOK_FOR_GHOSTS_EVERY_MS = 2000

/** Runs one seed to its end. Must be called from a task of its own, not from within a promise job. */
export function simulate(options: SimulationOptions): SimulationResult {
  return new Simulation(options).run()
}

class Simulation {
  readonly #options: SimulationOptions
  readonly #scheduler = new Scheduler()
  readonly #history = new History()
  readonly #random: Readonly<
    Record<
      'world' | 'network' | 'disk' | 'clients' | 'workload' | 'faults' | 'store' | 'ambushes' | 'haste',
      SeededRandom
    >
  >
  readonly #network: SimNetwork
  readonly #plan: ClusterPlan
  readonly #metaServer: MetaServer | null
  readonly #clusterState: ClusterState | null
  readonly #replicas: Replicas | null
  readonly #machines: Machine[] = []
  readonly #actors: Actor[] = []
  readonly #workload: Workload
  readonly #trace: Trace | null
  readonly #faults: Faults
  #hosts = 0
  #knowsMisfortune = false

  constructor(options: SimulationOptions) {
    this.#options = options
    const root = new SeededRandom(options.seed)
    const [world, network, disk, clients, workload, faults, store, ambushes, haste] = Array.from(
      { length: 9 },
      () => root.fork(),
    )
    this.#random = {
      world: world!,
      network: network!,
      disk: disk!,
      clients: clients!,
      workload: workload!,
      faults: faults!,
      store: store!,
      ambushes: ambushes!,
      haste: haste!,
    }
    this.#plan = planCluster(new SeededRandom(options.seed ^ 0x5eed), options.brokers)
    this.#trace = options.trace === undefined ? null : (...what) => this.#say(...what)
    const draw = this.#random.world
    this.#network = new SimNetwork({
      scheduler: this.#scheduler,
      random: this.#random.network,
      pace: { delayMs: 0.05 + draw.float() * 2, jitterMs: draw.float() * 5, bytesPerMs: 10_000 },
      windowBytes: 512 << draw.int(10),
      splits: draw.int(2) === 0,
    })
    this.#workload = {
      history: this.#history,
      stopping: false,
      memberships: [],
      fail: error => this.#fail(error),
      note: (process, message) => this.#trace?.(process, 'app', message, {}),
    }
    const isCluster = this.#plan.brokers > 1
    this.#metaServer = isCluster ? this.#makeMetaServer() : null
    this.#makeBrokers()
    this.#clusterState =
      this.#metaServer === null
        ? null
        : new ClusterState(
            this.#metaServer,
            this.#machines,
            String(this.#plan.settings[0]!['cluster.id']),
            error => this.#fail(error),
          )
    this.#replicas =
      this.#clusterState === null ? null : new Replicas(this.#scheduler, this.#machines, this.#clusterState)
    this.#makeActors()
    this.#faults = new Faults({
      scheduler: this.#scheduler,
      random: this.#random.faults,
      network: this.#network,
      machines: this.#machines,
      clients: this.#actors.filter(actor => !(actor instanceof ObserverActor)).map(({ machine }) => machine),
      metaServer: this.#metaServer,
      clusterState: this.#clusterState,
      isSoft: this.#plan.topics.some(({ flushed }) => !flushed),
      restartClient: client => this.#actors.find(({ machine }) => machine === client)?.start(),
      note: what => this.#trace?.('world', 'fault', what, {}),
    })
  }

  run(): SimulationResult {
    const invariants = new Invariants(this.#scheduler, this.#machines, this.#history)
    const soundBytes = new SoundBytes(error => this.#fail(error))
    const reject = (error: unknown): void => this.#fail(error)
    process.on('unhandledRejection', reject)
    // Clients that cannot connect make thousands of errors, and nobody looks at where.
    const { stackTraceLimit } = Error
    if (this.#trace === null) Error.stackTraceLimit = 0
    try {
      this.#play(invariants)
    } catch (error) {
      this.#fail(error)
    } finally {
      invariants.end()
      soundBytes.end()
      process.off('unhandledRejection', reject)
      Error.stackTraceLimit = stackTraceLimit
    }
    const { events, hash, nowMs, stopped } = this.#scheduler
    if (stopped !== null) this.#dump()
    const violation =
      stopped === null || stopped instanceof Violation ? stopped : new Violation('crash', stopped.stack ?? '')
    const { recordsAcked, recordsRead } = this.#history
    return {
      seed: this.#options.seed,
      violation,
      events,
      hash,
      simulatedMs: nowMs,
      brokers: this.#plan.brokers,
      recordsAcked,
      recordsRead,
    }
  }

  #play(invariants: Invariants): void {
    const scheduler = this.#scheduler
    scheduler.afterEvent = () => {
      try {
        invariants.check()
      } catch (error) {
        this.#fail(error)
      }
    }
    this.#lookForGhosts()
    for (const machine of this.#machines) machine.start()
    const administrator = this.#actors[0] as AdministratorActor
    administrator.start()
    this.#runUntil(() => administrator.hasMadeTopics, START_WITHIN_MS, 'the topics to be made')
    for (const actor of this.#actors.slice(1)) actor.start()
    const { faults, world } = this.#random
    // Some seeds know no misfortune at all: what goes wrong there is wrong by itself.
    if (world.int(20) !== 0) {
      this.#knowsMisfortune = true
      this.#faults.plan(scheduler.nowMs, FAULTS_UNTIL_MS, 3000 + faults.int(40_000))
      this.#planAmbushes()
    }
    scheduler.run(FAULTS_UNTIL_MS)
    this.#faults.healAll()
    for (const actor of this.#actors) if (actor.machine.process === null) actor.start()
    this.#operate()
    scheduler.run(WORK_UNTIL_MS)
    this.#operate()
    this.#workload.stopping = true
    this.#rest('all to be acknowledged, read and committed')
    this.#even()
    this.#inspect()
    const mayForget = this.#plan.topics.every(({ flushed }) => flushed)
    if (this.#random.world.int(2) === 0 && mayForget) {
      for (const machine of this.#machines) machine.cutPower(1000)
      this.#inspect()
    }
  }

  #planAmbushes(): void {
    const state = this.#clusterState
    if (state === null) return
    const [settings] = this.#plan.settings
    const mover = this.#actors.find(actor => actor instanceof MoverActor)
    planAmbushes(
      {
        faults: this.#faults,
        state,
        random: this.#random.ambushes,
        sessionMs: Number(settings!['broker.session.timeout.ms']),
        lagMs: Number(settings!['replica.lag.time.max.ms']),
        handOver: (...what) => mover?.handOver(...what),
      },
      this.#scheduler.nowMs,
      FAULTS_UNTIL_MS,
    )
  }

  /** All replicas are in sync, equally long, and the same. */
  #even(): void {
    const replicas = this.#replicas
    if (replicas === null || this.#scheduler.stopped !== null) return
    try {
      this.#runUntil(() => replicas.isEven(), PROGRESS_WITHIN_MS, 'the replicas to be even')
    } catch (error) {
      throw error instanceof Violation
        ? new Violation(error.check, `${error.message} ${replicas.uneven}`)
        : error
    }
    let isCompared = false
    replicas.compare().then(
      () => (isCompared = true),
      error => this.#fail(error),
    )
    this.#runUntil(() => isCompared, 1000, 'the replicas to be compared')
  }

  #lookForGhosts(): void {
    const state = this.#clusterState
    if (state === null) return
    this.#scheduler.in(LOOK_FOR_GHOSTS_EVERY_MS, KIND.check, () => {
      try {
        state.checkGhosts(this.#scheduler.nowMs)
        // Who has come back in order since then, and is in sync, counts again.
        this.#faults.lookWhetherWhole()
        this.#lookForGhosts()
      } catch (error) {
        this.#fail(error)
      }
    })
  }

  /** What a broker asks its operator for when a partition could not be opened: another start. */
  #operate(): void {
    for (const machine of this.#machines) {
      const context = machine.running?.context
      if (context === undefined) continue
      const topics = [...context.metadata.image.topics()]
      const isOffline = topics.some(({ topicId, partitions }) =>
        partitions.some((_, index) => context.partitions.offline.has(topicId, index)),
      )
      if (isOffline) machine.restart()
    }
  }

  #rest(what: string): void {
    this.#runUntil(() => this.#actors.every(actor => actor.isAtRest()), PROGRESS_WITHIN_MS, what)
  }

  /** A client that has seen nothing so far reads everything. */
  #inspect(): void {
    const inspection = new Inspection(this.#client('inspector'), this.#workload, topicPlans(this.#actors))
    inspection.start()
    this.#runUntil(() => inspection.isDone, PROGRESS_WITHIN_MS, 'everything to be read by a new client')
    inspection.stop()
  }

  #runUntil(isSo: () => boolean, withinMs: number, what: string): void {
    const scheduler = this.#scheduler
    if (scheduler.stopped !== null) return
    scheduler.run(scheduler.nowMs + withinMs, isSo)
    if (scheduler.stopped !== null || isSo()) return
    const restless = this.#actors
      .filter(actor => !actor.isAtRest())
      .map(actor => `${actor.machine.name}: ${actor.waitsFor?.() ?? ''}`)
    throw new Violation(
      'no-progress',
      `after ${withinMs} ms without faults: waited for ${what} (${restless.join('; ')})`,
    )
  }

  /** For who reads the trace: how every replica was left behind. */
  #dump(): void {
    if (this.#trace === null) return
    for (const machine of this.#machines) {
      for (const host of machine.running?.context.partitions.hosts() ?? []) {
        const epochs = host.state.epochs.entries.map(({ epoch, startOffset }) => `${epoch}@${startOffset}`)
        const facts = { ...host.describe(), role: host.role, epochs: epochs.join(' ') }
        this.#trace(`broker-${machine.brokerId}`, 'state', host.name, facts)
      }
    }
    for (const { name, partitions } of this.#clusterState?.image.topics() ?? [])
      for (const partition of partitions) this.#trace('store', 'state', name, { ...partition })
  }

  #fail(error: unknown): void {
    this.#scheduler.stop(error instanceof Error ? error : new Error(String(error)))
  }

  #say(process: string, level: string, message: string, fields: Readonly<Record<string, unknown>>): void {
    const { error, ...rest } = fields
    const facts = Object.keys(rest).length === 0 ? '' : ` ${JSON.stringify(rest)}`
    const cause = error instanceof Error ? ` | ${error.stack ?? error.message}` : ''
    const at = (this.#scheduler.nowMs / 1000).toFixed(6).padStart(12)
    this.#options.trace?.(`${at} ${process.padEnd(12)} ${level.padEnd(5)} ${message}${facts}${cause}`)
  }

  // ------------------------------------------------------------------------------------------ composition

  #makeMetaServer(): MetaServer {
    return new MetaServer({
      scheduler: this.#scheduler,
      network: this.#network,
      random: this.#random.store,
      host: this.#host(),
      commitMs: this.#plan.commitMs,
      compactEveryMs: this.#plan.compactEveryMs,
    })
  }

  #makeBrokers(): void {
    const { world, disk } = this.#random
    const pick = <T>(...values: readonly T[]): T => values[world.int(values.length)]!
    for (const [index, settings] of this.#plan.settings.entries()) {
      this.#machines.push(
        new Machine({
          brokerId: index + 1,
          host: this.#host(),
          scheduler: this.#scheduler,
          network: this.#network,
          random: disk.fork(),
          diskPace: { syncMs: pick(0.5, 3, 15), otherMs: pick(0.02, 0.2, 2) },
          skew: { offsetMs: world.int(10_000) - 5000, rate: 1 + (world.float() - 0.5) * 2e-4 },
          turnMs: pick(0.02, 0.1, 0.5),
          settings,
          metaServer: this.#metaServer,
          trace: this.#trace,
          wrapEnv: this.#options.wrapEnv ?? (env => env),
          wrapStore: this.#options.wrapStore ?? (store => store),
          onBug: error => this.#fail(new Violation('broker-bug', error.stack ?? error.message)),
        }),
      )
    }
  }

  #makeActors(): void {
    const { workload: draw } = this.#random
    const workload = this.#workload
    const { topics, brokers } = this.#plan
    for (const { topic, partitions, compacted } of topics)
      for (let partition = 0; partition < partitions; partition++)
        this.#history.addPartition(topic, partition, compacted)
    const groups = ['group-a', 'group-b']
    this.#actors.push(new AdministratorActor({ machine: this.#client('admin'), workload, topics, groups }))
    const producer = (name: string, idempotent: boolean, acks: 'all' | 1 | 0): void => {
      const machine = this.#client(name)
      const spec = { name, idempotent, acks }
      const pauseMs = 8000 + draw.int(22_000)
      this.#actors.push(new ProducerActor({ machine, spec, workload, topics, pauseMs }))
    }
    producer('p1', true, 'all')
    if (draw.int(2) === 0) producer('p2', true, 'all')
    if (draw.int(3) === 0) producer('p3', false, 'all')
    if (draw.int(4) === 0) producer('p4', false, 1)
    if (draw.int(6) === 0) producer('p5', false, 0)
    this.#actors.push(new ReaderActor(this.#client('reader'), workload, topics))
    this.#actors.push(new ZombieActor(this.#client('zombie'), workload))
    if (brokers > 1) this.#actors.push(new MoverActor(this.#client('mover'), workload, topics, brokers))
    const plain = topics.filter(({ compacted }) => !compacted)
    for (const group of groups) {
      const protocol = draw.int(2) === 0 ? 'classic' : 'consumer'
      const isStatic = draw.int(3) === 0
      for (let left = 1 + draw.int(3); left > 0; left--) {
        const name = `${group}.${left}`
        const instance = isStatic ? name : null
        const machine = this.#client(name)
        this.#actors.push(new MemberActor({ machine, workload, topics: plain, group, protocol, instance }))
      }
    }
    if (brokers > 1) this.#actors.push(new ObserverActor(this.#client('observer'), workload, groups))
    this.#makeHaste()
  }

  #makeHaste(): void {
    const { haste: draw } = this.#random
    if (draw.int(3) !== 0) return
    const machine = this.#client('hasty')
    this.#network.narrow(machine.host, 512 << draw.int(4))
    this.#actors.push(
      new HastyActor({
        machine,
        spec: { name: 'hasty', idempotent: draw.int(3) !== 0, acks: 'all' },
        workload: this.#workload,
        topics: this.#plan.topics,
        pauseMs: 40_000 + draw.int(80_000),
        block: forMs => {
          if (!this.#knowsMisfortune || this.#faults.areOver) return
          for (const { host } of this.#machines)
            this.#faults.endAfter(forMs, this.#network.cut(machine.host, host))
        },
      }),
    )
  }

  #client(name: string): ClientMachine {
    return new ClientMachine({
      name,
      host: this.#host(),
      brokers: this.#machines.map(({ host }) => `${host}:${BROKER_PORT}`).join(),
      scheduler: this.#scheduler,
      network: this.#network,
      random: this.#random.clients.fork(),
      trace: this.#trace,
    })
  }

  #host(): string {
    return `10.0.0.${++this.#hosts}`
  }
}

function topicPlans(actors: readonly Actor[]): readonly TopicPlan[] {
  const administrator = actors[0]
  return administrator instanceof AdministratorActor ? administrator.topics : []
}
