/**
 * Misfortune, within the promised model: what goes wrong, when, for how long. Every fault ends by itself, and
 * `healAll` ends those that have not.
 */
import { type SeededRandom } from '../../broker/env-memory/random.ts'
import { CLUSTER_FAULTS, seconds } from './cluster-faults.ts'
import { type ClusterState } from './cluster-state.ts'
import { type ClientMachine } from './world/client.ts'
import { type Machine } from './world/machine.ts'
import { type MetaServer } from './world/meta-server.ts'
import { type SimNetwork } from './world/network.ts'
import { KIND, type Scheduler } from './world/scheduler.ts'

export interface FaultOptions {
  readonly scheduler: Scheduler
  readonly random: SeededRandom
  readonly network: SimNetwork
  readonly machines: readonly Machine[]
  readonly clients: readonly ClientMachine[]
  /** Of a cluster; null where there is one broker alone. */
  readonly metaServer: MetaServer | null
  readonly clusterState: ClusterState | null
  /** Whether some records are acknowledged before they are on disk: then no two disks may forget at one time. */
  readonly isSoft: boolean
  /** Starts a new process on a client machine whose process was killed. */
  readonly restartClient: (client: ClientMachine) => void
  readonly note: (what: string) => void
}

export type Fault = (faults: Faults, random: SeededRandom, machine: Machine, client: ClientMachine) => string

export class Faults {
  readonly options: FaultOptions
  readonly #ending = new Set<() => void>()
  readonly #table: readonly (readonly [number, Fault])[]
  /** Its disk has forgotten what it may not have got back yet. */
  #forgetful: Machine | null = null
  /** How often each had started when all replicas were last seen in sync. */
  readonly #livesWhenWhole = new Map<Machine, number>()
  #ended = false

  constructor(options: FaultOptions) {
    this.options = options
    this.#table = options.metaServer === null ? FAULTS : [...FAULTS, ...CLUSTER_FAULTS]
  }

