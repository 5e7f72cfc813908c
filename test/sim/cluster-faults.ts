/**
 * Misfortune that wants several brokers: links between them, links to their metadata store, and the store itself.
 */
import { type SeededRandom } from '../../broker/env-memory/random.ts'
import { type Fault, type Faults } from './faults.ts'
import { type Machine } from './world/machine.ts'

/** Mostly short, now and then almost `most`; in ms. */
export function seconds(random: SeededRandom, most: number): number {
  return Math.floor(1000 * most * random.float() ** 2) + 20
}

/** Another machine than this one. */
function other(faults: Faults, random: SeededRandom, machine: Machine): Machine {
  const others = faults.options.machines.filter(each => each !== machine)
  return others[random.int(others.length)]!
}

/** Cuts both links of two hosts, or one. */
function part(faults: Faults, random: SeededRandom, a: string, b: string, forMs: number): string {
  const { network } = faults.options
  const way = random.int(4)
  if (way !== 1) faults.endAfter(forMs, network.cut(a, b))
  if (way !== 0) faults.endAfter(forMs, network.cut(b, a))
  return `${a} ${['->', '<-', '<->', '<->'][way]} ${b} for ${forMs} ms`
}

/** With how often they occur beside each other. */
export const CLUSTER_FAULTS: readonly (readonly [number, Fault])[] = [
  [
    5,
    (faults, random, machine) =>
      `cut ${part(faults, random, machine.host, other(faults, random, machine).host, seconds(random, 60))}`,
  ],
  [
    3,
    (faults, random, machine) => {
      const forMs = seconds(random, 60)
      const cuts = faults.options.machines
        .filter(each => each !== machine)
        .map(each => part(faults, random, machine.host, each.host, forMs))
      return `isolate broker ${machine.brokerId} from the others: ${cuts.join(', ')}`
    },
  ],
  [
    5,
    (faults, random, machine) =>
      `cut ${part(faults, random, machine.host, faults.options.metaServer!.host, seconds(random, 40))}`,
  ],
  [
    2,
    (faults, random, machine) => {
      const { network, metaServer } = faults.options
      const forMs = seconds(random, 40)
      for (const peer of [metaServer!, ...faults.options.machines]) {
        if (peer === machine) continue
        faults.endAfter(forMs, network.cut(machine.host, peer.host))
        faults.endAfter(forMs, network.cut(peer.host, machine.host))
      }
      return `cut broker ${machine.brokerId} off from the store and all brokers for ${forMs} ms`
    },
  ],
  [
    2,
    (faults, random, machine) => {
      const { network, metaServer } = faults.options
      const peer = random.int(3) === 0 ? metaServer! : other(faults, random, machine)
      const factor = 10 + random.int(random.int(2) === 0 ? 50 : 1000)
      const forMs = seconds(random, 60)
      faults.endAfter(forMs, network.slow(machine.host, peer.host, factor))
      faults.endAfter(forMs, network.slow(peer.host, machine.host, factor))
      return `slow ${machine.host} - ${peer.host} by ${factor}`
    },
  ],
  [
    3,
    (faults, random) => {
      const forMs = 1000 + random.int(4000)
      faults.options.metaServer!.loseLeader(forMs)
      return `the store has no leader for ${forMs} ms`
    },
  ],
  [
    3,
    (faults, random, machine) => {
      const server = faults.options.metaServer!
      const lagMs = 20 + seconds(random, 8)
      server.delayWatches(machine.host, lagMs)
      faults.endAfter(seconds(random, 60), () => server.delayWatches(machine.host, 0))
      return `the watches of broker ${machine.brokerId} lag by ${lagMs} ms`
    },
  ],
  [
    2,
    (faults, _random, machine) => {
      faults.options.metaServer!.cutWatches(machine.host)
      return `cut the watches of broker ${machine.brokerId}`
    },
  ],
  [
    1,
    (faults, random) => {
      const keep = random.int(5)
      faults.options.metaServer!.compact(keep)
      return `compact the store but for ${keep} revisions`
    },
  ],
  [
    1,
    (faults, random) => {
      const { machines } = faults.options
      const forMs = seconds(random, 5)
      if (!faults.options.isSoft) for (const machine of machines) machine.cutPower(forMs)
      return faults.options.isSoft ? 'leave the power on' : `cut the power of all for ${forMs} ms`
    },
  ],
  [
    1,
    (faults, _random, machine) => {
      const others = faults.options.machines.filter(each => each !== machine)
      if (!others.every(each => faults.mayKill(each))) return 'leave all brokers alive'
      for (const each of others) each.kill()
      return `kill all brokers but ${machine.brokerId}`
    },
  ],
  [
    2,
    (faults, random, machine) => {
      const one = machine.process
      const another = other(faults, random, machine)
      const forMs = seconds(random, 25)
      if (!faults.mayKill(another)) return `leave broker ${another.brokerId} alive`
      one?.pause()
      faults.endAfter(forMs, () => one?.resume())
      another.kill()
      return `pause broker ${machine.brokerId} for ${forMs} ms and kill broker ${another.brokerId}`
    },
  ],
]
