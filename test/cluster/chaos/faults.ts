/** What is done to a cluster: drawn by chance, brought about, and undone again. */
import { setTimeout as sleep } from 'node:timers/promises'
import { type SeededRandom } from '../../../broker/env-memory/random.ts'
import { type ChaosCluster } from './nodes.ts'

export interface Fault {
  readonly name: string
  /** It leaves a majority of the brokers and etcd alone: all partitions must go on. */
  readonly isMinor: boolean
  readonly lastsMs: number
  begin(): Promise<void>
  /** Resolves when nothing of it is left; what it did to the cluster may take a while to heal. */
  end(): Promise<void>
}

const SHORTEST_MS = 1000
const LONGEST_MS = 15_000

type Make = (cluster: ChaosCluster, random: SeededRandom, lastsMs: number) => Fault

const kill: Make = (cluster, random, lastsMs) => {
  const broker = cluster.brokers[random.int(cluster.brokers.length)]!
  return {
    name: `kill -9 ${broker.name} for ${lastsMs} ms`,
    isMinor: true,
    lastsMs,
    begin: () => broker.end('SIGKILL'),
    end: () => broker.start(),
  }
}

const stop: Make = (cluster, random, lastsMs) => {
  const broker = cluster.brokers[random.int(cluster.brokers.length)]!
  return {
    name: `SIGTERM ${broker.name} for ${lastsMs} ms`,
    isMinor: true,
    lastsMs,
    begin: () => broker.end('SIGTERM'),
    end: () => broker.start(),
  }
}

const pause: Make = (cluster, random, lastsMs) => {
  const broker = cluster.brokers[random.int(cluster.brokers.length)]!
  return {
    name: `SIGSTOP ${broker.name} for ${lastsMs} ms`,
    isMinor: true,
    lastsMs,
    begin: () => Promise.resolve(broker.signal('SIGSTOP')),
    end: () => Promise.resolve(broker.signal('SIGCONT')),
  }
}

const killEtcd: Make = (cluster, _random, lastsMs) => ({
  name: `kill -9 etcd for ${lastsMs} ms`,
  isMinor: false,
  lastsMs,
  begin: () => cluster.etcd.end('SIGKILL'),
  end: () => cluster.etcd.start(),
})

const killAll: Make = (cluster, _random, lastsMs) => ({
  name: `kill -9 all brokers for ${lastsMs} ms`,
  isMinor: false,
  lastsMs,
  begin: async () => {
    await Promise.all(cluster.brokers.map(broker => broker.end('SIGKILL')))
  },
  end: async () => {
    await Promise.all(cluster.brokers.map(broker => broker.start()))
  },
})

/** One broker loses others, etcd, or both; in one direction or in both. */
const partition: Make = (cluster, random, lastsMs) => {
  const { name } = cluster.brokers[random.int(cluster.brokers.length)]!
  const others = cluster.brokers.map(broker => broker.name).filter(each => each !== name)
  const scopes = [
    { what: 'etcd', nodes: ['etcd'] },
    { what: 'the other brokers', nodes: others },
    { what: 'etcd and the other brokers', nodes: ['etcd', ...others] },
  ]
  const { what, nodes } = scopes[random.int(scopes.length)]!
  const direction = (['both ways', 'out', 'in'] as const)[random.int(3)]!
  return {
    name: `cut ${name} off ${what}, ${direction}, for ${lastsMs} ms`,
    isMinor: true,
    lastsMs,
    begin: () => {
      for (const node of nodes) {
        if (direction !== 'in') cluster.network.cut(name, node)
        if (direction !== 'out') cluster.network.cut(node, name)
      }
      return Promise.resolve()
    },
    end: () => Promise.resolve(cluster.network.heal()),
  }
}

export function drawFault(cluster: ChaosCluster, random: SeededRandom, longestMs = LONGEST_MS): Fault {
  const kinds: Make[] = [kill, kill, pause, pause, stop, killEtcd, killAll]
  if (cluster.network.limits === null) kinds.push(partition, partition, partition, partition)
  const lastsMs = Math.min(longestMs, SHORTEST_MS + random.int(LONGEST_MS - SHORTEST_MS))
  return kinds[random.int(kinds.length)]!(cluster, random, lastsMs)
}

/** Brings it about, waits, undoes it. */
export async function suffer(fault: Fault): Promise<void> {
  await fault.begin()
  await sleep(fault.lastsMs)
  await fault.end()
}