  /** Misfortune from `fromMs` to `untilMs`, on average every `everyMs`. */
  plan(fromMs: number, untilMs: number, everyMs: number): void {
    const { random, scheduler } = this.options
    // Each seed has a character: some faults more often than others, some never.
    const weights = this.#table.map(([weight]) => weight * (random.int(3) === 0 ? 0 : 0.2 + random.float()))
    let atMs = fromMs
    for (;;) {
      atMs += everyMs * 2 * random.float()
      if (atMs >= untilMs) return
      scheduler.at(atMs, KIND.fault, () => this.#strike(weights))
    }
  }

  /** Calls `end` after `forMs`, or when all is healed. */
  endAfter(forMs: number, end: () => void): void {
    const once = (): void => {
      if (this.#ending.delete(once)) end()
    }
    this.#ending.add(once)
    this.options.scheduler.in(forMs, KIND.fault, once)
  }

  /**
   * Whether the disk of this machine may forget now what was not synced: where records are acknowledged before they are
   * on disk, as long as every other copy of them is there. Why that is promised: such a record was written by at least
   * min.insync.replicas, which is two here, so losing one disk leaves one; whoever joined the ISR since has it too; and
   * who left it while two were left is not needed, or else is kept as eligible. So the others need not be in sync now.
   * But one that has died since all were, if only its process, counts as none until all are in sync again: no broker
   * can tell its case from that of a lost disk, and it is no longer eligible. Of brokers in no such partition too much
   * is asked here, which costs a fault now and then and allows none.
   */
  mayCutPower(machine: Machine): boolean {
    if (!this.options.isSoft) return true
    this.lookWhetherWhole()
    if (!this.#mayForget(machine)) return false
    this.#forgetful = machine
    return true
  }

  /** Whether the broker of this machine may end without a word: the same promise, seen from the other side. */
  mayKill(machine: Machine): boolean {
    if (!this.options.isSoft) return true
    this.lookWhetherWhole()
    return this.#forgetful === null || this.#forgetful === machine
  }

  #mayForget(machine: Machine): boolean {
    const others = this.options.machines.filter(each => each !== machine)
    const haveLived = others.every(
      each => each.running !== null && each.lives === this.#livesWhenWhole.get(each),
    )
    return haveLived && (this.#forgetful === null || this.#forgetful === machine)
  }

  /** Call it where much may be out of sync soon: what is whole now counts as there until it dies. */
  lookWhetherWhole(): void {
    const { clusterState, machines } = this.options
    const isUp = machines.every(({ running }) => running !== null)
    if (!isUp || clusterState?.isWhole() === false) return
    this.#forgetful = null
    for (const machine of machines) this.#livesWhenWhole.set(machine, machine.lives)
  }

  /** Nothing may go wrong any more. */
  get areOver(): boolean {
    return this.#ended
  }

  healAll(): void {
    this.#ended = true
    for (const end of [...this.#ending]) end()
    this.options.network.heal()
  }

  #strike(weights: readonly number[]): void {
    if (this.#ended) return
    const { random, machines, clients, note } = this.options
    let draw = random.float() * weights.reduce((sum, weight) => sum + weight, 0)
    const index = weights.findIndex(weight => (draw -= weight) < 0)
    const [, fault] = this.#table[Math.max(0, index)]!
    const machine = machines[random.int(machines.length)]!
    const client = clients[random.int(clients.length)]!
    note(fault(this, random, machine, client))
  }
}

/** With how often they occur beside each other. */
const FAULTS: readonly (readonly [number, Fault])[] = [
  [
    3,
    (faults, _random, machine) => {
      if (!faults.mayKill(machine)) return `leave broker ${machine.brokerId} alive`
      machine.kill()
      return `kill broker ${machine.brokerId}`
    },
  ],
  [
    3,
    (faults, random, machine) => {
      const forMs = seconds(random, 20)
      if (!faults.mayCutPower(machine)) return 'leave the power on'
      machine.cutPower(forMs)
      return `cut the power of broker ${machine.brokerId} for ${forMs} ms`
    },
  ],
  [
    1,
    (_, _random, machine) => {
      machine.restart()
      return `restart broker ${machine.brokerId}`
    },
  ],
  [
    2,
    (faults, random, machine) => {
      const { process } = machine
      const forMs = seconds(random, 25)
      process?.pause()
      faults.endAfter(forMs, () => process?.resume())
      return `pause broker ${machine.brokerId} for ${forMs} ms`
    },
  ],
  [
    3,
    (faults, random, machine, client) => {
      const { network } = faults.options
      const way = random.int(3)
      const forMs = seconds(random, 40)
      if (way !== 1) faults.endAfter(forMs, network.cut(machine.host, client.host))
      if (way !== 0) faults.endAfter(forMs, network.cut(client.host, machine.host))
      return `cut ${machine.host} ${['->', '<-', '<->'][way]} ${client.host} for ${forMs} ms`
    },
  ],
  [
    2,
    (faults, random, machine, client) => {
      const { network } = faults.options
      const factor = 10 + random.int(1000)
      const forMs = seconds(random, 60)
      faults.endAfter(forMs, network.slow(machine.host, client.host, factor))
      faults.endAfter(forMs, network.slow(client.host, machine.host, factor))
      return `slow ${machine.host} - ${client.host} by ${factor}`
    },
  ],
  [
    3,
    (faults, random) => {
      const streams = faults.options.network.streams()
      if (streams.length === 0) return 'no stream to break'
      const stream = streams[random.int(streams.length)]!
      const tellPeer = random.int(2) === 0
      stream.breaks(tellPeer)
      return `break ${stream.local.host} - ${stream.remote.host}${tellPeer ? '' : ', one end does not know'}`
    },
  ],
  [
    2,
    (faults, random, _machine, client) => {
      client.kill()
      faults.endAfter(seconds(random, 20), () => {
        if (client.process === null) faults.options.restartClient(client)
      })
      return `kill ${client.name}`
    },
  ],
  [
    2,
    (faults, random, _machine, client) => {
      const { process } = client
      const forMs = seconds(random, 30)
      process?.pause()
      faults.endAfter(forMs, () => process?.resume())
      return `pause ${client.name} for ${forMs} ms`
    },
  ],
  [
    1,
    (_, random, machine) => {
      const byMs = random.int(2_400_000) - 1_200_000
      // Not further from the truth than what record timestamps are allowed to be.
      machine.skew.offsetMs = byMs
      return `set the wall clock of broker ${machine.brokerId} off by ${byMs} ms`
    },
  ],
  [
    2,
    (faults, random, machine) => {
      const { disk } = machine
      const factor = 10 + random.int(random.int(2) === 0 ? 50 : 300)
      disk.slowness = factor
      faults.endAfter(seconds(random, 20), () => {
        disk.slowness = 1
      })
      return `slow the disk of broker ${machine.brokerId} by ${factor}`
    },
  ],
  [
    1,
    (faults, random, machine) => {
      const isSync = random.int(2) === 0
      // A sync that fails ends the broker.
      if (!faults.mayKill(machine)) return `leave the disk of broker ${machine.brokerId} alone`
      const heal = machine.disk.disk.inject({
        operation: isSync ? 'sync' : 'write',
        code: 'IO_ERROR',
        after: random.int(5),
        times: 1 + random.int(3),
        writtenBytes: random.int(200),
      })
      faults.endAfter(seconds(random, 20), heal)
      return `fail ${isSync ? 'syncs' : 'writes'} of broker ${machine.brokerId}`
    },
  ],
  [
    1,
    (faults, random, machine) => {
      const { disk } = machine.disk
      disk.capacityBytes = disk.usedBytes + random.int(3000)
      faults.endAfter(seconds(random, 20), () => {
        disk.capacityBytes = Number.POSITIVE_INFINITY
      })
      return `fill the disk of broker ${machine.brokerId}`
    },
  ],
]
